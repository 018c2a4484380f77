/**
 * Transcript: the running hash of the handshake messages. Messages that come before the hash is known are kept.
 *
 * RFC 9846 §4.1 (the transcript hash and its form after a HelloRetryRequest).
 */

import type { CryptoProvider, RunningHash } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { messageHash } from '../messages/message-hash.ts';

export class Transcript {
  readonly #provider: CryptoProvider;
  #early: Uint8Array[] = [];
  #hash: RunningHash | undefined;
  #hashName: HashName | undefined;

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  /** Adds a whole message with its header, or the next part of one. Kept by reference until the hash is known. */
  add(message: Uint8Array): void {
    if (this.#hash === undefined) {
      this.#early.push(message);
      return;
    }
    this.#hash.update(message);
  }

  /** Fixes the hash, once the cipher suite is chosen. A second call must name the same one. */
  start(hash: HashName): void {
    if (this.#hash !== undefined) {
      if (this.#hashName !== hash) {
        throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the hash changed between HelloRetryRequest and ServerHello');
      }
      return;
    }
    this.#hashName = hash;
    this.#hash = this.#provider.createHash(hash);
    for (const message of this.#early) {
      this.#hash.update(message);
    }
    this.#early = [];
  }

  /** The transcript hash so far. */
  digest(): Uint8Array {
    return this.#running().digest();
  }

  /** Replaces the first ClientHello with its hash, before a HelloRetryRequest is added. */
  replaceWithMessageHash(): void {
    const replaced = messageHash(this.#running().digest());
    this.#hash = this.#provider.createHash(this.#hashName as HashName);
    this.#hash.update(replaced);
  }

  #running(): RunningHash {
    if (this.#hash === undefined) {
      throw new TLSError('TLS_ERR_INTERNAL', 'the transcript was read before the hash was chosen');
    }
    return this.#hash;
  }
}
