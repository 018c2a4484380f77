/**
 * The handshake's side of QUIC: in place of a record layer, messages go in and out as bytes of CRYPTO streams, one per
 * encryption level, and the traffic secrets are handed to the QUIC stack, which protects its packets with them.
 *
 *     level      initial ─▶ handshake ─▶ application        (earlyData carries no handshake bytes)
 *     secrets               both          write, read
 *
 * RFC 9001 §4.1.3, §4.1.4, §4.9.
 */

import { concat } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { MessageJoiner, type RecordBoundary } from '../messages/message-joiner.ts';
import type { HandshakeChannel, QuicSide } from './channel.ts';

/** RFC 9001 §2.1: packets of type Initial, 0-RTT, Handshake and 1-RTT. */
export type EncryptionLevel = 'initial' | 'earlyData' | 'handshake' | 'application';

export type QuicChannelAction =
  /** Send these bytes in CRYPTO frames of this level, after all that was given for it before. */
  | { readonly kind: 'handshakeBytes'; readonly level: EncryptionLevel; readonly bytes: Uint8Array }
  /**
   * Packets of this level and direction are protected with this secret from now on (see `QuicPacketProtection`). The host
   * owns the secret and erases it.
   */
  | {
      readonly kind: 'secrets';
      readonly level: Exclude<EncryptionLevel, 'initial'>;
      readonly direction: 'read' | 'write';
      readonly suite: CipherSuite;
      readonly secret: Secret;
    }
  /**
   * The keys of this level have to go now at the latest (RFC 9001 §4.9). A client discards those of 'handshake' by itself,
   * when HANDSHAKE_DONE confirms the handshake: that frame is not TLS's.
   */
  | { readonly kind: 'discardKeys'; readonly level: EncryptionLevel }
  /** The peer's, authentic only once the handshake is complete (RFC 9001 §8.2). */
  | { readonly kind: 'transportParameters'; readonly bytes: Uint8Array };

export interface QuicChannelOptions {
  readonly role: 'client' | 'server';
  readonly transportParameters: Uint8Array;
  readonly emit: (action: QuicChannelAction) => void;
}

export class QuicChannel implements HandshakeChannel {
  readonly joiner: MessageJoiner = new MessageJoiner();
  readonly quic: QuicSide;
  /** QUIC counts what its packets carry. */
  readonly writable: number = Number.POSITIVE_INFINITY;
  readonly maxFragment: number = 1;
  readonly #role: 'client' | 'server';
  readonly #emit: (action: QuicChannelAction) => void;
  #readLevel: EncryptionLevel = 'initial';
  #writeLevel: EncryptionLevel = 'initial';
  #pending: Uint8Array[] = [];
  /** The handshake's own, for as long as Finished is made of them; the host has copies. */
  #readSecret: TrafficSecret | undefined;
  #writeSecret: TrafficSecret | undefined;
  #initialDiscarded = false;
  #earlyWrite = false;
  #complete = false;

  constructor({ role, transportParameters, emit }: QuicChannelOptions) {
    this.#role = role;
    this.#emit = emit;
    this.quic = {
      transportParameters,
      receivedTransportParameters: (bytes) => emit({ kind: 'transportParameters', bytes }),
    };
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` a level for which no read secret was handed out yet */
  checkReadable(level: EncryptionLevel): void {
    if (level !== 'earlyData' && order.indexOf(level) > order.indexOf(this.#readLevel)) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `there are no keys yet to read the level ${level}`);
    }
  }

  /**
   * Adds bytes of a CRYPTO stream, in order and without repetitions.
   * @throws TLSError `TLS_ERR_QUIC_PROTOCOL` of a level that is over, or of 'earlyData'
   */
  receive(level: EncryptionLevel, bytes: Uint8Array): void {
    if (level !== this.#readLevel) {
      throw new TLSError(
        'TLS_ERR_QUIC_PROTOCOL',
        `handshake bytes came at the level ${level}, where only those of ${this.#readLevel} may come`,
      );
    }
    if (level === 'handshake' && this.#role === 'server') {
      this.#discardInitial();
    }
    this.joiner.add(bytes);
  }

  handshake(raw: Uint8Array): void {
    this.#pending.push(raw);
  }

  /**
   * Hands out what was written. What a server writes for 'application' waits for the handshake's completion: tickets in the
   * first flight would count against what it may send to an address that is not validated (RFC 9000 §8.1).
   */
  flush(): void {
    const level = this.#writeLevel;
    if (this.#pending.length === 0 || (level === 'application' && !this.#complete)) {
      return;
    }
    const bytes = concat(...this.#pending);
    this.#pending = [];
    this.#emit({ kind: 'handshakeBytes', level, bytes });
    if (level === 'handshake' && this.#role === 'client') {
      this.#discardInitial();
    }
  }

  /** A server's handshake is confirmed with this (RFC 9001 §4.1.2); a client's when HANDSHAKE_DONE comes. */
  complete(): void {
    this.#complete = true;
    if (this.#role === 'server') {
      this.#emit({ kind: 'discardKeys', level: 'handshake' });
    }
  }

  protectRead(secret: TrafficSecret, _boundary: RecordBoundary): void {
    const level = this.#handOut(secret, 'read');
    if (level === 'earlyData') {
      // What it protects is the QUIC stack's alone: the handshake goes on where it was.
      secret.erase('handed to the QUIC stack');
      return;
    }
    this.#readSecret?.erase('next key');
    this.#readLevel = level;
    this.#readSecret = keepForFinished(level, secret);
  }

  protectWrite(secret: TrafficSecret): void {
    this.flush();
    const level = this.#handOut(secret, 'write');
    this.#writeSecret?.erase('next key');
    this.#writeLevel = level;
    this.#writeSecret = keepForFinished(level, secret);
    if (level === 'application') {
      this.endEarlyWrite();
    }
  }

  protectEarlyWrite(secret: TrafficSecret): void {
    this.flush();
    this.#handOut(secret, 'write');
    this.#earlyWrite = true;
    secret.erase('handed to the QUIC stack');
  }

  /** There is no EndOfEarlyData in QUIC (RFC 9001 §8.3). */
  endEarlyWrite(): void {
    if (this.#earlyWrite) {
      this.#earlyWrite = false;
      this.#emit({ kind: 'discardKeys', level: 'earlyData' });
    }
  }

  get protectsWrites(): boolean {
    return this.#writeLevel !== 'initial';
  }

  // There are no records: nothing to limit, to skip or to imitate.

  changeCipherSpec(): void {}

  allowChangeCipherSpec(): void {}

  skipEarlyData(): void {}

  limitSentRecords(): void {}

  limitReceivedRecords(): void {}

  limitFragments(): void {}

  erase(why: string): void {
    this.#readSecret?.erase(why);
    this.#writeSecret?.erase(why);
    this.#pending = [];
  }

  #handOut(secret: TrafficSecret, direction: 'read' | 'write'): Exclude<EncryptionLevel, 'initial'> {
    const level = levelOf(secret.label);
    const copy = secret.copy();
    this.#emit({ kind: 'secrets', level, direction, suite: secret.suite, secret: copy });
    return level;
  }

  #discardInitial(): void {
    if (!this.#initialDiscarded) {
      this.#initialDiscarded = true;
      this.#emit({ kind: 'discardKeys', level: 'initial' });
    }
  }
}

/** Finished is made from the handshake traffic secrets; nothing of TLS is made from those of the application. */
function keepForFinished(level: EncryptionLevel, secret: TrafficSecret): TrafficSecret | undefined {
  if (level === 'handshake') {
    return secret;
  }
  secret.erase('handed to the QUIC stack');
  return undefined;
}

function levelOf(label: TrafficSecret['label']): Exclude<EncryptionLevel, 'initial'> {
  switch (label) {
    case 'CLIENT_EARLY_TRAFFIC_SECRET':
      return 'earlyData';
    case 'CLIENT_HANDSHAKE_TRAFFIC_SECRET':
    case 'SERVER_HANDSHAKE_TRAFFIC_SECRET':
      return 'handshake';
    case 'CLIENT_TRAFFIC_SECRET':
    case 'SERVER_TRAFFIC_SECRET':
      return 'application';
  }
}

/** Of CRYPTO streams. */
const order: readonly EncryptionLevel[] = ['initial', 'handshake', 'application'];
