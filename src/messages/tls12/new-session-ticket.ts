/**
 * NewSessionTicket in its TLS 1.2 form, sent before the server's ChangeCipherSpec.
 *
 *     struct { uint32 ticket_lifetime_hint; opaque ticket<0..2^16-1>; } NewSessionTicket;
 *
 * RFC 5077 §3.3.
 */

import { Reader } from '../../bytes/reader.ts';
import { copyOf } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface NewSessionTicket12 {
  /** Seconds; 0 leaves it to the client. */
  readonly lifetimeHint: number;
  /** Empty when the server promised a ticket and then has none to give. */
  readonly ticket: Uint8Array;
}

/** The whole handshake message. */
export function encodeNewSessionTicket12(message: NewSessionTicket12): Uint8Array {
  const writer = startMessage('new_session_ticket', 6 + message.ticket.length);
  return finishMessage(writer.u32(message.lifetimeHint).vector16(message.ticket));
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeNewSessionTicket12(body: Uint8Array): NewSessionTicket12 {
  const reader = new Reader(body, 'NewSessionTicket');
  const lifetimeHint = reader.u32('ticket_lifetime_hint');
  const ticket = copyOf(reader.vector16('ticket'));
  reader.end();
  return { lifetimeHint, ticket };
}
