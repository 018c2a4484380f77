/** What the status page tells, as one object: `/status.json`, the event stream and `/metrics` are made from it. */

import type { ProtocolVersion } from '../../connection-options.ts';
import type { Metric, Sample } from '../../ledger/metrics.ts';
import type { SecretCensus } from '../../ledger/secrets.ts';
import type { SessionCacheStats } from '../../session/session-cache.ts';
import type { TicketKeyStatus } from '../../session/ticket-key.ts';
import { version } from '../package-root.ts';
import type { HandshakeCounts } from '../serve/connections.ts';
import type { Site } from '../serve/site.ts';

export interface StatusSource {
  readonly site: Site;
  readonly census: SecretCensus;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What is served, for people: a folder or an upstream URL. */
  readonly serving: string;
  readonly urls: readonly string[];
  readonly versions: readonly ProtocolVersion[];
  readonly ring: RingSettings;
  readonly certificate: { readonly names: readonly string[]; readonly notAfter: number; readonly development: boolean };
}

export interface RingSettings {
  readonly enabled: boolean;
  /** Milliseconds. */
  readonly rotate: number;
  readonly lifetime: number;
}

export interface ConnectionStatus {
  readonly id: number;
  readonly remote: string;
  readonly version: string;
  readonly cipherSuite: string;
  /** Empty where no key exchange took place: TLS 1.2, resumed. */
  readonly namedGroup: string;
  readonly resumed: boolean;
  readonly resumedBy?: 'ticket' | 'id';
  readonly refusal?: string;
  readonly helloRetried: boolean;
  readonly alpnProtocol: string;
  readonly serverName: string;
  readonly openedAt: number;
  readonly requests: number;
  readonly upgraded: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface StatusSnapshot {
  readonly mayfly: string;
  readonly node: string;
  /** Milliseconds since the epoch, as all times here. */
  readonly now: number;
  readonly startedAt: number;
  readonly draining: boolean;
  readonly serving: string;
  readonly urls: readonly string[];
  readonly versions: readonly ProtocolVersion[];
  readonly certificate: StatusSource['certificate'];
  readonly handshakes: {
    readonly full: number;
    readonly resumed: number;
    readonly failed: number;
    readonly byVersion: Readonly<Record<ProtocolVersion, Readonly<HandshakeCounts>>>;
  };
  readonly resumptionRefusals: Record<string, number>;
  readonly failures: Record<string, number>;
  readonly requests: Record<string, number>;
  readonly upstreamFailures: Record<string, number>;
  readonly ring: RingSettings & { readonly keys: readonly TicketKeyStatus[] };
  /** TLS 1.2 sessions by ID; absent when none are kept. */
  readonly sessionCache?: SessionCacheStats;
  readonly connections: {
    readonly open: number;
    readonly total: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
    /** The newest first, at most `LISTED_CONNECTIONS`. */
    readonly list: readonly ConnectionStatus[];
  };
  readonly secrets: { readonly born: number; readonly ended: number; readonly live: Record<string, number> };
  /** Bytes. */
  readonly memory: number;
}

/** A page with thousands of rows helps nobody and costs the server. */
const LISTED_CONNECTIONS = 200;

export function takeSnapshot(source: StatusSource): StatusSnapshot {
  const { site, census } = source;
  const { connections: books, counters } = site;
  const cache = cacheOf(source);
  return {
    mayfly: version,
    node: process.version,
    now: Date.now(),
    startedAt: source.startedAt,
    draining: site.draining,
    serving: source.serving,
    urls: source.urls,
    versions: source.versions,
    certificate: source.certificate,
    handshakes: {
      full: counters.full,
      resumed: counters.resumed,
      failed: failedHandshakes(counters.failures),
      byVersion: books.handshakes,
    },
    resumptionRefusals: { ...counters.refusals },
    failures: { ...counters.failures },
    requests: books.requests.toJSON(),
    upstreamFailures: books.upstreamFailures.toJSON(),
    ring: { ...source.ring, keys: site.sessions.status() },
    ...(cache === undefined ? {} : { sessionCache: cache }),
    connections: {
      open: books.openCount,
      total: counters.full + counters.resumed,
      bytesIn: books.bytesIn,
      bytesOut: books.bytesOut,
      list: listConnections(source),
    },
    secrets: { born: census.born, ended: census.ended, live: census.live },
    memory: process.memoryUsage.rss(),
  };
}

function listConnections(source: StatusSource): ConnectionStatus[] {
  const newest = [...source.site.connections.open].slice(-LISTED_CONNECTIONS).reverse();
  return newest.map((entry) => ({
    id: entry.id,
    remote: entry.remote,
    version: entry.summary?.version ?? '',
    cipherSuite: entry.summary?.cipherSuite ?? '',
    namedGroup: entry.summary?.namedGroup ?? '',
    resumed: entry.summary?.resumed ?? false,
    ...(entry.summary?.resumedBy === undefined ? {} : { resumedBy: entry.summary.resumedBy }),
    ...(entry.summary?.refusal === undefined ? {} : { refusal: entry.summary.refusal }),
    helloRetried: entry.summary?.helloRetried ?? false,
    alpnProtocol: entry.summary?.alpnProtocol ?? '',
    serverName: entry.summary?.serverName ?? '',
    openedAt: entry.openedAt,
    requests: entry.requests,
    upgraded: entry.upgraded,
    bytesIn: entry.socket.bytesRead,
    bytesOut: entry.socket.bytesWritten,
  }));
}

/** The metrics for Prometheus. */
export function metricsOf(source: StatusSource): Metric[] {
  const { connections: books, counters } = source.site;
  const keys = source.site.sessions.status();
  const states = ['waiting', 'sealing', 'opening'] as const;
  const cpu = process.cpuUsage();
  return [
    metric('mayfly_build_info', 'gauge', 'Version of Mayfly and of Node.js.', [
      { labels: { version, node: process.version }, value: 1 },
    ]),
    metric(
      'mayfly_handshakes_total',
      'counter',
      'Completed handshakes, full or resumed.',
      handshakeSamples(books.handshakes),
    ),
    metric(
      'mayfly_resumption_refusals_total',
      'counter',
      'Sessions that were offered but not resumed, by reason.',
      samplesOf(counters.refusals, 'reason'),
    ),
    metric(
      'mayfly_failures_total',
      'counter',
      'Failed handshakes and broken connections.',
      samplesOf(counters.failures, 'code'),
    ),
    metric('mayfly_hello_retries_total', 'counter', 'Handshakes with a HelloRetryRequest.', counters.helloRetries),
    metric('mayfly_key_updates_total', 'counter', 'Renewals of traffic keys.', counters.keyUpdates),
    metric('mayfly_connections_accepted_total', 'counter', 'TCP connections accepted.', counters.accepted),
    metric(
      'mayfly_connections_idle_closed_total',
      'counter',
      'Connections closed for being idle.',
      counters.idleClosed,
    ),
    metric('mayfly_connections_open', 'gauge', 'Open connections, in handshake or after.', counters.open),
    metric('mayfly_connection_bytes_total', 'counter', 'Bytes on connections, by direction.', [
      { labels: { direction: 'in' }, value: books.bytesIn },
      { labels: { direction: 'out' }, value: books.bytesOut },
    ]),
    metric('mayfly_requests_total', 'counter', 'HTTP requests, by protocol.', books.requests.samples('protocol')),
    metric(
      'mayfly_upstream_failures_total',
      'counter',
      'Requests that the upstream server did not answer.',
      books.upstreamFailures.samples('reason'),
    ),
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
    ...cacheMetrics(cacheOf(source)),
    metric(
      'mayfly_secrets_live',
      'gauge',
      'Secrets that are not erased yet, by kind.',
      samplesOf(source.census.live, 'kind'),
    ),
    metric('mayfly_secrets_born_total', 'counter', 'Secrets made.', source.census.born),
    metric('mayfly_secrets_ended_total', 'counter', 'Secrets erased.', source.census.ended),
    metric('mayfly_draining', 'gauge', '1 while the server drains.', source.site.draining ? 1 : 0),
    metric('process_start_time_seconds', 'gauge', 'Start of the process.', source.startedAt / 1000),
    metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', process.memoryUsage.rss()),
    metric('process_cpu_seconds_total', 'counter', 'CPU time, user and system.', (cpu.user + cpu.system) / 1e6),
  ];
}

/** Undefined when no session is kept by its ID. */
function cacheOf({ site, ring, versions }: StatusSource): SessionCacheStats | undefined {
  return ring.enabled && versions.includes('TLSv1.2') ? site.sessions.stats() : undefined;
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

/** What went wrong in TLS. That a peer hangs up (ECONNRESET, EPIPE) is listed, but is its good right. */
function failedHandshakes(failures: Readonly<Record<string, number>>): number {
  return Object.entries(failures).reduce(
    (total, [code, count]) => (code.startsWith('TLS_') ? total + count : total),
    0,
  );
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
