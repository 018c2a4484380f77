/**
 * The TLS 1.3 key schedule, one type per rung. Moving on spends the rung: its secret is erased, and the next rung is
 * the only way to reach what lies further down.
 *
 *     0 ─▶ Extract ◀─ PSK   = EarlySecret ─▶ binder_key, client_early_traffic_secret
 *            │ Derive-Secret(., "derived", "")
 *            ▼
 *          Extract ◀─ (EC)DHE = HandshakeSecret ─▶ client/server_handshake_traffic_secret
 *            │ Derive-Secret(., "derived", "")
 *            ▼
 *          Extract ◀─ 0      = MainSecret ─▶ client/server_application_traffic_secret_0, exporter_secret, resumption_secret
 *
 * RFC 9846 §7.1.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { KeyMaterial, Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite, HashName } from '../crypto/suites.ts';
import { expandLabel, hkdfExtract, hkdfExtractWithSecretSalt, PreparedLabel } from './hkdf.ts';
import { TrafficSecret, type TrafficSecretLabel } from './traffic.ts';

const DERIVED = new PreparedLabel('derived');
const BINDERS = {
  external: new PreparedLabel('ext binder'),
  imported: new PreparedLabel('imp binder'),
  resumption: new PreparedLabel('res binder'),
} as const;
const CLIENT_EARLY = new PreparedLabel('c e traffic');
const CLIENT_HANDSHAKE = new PreparedLabel('c hs traffic');
const SERVER_HANDSHAKE = new PreparedLabel('s hs traffic');
const CLIENT_APPLICATION = new PreparedLabel('c ap traffic');
const SERVER_APPLICATION = new PreparedLabel('s ap traffic');
const EXPORTER = new PreparedLabel('exp master');
const RESUMPTION = new PreparedLabel('res master');
const TICKET_PSK = new PreparedLabel('resumption');

/** Where a PSK comes from: each has a binder label of its own, so that none passes for another (RFC 9846 §7.1, RFC 9258 §5.2). */
export type PskKind = keyof typeof BINDERS;

/** The first rung: made from a PSK, or from zeros in a full handshake; the type tells which. */
export class EarlySecret<FromPsk extends boolean = true> {
  /** For the compiler alone. */
  declare readonly fromPsk: FromPsk;
  readonly #provider: CryptoProvider;
  readonly #hash: HashName;
  readonly #secret: Secret;

  private constructor(provider: CryptoProvider, hash: HashName, secret: Secret) {
    this.#provider = provider;
    this.#hash = hash;
    this.#secret = secret;
  }

  static create(provider: CryptoProvider, hash: HashName): EarlySecret<false>;
  /** `psk` is lent. */
  static create(provider: CryptoProvider, hash: HashName, psk: Secret): EarlySecret;
  /** Without a PSK the rung carries no secret at all. */
  static create(provider: CryptoProvider, hash: HashName, psk: Secret | undefined): EarlySecret<boolean>;
  static create(provider: CryptoProvider, hash: HashName, psk?: Secret): EarlySecret<boolean> {
    const zeros = constants(provider, hash).zeros;
    return new EarlySecret(provider, hash, hkdfExtract(provider, hash, zeros, psk ?? zeros, 'earlySecret'));
  }

  /** binder_key of a PSK of this kind (RFC 9846 §4.3.11.2). */
  binderKey(kind: PskKind): Secret {
    const { emptyHash, zeros } = constants(this.#provider, this.#hash);
    return expandLabel(this.#provider, this.#hash, this.#secret, BINDERS[kind], emptyHash, zeros.length, 'binderKey');
  }

  /**
   * client_early_traffic_secret, of no more than the PSK: it is not forward secret. `transcriptHash` covers the whole
   * ClientHello; `suite` is that of the PSK.
   */
  clientEarlyTrafficSecret(suite: CipherSuite, transcriptHash: Uint8Array): TrafficSecret {
    const label = 'CLIENT_EARLY_TRAFFIC_SECRET';
    const { hash, hashLength } = suite;
    const secret = expandLabel(this.#provider, hash, this.#secret, CLIENT_EARLY, transcriptHash, hashLength, label);
    return new TrafficSecret(this.#provider, suite, label, secret);
  }

  /** On to the next rung with the (EC)DHE or hybrid result, which is erased too. */
  toHandshakeSecret(suite: CipherSuite, sharedSecret: Secret): HandshakeSecret {
    const next = this.#handshakeSecret(suite, sharedSecret);
    sharedSecret.erase();
    return next;
  }

  /**
   * On to the next rung with nothing but the PSK (psk_ke): whoever ever learns the PSK reads this connection. Without a PSK
   * there would be no secret at all: that does not compile.
   */
  toHandshakeSecretWithoutKeyExchange(this: EarlySecret<true>, suite: CipherSuite): HandshakeSecret {
    return this.#handshakeSecret(suite, constants(this.#provider, this.#hash).zeros);
  }

  #handshakeSecret(suite: CipherSuite, sharedSecret: KeyMaterial): HandshakeSecret {
    const derived = deriveNext(this.#provider, this.#hash, this.#secret);
    // With `hmac`: who knows the PSK knows this salt, and must not get by what a faster way leaves behind in memory.
    const next = hkdfExtract(this.#provider, this.#hash, derived, sharedSecret, 'handshakeSecret');
    derived.erase();
    this.#secret.erase();
    return new HandshakeSecret(this.#provider, suite, next);
  }

  erase(why?: string): void {
    this.#secret.erase(why);
  }
}

/**
 * The handshake secret of a full handshake: the rung above it holds no secret, so its derived salt is a constant per
 * hash. Its plain twin is `EarlySecret.create(provider, hash).toHandshakeSecret(…)`; the test "a full handshake's
 * shortcut equals the ladder" keeps them equal.
 */
export function handshakeSecretWithoutPsk(
  provider: CryptoProvider,
  suite: CipherSuite,
  sharedSecret: Secret,
): HandshakeSecret {
  const { saltWithoutPsk } = constants(provider, suite.hash);
  const secret = hkdfExtract(provider, suite.hash, saltWithoutPsk, sharedSecret, 'handshakeSecret');
  sharedSecret.erase();
  return new HandshakeSecret(provider, suite, secret);
}

export class HandshakeSecret {
  readonly #rung: Rung;

  constructor(provider: CryptoProvider, suite: CipherSuite, secret: Secret) {
    this.#rung = new Rung(provider, suite, secret);
  }

  /** `transcriptHash` covers ClientHello…ServerHello. */
  clientHandshakeTrafficSecret(transcriptHash: Uint8Array): TrafficSecret {
    return this.#rung.traffic(CLIENT_HANDSHAKE, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', transcriptHash);
  }

  /** `transcriptHash` covers ClientHello…ServerHello. */
  serverHandshakeTrafficSecret(transcriptHash: Uint8Array): TrafficSecret {
    return this.#rung.traffic(SERVER_HANDSHAKE, 'SERVER_HANDSHAKE_TRAFFIC_SECRET', transcriptHash);
  }

  toMainSecret(): MainSecret {
    const { provider, suite, secret } = this.#rung;
    const { zeros } = constants(provider, suite.hash);
    const derived = deriveNext(provider, suite.hash, secret);
    const next = hkdfExtractWithSecretSalt(provider, suite.hash, derived, zeros, 'mainSecret');
    derived.erase();
    secret.erase();
    return new MainSecret(provider, suite, next);
  }

  erase(why?: string): void {
    this.#rung.secret.erase(why);
  }
}

/** The last rung (RFC 8446 called it the master secret). Erased before the first application data is protected. */
export class MainSecret {
  readonly #rung: Rung;

  constructor(provider: CryptoProvider, suite: CipherSuite, secret: Secret) {
    this.#rung = new Rung(provider, suite, secret);
  }

  /** `transcriptHash` covers ClientHello…server Finished. */
  clientApplicationTrafficSecret(transcriptHash: Uint8Array): TrafficSecret {
    return this.#rung.traffic(CLIENT_APPLICATION, 'CLIENT_TRAFFIC_SECRET', transcriptHash);
  }

  /** `transcriptHash` covers ClientHello…server Finished. */
  serverApplicationTrafficSecret(transcriptHash: Uint8Array): TrafficSecret {
    return this.#rung.traffic(SERVER_APPLICATION, 'SERVER_TRAFFIC_SECRET', transcriptHash);
  }

  /** `transcriptHash` covers ClientHello…server Finished. */
  exporterSecret(transcriptHash: Uint8Array): Secret {
    return this.#rung.derive(EXPORTER, 'EXPORTER_SECRET', transcriptHash);
  }

  /** `transcriptHash` covers ClientHello…client Finished. */
  resumptionSecret(transcriptHash: Uint8Array): Secret {
    return this.#rung.derive(RESUMPTION, 'resumptionSecret', transcriptHash);
  }

  erase(why?: string): void {
    this.#rung.secret.erase(why);
  }
}

/** The PSK of one ticket: HKDF-Expand-Label(resumption_secret, "resumption", ticket_nonce, Hash.length). RFC 9846 §4.7.1. */
export function resumptionPsk(
  provider: CryptoProvider,
  suite: CipherSuite,
  resumptionSecret: Secret,
  ticketNonce: Uint8Array,
): Secret {
  return expandLabel(
    provider,
    suite.hash,
    resumptionSecret,
    TICKET_PSK,
    ticketNonce,
    suite.hashLength,
    'resumptionPsk',
  );
}

interface HashConstants {
  readonly zeros: Uint8Array;
  /** Hash of the empty string: the context of "derived" and of the binder keys. */
  readonly emptyHash: Uint8Array;
  /** Derive-Secret(EarlySecret of zeros, "derived", ""): no secret, it is the same in every full handshake of the world. */
  readonly saltWithoutPsk: Uint8Array;
}

/** Public values, the same for every provider. */
const constantsByHash = new Map<HashName, HashConstants>();

function constants(provider: CryptoProvider, hash: HashName): HashConstants {
  let known = constantsByHash.get(hash);
  if (known === undefined) {
    const emptyHash = provider.hash(hash, EMPTY);
    const zeros = new Uint8Array(emptyHash.length);
    const early = provider.hmac(hash, zeros, zeros);
    const saltWithoutPsk = provider.hmac(hash, early, DERIVED.fill(emptyHash.length, emptyHash));
    known = { zeros, emptyHash, saltWithoutPsk };
    constantsByHash.set(hash, known);
  }
  return known;
}

function deriveNext(provider: CryptoProvider, hash: HashName, secret: Secret): Secret {
  const { emptyHash } = constants(provider, hash);
  return expandLabel(provider, hash, secret, DERIVED, emptyHash, emptyHash.length, 'derived');
}

/** What the two lower rungs share: Derive-Secret(Secret, Label, Messages). RFC 9846 §7.1. */
class Rung {
  readonly provider: CryptoProvider;
  readonly suite: CipherSuite;
  readonly secret: Secret;

  constructor(provider: CryptoProvider, suite: CipherSuite, secret: Secret) {
    this.provider = provider;
    this.suite = suite;
    this.secret = secret;
  }

  derive(label: PreparedLabel, kind: string, transcriptHash: Uint8Array): Secret {
    const { hash, hashLength } = this.suite;
    return expandLabel(this.provider, hash, this.secret, label, transcriptHash, hashLength, kind);
  }

  traffic(label: PreparedLabel, name: TrafficSecretLabel, transcriptHash: Uint8Array): TrafficSecret {
    return new TrafficSecret(this.provider, this.suite, name, this.derive(label, name, transcriptHash));
  }
}
