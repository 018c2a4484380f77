/**
 * Where things lie in the flights of TLS 1.3, and how long these are.
 *
 *     server's flight   ServerHello ‖ change_cipher_spec ‖ {EncryptedExtensions … Finished} ‖ {NewSessionTicket …}
 *     client's flight   change_cipher_spec ‖ {Finished}
 */

import { utf8 } from '../../src/bytes/bytes.ts';
import { CHANGE_CIPHER_SPEC, HEADER, type Kind, SIGNATURE_ROOM, TAG } from './kinds.ts';
import { TICKET } from './tickets.ts';

export type Kind13 = Extract<Kind, 'full' | 'hybrid' | 'resumed'>;

export interface Lengths13 {
  readonly clientShare: number;
  readonly serverShare: number;
  readonly serverHello: number;
  /** EncryptedExtensions … Finished. */
  readonly inner: number;
  readonly ticketCount: number;
  readonly tickets: number;
  readonly serverFlight: number;
}

/** In the flight: a ServerHello ends with the share, or with the number of the PSK behind it. */
export const SERVER_SHARE_AT: number = HEADER + 90;
/** EncryptedExtensions and Certificate, then CertificateVerify. */
export const AUTHENTICATED = 10 + 356;
/** Of CertificateVerify, in the messages. */
const SIGNATURE_AT = AUTHENTICATED + 7;
const CERTIFICATE_VERIFY = 8 + SIGNATURE_ROOM;
export const FINISHED_LENGTH = 36;
export const VERIFY_DATA_AT = 4;
export const BINDER = 32;
/** Of NewSessionTicket. */
export const TICKET_MESSAGE: number = 18 + TICKET;
export const TICKET_IN_MESSAGE = 16;
export const TICKET_NONCE: Uint8Array = Uint8Array.of(0);

export const lengths13: Readonly<Record<Kind13, Lengths13>> = {
  full: lengths(32, 32, 122, AUTHENTICATED + CERTIFICATE_VERIFY + FINISHED_LENGTH, 2),
  hybrid: lengths(1216, 1120, 1210, AUTHENTICATED + CERTIFICATE_VERIFY + FINISHED_LENGTH, 2),
  resumed: lengths(32, 32, 128, 6 + FINISHED_LENGTH, 1),
};

function lengths(
  clientShare: number,
  serverShare: number,
  serverHello: number,
  inner: number,
  ticketCount: number,
): Lengths13 {
  const tickets = ticketCount * TICKET_MESSAGE;
  const serverFlight = HEADER + serverHello + CHANGE_CIPHER_SPEC.length + 2 * (HEADER + 1 + TAG) + inner + tickets;
  return { clientShare, serverShare, serverHello, inner, ticketCount, tickets, serverFlight };
}

/** change_cipher_spec and the record of Finished. */
export const CLIENT_FLIGHT: number = CHANGE_CIPHER_SPEC.length + HEADER + FINISHED_LENGTH + 1 + TAG;

/** What CertificateVerify signs; valid until the next call. RFC 9846 §4.5.2. */
export function signedContent(transcript: Uint8Array): Uint8Array {
  content.set(transcript, content.length - transcript.length);
  return content;
}

const content = new Uint8Array(130).fill(0x20, 0, 64);
content.set(utf8('TLS 1.3, server CertificateVerify'), 64);

/** The room has one byte in front that says how long the signature is. */
export function signatureIn(messages: Uint8Array): Uint8Array {
  return messages.subarray(SIGNATURE_AT + 1, SIGNATURE_AT + 1 + messages[SIGNATURE_AT]);
}

export function setSignature(messages: Uint8Array, signature: Uint8Array): void {
  messages[SIGNATURE_AT] = signature.length;
  messages.set(signature, SIGNATURE_AT + 1);
}
