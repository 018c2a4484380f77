/**
 * Application data that is sent in the middle of a renegotiation. All have to take it there (RFC 5246 §6.2.1), and OpenSSL and
 * Mbed TLS end the connection, so ours waits.
 */

import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { assertNothingLeft, renegotiated, World12 } from './support.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const OTHER = { client: 'server', server: 'client' } as const;

test('data waits from the first hello on, as OpenSSL and Mbed TLS take none in the middle, and goes out when it is over', () => {
  const link = world.connect12('ticket');
  for (const who of ['client', 'server'] as const) {
    const [end, peer] = [link[who], link[OTHER[who]]];
    const before = peer.data.length;
    link.server.take(link.server.connection.startRenegotiation());
    link.client.receive(link.server.flush());
    if (who === 'server') {
      link.server.receive(link.client.flush());
    }
    const [ahead, { length }] = [end.flush(), end.outbox];
    end.take(end.connection.send(utf8('held')));
    assert.equal(end.connection.holdsData, true);
    assert.equal(end.outbox.length, length);
    peer.receive(ahead);
    link.deliver();
    renegotiated(end);
    assert.equal(Buffer.from(peer.data.subarray(before)).toString(), 'held');
    assert.equal(end.connection.holdsData, false);
  }
  link.forget();
  assertNothingLeft(watch);
});

test('data goes out under the old keys when the peer closes instead, and close_notify behind it', () => {
  const link = world.connect12('ticket');
  const { client, server } = link;
  const before = server.data.length;
  server.take(server.connection.startRenegotiation());
  client.receive(server.flush());
  client.take(client.connection.send(utf8('held')));
  client.take(client.connection.close());
  server.take(server.connection.close());
  link.deliver();
  assert.equal(Buffer.from(server.data.subarray(before)).toString(), 'held');
  assert.equal(server.peerClosed, true);
  client.assertFine();
  server.assertFine();
  link.forget();
  assertNothingLeft(watch);
});
