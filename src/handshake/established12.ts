/**
 * A TLS 1.2 connection after its handshake. There is no KeyUpdate: fresh keys, or a client certificate that is asked for
 * late, take a renegotiation, which is a handshake under the keys of the one before and bound to it.
 *
 * RFC 5246 §7.4.1.1, §7.2.2; RFC 5746.
 */

import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeHelloRequest, encodeHelloRequest } from '../messages/tls12/empty-messages.ts';
import type { Established, PreviousHandshake, RecordHost } from './host.ts';
import type { KeyWear } from './key-wear.ts';
import { Machine } from './machine.ts';
import { endSession12 } from './session-end12.ts';
import { connectedClientTransitions12, connectedServerTransitions12, type Handlers } from './transitions.ts';

/** Milliseconds in which a peer's renegotiations are counted. */
const WINDOW = 600_000;
/** Requests that we declined, with no data between them: each made us send an alert. */
const MAX_DECLINED_IN_A_ROW = 8;

export interface Established12Options {
  readonly role: 'client' | 'server';
  readonly previous: PreviousHandshake;
  /** Renegotiations that the peer may begin within ten minutes. */
  readonly allowance: number;
  readonly now: () => number;
  /** Of the write key and the read key together, when they are renewed before their usage limit. */
  readonly wear: KeyWear | undefined;
}

export class Established12 implements Established {
  readonly host: RecordHost;
  readonly #options: Established12Options;
  /** When the peer began renegotiations, newest last; shared by all handshakes of the connection. */
  readonly #begun: number[];
  #previous: PreviousHandshake;
  #declinedInARow = 0;
  /** We asked for a renegotiation and wait for the peer's word. */
  #asked = false;
  /** The peer declined one under these keys: it is not asked again on our own account. */
  #refused = false;

  constructor(host: RecordHost, options: Established12Options, before?: Established12) {
    this.host = host;
    this.#options = options;
    this.#previous = options.previous;
    this.#begun = before === undefined ? [] : before.#begun;
  }

  noteReceivedData(bytes: number): void {
    this.#declinedInARow = 0;
    this.#options.wear?.note(bytes);
  }

  noteSentData(bytes: number): void {
    this.#options.wear?.note(bytes);
  }

  /** Asks for fresh keys in good time before the write key's limit, or when they are due by age or volume. */
  answer(): void {
    const mayAsk = !this.#asked && !this.#refused && this.#previous.secure;
    if (mayAsk && (this.host.channel.writeKeyWorn || this.#options.wear?.worn() === true)) {
      this.renegotiate();
    }
  }

  /**
   * Begins a renegotiation, unless one is under way.
   * @throws TLSError `TLS_ERR_USAGE_LIMIT` the key is at its end, and there is none; `TLS_ERR_WRONG_STATE`
   */
  update(): void {
    if (this.#asked) {
      return;
    }
    if (this.writable <= 0 && (this.#refused || !this.#previous.secure)) {
      throw new TLSError('TLS_ERR_USAGE_LIMIT', 'the TLS 1.2 write key has protected as many records as it may');
    }
    this.renegotiate();
  }

  /**
   * Begins a renegotiation: a client with its ClientHello, a server by asking for one, from then on with this context.
   * @throws TLSError `TLS_ERR_WRONG_STATE` the peer cannot bind it to the connection, or one is under way
   */
  renegotiate(context = this.#previous.context): void {
    this.checkRenegotiable();
    this.#asked = true;
    this.#previous = { ...this.#previous, context };
    if (this.#options.role === 'client') {
      this.host.renegotiate(this.#previous);
      return;
    }
    this.host.channel.handshake(encodeHelloRequest());
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` */
  checkRenegotiable(): void {
    if (!this.#previous.secure || this.#asked) {
      const why = this.#asked ? 'one is under way' : 'the peer does not support secure renegotiation (RFC 5746)';
      throw new TLSError('TLS_ERR_WRONG_STATE', `the connection cannot be renegotiated: ${why}`);
    }
  }

  /** What handles messages between handshakes. */
  machine(): Machine {
    return this.#options.role === 'client'
      ? Machine.start(connectedClientTransitions12, connectedClientHandlers12, this, 'Connected')
      : Machine.start(connectedServerTransitions12, connectedServerHandlers12, this, 'Connected');
  }

  /** A fatal alert was sent or received: the Finished of the last handshake has proved the keys. */
  endSession(): void {
    const { context, sessionId } = this.#previous;
    endSession12(this.host, { role: this.#options.role, context, sessionId });
  }

  /** The peer declined; false when nothing was asked. */
  declined(): boolean {
    const wasAsked = this.#asked;
    this.#asked = false;
    this.#refused ||= wasAsked;
    return wasAsked;
  }

  /** The peer answers nothing any more. */
  abandon(): void {
    this.#asked = false;
    this.#refused = true;
  }

  get writable(): number {
    return this.host.channel.writable;
  }

  erase(): void {}

  /** The peer wants to renegotiate, or does so because we asked. */
  onPeerBegins(hello?: JoinedMessage): void {
    const expected = this.#asked && hello !== undefined;
    if (this.#previous.secure && (expected || this.#isWithinAllowance())) {
      this.#asked = true;
      this.host.renegotiate(this.#previous, hello);
      return;
    }
    this.#declinedInARow += 1;
    if (this.#declinedInARow > MAX_DECLINED_IN_A_ROW) {
      throw new TLSError(
        'TLS_ERR_UNEXPECTED_MESSAGE',
        `the peer asked for renegotiation more than ${MAX_DECLINED_IN_A_ROW} times in a row`,
      );
    }
    this.host.channel.alert('no_renegotiation');
  }

  #isWithinAllowance(): boolean {
    const now = this.#options.now();
    while (this.#begun.length > 0 && now - this.#begun[0] >= WINDOW) {
      this.#begun.shift();
    }
    if (this.#begun.length >= this.#options.allowance) {
      return false;
    }
    this.#begun.push(now);
    return true;
  }
}

export const connectedClientHandlers12: Handlers<typeof connectedClientTransitions12, Established12> = {
  Connected: { hello_request: onHelloRequest },
};

export const connectedServerHandlers12: Handlers<typeof connectedServerTransitions12, Established12> = {
  Connected: { client_hello: onClientHello },
};

function onHelloRequest(connected: Established12, message: JoinedMessage): 'Connected' {
  decodeHelloRequest(message.body);
  connected.onPeerBegins();
  return 'Connected';
}

function onClientHello(connected: Established12, message: JoinedMessage): 'Connected' {
  connected.onPeerBegins(message);
  return 'Connected';
}
