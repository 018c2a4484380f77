/**
 * How a server resumes: the `sessions` option, and what is behind it: the ring of ticket keys, and for TLS 1.2 the cache of
 * sessions by ID. By default each server has both to itself in this process; a ring may be shared by giving the same `keys`
 * to several servers, and sessions by a `cache` outside.
 */

import type { ServerSessionCache, SessionLifetimes, TicketPolicy } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import { LocalTicketKeys, type TicketKeyEvent } from '../session/local-ticket-keys.ts';
import { RingBoundSessions } from '../session/ring-bound-sessions.ts';
import { SessionCache, type SessionCacheStats } from '../session/session-cache.ts';
import type { SharedSingleUseRegister, TicketClaim } from '../session/single-use-register.ts';
import { checkSessionLifetimes, checkTicketPolicy } from '../session/ticket-issuance.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import { systemClock } from './clock.ts';
import { eraseAtExit } from './erase-at-exit.ts';
import { type EarlyDataOptions, TicketRegisters } from './ticket-registers.ts';
import { parsePeriod } from './tls-options.ts';

export interface SessionOptions {
  /** False: no tickets are made or taken, and so no TLS 1.3 session is resumed. Default true. */
  readonly tickets?: boolean;
  /** Whether TLS 1.2 sessions of clients without tickets are kept here, to be resumed by ID. Default: as `tickets`. */
  readonly sessionIds?: boolean;
  /** Sessions kept by ID: 1 to 10 million, default 20,000. The one used longest ago makes room. */
  readonly maxSessions?: number;
  /** Bytes of all sessions kept by ID: at least 64 KiB, default 16 MiB. */
  readonly maxSessionBytes?: number;
  /**
   * TLS 1.2 sessions live for the whole `ticketLifetime`, not for one sealing period after the full handshake, though
   * each holds a master secret that opens the recorded connections of its session. Default false.
   */
  readonly dangerouslyLongTls12Sessions?: boolean;
  /** Keeps TLS 1.2 sessions by ID outside this process, sealed under the ring's keys, instead of here. */
  readonly cache?: ExternalSessionCache;
  /** Told when `cache` fails: the handshake goes on without it. */
  readonly onCacheError?: (error: unknown) => void;
  /** How long a ticket key seals: seconds, or a text such as '1h'. 1 s to 6 h, default 1 h. */
  readonly rotate?: number | string;
  /** How long a ticket may be used: seconds or text. 1 s to 23 h, default 2 h. */
  readonly ticketLifetime?: number | string;
  /** How long after the full handshake its session may be resumed, over and over: seconds or text. Default 24 h, at most 7 d. */
  readonly handshakeValidity?: number | string;
  /** Tickets after a full handshake. Default 2. */
  readonly ticketsPerConnection?: number;
  /** Tickets after a resumption. Default 1. */
  readonly ticketsPerResumption?: number;
  /** Most tickets that a client can ask for. Default 8. */
  readonly maxTickets?: number;
  /**
   * TLS 1.3: each ticket resumes once; another try leads to a full handshake. True remembers them in this process, which does
   * for a ring that no other process has; else give the register that all of them ask. Default false.
   */
  readonly singleUse?: boolean | SharedSingleUseRegister;
  /**
   * TLS 1.3: takes early data (0-RTT). It is not forward secret, and it can be replayed to every server that knows the ticket
   * keys and does not ask the same register: see docs/early-data.md. Default false.
   */
  readonly earlyData?: boolean | EarlyDataOptions;
  /** A ring made elsewhere: `rotate` is then its own affair, and it is not closed with the server. */
  readonly keys?: TicketKeySource;
  /** Told of each step in the life of a key of this server's own ring. */
  readonly onEvent?: (event: TicketKeyEvent) => void;
}

/** What became of the options. Lengths of time are milliseconds. */
export interface SessionSettings {
  readonly tickets: boolean;
  readonly sessionIds: boolean;
  readonly sealUntil: number;
  readonly ticketLifetime: number;
  readonly handshakeValidity: number;
  readonly ticketsPerConnection: number;
  readonly ticketsPerResumption: number;
  readonly maxTickets: number;
  readonly singleUse: boolean;
  readonly maxSessions: number;
  readonly maxSessionBytes: number;
  readonly earlyData: boolean;
  readonly dangerouslyLongTls12Sessions: boolean;
  /** The ring was made elsewhere, and its own times count. */
  readonly sharesKeys: boolean;
}

export class ServerSessions implements TicketKeySource {
  readonly settings: SessionSettings;
  /** Undefined when tickets are off. */
  readonly policy: TicketPolicy | undefined;
  /** Undefined when session IDs are off. */
  readonly byId: ServerSessionCache | undefined;
  /** Of sessions by ID: no longer than tickets of TLS 1.2, which hold the same. */
  readonly lifetimes: SessionLifetimes;
  /** Takes the place of `byId`. */
  readonly external: Pick<SessionOptions, 'cache' | 'onCacheError'>;
  readonly #registers: TicketRegisters;
  readonly #given: TicketKeySource | undefined;
  readonly #make: () => LocalTicketKeys;
  readonly #makeCache: () => SessionCache;
  #own: LocalTicketKeys | undefined;
  #cache: SessionCache | undefined;
  /** Where the ring is a given one. */
  #bound: RingBoundSessions | undefined;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: SessionOptions = {}, sessionTimeout?: number) {
    const rotateEvery = parsePeriod('sessions.rotate', options.rotate ?? '1h');
    const lifetime = parsePeriod('sessions.ticketLifetime', options.ticketLifetime ?? sessionTimeout ?? '2h');
    const validity = parsePeriod('sessions.handshakeValidity', options.handshakeValidity ?? '24h');
    const { onEvent, dangerouslyLongTls12Sessions = false, maxSessions, maxSessionBytes } = options;
    const ticketLifetime = Math.max(1, Math.floor(lifetime / 1_000));
    const handshakeValidity = Math.max(1, Math.floor(validity / 1_000));
    const sealingPeriod = Math.max(1, Math.floor(rotateEvery / 1_000));
    this.lifetimes = {
      ticketLifetime: dangerouslyLongTls12Sessions ? ticketLifetime : Math.min(ticketLifetime, sealingPeriod),
      handshakeValidity,
      dangerouslyLongTls12Sessions,
    };
    checkSessionLifetimes(this.lifetimes);
    this.#registers = new TicketRegisters({
      earlyData: options.earlyData,
      singleUse: options.singleUse,
      sharedKeys: options.keys !== undefined,
    });
    const { singleUse, earlyData } = this.#registers;
    const policy: TicketPolicy = {
      keys: this,
      ticketsPerConnection: options.ticketsPerConnection ?? 2,
      ticketsPerResumption: options.ticketsPerResumption ?? 1,
      maxTickets: options.maxTickets ?? 8,
      ticketLifetime,
      handshakeValidity,
      dangerouslyLongTls12Sessions,
      ...(singleUse === undefined ? {} : { singleUse }),
      ...(earlyData === undefined ? {} : { earlyData }),
    };
    this.#given = options.keys;
    this.#make = () => {
      const keys = new LocalTicketKeys({
        provider: nodeProvider,
        clock: systemClock,
        rotateEvery,
        ticketLifetime: lifetime,
        dangerouslyLongTls12Sessions,
        onEvent,
      });
      eraseAtExit(keys, close);
      return keys;
    };
    this.#makeCache = () => {
      const cache = new SessionCache({
        clock: systemClock,
        ticketLifetime,
        dangerouslyLongTls12Sessions,
        ...(maxSessions === undefined ? {} : { maxEntries: maxSessions }),
        ...(maxSessionBytes === undefined ? {} : { maxBytes: maxSessionBytes }),
      });
      eraseAtExit(cache, close);
      return cache;
    };
    this.external = { cache: options.cache, onCacheError: options.onCacheError };
    const withTickets = options.tickets !== false;
    this.settings = {
      tickets: withTickets,
      sessionIds: options.sessionIds ?? withTickets,
      sealUntil: sealingPeriodOf(options.keys) ?? rotateEvery,
      ticketLifetime: lifetime,
      handshakeValidity: validity,
      ticketsPerConnection: policy.ticketsPerConnection,
      ticketsPerResumption: policy.ticketsPerResumption,
      maxTickets: policy.maxTickets,
      singleUse: singleUse !== undefined,
      maxSessions: maxSessions ?? 20_000,
      maxSessionBytes: maxSessionBytes ?? 16 * 2 ** 20,
      earlyData: earlyData !== undefined,
      dangerouslyLongTls12Sessions,
      sharesKeys: options.keys !== undefined,
    };
    // Both are made here, so that what is wrong with the options is told at once.
    if (withTickets) {
      checkTicketPolicy(policy);
      this.policy = policy;
      this.#own = this.#given === undefined ? this.#make() : undefined;
    }
    if (options.sessionIds ?? withTickets) {
      this.#cache = this.#makeCache();
      const { lifetimes } = this;
      this.#bound =
        options.keys &&
        new RingBoundSessions({ keys: options.keys, cache: () => this.#sessions, lifetimes, clock: systemClock });
      this.byId = this.#bound ?? {
        set: (sessionId, state) => this.#sessions.set(sessionId, state),
        get: (sessionId, now) => this.#sessions.get(sessionId, now),
        delete: (sessionId) => this.#cache?.delete(sessionId),
      };
    }
  }

  sealingKey(now: number): TicketKey | undefined {
    return this.#keys.sealingKey(now);
  }

  openingKey(name: Uint8Array, now: number): TicketKey | undefined {
    return this.#keys.openingKey(name, now);
  }

  /** The keys of the ring with their times and uses; never their bytes. */
  status(now: number = Date.now()): readonly TicketKeyStatus[] {
    const keys = this.policy === undefined && this.#given === undefined ? this.#own : this.#keys;
    return keys?.status(now) ?? [];
  }

  /** The sessions kept by ID: how many, their bytes, and what became of look-ups. Zeros when they are off. */
  stats(): SessionCacheStats {
    return this.#cache?.stats() ?? NO_SESSIONS;
  }

  /**
   * A new key seals from now on; tickets made before stay good.
   * @throws TLSError `TLS_ERR_NOT_SUPPORTED` for a ring made elsewhere, or without tickets
   */
  rotate(): void {
    this.#ring('rotate').rotate();
  }

  /**
   * Erases all keys and all sessions kept by ID now: none made before is resumed any more.
   * @throws TLSError `TLS_ERR_NOT_SUPPORTED` for a ring made elsewhere, or without any
   */
  flush(): void {
    this.#cache?.clear('flush');
    if (this.#own !== undefined) {
      // Also without tickets: its keys seal sessions for a cache outside.
      this.#own.flush();
    } else if (this.policy !== undefined || this.byId === undefined) {
      this.#ring('flush').flush();
    }
  }

  /** Erases the server's own ring and sessions. A server that listens again gets new ones. */
  close(): void {
    this.#own?.close();
    this.#own = undefined;
    this.#bound?.close();
    this.#cache?.close();
    this.#cache = undefined;
    this.#registers.close();
  }

  /** Asks the register that was given. */
  claim(ticketId: Uint8Array, expiresAt: number): Promise<TicketClaim> {
    return this.#registers.claim(ticketId, expiresAt);
  }

  get #sessions(): SessionCache {
    this.#cache ??= this.#makeCache();
    return this.#cache;
  }

  get #keys(): TicketKeySource {
    if (this.#given !== undefined) {
      return this.#given;
    }
    // Without tickets its keys seal sessions for a cache outside.
    this.#own ??= this.#make();
    return this.#own;
  }

  #ring(what: string): { rotate(): void; flush(): void } {
    const keys = (this.policy === undefined ? undefined : this.#keys) as Partial<LocalTicketKeys> | undefined;
    if (typeof keys?.[what as 'rotate' | 'flush'] !== 'function') {
      const why = this.policy === undefined ? 'tickets are off' : 'the ring was made elsewhere';
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `sessions.${what}() is not possible: ${why}`);
    }
    return keys as LocalTicketKeys;
  }
}

/** Of a ring made elsewhere, as far as its keys tell now. */
function sealingPeriodOf(keys: TicketKeySource | undefined): number | undefined {
  const known = keys?.status(Date.now()) ?? [];
  return known.length === 0 ? undefined : Math.max(...known.map(({ sealFrom, sealUntil }) => sealUntil - sealFrom));
}

function close(held: LocalTicketKeys | SessionCache): void {
  held.close();
}

const NO_SESSIONS: SessionCacheStats = { entries: 0, bytes: 0, hits: 0, misses: 0, evicted: 0, expired: 0 };
