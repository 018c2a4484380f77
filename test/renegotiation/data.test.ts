/** Application data around a renegotiation: neither lost nor reordered, and never under keys that nobody has proved. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { type Endpoint, identity, type Link } from '../support/connections.ts';
import { recordsOf } from '../support/puppet12.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import {
  askingContext,
  assertNothingLeft,
  byClient,
  byServer,
  corrupt,
  count,
  renegotiated,
  World12,
} from './support.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

type Side = 'client' | 'server';
const OTHER = { client: 'server', server: 'client' } as const;
const UNLIMITED = 1_000_000;

const side = fc.constantFrom<Side>('client', 'server');
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('send' as const), side, length: fc.integer({ min: 1, max: 700 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('send' as const), side, length: fc.integer({ min: 1, max: 40_000 }) }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('renegotiate' as const), side, asks: fc.boolean() }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant('deliver' as const), side, length: fc.integer({ min: 1, max: 3000 }) }),
  },
  { weight: 24, arbitrary: fc.record({ do: fc.constant('deliver' as const), side, length: fc.constant(100_000) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('answer' as const), side }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), side }) },
);

test('whatever two ends do and however their bytes are cut, data arrives as it was sent, in order', () => {
  let renegotiations = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }),
      fc.constantFrom(undefined, 100, 1000),
      fc.constantFrom(undefined, 24, 60),
      fc.constantFrom(0, UNLIMITED),
      fc.boolean(),
      fc.boolean(),
      (steps, recordSizeLimit, usageLimit, clientRenegotiations, waits, goesOn) => {
        watch.clear();
        const credentials = [world.identity.credential];
        const link = world.connect12(
          'ticket',
          { recordSizeLimit, usageLimit, credentials, serverRenegotiations: UNLIMITED },
          { usageLimit, clientRenegotiations },
        );
        const ends: Record<Side, Endpoint> = link;
        if (waits) {
          link.client.hold = ['verifyCertificate'];
          link.server.hold = ['verifyCertificate'];
        }
        const sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
        const wire: Record<Side, Uint8Array> = { client: new Uint8Array(0), server: new Uint8Array(0) };
        const before = { client: link.server.data.length, server: link.client.data.length };
        let counter = 0;

        const pick = (from: Side) => {
          wire[from] = concat(wire[from], ends[from].flush());
        };
        const deliver = (from: Side, length: number) => {
          pick(from);
          const chunk = wire[from].slice(0, length);
          wire[from] = wire[from].slice(length);
          ends[OTHER[from]].receive(chunk);
        };
        const arrived = (from: Side) => ends[OTHER[from]].data.subarray(before[from]);
        const checkPrefix = (from: Side) => {
          const got = arrived(from);
          assert.equal(
            Buffer.compare(got, concat(...sent[from]).subarray(0, got.length)),
            0,
            'a prefix of what was sent',
          );
        };

        for (const todo of steps) {
          const end = ends[todo.side];
          const { connection } = end;
          if (todo.do === 'deliver') {
            deliver(todo.side, todo.length);
            checkPrefix(todo.side);
          } else if (todo.do === 'answer') {
            if (end.need !== undefined && !end.over) {
              end.answer();
            }
          } else if (todo.do === 'close') {
            end.take(connection.close());
          } else if (connection.canSend && todo.do === 'send') {
            const data = new Uint8Array(todo.length).map(() => counter++);
            sent[todo.side].push(new Uint8Array(data));
            if (goesOn) {
              goOn(end);
            }
            end.take(connection.send(data));
            data.fill(0xee);
          } else if (connection.canSend && todo.do === 'renegotiate') {
            try {
              end.take(connection.startRenegotiation(todo.asks ? askingContext(world.context) : undefined));
            } catch {
              // One is under way.
            }
          }
        }
        for (const end of [link.client, link.server]) {
          end.hold = [];
        }
        for (let quiet = 0; quiet < 3; quiet++) {
          for (const from of ['client', 'server'] as const) {
            const { need } = ends[from];
            if (need !== undefined && !ends[from].over) {
              ends[from].answer();
            }
            pick(from);
            if (wire[from].length > 0) {
              quiet = 0;
            }
            deliver(from, Number.POSITIVE_INFINITY);
            checkPrefix(from);
          }
        }
        for (const from of ['client', 'server'] as const) {
          const cut = [link.client, link.server].some(({ error }) => error !== undefined);
          const leftOut = ends[OTHER[from]].peerClosed === false && ends[from].peerClosed;
          if (!cut && !leftOut) {
            assert.equal(arrived(from).length, concat(...sent[from]).length, `all that the ${from} sent has arrived`);
            assert.equal(ends[from].connection.holdsData, false);
          }
          for (const { error } of [link.client, link.server]) {
            const allowed = ['TLS_ERR_USAGE_LIMIT', 'TLS_ERR_TRUNCATED', undefined];
            assert(allowed.includes(error?.code), error?.stack);
            assert(error?.code !== 'TLS_ERR_USAGE_LIMIT' || usageLimit !== undefined);
          }
        }
        renegotiations += count(link.client, 'renegotiated');
        link.forget();
        assertNothingLeft(watch);
      },
    ),
    { numRuns: 200 },
  );
  assert(renegotiations > 100, `${renegotiations} renegotiations`);
});

/** Lets it send in the middle, under the keys that it has, as ends of other make do. */
function goOn({ connection: { channel } }: Endpoint): void {
  channel.holdsData &&= channel.keysUnproved;
}

/** Delivers record by record, alternating, and calls back before each. */
function byRecords(link: Link, before: (at: number) => void): void {
  const queues: Record<Side, Uint8Array[]> = { client: [], server: [] };
  for (let at = 0; at < 400; at++) {
    queues.client.push(...recordsOf(link.client.flush()));
    queues.server.push(...recordsOf(link.server.flush()));
    const turn = at % 2 === 0 ? 'client' : 'server';
    const from = queues[turn].length > 0 ? turn : OTHER[turn];
    const record = queues[from].shift();
    if (record === undefined) {
      return;
    }
    before(at);
    // What the callback has sent goes behind what is on its way.
    link[OTHER[from]].receive(record);
  }
  throw new Error('they talk without end');
}

describe('data that is sent between any two records of a renegotiation', () => {
  for (const start of ['client', 'server'] as const) {
    test(`that the ${start} began arrives, in both directions, and holding is told and ends`, () => {
      const link = world.connect12('ticket', { credentials: [world.identity.credential] }, { clientRenegotiations: 1 });
      const { client, server } = link;
      const sent = { client: [client.data], server: [server.data] };
      let held = 0;
      const beginning = link[start];
      beginning.take(beginning.connection.startRenegotiation(askingContext(world.context)));
      byRecords(link, (at) => {
        for (const who of ['client', 'server'] as const) {
          if (at % 3 !== 0 || count(client, 'renegotiated') > 0) {
            continue;
          }
          const data = utf8(`${who} ${at} `);
          const { holdsData } = link[who].connection;
          const before = link[who].outbox.length;
          link[who].take(link[who].connection.send(data));
          assert.equal(link[who].outbox.length === before, holdsData);
          held += Number(holdsData);
          sent[OTHER[who]].push(data);
        }
      });
      renegotiated(client);
      renegotiated(server);
      assert.deepEqual(Buffer.from(client.data).toString(), Buffer.from(concat(...sent.client)).toString());
      assert.deepEqual(Buffer.from(server.data).toString(), Buffer.from(concat(...sent.server)).toString());
      assert(held > 0);
      assert.equal(client.connection.holdsData || server.connection.holdsData, false);
      link.forget();
      assertNothingLeft(watch);
    });
  }

  test('comes before the action that tells of new keys, or after it, as it was sent', () => {
    const link = world.connect12('ticket');
    const { client, server } = link;
    server.take(server.connection.startRenegotiation());
    client.receive(server.flush());
    goOn(client);
    client.take(client.connection.send(utf8('before')));
    server.receive(client.flush());
    client.receive(server.flush());
    client.take(client.connection.send(utf8('after')));
    link.deliver();
    const order = server.actions.flatMap((action) =>
      action.kind === 'data' ? [Buffer.from(action.bytes).toString()] : action.kind === 'renegotiated' ? ['keys'] : [],
    );
    assert.deepEqual(order.slice(-3), ['before', 'keys', 'after']);
    link.forget();
  });
});

describe('data between change_cipher_spec and the Finished that proves the new keys', () => {
  for (const who of ['client', 'server'] as const) {
    test(`is refused from a ${who}`, () => {
      const link = world.connect12('ticket', {}, { clientRenegotiations: 1 });
      const { channel } = link[who].connection;
      corrupt(link[who], (name, raw) => {
        if (name === 'finished') {
          channel.applicationData(utf8('nobody vouches for this'), 0, 5);
        }
        return [raw];
      });
      const before = link[OTHER[who]].data.length;
      byServer(link);
      assert.equal(link[OTHER[who]].error?.code, 'TLS_ERR_RECORD_TYPE');
      assert.equal(link[OTHER[who]].data.length, before);
      link.forget();
      assertNothingLeft(watch);
    });
  }
});

/** What has been heard of a renegotiation, record by record, until the callback says stop. */
function stopAfter(link: Link, records: number): boolean {
  const queues: Record<Side, Uint8Array[]> = { client: [], server: [] };
  link.server.take(link.server.connection.startRenegotiation(askingContext(world.context)));
  for (let at = 0; ; at++) {
    queues.client.push(...recordsOf(link.client.flush()));
    queues.server.push(...recordsOf(link.server.flush()));
    const from = queues.client.length > 0 ? 'client' : 'server';
    if (at === records) {
      link.client.outbox.push(...queues.client);
      link.server.outbox.push(...queues.server);
      return true;
    }
    const record = queues[from].shift();
    if (record === undefined) {
      return false;
    }
    link[OTHER[from]].receive(record);
  }
}

/** Every point of a renegotiation. */
function atEveryPoint(check: (link: Link, at: number) => void): void {
  for (let at = 0; ; at++) {
    watch.clear();
    const link = world.connect12('ticket', { credentials: [world.identity.credential] });
    const goesOn = stopAfter(link, at);
    if (goesOn) {
      check(link, at);
    }
    link.forget();
    assertNothingLeft(watch, `after record ${at}`);
    if (!goesOn) {
      assert(at >= 6, 'a renegotiation has some records');
      return;
    }
  }
}

describe('in the middle of a renegotiation', () => {
  for (const who of ['client', 'server'] as const) {
    test(`a ${who} that closes sends what it was given before, then close_notify, and nothing after it`, () => {
      for (const data of [undefined, utf8('last words')]) {
        atEveryPoint((link, at) => {
          const [end, peer] = [link[who], link[OTHER[who]]];
          const before = peer.data.length;
          if (data !== undefined) {
            end.take(end.connection.send(data));
          }
          end.take(end.connection.close());
          assert.equal(end.connection.canSend, false);
          refuses('TLS_ERR_WRONG_STATE', () => end.connection.send(utf8('too late')));
          link.deliver();
          end.assertFine(`after record ${at}`);
          peer.assertFine(`after record ${at}`);
          assert.equal(peer.peerClosed, true);
          assert.equal(peer.data.length - before, data?.length ?? 0, `after record ${at}`);
          peer.take(peer.connection.close());
          link.deliver();
          assert.deepEqual(end.flush(), new Uint8Array(0));
          end.assertFine();
        });
      }
    });

    test(`a ${who} that closes can still read what its peer sends`, () => {
      atEveryPoint((link, at) => {
        const [end, peer] = [link[who], link[OTHER[who]]];
        const before = end.data.length;
        if (peer.connection.canSend) {
          peer.take(peer.connection.send(utf8('answer')));
        }
        end.take(end.connection.close());
        link.deliver();
        if (peer.error === undefined) {
          assert.equal(end.data.length - before, 6, `after record ${at}`);
        } else {
          assert.equal(peer.error.code, 'TLS_ERR_TRUNCATED', 'its data was waiting for an end that does not come');
        }
      });
    });

    test(`a ${who} that aborts, fails or is erased leaves nothing behind, and its peer is told`, () => {
      atEveryPoint((link) => {
        link[who].take(link[who].connection.abort('internal_error'));
        link.deliver();
        assert.equal(link[OTHER[who]].error?.code, 'TLS_ERR_ALERT_RECEIVED');
        // Nothing is forgotten by hand: both are over.
        for (const session of [...link.client.sessions12, ...link.server.sessions12]) {
          session.secret.erase();
        }
        assertNothingLeft(watch);
      });
      atEveryPoint((link) => {
        link[who].connection.erase();
        link[OTHER[who]].connection.erase();
        for (const session of link.client.sessions12) {
          session.secret.erase();
        }
        assertNothingLeft(watch);
      });
    });

    test(`a transport that ends is a truncation for the ${who}`, () => {
      atEveryPoint((link) => {
        link[who].take(link[who].connection.transportEnded());
        assert.equal(link[who].error?.code, 'TLS_ERR_TRUNCATED');
        assert.equal(link[who].connection.canSend, false);
      });
    });

    test(`a ${who} ends the connection when its host refuses the other's certificate or a signature does not fit`, () => {
      const link = world.connect12('ticket', { credentials: [world.identity.credential] });
      link[who].publicKey = identity('ed25519', 'somebody else').publicKey;
      byServer(link, askingContext(world.context));
      assert.equal(link[who].error?.code, 'TLS_ERR_BAD_SIGNATURE');
      assert.equal(count(link[who], 'renegotiated'), 0);
      link.forget();
      assertNothingLeft(watch);
    });
  }
});

test('a peer that closes while data is held for it is an error, as the data cannot go out any more', () => {
  const link = world.connect12('ticket', { credentials: [world.identity.credential] });
  const { client, server } = link;
  server.take(server.connection.startRenegotiation());
  client.receive(server.flush());
  server.receive(client.flush());
  client.receive(server.flush());
  // The client has said its Finished, which the server does not wait for.
  client.take(client.connection.send(utf8('held')));
  client.flush();
  server.take(server.connection.close());
  client.receive(server.flush());
  assert.equal(client.error?.code, 'TLS_ERR_TRUNCATED');
  link.forget();
  assertNothingLeft(watch);
});

test('after close_notify nothing is answered: no request for a renegotiation, and none of the peer', () => {
  for (const [closes, start] of [
    ['client', byServer],
    ['server', byClient],
  ] as const) {
    const link = world.connect12('ticket', {}, { clientRenegotiations: 5 });
    const end = link[closes];
    end.take(end.connection.close());
    const bytes = end.flush();
    assert.equal(recordsOf(bytes).length, 1);
    for (let i = 0; i < 3; i++) {
      try {
        start(link);
      } catch {
        // One is under way, for good.
      }
      assert.deepEqual(end.flush(), new Uint8Array(0));
    }
    link[OTHER[closes]].receive(bytes);
    assert.equal(link[OTHER[closes]].peerClosed, true);
    const before = end.data.length;
    link[OTHER[closes]].take(link[OTHER[closes]].connection.send(utf8('still read')));
    link.deliver();
    assert.equal(end.data.length - before, 10);
    link.forget();
    assertNothingLeft(watch);
  }
});

test('a peer that closes in the middle still reads: what is sent to it goes out under the old keys', () => {
  for (const [begins, closes] of [
    ['client', 'server'],
    ['server', 'client'],
  ] as const) {
    const link = world.connect12('ticket', { usageLimit: 40 }, { usageLimit: 40 });
    const [end, peer] = [link[begins], link[closes]];
    end.take(end.connection.startRenegotiation());
    peer.take(peer.connection.close());
    end.receive(peer.flush());
    assert.equal(end.peerClosed, true);
    assert.equal(end.connection.state, 'Connected');
    refuses('TLS_ERR_WRONG_STATE', () => end.connection.startRenegotiation());
    const before = peer.data.length;
    let sent = 0;
    for (; end.connection.canSend; sent++) {
      assert.equal(end.connection.holdsData, false);
      end.take(end.connection.send(new Uint8Array(1)));
    }
    assert.equal(end.error?.code, 'TLS_ERR_USAGE_LIMIT', 'no renegotiation will come');
    link.deliver();
    assert.equal(peer.data.length - before, sent - 1);
    assert.equal(peer.peerClosed, true);
    link.forget();
    assertNothingLeft(watch);
  }
});
