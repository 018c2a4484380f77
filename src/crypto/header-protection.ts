/**
 * QUIC header protection over `node:crypto`: a mask of five bytes from a sample of the ciphertext.
 *
 *     AES:      mask = AES-ECB(hp_key, sample)
 *     ChaCha20: mask = ChaCha20(hp_key, counter = sample[0..4), nonce = sample[4..16), five zero bytes)
 *
 * RFC 9001 §5.4.3, §5.4.4.
 */

import { type Cipher, createCipheriv } from 'node:crypto';
import { Secret } from '../bytes/secret.ts';
import { TLSError } from '../errors.ts';
import type { HeaderProtectionKey } from './provider.ts';
import type { AeadName } from './suites.ts';

/** Bytes. */
const SAMPLE_LENGTH = 16;
const MASK_LENGTH = 5;

const keyLengths: Record<AeadName, number> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 };

export class NodeHeaderProtectionKey implements HeaderProtectionKey {
  readonly #aead: AeadName;
  readonly #key: Secret;

  constructor(aead: AeadName, key: Uint8Array, from?: Secret) {
    if (key.length !== keyLengths[aead]) {
      throw new TLSError(
        'TLS_ERR_INTERNAL',
        `header protection for ${aead} takes a key of ${keyLengths[aead]} bytes, not ${key.length}`,
      );
    }
    this.#aead = aead;
    this.#key = Secret.copy('headerProtectionKey', key, from?.id);
  }

  mask(sample: Uint8Array): Uint8Array {
    if (sample.length !== SAMPLE_LENGTH) {
      throw new TLSError('TLS_ERR_INTERNAL', `a sample has ${SAMPLE_LENGTH} bytes, not ${sample.length}`);
    }
    const isChaCha = this.#aead === 'chacha20-poly1305';
    const made = isChaCha ? this.#chaCha(sample) : this.#aes(sample);
    return new Uint8Array(made.subarray(0, MASK_LENGTH));
  }

  erase(why?: string): void {
    this.#key.erase(why);
  }

  #aes(sample: Uint8Array): Uint8Array {
    const cipher: Cipher = createCipheriv(
      this.#aead === 'aes-128-gcm' ? 'aes-128-ecb' : 'aes-256-ecb',
      this.#key.expose(),
      null,
    );
    cipher.setAutoPadding(false);
    const mask = cipher.update(sample);
    // OpenSSL erases its copy of the key then, and not when the collector comes to it.
    cipher.final();
    return mask;
  }

  /** OpenSSL's IV for ChaCha20 is the counter, little-endian, and the nonce: the sample as it stands. */
  #chaCha(sample: Uint8Array): Uint8Array {
    const cipher = createCipheriv('chacha20', this.#key.expose(), sample);
    const mask = cipher.update(new Uint8Array(MASK_LENGTH));
    cipher.final();
    return mask;
  }
}
