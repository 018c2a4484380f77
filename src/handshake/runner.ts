/** Holds what runs a connection now: a handshake, or what follows it; in a renegotiation both. */

import type { ClientOptions, ServerContext, ServerOptions } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import { ClientHandshake, clientHandlers, protectAlerts } from './client.ts';
import type { ClientEarlyData } from './early-data-client.ts';
import type { ReceivedEarlyData } from './early-data-server.ts';
import { establish } from './establish.ts';
import { Established12 } from './established12.ts';
import {
  type CompletedHandshake,
  type Established,
  type HandshakeHost,
  type PreviousHandshake,
  withRecords,
} from './host.ts';
import { Machine } from './machine.ts';
import { PostHandshake } from './post-handshake.ts';
import { ServerHandshake, serverHandlers } from './server.ts';
import { cachedSessionId } from './server12.ts';
import { endSession12 } from './session-end12.ts';
import { type ClientState, clientTransitions, type ServerState, serverTransitions } from './transitions.ts';

export class Runner {
  readonly #role: 'client' | 'server';
  readonly #options: ClientOptions | ServerOptions;
  readonly #host: HandshakeHost;
  #handshake: ClientHandshake | ServerHandshake | undefined;
  #established: Established | undefined;
  #machine: Machine;

  /** @throws TLSError `TLS_ERR_CONFIG` options that leave nothing to offer */
  constructor(role: 'client' | 'server', options: ClientOptions | ServerOptions, host: HandshakeHost) {
    this.#role = role;
    this.#options = options;
    this.#host = host;
    this.#machine = this.#begin(options);
  }

  get state(): ClientState | ServerState {
    return this.#machine.state as ClientState | ServerState;
  }

  /** Application data may flow. */
  get established(): Established | undefined {
    return this.#established;
  }

  get handshaking(): boolean {
    return this.#handshake !== undefined;
  }

  /** Of a client, as long as it may be sent. */
  get earlyDataToSend(): ClientEarlyData | undefined {
    return this.#handshake instanceof ClientHandshake ? this.#handshake.earlyData : undefined;
  }

  /** Of a server that took it, up to its end. */
  get earlyDataToCome(): ReceivedEarlyData | undefined {
    return this.#machine.state === 'ExpectEndOfEarlyData' ? (this.#handshake as ServerHandshake).earlyData : undefined;
  }

  /** A server that took early data may answer it before the client's Finished has come: its own flight is complete. */
  get answersEarlyData(): boolean {
    return this.#handshake instanceof ServerHandshake && this.#handshake.earlyData !== undefined;
  }

  /** No message of an authentication is expected next: those come without anything between them (RFC 9846 §4.7.2). */
  get betweenMessages(): boolean {
    const { state } = this.#machine;
    // In a renegotiation neither may anything come between change_cipher_spec and the Finished that proves the new keys.
    return this.#handshake === undefined ? state === 'Connected' : state !== 'ExpectFinished12';
  }

  /** A handshake runs on a connection that has completed one before. */
  get renegotiating(): boolean {
    return this.#established !== undefined && this.#handshake !== undefined;
  }

  allows(event: string): boolean {
    const running = this.#handshake === undefined ? this.#established : undefined;
    const refused = running instanceof PostHandshake ? running.refuses(event) : this.#refuses(event);
    return this.#machine.allows(event) && !refused;
  }

  step(event: string, payload: unknown): void {
    this.#machine.step(event, payload);
  }

  /** Nothing of the handshake is kept: its secrets have passed on, or are erased. */
  complete(completed: CompletedHandshake): void {
    const { connected, machine } = establish({
      host: this.#host,
      role: this.#role,
      options: this.#options,
      completed,
      before: this.#established,
    });
    this.#handshake?.transcript.end();
    this.#handshake = undefined;
    this.#established = connected;
    this.#machine = machine;
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` another version, one is under way, or the peer cannot bind it */
  renegotiable(): Established12 {
    const established = this.#established;
    if (!(established instanceof Established12) || this.#handshake !== undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'only an open TLS 1.2 connection can be renegotiated, once at a time');
    }
    established.checkRenegotiable();
    return established;
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` another version, not offered by the client, or a request is open */
  askable(): PostHandshake {
    const established = this.#established;
    if (!(established instanceof PostHandshake) || established.serverAuthenticator === undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the client did not offer to authenticate itself after the handshake');
    }
    established.serverAuthenticator.checkIdle();
    return established;
  }

  /** Begins a handshake bound to the one before; at a server with the client's hello. */
  renegotiate(previous: PreviousHandshake, hello?: JoinedMessage): void {
    const { channel } = withRecords(this.#host);
    channel.holdsData = true;
    // What was agreed before does not hold for the keys to come, unless it is agreed anew (RFC 8449 §4).
    channel.limitReceivedRecords(MAX_PLAINTEXT + 1);
    const versions = ['TLSv1.2'] as const;
    // What binds a session to its handshake is not given up on the way (RFC 7627 §5).
    const allowLegacyMasterSecret =
      this.#options.allowLegacyMasterSecret === true && !previous.summary.extendedMasterSecret;
    const options = { ...this.#options, versions, allowLegacyMasterSecret };
    if (this.#role === 'client') {
      this.#machine = this.#begin({ ...(options as ClientOptions), session: undefined }, previous);
      this.#machine.step('start', undefined);
      return;
    }
    const server = options as ServerOptions;
    const context: ServerContext | 'ask' = previous.context ?? server.context;
    this.#machine = this.#begin({ ...server, context }, previous);
    this.#machine.step('client_hello', hello);
  }

  /**
   * The peer declined: a client's handshake goes back to where it was, a server has begun none. False if none was asked, or
   * the peer has taken part already: then it cannot be left half done.
   */
  declined(): boolean {
    const established = this.#established;
    const isUndecided = this.#handshake === undefined || this.#machine.state === 'ExpectServerHello';
    if (!isUndecided || !(established instanceof Established12) || !established.declined()) {
      return false;
    }
    this.#stay(established, 'declined');
    return true;
  }

  /**
   * TLS 1.2: a fatal alert was sent or received, which ends the session as well. `opened`: what caused it came in a record
   * that the newest read key opened.
   */
  endSession(opened: boolean): void {
    const established = this.#established;
    if (established instanceof Established12) {
      established.endSession();
    }
    const handshake = this.#handshake;
    if (!opened || this.#machine.state !== 'ExpectFinished12' || handshake?.resumed !== true) {
      return;
    }
    if (handshake instanceof ServerHandshake) {
      const { context, tls12 } = handshake;
      endSession12(this.#host, { role: 'server', context, sessionId: tls12 && cachedSessionId(tls12) });
    } else if (established === undefined) {
      endSession12(this.#host, { role: 'client' });
    }
  }

  /** The peer has closed: what is under way, or asked for, will not come to its end. */
  abandonRenegotiation(): void {
    if (this.#established instanceof Established12) {
      this.#established.abandon();
      this.#stay(this.#established, 'closed');
    }
  }

  #stay(established: Established12, why: string): void {
    if (this.#handshake !== undefined) {
      this.#handshake.erase(why);
      this.#handshake = undefined;
      this.#machine = established.machine();
    }
  }

  /** From ServerHello on the alerts of a client are protected. */
  protectAlerts(): void {
    if (this.#handshake instanceof ClientHandshake) {
      protectAlerts(this.#handshake);
    }
  }

  erase(why: string): void {
    this.#handshake?.erase(why);
    this.#handshake = undefined;
    this.#established?.erase(why);
    this.#established = undefined;
  }

  /** Known by the message's first byte, as that is all it takes. */
  #refuses(event: string): boolean {
    return event === 'compressed_certificate' && (this.#options.acceptCompressedCertificates ?? []).length === 0;
  }

  #begin(options: ClientOptions | ServerOptions, previous?: PreviousHandshake): Machine {
    if (this.#role === 'client') {
      const handshake = new ClientHandshake(options as ClientOptions, this.#host, previous);
      this.#handshake = handshake;
      return Machine.start(clientTransitions, clientHandlers, handshake, 'Start');
    }
    const handshake = new ServerHandshake(options as ServerOptions, this.#host, previous);
    this.#handshake = handshake;
    return Machine.start(serverTransitions, serverHandlers, handshake, 'ExpectClientHello');
  }
}
