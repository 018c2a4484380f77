/** What a server of TLS 1.3 calculates, flight by flight. RFC 9846 §2, §4.3.11, §7.1. */

import type { CryptoProvider, PrivateKey, RunningHash } from '../../src/crypto/provider.ts';
import {
  AEAD_AT,
  aeads,
  CHANGE_CIPHER_SPEC,
  CLIENT_SHARE_AT,
  type Direction,
  type End,
  HEADER,
  helloLength,
  RANDOM,
  SERVER_RANDOM_AT,
  TICKET_AT,
  type Traffic,
} from './kinds.ts';
import {
  AUTHENTICATED,
  BINDER,
  CLIENT_FLIGHT,
  FINISHED_LENGTH,
  type Kind13,
  lengths13,
  SERVER_SHARE_AT,
  setSignature,
  signedContent,
  TICKET_IN_MESSAGE,
  TICKET_MESSAGE,
  TICKET_NONCE,
  VERIFY_DATA_AT,
} from './messages13.ts';
import { expand, finished, labels, nextRung, pskBinder, recordKeys, SALT_WITHOUT_PSK, ZEROS } from './schedule.ts';
import { openTicket, sealTicket, TICKET } from './tickets.ts';

export interface Server13Options {
  readonly provider: CryptoProvider;
  readonly privateKey: PrivateKey;
  /** What protects tickets. */
  readonly ring: Uint8Array;
}

export class Server13 implements End {
  awaits: number;
  traffic: Traffic | undefined;
  readonly #options: Server13Options;
  readonly #kind: Kind13;
  readonly #transcript: RunningHash;
  #early: Uint8Array | undefined;
  /** What the client's Finished must be. */
  #expected: Uint8Array | undefined;
  #receiveHandshake: Direction | undefined;
  #clientApplication: Uint8Array | undefined;
  #send: Direction | undefined;
  #aead = aeads[0];

  constructor(options: Server13Options, kind: Kind13) {
    this.#options = options;
    this.#kind = kind;
    this.awaits = helloLength[kind];
    this.#transcript = options.provider.createHash('sha256');
  }

  take(flight: Uint8Array, out: Uint8Array): number {
    return this.#receiveHandshake === undefined ? this.#answer(flight, out) : this.#finish(flight);
  }

  #answer(hello: Uint8Array, out: Uint8Array): number {
    const { provider, ring } = this.#options;
    const { clientShare, serverHello, inner, ticketCount, tickets } = lengths13[this.#kind];
    const transcript = this.#transcript;
    const aead = aeads[hello[AEAD_AT]];
    this.#aead = aead;
    if (this.#kind === 'resumed') {
      this.#takeTicket(hello);
    }
    transcript.update(hello.subarray(HEADER));
    const { keyExchange, sharedSecret } = provider.encapsulate(
      this.#kind === 'hybrid' ? 'X25519MLKEM768' : 'x25519',
      hello.subarray(CLIENT_SHARE_AT, CLIENT_SHARE_AT + clientShare),
    );
    out[0] = 22;
    provider.random(out.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + RANDOM));
    out.set(keyExchange, SERVER_SHARE_AT);
    out.set(CHANGE_CIPHER_SPEC, HEADER + serverHello);
    transcript.update(out.subarray(HEADER, HEADER + serverHello));
    const shared = sharedSecret.expose();
    const handshake =
      this.#early === undefined
        ? provider.hmac('sha256', SALT_WITHOUT_PSK, shared)
        : nextRung(provider, this.#early, shared);
    const hellos = transcript.digest();
    const clientHandshake = expand(provider, handshake, labels.clientHandshake, hellos);
    const serverHandshake = expand(provider, handshake, labels.serverHandshake, hellos);
    const main = nextRung(provider, handshake, ZEROS);

    const finishedAt = inner - FINISHED_LENGTH;
    this.#authenticate(finishedAt);
    messages.set(finished(provider, serverHandshake, transcript.digest()), finishedAt + VERIFY_DATA_AT);
    messages[inner] = 22;
    transcript.update(messages.subarray(finishedAt, inner));
    const sealer = recordKeys(provider, serverHandshake, aead);
    const end = sealer.seal(22, messages.subarray(0, inner + 1), out, HEADER + serverHello + CHANGE_CIPHER_SPEC.length);

    const all = transcript.digest();
    const serverApplication = expand(provider, main, labels.serverApplication, all);
    this.#clientApplication = expand(provider, main, labels.clientApplication, all);
    this.#send = recordKeys(provider, serverApplication, aead);
    this.#receiveHandshake = recordKeys(provider, clientHandshake, aead);
    // Known before it is here: so the tickets leave with this flight.
    this.#expected = finished(provider, clientHandshake, all);
    CLIENT_FINISHED.set(this.#expected, VERIFY_DATA_AT);
    transcript.update(CLIENT_FINISHED);
    const resumption = expand(provider, main, labels.resumption, transcript.digest());
    for (let i = 0; i < ticketCount; i++) {
      const psk = expand(provider, resumption, labels.ticketPsk, TICKET_NONCE);
      sealTicket(provider, ring, psk, ticketMessages, i * TICKET_MESSAGE + TICKET_IN_MESSAGE);
    }
    ticketMessages[tickets] = 22;
    this.awaits = CLIENT_FLIGHT;
    return this.#send.seal(22, ticketMessages.subarray(0, tickets + 1), out, end);
  }

  #takeTicket(hello: Uint8Array): void {
    const { provider, ring } = this.#options;
    const psk = openTicket(provider, ring, hello.subarray(TICKET_AT, TICKET_AT + TICKET)).subarray(0, 32);
    const end = hello.length - BINDER;
    this.#early = provider.hmac('sha256', ZEROS, psk);
    const expected = pskBinder(provider, this.#early, provider.hash('sha256', hello.subarray(HEADER, end)));
    if (!provider.equal(expected, hello.subarray(end))) {
      throw new Error('the binder of the floor is wrong');
    }
  }

  /** EncryptedExtensions, and in a full handshake certificate and signature. */
  #authenticate(end: number): void {
    const { provider, privateKey } = this.#options;
    const transcript = this.#transcript;
    if (this.#kind === 'resumed') {
      transcript.update(messages.subarray(0, end));
      return;
    }
    transcript.update(messages.subarray(0, AUTHENTICATED));
    const content = signedContent(transcript.digest());
    setSignature(messages, provider.sign('ecdsa_secp256r1_sha256', privateKey, content));
    transcript.update(messages.subarray(AUTHENTICATED, end));
  }

  #finish(flight: Uint8Array): number {
    const { provider } = this.#options;
    const [receive, send, expected, secret] = [
      this.#receiveHandshake,
      this.#send,
      this.#expected,
      this.#clientApplication,
    ];
    if (receive === undefined || send === undefined || expected === undefined || secret === undefined) {
      throw new Error('the floor is out of order');
    }
    const message = receive.open(flight, CHANGE_CIPHER_SPEC.length, flight.length);
    if (!provider.equal(expected, message.subarray(VERIFY_DATA_AT, FINISHED_LENGTH))) {
      throw new Error("the client's Finished of the floor is wrong");
    }
    this.traffic = { send, receive: recordKeys(provider, secret, this.#aead) };
    this.#transcript.end();
    this.awaits = 0;
    return 0;
  }
}

/** EncryptedExtensions … Finished with their content type, and the tickets: filled anew for each connection. */
const messages = new Uint8Array(1024);
const ticketMessages = new Uint8Array(1024);
const CLIENT_FINISHED = new Uint8Array(FINISHED_LENGTH);
