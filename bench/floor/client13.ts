/** What a client of TLS 1.3 calculates, flight by flight. RFC 9846 §2, §4.3.11, §7.1. */

import type { CryptoProvider, KeyShare, PublicKey, RunningHash } from '../../src/crypto/provider.ts';
import type { AeadName } from '../../src/crypto/suites.ts';
import {
  AEAD_AT,
  aeads,
  CHANGE_CIPHER_SPEC,
  CLIENT_RANDOM_AT,
  CLIENT_SHARE_AT,
  type ClientEnd,
  HEADER,
  helloLength,
  KIND_AT,
  kinds,
  RANDOMS,
  type Session,
  TAG,
  TICKET_AT,
  type Traffic,
} from './kinds.ts';
import {
  AUTHENTICATED,
  BINDER,
  FINISHED_LENGTH,
  type Kind13,
  lengths13,
  SERVER_SHARE_AT,
  signatureIn,
  signedContent,
  TICKET_IN_MESSAGE,
  TICKET_NONCE,
  VERIFY_DATA_AT,
} from './messages13.ts';
import { expand, finished, labels, nextRung, pskBinder, recordKeys, SALT_WITHOUT_PSK, ZEROS } from './schedule.ts';
import { TICKET } from './tickets.ts';

export interface Client13Options {
  readonly provider: CryptoProvider;
  readonly kind: Kind13;
  readonly aead: AeadName;
  /** Of the server's certificate, which has been judged. */
  readonly publicKey: PublicKey;
  /** For `resumed`. */
  readonly session: Session | undefined;
}

export class Client13 implements ClientEnd {
  awaits: number;
  traffic: Traffic | undefined;
  readonly #options: Client13Options;
  readonly #transcript: RunningHash;
  readonly #share: KeyShare;
  #early: Uint8Array | undefined;
  #resumption: Uint8Array | undefined;
  #tickets: Uint8Array | undefined;

  constructor(options: Client13Options) {
    const { provider, kind } = options;
    this.#options = options;
    this.awaits = lengths13[kind].serverFlight;
    this.#share = provider.generateKeyShare(kind === 'hybrid' ? 'X25519MLKEM768' : 'x25519');
    this.#transcript = provider.createHash('sha256');
  }

  begin(out: Uint8Array): number {
    const { provider, kind, aead, session } = this.#options;
    const length = helloLength[kind];
    out[0] = 22;
    out[KIND_AT] = kinds.indexOf(kind);
    out[AEAD_AT] = aeads.indexOf(aead);
    provider.random(out.subarray(CLIENT_RANDOM_AT, CLIENT_RANDOM_AT + RANDOMS));
    out.set(this.#share.publicKey, CLIENT_SHARE_AT);
    if (session !== undefined) {
      out.set(session.identity, TICKET_AT);
      const truncated = provider.hash('sha256', out.subarray(HEADER, length - BINDER));
      this.#early = provider.hmac('sha256', ZEROS, session.secret);
      out.set(pskBinder(provider, this.#early, truncated), length - BINDER);
    }
    this.#transcript.update(out.subarray(HEADER, length));
    return length;
  }

  take(flight: Uint8Array, out: Uint8Array): number {
    const { provider, kind, aead, publicKey } = this.#options;
    const { serverShare, serverHello, inner, tickets } = lengths13[kind];
    const transcript = this.#transcript;
    const shared = this.#share.agree(flight.subarray(SERVER_SHARE_AT, SERVER_SHARE_AT + serverShare)).expose();
    const handshake =
      this.#early === undefined
        ? provider.hmac('sha256', SALT_WITHOUT_PSK, shared)
        : nextRung(provider, this.#early, shared);
    transcript.update(flight.subarray(HEADER, HEADER + serverHello));
    const hellos = transcript.digest();
    const clientHandshake = expand(provider, handshake, labels.clientHandshake, hellos);
    const serverHandshake = expand(provider, handshake, labels.serverHandshake, hellos);
    const main = nextRung(provider, handshake, ZEROS);

    const sealedAt = HEADER + serverHello + CHANGE_CIPHER_SPEC.length;
    const sealedEnd = sealedAt + HEADER + inner + 1 + TAG;
    const messages = recordKeys(provider, serverHandshake, aead).open(flight, sealedAt, sealedEnd);
    const finishedAt = inner - FINISHED_LENGTH;
    if (kind !== 'resumed') {
      transcript.update(messages.subarray(0, AUTHENTICATED));
      const content = signedContent(transcript.digest());
      if (!provider.verify('ecdsa_secp256r1_sha256', publicKey, content, signatureIn(messages))) {
        throw new Error('the signature of the floor is wrong');
      }
      transcript.update(messages.subarray(AUTHENTICATED, finishedAt));
    } else {
      transcript.update(messages.subarray(0, finishedAt));
    }
    const expected = finished(provider, serverHandshake, transcript.digest());
    if (!provider.equal(expected, messages.subarray(finishedAt + VERIFY_DATA_AT, inner))) {
      throw new Error("the server's Finished of the floor is wrong");
    }
    transcript.update(messages.subarray(finishedAt, inner));
    const all = transcript.digest();
    const clientApplication = expand(provider, main, labels.clientApplication, all);
    const serverApplication = expand(provider, main, labels.serverApplication, all);
    const receive = recordKeys(provider, serverApplication, aead);

    FINISHED.set(finished(provider, clientHandshake, all), VERIFY_DATA_AT);
    transcript.update(FINISHED.subarray(0, FINISHED_LENGTH));
    out.set(CHANGE_CIPHER_SPEC);
    const end = recordKeys(provider, clientHandshake, aead).seal(22, FINISHED, out, CHANGE_CIPHER_SPEC.length);
    this.traffic = { send: recordKeys(provider, clientApplication, aead), receive };
    this.#resumption = expand(provider, main, labels.resumption, transcript.digest());
    this.#tickets = receive.open(flight, sealedEnd, sealedEnd + HEADER + tickets + 1 + TAG);
    transcript.end();
    this.awaits = 0;
    return end;
  }

  session(): Session {
    if (this.#resumption === undefined || this.#tickets === undefined) {
      throw new Error('the floor has no session yet');
    }
    const secret = expand(this.#options.provider, this.#resumption, labels.ticketPsk, TICKET_NONCE);
    return { secret, identity: this.#tickets.slice(TICKET_IN_MESSAGE, TICKET_IN_MESSAGE + TICKET) };
  }
}

/** With its content type. */
const FINISHED = new Uint8Array(FINISHED_LENGTH + 1);
FINISHED[FINISHED_LENGTH] = 22;
