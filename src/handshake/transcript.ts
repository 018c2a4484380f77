/**
 * Transcript: the running hash of the handshake messages. Messages that come before the hash is known are kept.
 *
 * RFC 9846 §4.1 (the transcript hash and its form after a HelloRetryRequest).
 */

import { concat } from '../bytes/bytes.ts';
import type { CryptoProvider, RunningHash } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { messageHash } from '../messages/message-hash.ts';

export class Transcript {
  readonly #provider: CryptoProvider;
  #early: Uint8Array[] = [];
  #hash: RunningHash | undefined;
  #hashName: HashName | undefined;
  /** Of all messages so far, once it was asked for. */
  #digest: Uint8Array | undefined;
  /** TLS 1.2 client certificates: their signature covers the messages themselves (RFC 5246 §7.4.8). */
  #kept: Uint8Array[] | undefined;

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  /** Adds a whole message with its header, or the next part of one. Kept by reference until the hash is known. */
  add(message: Uint8Array): void {
    this.#kept?.push(new Uint8Array(message));
    if (this.#hash === undefined) {
      this.#early.push(message);
      return;
    }
    this.#digest = undefined;
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

  /** The transcript hash so far: not to be written to, as who asks again gets the same. */
  digest(): Uint8Array {
    this.#digest ??= this.#running().digest();
    return this.#digest;
  }

  /** Another transcript that goes on from here. */
  fork(): Transcript {
    const fork = new Transcript(this.#provider);
    fork.#hashName = this.#hashName;
    fork.#hash = this.#running().copy();
    return fork;
  }

  /** It was read for the last time. */
  end(): void {
    this.#hash?.end();
    this.#hash = undefined;
  }

  /** Keeps the messages from the first one on. */
  keepMessages(): void {
    this.#kept = [];
  }

  /** All messages so far, joined; they are dropped. */
  takeMessages(): Uint8Array {
    const messages = concat(...(this.#kept ?? []));
    this.#kept = undefined;
    return messages;
  }

  /** Replaces the first ClientHello with its hash, before a HelloRetryRequest is added. */
  replaceWithMessageHash(): void {
    const replaced = messageHash(this.digest());
    this.#digest = undefined;
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
