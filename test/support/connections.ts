/** Two connections in memory: keys, options, and a wire between them that a test can slow down, cut and tamper with. */

import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Action, Answers, HandshakeSummary, Need } from '../../src/actions.ts';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { Connection } from '../../src/connection.ts';
import type { ClientOptions, Credential, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { PublicKey } from '../../src/crypto/provider.ts';
import type { TLSError } from '../../src/errors.ts';
import type { ClientSession12, ClientSession13 } from '../../src/session/client-session.ts';
import type { ExternalPskQuery, FoundPsk } from '../../src/session/external-psk.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import type { TicketClaim } from '../../src/session/single-use-register.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { rsaKeyPair } from './rsa-keys.ts';

export interface Identity {
  readonly credential: Credential;
  readonly publicKey: PublicKey;
}

const generators = {
  ed25519: () => generateKeyPairSync('ed25519'),
  ed448: () => generateKeyPairSync('ed448'),
  'ec-p256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ec-p384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'ec-p521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  rsa: () => rsaKeyPair(),
  'rsa-pss': () => rsaKeyPair('rsa-pss'),
} satisfies Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }>;

const identities = new Map<string, Identity>();

/** A key of this type, made once; its "certificate" is a text, as chains are the host's to check. */
export function identity(type: keyof typeof generators = 'ed25519', name = ''): Identity {
  const known = identities.get(type + name);
  if (known !== undefined) {
    return known;
  }
  const { publicKey, privateKey } = generators[type]();
  const imported = nodeProvider.importPrivateKey(privateKey);
  const made: Identity = {
    credential: {
      certificateChain: [utf8(`the certificate of ${type}${name}`)],
      schemes: imported.schemes,
      privateKey: imported,
    },
    publicKey: nodeProvider.importPublicKey(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))),
  };
  identities.set(type + name, made);
  return made;
}

/** A server's world: its clock, its ticket keys and one context. */
export class World {
  readonly clock = new SimulatedClock();
  readonly keys: LocalTicketKeys = new LocalTicketKeys({ provider: nodeProvider, clock: this.clock });
  readonly identity: Identity;
  readonly context: ServerContext;

  constructor(changes: Partial<ServerContext> = {}, who: Identity = identity()) {
    this.identity = who;
    this.context = {
      credentials: [who.credential],
      alpnProtocols: ['h2', 'http/1.1'],
      tickets: {
        keys: this.keys,
        ticketsPerConnection: 2,
        ticketsPerResumption: 1,
        maxTickets: 8,
        ticketLifetime: 7200,
        handshakeValidity: 86_400,
      },
      ...changes,
    };
  }

  readonly now = (): number => this.clock.now();

  client(options: Partial<ClientOptions> = {}): Endpoint {
    const connection = Connection.client({
      provider: nodeProvider,
      now: this.now,
      serverName: 'localhost',
      alpnProtocols: ['h2'],
      namedGroups: ['x25519', 'secp256r1'],
      cipherSuites: ['TLS_AES_128_GCM_SHA256'],
      exportKeyLog: true,
      ...options,
    });
    return new Endpoint(connection, this);
  }

  server(options: Partial<ServerOptions> = {}): Endpoint {
    const connection = Connection.server({
      provider: nodeProvider,
      now: this.now,
      context: this.context,
      namedGroups: ['x25519', 'secp256r1'],
      exportKeyLog: true,
      ...options,
    });
    return new Endpoint(connection, this);
  }

  pair(client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
    return new Link(this.client(client), this.server(server));
  }

  /** A handshake that must complete. */
  connect(client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
    const link = this.pair(client, server).run();
    link.assertComplete();
    return link;
  }

  close(): void {
    this.keys.close();
  }
}

/** One connection with a host that does everything at once, unless it is told to `hold` needs. */
export class Endpoint {
  readonly connection: Connection;
  readonly world: World;
  readonly actions: Action[] = [];
  readonly sessions: ClientSession13[] = [];
  readonly sessions12: ClientSession12[] = [];
  readonly keyLog = new Map<string, string>();
  readonly keyUpdates: string[] = [];
  /** Needs of these kinds are kept in `need` instead of being answered. */
  hold: Need['kind'][] = [];
  need: Need | undefined;
  publicKey: PublicKey;
  verdict: PublicKey | TLSError | undefined;
  /** The answer to `certificateStatus` needs. */
  status: Uint8Array | undefined;
  /** The answers to `externalPsk` and `claimTicket` needs. */
  externalPsk: (query: ExternalPskQuery) => FoundPsk | undefined = () => undefined;
  claim: (ticketId: Uint8Array, expiresAt: number) => TicketClaim = () => 'full';
  readonly warnings: string[] = [];
  summary: HandshakeSummary | undefined;
  error: TLSError | undefined;
  peerClosed = false;
  /** Bytes to send, one entry per action. */
  outbox: Uint8Array[] = [];
  #data: Uint8Array[] = [];

  constructor(connection: Connection, world: World) {
    this.connection = connection;
    this.world = world;
    this.publicKey = world.identity.publicKey;
  }

  /** It has not failed. A method, as the compiler would remember the value of the field. */
  assertFine(what = ''): this {
    assert.equal(this.error?.stack, undefined, what);
    return this;
  }

  get over(): boolean {
    return this.error !== undefined;
  }

  get data(): Uint8Array {
    return concat(...this.#data);
  }

  start(): this {
    return this.take(this.connection.start());
  }

  receive(bytes: Uint8Array): this {
    // The memory is the transport's: what the core keeps by reference is seen to change.
    const lent = Buffer.isBuffer(bytes) ? Buffer.from(bytes) : new Uint8Array(bytes);
    const actions = this.connection.receive(lent);
    lent.fill(0xee);
    return this.take(actions);
  }

  /** Takes what is to be sent, as one array. */
  flush(): Uint8Array {
    const bytes = concat(...this.outbox);
    this.outbox = [];
    return bytes;
  }

  answer(): this {
    const need = this.need;
    assert(need !== undefined, 'a need is open');
    this.need = undefined;
    return this.take(this.connection.resume(need, this.#answerTo(need)));
  }

  take(actions: readonly Action[]): this {
    for (const [at, action] of actions.entries()) {
      this.actions.push(action);
      assert(this.error === undefined, 'nothing follows failed');
      switch (action.kind) {
        case 'send':
          this.outbox.push(action.bytes);
          break;
        case 'data':
          this.#data.push(action.bytes);
          break;
        case 'session':
          if (action.session.version === 'TLSv1.3') {
            this.sessions.push(action.session);
          } else {
            this.sessions12.push(action.session);
          }
          break;
        case 'handshakeComplete':
          assert(this.summary === undefined, 'complete only once');
          this.summary = action.summary;
          break;
        case 'keyLog': {
          const [label, , secret] = Buffer.from(action.line).toString().split(' ');
          this.keyLog.set(label, secret);
          break;
        }
        case 'keyUpdate':
          this.keyUpdates.push(`${action.direction} ${action.generation}`);
          break;
        case 'warning':
          assert(this.summary === undefined, 'warnings come before the handshake is complete');
          this.warnings.push(action.warning);
          break;
        case 'peerClosed':
          this.peerClosed = true;
          break;
        case 'failed':
          assert.equal(at, actions.length - 1, 'failed is the last action');
          this.error = action.error;
          break;
        case 'need':
          this.need = action.need;
          if (!this.hold.includes(action.need.kind)) {
            // What was sent before the answer leaves before it.
            const rest = actions.slice(at + 1);
            this.take(rest);
            return this.answer();
          }
      }
    }
    return this;
  }

  /** Erases what a host owns. */
  forget(): void {
    this.connection.erase();
    for (const session of [...this.sessions, ...this.sessions12]) {
      session.secret.erase();
    }
  }

  #answerTo(need: Need): Answers[Need['kind']] {
    switch (need.kind) {
      case 'verifyCertificate':
        return this.verdict ?? this.publicKey;
      case 'certificateStatus':
        return this.status;
      case 'externalPsk':
        return this.externalPsk(need.query);
      case 'claimTicket':
        return this.claim(need.ticketId, need.expiresAt);
      case 'context':
        return this.world.context;
      case 'sign': {
        const { privateKey } = this.world.identity.credential;
        assert(privateKey !== undefined);
        return nodeProvider.sign(need.scheme, privateKey, need.data);
      }
    }
  }
}

/** How bytes are cut up on their way. */
export type Chop = (bytes: Uint8Array) => Iterable<Uint8Array>;

export class Link {
  readonly client: Endpoint;
  readonly server: Endpoint;
  chop: Chop = (bytes) => [bytes];
  /** Bytes on their way to the server and to the client are passed through these. */
  toServer: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;
  toClient: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;

  constructor(client: Endpoint, server: Endpoint) {
    this.client = client;
    this.server = server;
  }

  /** Starts the client and delivers until nothing moves. */
  run(): this {
    this.client.start();
    return this.deliver();
  }

  deliver(): this {
    for (let round = 0; round < 1000; round++) {
      const up = this.client.flush();
      const down = this.server.flush();
      if (up.length === 0 && down.length === 0) {
        return this;
      }
      pour(this.server, this.chop, this.toServer(up));
      pour(this.client, this.chop, this.toClient(down));
    }
    throw new Error('the two connections talk without end');
  }

  /** Tells both that the transport has ended. */
  cut(): this {
    this.client.take(this.client.connection.transportEnded());
    this.server.take(this.server.connection.transportEnded());
    return this;
  }

  assertComplete(): void {
    const { client, server } = this;
    if (client.error !== undefined || server.error !== undefined) {
      throw new Error(`client: ${client.error?.stack}\nserver: ${server.error?.stack}`);
    }
    assert(client.summary !== undefined && server.summary !== undefined, 'both are complete');
    assert.equal(client.summary.cipherSuite, server.summary.cipherSuite);
    assert.equal(client.summary.namedGroup, server.summary.namedGroup);
    assert.equal(client.summary.signatureScheme, server.summary.signatureScheme);
    assert.equal(client.summary.alpnProtocol, server.summary.alpnProtocol);
    assert.equal(client.summary.resumed, server.summary.resumed);
    assert.equal(client.summary.helloRetried, server.summary.helloRetried);
    assert.equal(client.summary.version, server.summary.version);
    assert.equal(client.summary.resumedBy, server.summary.resumedBy);
    assert.equal(client.summary.extendedMasterSecret, server.summary.extendedMasterSecret);
    if (client.summary.extendedMasterSecret) {
      const exported = client.connection.exportKeyingMaterial('test', utf8('context'), 24);
      assert.deepEqual(exported, server.connection.exportKeyingMaterial('test', utf8('context'), 24));
    }
    this.assertDataFlows();
  }

  assertDataFlows(): void {
    const { client, server } = this;
    const up = utf8(`up ${this.#talked}`);
    const down = utf8(`down ${this.#talked++}`);
    const before = { up: server.data.length, down: client.data.length };
    client.take(client.connection.send(up));
    server.take(server.connection.send(down));
    this.deliver();
    assert.deepEqual(server.data.subarray(before.up), up);
    assert.deepEqual(client.data.subarray(before.down), down);
  }

  #talked = 0;

  /** Ends both and erases what their hosts own. */
  forget(): void {
    this.client.forget();
    this.server.forget();
  }
}

function pour(to: Endpoint, chop: Chop, bytes: Uint8Array): void {
  if (bytes.length === 0) {
    return;
  }
  for (const chunk of chop(bytes)) {
    to.receive(chunk);
  }
}
