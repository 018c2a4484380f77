/** The fleet that is robbed: a real Redis, three members, two Mayfly servers behind a wiretap, and clients that come back. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { toHex, utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider, KeyShare } from '../../src/crypto/provider.ts';
import { ringConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, type IdentityFile, readIdentityFile } from '../../src/fleet/identity.ts';
import type { RedisConnection } from '../../src/fleet/redis/connection.ts';
import { RedisStore } from '../../src/fleet/redis/redis-store.ts';
import { RedisSessionCache } from '../../src/fleet/redis/session-cache.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { SessionNames, sessionNameUses } from '../../src/fleet/session-names.ts';
import { type ConnectionOptions, connect, createServer, type Server, type TlsOptions } from '../../src/node/tls.ts';
import { listen, localhost, trust } from '../node/support.ts';
import { type Conversation, readConversation } from './conversation.ts';
import { keyShare } from './guesses.ts';
import { RecordedRedis } from './store-recorder.ts';
import { TimeMachine } from './time-machine.ts';
import { Wiretap } from './wiretap.ts';

export type Version = 'TLSv1.2' | 'TLSv1.3';
/** How a client's session is kept: in its ticket, or in the store under its ID. */
export type Kind = Version | 'TLSv1.2 by ID';
const POLICY = 'default';
const USES = [...ticketKeyUses(POLICY), ...sessionNameUses(POLICY)];
const TARGETS = [
  ['TLSv1.3', 'mayfly'],
  ['TLSv1.2', 'mayfly-12'],
] as const;
const NAMES = ['server A', 'server B', 'member C'] as const;

/** Milliseconds: as short as the configuration allows. */
export const EPOCH = 6_000;
/** Of TLS 1.3; in TLS 1.2 one epoch. */
export const TICKET_LIFETIME = 12_000;

/** One connection as its client knows it. */
export interface Visit {
  /** Epochs since the first. */
  readonly epoch: number;
  readonly kind: Kind;
  readonly resumed: boolean;
  /** The visit whose full handshake its session began with: its own number, or an earlier one. */
  readonly began: number;
  /** What the server said. */
  readonly said: string;
  readonly session: Buffer | undefined;
}

export class Fleet {
  readonly time = new TimeMachine();
  readonly files = createIdentityFiles(nodeProvider, 'the fleet', NAMES);
  readonly identities: readonly IdentityFile[] = this.files.map((text) => readIdentityFile(nodeProvider, text));
  readonly configuration = ringConfiguration({
    fleetName: 'the fleet',
    allowList: this.identities[0].members.map(({ publicKey }) => publicKey),
    epochLength: EPOCH,
    ticketLifetime: TICKET_LIFETIME,
  });
  /** Of each connection through the wiretap. */
  readonly visits: Visit[] = [];
  /** The epoch of each ticket key that ever sealed, by its name in hex; epochs since the first. */
  readonly epochOfKey = new Map<string, number>();
  /** Of each member, to look into its memory. */
  readonly glasses = NAMES.map(() => new GlassProvider());
  readonly redis: RecordedRedis;
  readonly rings: Ring[] = [];
  tap!: Wiretap;
  epoch = 0;
  #firstEpoch = 0;
  #pending = 0;
  readonly #servers: Server[] = [];
  readonly #connections = new Map<Ring, RedisConnection>();

  private constructor(redis: RecordedRedis) {
    this.redis = redis;
  }

  static async start(): Promise<Fleet> {
    const fleet = new Fleet(await RecordedRedis.start());
    for (const [index, identity] of fleet.identities.entries()) {
      await fleet.join(identity, fleet.glasses[index].provider);
    }
    const ports = await Promise.all([0, 1].map((index) => fleet.serve(fleet.rings[index])));
    fleet.tap = await Wiretap.start(ports);
    await fleet.until('all seal', () => fleet.rings.every((ring) => ring.status().sealingKey !== undefined));
    // The epoch in which they began is as short as chance has it: the story begins with the next.
    fleet.#firstEpoch = fleet.#sealingEpoch(fleet.rings[0]) as number;
    await fleet.nextEpoch();
    fleet.#firstEpoch += fleet.epoch;
    fleet.epoch = 0;
    fleet.epochOfKey.clear();
    fleet.#noteKey();
    return fleet;
  }

  /** A process with this identity. */
  async join({ identity, name }: IdentityFile, provider: CryptoProvider): Promise<Ring> {
    const connection = this.#timed(await this.redis.server.connect());
    const store = new RedisStore(connection, ringId(provider, this.configuration));
    const { configuration, time } = this;
    const ring = new Ring({ provider, configuration, identity, name, uses: USES, store, clock: time });
    this.#connections.set(ring, connection);
    this.rings.push(ring);
    return ring;
  }

  /** A Mayfly server whose tickets that ring's keys protect; its port. */
  async serve(ring: Ring, options: TlsOptions = {}): Promise<number> {
    const { certificatePem: cert, privateKeyPem: key } = localhost;
    const { member } = ring;
    const names = new SessionNames({ provider: nodeProvider, member, clock: this.time, policy: POLICY });
    const redis = this.#connections.get(ring) as RedisConnection;
    const cache = new RedisSessionCache({ redis, ringId: member.ringId, names });
    const sessions = { keys: ring.ticketKeys(POLICY), cache, ticketLifetime: TICKET_LIFETIME / 1000 };
    const server = createServer({ cert, key, sessions, minVersion: 'TLSv1.2', ...options }, (socket) => {
      socket.on('error', () => {});
      socket.once('data', (question: Buffer) => socket.end(`answer to ${question}`));
    });
    this.#servers.push(server);
    return listen(server);
  }

  /** Lets time pass until it is so. */
  async until(what: string, met: () => boolean): Promise<void> {
    for (let steps = 0; !met(); steps++) {
      assert(steps < 800, `it never came to pass: ${what}`);
      await this.time.pass(50, () => this.#settled());
    }
  }

  async pass(ms: number): Promise<void> {
    const end = Date.now() + ms;
    await this.until(`${ms} ms`, () => Date.now() >= end);
  }

  /** To where all seal under the key of the next epoch, or of a later one if time has run on. */
  async nextEpoch(): Promise<void> {
    const wanted = this.#firstEpoch + this.epoch + 1;
    const sealing = () => new Set(this.#running.map((ring) => this.#sealingEpoch(ring) ?? 0));
    await this.until(`epoch ${wanted}`, () => sealing().size === 1 && [...sealing()][0] >= wanted);
    this.epoch = [...sealing()][0] - this.#firstEpoch;
    this.#noteKey();
  }

  /** A client connects, asks and leaves, all of it through the wiretap unless said otherwise. */
  async visit(kind: Kind, previous?: Visit, options: ConnectionOptions = {}): Promise<Visit> {
    const number = this.visits.length;
    const version = kind === 'TLSv1.3' ? kind : 'TLSv1.2';
    const secureOptions = kind === 'TLSv1.2 by ID' ? constants.SSL_OP_NO_TICKET : 0;
    const socket = connect({
      host: '127.0.0.1',
      port: this.tap.port,
      servername: 'localhost',
      ...trust,
      minVersion: version,
      maxVersion: version,
      secureOptions,
      session: previous?.session,
      ...options,
    });
    let said = '';
    let session = previous?.session;
    socket.on('session', (newest: Buffer) => {
      session = newest;
    });
    socket.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    await once(socket, 'secureConnect');
    const resumed = socket.isSessionReused();
    socket.write(`question ${number}`);
    await once(socket, 'close');
    assert.equal(said, `answer to question ${number}`);
    const began = resumed && previous !== undefined ? previous.began : number;
    const visit = { epoch: this.epoch, kind, resumed, began, said, session };
    this.visits.push(visit);
    return visit;
  }

  get conversations(): readonly Conversation[] {
    return this.tap.recordings.map(readConversation);
  }

  /** Everything on the disks of all hosts, but the programs. */
  get stolenFiles(): readonly Uint8Array[] {
    return [...this.files, localhost.privateKeyPem, localhost.certificatePem].map(utf8);
  }

  /** Its process ends. */
  closeRing(index: number): void {
    void this.rings[index].close();
  }

  async close(): Promise<void> {
    this.tap.stop();
    for (const server of this.#servers) {
      for (const socket of server.secureSockets) {
        socket.destroy();
      }
      server.close();
    }
    await Promise.all(this.rings.map((ring) => ring.close()));
    for (const connection of this.#connections.values()) {
      connection.close();
    }
    await this.redis.stop();
    this.time.stop();
  }

  /** The secrets of the ring that this member holds now, as they lie in its memory. */
  memoryOf(ring: Ring): readonly Uint8Array[] {
    const secrets: Uint8Array[] = [];
    for (const key of ring.member.openingKeys({ wall: this.time.now(), monotonic: this.time.monotonic() })) {
      const held = [key.secret, ...USES.map((use) => key.workingSecret(use.policy, use.target))];
      for (const secret of held) {
        if (secret !== undefined && !secret.erased) {
          secrets.push(Uint8Array.from(secret.expose()));
        }
      }
    }
    return secrets;
  }

  sealingSecretOf(ring: Ring): Uint8Array {
    const key = ring.member.sealingKey({ wall: this.time.now(), monotonic: this.time.monotonic() });
    assert(key !== undefined);
    return Uint8Array.from(key.secret.expose());
  }

  /** The names, hex, of the ticket keys that this member could open with, by version. */
  keysHeldBy(ring: Ring): Readonly<Record<Version, ReadonlySet<string>>> {
    const held = { 'TLSv1.3': new Set<string>(), 'TLSv1.2': new Set<string>() };
    for (const key of ring.member.openingKeys({ wall: this.time.now(), monotonic: this.time.monotonic() })) {
      const name = key.workingSecret(POLICY, 'mayfly-name');
      for (const [version, target] of TARGETS) {
        if (name?.erased === false && key.workingSecret(POLICY, target)?.erased === false) {
          held[version].add(toHex(name.expose()));
        }
      }
    }
    return held;
  }

  get #running(): readonly Ring[] {
    return this.rings.filter((ring) => ring.member.phase === 'running');
  }

  #sealingEpoch(ring: Ring): number | undefined {
    const { sealingKey, keys } = ring.status();
    return keys.find(({ key, ratchetDepth }) => key === sealingKey && ratchetDepth === 0)?.epoch;
  }

  #noteKey(): void {
    const name = this.#running[0].ticketKeys(POLICY).sealingKey()?.name as Uint8Array;
    this.epochOfKey.set(toHex(name), this.epoch);
  }

  /** The store's clock goes with that of the members; all else is Redis's own. */
  #timed(connection: RedisConnection): RedisConnection {
    return {
      subscribe: (channel, listener) => connection.subscribe(channel, listener),
      close: () => connection.close(),
      command: async (key, args) => {
        this.#pending++;
        try {
          const answer = await connection.command(key, args);
          const now = Date.now();
          const time = [Math.floor(now / 1000), (now % 1000) * 1000].map(String);
          return this.time.turned && args[0] === 'TIME' ? time : answer;
        } finally {
          this.#pending--;
        }
      },
    };
  }

  async #settled(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet = this.#pending === 0 ? quiet + 1 : 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** A provider that lets a test see the private parts of key pairs for as long as their owner has them. */
export class GlassProvider {
  readonly #live = new Map<KeyShare, Uint8Array>();
  readonly #ever: Uint8Array[] = [];

  readonly provider: CryptoProvider = {
    ...nodeProvider,
    generateKeyShare: (group) => {
      assert.equal(group, 'X25519MLKEM768');
      const material = new Uint8Array(96);
      nodeProvider.random(material);
      const share = keyShare(material);
      const own: KeyShare = {
        group,
        publicKey: share.publicKey,
        agree: (peer) => {
          this.#live.delete(own);
          return share.agree(peer);
        },
        erase: () => {
          this.#live.delete(own);
          share.erase();
        },
      };
      this.#live.set(own, material);
      this.#ever.push(material);
      return own;
    },
  };

  /** Those that their owner has now, 96 bytes each. */
  get privateKeys(): readonly Uint8Array[] {
    return [...this.#live.values()];
  }

  /** Those as well that it has erased. */
  get privateKeysEver(): readonly Uint8Array[] {
    return this.#ever;
  }
}
