/**
 * What a TLS 1.2 handshake makes from its premaster secret, or from the master secret of a session it resumes.
 *
 *     preMasterSecret ─▶ masterSecret ─▶ key block ─▶ two write keys and two implicit nonces
 *
 * A resumed connection has the session's master secret but its own randoms, so its record keys are its own.
 * RFC 5246 §6.3, §8.1; RFC 7627.
 */

import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite12 } from '../crypto/suites12.ts';
import { Tls12Exporter } from '../keys/exporter.ts';
import { extendedMasterSecret, finishedVerifyData12, keyBlock, legacyMasterSecret } from '../keys/tls12-prf.ts';
import type { RecordBoundary } from '../messages/message-joiner.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import type { RecordChannel } from './record-channel.ts';

export interface Tls12KeysOptions {
  readonly provider: CryptoProvider;
  readonly suite: CipherSuite12;
  readonly role: 'client' | 'server';
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
  readonly extendedMasterSecret: boolean;
}

export class Tls12Keys {
  readonly options: Tls12KeysOptions;
  readonly masterSecret: Secret;
  #write: TrafficKeys | undefined;
  #read: TrafficKeys | undefined;

  private constructor(options: Tls12KeysOptions, masterSecret: Secret) {
    const { provider, suite, clientRandom, serverRandom, role } = options;
    this.options = options;
    this.masterSecret = masterSecret;
    const { client, server } = keyBlock({
      provider,
      hash: suite.hash,
      masterSecret,
      clientRandom,
      serverRandom,
      keyLength: suite.keyLength,
      ivLength: suite.ivLength,
    });
    this.#write = role === 'client' ? client : server;
    this.#read = role === 'client' ? server : client;
  }

  /**
   * From a fresh key exchange, whose result is erased. `sessionHash` covers ClientHello…ClientKeyExchange.
   */
  static exchanged(options: Tls12KeysOptions, preMasterSecret: Secret, sessionHash: Uint8Array): Tls12Keys {
    const { provider, suite, clientRandom, serverRandom } = options;
    const masterSecret = options.extendedMasterSecret
      ? extendedMasterSecret(provider, suite.hash, preMasterSecret, sessionHash)
      : legacyMasterSecret(provider, suite.hash, preMasterSecret, clientRandom, serverRandom);
    return new Tls12Keys(options, masterSecret);
  }

  /** From a session's master secret, which is taken over. */
  static resumed(options: Tls12KeysOptions, masterSecret: Secret): Tls12Keys {
    return new Tls12Keys(options, masterSecret);
  }

  /** 12 bytes; `transcriptHash` covers all messages before this Finished. */
  verifyData(sender: 'client' | 'server', transcriptHash: Uint8Array): Uint8Array {
    const { provider, suite } = this.options;
    return finishedVerifyData12({
      provider,
      hash: suite.hash,
      masterSecret: this.masterSecret,
      sender,
      transcriptHash,
    });
  }

  /** Of this connection; takes our master secret over. */
  exporter(): Tls12Exporter {
    const { masterSecret } = this;
    const { provider, suite, clientRandom, serverRandom, extendedMasterSecret } = this.options;
    return new Tls12Exporter({
      provider,
      hash: suite.hash,
      masterSecret,
      clientRandom,
      serverRandom,
      extendedMasterSecret,
    });
  }

  /** From the next record on we seal with our new key. */
  protectWrite(channel: RecordChannel): void {
    if (this.#write !== undefined) {
      channel.protectWriteTls12(this.options.suite, this.#write);
      this.#write = undefined;
    }
  }

  /** From the next record on we open with the peer's new key. */
  protectRead(channel: RecordChannel, boundary: RecordBoundary): void {
    if (this.#read !== undefined) {
      channel.protectReadTls12(this.options.suite, this.#read, boundary);
      this.#read = undefined;
    }
  }

  erase(why: string): void {
    this.masterSecret.erase(why);
    for (const keys of [this.#write, this.#read]) {
      keys?.writeKey.erase(why);
      keys?.writeIv.erase(why);
    }
  }
}
