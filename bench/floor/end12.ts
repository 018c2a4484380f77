/** What both ends of TLS 1.2 calculate once they have the master secret. RFC 5246 §6.3, §7.4.9, §8.1; RFC 7627 §4. */

import type { CryptoProvider, RunningHash } from '../../src/crypto/provider.ts';
import { CHANGE_CIPHER_SPEC, type Direction, type End, type Session, type Traffic } from './kinds.ts';
import { FINISHED, type Kind12, MASTER_SECRET, seeds, VERIFY_DATA, VERIFY_DATA_AT } from './messages12.ts';
import { keyBlock, prf } from './schedule.ts';

export abstract class End12 implements End {
  abstract awaits: number;
  traffic: Traffic | undefined;
  protected readonly provider: CryptoProvider;
  protected readonly kind: Kind12;
  protected readonly transcript: RunningHash;
  protected readonly peer: 'client' | 'server';
  protected master: Uint8Array | undefined;
  protected clientRandom: Uint8Array | undefined;
  /** The session hash, which is also what the client's Finished is over. */
  #hash: Uint8Array | undefined;
  #keys: { readonly client: Direction; readonly server: Direction } | undefined;

  protected constructor(provider: CryptoProvider, kind: Kind12, peer: 'client' | 'server') {
    this.provider = provider;
    this.kind = kind;
    this.peer = peer;
    this.transcript = provider.createHash('sha256');
  }

  abstract take(flight: Uint8Array, out: Uint8Array): number;

  protected makeMaster(shared: Uint8Array): void {
    this.#hash = this.transcript.digest();
    const seed = seeds.masterSecret.fill(this.#hash);
    this.master = prf(this.provider, shared, seed, true).subarray(0, MASTER_SECRET);
  }

  protected makeKeys(serverRandom: Uint8Array): void {
    const { provider, clientRandom } = this;
    const seed = seeds.keyExpansion.fill(serverRandom, clientRandom);
    this.#keys = keyBlock(provider, prf(provider, this.#secret, seed, true));
  }

  /** change_cipher_spec and Finished at `out[at…]`; where they end. */
  protected finish(out: Uint8Array, at: number): number {
    const own = this.peer === 'client' ? 'server' : 'client';
    message.set(this.#verifyData(own), VERIFY_DATA_AT);
    this.transcript.update(message);
    out.set(CHANGE_CIPHER_SPEC, at);
    return this.#direction(own).seal(22, message, out, at + CHANGE_CIPHER_SPEC.length);
  }

  /** The peer's, which ends the flight. */
  protected takeFinished(flight: Uint8Array, at: number): void {
    const { provider, peer } = this;
    const opened = this.#direction(peer).open(flight, at + CHANGE_CIPHER_SPEC.length, flight.length);
    if (!provider.equal(this.#verifyData(peer), opened.subarray(VERIFY_DATA_AT))) {
      throw new Error(`the ${peer}'s Finished of the floor is wrong`);
    }
    this.transcript.update(opened);
  }

  protected complete(): void {
    const { peer } = this;
    this.transcript.end();
    this.awaits = 0;
    this.traffic = { send: this.#direction(peer === 'client' ? 'server' : 'client'), receive: this.#direction(peer) };
  }

  protected sessionOf(identity: Uint8Array | undefined): Session {
    if (this.traffic === undefined || identity === undefined) {
      throw new Error('the floor has no session yet');
    }
    return { secret: this.#secret, identity };
  }

  #verifyData(sender: 'client' | 'server'): Uint8Array {
    const seed = seeds[sender].fill(this.#hash ?? this.transcript.digest());
    this.#hash = undefined;
    return prf(this.provider, this.#secret, seed, false).subarray(0, VERIFY_DATA);
  }

  #direction(sender: 'client' | 'server'): Direction {
    if (this.#keys === undefined) {
      throw new Error('the floor is out of order');
    }
    return this.#keys[sender];
  }

  get #secret(): Uint8Array {
    if (this.master === undefined) {
      throw new Error('the floor is out of order');
    }
    return this.master;
  }
}

const message = new Uint8Array(FINISHED);
