/** Holds what runs a connection now: a handshake, or what follows it; in a renegotiation both. */

import type { ClientOptions, ServerContext, ServerOptions } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { ClientHandshake, clientHandlers, protectAlerts } from './client.ts';
import { establish } from './establish.ts';
import { Established12 } from './established12.ts';
import type { CompletedHandshake, Established, HandshakeHost, PreviousHandshake } from './host.ts';
import { Machine } from './machine.ts';
import { PostHandshake } from './post-handshake.ts';
import type { ServerAuthenticator } from './post-handshake-auth.ts';
import { ServerHandshake, serverHandlers } from './server.ts';
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

  /** No message of an authentication is expected next: those come without anything between them (RFC 9846 §4.7.2). */
  get betweenMessages(): boolean {
    return this.#handshake !== undefined || this.#machine.state === 'Connected';
  }

  /** A handshake runs on a connection that has completed one before. */
  get renegotiating(): boolean {
    return this.#established !== undefined && this.#handshake !== undefined;
  }

  allows(event: string): boolean {
    return this.#machine.allows(event);
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

  /** @throws TLSError `TLS_ERR_WRONG_STATE` another version, or the client did not offer it */
  serverAuthenticator(): ServerAuthenticator {
    const established = this.#established;
    if (!(established instanceof PostHandshake) || established.serverAuthenticator === undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the client did not offer to authenticate itself after the handshake');
    }
    return established.serverAuthenticator;
  }

  /** Begins a handshake bound to the one before; at a server with the client's hello. */
  renegotiate(previous: PreviousHandshake, hello?: JoinedMessage): void {
    const versions = ['TLSv1.2'] as const;
    if (this.#role === 'client') {
      this.#machine = this.#begin({ ...(this.#options as ClientOptions), versions, session: undefined }, previous);
      this.#machine.step('start', undefined);
      return;
    }
    const server = this.#options as ServerOptions;
    const context: ServerContext | 'ask' = previous.context ?? server.context;
    this.#machine = this.#begin({ ...server, versions, context }, previous);
    this.#machine.step('client_hello', hello);
  }

  /** The peer declined: a client's handshake goes back to where it was, a server has begun none. False if none was asked. */
  declined(): boolean {
    const established = this.#established;
    if (!(established instanceof Established12) || !established.declined()) {
      return false;
    }
    if (this.#handshake !== undefined) {
      this.#handshake.erase('declined');
      this.#handshake = undefined;
      this.#machine = established.machine();
    }
    return true;
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
