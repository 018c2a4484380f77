/**
 * Early data of a client: what it may send before the server has answered, and what became of it.
 *
 *     ClientHello + early_data, (change_cipher_spec), (application data) ───▶
 *                                        ◀─── ServerHello, {EncryptedExtensions + early_data}, {Finished}
 *     (EndOfEarlyData), {Finished} ───▶
 *
 * It is protected by the session's PSK alone: not forward secret, and whoever records the first flight can send it again.
 *
 * RFC 9846 §2.3, §4.3.10, §4.6, §8.
 */

import { concat } from '../bytes/bytes.ts';
import type { ClientOptions } from '../connection-options.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { encodeEndOfEarlyData } from '../messages/end-of-early-data.ts';
import type { ClientSession13 } from '../session/client-session.ts';
import type { HandshakeHost } from './host.ts';

/**
 * Bytes. All of it is kept until the server has taken it, so that it can be handed back: a server that allows 4 GiB must not
 * decide over our memory.
 */
export const MAX_EARLY_DATA = 2 ** 20;

/**
 * Bytes of early data that may be sent with this session, 0 for none: the server takes it only under the suite and the
 * application protocol of the session (RFC 9846 §4.3.10), so without these it would be sent in vain.
 */
export function earlyDataAllowance(
  options: ClientOptions,
  session: ClientSession13 | undefined,
  offeredSuites: readonly CipherSuiteName[],
): number {
  if (options.earlyData !== true || session === undefined || !offeredSuites.includes(session.cipherSuite)) {
    return 0;
  }
  const { alpnProtocols = [] } = options;
  const protocolOffered =
    session.alpnProtocol === '' ? alpnProtocols.length === 0 : alpnProtocols.includes(session.alpnProtocol);
  return protocolOffered ? Math.min(session.maxEarlyDataSize ?? 0, MAX_EARLY_DATA) : 0;
}

export class ClientEarlyData {
  readonly #host: HandshakeHost;
  readonly #session: ClientSession13;
  #room: number;
  /** Until the server has taken it. */
  #sent: Uint8Array[] | undefined = [];
  #open = true;

  /** Takes `secret` over. */
  constructor(host: HandshakeHost, session: ClientSession13, room: number, secret: TrafficSecret) {
    this.#host = host;
    this.#session = session;
    this.#room = room;
    host.channel.protectEarlyWrite(secret);
  }

  /** Bytes that may still be sent. */
  get room(): number {
    return this.#open ? this.#room : 0;
  }

  /** The server has not refused, and its Finished has not come: what we send is still under the keys for early data. */
  get open(): boolean {
    return this.#open;
  }

  /** Keeps a copy of what is sent, no more than there is room for. */
  note(data: Uint8Array): void {
    this.#room -= data.length;
    this.#sent?.push(new Uint8Array(data));
  }

  /**
   * The server took it.
   * @throws TLSError `TLS_ERR_ILLEGAL_PARAMETER` with what it must not take it with
   */
  accept(agreed: {
    readonly selectedIdentity: number | undefined;
    readonly cipherSuite: CipherSuiteName;
    readonly alpnProtocol: string;
  }): void {
    const { cipherSuite, alpnProtocol } = this.#session;
    if (agreed.selectedIdentity !== 0) {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server takes early data without the session it came with');
    }
    if (agreed.cipherSuite !== cipherSuite || agreed.alpnProtocol !== alpnProtocol) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `the server takes early data under ${agreed.cipherSuite} and "${agreed.alpnProtocol}", the session had ${cipherSuite} and "${alpnProtocol}"`,
      );
    }
    this.#sent = undefined;
  }

  /** The server refused: nothing of it was read, and all of it is handed back. */
  reject(): void {
    if (!this.#open) {
      return;
    }
    const bytes = concat(...(this.#sent ?? []));
    this.#close('refused');
    if (bytes.length > 0) {
      this.#host.emit({ kind: 'earlyDataRejected', bytes });
    }
  }

  /**
   * After the server's Finished: the message that ends what was taken, for the transcript; undefined after a refusal, and over
   * QUIC, which has none (RFC 9001 §8.3).
   */
  finish(): Uint8Array | undefined {
    if (!this.#open) {
      return undefined;
    }
    const message = this.#host.channel.quic === undefined ? encodeEndOfEarlyData() : undefined;
    this.#close('end of early data', message);
    return message;
  }

  #close(why: string, message?: Uint8Array): void {
    this.#open = false;
    this.#sent = undefined;
    this.#host.channel.endEarlyWrite(why, message);
  }
}
