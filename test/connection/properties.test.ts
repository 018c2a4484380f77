import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../src/bytes/bytes.ts';
import { type Endpoint, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

type Side = 'client' | 'server';

const side = fc.constantFrom<Side>('client', 'server');
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), side, length: fc.nat({ max: 700 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('send' as const), side, length: fc.nat({ max: 40_000 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('updateKeys' as const), side, request: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('deliver' as const), side, length: fc.integer({ min: 1, max: 5000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), side }) },
);

test('whatever two ends do and however their bytes are cut, what arrives is what was sent, in order', () => {
  let counter = 0;
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(undefined, 64, 1000),
      fc.constantFrom(undefined, 8, 20),
      (steps, recordSizeLimit, usageLimit) => {
        watch.clear();
        const link = world.connect({ recordSizeLimit, usageLimit, wantSessions: false }, { usageLimit });
        const ends: Record<Side, Endpoint> = link;
        const other = { client: 'server', server: 'client' } as const;
        const sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
        const wire: Record<Side, Uint8Array> = { client: new Uint8Array(0), server: new Uint8Array(0) };
        const closed: Record<Side, boolean> = { client: false, server: false };
        const before = { client: link.server.data.length, server: link.client.data.length };

        const pick = (from: Side) => {
          wire[from] = concat(wire[from], ends[from].flush());
        };
        const deliver = (from: Side, length: number) => {
          pick(from);
          const chunk = wire[from].slice(0, length);
          wire[from] = wire[from].slice(length);
          ends[other[from]].receive(chunk);
          pick(other[from]);
        };
        const check = (from: Side) => {
          const arrived = ends[other[from]].data.subarray(before[from]);
          const all = concat(...sent[from]);
          assert.deepEqual(Buffer.compare(arrived, all.subarray(0, arrived.length)), 0, 'a prefix of what was sent');
          return arrived.length === all.length;
        };

        for (const todo of steps) {
          const { connection } = ends[todo.side];
          assert.equal(connection.canSend, !closed[todo.side]);
          if (todo.do === 'deliver') {
            deliver(todo.side, todo.length);
            check(todo.side);
          } else if (todo.do === 'close') {
            ends[todo.side].take(connection.close());
            closed[todo.side] = true;
          } else if (!closed[todo.side]) {
            if (todo.do === 'send') {
              const data = new Uint8Array(todo.length).map(() => counter++);
              ends[todo.side].take(connection.send(data));
              sent[todo.side].push(data);
              // The core may not hold on to what it was lent.
              sent[todo.side][sent[todo.side].length - 1] = new Uint8Array(data);
              data.fill(0xee);
            } else {
              ends[todo.side].take(connection.updateKeys(todo.request));
            }
          }
        }
        for (let round = 0; round < 6; round++) {
          deliver('client', Number.POSITIVE_INFINITY);
          deliver('server', Number.POSITIVE_INFINITY);
        }
        for (const from of ['client', 'server'] as const) {
          ends[from].assertFine();
          assert(check(from), 'all of it arrived');
          assert.equal(ends[other[from]].peerClosed, closed[from]);
        }
        if (!(closed.client && closed.server)) {
          link.forget();
        }
        assert.deepEqual(
          watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
          [],
          'nothing is left',
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('any bytes at all, at any moment, end in an error that has a name, or are waited on', () => {
  const states = [
    () => serverIn(world, 'ExpectClientHello'),
    () => clientIn(world, 'ExpectServerHello'),
    () => serverIn(world, 'ExpectFinished'),
    () => clientIn(world, 'Connected'),
  ];
  const records = fc.array(
    fc.record({
      type: fc.constantFrom(20, 21, 22, 23, 99),
      content: fc.uint8Array({ maxLength: 60 }),
      honest: fc.boolean(),
    }),
    { minLength: 1, maxLength: 5 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...states.keys()), records, fc.uint8Array({ maxLength: 20 }), (state, list, tail) => {
      watch.clear();
      const stage = states[state]();
      for (const { type, content, honest } of list) {
        if (honest) {
          stage.victim.receive(stage.puppet.record(type, content));
        } else {
          const bytes = new Uint8Array([type, 3, 3, 0, content.length, ...content]);
          stage.victim.receive(bytes);
        }
      }
      stage.victim.receive(tail);
      stage.victim.take(stage.victim.connection.transportEnded());
      const error = stage.victim.error;
      assert(error !== undefined || stage.victim.peerClosed, 'an end');
      assert.notEqual(error?.code, 'TLS_ERR_INTERNAL');
      strike(stage);
      assert.deepEqual(
        watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
        [],
      );
    }),
    { numRuns: 400 },
  );
});

test('any message body, under the right keys, ends in an error that has a name or is understood', () => {
  const states = [
    { reach: () => serverIn(world, 'ExpectClientHello'), types: [1] },
    { reach: () => clientIn(world, 'ExpectServerHello'), types: [2] },
    { reach: () => clientIn(world, 'ExpectEncryptedExtensions'), types: [8] },
    { reach: () => clientIn(world, 'ExpectCertificateOrCertificateRequest'), types: [11, 13] },
    { reach: () => clientIn(world, 'ExpectCertificateVerify'), types: [15] },
    { reach: () => clientIn(world, 'Connected'), types: [4, 24] },
  ];
  const tampering = fc.record({
    state: fc.constantFrom(...states),
    at: fc.nat({ max: 0xffff }),
    remove: fc.nat({ max: 4 }),
    insert: fc.uint8Array({ maxLength: 6 }),
    pick: fc.nat({ max: 1 }),
  });
  fc.assert(
    fc.property(tampering, ({ state, at, remove, insert, pick }) => {
      watch.clear();
      const stage = state.reach();
      const type = state.types[pick % state.types.length];
      const genuine = [...stage.flight.values()].find((raw) => raw[0] === type)?.slice(4) ?? new Uint8Array(8);
      const where = genuine.length === 0 ? 0 : at % genuine.length;
      const body = concat(genuine.subarray(0, where), insert, genuine.subarray(where + remove));
      const header = new Uint8Array([type, body.length >>> 16, body.length >>> 8, body.length]);
      stage.victim.receive(stage.puppet.handshake(header, body));
      assert.notEqual(stage.victim.error?.code, 'TLS_ERR_INTERNAL', stage.victim.error?.message);
      strike(stage);
      assert.deepEqual(
        watch.alive.filter((kind) => !['ticketKey'].includes(kind)),
        [],
      );
    }),
    { numRuns: 600 },
  );
});
