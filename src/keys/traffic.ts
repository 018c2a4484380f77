/**
 * Traffic secrets and the record keys made from them.
 *
 *     [sender]_write_key = HKDF-Expand-Label(Secret, "key", "", key_length)
 *     [sender]_write_iv  = HKDF-Expand-Label(Secret, "iv", "", 12)
 *     application_traffic_secret_N+1 = HKDF-Expand-Label(application_traffic_secret_N, "traffic upd", "", Hash.length)
 *
 * RFC 9846 §7.2, §7.3.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import type { TrafficKeys } from '../record/traffic-keys.ts';
import { expandLabel, PreparedLabel } from './hkdf.ts';

/** The labels of RFC 9850, which are also the names of the secrets in the ledger and the key log. */
export type TrafficSecretLabel =
  | 'CLIENT_EARLY_TRAFFIC_SECRET'
  | 'CLIENT_HANDSHAKE_TRAFFIC_SECRET'
  | 'SERVER_HANDSHAKE_TRAFFIC_SECRET'
  | 'CLIENT_TRAFFIC_SECRET'
  | 'SERVER_TRAFFIC_SECRET';

const IV_LENGTH = 12;
const KEY = new PreparedLabel('key');
const IV = new PreparedLabel('iv');
const FINISHED = new PreparedLabel('finished');
const TRAFFIC_UPDATE = new PreparedLabel('traffic upd');

export class TrafficSecret {
  readonly label: TrafficSecretLabel;
  /** KeyUpdates since the handshake. */
  readonly generation: number;
  readonly suite: CipherSuite;
  readonly #provider: CryptoProvider;
  readonly #secret: Secret;

  constructor(provider: CryptoProvider, suite: CipherSuite, label: TrafficSecretLabel, secret: Secret, generation = 0) {
    this.#provider = provider;
    this.suite = suite;
    this.label = label;
    this.#secret = secret;
    this.generation = generation;
  }

  /** The record keys of this secret; the caller erases them once they are in the record layer. */
  trafficKeys(): TrafficKeys {
    return {
      writeKey: this.#expand(KEY, this.suite.keyLength, 'writeKey'),
      writeIv: this.#expand(IV, IV_LENGTH, 'writeIv'),
    };
  }

  /** finished_key (RFC 9846 §4.5.3). */
  finishedKey(): Secret {
    return this.#expand(FINISHED, this.suite.hashLength, 'finishedKey');
  }

  /** The next generation; this one is erased. */
  next(): TrafficSecret {
    const secret = this.#expand(TRAFFIC_UPDATE, this.suite.hashLength, this.label);
    this.erase('key update');
    return new TrafficSecret(this.#provider, this.suite, this.label, secret, this.generation + 1);
  }

  /** The secret itself, for who makes record keys of another kind from it: a copy, with an end of its own. */
  copy(): Secret {
    return this.#secret.clone();
  }

  /** Lends the bytes: for the key log only. */
  use<T>(callback: (bytes: Uint8Array) => T): T {
    return this.#secret.use(callback);
  }

  erase(why?: string): void {
    this.#secret.erase(why);
  }

  #expand(label: PreparedLabel, length: number, kind: string): Secret {
    return expandLabel(this.#provider, this.suite.hash, this.#secret, label, EMPTY, length, kind);
  }
}
