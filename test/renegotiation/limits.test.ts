/** The usage limit of TLS 1.2 keys: renewed in time where both ends allow it, ended cleanly where not, overrun never. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import type { Link } from '../support/connections.ts';
import { recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { assertNothingLeft, corrupt, count, World12 } from './support.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const UNLIMITED = 1_000_000;
const CHANGE_CIPHER_SPEC = 20;

interface Meter {
  /** The most records under any one key, of either side. */
  most: number;
}

/** Counts the records of each protected key on their way. */
function metered(link: Link): Meter {
  const meter = { most: 0 };
  const counter = () => {
    let underKey = 0;
    return (bytes: Uint8Array) => {
      for (const record of recordsOf(bytes)) {
        underKey += 1;
        meter.most = Math.max(meter.most, underKey);
        underKey = record[0] === CHANGE_CIPHER_SPEC ? 0 : underKey;
      }
      return bytes;
    };
  };
  link.toServer = counter();
  link.toClient = counter();
  return meter;
}

function pairOf(usageLimit: number, allows: 'both' | 'neither' | 'once', recordSizeLimit?: number): Link {
  const renegotiations = { both: UNLIMITED, neither: 0, once: 1 }[allows];
  return world.pair12(
    'ticket',
    { usageLimit, recordSizeLimit, serverRenegotiations: renegotiations },
    { usageLimit, recordSizeLimit, clientRenegotiations: renegotiations },
  );
}

for (const sender of ['client', 'server'] as const) {
  const receiver = sender === 'client' ? 'server' : 'client';

  describe(`a ${sender} that sends without end`, () => {
    for (const usageLimit of [8, 12, 40, 100]) {
      test(`renews its keys before ${usageLimit} records where both ends allow it, and nothing is lost`, () => {
        const link = pairOf(usageLimit, 'both');
        const meter = metered(link);
        link.run().assertComplete();
        const [from, to] = [link[sender], link[receiver]];
        const before = to.data.length;
        for (let i = 0; i < 300; i++) {
          from.take(from.connection.send(new Uint8Array([i])));
          link.deliver();
        }
        from.assertFine();
        assert.deepEqual([...to.data.subarray(before)], [...new Uint8Array(300).map((_, i) => i)]);
        assert(count(from, 'renegotiated') >= 300 / usageLimit, `${count(from, 'renegotiated')} renegotiations`);
        assert(meter.most <= usageLimit, `${meter.most} records under one key`);
        link.assertDataFlows();
        link.forget();
        assertNothingLeft(watch);
      });

      test(`in one call renews its keys on the way, ${usageLimit} records at a time`, () => {
        const link = pairOf(usageLimit, 'both', 4000);
        const meter = metered(link);
        link.run().assertComplete();
        const [from, to] = [link[sender], link[receiver]];
        const before = to.data.length;
        const data = new Uint8Array(1_000_000).map((_, i) => i >>> 8);
        from.take(from.connection.send(data.slice()));
        from.take(from.connection.send(utf8('behind')));
        assert.equal(from.connection.holdsData, true);
        link.deliver();
        from.assertFine();
        assert.equal(Buffer.compare(to.data.subarray(before, before + data.length), data), 0);
        assert.equal(Buffer.from(to.data.subarray(before + data.length)).toString(), 'behind');
        assert(meter.most <= usageLimit, `${meter.most} records under one key`);
        link.forget();
        assertNothingLeft(watch);
      });

      for (const allows of ['neither', 'once'] as const) {
        test(`ends cleanly before ${usageLimit} records where the other allows ${allows === 'once' ? 'no more' : 'no'} renegotiation`, () => {
          for (const inOneCall of [false, true]) {
            watch.clear();
            const link = pairOf(usageLimit, allows);
            const meter = metered(link);
            link.run().assertComplete();
            const [from, to] = [link[sender], link[receiver]];
            for (let i = 0; i < 300 && from.connection.canSend; i++) {
              from.take(from.connection.send(new Uint8Array(inOneCall ? 5_000_000 : 1)));
              link.deliver();
            }
            assert.equal(from.error?.code, 'TLS_ERR_USAGE_LIMIT');
            to.assertFine();
            assert.equal(to.peerClosed, true, 'the other is told with close_notify');
            assert.equal(count(from, 'renegotiated'), allows === 'once' ? 1 : 0);
            assert(meter.most <= usageLimit, `${meter.most} records under one key`);
            assert(meter.most >= usageLimit - 4, `${meter.most} records: the key is not given up early`);
            link.forget();
            assertNothingLeft(watch);
          }
        });
      }
    }

    test('waits for a peer that says nothing to a renegotiation, and tells its host', () => {
      const link = pairOf(40, 'both');
      link.run().assertComplete();
      const from = link[sender];
      from.take(from.connection.send(new Uint8Array(1)));
      for (let i = 0; i < 100; i++) {
        from.take(from.connection.send(new Uint8Array(1)));
      }
      assert.equal(from.connection.holdsData, true);
      assert(recordsOf(from.flush()).length <= 40);
      from.take(from.connection.close());
      assert.equal(from.outbox.length, 0, 'close_notify waits for the data');
      from.take(from.connection.transportEnded());
      assert.equal(from.error?.code, 'TLS_ERR_TRUNCATED');
      link.forget();
      assertNothingLeft(watch);
    });

    test('is ended when its peer says nothing for ever: the memory is not filled', () => {
      const link = pairOf(8, 'both');
      link.run().assertComplete();
      const from = link[sender];
      const megabyte = new Uint8Array(2 ** 20);
      let sent = 0;
      for (; sent < 40 && from.connection.canSend; sent++) {
        from.take(from.connection.send(megabyte));
      }
      assert.equal(from.error?.code, 'TLS_ERR_HANDSHAKE_TIMEOUT');
      assert(sent < 20, `${sent} MiB`);
      link.forget();
      assertNothingLeft(watch);
    });
  });
}

test('a renegotiation that does not fit what is left of a key ends the connection cleanly, too', () => {
  // With the smallest records the client's certificate alone takes more than the reserve.
  const certificateChain = [new Uint8Array(4000)];
  const credentials = [{ ...world.identity.credential, certificateChain }];
  const link = world.pair12(
    'ticket',
    { usageLimit: 20, recordSizeLimit: 64 },
    { usageLimit: 20, context: { ...world.context, credentials } },
  );
  const meter = metered(link);
  link.run().assertComplete();
  link.server.take(link.server.connection.startRenegotiation());
  link.deliver();
  assert.equal(link.server.error?.code, 'TLS_ERR_USAGE_LIMIT');
  assert.equal(link.client.peerClosed, true);
  assert(meter.most <= 20);
  link.forget();
  assertNothingLeft(watch);
});

test('the reserve also holds for requests that have to be declined: a flood of them cannot overrun the key', () => {
  const link = world.pair12('ticket', { usageLimit: 12, serverRenegotiations: 0 }, {});
  const meter = metered(link);
  link.run().assertComplete();
  corrupt(link.server, (_name, raw) => [raw]);
  for (let i = 0; i < 40 && !link.client.over; i++) {
    link.server.take(link.server.connection.startRenegotiation());
    link.server.take(link.server.connection.send(utf8('x')));
    link.deliver();
  }
  assert.equal(link.client.error?.code, 'TLS_ERR_USAGE_LIMIT');
  assert(meter.most <= 60);
  link.forget();
  assertNothingLeft(watch);
});
