/** The status as metrics for Prometheus. */

import type { Metric, Sample } from '../../ledger/metrics.ts';
import type { SessionCacheStats } from '../../session/session-cache.ts';
import type { TicketKeyStatus } from '../../session/ticket-key.ts';
import { ringAlarms } from '../ring/words.ts';
import { FIRST_BYTE_BOUNDS, type UpstreamStatus } from '../serve/upstream/books.ts';
import { statusOfFailure } from '../serve/upstream/failures.ts';
import type { StatusSnapshot } from './snapshot.ts';

export function metricsOf(snapshot: StatusSnapshot): Metric[] {
  const { handshakes, connections, sockets, secrets } = snapshot;
  const { keys } = snapshot.ring;
  const states = ['waiting', 'sealing', 'opening'] as const;
  return [
    metric('mayfly_build_info', 'gauge', 'Version of Mayfly and of Node.js.', [
      { labels: { version: snapshot.mayfly, node: snapshot.node }, value: 1 },
    ]),
    metric(
      'mayfly_certificate_not_after_seconds',
      'gauge',
      'When the certificate in use expires.',
      snapshot.certificate.notAfter / 1000,
    ),
    metric(
      'mayfly_handshakes_total',
      'counter',
      'Completed handshakes, full or resumed.',
      handshakeSamples(handshakes.byVersion),
    ),
    metric(
      'mayfly_resumption_ratio',
      'gauge',
      'Handshakes that resumed, of all since the start: 0 to 1; no sample before the first.',
      snapshot.resumptionRatio === undefined ? [] : [{ value: snapshot.resumptionRatio }],
    ),
    metric(
      'mayfly_resumption_refusals_total',
      'counter',
      'Sessions that were offered but not resumed, by reason.',
      samplesOf(snapshot.resumptionRefusals, 'reason'),
    ),
    metric(
      'mayfly_failures_total',
      'counter',
      'Failed handshakes and broken connections.',
      samplesOf(snapshot.failures, 'code'),
    ),
    metric('mayfly_hello_retries_total', 'counter', 'Handshakes with a HelloRetryRequest.', sockets.helloRetries),
    metric('mayfly_key_updates_total', 'counter', 'Renewals of traffic keys.', sockets.keyUpdates),
    metric('mayfly_connections_accepted_total', 'counter', 'TCP connections accepted.', sockets.accepted),
    metric('mayfly_connections_idle_closed_total', 'counter', 'Connections closed for being idle.', sockets.idleClosed),
    metric('mayfly_connections_open', 'gauge', 'Open connections, in handshake or after.', sockets.open),
    metric('mayfly_connection_bytes_total', 'counter', 'Bytes on connections, by direction.', [
      { labels: { direction: 'in' }, value: connections.bytesIn },
      { labels: { direction: 'out' }, value: connections.bytesOut },
    ]),
    metric('mayfly_requests_total', 'counter', 'HTTP requests, by protocol.', samplesOf(snapshot.requests, 'protocol')),
    metric(
      'mayfly_upstream_failures_total',
      'counter',
      'Requests that the upstream server did not answer, by the status that their clients got.',
      Object.entries(snapshot.upstreamFailures).map(([reason, value]) => ({
        labels: { status: String(statusOfFailure(reason)), reason },
        value,
      })),
    ),
    ...upstreamMetrics(snapshot.upstream),
    metric(
      'mayfly_ticket_keys',
      'gauge',
      'Ticket keys in the ring, by what they may do.',
      states.map((state) => ({ labels: { state }, value: keys.filter((key) => key.state === state).length })),
    ),
    keyMetric(keys, 'mayfly_ticket_key_created_seconds', 'When the key was made.', (key) => key.createdAt / 1000),
    keyMetric(
      keys,
      'mayfly_ticket_key_seal_until_seconds',
      'When the key stops sealing.',
      (key) => key.sealUntil / 1000,
    ),
    keyMetric(keys, 'mayfly_ticket_key_open_until_seconds', 'When the key is erased.', (key) => key.openUntil / 1000),
    keyMetric(keys, 'mayfly_ticket_key_tickets_sealed', 'Tickets sealed by the key.', (key) => key.ticketsSealed),
    keyMetric(keys, 'mayfly_ticket_key_tickets_opened', 'Tickets opened by the key.', (key) => key.ticketsOpened),
    ...cacheMetrics(snapshot.sessionCache),
    ...ringMetrics(snapshot),
    metric(
      'mayfly_secrets_live',
      'gauge',
      'Secrets that are not erased yet, by kind.',
      samplesOf(secrets.live, 'kind'),
    ),
    metric('mayfly_secrets_born_total', 'counter', 'Secrets made.', secrets.born),
    metric('mayfly_secrets_ended_total', 'counter', 'Secrets erased.', secrets.ended),
    metric('mayfly_draining', 'gauge', '1 while the server drains.', snapshot.draining ? 1 : 0),
    metric('process_start_time_seconds', 'gauge', 'Start of the process.', snapshot.startedAt / 1000),
    metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', snapshot.memory),
    metric('process_cpu_seconds_total', 'counter', 'CPU time, user and system.', snapshot.cpu),
  ];
}

/** Where requests are passed on. */
export function upstreamMetrics(upstream: UpstreamStatus | undefined): Metric[] {
  if (upstream === undefined) {
    return [];
  }
  const name = (what: string) => `mayfly_upstream_${what}`;
  const { limit, busy, idle, upgraded, waiting, waitingLimit, held, heldLimit } = upstream;
  return [
    metric(name('connections'), 'gauge', 'Connections to the upstream server.', [
      { labels: { state: 'busy' }, value: busy - upgraded },
      { labels: { state: 'upgraded' }, value: upgraded },
      { labels: { state: 'idle' }, value: idle },
    ]),
    metric(name('connections_limit'), 'gauge', 'As many as there may be.', limit),
    metric(name('waiting'), 'gauge', 'Requests that wait for a connection.', waiting),
    metric(name('waiting_limit'), 'gauge', 'As many as may wait.', waitingLimit),
    metric(name('held_bytes'), 'gauge', 'Bytes of answers that wait for slow clients.', held),
    metric(name('held_bytes_limit'), 'gauge', 'Beyond, no answer is read ahead of its client.', heldLimit),
    metric(
      name('broken_total'),
      'counter',
      'Requests and answers that broke off, by whose doing.',
      samplesOf(upstream.broken, 'by'),
    ),
    metric(name('first_byte_seconds'), 'histogram', 'From a request to the head of its answer.', firstByte(upstream)),
  ];
}

function firstByte({ firstByte: counts, firstByteSum }: UpstreamStatus): Sample[] {
  let count = 0;
  const buckets = [...FIRST_BYTE_BOUNDS, '+Inf'].map((bound) => {
    count += counts[bound] ?? 0;
    return { suffix: '_bucket', labels: { le: String(bound) }, value: count };
  });
  return [...buckets, { suffix: '_sum', value: firstByteSum }, { suffix: '_count', value: count }];
}

/** Of a shared ring, as one member sees it. */
function ringMetrics({ sharedRing: ring, workers, now }: StatusSnapshot): Metric[] {
  if (ring === undefined) {
    return [];
  }
  const name = (what: string) => `mayfly_ring_${what}`;
  const skews = ring.members.map(({ name: member, instance, skew }) => ({
    labels: { member, instance },
    value: skew / 1000,
  }));
  return [
    metric(name('members'), 'gauge', 'Running members of the ring, this one with them.', ring.members.length + 1),
    metric(name('generation'), 'gauge', 'Flushes and evictions so far.', ring.generation),
    metric(
      name('next_epoch_present'),
      'gauge',
      '1 when the key of the next epoch is at hand.',
      ring.nextEpochPresent ? 1 : 0,
    ),
    metric(name('ratchet_depth'), 'gauge', 'Epochs since the last fresh key: 0 when all is well.', ring.ratchetDepth),
    metric(
      name('sealing_key_age_seconds'),
      'gauge',
      'Age of the key that seals; no sample while none does.',
      ring.sealingKeyAge === undefined ? [] : [{ value: ring.sealingKeyAge / 1000 }],
    ),
    metric(
      name('last_visit_seconds'),
      'gauge',
      'When the store was last visited.',
      ring.lastVisit === undefined ? [] : [{ value: (now - ring.lastVisit.ago) / 1000 }],
    ),
    metric(
      name('failed_visits'),
      'gauge',
      'Visits to the store that failed since the last good one.',
      ring.failedVisits,
    ),
    ...(ring.storeErrors === undefined
      ? []
      : [
          metric(
            name('store_errors_total'),
            'counter',
            'Calls that the store did not answer, or refused.',
            ring.storeErrors,
          ),
        ]),
    metric(name('skew_seconds'), 'gauge', 'Clock of a member, this one first, minus that of the store.', [
      ...(ring.lastVisit === undefined
        ? []
        : [{ labels: { member: 'self', instance: ring.member }, value: ring.lastVisit.skew / 1000 }]),
      ...skews,
    ]),
    metric(
      name('refused_records_total'),
      'counter',
      'Records that were not taken.',
      samplesOf(ring.refusals, 'reason'),
    ),
    metric(
      name('second_processes_total'),
      'counter',
      'Processes that came while as many of their identity ran as are meant to.',
      ring.secondProcesses,
    ),
    metric(
      name('alarm'),
      'gauge',
      '1 while the condition holds, at any process of this server.',
      ringAlarms.map((alarm) => ({ labels: { alarm }, value: ring.alarms.includes(alarm) ? 1 : 0 })),
    ),
    ...(workers === undefined
      ? []
      : [
          metric('mayfly_workers', 'gauge', 'Worker processes.', workers.running.length),
          metric('mayfly_workers_replaced_total', 'counter', 'Workers that ended and were replaced.', workers.replaced),
        ]),
  ];
}

function handshakeSamples(counts: StatusSnapshot['handshakes']['byVersion']): Sample[] {
  return Object.entries(counts).flatMap(([version, { full, ticket, id }]) => {
    const samples: Sample[] = [
      { labels: { version, kind: 'full' }, value: full },
      { labels: { version, kind: 'resumed', by: 'ticket' }, value: ticket },
    ];
    return version === 'TLSv1.3'
      ? samples
      : [...samples, { labels: { version, kind: 'resumed', by: 'id' }, value: id }];
  });
}

function cacheMetrics(cache: SessionCacheStats | undefined): Metric[] {
  if (cache === undefined) {
    return [];
  }
  const name = (what: string) => `mayfly_session_cache_${what}`;
  return [
    metric(name('entries'), 'gauge', 'TLS 1.2 sessions kept by their ID.', cache.entries),
    metric(name('bytes'), 'gauge', 'Memory of these sessions.', cache.bytes),
    metric(name('lookups_total'), 'counter', 'Look-ups of session IDs.', [
      { labels: { result: 'hit' }, value: cache.hits },
      { labels: { result: 'miss' }, value: cache.misses },
    ]),
    metric(name('evicted_total'), 'counter', 'Sessions erased early to make room.', cache.evicted),
    metric(name('expired_total'), 'counter', 'Sessions erased at the end of their life.', cache.expired),
  ];
}

function samplesOf(counts: Readonly<Record<string, number>>, label: string): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function metric(name: string, type: Metric['type'], help: string, samples: number | readonly Sample[]): Metric {
  return { name, type, help, samples: typeof samples === 'number' ? [{ value: samples }] : samples };
}

function keyMetric(
  keys: readonly TicketKeyStatus[],
  name: string,
  help: string,
  value: (key: TicketKeyStatus) => number,
): Metric {
  return metric(
    name,
    'gauge',
    help,
    keys.map((key) => ({ labels: { key: key.name }, value: value(key) })),
  );
}
