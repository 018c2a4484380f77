/** What the core hands out, and what it keeps of a connection at rest, lies on no memory that others use. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Action } from '../../src/actions.ts';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { shortLived } from '../../src/bytes/short-lived.ts';
import type { Connection } from '../../src/connection.ts';
import type { QuicAction } from '../../src/quic.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { QuicLink } from '../quic/support.ts';
import { collectGarbage } from '../support/collect.ts';
import { World } from '../support/connections.ts';
import { Conversation, Dice, type Ends } from './conversation.ts';
import { CombinedWorld, clientFeatures, serverFeatures } from './features.ts';

const world = new CombinedWorld();
after(() => world.close());

/** All views in a value, by where they stand. */
function* views(value: unknown, path: string, seen = new Set<unknown>()): Generator<[string, ArrayBufferView]> {
  if (value === null || typeof value !== 'object' || seen.has(value)) {
    return;
  }
  seen.add(value);
  if (ArrayBuffer.isView(value)) {
    yield [path, value];
  } else if (value instanceof Secret) {
    yield* value.erased ? [] : views(value.expose(), `${path} (secret)`, seen);
  } else {
    for (const [name, part] of Object.entries(value)) {
      yield* views(part, `${path}.${name}`, seen);
    }
  }
}

/** `roomy`: on memory of its own too, but a record has a type and padding behind its data, and an ID is part of a hash. */
function assertApart(value: unknown, path: string, roomy = false): void {
  for (const [where, { byteLength, buffer }] of views(value, path)) {
    assert.ok(
      byteLength === 0 || buffer.byteLength === byteLength || (roomy && buffer.byteLength <= 2 * byteLength + 512),
      `${where}: ${byteLength} bytes on a buffer of ${buffer.byteLength}`,
    );
  }
}

function assertActionApart(action: Action | QuicAction): void {
  // What is sent is the one exception: see short-lived.ts.
  if (action.kind === 'need') {
    assertApart(action.need, action.need.kind, action.need.kind === 'claimTicket');
  } else if (action.kind !== 'send') {
    assertApart(action, action.kind, action.kind === 'data' || action.kind === 'earlyData');
  }
}

function isOpen({ state }: Connection): boolean {
  return state === 'Connected';
}

interface Kept {
  readonly connections: readonly Connection[];
  readonly session: ClientSession | undefined;
}

/** A connection to the end of its handshake and some data; undefined where it failed. */
function talk(ends: Ends, seed: number, offered?: ClientSession): Kept | undefined {
  const talk = Conversation.open(world, ends, offered);
  if (talk === undefined) {
    return undefined;
  }
  const { client, server } = talk;
  const dice = new Dice(seed);
  talk.start();
  talk.run(dice);
  if (talk.ended === 'complete') {
    talk.send('client', 300);
    talk.send('server', 20_000);
    talk.run(dice);
  }
  for (const { actions, connection } of [client, server]) {
    actions.forEach(assertActionApart);
    assertApart(connection.summary, 'summary');
  }
  const connections = [client.connection, server.connection];
  if (!connections.every(isOpen)) {
    return undefined;
  }
  return { connections, session: client.sessions[0] ?? client.sessions12[0] };
}

const course = fc.record({ ends: fc.record({ client: clientFeatures, server: serverFeatures }), seed: fc.nat() });

test('whatever the features, nothing that is handed out shares its memory, and a connection at rest pins no slab', async () => {
  const slabs = new Set<WeakRef<ArrayBufferLike>>();
  const resting: Kept[] = [];
  fc.assert(
    fc.property(course, ({ ends, seed }) => {
      // A slab of its own, so that one that is pinned is seen.
      shortLived(2_560);
      slabs.add(new WeakRef(shortLived(16).buffer));
      const first = talk(ends, seed);
      const again = first?.session === undefined ? undefined : talk(ends, seed + 1, first.session);
      for (const kept of [first, again]) {
        if (kept !== undefined) {
          resting.push(kept);
        }
      }
    }),
    { numRuns: 80, includeErrorInReport: true },
  );
  assert.ok(resting.length > 20, `${resting.length} connections`);
  for (let i = 0; i < 8; i++) {
    shortLived(2_560);
  }
  // A WeakRef holds what it points to up to the end of the turn in which it was made or read.
  await new Promise(setImmediate);
  collectGarbage();
  const pinned = [...slabs].filter((slab) => slab.deref() !== undefined);
  assert.equal(pinned.length, 0, `${pinned.length} slabs of ${slabs.size} are alive, ${resting.length} connections`);
});

test('a QUIC handshake hands out memory of its own', () => {
  const quicWorld = new World({ alpnProtocols: ['h3'] });
  const link = QuicLink.connect(quicWorld);
  const { client, server } = link;
  assert.equal(client.sessions.length, 2);
  for (const end of [client, server]) {
    end.actions.forEach(assertActionApart);
    assertApart(end.handshake.exportKeyingMaterial('EXPORTER-test', utf8('context'), 20), 'keying material');
  }
  link.forget();
  quicWorld.close();
});
