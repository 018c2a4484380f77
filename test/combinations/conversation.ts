/** Two ends with random features, and a course of events that a seed decides: what arrives when, and who answers when. */

import assert from 'node:assert/strict';
import type { Answers, HandshakeSummary, Need } from '../../src/actions.ts';
import { concat, sameBytes } from '../../src/bytes/bytes.ts';
import { Connection } from '../../src/connection.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { TLSError } from '../../src/errors.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { type ExternalPskQuery, externalPskTable, type FoundPsk } from '../../src/session/external-psk.ts';
import type { SingleUseRegister } from '../../src/session/single-use-register.ts';
import { Endpoint, type Identity } from '../support/connections.ts';
import {
  type ClientFeatures,
  type CombinedWorld,
  clientIdentities,
  clientOptions,
  psks,
  type ServerFeatures,
  STAPLE,
  serverContext,
  serverIdentities,
  serverOptions,
} from './features.ts';

const NEEDS: readonly Need['kind'][] = [
  'context',
  'sign',
  'verifyCertificate',
  'certificateStatus',
  'externalPsk',
  'claimTicket',
];

/** Numbers from a seed: the same course of events each time. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor((((this.#state >>> 8) & 0xffff) / 0x1_0000) * n);
  }
}

/** An end whose host answers needs when it is told to. */
export class Peer extends Endpoint {
  override hold: Need['kind'][] = [...NEEDS];
  readonly #answerTo: (need: Need) => Answers[Need['kind']];

  constructor(connection: Connection, world: CombinedWorld, answerTo: (need: Need) => Answers[Need['kind']]) {
    super(connection, world);
    this.#answerTo = answerTo;
  }

  override answer(): this {
    const need = this.need;
    assert(need !== undefined, 'a need is open');
    this.need = undefined;
    return this.take(this.connection.resume(need, this.#answerTo(need)));
  }
}

export interface Ends {
  readonly client: ClientFeatures;
  readonly server: ServerFeatures;
}

export class Conversation {
  readonly client: Peer;
  readonly server: Peer;
  readonly features: Ends;
  readonly early: Uint8Array[] = [];
  /** Application data that each end has sent. */
  readonly sent: Record<'client' | 'server', Uint8Array[]> = { client: [], server: [] };
  #counter = 0;
  /** What the client last showed of itself. */
  readonly #context: ServerContext;
  readonly #wire: { toServer: Uint8Array; toClient: Uint8Array } = { toServer: EMPTY, toClient: EMPTY };

  /** Undefined where the client's options make no sense. */
  static open(world: CombinedWorld, features: Ends, session?: ClientSession): Conversation | undefined {
    try {
      return new Conversation(world, features, session);
    } catch (error) {
      assert(error instanceof TLSError && ['TLS_ERR_CONFIG', 'TLS_ERR_DECODE'].includes(error.code), String(error));
      return undefined;
    }
  }

  private constructor(world: CombinedWorld, features: Ends, session?: ClientSession) {
    this.features = features;
    const { client, server } = features;
    this.#context = serverContext(world, server);
    const table = externalPskTable((server.psks ?? []).map((name) => psks[name]));
    const once = server.singleUse === 'ask' ? world.once : world.early;
    const own = { provider: nodeProvider, now: world.now };
    this.client = new Peer(
      Connection.client({
        ...own,
        serverName: '',
        ...clientOptions(client),
        ...(session === undefined ? {} : { session }),
      }),
      world,
      answerFrom({ peers: serverIdentities, own: clientIdentities }),
    );
    this.server = new Peer(
      Connection.server({ ...own, context: 'ask', ...serverOptions(this.#context, server) }),
      world,
      answerFrom({ peers: clientIdentities, own: serverIdentities, context: this.#context, lookUp: table, once }),
    );
  }

  get context(): ServerContext {
    return this.#context;
  }

  start(): void {
    this.client.start();
  }

  /** One thing that can happen now happens; false when there is none. */
  step(dice: Dice): boolean {
    const { client, server } = this;
    this.#wire.toServer = concat(this.#wire.toServer, client.flush());
    this.#wire.toClient = concat(this.#wire.toClient, server.flush());
    const possible: (() => void)[] = [];
    for (const [to, direction] of [
      [server, 'toServer'],
      [client, 'toClient'],
    ] as const) {
      const bytes = this.#wire[direction];
      if (bytes.length > 0) {
        possible.push(() => {
          const cut = dice.below(3) === 0 ? 1 + dice.below(bytes.length) : bytes.length;
          this.#wire[direction] = bytes.slice(cut);
          to.receive(bytes.slice(0, cut));
        });
      }
      if (to.need !== undefined) {
        possible.push(() => void to.answer());
      }
    }
    if (client.connection.earlyDataRoom > 0 && this.early.length < 3) {
      possible.push(() => this.#sendEarly(dice));
    }
    if (server.summary === undefined && server.connection.canSend && dice.below(4) === 0) {
      possible.push(() => this.send('server', 600));
    }
    if (possible.length === 0) {
      return false;
    }
    possible[dice.below(possible.length)]();
    return true;
  }

  /** @throws TLSError as `send` of the connection */
  send(from: 'client' | 'server', length: number): void {
    const data = new Uint8Array(length).map(() => this.#counter++);
    const actions = this[from].connection.send(data);
    this.sent[from].push(new Uint8Array(data));
    data.fill(0xee);
    this[from].take(actions);
  }

  /** What has arrived is what was sent, as far as it goes; all of it where the connection stands. */
  assertData(whole: boolean): void {
    for (const [from, to] of [
      ['client', 'server'],
      ['server', 'client'],
    ] as const) {
      const sent = concat(...this.sent[from]);
      const { data } = this[to];
      assert(sameBytes(data, sent.subarray(0, data.length)), `what the ${from} sent arrives in order and unchanged`);
      assert(
        !whole || data.length === sent.length,
        `${data.length} of ${sent.length} bytes of the ${from} have arrived`,
      );
    }
  }

  run(dice: Dice): this {
    for (let steps = 0; this.step(dice); steps++) {
      assert(steps < 20_000, 'the two talk without end');
    }
    return this;
  }

  cut(): void {
    for (const { connection, take } of [this.client, this.server].map((end) => ({
      connection: end.connection,
      take: end.take.bind(end),
    }))) {
      take(connection.transportEnded());
    }
  }

  get ended(): 'complete' | 'failed' | 'half' {
    const { client, server } = this;
    if (client.over !== server.over) {
      return 'half';
    }
    return client.over ? 'failed' : 'complete';
  }

  /** Both are complete: they are in one connection, by one set of rules. */
  assertAgreed(): void {
    const { client, server } = this;
    const [ours, theirs] = [client.summary, server.summary];
    assert(
      ours !== undefined && theirs !== undefined,
      `client in ${client.connection.state}, server in ${server.connection.state}`,
    );
    for (const name of AGREED) {
      assert.deepEqual(ours[name] ?? undefined, theirs[name] ?? undefined, name);
    }
    if (ours.earlyData === 'refused') {
      // A secret that the server never makes.
      client.keyLog.delete('CLIENT_EARLY_TRAFFIC_SECRET');
    }
    assert.deepEqual(client.keyLog, server.keyLog);
    for (const role of ['client', 'server'] as const) {
      assert.deepEqual(
        client.connection.verifyData(role),
        server.connection.verifyData(role),
        `Finished of the ${role}`,
      );
    }
    const exported = client.connection.exportKeyingMaterial('combined', undefined, 20);
    assert.deepEqual(exported, server.connection.exportKeyingMaterial('combined', undefined, 20));
    this.#assertPolicy(ours, theirs);
    this.#assertEarly(ours, theirs);
  }

  #assertPolicy(ours: HandshakeSummary, theirs: HandshakeSummary): void {
    const { client, server } = this.features;
    if (client.pskRequired) {
      assert.equal(ours.authenticatedBy, 'externalPsk');
    }
    if (server.clients === 'required') {
      assert(theirs.peerCertificates.length > 0, 'the client has shown a certificate');
    }
    if (server.clients === 'unasked' && !theirs.resumed) {
      assert.deepEqual(theirs.peerCertificates, []);
    }
    if (!ours.resumed && ours.ownCertificates !== undefined) {
      assert.deepEqual(theirs.peerCertificates, ours.ownCertificates);
    }
    const isPskKe = ours.pskMode === 'psk_ke';
    assert(!isPskKe || (client.pskKe && server.pskKe !== undefined), 'psk_ke is what both allow');
    assert.deepEqual(this.client.warnings, isPskKe ? ['psk_ke'] : []);
    assert.deepEqual(this.server.warnings, isPskKe ? ['psk_ke'] : []);
    if (ours.authenticatedBy === 'externalPsk') {
      const { identity } = ours.externalPsk ?? assert.fail('which PSK it was');
      const name = Buffer.from(identity).toString();
      assert(server.psks?.includes(name as 'plain'), 'the server knows the PSK now');
      assert(client.psks.includes(name as 'plain'), 'the client has the PSK now, and it is the same');
    } else {
      assert(this.#context.credentials.length > 0);
      assert(ours.peerCertificates.length > 0, 'the server has shown a certificate');
      assert(
        this.#context.credentials.some(({ certificateChain: [leaf] }) => sameBytes(leaf, ours.peerCertificates[0])),
      );
    }
  }

  #assertEarly(ours: HandshakeSummary, theirs: HandshakeSummary): void {
    const { client, server } = this;
    const sent = concat(...this.early);
    const arrived = concat(...client.actions.flatMap((a) => (a.kind === 'earlyDataRejected' ? [a.bytes] : [])));
    const read = concat(...server.actions.flatMap((a) => (a.kind === 'earlyData' ? [a.bytes] : [])));
    if (ours.earlyData === 'taken') {
      assert.deepEqual(read, sent);
      assert.equal(arrived.length, 0);
      assert(ours.resumed && theirs.resumed && ours.pskMode === 'psk_dhe_ke' && !ours.helloRetried);
      assert(this.features.server.early !== undefined && this.features.client.earlyData);
      return;
    }
    assert.equal(read.length, 0);
    assert.deepEqual(arrived, sent);
  }

  #sendEarly(dice: Dice): void {
    const { connection } = this.client;
    const data = new Uint8Array(1 + dice.below(Math.min(connection.earlyDataRoom, 900))).fill(this.early.length + 65);
    this.early.push(data);
    this.client.take(connection.sendEarlyData(new Uint8Array(data)));
  }
}

export interface Knowledge {
  readonly peers: readonly Identity[];
  readonly own: readonly Identity[];
  readonly context?: ServerContext;
  readonly lookUp?: (query: ExternalPskQuery) => FoundPsk | undefined;
  readonly once?: SingleUseRegister;
}

/** A host that knows these answers. */
export function answerFrom({ peers, own, context, lookUp, once }: Knowledge): (need: Need) => Answers[Need['kind']] {
  return (need) => {
    switch (need.kind) {
      case 'verifyCertificate': {
        const peer = peers.find(({ credential }) => sameBytes(credential.certificateChain[0], need.chain[0]));
        return peer?.publicKey ?? new TLSError('TLS_ERR_BAD_CERTIFICATE', 'nobody knows this chain');
      }
      case 'certificateStatus':
        return STAPLE;
      case 'sign': {
        const type = need.scheme.slice(0, 3);
        const signer = own.find(({ credential }) => credential.schemes.some((scheme) => scheme.startsWith(type)));
        const key = signer?.credential.privateKey ?? assert.fail(`nobody signs with ${need.scheme}`);
        return nodeProvider.sign(need.scheme, key, need.data);
      }
      case 'context':
        return context;
      case 'externalPsk':
        return lookUp?.(need.query);
      case 'claimTicket':
        return once?.claim(need.ticketId, need.expiresAt) ?? 'full';
    }
  };
}

const EMPTY = new Uint8Array(0);
const AGREED = [
  'version',
  'cipherSuite',
  'namedGroup',
  'signatureScheme',
  'alpnProtocol',
  'resumed',
  'resumedBy',
  'extendedMasterSecret',
  'helloRetried',
  'pskMode',
  'authenticatedBy',
  'externalPsk',
  'earlyData',
  'certificateCompression',
  'authenticatedAt',
] as const satisfies readonly (keyof HandshakeSummary)[];
