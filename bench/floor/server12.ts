/** What a server of TLS 1.2 calculates, flight by flight. RFC 5246 §7.3, RFC 7627 §4, RFC 5077 §3. */

import type { KeyShare } from '../../src/crypto/provider.ts';
import { End12 } from './end12.ts';
import { CLIENT_RANDOM_AT, HEADER, helloLength, RANDOM, SERVER_RANDOM_AT, TICKET_AT } from './kinds.ts';
import {
  CLIENT_SHARE_AT,
  FINISHED_FLIGHT,
  KEY_EXCHANGE,
  KEY_EXCHANGE_FLIGHT,
  type Kind12,
  MASTER_SECRET,
  SERVER_FLIGHT,
  SERVER_SHARE_AT,
  SESSION_ID,
  SESSION_ID_AT,
  serverHello,
  setSignature,
  signedContent,
  TICKET_IN_MESSAGE,
  TICKET_MESSAGE,
} from './messages12.ts';
import type { Server13Options } from './server13.ts';
import { openTicket, sealTicket, TICKET } from './tickets.ts';

export interface Server12Options extends Server13Options {
  /** Master secrets by session ID; undefined where sessions are kept in tickets. */
  readonly sessions: Map<string, Uint8Array> | undefined;
}

export class Server12 extends End12 {
  awaits: number;
  readonly #options: Server12Options;
  #share: KeyShare | undefined;
  #serverRandom: Uint8Array | undefined;

  constructor(options: Server12Options, kind: Kind12) {
    super(options.provider, kind, 'client');
    this.#options = options;
    this.awaits = helloLength[kind];
  }

  take(flight: Uint8Array, out: Uint8Array): number {
    if (this.clientRandom !== undefined) {
      return this.#takeLast(flight, out);
    }
    this.clientRandom = flight.slice(CLIENT_RANDOM_AT, CLIENT_RANDOM_AT + RANDOM);
    this.transcript.update(flight.subarray(HEADER));
    out[0] = 22;
    this.provider.random(out.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM));
    return this.kind === 'full12' ? this.#exchange(out) : this.#resume(this.kind, flight, out);
  }

  #exchange(out: Uint8Array): number {
    const { provider, privateKey } = this.#options;
    this.#share = provider.generateKeyShare('x25519');
    this.#serverRandom = out.slice(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM);
    // As good a session ID as any.
    out.set(this.#serverRandom, SESSION_ID_AT);
    out.set(this.#share.publicKey, SERVER_SHARE_AT);
    const content = signedContent(this.clientRandom as Uint8Array, this.#serverRandom, out);
    setSignature(out, provider.sign('ecdsa_secp256r1_sha256', privateKey, content));
    this.transcript.update(out.subarray(HEADER, SERVER_FLIGHT));
    this.awaits = KEY_EXCHANGE_FLIGHT;
    return SERVER_FLIGHT;
  }

  #resume(kind: 'ticket12' | 'id12', flight: Uint8Array, out: Uint8Array): number {
    const { provider, ring, sessions } = this.#options;
    let end = HEADER + serverHello[kind];
    if (kind === 'ticket12') {
      const ticket = flight.subarray(TICKET_AT, TICKET_AT + TICKET);
      this.master = openTicket(provider, ring, ticket).subarray(0, MASTER_SECRET);
      sealTicket(provider, ring, this.master, out, end + TICKET_IN_MESSAGE);
      end += TICKET_MESSAGE;
    } else {
      this.master = sessions?.get(nameOf(flight, SESSION_ID_AT));
    }
    this.transcript.update(out.subarray(HEADER, end));
    this.makeKeys(out.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM));
    this.awaits = FINISHED_FLIGHT;
    return this.finish(out, end);
  }

  #takeLast(flight: Uint8Array, out: Uint8Array): number {
    if (this.#share === undefined) {
      this.takeFinished(flight, 0);
      this.complete();
      return 0;
    }
    const { provider, ring } = this.#options;
    const end = HEADER + KEY_EXCHANGE;
    this.transcript.update(flight.subarray(HEADER, end));
    this.makeMaster(this.#share.agree(flight.subarray(CLIENT_SHARE_AT, CLIENT_SHARE_AT + 32)).expose());
    this.makeKeys(this.#serverRandom as Uint8Array);
    this.takeFinished(flight, end);
    out[0] = 22;
    sealTicket(provider, ring, this.master as Uint8Array, out, HEADER + TICKET_IN_MESSAGE);
    this.transcript.update(out.subarray(HEADER, HEADER + TICKET_MESSAGE));
    this.#options.sessions?.set(nameOf(this.#serverRandom as Uint8Array, 0), this.master as Uint8Array);
    const length = this.finish(out, HEADER + TICKET_MESSAGE);
    this.complete();
    return length;
  }
}

function nameOf(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, SESSION_ID).toString('latin1');
}
