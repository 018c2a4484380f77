/** Two QUIC handshakes in memory, and CRYPTO streams between them that a test can cut up and tamper with. */

import assert from 'node:assert/strict';
import type { Answers, HandshakeSummary, Need } from '../../src/actions.ts';
import { concat, toHex, utf8 } from '../../src/bytes/bytes.ts';
import type { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { PublicKey } from '../../src/crypto/provider.ts';
import type { CipherSuite } from '../../src/crypto/suites.ts';
import type { TLSError, TLSErrorCode } from '../../src/errors.ts';
import { handshakeTypeName } from '../../src/messages/code-points.ts';
import {
  type EncryptionLevel,
  type QuicAction,
  type QuicClientOptions,
  QuicHandshake,
  type QuicServerOptions,
} from '../../src/quic.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import { identity, type World } from '../support/connections.ts';

/** Bytes of a CRYPTO stream, on their way. */
export interface Piece {
  readonly level: EncryptionLevel;
  readonly bytes: Uint8Array;
}

export interface Keys {
  readonly suite: CipherSuite;
  readonly secret: Secret;
}

export const CLIENT_PARAMETERS: Uint8Array = utf8("the client's transport parameters");
export const SERVER_PARAMETERS: Uint8Array = utf8("the server's transport parameters");

export function quicClient(world: World, options: Partial<QuicClientOptions> = {}): QuicEndpoint {
  const handshake = QuicHandshake.client({
    provider: nodeProvider,
    now: world.now,
    serverName: 'localhost',
    alpnProtocols: ['h3'],
    namedGroups: ['x25519', 'secp256r1'],
    transportParameters: CLIENT_PARAMETERS,
    ...options,
  });
  return new QuicEndpoint(handshake, world);
}

export function quicServer(world: World, options: Partial<QuicServerOptions> = {}): QuicEndpoint {
  const handshake = QuicHandshake.server({
    provider: nodeProvider,
    now: world.now,
    context: world.context,
    namedGroups: ['x25519', 'secp256r1'],
    transportParameters: SERVER_PARAMETERS,
    ...options,
  });
  return new QuicEndpoint(handshake, world);
}

/** One end with a QUIC stack that does everything at once, unless it is told to `hold` needs. */
export class QuicEndpoint {
  readonly handshake: QuicHandshake;
  readonly world: World;
  readonly actions: QuicAction[] = [];
  /** By level and direction, e.g. `handshake read`. */
  readonly secrets = new Map<string, Keys>();
  readonly sessions: ClientSession13[] = [];
  readonly keyLog = new Map<string, string>();
  hold: Need['kind'][] = [];
  need: Need | undefined;
  verdict: PublicKey | TLSError;
  summary: HandshakeSummary | undefined;
  transportParameters: Uint8Array | undefined;
  error: TLSError | undefined;
  quicErrorCode: number | undefined;
  outbox: Piece[] = [];

  constructor(handshake: QuicHandshake, world: World) {
    this.handshake = handshake;
    this.world = world;
    this.verdict = world.identity.publicKey;
  }

  /** What happened, in order and in words. */
  get story(): readonly string[] {
    return this.actions.map((action) => {
      switch (action.kind) {
        case 'secrets':
          return `${action.kind} ${action.level} ${action.direction}`;
        case 'handshakeBytes':
          return `${action.kind} ${action.level}: ${messagesIn(action.bytes)
            .map(({ name }) => name)
            .join(' ')}`;
        case 'discardKeys':
          return `${action.kind} ${action.level}`;
        default:
          return action.kind;
      }
    });
  }

  start(): this {
    return this.take(this.handshake.start());
  }

  receive(level: EncryptionLevel, bytes: Uint8Array): this {
    // The memory is the QUIC stack's: what is kept by reference is seen to change.
    const lent = new Uint8Array(bytes);
    const actions = this.handshake.receive(level, lent);
    lent.fill(0xee);
    return this.take(actions);
  }

  flush(): Piece[] {
    const pieces = this.outbox;
    this.outbox = [];
    return pieces;
  }

  answer(): this {
    const need = this.need;
    assert(need !== undefined, 'a need is open');
    this.need = undefined;
    return this.take(this.handshake.resume(need, this.#answerTo(need)));
  }

  take(actions: readonly QuicAction[]): this {
    for (const [at, action] of actions.entries()) {
      this.actions.push(action);
      assert(this.error === undefined, 'nothing follows failed');
      switch (action.kind) {
        case 'handshakeBytes':
          this.outbox.push(action);
          break;
        case 'secrets': {
          const name = `${action.level} ${action.direction}`;
          assert(!this.secrets.has(name), `${name} is handed out once`);
          this.secrets.set(name, action);
          break;
        }
        case 'transportParameters':
          assert(this.transportParameters === undefined, 'the parameters are handed on once');
          this.transportParameters = action.bytes;
          break;
        case 'handshakeComplete':
          assert(this.summary === undefined, 'complete only once');
          this.summary = action.summary;
          break;
        case 'session':
          assert(action.session.version === 'TLSv1.3');
          this.sessions.push(action.session);
          break;
        case 'keyLog': {
          const [label, , secret] = Buffer.from(action.line).toString().split(' ');
          this.keyLog.set(label, secret);
          break;
        }
        case 'failed':
          assert.equal(at, actions.length - 1, 'failed is the last action');
          this.error = action.error;
          this.quicErrorCode = action.quicErrorCode;
          break;
        case 'need':
          this.need = action.need;
          if (!this.hold.includes(action.need.kind)) {
            this.take(actions.slice(at + 1));
            return this.answer();
          }
      }
    }
    return this;
  }

  assertFailed(code: TLSErrorCode, quicErrorCode: number): this {
    assert.equal(this.error?.code, code, this.error?.stack);
    assert.equal(this.quicErrorCode, quicErrorCode);
    return this;
  }

  /** In hex. */
  secret(name: string): string {
    const keys = this.secrets.get(name);
    assert(keys !== undefined, `${name} was handed out`);
    return keys.secret.use(toHex);
  }

  /** Erases what a QUIC stack owns. */
  forget(): void {
    this.handshake.erase();
    for (const { secret } of [...this.secrets.values(), ...this.sessions]) {
      secret.erase();
    }
  }

  #answerTo(need: Need): Answers[Need['kind']] {
    switch (need.kind) {
      case 'verifyCertificate':
        return this.verdict;
      case 'context':
        return this.world.context;
      case 'sign': {
        const { privateKey } = identity().credential;
        assert(privateKey !== undefined);
        return nodeProvider.sign(need.scheme, privateKey, need.data);
      }
      default:
        throw new Error(`nobody here answers ${need.kind}`);
    }
  }
}

/** Changes what is on its way; undefined swallows it. */
export type Tamper = (name: string, raw: Uint8Array) => Uint8Array | undefined;

export class QuicLink {
  readonly client: QuicEndpoint;
  readonly server: QuicEndpoint;
  chop: (bytes: Uint8Array) => Iterable<Uint8Array> = (bytes) => [bytes];
  toServer: Tamper = (_name, raw) => raw;
  toClient: Tamper = (_name, raw) => raw;

  constructor(client: QuicEndpoint, server: QuicEndpoint) {
    this.client = client;
    this.server = server;
  }

  static between(
    world: World,
    client: Partial<QuicClientOptions> = {},
    server: Partial<QuicServerOptions> = {},
  ): QuicLink {
    return new QuicLink(quicClient(world, client), quicServer(world, server));
  }

  /** A handshake that must complete. */
  static connect(
    world: World,
    client: Partial<QuicClientOptions> = {},
    server: Partial<QuicServerOptions> = {},
  ): QuicLink {
    const link = QuicLink.between(world, client, server).run();
    link.assertComplete();
    return link;
  }

  run(): this {
    this.client.start();
    return this.deliver();
  }

  deliver(): this {
    for (let round = 0; round < 100; round++) {
      const up = this.client.flush();
      const down = this.server.flush();
      if (up.length === 0 && down.length === 0) {
        return this;
      }
      this.#pour(this.server, up, this.toServer);
      this.#pour(this.client, down, this.toClient);
    }
    throw new Error('the two ends talk without end');
  }

  assertComplete(): void {
    const { client, server } = this;
    assert.equal(client.error?.stack ?? server.error?.stack, undefined);
    assert(client.summary !== undefined && server.summary !== undefined, 'both are complete');
    for (const field of ['cipherSuite', 'namedGroup', 'alpnProtocol', 'resumed', 'helloRetried', 'version'] as const) {
      assert.equal(client.summary[field], server.summary[field], field);
    }
    for (const level of ['handshake', 'application']) {
      assert.equal(client.secret(`${level} write`), server.secret(`${level} read`), level);
      assert.equal(client.secret(`${level} read`), server.secret(`${level} write`), level);
    }
    const all = ['handshake read', 'handshake write', 'application read', 'application write'];
    assert.equal(new Set(all.map((name) => client.secret(name))).size, 4, 'no secret serves twice');
    assert.deepEqual(
      client.handshake.exportKeyingMaterial('EXPORTER-test', utf8('context'), 24),
      server.handshake.exportKeyingMaterial('EXPORTER-test', utf8('context'), 24),
    );
  }

  forget(): void {
    this.client.forget();
    this.server.forget();
  }

  #pour(to: QuicEndpoint, pieces: readonly Piece[], tamper: Tamper): void {
    for (const { level, bytes } of pieces) {
      if (level !== 'initial' && !to.secrets.has(`${level} read`)) {
        // Its packets cannot be opened.
        continue;
      }
      const tampered = messagesIn(bytes).map(({ name, raw }) => tamper(name, raw) ?? new Uint8Array(0));
      for (const piece of this.chop(concat(...tampered))) {
        to.receive(level, piece);
      }
    }
  }
}

export function messagesIn(bytes: Uint8Array): { readonly name: string; readonly raw: Uint8Array }[] {
  const messages: { name: string; raw: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + ((bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]);
    messages.push({ name: handshakeTypeName(bytes[at]) ?? `type ${bytes[at]}`, raw: bytes.subarray(at, end) });
    at = end;
  }
  return messages;
}

/** The message of this name that an end wrote. */
export function messageOf(endpoint: QuicEndpoint, name: string): Uint8Array {
  for (const action of endpoint.actions) {
    const found =
      action.kind === 'handshakeBytes' ? messagesIn(action.bytes).find((message) => message.name === name) : undefined;
    if (found !== undefined) {
      return found.raw;
    }
  }
  throw new Error(`no ${name} was written`);
}
