/**
 * The cryptographic provider: everything the protocol needs from outside, as one interface. The provider over
 * `node:crypto` is in `node-provider.ts`; tests wrap it to replay traces.
 */

import type { Secret } from '../bytes/secret.ts';
import type { FfdheGroup } from './dhe-groups.ts';
import type { NamedGroup } from './groups.ts';
import type { KeyType, SignatureScheme } from './signatures.ts';
import type { AeadName, HashName } from './suites.ts';

/** A hash over a growing input whose value can be read at any point. */
export interface RunningHash {
  update(data: Uint8Array): void;
  /** The value so far; the hash goes on. */
  digest(): Uint8Array;
  /** Another hash over the same input so far. */
  copy(): RunningHash;
  /** The value was read for the last time: what the input was kept in may serve another hash. */
  end(): void;
}

/** One AEAD key, bound to its algorithm. 12-byte nonces, 16-byte tags. */
export interface AeadKey {
  /**
   * Encrypts `plaintext` and writes ciphertext ‖ tag (`plaintext.length + 16` bytes) into `out` at `offset`.
   * `out` must not overlap `plaintext`.
   */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void;
  /**
   * Decrypts `sealed` (ciphertext ‖ tag) into an allocation of its own, or returns undefined when it is not authentic.
   * Nothing unauthenticated is ever returned.
   */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** Erases the key. Later calls throw `TLS_ERR_SECRET_ERASED`. */
  erase(why?: string): void;
}

/** One key of QUIC's header protection (RFC 9001 §5.4). */
export interface HeaderProtectionKey {
  /** Five bytes from a sample of sixteen. */
  mask(sample: Uint8Array): Uint8Array;
  /** Erases the key. Later calls throw `TLS_ERR_SECRET_ERASED`. */
  erase(why?: string): void;
}

/** A client's one-use key share. */
export interface KeyShare {
  readonly group: NamedGroup;
  /** The key_exchange field to send. */
  readonly publicKey: Uint8Array;
  /**
   * Completes the exchange with the server's key_exchange and erases the private part: a second call throws.
   * @throws TLSError `TLS_ERR_BAD_KEY_SHARE` wrong length, off the curve, small order (all-zero result)
   */
  agree(peerKeyExchange: Uint8Array): Secret;
  /** Erases the private part unused. Idempotent. */
  erase(): void;
}

/** One side's one-use share of a finite field group, for TLS 1.2's DHE suites. */
export interface DheShare {
  readonly group: FfdheGroup;
  /** Big-endian, padded to the length of the prime. */
  readonly publicKey: Uint8Array;
  /**
   * The premaster secret: the agreed number without leading zero bytes (RFC 5246 §8.1.2). Ends the private part,
   * whatever the outcome: a second call throws.
   * @throws TLSError `TLS_ERR_BAD_KEY_SHARE` unless 1 < y < p - 1
   */
  agree(peerPublicKey: Uint8Array): Secret;
  /** Ends the private part unused. Idempotent. */
  erase(): void;
}

/** What a server gets from a client's key share: its own key_exchange to send, and the shared secret. */
export interface Encapsulation {
  readonly keyExchange: Uint8Array;
  readonly sharedSecret: Secret;
}

/** A public key taken from a certificate. Opaque outside the provider. */
export interface PublicKey {
  readonly type: KeyType;
  /** The TLS 1.3 schemes it can check, best first: those of its type, fewer for an RSA-PSS key with restrictions. */
  readonly schemes: readonly SignatureScheme[];
}

/** A private key held in this process. Opaque outside the provider; never printed. */
export interface PrivateKey {
  readonly type: KeyType;
  /** The TLS 1.3 schemes it can make, best first: those of its type, fewer for an RSA-PSS key with restrictions. */
  readonly schemes: readonly SignatureScheme[];
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeySpki: Uint8Array;
}

/** Algorithms for certificate chains by their registered names (RFC 8879 §7.3). */
export type CertificateCompression = 'zlib' | 'brotli' | 'zstd';

export interface CryptoProvider {
  /** Fills `bytes` with secure randomness. */
  random(bytes: Uint8Array): void;

  /** SHA3-256 is for X-Wing alone. */
  hash(name: HashName | 'sha3-256', data: Uint8Array): Uint8Array;
  createHash(name: HashName): RunningHash;
  /**
   * HMAC (RFC 2104) of `data` under `key`, as bytes that the caller owns and erases, on an allocation of their own outside
   * of the moving heap.
   */
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /**
   * The same for a `key` that is secret and random, e.g. made by a key schedule; faster. Not for a PSK from outside, which
   * may be guessed, nor for HKDF-Extract, whose key may be known.
   */
  hmacOfRandomKey(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /**
   * As `hmacOfRandomKey`, for a value that is told to the peer, or from which nothing follows without the key; faster still.
   * What is returned is not for keeping, and nothing that was it can be relied on to be erased.
   */
  publicHmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array;

  /**
   * Bytes are copied: the caller erases its own; `from` is the secret that they are made from, for the ledger alone. A
   * `Secret` is taken over, and ends.
   */
  aead(name: AeadName, key: Uint8Array | Secret, from?: Secret): AeadKey;
  /** For QUIC: the header protection that goes with this AEAD. Copies the key in, which is as long as the AEAD's. */
  headerProtection(name: AeadName, key: Uint8Array, from?: Secret): HeaderProtectionKey;

  /** True when this Node (or a dependency) can do the group. */
  supportsGroup(group: NamedGroup): boolean;
  /** A fresh one-use share for a ClientHello. */
  generateKeyShare(group: NamedGroup): KeyShare;
  /**
   * The server's half: makes a fresh share, completes the exchange with the client's key_exchange, erases the private
   * part.
   * @throws TLSError `TLS_ERR_BAD_KEY_SHARE`
   */
  encapsulate(group: NamedGroup, clientKeyExchange: Uint8Array): Encapsulation;
  /** A fresh one-use share of a finite field group, for either end of a DHE suite. */
  generateDheShare(group: FfdheGroup): DheShare;

  /** @throws TLSError `TLS_ERR_BAD_KEY` when it cannot be read or is of an unsupported type or size */
  importPrivateKey(key: string | Uint8Array | object, passphrase?: string): PrivateKey;
  /**
   * From SubjectPublicKeyInfo, DER.
   * @throws TLSError `TLS_ERR_UNSUPPORTED_CERTIFICATE` unsupported type, curve or size
   */
  importPublicKey(spki: Uint8Array): PublicKey;
  sign(scheme: SignatureScheme, key: PrivateKey, data: Uint8Array): Uint8Array;
  /** As `sign`, on another thread; it rejects with what `sign` throws. */
  signLater(scheme: SignatureScheme, key: PrivateKey, data: Uint8Array): Promise<Uint8Array>;
  /** False as well for a key that cannot make the scheme. */
  verify(scheme: SignatureScheme, key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean;

  /**
   * As `verify`, by the rules of TLS 1.2: an ECDSA scheme names a hash only, and goes with any curve (RFC 8422 §5.1.3).
   */
  verifyTls12(scheme: SignatureScheme, key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean;

  /** What `compress` and `decompress` can do here, best first. */
  readonly certificateCompressions: readonly CertificateCompression[];
  compress(algorithm: CertificateCompression, bytes: Uint8Array): Uint8Array;
  /** Exactly `length` bytes, or undefined when that is not what comes out; takes no more memory than that. */
  decompress(algorithm: CertificateCompression, compressed: Uint8Array, length: number): Uint8Array | undefined;

  /** Equality in constant time (of equal lengths). */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}
