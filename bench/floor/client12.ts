/** What a client of TLS 1.2 calculates, flight by flight. RFC 5246 §7.3, RFC 7627 §4, RFC 5077 §3. */

import type { CryptoProvider, PublicKey } from '../../src/crypto/provider.ts';
import { End12 } from './end12.ts';
import {
  CLIENT_RANDOM_AT,
  type ClientEnd,
  HEADER,
  helloLength,
  KIND_AT,
  type Kind,
  kinds,
  RANDOM,
  RANDOMS,
  SERVER_RANDOM_AT,
  type Session,
  TICKET_AT,
} from './kinds.ts';
import {
  CLIENT_SHARE_AT,
  FINISHED_FLIGHT,
  KEY_EXCHANGE,
  type Kind12,
  SERVER_FLIGHT,
  SERVER_SHARE_AT,
  SESSION_ID,
  SESSION_ID_AT,
  serverHello,
  signatureIn,
  signedContent,
  TICKET_IN_MESSAGE,
  TICKET_MESSAGE,
} from './messages12.ts';
import { TICKET } from './tickets.ts';

export interface Client12Options {
  readonly provider: CryptoProvider;
  readonly kind: Kind12;
  /** Of the server's certificate, which has been judged. */
  readonly publicKey: PublicKey;
  /** For `ticket12` and `id12`. */
  readonly session: Session | undefined;
}

export class Client12 extends End12 implements ClientEnd {
  awaits: number;
  readonly #publicKey: PublicKey;
  readonly #session: Session | undefined;
  #sessionId: Uint8Array | undefined;
  #ticket: Uint8Array | undefined;

  constructor({ provider, kind, publicKey, session }: Client12Options) {
    super(provider, kind, 'server');
    this.#publicKey = publicKey;
    this.#session = session;
    this.awaits = kind === 'full12' ? SERVER_FLIGHT : resumptionLength(kind);
  }

  begin(out: Uint8Array): number {
    const { kind } = this;
    const length = helloLength[kind];
    out[0] = 22;
    out[KIND_AT] = kinds.indexOf(kind);
    // With a ticket goes a session ID that the server may answer with.
    const randoms = kind === 'ticket12' ? RANDOMS : RANDOM;
    this.provider.random(out.subarray(CLIENT_RANDOM_AT, CLIENT_RANDOM_AT + randoms));
    if (this.#session !== undefined) {
      out.set(this.#session.identity, kind === 'ticket12' ? TICKET_AT : SESSION_ID_AT);
      this.master = this.#session.secret;
    }
    this.clientRandom = out.slice(CLIENT_RANDOM_AT, CLIENT_RANDOM_AT + RANDOM);
    this.transcript.update(out.subarray(HEADER, length));
    return length;
  }

  take(flight: Uint8Array, out: Uint8Array): number {
    if (this.kind !== 'full12') {
      return this.#resume(this.kind, flight, out);
    }
    return this.master === undefined ? this.#exchange(flight, out) : this.#takeLast(flight);
  }

  session(kind: Kind): Session {
    return this.sessionOf(kind === 'id12' ? this.#sessionId : this.#ticket);
  }

  #exchange(flight: Uint8Array, out: Uint8Array): number {
    const { provider, transcript, clientRandom } = this;
    const serverRandom = flight.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM);
    const content = signedContent(clientRandom as Uint8Array, serverRandom, flight);
    if (!provider.verifyTls12('ecdsa_secp256r1_sha256', this.#publicKey, content, signatureIn(flight))) {
      throw new Error('the signature of the floor is wrong');
    }
    transcript.update(flight.subarray(HEADER));
    this.#sessionId = flight.slice(SESSION_ID_AT, SESSION_ID_AT + SESSION_ID);
    const share = flight.subarray(SERVER_SHARE_AT, SERVER_SHARE_AT + 32);
    const { keyExchange, sharedSecret } = provider.encapsulate('x25519', share);
    out[0] = 22;
    out.set(keyExchange, CLIENT_SHARE_AT);
    transcript.update(out.subarray(HEADER, HEADER + KEY_EXCHANGE));
    this.makeMaster(sharedSecret.expose());
    this.makeKeys(serverRandom);
    this.awaits = HEADER + TICKET_MESSAGE + FINISHED_FLIGHT;
    return this.finish(out, HEADER + KEY_EXCHANGE);
  }

  #takeLast(flight: Uint8Array): number {
    this.transcript.update(flight.subarray(HEADER, HEADER + TICKET_MESSAGE));
    this.takeFinished(flight, HEADER + TICKET_MESSAGE);
    const ticketAt = HEADER + TICKET_IN_MESSAGE;
    this.#ticket = flight.slice(ticketAt, ticketAt + TICKET);
    this.complete();
    return 0;
  }

  #resume(kind: 'ticket12' | 'id12', flight: Uint8Array, out: Uint8Array): number {
    const end = resumptionLength(kind) - FINISHED_FLIGHT;
    this.transcript.update(flight.subarray(HEADER, end));
    this.makeKeys(flight.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM));
    this.takeFinished(flight, end);
    const sent = this.finish(out, 0);
    this.complete();
    return sent;
  }
}

function resumptionLength(kind: 'ticket12' | 'id12'): number {
  return HEADER + serverHello[kind] + (kind === 'ticket12' ? TICKET_MESSAGE : 0) + FINISHED_FLIGHT;
}
