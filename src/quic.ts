/**
 * TLS for a QUIC stack, sans-IO: handshake bytes by encryption level in, actions out. One object is the handshake of one QUIC
 * connection, and takes the server's tickets after it.
 *
 *     start() · receive(level, bytes) · resume(need, answer)  ─▶  QuicAction[]
 *
 * There is no record layer: the QUIC stack sends the bytes in CRYPTO frames, protects its packets with the secrets it is
 * given, and closes the connection with `quicErrorCode`. RFC 9001.
 */

import type { Action, Answers, HandshakeSummary, Need } from './actions.ts';
import { alertCodes } from './alerts.ts';
import { plainBytes } from './bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from './connection-options.ts';
import { TLSError } from './errors.ts';
import type { CompletedHandshake, HandshakeHost } from './handshake/host.ts';
import { type EncryptionLevel, QuicChannel, type QuicChannelAction } from './handshake/quic-channel.ts';
import { Runner } from './handshake/runner.ts';
import type { ClientState, ServerState } from './handshake/transitions.ts';
import { type Exporter, keyingMaterial } from './keys/exporter.ts';
import { Account, onAccountOf, type SecretOwner } from './ledger/channels.ts';
import { handshakeTypeName } from './messages/code-points.ts';

export type { EncryptionLevel } from './handshake/quic-channel.ts';
export {
  nextQuicSecret,
  QUIC_INITIAL_SUITE,
  type QuicKeys,
  type QuicVersion,
  quicInitialSecrets,
  quicKeys,
  quicRetryIntegrityTag,
} from './keys/quic.ts';
export {
  decodePacketNumber,
  type OpenedPacket,
  QuicPacketProtection,
  type QuicPacketProtectionOptions,
} from './keys/quic-packet.ts';

/**
 * Bytes kept while the host is asked. A peer may send a whole flight before it has to wait for us, with a chain of
 * certificates; more would let it fill our memory while, say, a look-up is slow (RFC 9000 §7.5).
 */
const MAX_BUFFERED = 2 ** 17;

/** Whatever a caller without types says. */
const WITHOUT_TCP = { versions: ['TLSv1.3'], recordSizeLimit: undefined, earlyData: undefined } as const;

/** RFC 9000 §20.1. */
const CRYPTO_BUFFER_EXCEEDED = 0x0d;
const PROTOCOL_VIOLATION = 0x0a;
const CRYPTO_ERROR = 0x0100;

interface QuicOptions {
  /** quic_transport_parameters, as the QUIC stack encoded them; they pass through (RFC 9001 §8.2). */
  readonly transportParameters: Uint8Array;
}

/** What TLS over TCP has besides, QUIC does by itself or not at all. */
type OverTcp =
  | 'versions'
  | 'cipherSuites12'
  | 'ffdheGroups12'
  | 'allowLegacyMasterSecret'
  | 'recordSizeLimit'
  | 'usageLimit'
  | 'keyRenewal'
  | 'allocate';
/** 0-RTT over QUIC is not there yet: nothing is offered, and a server gives no leave for it. */
type ClientOverTcp = OverTcp | 'offerTickets12' | 'serverRenegotiations' | 'earlyData';
type ServerOverTcp = OverTcp | 'clientRenegotiations';

export interface QuicClientOptions extends Omit<ClientOptions, ClientOverTcp>, QuicOptions {
  /** At least one: QUIC has no connection without an application protocol (RFC 9001 §8.1). */
  readonly alpnProtocols: readonly string[];
}

export interface QuicServerOptions extends Omit<ServerOptions, ServerOverTcp>, QuicOptions {}

type PassedOn = 'session' | 'keyLog' | 'warning';

export type QuicAction =
  | QuicChannelAction
  /** As of a `Connection`. `handshakeComplete`: at a server, 1-RTT packets of the client may be read from here on. */
  | Extract<Action, { kind: 'need' | 'handshakeComplete' | PassedOn }>
  /**
   * The handshake is over, and so is the connection: CONNECTION_CLOSE of type 0x1c with this code. TLS's own secrets are
   * erased, the QUIC stack erases those that it was given. Last action ever.
   */
  | { readonly kind: 'failed'; readonly error: TLSError; readonly quicErrorCode: number };

export class QuicHandshake implements HandshakeHost {
  readonly role: 'client' | 'server';
  readonly channel: QuicChannel;
  /** QUIC closes connections by itself. */
  readonly canSend: boolean = true;
  readonly #runner: Runner;
  #need: Need | undefined;
  /** Bytes that came since the need was raised. */
  #waiting = 0;
  #actions: QuicAction[] = [];
  #summary: HandshakeSummary | undefined;
  #exporter: Exporter | undefined;
  #over = false;
  readonly #account: Account;

  private constructor(role: 'client' | 'server', options: QuicClientOptions | QuicServerOptions) {
    this.role = role;
    this.channel = new QuicChannel({
      role,
      transportParameters: options.transportParameters,
      emit: (action) => this.#actions.push(action),
    });
    const all = { ...options, ...WITHOUT_TCP } as ClientOptions | ServerOptions;
    this.#account = new Account('connection', role);
    // A client makes its key shares at once.
    this.#runner = onAccountOf(this.#account.noted, () => new Runner(role, all, this));
  }

  /** @throws TLSError `TLS_ERR_CONFIG` no application protocol, or options that leave nothing to offer */
  static client(options: QuicClientOptions): QuicHandshake {
    if (options.alpnProtocols === undefined || options.alpnProtocols.length === 0) {
      throw new TLSError('TLS_ERR_CONFIG', 'a QUIC client needs alpnProtocols: there is no connection without one');
    }
    return new QuicHandshake('client', options);
  }

  static server(options: QuicServerOptions): QuicHandshake {
    return new QuicHandshake('server', options);
  }

  /** Whose this connection's secrets are in the ledger. */
  get owner(): SecretOwner {
    return this.#account.owner;
  }

  /** The agreed parameters, once the handshake is complete. */
  get summary(): HandshakeSummary | undefined {
    return this.#summary;
  }

  /** What the handshake waits for. */
  get state(): ClientState | ServerState {
    return this.#runner.state;
  }

  /** A need is open: handshake bytes are kept, up to a bound. */
  get waiting(): boolean {
    return this.#need !== undefined;
  }

  /**
   * A client makes its ClientHello; a server has nothing to do. Called once, first.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when called again
   */
  start(): QuicAction[] {
    if (this.role === 'server' || this.#over) {
      return [];
    }
    if (this.#runner.state !== 'Start') {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the handshake was started before');
    }
    return this.#run(() => this.#runner.step('start', undefined));
  }

  /**
   * Takes bytes of CRYPTO frames from packets of this level, in order, each byte once: putting them in order is the QUIC
   * stack's part. They are lent: what has to be kept is copied.
   * @throws TLSError `TLS_ERR_WRONG_STATE` of a level for which there is no read secret yet
   */
  receive(level: EncryptionLevel, bytes: Uint8Array): QuicAction[] {
    if (this.#over || bytes.length === 0) {
      return [];
    }
    this.channel.checkReadable(level);
    return this.#run(() => {
      this.channel.receive(level, plainBytes(bytes));
      if (this.#need !== undefined) {
        this.#waiting += bytes.length;
        if (this.#waiting > MAX_BUFFERED) {
          throw new TLSError(
            'TLS_ERR_QUIC_CRYPTO_BUFFER',
            `the peer sent more than ${MAX_BUFFERED} handshake bytes while it had to wait`,
          );
        }
      }
      this.#readMessages();
    });
  }

  /**
   * Answers the open need.
   * @throws TLSError `TLS_ERR_WRONG_STATE` when this need is not open
   */
  resume<K extends Need['kind']>(need: Extract<Need, { kind: K }>, answer: Answers[K]): QuicAction[] {
    if (this.#over) {
      return [];
    }
    if (this.#need !== need) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `the need ${need.kind} is not open`);
    }
    this.#need = undefined;
    this.#waiting = 0;
    return this.#run(() => {
      this.#runner.step(need.kind, answer);
      this.#readMessages();
    });
  }

  /** Tells a client that application data came: tickets with nothing between them are counted, and too many end it. */
  noteReceivedData(): void {
    this.#runner.established?.noteReceivedData(0);
  }

  /**
   * Keying material for another protocol (RFC 9846 §7.5). The caller owns the bytes, `length` of them.
   * @throws TLSError `TLS_ERR_WRONG_STATE` before the handshake is complete or after the end
   */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return keyingMaterial(this.#exporter, label, context, length);
  }

  /** Forgets everything, when the QUIC connection ends. Idempotent. */
  erase(why = 'closed'): void {
    this.#over = true;
    this.#need = undefined;
    this.#runner.erase(why);
    this.#exporter?.erase(why);
    this.#exporter = undefined;
    this.channel.erase(why);
  }

  // HandshakeHost

  emit(action: Action): void {
    if (action.kind !== 'session' && action.kind !== 'keyLog' && action.kind !== 'warning') {
      throw new TLSError('TLS_ERR_INTERNAL', `the handshake over QUIC has no use for ${action.kind}`);
    }
    this.#actions.push(action);
  }

  ask(need: Need): void {
    this.#need = need;
    this.#actions.push({ kind: 'need', need });
  }

  completed(completed: CompletedHandshake): void {
    const { summary, exporter } = completed;
    this.#summary = summary;
    this.#exporter = exporter;
    this.#runner.complete(completed);
    // Our Finished goes before, tickets follow.
    this.channel.flush();
    this.#actions.push({ kind: 'handshakeComplete', summary });
    this.channel.complete();
  }

  authenticated(): void {
    throw new TLSError('TLS_ERR_INTERNAL', 'nobody authenticates after a handshake over QUIC');
  }

  renegotiate(): void {
    throw new TLSError('TLS_ERR_INTERNAL', 'nobody renegotiates over QUIC');
  }

  // Running

  #run(body: () => void): QuicAction[] {
    const owner = this.#account.noted;
    return owner === undefined ? this.#gather(body) : onAccountOf(owner, () => this.#gather(body));
  }

  #gather(body: () => void): QuicAction[] {
    try {
      body();
      this.channel.flush();
    } catch (error) {
      this.#fail(error);
    }
    this.channel.joiner.retain();
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  #readMessages(): void {
    const { joiner } = this.channel;
    while (this.#need === undefined) {
      const type = joiner.pendingType;
      if (type === undefined) {
        return;
      }
      const name = handshakeTypeName(type);
      if (name === undefined) {
        throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', `there is no handshake message of type ${type}`);
      }
      if (name === 'certificate_request' && this.#summary !== undefined && this.role === 'client') {
        throw new TLSError('TLS_ERR_QUIC_PROTOCOL', 'the server asks for a certificate after the handshake');
      }
      // Refused by its first byte: the rest of a message that is out of place would only fill our memory.
      const message = this.#runner.allows(name) ? joiner.next() : undefined;
      if (message === undefined && this.#runner.allows(name)) {
        return;
      }
      this.#runner.step(name, message);
    }
  }

  #fail(reason: unknown): void {
    const error =
      reason instanceof TLSError
        ? reason
        : new TLSError('TLS_ERR_INTERNAL', 'the handshake failed by an error of its own', { cause: reason });
    this.erase(error.code);
    this.#actions.push({ kind: 'failed', error, quicErrorCode: quicErrorCode(error) });
  }
}

/**
 * The code for CONNECTION_CLOSE: 0x0100 plus the alert (RFC 9001 §4.8), or one of QUIC's own where its rules are broken.
 */
export function quicErrorCode(error: TLSError): number {
  switch (error.code) {
    case 'TLS_ERR_QUIC_PROTOCOL':
    // Bytes of a level that are left when its keys end (RFC 9001 §4.1.3).
    case 'TLS_ERR_RECORD_BOUNDARY':
      return PROTOCOL_VIOLATION;
    case 'TLS_ERR_QUIC_CRYPTO_BUFFER':
      return CRYPTO_BUFFER_EXCEEDED;
    default:
      return CRYPTO_ERROR + alertCodes[error.alert ?? 'internal_error'];
  }
}
