/**
 * Early data at a server: whether it is taken, and how much of it may come. Between the hello and EndOfEarlyData the client
 * writes under keys that the PSK alone makes.
 *
 *     ClientHello + early_data, (application data)… ───▶
 *                                         ◀─── ServerHello, {EncryptedExtensions + early_data}, {Finished}, [application data]
 *     (EndOfEarlyData), {Finished} ───▶
 *
 * RFC 9846 §2.3, §4.3.10, §4.6, §4.7.1.
 */

import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { decodeEndOfEarlyData } from '../messages/end-of-early-data.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { checkEarlyData } from '../session/anti-replay.ts';
import type { TicketClaim } from '../session/single-use-register.ts';
import { present } from './present.ts';
import type { ServerHandshake } from './server.ts';
import type { ChosenPsk } from './server-psk.ts';

export class ReceivedEarlyData {
  /** What the client writes with, until the record layer takes it. */
  readonly secret: TrafficSecret;
  /** Bytes that the client was told it may send. */
  readonly #limit: number;
  #left: number;

  constructor(secret: TrafficSecret, limit: number) {
    this.secret = secret;
    this.#limit = limit;
    this.#left = limit;
  }

  /**
   * Counts what came: plaintext alone, without padding and type.
   * @throws TLSError `TLS_ERR_TOO_MUCH_EARLY_DATA`
   */
  take(length: number): void {
    this.#left -= length;
    if (this.#left < 0) {
      throw new TLSError(
        'TLS_ERR_TOO_MUCH_EARLY_DATA',
        `the client sent more early data than the ${this.#limit} bytes that its ticket allows`,
      );
    }
  }
}

/** The PSK is chosen, and its binder is verified: may early data come with it, so far as can be said without the register? */
export function judgeEarlyData(hs: ServerHandshake, chosen: ChosenPsk): void {
  const { earlyData, preSharedKey } = present(hs.hello).extensions;
  if (earlyData === undefined) {
    return;
  }
  hs.earlyDataRefusal = checkEarlyData({
    // Over QUIC early data has rules of its own (RFC 9001 §4.6).
    policy: hs.host.channel.quic === undefined ? present(hs.context).tickets?.earlyData : undefined,
    session: chosen.session,
    selectedIdentity: chosen.index,
    obfuscatedTicketAge: present(preSharedKey).identities[chosen.index].obfuscatedTicketAge,
    pskMode: present(hs.pskMode),
    cipherSuite: present(hs.suite).name,
    now: hs.options.now(),
  });
}

/** Offered, and not refused so far. */
export function mayTakeEarlyData(hs: ServerHandshake): boolean {
  return present(hs.hello).extensions.earlyData !== undefined && hs.earlyDataRefusal === undefined;
}

/** The register was asked for the sake of early data alone: the session resumes whatever it says. */
export function onEarlyDataClaim(hs: ServerHandshake, claim: TicketClaim): void {
  if (claim !== 'fresh') {
    hs.earlyDataRefusal = claim === 'used' ? 'used_ticket' : 'register_full';
  }
}

/** Once the hello is in the transcript: makes the keys for early data, or has it skipped. */
export function settleEarlyData(hs: ServerHandshake, suite: CipherSuite): void {
  if (present(hs.hello).extensions.earlyData === undefined) {
    return;
  }
  const { session } = hs.psk ?? {};
  if (session === undefined) {
    hs.earlyDataRefusal ??= 'not_resumed';
  }
  if (hs.earlyDataRefusal !== undefined || session === undefined) {
    hs.host.channel.skipEarlyData('undecryptable', largestEarlyData(hs));
    return;
  }
  const secret = present(hs.earlySecret).clientEarlyTrafficSecret(suite, hs.transcript.digest());
  hs.earlyData = new ReceivedEarlyData(secret, session.maxEarlyDataSize ?? 0);
}

/** Bytes that our tickets allow. */
export function largestEarlyData(hs: ServerHandshake): number | undefined {
  return present(hs.context).tickets?.earlyData?.maxEarlyDataSize;
}

/** From here on the client writes under its handshake keys. EndOfEarlyData is in the transcript already, as it is always the same. */
export function onEndOfEarlyData(hs: ServerHandshake, message: JoinedMessage): 'ExpectFinished' {
  const { channel } = hs.host;
  decodeEndOfEarlyData(message.body);
  channel.protectRead(present(hs.clientHandshakeSecret), channel.joiner.boundary());
  return 'ExpectFinished';
}
