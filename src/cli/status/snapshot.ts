/** What the status page tells, as one object: `/status.json`, the event stream and `/metrics` are made from it. */

import type { ProtocolVersion } from '../../connection-options.ts';
import type { RingStatus } from '../../fleet/member-status.ts';
import type { SecretCensus } from '../../ledger/secrets.ts';
import type { SessionCacheStats } from '../../session/session-cache.ts';
import type { TicketKeyStatus } from '../../session/ticket-key.ts';
import { version } from '../package-root.ts';
import type { HandshakeCounts } from '../serve/connections.ts';
import type { Site } from '../serve/site.ts';
import type { UpstreamStatus } from '../serve/upstream/books.ts';
import type { VisitorStatus } from './visits.ts';

/** What does not change while it runs, but for the certificate. */
export interface ServingFacts {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What is served, for people: a folder or an upstream URL. */
  readonly serving: string;
  readonly urls: readonly string[];
  readonly versions: readonly ProtocolVersion[];
  readonly ring: RingSettings;
  readonly certificate: { readonly names: readonly string[]; readonly notAfter: number; readonly development: boolean };
}

/** What the status of one process is taken from. */
export interface StatusSource extends ServingFacts {
  readonly site: Site;
  readonly census: SecretCensus;
  /** How a shared ring looks from here; undefined for a ring of this process's own, and before there is one. */
  readonly ringStatus?: () => SharedRingStatus | undefined;
  /** Where requests are passed on. */
  readonly upstream?: (() => UpstreamStatus | undefined) | undefined;
}

export interface RingSettings {
  readonly enabled: boolean;
  /** Who shares it: nobody else, the processes of this machine, a fleet. */
  readonly sharedBy: 'process' | 'machine' | 'fleet';
  /** Of the fleet. */
  readonly fleetName?: string;
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
  /** The number of the worker that has it. */
  readonly worker?: number;
}

/** One process among several that serve together. */
export interface WorkerStatus {
  readonly worker: number;
  readonly pid: number;
  readonly startedAt: number;
  readonly full: number;
  readonly resumed: number;
  readonly open: number;
  readonly memory: number;
  /** First 4 bytes of the id of the ring's key that it seals with, hex; absent while it has none. */
  readonly sealingKey?: string;
  readonly alarms: readonly string[];
}

export interface SharedRingStatus extends RingStatus {
  /** Calls that the store of a fleet did not answer, or refused; absent where there is none. */
  readonly storeErrors?: number;
}

/** A shared ring as one member sees it. */
export interface RingView extends SharedRingStatus {
  /** Who sees it so: "this process", "the primary", "worker 2". */
  readonly seenBy: string;
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
  /** Absent where nothing is passed on. */
  readonly upstream?: UpstreamStatus;
  /** Handshakes that resumed, of those that could have: 0 to 1, absent before the first handshake. */
  readonly resumptionRatio?: number;
  readonly ring: RingSettings & { readonly keys: readonly TicketKeyStatus[] };
  /** Absent for a ring of one process. */
  readonly sharedRing?: RingView;
  /** Absent for one process. Its sums are above: those of workers that are gone are in them, up to their last second. */
  readonly workers?: { readonly running: readonly WorkerStatus[]; readonly replaced: number };
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
  /** Page loads by visitor, the one seen last first. */
  readonly visitors: readonly VisitorStatus[];
  readonly sockets: {
    readonly accepted: number;
    readonly open: number;
    readonly idleClosed: number;
    readonly helloRetries: number;
    readonly keyUpdates: number;
  };
  readonly secrets: { readonly born: number; readonly ended: number; readonly live: Record<string, number> };
  /** Seconds of CPU time, user and system. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
}

/** A page with thousands of rows helps nobody and costs the server. */
export const LISTED_CONNECTIONS = 200;

export function takeSnapshot(source: StatusSource): StatusSnapshot {
  const { site, census } = source;
  const { connections: books, counters } = site;
  const cache = cacheOf(source);
  const ring = source.ringStatus?.();
  const upstream = source.upstream?.();
  const cpu = process.cpuUsage();
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
    ...(upstream === undefined ? {} : { upstream }),
    ...ratioOf(counters),
    ring: { ...source.ring, keys: site.sessions.status() },
    ...(ring === undefined ? {} : { sharedRing: { seenBy: 'this process', ...ring } }),
    ...(cache === undefined ? {} : { sessionCache: cache }),
    connections: {
      open: books.openCount,
      total: counters.full + counters.resumed,
      bytesIn: books.bytesIn,
      bytesOut: books.bytesOut,
      list: listConnections(source),
    },
    visitors: books.visits.status(),
    sockets: {
      accepted: counters.accepted,
      open: counters.open,
      idleClosed: counters.idleClosed,
      helloRetries: counters.helloRetries,
      keyUpdates: counters.keyUpdates,
    },
    secrets: { born: census.born, ended: census.ended, live: census.live },
    cpu: (cpu.user + cpu.system) / 1e6,
    memory: process.memoryUsage.rss(),
  };
}

export function ratioOf({ full, resumed }: { full: number; resumed: number }): { resumptionRatio?: number } {
  return full + resumed === 0 ? {} : { resumptionRatio: Math.round((1000 * resumed) / (full + resumed)) / 1000 };
}

function listConnections(source: StatusSource): ConnectionStatus[] {
  const newest = [...source.site.connections.open].sort((a, b) => b.id - a.id).slice(0, LISTED_CONNECTIONS);
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

/** Undefined when no session is kept by its ID, or not by this process. */
function cacheOf({ site, ring, versions }: StatusSource): SessionCacheStats | undefined {
  return ring.enabled && ring.sharedBy === 'process' && versions.includes('TLSv1.2')
    ? site.sessions.stats()
    : undefined;
}

/** What went wrong in TLS. That a peer hangs up (ECONNRESET, EPIPE) is listed, but is its good right. */
function failedHandshakes(failures: Readonly<Record<string, number>>): number {
  return Object.entries(failures).reduce(
    (total, [code, count]) => (code.startsWith('TLS_') ? total + count : total),
    0,
  );
}
