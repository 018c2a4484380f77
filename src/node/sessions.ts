/**
 * How a server resumes: the `sessions` option, and the ring of ticket keys behind it. By default each server has a ring
 * of its own in this process; a ring may be shared by giving the same `keys` to several servers.
 */

import type { TicketPolicy } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import { LocalTicketKeys, type TicketKeyEvent } from '../session/local-ticket-keys.ts';
import { checkTicketPolicy } from '../session/ticket-issuance.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import { systemClock } from './clock.ts';
import { parsePeriod } from './tls-options.ts';

export interface SessionOptions {
  /** False: no session is ever resumed. Default true. */
  readonly tickets?: boolean;
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
  /** A ring made elsewhere: `rotate` is then its own affair, and it is not closed with the server. */
  readonly keys?: TicketKeySource;
  /** Told of each step in the life of a key of this server's own ring. */
  readonly onEvent?: (event: TicketKeyEvent) => void;
}

export class ServerSessions implements TicketKeySource {
  /** Undefined when tickets are off. */
  readonly policy: TicketPolicy | undefined;
  readonly #given: TicketKeySource | undefined;
  readonly #make: () => LocalTicketKeys;
  #own: LocalTicketKeys | undefined;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: SessionOptions = {}, sessionTimeout?: number) {
    const rotateEvery = parsePeriod('sessions.rotate', options.rotate ?? '1h');
    const lifetime = parsePeriod('sessions.ticketLifetime', options.ticketLifetime ?? sessionTimeout ?? '2h');
    const validity = parsePeriod('sessions.handshakeValidity', options.handshakeValidity ?? '24h');
    const { onEvent } = options;
    this.#given = options.keys;
    this.#make = () =>
      new LocalTicketKeys({
        provider: nodeProvider,
        clock: systemClock,
        rotateEvery,
        ticketLifetime: lifetime,
        onEvent,
      });
    if (options.tickets === false) {
      this.policy = undefined;
      return;
    }
    this.policy = {
      keys: this,
      ticketsPerConnection: options.ticketsPerConnection ?? 2,
      ticketsPerResumption: options.ticketsPerResumption ?? 1,
      maxTickets: options.maxTickets ?? 8,
      ticketLifetime: Math.max(1, Math.floor(lifetime / 1_000)),
      handshakeValidity: Math.max(1, Math.floor(validity / 1_000)),
    };
    checkTicketPolicy(this.policy);
    if (this.#given === undefined) {
      // Made here, so that what is wrong with the options is told at once.
      this.#own = this.#make();
    }
  }

  sealingKey(now: number): TicketKey | undefined {
    return this.#keys?.sealingKey(now);
  }

  openingKey(name: Uint8Array, now: number): TicketKey | undefined {
    return this.#keys?.openingKey(name, now);
  }

  /** The keys of the ring with their times and uses; never their bytes. */
  status(now: number = Date.now()): readonly TicketKeyStatus[] {
    return this.#keys?.status(now) ?? [];
  }

  /**
   * A new key seals from now on; tickets made before stay good.
   * @throws TLSError `TLS_ERR_NOT_SUPPORTED` for a ring made elsewhere, or without tickets
   */
  rotate(): void {
    this.#ring('rotate').rotate();
  }

  /**
   * Erases all keys now: every ticket made before is worth nothing any more.
   * @throws TLSError `TLS_ERR_NOT_SUPPORTED` for a ring made elsewhere, or without tickets
   */
  flush(): void {
    this.#ring('flush').flush();
  }

  /** Erases the server's own ring. A server that listens again gets a new one. */
  close(): void {
    this.#own?.close();
    this.#own = undefined;
  }

  get #keys(): TicketKeySource | undefined {
    if (this.#given !== undefined || this.policy === undefined) {
      return this.#given;
    }
    this.#own ??= this.#make();
    return this.#own;
  }

  #ring(what: string): { rotate(): void; flush(): void } {
    const keys = this.#keys as Partial<LocalTicketKeys> | undefined;
    const call = keys?.[what as 'rotate' | 'flush'];
    if (this.policy === undefined || typeof call !== 'function') {
      const why = this.policy === undefined ? 'tickets are off' : 'the ring was made elsewhere';
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `sessions.${what}() is not possible: ${why}`);
    }
    return keys as LocalTicketKeys;
  }
}
