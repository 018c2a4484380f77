/**
 * AEAD keys over `node:crypto`: AES-GCM (RFC 5116 §5, NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439 §2.8), with
 * 12-byte nonces and 16-byte tags.
 *
 *     sealed = ciphertext || tag
 */

import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { giveBack } from '../bytes/give-back.ts';
import { Secret } from '../bytes/secret.ts';
import { TLSError } from '../errors.ts';
import { secretBorn } from '../ledger/channels.ts';
import type { AeadKey } from './provider.ts';
import type { AeadName } from './suites.ts';

const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const TAG_OPTIONS = { authTagLength: TAG_LENGTH };

const keyLengths: Record<AeadName, number> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 };

export class NodeAeadKey implements AeadKey {
  // The types know the AEAD methods by a literal algorithm name; ChaCha20-Poly1305 has the same ones as GCM.
  readonly #algorithm: CipherGCMTypes;
  readonly #key: Secret;
  /** Only while somebody listens. */
  readonly #uses: { records: number; bytes: number } | undefined;

  constructor(name: AeadName, key: Uint8Array | Secret, from?: Secret) {
    if (key.length !== keyLengths[name]) {
      throw new TLSError('TLS_ERR_INTERNAL', `${name} takes a key of ${keyLengths[name]} bytes, not ${key.length}`);
    }
    this.#algorithm = name as CipherGCMTypes;
    this.#uses = secretBorn.hasSubscribers ? { records: 0, bytes: 0 } : undefined;
    this.#key =
      key instanceof Secret
        ? Secret.adopt('aeadKey', key.surrender('handed to the cipher'), keyLengths[name], key.id, 0, this.#uses)
        : Secret.copy('aeadKey', key, from?.id, this.#uses);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    const key = this.#usable(nonce);
    const end = offset + plaintext.length;
    if (end + TAG_LENGTH > out.length) {
      throw new TLSError(
        'TLS_ERR_INTERNAL',
        `${plaintext.length} bytes and a tag do not fit at ${offset} of ${out.length}`,
      );
    }
    const cipher = createCipheriv(this.#algorithm, key, nonce, TAG_OPTIONS);
    cipher.setAAD(aad);
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    out.set(ciphertext, offset);
    out.set(cipher.getAuthTag(), end);
    this.#count(plaintext.length);
    giveBack(ciphertext);
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const key = this.#usable(nonce);
    const end = sealed.length - TAG_LENGTH;
    if (end < 0) {
      return undefined;
    }
    const decipher = createDecipheriv(this.#algorithm, key, nonce, TAG_OPTIONS);
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(end));
    const plaintext = decipher.update(sealed.subarray(0, end));
    try {
      decipher.final();
    } catch {
      plaintext.fill(0);
      return undefined;
    }
    this.#count(plaintext.length);
    return plaintext;
  }

  erase(why?: string): void {
    this.#key.erase(why);
  }

  #count(bytes: number): void {
    const uses = this.#uses;
    if (uses !== undefined) {
      uses.records += 1;
      uses.bytes += bytes;
    }
  }

  #usable(nonce: Uint8Array): Uint8Array {
    if (nonce.length !== NONCE_LENGTH) {
      throw new TLSError('TLS_ERR_INTERNAL', `a nonce has ${NONCE_LENGTH} bytes, not ${nonce.length}`);
    }
    return this.#key.expose();
  }
}
