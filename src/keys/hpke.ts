/**
 * HPKE in base mode, over the provider's primitives: one message per encapsulation, or a few in a row.
 *
 *     DHKEM(X25519, HKDF-SHA256)   0x0020   shared_secret = ExtractAndExpand(DH(skE, pkR), enc ‖ pkR)
 *     X-Wing                       0x647a   shared_secret = SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ "\.//^\")
 *     HKDF-SHA256 0x0001, AES-256-GCM 0x0002
 *
 *     key, base_nonce = KeySchedule(mode_base, shared_secret, info);  sealed = AEAD(key, base_nonce, aad, plaintext)
 *
 * X-Wing's public key and ciphertext have the layout of TLS's X25519MLKEM768 key shares, so that one provider serves
 * both. Why not a library: theirs are asynchronous and hold private keys as CryptoKeys; here a private key is a one-use
 * key share, spent by the one envelope it opens.
 *
 * RFC 9180 §4, §5.1, §6.1; draft-connolly-cfrg-xwing-kem §5.
 */

import { concat, EMPTY, utf8 } from '../bytes/bytes.ts';
import { exposed, idOf, type KeyMaterial, Secret } from '../bytes/secret.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import type { AeadKey, CryptoProvider, KeyShare } from '../crypto/provider.ts';
import type { AeadName } from '../crypto/suites.ts';
import { hkdfExpand } from './hkdf.ts';

/** ML-KEM-768 with X25519, or X25519 alone. */
export type HpkeKem = 'x-wing' | 'x25519';

interface KemInfo {
  readonly code: number;
  readonly group: NamedGroup;
  /** Bytes. */
  readonly publicKeyLength: number;
  readonly encapsulationLength: number;
}

export const kems: Readonly<Record<HpkeKem, KemInfo>> = {
  x25519: { code: 0x0020, group: 'x25519', publicKeyLength: 32, encapsulationLength: 32 },
  'x-wing': { code: 0x647a, group: 'X25519MLKEM768', publicKeyLength: 1216, encapsulationLength: 1120 },
};

export interface HpkeSuite {
  readonly kem: HpkeKem;
  /** Default `'aes-256-gcm'`, the one that the ring uses. */
  readonly aead?: AeadName;
}

export interface HpkeInput {
  readonly provider: CryptoProvider;
  readonly suite: HpkeSuite;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
}

export interface HpkeSealed {
  /** The encapsulated key: `enc` of RFC 9180. */
  readonly encapsulation: Uint8Array;
  /** Ciphertext and 16 bytes of tag. */
  readonly ciphertext: Uint8Array;
}

/** A fresh key pair whose private part opens one message. */
export function generateKeyPair(provider: CryptoProvider, kem: HpkeKem): KeyShare {
  return provider.generateKeyShare(kems[kem].group);
}

/**
 * Seals `plaintext`, which stays the caller's, to a public key.
 * @throws TLSError `TLS_ERR_BAD_KEY_SHARE` the public key has the wrong length, is of small order or not reduced
 */
export function sealTo(input: HpkeInput, publicKey: Uint8Array, plaintext: Uint8Array): HpkeSealed {
  const { provider, suite, aad } = input;
  const { keyExchange, sharedSecret } = provider.encapsulate(kems[suite.kem].group, publicKey);
  const kemSecret = combine(provider, suite.kem, sharedSecret, keyExchange, publicKey);
  const ciphertext = new Uint8Array(plaintext.length + TAG_LENGTH);
  withContext(input, kemSecret, (key, nonce) => key.seal(nonce, aad, plaintext, ciphertext, 0));
  return { encapsulation: Uint8Array.from(keyExchange), ciphertext };
}

/** Several messages to one encapsulation, each under a nonce of its own (RFC 9180 §5.2). */
export class HpkeSender {
  /** The encapsulated key: `enc` of RFC 9180. */
  readonly encapsulation: Uint8Array;
  readonly #key: AeadKey;
  readonly #baseNonce: Secret;
  #sequence = 0;

  /** @throws TLSError `TLS_ERR_BAD_KEY_SHARE` the public key has the wrong length, is of small order or not reduced */
  constructor(input: Omit<HpkeInput, 'aad'>, publicKey: Uint8Array) {
    const { provider, suite } = input;
    const { keyExchange, sharedSecret } = provider.encapsulate(kems[suite.kem].group, publicKey);
    this.encapsulation = Uint8Array.from(keyExchange);
    const kemSecret = combine(provider, suite.kem, sharedSecret, this.encapsulation, publicKey);
    const { key, baseNonce } = keySchedule(input, kemSecret);
    this.#key = key;
    this.#baseNonce = baseNonce;
  }

  /** The ciphertext and its tag of 16 bytes. */
  seal(aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const nonce = new Uint8Array(new ArrayBuffer(NONCE_LENGTH));
    nonce.set(this.#baseNonce.expose());
    // Two messages at most are ever sent: the counter fits the last byte.
    nonce[nonce.length - 1] ^= this.#sequence++;
    const ciphertext = new Uint8Array(plaintext.length + TAG_LENGTH);
    this.#key.seal(nonce, aad, plaintext, ciphertext, 0);
    nonce.fill(0);
    return ciphertext;
  }

  erase(): void {
    this.#key.erase();
    this.#baseNonce.erase();
  }
}

/**
 * Opens what was sealed to the key pair, and spends it, whatever the outcome. Undefined when it is not authentic; what was
 * inside is the caller's to erase, and is of this `kind` for the ledger.
 * @throws TLSError `TLS_ERR_BAD_KEY_SHARE` the encapsulation is malformed; `TLS_ERR_SECRET_ERASED` the pair is spent
 */
export function openWith(
  input: HpkeInput,
  keyPair: KeyShare,
  sealed: HpkeSealed,
  kind: string = 'opened',
): Secret | undefined {
  const { provider, suite, aad } = input;
  const sharedSecret = keyPair.agree(sealed.encapsulation);
  const kemSecret = combine(provider, suite.kem, sharedSecret, sealed.encapsulation, keyPair.publicKey);
  const opened = withContext(input, kemSecret, (key, nonce) => key.open(nonce, aad, sealed.ciphertext));
  return opened === undefined ? undefined : Secret.take(kind, opened, kemSecret.id);
}

/** The KEM's shared secret from what the group agreed on, which is erased. */
function combine(
  provider: CryptoProvider,
  kem: HpkeKem,
  agreed: Secret,
  encapsulation: Uint8Array,
  publicKey: Uint8Array,
): Secret {
  try {
    return kem === 'x25519'
      ? extractAndExpand(provider, agreed, concat(encapsulation, publicKey))
      : combineXWing(provider, agreed, encapsulation, publicKey);
  } finally {
    agreed.erase();
  }
}

function extractAndExpand(provider: CryptoProvider, dh: Secret, kemContext: Uint8Array): Secret {
  const suiteId = Uint8Array.of(...KEM, ...u16(kems.x25519.code));
  const prk = labeledExtract(provider, suiteId, EMPTY, 'eae_prk', dh);
  try {
    return labeledExpand(provider, suiteId, prk, 'shared_secret', kemContext, SECRET_LENGTH);
  } finally {
    prk.erase();
  }
}

/** `agreed` is ss_M ‖ ss_X; ct_X and pk_X are the last 32 bytes of the two shares. */
function combineXWing(
  provider: CryptoProvider,
  agreed: Secret,
  encapsulation: Uint8Array,
  publicKey: Uint8Array,
): Secret {
  const context = concat(encapsulation.subarray(-X25519_LENGTH), publicKey.subarray(-X25519_LENGTH), XWING_LABEL);
  const fill = (bytes: Uint8Array) => {
    bytes.set(agreed.expose());
    bytes.set(context, agreed.length);
  };
  const input = Secret.create('kemSecret', agreed.length + context.length, fill, agreed.id);
  try {
    return Secret.take('kemSecret', provider.hash('sha3-256', input.expose()), input.id);
  } finally {
    input.erase();
  }
}

/** Lends the key of the first message. */
function withContext<T>(input: HpkeInput, kemSecret: Secret, callback: (key: AeadKey, nonce: Uint8Array) => T): T {
  const { key, baseNonce } = keySchedule(input, kemSecret);
  try {
    return callback(key, baseNonce.expose());
  } finally {
    key.erase();
    baseNonce.erase();
  }
}

/** The KEM's secret and all that comes of it but the result are erased. */
function keySchedule(
  { provider, suite, info }: Omit<HpkeInput, 'aad'>,
  kemSecret: Secret,
): { readonly key: AeadKey; readonly baseNonce: Secret } {
  const { kem, aead = 'aes-256-gcm' } = suite;
  const { code, keyLength } = aeads[aead];
  const suiteId = Uint8Array.of(...HPKE, ...u16(kems[kem].code), ...u16(HKDF_SHA256), ...u16(code));
  const pskIdHash = labeledExtract(provider, suiteId, EMPTY, 'psk_id_hash', EMPTY, 'kemContext');
  const infoHash = labeledExtract(provider, suiteId, EMPTY, 'info_hash', info, 'kemContext');
  const context = concat(Uint8Array.of(MODE_BASE), pskIdHash.expose(), infoHash.expose());
  const secret = labeledExtract(provider, suiteId, kemSecret, 'secret', EMPTY);
  const rawKey = labeledExpand(provider, suiteId, secret, 'key', context, keyLength);
  const baseNonce = labeledExpand(provider, suiteId, secret, 'base_nonce', context, NONCE_LENGTH);
  const key = provider.aead(aead, rawKey.expose(), rawKey);
  for (const spent of [kemSecret, pskIdHash, infoHash, secret, rawKey]) {
    spent.erase();
  }
  return { key, baseNonce };
}

function labeledExtract(
  provider: CryptoProvider,
  suiteId: Uint8Array,
  salt: KeyMaterial,
  label: string,
  inputKeyMaterial: KeyMaterial,
  kind = 'kemSecret',
): Secret {
  const prefix = concat(VERSION, suiteId, utf8(label));
  const bytes = exposed(inputKeyMaterial);
  const labeled = new Uint8Array(new ArrayBuffer(prefix.length + bytes.length));
  labeled.set(prefix);
  labeled.set(bytes, prefix.length);
  const made = provider.hmac('sha256', exposed(salt), labeled);
  labeled.fill(0);
  return Secret.take(kind, made, idOf(inputKeyMaterial), idOf(salt));
}

function labeledExpand(
  provider: CryptoProvider,
  suiteId: Uint8Array,
  secret: Secret,
  label: string,
  info: Uint8Array,
  length: number,
): Secret {
  const labeled = concat(u16(length), VERSION, suiteId, utf8(label), info);
  return hkdfExpand(provider, 'sha256', secret, labeled, length, 'kemSecret');
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

const KEM = utf8('KEM');
const HPKE = utf8('HPKE');
const VERSION = utf8('HPKE-v1');
const MODE_BASE = 0;
const HKDF_SHA256 = 0x0001;
const aeads: Readonly<Record<AeadName, { readonly code: number; readonly keyLength: number }>> = {
  'aes-128-gcm': { code: 0x0001, keyLength: 16 },
  'aes-256-gcm': { code: 0x0002, keyLength: 32 },
  'chacha20-poly1305': { code: 0x0003, keyLength: 32 },
};
const SECRET_LENGTH = 32;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const X25519_LENGTH = 32;
const XWING_LABEL = utf8('\\.//^\\');
