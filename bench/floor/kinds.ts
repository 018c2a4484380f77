/**
 * The floor: what a pair of ends over `node:net` costs that does nothing but the primitives a handshake and its records
 * cannot do without, through our provider, and puts as many bytes on the wire as ours, a handshake in as many writes.
 *
 * It is NOT an implementation of TLS, and must never become one: it parses no message, checks no length, judges no
 * certificate, erases no secret, refuses no peer. Where a message would be it has as many bytes, of which only those are
 * filled that its other end needs: randoms, key shares, a signature, tickets. It speaks to itself alone.
 *
 *     client → server, first flight: header(5) ‖ kind(1) ‖ AEAD(1) ‖ … random(32) … ‖ what the kind has
 *
 * Lengths are those of ours with the same options (`localhost`, one certificate, no ALPN); `test/bench/floor.test.ts` holds
 * lengths, writes and calls of the provider beside those of the core.
 */

import type { AeadName } from '../../src/crypto/suites.ts';

/** A row's handshake. Its place here is its byte in the first flight. */
export const kinds = ['full', 'hybrid', 'resumed', 'full12', 'ticket12', 'id12'] as const;
export type Kind = (typeof kinds)[number];

export const aeads: readonly AeadName[] = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];

export function keyLength(aead: AeadName): number {
  return aead === 'aes-128-gcm' ? 16 : 32;
}

/** Bytes of the first flight, header included. */
export const helloLength: Readonly<Record<Kind, number>> = {
  full: 251,
  hybrid: 1435,
  resumed: 491,
  full12: 188,
  ticket12: 413,
  id12: 216,
};

export const HEADER = 5;
export const TAG = 16;
/** The second message of a TLS 1.3 client or the server's first: change_cipher_spec, a record of one byte. */
export const CHANGE_CIPHER_SPEC: Uint8Array = Uint8Array.of(20, 3, 3, 0, 1, 1);

/** Offsets in the first flight. */
export const KIND_AT = 5;
export const AEAD_AT = 6;
export const CLIENT_RANDOM_AT = 11;
export const RANDOM = 32;
/** The random, and the session ID behind it. */
export const RANDOMS = 64;
/** TLS 1.3 alone: in TLS 1.2 the server's share comes first. */
export const CLIENT_SHARE_AT = 80;
export const TICKET_AT = 150;
export const SERVER_RANDOM_AT = 11;

/** ECDSA P-256 signatures have 70 to 72 bytes: room for the longest, after one byte that says how many. */
export const SIGNATURE_ROOM = 72;

/** An end of a handshake, driven flight by flight. */
export interface End {
  /** Bytes of the peer's next flight; 0 when nothing more is expected. */
  awaits: number;
  /** Takes that flight and writes the answer into `out`; its length, 0 for none. */
  take(flight: Uint8Array, out: Uint8Array): number;
  /** Once the handshake is done. */
  traffic: Traffic | undefined;
}

/** An end that begins. */
export interface ClientEnd extends End {
  begin(out: Uint8Array): number;
  /** What a later connection of this kind resumes, once the handshake is done. */
  session(kind: Kind): Session;
}

export interface Session {
  /** TLS 1.3: the ticket's PSK. TLS 1.2: the master secret. */
  readonly secret: Uint8Array;
  /** A ticket, or a session ID. */
  readonly identity: Uint8Array;
}

export interface Traffic {
  readonly send: Direction;
  readonly receive: Direction;
}

/** One direction under one key. */
export interface Direction {
  /** Bytes that a record adds to its content. */
  readonly overhead: number;
  /** Bytes that `inner` has behind the content: the content type of TLS 1.3. */
  readonly tail: number;
  /** Seals content ‖ (TLS 1.3) content type as one record at `out[at…]`; returns where it ends. */
  seal(type: number, inner: Uint8Array, out: Uint8Array, at: number): number;
  /** Opens the record at `bytes[at, end)`: content, in TLS 1.3 with the content type behind it. */
  open(bytes: Uint8Array, at: number, end: number): Uint8Array;
}

/** The greatest flight, the server's with a hybrid share. */
export const FLIGHT_ROOM = 4096;
