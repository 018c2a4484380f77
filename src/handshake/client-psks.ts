/**
 * The PSKs that a client offers: the session first, as early data must go with the first identity, then the external ones
 * in the host's order; and their binders.
 *
 *     binder = HMAC(finished_key made from binder_key, Hash(messages before, ClientHello up to its binders))
 *
 * RFC 9846 §4.3.11, §4.3.11.2.
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { ClientOptions } from '../connection-options.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { type CipherSuiteName, cipherSuites, type HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { pskBinder } from '../keys/finished.ts';
import { hashLength } from '../keys/hkdf.ts';
import { EarlySecret, type PskKind } from '../keys/ladder.ts';
import type { PreSharedKeyOffer, PskIdentity } from '../messages/client-hello.ts';
import type { ClientSession13 } from '../session/client-session.ts';
import { type ExternalPskName, pskFingerprint, usablePsks } from '../session/external-psk.ts';

/** Of the external PSK behind what was selected: itself, or the one that the session began with. */
export function externalPskFingerprintOf(psk: OfferedPsk | undefined): Uint8Array | undefined {
  if (psk === undefined || psk.session === undefined) {
    return psk?.fingerprint;
  }
  const { externalPskFingerprint } = psk.session;
  return externalPskFingerprint?.length === 0 ? undefined : externalPskFingerprint;
}

/** Each external PSK may take two identities, and servers look at few: what they see first is what counts. */
const MAX_EXTERNAL_PSKS = 8;

/** A binder depends on the whole hello: one that stays the same would tell that it is none. */
export function randomBinders(provider: CryptoProvider, binders: readonly Uint8Array[]): Uint8Array[] {
  return binders.map(({ length }) => {
    const binder = new Uint8Array(length);
    provider.random(binder);
    return binder;
  });
}

function randomIdentity(provider: CryptoProvider, length: number): PskIdentity {
  const bytes = new Uint8Array(length + 4);
  provider.random(bytes);
  const obfuscatedTicketAge = Buffer.from(bytes.buffer, length).readUInt32BE();
  return { identity: bytes.subarray(0, length), obfuscatedTicketAge };
}

export interface OfferedPsk {
  readonly kind: PskKind;
  readonly hash: HashName;
  /** On the wire. */
  readonly identity: Uint8Array;
  readonly session: ClientSession13 | undefined;
  /** Of an external PSK. */
  readonly name: ExternalPskName | undefined;
  readonly fingerprint: Uint8Array | undefined;
  /** The rung made from it. */
  readonly early: EarlySecret;
}

export class ClientPsks {
  readonly #options: ClientOptions;
  #external: readonly OfferedPsk[] = [];
  /** In the order of the last hello. */
  #offered: readonly OfferedPsk[] = [];

  /**
   * Makes its own copies of the external PSKs: the host's may be erased then. `suites`: those of TLS 1.3 that are offered.
   * @throws TLSError `TLS_ERR_CONFIG` too many, two with one identity, or as `usablePsks`
   */
  constructor(options: ClientOptions, suites: readonly CipherSuiteName[]) {
    const { provider, externalPsks = [] } = options;
    this.#options = options;
    if (externalPsks.length > MAX_EXTERNAL_PSKS) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `a client offers at most ${MAX_EXTERNAL_PSKS} external PSKs, got ${externalPsks.length}`,
      );
    }
    if (externalPsks.length === 0 || suites.length === 0) {
      return;
    }
    const hashes = [...new Set(suites.map((name) => cipherSuites[name].hash))];
    const made: OfferedPsk[] = [];
    this.#external = made;
    try {
      for (const given of externalPsks) {
        for (const usable of usablePsks(provider, given, hashes)) {
          const { kind, wireIdentity: identity, name, hash, psk } = usable;
          const fingerprint = pskFingerprint(provider, usable);
          const early = EarlySecret.create(provider, hash, psk);
          made.push({ kind, hash, identity, name, fingerprint, session: undefined, early });
          psk.erase();
          if (made.find((other) => sameBytes(other.identity, identity)) !== made.at(-1)) {
            throw new TLSError('TLS_ERR_CONFIG', 'two external PSKs have the same identity');
          }
        }
      }
      if (made.length === 0) {
        throw new TLSError('TLS_ERR_CONFIG', 'no cipher suite that is offered has the hash of an external PSK');
      }
    } catch (error) {
      this.erase();
      throw error;
    }
  }

  /** The external PSK with this fingerprint. */
  nameOf(fingerprint: Uint8Array): ExternalPskName | undefined {
    const found = this.#external.find(
      (psk) => psk.fingerprint !== undefined && sameBytes(psk.fingerprint, fingerprint),
    );
    return found?.name;
  }

  /**
   * What goes with the next hello: the session and all external PSKs, or after a HelloRetryRequest those of its hash. The
   * others are erased.
   */
  select(session: ClientSession13 | undefined, hash?: HashName): readonly OfferedPsk[] {
    if (session === undefined && this.#external.length === 0) {
      return this.#offered;
    }
    const before = this.#offered;
    const sessions = session === undefined ? [] : [before.find((psk) => psk.session === session) ?? this.#of(session)];
    this.#offered = [...sessions, ...this.#external].filter((psk) => hash === undefined || psk.hash === hash);
    for (const psk of [...before, ...sessions, ...this.#external]) {
      if (!this.#offered.includes(psk)) {
        psk.early.erase('not used');
      }
    }
    return this.#offered;
  }

  /** The extension with binders of zeros, of the right length. */
  extension(): PreSharedKeyOffer {
    return {
      identities: this.#offered.map((psk) => this.#identity(psk)),
      binders: this.#offered.map((psk) => new Uint8Array(hashLength(psk.hash))),
    };
  }

  /**
   * What stands in the outer hello of an encrypted one: of the same shape, and all chance (RFC 9849 §6.1.2). `before` is that
   * of the first hello, whose identities stay.
   */
  decoy(before: PreSharedKeyOffer | undefined): PreSharedKeyOffer {
    const { provider } = this.#options;
    const offer = this.extension();
    const identities = offer.identities.map(
      ({ identity }, at) => before?.identities[at] ?? randomIdentity(provider, identity.length),
    );
    return { identities, binders: randomBinders(provider, offer.binders) };
  }

  /** Writes the binders to the end of an encoded hello; `hashed` hashes all that comes before them. */
  writeBinders(raw: Uint8Array, hashed: (hash: HashName) => Uint8Array): void {
    let end = raw.length;
    for (const { kind, hash, early } of this.#offered.toReversed()) {
      const binder = pskBinder(this.#options.provider, hash, early.binderKey(kind), hashed(hash));
      end -= binder.length;
      raw.set(binder, end);
      end -= 1;
    }
  }

  /** The rung of the session that was offered: early data is made from it. */
  get sessionSecret(): EarlySecret | undefined {
    return this.#offered.find((psk) => psk.session !== undefined)?.early;
  }

  /** What the server selected; the caller spends its rung. Undefined when there is no such identity. */
  take(selectedIdentity: number): OfferedPsk | undefined {
    const taken = this.#offered[selectedIdentity];
    this.#offered = this.#offered.filter((psk) => psk !== taken);
    return taken;
  }

  /** All but what was taken. */
  erase(taken?: OfferedPsk): void {
    for (const psk of [...this.#offered, ...this.#external]) {
      if (psk !== taken) {
        psk.early.erase('not used');
      }
    }
    this.#offered = [];
  }

  #of(session: ClientSession13): OfferedPsk {
    const { hash } = cipherSuites[session.cipherSuite];
    const early = EarlySecret.create(this.#options.provider, hash, session.secret);
    return {
      kind: 'resumption',
      hash,
      identity: session.ticket,
      session,
      name: undefined,
      fingerprint: undefined,
      early,
    };
  }

  #identity({ identity, session }: OfferedPsk): PskIdentity {
    if (session === undefined) {
      // There is no ticket that could have an age (RFC 9846 §4.3.11).
      return { identity, obfuscatedTicketAge: 0 };
    }
    const age = Math.max(0, this.#options.now() - session.receivedAt);
    return { identity, obfuscatedTicketAge: (Math.floor(age) + session.ticketAgeAdd) % 0x1_0000_0000 };
  }
}
