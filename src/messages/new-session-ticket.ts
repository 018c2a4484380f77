/**
 * NewSessionTicket: what a client needs to resume.
 *
 *     struct {
 *         uint32 ticket_lifetime;
 *         uint32 ticket_age_add;
 *         opaque ticket_nonce<0..255>;
 *         opaque ticket<1..2^16-1>;
 *         Extension extensions<0..2^16-1>;
 *     } NewSessionTicket;
 *
 * RFC 9846 §4.7.1.
 */

import { Reader } from '../bytes/reader.ts';
import { extensionTypes } from './code-points.ts';
import { refuseMisplaced } from './extension-rules.ts';
import { copyOf, nextExtension } from './fields.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface NewSessionTicket {
  /** Seconds, as sent: a client caps it at 604800 (RFC 9846 §4.7.1). */
  readonly ticketLifetime: number;
  readonly ticketAgeAdd: number;
  /** At most 255 bytes. */
  readonly ticketNonce: Uint8Array;
  /** 1 to 65535 bytes. */
  readonly ticket: Uint8Array;
  /** Bytes of 0-RTT data. */
  readonly maxEarlyDataSize?: number;
}

/** The whole handshake message. */
export function encodeNewSessionTicket(message: NewSessionTicket): Uint8Array {
  const writer = startMessage('new_session_ticket', 24 + message.ticketNonce.length + message.ticket.length);
  writer.u32(message.ticketLifetime).u32(message.ticketAgeAdd).vector8(message.ticketNonce).vector16(message.ticket);
  const block = writer.open(2);
  if (message.maxEarlyDataSize !== undefined) {
    writer.u16(extensionTypes.early_data).u16(4).u32(message.maxEarlyDataSize);
  }
  writer.close(block, 2);
  return finishMessage(writer);
}

/**
 * Unknown extensions are ignored, as the RFC demands.
 * @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_DUPLICATE_EXTENSION`, `TLS_ERR_MISPLACED_EXTENSION`
 */
export function decodeNewSessionTicket(body: Uint8Array): NewSessionTicket {
  const reader = new Reader(body, 'NewSessionTicket');
  const ticketLifetime = reader.u32('ticket_lifetime');
  const ticketAgeAdd = reader.u32('ticket_age_add');
  const ticketNonce = copyOf(reader.vector8('ticket_nonce'));
  const ticket = copyOf(reader.vector16('ticket', 1));
  const block = reader.nested16('extensions');
  reader.end();
  const types: number[] = [];
  let maxEarlyDataSize: number | undefined;
  while (block.remaining > 0) {
    const data = nextExtension(block, types);
    if (types[types.length - 1] === extensionTypes.early_data) {
      maxEarlyDataSize = data.u32('max_early_data_size');
    } else {
      data.rest();
    }
    data.end();
  }
  refuseMisplaced(types, 'new_session_ticket');
  return { ticketLifetime, ticketAgeAdd, ticketNonce, ticket, maxEarlyDataSize };
}
