/**
 * Two connections in memory and a host for each that answers at once, with nothing around them: no sockets, no timers,
 * no checks of certificates. What is counted over them is the core's own work.
 */

import type { Action } from '../../src/actions.ts';
import { Connection } from '../../src/connection.ts';
import type { ClientOptions, Credential, ServerContext } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider, PublicKey } from '../../src/crypto/provider.ts';
import { systemClock } from '../../src/node/clock.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { makeCertificate, pemToDer } from '../certificate.ts';

/** What happened at both ends together. */
export interface ActionTally {
  actions: Record<string, number>;
  /** Of `send` actions. */
  wireBytes: number;
  /** Of each end, the lengths of its `send` actions. */
  sent?: Readonly<Record<'client' | 'server', number[]>>;
}

/** One server's keys and contexts, and the client that trusts it. */
export class World {
  readonly provider: CryptoProvider;
  readonly tally: ActionTally | undefined;
  /** Where the ends of connections have providers of their own. */
  readonly ends: { readonly client: CryptoProvider; readonly server: CryptoProvider } | undefined;
  readonly publicKey: PublicKey;
  /** Sessions by ticket. */
  readonly byTicket: ServerContext;
  /** TLS 1.2: sessions by ID. */
  readonly byId: ServerContext;

  constructor(provider: CryptoProvider = nodeProvider, tally?: ActionTally, ends?: World['ends']) {
    this.provider = provider;
    this.tally = tally;
    this.ends = ends;
    const { cert, key } = makeCertificate();
    const privateKey = provider.importPrivateKey(key);
    this.publicKey = provider.importPublicKey(privateKey.publicKeySpki);
    const credential: Credential = { certificateChain: pemToDer(cert), schemes: privateKey.schemes, privateKey };
    const common = { credentials: [credential], alpnProtocols: ['http/1.1'] };
    this.byTicket = {
      ...common,
      tickets: {
        keys: new LocalTicketKeys({ provider, clock: systemClock }),
        ticketsPerConnection: 2,
        ticketsPerResumption: 1,
        maxTickets: 8,
        ticketLifetime: 7200,
        handshakeValidity: 86_400,
      },
    };
    this.byId = { ...common, sessionCache: new SessionCache({ clock: systemClock }) };
  }

  /** A handshake that must complete. */
  connect(client: Partial<ClientOptions> = {}, context: ServerContext = this.byTicket): MemoryPair {
    const common = {
      now: Date.now,
      namedGroups: client.namedGroups ?? (['x25519'] as const),
      versions: client.versions,
    };
    const ends = this.ends ?? { client: this.provider, server: this.provider };
    const pair = new MemoryPair(
      this,
      Connection.client({
        serverName: 'localhost',
        alpnProtocols: ['http/1.1'],
        ...client,
        ...common,
        provider: ends.client,
      }),
      Connection.server({ ...common, provider: ends.server, context }),
    );
    pair.deliver(pair.client, pair.client.start());
    if (pair.client.summary === undefined || pair.server.summary === undefined) {
      throw new Error('the handshake in memory is not complete');
    }
    if (pair.client.summary.resumed !== (client.session !== undefined)) {
      throw new Error(`a handshake that was to be ${client.session ? 'resumed was full' : 'full was resumed'}`);
    }
    return pair;
  }

  /** A session that may be resumed again and again. */
  session(client: Partial<ClientOptions> = {}, context: ServerContext = this.byTicket): ClientSession {
    const pair = this.connect(client, context);
    const session = pair.keepSession();
    pair.erase();
    if (session === undefined) {
      throw new Error('the server gave no session to resume');
    }
    return session;
  }
}

export class MemoryPair {
  readonly client: Connection;
  readonly server: Connection;
  readonly #world: World;
  #session: ClientSession | undefined;
  /** Application data that has arrived at both ends. */
  received = 0;

  constructor(world: World, client: Connection, server: Connection) {
    this.#world = world;
    this.client = client;
    this.server = server;
  }

  send(from: Connection, data: Uint8Array): void {
    this.deliver(from, from.send(data));
  }

  /** Does what the actions say, at both ends, until nothing moves. */
  deliver(from: Connection, actions: readonly Action[]): void {
    const to = from === this.client ? this.server : this.client;
    const { tally } = this.#world;
    for (const action of actions) {
      if (tally !== undefined) {
        tally.actions[action.kind] = (tally.actions[action.kind] ?? 0) + 1;
      }
      switch (action.kind) {
        case 'send':
          if (tally !== undefined) {
            tally.wireBytes += action.bytes.length;
            tally.sent?.[from === this.client ? 'client' : 'server'].push(action.bytes.length);
          }
          this.deliver(to, to.receive(action.bytes));
          break;
        case 'data':
          this.received += action.bytes.length;
          break;
        case 'session':
          this.#session?.secret.erase();
          this.#session = action.session;
          break;
        case 'need':
          if (action.need.kind !== 'verifyCertificate') {
            throw new Error(`no host answers the need ${action.need.kind}`);
          }
          this.deliver(from, from.resume(action.need, this.#world.publicKey));
          break;
        case 'failed':
          throw action.error;
      }
    }
  }

  /** The last session the client was given; its secret is the caller's from now on. */
  keepSession(): ClientSession | undefined {
    const session = this.#session;
    this.#session = undefined;
    return session;
  }

  erase(): void {
    this.client.erase();
    this.server.erase();
    this.#session?.secret.erase();
  }
}
