/**
 * The ring's keys in the form that OpenSSL's tickets take: AES-128-CBC, and HMAC-SHA-256 over the whole.
 *
 *     hmacKey(32) ‖ aesKey(16) = HKDF-Expand(secret, "mayfly openssl ticket" ‖ version, 48)
 *
 * A ticket of OpenSSL holds the session's master secret or PSK as ours does, but nobody knows which version it is of when it
 * is sealed. So where TLS 1.2 may be agreed all tickets are sealed under what comes of `secret12`, which ends sooner.
 *
 * RFC 5077 §4; RFC 5869 §2.3.
 */

import { toHex, utf8 } from '../../bytes/bytes.ts';
import type { Secret } from '../../bytes/secret.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { hkdfExpand } from '../../keys/hkdf.ts';
import { Alarm, type Clock } from '../../session/clock.ts';
import type { TicketKey, TicketKeySource, TicketKeyUses } from '../../session/ticket-key.ts';

export interface OpenSslTicketKey {
  /** 16 bytes: that of the ring's key. */
  readonly name: Uint8Array;
  /** 32 bytes for HMAC-SHA-256, then 16 for AES-128-CBC. */
  readonly secret: Secret;
  /** Milliseconds since the epoch: erased then. */
  readonly openUntil: number;
  /** For the ledger. */
  readonly uses: TicketKeyUses;
}

export interface OpenSslTicketKeysOptions {
  readonly keys: TicketKeySource;
  readonly clock: Clock;
  /** The server speaks TLS 1.3 alone: its tickets hold PSKs, which alone open no recorded connection. */
  readonly tls13Only: boolean;
}

/** Derives each key once, and erases it when the ring erases what it came from, or `openUntil` has come. */
export class OpenSslTicketKeys {
  readonly #options: OpenSslTicketKeysOptions;
  readonly #derived = new Map<string, { readonly from: Secret; readonly key: OpenSslTicketKey }>();
  readonly #alarm: Alarm;

  constructor(options: OpenSslTicketKeysOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#erasePast());
  }

  /** Undefined while no key seals. */
  sealing(): OpenSslTicketKey | undefined {
    const now = this.#options.clock.now();
    const key = this.#options.keys.sealingKey(now);
    return key === undefined ? undefined : this.#derive(key, now);
  }

  /** Undefined for a name that is not known, or whose key is over. */
  opening(name: Uint8Array): OpenSslTicketKey | undefined {
    const now = this.#options.clock.now();
    const key = this.#options.keys.openingKey(name, now);
    return key === undefined ? undefined : this.#derive(key, now);
  }

  /** Seconds for which a ticket that is made now may be used; undefined while no key seals. */
  get ticketLifetime(): number | undefined {
    const key = this.#options.keys.sealingKey(this.#options.clock.now());
    if (key === undefined) {
      return undefined;
    }
    const until = this.#options.tls13Only ? key.openUntil : key.openUntil12;
    return Math.floor((until - key.sealUntil) / 1000);
  }

  close(): void {
    this.#alarm.cancel();
    for (const { key } of this.#derived.values()) {
      key.secret.erase('close');
    }
    this.#derived.clear();
  }

  #derive(ring: TicketKey, now: number): OpenSslTicketKey | undefined {
    const { tls13Only } = this.#options;
    const from = tls13Only ? ring.secret : ring.secret12;
    const openUntil = tls13Only ? ring.openUntil : ring.openUntil12;
    this.#erasePast(now);
    if (from.erased || now >= openUntil) {
      return undefined;
    }
    const id = toHex(ring.name);
    const known = this.#derived.get(id);
    if (known !== undefined && known.from === from) {
      return known.key;
    }
    const info = tls13Only ? INFO_TLS13 : INFO_TLS12;
    const length = HMAC_KEY_LENGTH + AES_KEY_LENGTH;
    const uses = { sealed: 0, opened: 0 };
    const secret = hkdfExpand(nodeProvider, 'sha256', from, info, length, 'openSslTicketKey', uses);
    const key = { name: ring.name, secret, openUntil, uses };
    this.#derived.set(id, { from, key });
    this.#setAlarm(now);
    return key;
  }

  #erasePast(now = this.#options.clock.now()): void {
    for (const [id, { from, key }] of this.#derived) {
      if (from.erased || now >= key.openUntil) {
        key.secret.erase('expired');
        this.#derived.delete(id);
      }
    }
    this.#setAlarm(now);
  }

  #setAlarm(now: number): void {
    const next = Math.min(...[...this.#derived.values()].map(({ key }) => key.openUntil));
    if (Number.isFinite(next)) {
      this.#alarm.set(next - now);
    }
  }
}

export const HMAC_KEY_LENGTH = 32;
export const AES_KEY_LENGTH = 16;
const INFO_TLS12 = utf8('mayfly openssl ticket TLSv1.2');
const INFO_TLS13 = utf8('mayfly openssl ticket TLSv1.3');
