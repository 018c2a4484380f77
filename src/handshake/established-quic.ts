/**
 * What runs after a handshake over QUIC: a client takes tickets, and that is all. QUIC renews its keys by itself, without
 * KeyUpdate (RFC 9001 §6), and forbids authentication after the handshake (§4.4).
 */

import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeNewSessionTicket } from '../messages/new-session-ticket.ts';
import type { Established, HandshakeHost } from './host.ts';
import { Machine } from './machine.ts';
import type { ReceivedTickets } from './received-tickets.ts';
import { connectedClientTransitionsQuic, connectedServerTransitionsQuic, type Handlers } from './transitions.ts';

/** The one value that may stand in a ticket: how much early data QUIC takes is a matter of flow control (RFC 9001 §4.6.1). */
export const QUIC_MAX_EARLY_DATA_SIZE = 0xffffffff;

export class EstablishedQuic implements Established {
  readonly #host: HandshakeHost;
  readonly #tickets: ReceivedTickets | undefined;

  constructor(host: HandshakeHost, tickets: ReceivedTickets | undefined) {
    this.#host = host;
    this.#tickets = tickets;
  }

  machine(role: 'client' | 'server'): Machine {
    return role === 'client'
      ? Machine.start(connectedClientTransitionsQuic, clientHandlers, this, 'Connected')
      : Machine.start(connectedServerTransitionsQuic, serverHandlers, this, 'Connected');
  }

  onNewSessionTicket(message: JoinedMessage): 'Connected' {
    const { maxEarlyDataSize } = decodeNewSessionTicket(message.body);
    if (maxEarlyDataSize !== undefined && maxEarlyDataSize !== QUIC_MAX_EARLY_DATA_SIZE) {
      throw new TLSError(
        'TLS_ERR_QUIC_PROTOCOL',
        `a ticket for QUIC has max_early_data_size ${maxEarlyDataSize}, not ${QUIC_MAX_EARLY_DATA_SIZE}`,
      );
    }
    const session = this.#tickets?.read(message.body);
    if (session !== undefined) {
      this.#host.emit({ kind: 'session', session });
    }
    return 'Connected';
  }

  noteReceivedData(): void {
    this.#tickets?.noteData();
  }

  // Data and keys are the QUIC stack's own from here on.

  readonly writable: number = 0;

  noteSentData(): void {}

  answer(): void {}

  update(): void {}

  erase(why: string): void {
    this.#tickets?.erase(why);
  }
}

const clientHandlers: Handlers<typeof connectedClientTransitionsQuic, EstablishedQuic> = {
  Connected: { new_session_ticket: (connected, message) => connected.onNewSessionTicket(message) },
};

const serverHandlers: Handlers<typeof connectedServerTransitionsQuic, EstablishedQuic> = { Connected: {} };
