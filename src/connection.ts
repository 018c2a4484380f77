/**
 * The sans-IO core: bytes and calls in, actions out. One object is one TLS connection of either role.
 *
 *     receive(bytes) · send(data) · resume(need, answer)  ─▶  Action[]
 *
 * It has no sockets, timers, clocks or randomness of its own. RFC 9846.
 */

import type { Action, Answers, HandshakeSummary, HostAlert, Need } from './actions.ts';
import type { AlertDescription } from './alerts.ts';
import { concat, plainBytes } from './bytes/bytes.ts';
import type { ClientAuthenticationPolicy, ClientOptions, ServerContext, ServerOptions } from './connection-options.ts';
import { TLSError } from './errors.ts';
import { HeldData } from './handshake/held-data.ts';
import type { CompletedHandshake, HandshakeHost, PreviousHandshake } from './handshake/host.ts';
import { Incoming, type IncomingHost } from './handshake/incoming.ts';
import { checkOptions } from './handshake/option-checks.ts';
import { readAlert } from './handshake/received-alert.ts';
import { RecordChannel } from './handshake/record-channel.ts';
import { Runner } from './handshake/runner.ts';
import type { ClientState, ServerState } from './handshake/transitions.ts';
import type { Exporter } from './keys/exporter.ts';
import { newOwner, onAccountOf, type SecretOwner, secretBorn } from './ledger/channels.ts';
import type { JoinedMessage } from './messages/message-joiner.ts';

/** How the connection ended, or that it has not: `open` for data is what `canSend` and `peerClosed` tell. */
type Ending = 'open' | 'failed' | 'erased';

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
  readonly #held = new HeldData();
  #closeSent = false;
  #peerClosed = false;
  #ending: Ending = 'open';
  #owner: SecretOwner | undefined;

  private constructor(role: 'client' | 'server', options: ClientOptions | ServerOptions) {
    checkOptions(options);
    this.role = role;
    this.channel = new RecordChannel({
      provider: options.provider,
      role,
      usageLimit: options.usageLimit,
      allocate: options.allocate,
    });
    // A client makes its key shares at once.
    this.#runner = onAccountOf(this.#ownerToNote, () => new Runner(role, options, this));
    this.#incoming = new Incoming(this, this.#runner);
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
    this.#owner ??= newOwner('connection', this.role);
    return this.#owner;
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
    const isOpen = mayWrite && this.#ending === 'open';
    const isClosing = this.#closeSent || this.#held.closeDue;
    return isOpen && !isClosing && !(this.#peerClosed && this.channel.holdsData);
  }

  /**
   * What is sent now waits for the end of a TLS 1.2 renegotiation, as does close_notify behind it. A host should wait as
   * for a transport that takes no more, and not end the transport: how long it takes is up to the peer.
   */
  get holdsData(): boolean {
    const isOpen = this.#runner.established !== undefined && !this.#closeSent;
    return !this.#held.isEmpty || (isOpen && this.channel.holdsData);
  }

  /** A need is open: what arrives is kept, up to a bound, so a host had better not read on. */
  get waiting(): boolean {
    return this.#need !== undefined;
  }

  /** Neither side has ended what comes in. */
  get reading(): boolean {
    return this.#ending === 'open' && !this.#peerClosed;
  }

  /** The peer sent close_notify. */
  get peerClosed(): boolean {
    return this.#peerClosed;
  }

  /**
   * A client sends its ClientHello; a server has nothing to do. Called once, first.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when called again
   */
  start(): Action[] {
    if (this.role === 'server' || this.#ending !== 'open') {
      return [];
    }
    if (this.#runner.state !== 'Start') {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the connection was started before');
    }
    return this.#run(() => this.#runner.step('start', undefined));
  }

  /** Client: bytes of early data that `sendEarlyData` takes now. */
  get earlyDataRoom(): number {
    const isOpen = this.#ending === 'open' && !this.#closeSent;
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
    if (this.#ending !== 'open' || this.#peerClosed || bytes.length === 0) {
      return [];
    }
    return this.#run(() => {
      this.channel.deframer.lend(plainBytes(bytes));
      this.#incoming.read();
    });
  }

  /** The transport has ended. Without close_notify before it the connection fails: data may have been cut off. */
  transportEnded(): Action[] {
    if (this.#ending !== 'open' || this.#peerClosed) {
      return [];
    }
    return this.#run(() => {
      const when = this.#runner.established === undefined ? 'during the handshake' : 'without close_notify';
      throw new TLSError('TLS_ERR_TRUNCATED', `the ${this.#peer} ended the connection ${when}`);
    });
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
    return this.#run(() => this.#sendData(data));
  }

  /**
   * Answers the open need.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when this need is not open
   */
  resume<K extends Need['kind']>(need: Extract<Need, { kind: K }>, answer: Answers[K]): Action[] {
    if (this.#ending !== 'open') {
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
    if (this.#ending !== 'open' || this.#closeSent) {
      return [];
    }
    if (!this.#held.isEmpty) {
      this.#held.closeDue = true;
      return [];
    }
    return this.#run(() => this.#close());
  }

  /** Gives up with a fatal alert; all secrets are erased. */
  abort(alert: HostAlert): Action[] {
    if (this.#ending !== 'open') {
      return [];
    }
    return this.#run(() => {
      this.#alert(alert);
      if (alert !== 'user_canceled') {
        this.#runner.endSession(false);
      }
      this.#end(`aborted with ${alert}`);
    });
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
    if (!this.canSend || this.#peerClosed) {
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
    if (!this.canSend || this.#peerClosed) {
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
    if (this.#exporter === undefined) {
      throw new TLSError(
        'TLS_ERR_WRONG_STATE',
        'there is no keying material before the handshake is complete or after the end',
      );
    }
    const exported = this.#exporter.export(label, context, length);
    // On an allocation of its own, as a Secret's: in V8's heap the collector would leave copies that nobody can erase.
    const bytes = new Uint8Array(new ArrayBuffer(exported.length));
    bytes.set(exported.expose());
    exported.erase();
    return bytes;
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
    if (this.#ending === 'open') {
      this.#end(why);
    }
  }

  // HandshakeHost

  emit(action: Action): void {
    this.#actions.push(action);
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
    this.#actions.push({ kind: renegotiating ? 'renegotiated' : 'handshakeComplete', summary });
    this.#releaseHeldData();
  }

  renegotiate(previous: PreviousHandshake, hello?: JoinedMessage): void {
    this.#runner.renegotiate(previous, hello);
  }

  // Running

  /** None while nobody listens. */
  get #ownerToNote(): SecretOwner | undefined {
    return secretBorn.hasSubscribers ? this.owner : undefined;
  }

  get #peer(): 'client' | 'server' {
    return this.role === 'client' ? 'server' : 'client';
  }

  /** Runs one call: gathers what is to be sent into one action and turns an error into an alert and an end. */
  #run(body: () => void): Action[] {
    const owner = this.#ownerToNote;
    return owner === undefined ? this.#gather(body) : onAccountOf(owner, () => this.#gather(body));
  }

  #gather(body: () => void): Action[] {
    try {
      body();
      if (!this.#closeSent) {
        this.#runner.established?.answer();
      }
      // Here and not in `take`, as sealing may fail.
      this.channel.flushHandshake();
    } catch (error) {
      this.#fail(error);
    }
    this.channel.deframer.retain();
    this.channel.joiner.retain();
    const bytes = this.channel.take();
    const actions = this.#actions;
    this.#actions = [];
    if (bytes !== undefined) {
      actions.push({ kind: 'send', bytes });
      moveBeforeEnd(actions);
    }
    return actions;
  }

  // IncomingHost

  receivedAlert(content: Uint8Array): void {
    const alert = readAlert(content, this.#peer, this.channel.isTls12);
    if (this.channel.joiner.pending) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'an alert came in the middle of a handshake message');
    }
    if (alert.kind === 'close_notify') {
      this.#onCloseNotify();
      return;
    }
    if (alert.kind === 'user_canceled' || alert.kind === 'warning') {
      this.channel.noteRecord(true);
      if (alert.kind === 'warning' && alert.name === 'no_renegotiation' && this.#runner.declined()) {
        this.#actions.push({ kind: 'renegotiationDeclined' });
        this.#releaseHeldData();
      }
      return;
    }
    this.#runner.endSession(true);
    this.#end(alert.error.message);
    this.#actions.push({ kind: 'failed', error: alert.error });
  }

  #onCloseNotify(): void {
    if (this.#runner.established === undefined) {
      throw new TLSError('TLS_ERR_TRUNCATED', `the ${this.#peer} closed the connection during the handshake`);
    }
    if (!this.#held.isEmpty) {
      throw new TLSError(
        'TLS_ERR_TRUNCATED',
        `the ${this.#peer} closed the connection in a renegotiation, for whose end data was waiting`,
      );
    }
    this.#peerClosed = true;
    this.#runner.abandonRenegotiation();
    this.#actions.push({ kind: 'peerClosed' });
    if (this.#closeSent) {
      this.#end('closed');
    }
  }

  #keepVerifyData({ verifyData, previous }: CompletedHandshake): void {
    const both = verifyData ?? previous;
    this.#verifyData = both === undefined ? undefined : concat(both.clientVerifyData, both.serverVerifyData);
  }

  #sendData(data: Uint8Array): void {
    const { channel } = this;
    const connected = this.#runner.established;
    if (this.holdsData) {
      this.#held.hold(data);
      return;
    }
    if (connected === undefined) {
      this.#answerEarlyData(data);
      return;
    }
    connected.noteSentData(data.length);
    let at = 0;
    while (at < data.length) {
      if (connected.writable <= 0) {
        connected.update(false);
      }
      if (connected.writable <= 0) {
        // A renegotiation is under way, for new keys.
        this.#held.hold(data.subarray(at));
        return;
      }
      const room = connected.writable * channel.maxFragment;
      const end = Math.min(data.length, at + room);
      channel.applicationData(data, at, end);
      at = end;
    }
  }

  /** Before the client's Finished the write key cannot be renewed: what it cannot carry waits for it. */
  #answerEarlyData(data: Uint8Array): void {
    const { channel } = this;
    const end = Math.min(data.length, Math.max(0, channel.writable) * channel.maxFragment);
    if (end > 0) {
      channel.applicationData(data, 0, end);
    }
    if (end < data.length) {
      this.#held.hold(data.subarray(end));
    }
  }

  #releaseHeldData(): void {
    // Our Finished goes first.
    this.channel.flushHandshake();
    this.channel.holdsData = false;
    for (const data of this.#held.release()) {
      this.#sendData(data);
    }
    if (this.#held.closeDue && this.#held.isEmpty) {
      this.#held.closeDue = false;
      this.#close();
    }
  }

  #close(): void {
    const duringHandshake = this.#runner.established === undefined && !this.#runner.answersEarlyData;
    if (duringHandshake) {
      this.#alert('user_canceled');
    }
    this.#alert('close_notify');
    this.channel.endWriting();
    this.#closeSent = true;
    if (duringHandshake || this.#peerClosed) {
      this.#end('closed');
    }
  }

  #fail(reason: unknown): void {
    const error =
      reason instanceof TLSError
        ? reason
        : new TLSError('TLS_ERR_INTERNAL', 'the connection failed by an error of its own', { cause: reason });
    if (this.#ending !== 'open') {
      return;
    }
    // Whatever goes wrong on our side, the peer is told that something did.
    const alert = error.alert ?? (error.blame === 'peer' ? undefined : 'internal_error');
    if (alert !== undefined) {
      this.#alertIfPossible(alert);
      this.#runner.endSession(error.code === 'TLS_ERR_BAD_FINISHED');
    }
    this.#end(error.code);
    this.#actions.push({ kind: 'failed', error });
    this.#ending = 'failed';
  }

  /** Nothing may follow close_notify (RFC 9846 §6.1), and nothing makes sense before a ClientHello. */
  #alert(description: AlertDescription): void {
    if (this.#closeSent || this.#runner.state === 'Start') {
      return;
    }
    this.#runner.protectAlerts();
    this.channel.alert(description);
  }

  #alertIfPossible(description: AlertDescription): void {
    try {
      this.#alert(description);
    } catch {
      // The write key itself is what failed (its usage limit): nothing can be said under it any more.
    }
  }

  #end(why: string): void {
    this.#ending = 'erased';
    this.#need = undefined;
    this.#held.release();
    this.#runner.erase(why);
    this.#exporter?.erase(why);
    this.#exporter = undefined;
    this.#verifyData = undefined;
    this.channel.erase(why);
  }
}

/** `failed` is the last action: the alert that goes with it is sent before. */
function moveBeforeEnd(actions: Action[]): void {
  const at = actions.length - 2;
  if (at >= 0 && actions[at].kind === 'failed') {
    [actions[at], actions[at + 1]] = [actions[at + 1], actions[at]];
  }
}
