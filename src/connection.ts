/**
 * The sans-IO core: bytes and calls in, actions out. One object is one TLS connection of either role.
 *
 *     receive(bytes) · send(data) · resume(need, answer)  ─▶  Action[]
 *
 * It has no sockets, timers, clocks or randomness of its own. RFC 9846.
 */

import type { Action, Answers, HandshakeSummary, HostAlert, Need } from './actions.ts';
import { concat, EMPTY, plainBytes } from './bytes/bytes.ts';
import type { ClientAuthenticationPolicy, ClientOptions, ServerContext, ServerOptions } from './connection-options.ts';
import { TLSError } from './errors.ts';
import { DataSender } from './handshake/data-sender.ts';
import { Ending } from './handshake/ending.ts';
import type { CompletedHandshake, HandshakeHost, PreviousHandshake } from './handshake/host.ts';
import { Incoming, type IncomingHost } from './handshake/incoming.ts';
import { checkOptions } from './handshake/option-checks.ts';
import { RecordChannel } from './handshake/record-channel.ts';
import { Runner } from './handshake/runner.ts';
import type { ClientState, ServerState } from './handshake/transitions.ts';
import { type Exporter, keyingMaterial } from './keys/exporter.ts';
import { Account, onAccountOf, type SecretOwner } from './ledger/channels.ts';
import type { JoinedMessage } from './messages/message-joiner.ts';

export class Connection implements HandshakeHost, IncomingHost {
  readonly role: 'client' | 'server';
  readonly channel: RecordChannel;
  readonly #runner: Runner;
  readonly #incoming: Incoming;
  #need: Need | undefined;
  #actions: Action[] = [];
  #summary: HandshakeSummary | undefined;
  #exporter: Exporter | undefined;
  /** The client's, then the server's: in one array, as every connection keeps it. */
  #verifyData: Uint8Array | undefined;
  readonly #data: DataSender;
  readonly #ending: Ending;
  readonly #account: Account;

  private constructor(role: 'client' | 'server', options: ClientOptions | ServerOptions) {
    checkOptions(options);
    this.role = role;
    this.channel = new RecordChannel({
      provider: options.provider,
      role,
      usageLimit: options.usageLimit,
      allocate: options.allocate,
    });
    this.#account = new Account('connection', role);
    // A client makes its key shares at once.
    this.#runner = onAccountOf(this.#account.noted, () => new Runner(role, options, this));
    this.#incoming = new Incoming(this, this.#runner);
    this.#data = new DataSender(this.channel, this.#runner);
    this.#ending = new Ending({
      role,
      channel: this.channel,
      runner: this.#runner,
      data: this.#data,
      offersTls12: role === 'client' && options.versions?.includes('TLSv1.2') === true,
      emit: (action) => this.emit(action),
      over: (why) => this.#forget(why),
    });
  }

  /** @throws TLSError `TLS_ERR_CONFIG` options out of their range, or that leave nothing to offer */
  static client(options: ClientOptions): Connection {
    return new Connection('client', options);
  }

  /** @throws TLSError `TLS_ERR_CONFIG` options out of their range */
  static server(options: ServerOptions): Connection {
    return new Connection('server', options);
  }

  /** Whose this connection's secrets are in the ledger. */
  get owner(): SecretOwner {
    return this.#account.owner;
  }

  /** The agreed parameters, once the handshake is complete. */
  get summary(): HandshakeSummary | undefined {
    return this.#summary;
  }

  /** What the connection waits for. */
  get state(): ClientState | ServerState {
    return this.#runner.state;
  }

  /**
   * Application data may be sent: the handshake is complete and nothing has ended our side. A server that took early data may
   * answer it sooner, from `earlyDataAccepted` on, when nothing has shown yet that the client is there.
   */
  get canSend(): boolean {
    const mayWrite = this.#runner.established !== undefined || this.#runner.answersEarlyData;
    const { over, closeSent, peerClosed } = this.#ending;
    const isClosing = closeSent || this.#data.closeDue;
    return mayWrite && !over && !isClosing && !(peerClosed && this.channel.holdsData);
  }

  /**
   * What is sent now waits for the end of a TLS 1.2 renegotiation, as does close_notify behind it. A host should wait as
   * for a transport that takes no more, and not end the transport: how long it takes is up to the peer.
   */
  get holdsData(): boolean {
    const { closeSent, peerClosed } = this.#ending;
    const isOpen = this.#runner.established !== undefined && !closeSent && !peerClosed;
    return this.#data.holds || (isOpen && this.channel.holdsData);
  }

  /** A need is open: what arrives is kept, up to a bound, so a host had better not read on. */
  get waiting(): boolean {
    return this.#need !== undefined;
  }

  /** Neither side has ended what comes in. */
  get reading(): boolean {
    return !this.#ending.over && !this.#ending.peerClosed;
  }

  /** The peer sent close_notify. */
  get peerClosed(): boolean {
    return this.#ending.peerClosed;
  }

  /**
   * A client sends its ClientHello; a server has nothing to do. Called once, first.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when called again
   */
  start(): Action[] {
    if (this.role === 'server' || this.#ending.over) {
      return [];
    }
    if (this.#runner.state !== 'Start') {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the connection was started before');
    }
    return this.#run(() => this.#runner.step('start', undefined));
  }

  /** Client: bytes of early data that `sendEarlyData` takes now. */
  get earlyDataRoom(): number {
    const isOpen = !this.#ending.over && !this.#ending.closeSent;
    return isOpen ? (this.#runner.earlyDataToSend?.room ?? 0) : 0;
  }

  /**
   * Client: sends early data, from `start` on and as long as there is room. It is not forward secret, and whoever records it
   * can send it again: only what does no harm twice belongs here. When the server does not take it, all of it comes back as
   * `earlyDataRejected`; when the connection fails before, nobody knows whether it was read.
   * @throws TLSError `TLS_ERR_WRONG_STATE` more than `earlyDataRoom`
   */
  sendEarlyData(data: Uint8Array): Action[] {
    const early = this.#runner.earlyDataToSend;
    if (early === undefined || data.length > this.earlyDataRoom) {
      throw new TLSError(
        'TLS_ERR_WRONG_STATE',
        `early data of ${data.length} bytes does not fit: ${this.earlyDataRoom} may be sent`,
      );
    }
    if (data.length === 0) {
      return [];
    }
    return this.#run(() => {
      early.note(data);
      this.channel.earlyData(data);
    });
  }

  /** Takes bytes from the transport. They are lent: what has to be kept is copied. */
  receive(bytes: Uint8Array): Action[] {
    if (!this.reading || bytes.length === 0) {
      return [];
    }
    return this.#run(Connection.#read, bytes);
  }

  /** The transport has ended. Without close_notify before it the connection fails: data may have been cut off. */
  transportEnded(): Action[] {
    return this.reading ? this.#run(() => this.#ending.transportEnded()) : [];
  }

  /**
   * Protects application data. `data` may be reused when this returns.
   * @throws TLSError `TLS_ERR_WRONG_STATE` before the handshake is complete or after `close`
   */
  send(data: Uint8Array): Action[] {
    if (!this.canSend) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'data can be sent only between the handshake and close');
    }
    if (data.length === 0) {
      return [];
    }
    return this.#run(Connection.#send, data);
  }

  /**
   * Answers the open need.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when this need is not open
   */
  resume<K extends Need['kind']>(need: Extract<Need, { kind: K }>, answer: Answers[K]): Action[] {
    if (this.#ending.over) {
      return [];
    }
    if (this.#need !== need) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `the need ${need.kind} is not open`);
    }
    this.#need = undefined;
    return this.#run(() => {
      this.#runner.step(need.kind, answer);
      this.#incoming.read();
    });
  }

  /**
   * Sends close_notify, once; the peer may go on sending. During the handshake it ends the connection. Where data is held
   * (`holdsData`), close_notify follows it.
   */
  close(): Action[] {
    if (this.#ending.over || this.#ending.closeSent) {
      return [];
    }
    if (this.#data.holds) {
      this.#data.closeDue = true;
      return [];
    }
    return this.#run(() => this.#ending.close());
  }

  /** Gives up with a fatal alert; all secrets are erased. */
  abort(alert: HostAlert): Action[] {
    return this.#ending.over ? [] : this.#run(() => this.#ending.abort(alert));
  }

  /**
   * Renews our traffic keys, and asks the peer to renew its own (RFC 9846 §4.7.3).
   * @throws TLSError `TLS_ERR_WRONG_STATE`
   */
  updateKeys(requestPeer: boolean): Action[] {
    if (!this.canSend || this.#runner.established === undefined) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'keys can be updated only between the handshake and close');
    }
    if (this.channel.isTls12) {
      this.#runner.renegotiable();
    }
    return this.#run(() => this.#runner.established?.update(requestPeer));
  }

  /**
   * Renews keys that are due by their age (`keyRenewal`). A host calls it from time to time, as a connection on which
   * nothing moves has no other occasion.
   */
  maintain(): Action[] {
    return this.canSend ? this.#run(() => {}) : [];
  }

  /**
   * TLS 1.3: asks the client for a certificate now. The answer comes as a `verifyCertificate` need and then as
   * `clientAuthenticated`, or as `clientAuthenticated` with an empty chain where `required` is false.
   * @throws TLSError `TLS_ERR_WRONG_STATE` not open both ways, another version, not offered by the client, or asked
   * already
   */
  requestClientCertificate(policy: Pick<ClientAuthenticationPolicy, 'required' | 'certificateAuthorities'>): Action[] {
    if (!this.canSend || this.#ending.peerClosed) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the connection is not open both ways');
    }
    const connected = this.#runner.askable();
    return this.#run(() => connected.requestCertificate(policy));
  }

  /**
   * TLS 1.2: a handshake on the running connection, for fresh keys; at a server also under another context, e.g. one that
   * asks for a client certificate. A client that does not want to answers nothing, or declines.
   * @throws TLSError `TLS_ERR_WRONG_STATE` not open, another version, or the peer cannot bind it to the connection
   */
  startRenegotiation(context?: ServerContext): Action[] {
    if (!this.canSend || this.#ending.peerClosed) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the connection is not open');
    }
    const connected = this.#runner.renegotiable();
    return this.#run(() => connected.renegotiate(context));
  }

  /**
   * Keying material for another protocol (RFC 9846 §7.5). The caller owns the bytes, `length` of them.
   * @throws TLSError `TLS_ERR_WRONG_STATE` before the handshake is complete or after the end
   */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return keyingMaterial(this.#exporter, label, context, length);
  }

  /**
   * What the Finished of this side said in the latest handshake, 12 bytes in TLS 1.2 and 32 or 48 in TLS 1.3: for channel
   * bindings. Undefined before the handshake is complete and after the end. The array must not be written to.
   */
  verifyData(role: 'client' | 'server'): Uint8Array | undefined {
    const both = this.#verifyData;
    return role === 'client' ? both?.subarray(0, both.length / 2) : both?.subarray(both.length / 2);
  }

  /** Forgets everything; sends nothing. Idempotent. */
  erase(why = 'closed'): void {
    if (!this.#ending.over) {
      this.#ending.end(why);
    }
  }

  // HandshakeHost

  emit(action: Action): void {
    // A literal has room for one, which most calls need: what is pushed to an empty array makes room for seventeen.
    if (this.#actions.length === 0) {
      this.#actions = [action];
    } else {
      this.#actions.push(action);
    }
  }

  ask(need: Need): void {
    this.#need = need;
    this.#actions.push({ kind: 'need', need });
  }

  authenticated(peerCertificates: readonly Uint8Array[]): void {
    this.#summary = { ...(this.#summary as HandshakeSummary), peerCertificates };
    this.#actions.push({ kind: 'clientAuthenticated', summary: this.#summary });
  }

  completed(completed: CompletedHandshake): void {
    const { summary, exporter } = completed;
    const { renegotiating } = this.#runner;
    this.#summary = summary;
    this.#exporter?.erase('renegotiated');
    this.#exporter = exporter;
    this.#keepVerifyData(completed);
    this.#runner.complete(completed);
    this.channel.outgoing.endOfHandshake();
    // What carried nothing in the handshake, a middlebox's change_cipher_spec say, is no beginning of a flood after it.
    this.channel.noteRecord(false);
    this.#actions.push({ kind: renegotiating ? 'renegotiated' : 'handshakeComplete', summary });
    if (this.#data.release()) {
      this.#ending.close();
    }
  }

  renegotiate(previous: PreviousHandshake, hello?: JoinedMessage): void {
    this.#runner.renegotiate(previous, hello);
  }

  // Running

  /** Runs one call: gathers what is to be sent into one action and turns an error into an alert and an end. */
  #run(body: Body, bytes: Uint8Array = EMPTY): Action[] {
    const owner = this.#account.noted;
    return owner === undefined ? this.#gather(body, bytes) : onAccountOf(owner, () => this.#gather(body, bytes));
  }

  /** What data does on its way, made once: a closure for each record would cost memory. */
  static readonly #read: Body = (bytes, connection) => {
    connection.channel.deframer.lend(plainBytes(bytes));
    connection.#incoming.read();
  };

  static readonly #send: Body = (bytes, connection) => connection.#data.send(bytes);

  #gather(body: Body, argument: Uint8Array): Action[] {
    try {
      body(argument, this);
      if (!this.#ending.closeSent) {
        this.#runner.established?.answer();
      }
      // Here and not in `take`, as sealing may fail.
      this.channel.flushHandshake();
    } catch (error) {
      this.#ending.fail(error);
    }
    this.channel.deframer.retain();
    this.channel.joiner.retain();
    const bytes = this.channel.take();
    const actions = this.#actions;
    this.#actions = [];
    if (bytes === undefined) {
      return actions;
    }
    if (actions.length === 0) {
      return [{ kind: 'send', bytes }];
    }
    actions.push({ kind: 'send', bytes });
    moveBeforeEnd(actions);
    return actions;
  }

  // IncomingHost

  receivedAlert(content: Uint8Array): void {
    this.#ending.receivedAlert(content);
  }

  #keepVerifyData({ verifyData, previous }: CompletedHandshake): void {
    const both = verifyData ?? previous;
    this.#verifyData = both === undefined ? undefined : concat(both.clientVerifyData, both.serverVerifyData);
  }

  #forget(why: string): void {
    this.#need = undefined;
    this.#exporter?.erase(why);
    this.#exporter = undefined;
    this.#verifyData = undefined;
  }
}

type Body = (bytes: Uint8Array, connection: Connection) => void;

/** `failed` is the last action: the alert that goes with it is sent before. */
function moveBeforeEnd(actions: Action[]): void {
  const at = actions.length - 2;
  if (at >= 0 && actions[at].kind === 'failed') {
    [actions[at], actions[at + 1]] = [actions[at + 1], actions[at]];
  }
}
