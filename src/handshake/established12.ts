/**
 * A TLS 1.2 connection after its handshake. There is no KeyUpdate: fresh keys take a renegotiation, which is refused for
 * now with a no_renegotiation warning, as RFC 5246 §7.2.2 provides; the connection goes on.
 */

import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeHelloRequest } from '../messages/tls12/empty-messages.ts';
import type { Established, HandshakeHost } from './host.ts';
import type { connectedClientTransitions12, connectedServerTransitions12, Handlers } from './transitions.ts';

/** Requests to renegotiate with no data between them: each makes us send an alert. */
const MAX_REQUESTS_IN_A_ROW = 8;

export class Established12 implements Established {
  readonly host: HandshakeHost;
  #requests = 0;

  constructor(host: HandshakeHost) {
    this.host = host;
  }

  noteReceivedData(): void {
    this.#requests = 0;
  }

  noteSentData(): void {}

  answer(): void {}

  /** @throws TLSError `TLS_ERR_NOT_SUPPORTED`; `TLS_ERR_USAGE_LIMIT` when it was asked for by the key's limit */
  update(): void {
    if (this.writable <= 0) {
      throw new TLSError('TLS_ERR_USAGE_LIMIT', 'the TLS 1.2 write key has protected as many records as it may');
    }
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'TLS 1.2 has no KeyUpdate, and renegotiation is not built');
  }

  get writable(): number {
    return this.host.channel.writable;
  }

  erase(): void {}

  /** The peer wants to renegotiate. */
  decline(): void {
    this.#requests += 1;
    if (this.#requests > MAX_REQUESTS_IN_A_ROW) {
      throw new TLSError(
        'TLS_ERR_UNEXPECTED_MESSAGE',
        `the peer asked for renegotiation more than ${MAX_REQUESTS_IN_A_ROW} times in a row`,
      );
    }
    this.host.channel.alert('no_renegotiation');
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
  connected.decline();
  return 'Connected';
}

function onClientHello(connected: Established12): 'Connected' {
  connected.decline();
  return 'Connected';
}
