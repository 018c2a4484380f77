/**
 * The frame around every handshake message, and how long each message may be.
 *
 *     struct { HandshakeType msg_type; uint24 length; select (msg_type) { … }; } Handshake;
 *
 * RFC 9846 §4.
 */

import { shortLived } from '../bytes/short-lived.ts';
import { Writer } from '../bytes/writer.ts';
import type { HandshakeType } from './code-points.ts';
import { handshakeTypes } from './code-points.ts';

/** Bytes before the body: type and length. */
export const HANDSHAKE_HEADER_LENGTH = 4;

/**
 * The longest body, in bytes, that is buffered for a message of this type; 0 for a type that Mayfly does not know, which
 * the caller refuses as unexpected before it asks. The wire's own limit of 2^24 − 1 would let a stranger fill 16 MiB of
 * memory per connection by announcing a message and sending it slowly.
 */
export function maxMessageLength(type: number): number {
  return maxLengths.get(type) ?? 0;
}

/** A whole handshake message around a body. */
export function frame(type: HandshakeType, body: Uint8Array): Uint8Array {
  return new Writer(HANDSHAKE_HEADER_LENGTH + body.length, shortLived).u8(handshakeTypes[type]).vector24(body).finish();
}

/** A writer that stands at the start of the body; `finishMessage` fills in the length. `capacity`: bytes expected. */
export function startMessage(type: HandshakeType, capacity: number): Writer {
  const writer = new Writer(HANDSHAKE_HEADER_LENGTH + capacity, shortLived).u8(handshakeTypes[type]);
  writer.open(3);
  return writer;
}

export function finishMessage(writer: Writer): Uint8Array {
  return writer.close(HANDSHAKE_HEADER_LENGTH, 3).finish();
}

const caps: Record<HandshakeType, number> = {
  hello_request: 0,
  /** Comes from anyone at all, unauthenticated. Room for the largest extension block and the fields before it. */
  client_hello: 0x1_0000,
  /** A hybrid share and a cookie; more only serves to fill the client's memory before the server is authenticated. */
  server_hello: 0x4000,
  /** The largest ticket. The client's session cache holds what comes: the count of tickets is capped apart. */
  new_session_ticket: 0x1_0000,
  end_of_early_data: 0,
  encrypted_extensions: 0x4000,
  /** What OpenSSL accepts by default; a chain is parsed at some cost before anything in it is trusted. */
  certificate: 100 * 1024,
  /** Three numbers of 1024 bytes and the largest signature, with room to spare. */
  server_key_exchange: 0x4000,
  /** Names of many authorities. */
  certificate_request: 0x1_0000,
  server_hello_done: 0,
  /** The largest signatures of RSA and ML-DSA with room to spare. */
  certificate_verify: 0x4000,
  /** One number of 1024 bytes, with room to spare. */
  client_key_exchange: 0x1000,
  /** The longest hash output. */
  finished: 64,
  certificate_status: 0x1_0000,
  /** As what it unfolds to. */
  compressed_certificate: 100 * 1024,
  /** Sent at will after the handshake, so it must not be a way to make the peer buffer. */
  key_update: 1,
  /** Never on the wire. */
  message_hash: 0,
};

const maxLengths = new Map<number, number>(
  Object.entries(caps).map(([name, cap]) => [handshakeTypes[name as HandshakeType], cap]),
);
