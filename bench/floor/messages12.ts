/**
 * Where things lie in the flights of TLS 1.2, and how long these are.
 *
 *     full      ClientHello / ServerHello … ServerHelloDone / ClientKeyExchange, CCS, {Finished} / NewSessionTicket, CCS, {Finished}
 *     resumed   ClientHello / ServerHello, NewSessionTicket (with a ticket), CCS, {Finished} / CCS, {Finished}
 *
 * RFC 5246 §7.3, RFC 5077 §3, RFC 8422 §5.4.
 */

import { CHANGE_CIPHER_SPEC, HEADER, type Kind, RANDOM, SIGNATURE_ROOM, TAG } from './kinds.ts';
import { Seed } from './schedule.ts';
import { TICKET } from './tickets.ts';

export type Kind12 = Extract<Kind, 'full12' | 'ticket12' | 'id12'>;

export const FINISHED = 16;
/** verify_data in its message. */
export const VERIFY_DATA_AT = 4;
export const VERIFY_DATA = 12;
/** change_cipher_spec and the record of Finished, which both ends send. */
export const FINISHED_FLIGHT: number = CHANGE_CIPHER_SPEC.length + HEADER + 8 + FINISHED + TAG;

/** Up to ServerKeyExchange's parameters: curve and share, which are signed. */
export const PARAMETERS_AT: number = HEADER + 67 + 352 + 4;
const PARAMETERS = 36;
export const SERVER_SHARE_AT: number = PARAMETERS_AT + 4;
const SIGNATURE_AT: number = PARAMETERS_AT + PARAMETERS + 4;
/** ServerHello … ServerHelloDone, in one record. */
export const SERVER_FLIGHT: number = SIGNATURE_AT + SIGNATURE_ROOM + 4;

export const KEY_EXCHANGE = 37;
export const CLIENT_SHARE_AT: number = HEADER + 5;
export const KEY_EXCHANGE_FLIGHT: number = HEADER + KEY_EXCHANGE + FINISHED_FLIGHT;

export const TICKET_MESSAGE: number = 10 + TICKET;
export const TICKET_IN_MESSAGE = 10;
/** Of a resumption: ServerHello, and with a ticket NewSessionTicket behind it in the same record. */
export const serverHello = { ticket12: 95, id12: 91 } as const;

export const SESSION_ID_AT: number = HEADER + 38;
export const SESSION_ID = 32;

export const MASTER_SECRET = 48;

/** Seeds of the pseudorandom function, filled anew for each call. */
export const seeds = {
  masterSecret: new Seed('extended master secret', 32),
  keyExpansion: new Seed('key expansion', 2 * RANDOM),
  client: new Seed('client finished', 32),
  server: new Seed('server finished', 32),
} as const;

/** What ServerKeyExchange signs; valid until the next call. */
export function signedContent(clientRandom: Uint8Array, serverRandom: Uint8Array, flight: Uint8Array): Uint8Array {
  content.set(clientRandom);
  content.set(serverRandom, RANDOM);
  content.set(flight.subarray(PARAMETERS_AT, PARAMETERS_AT + PARAMETERS), 2 * RANDOM);
  return content;
}

const content = new Uint8Array(2 * RANDOM + PARAMETERS);

export function signatureIn(flight: Uint8Array): Uint8Array {
  return flight.subarray(SIGNATURE_AT, SIGNATURE_AT + flight[SIGNATURE_AT - 1]);
}

export function setSignature(flight: Uint8Array, signature: Uint8Array): void {
  flight[SIGNATURE_AT - 1] = signature.length;
  flight.set(signature, SIGNATURE_AT);
}
