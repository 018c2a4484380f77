import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import { decodeKeyUpdate } from '../../src/messages/key-update.ts';
import { type Endpoint, type Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const REQUEST = new Uint8Array([24, 0, 0, 1, 1]);
const NO_REQUEST = new Uint8Array([24, 0, 0, 1, 0]);
const CONNECTED = [() => clientIn(world, 'Connected'), () => serverIn(world, 'Connected')] as const;

function transfer(from: Endpoint, to: Endpoint, link: Link, bytes: Uint8Array): void {
  const before = to.data.length;
  from.take(from.connection.send(bytes));
  link.deliver();
  from.assertFine();
  to.assertFine();
  assert.deepEqual(to.data.subarray(before), bytes);
}

function updatesIn(stage: ReturnType<typeof clientIn>): boolean[] {
  const found = stage.puppet.messages
    .filter(({ name }) => name === 'key_update')
    .map(({ raw }) => decodeKeyUpdate(raw.subarray(4)).updateRequested);
  stage.puppet.messages.length = 0;
  return found;
}

describe('KeyUpdate', () => {
  test('renews one direction when no answer is asked for, both when one is', () => {
    const link = world.connect();
    link.client.take(link.client.connection.updateKeys(false));
    link.deliver();
    assert.deepEqual(link.client.keyUpdates, ['write 1']);
    assert.deepEqual(link.server.keyUpdates, ['read 1']);
    link.assertDataFlows();
    link.server.take(link.server.connection.updateKeys(true));
    link.deliver();
    assert.deepEqual(link.server.keyUpdates, ['read 1', 'write 1', 'read 2']);
    assert.deepEqual(link.client.keyUpdates, ['write 1', 'read 1', 'write 2']);
    link.assertDataFlows();
    link.forget();
  });

  test('logs every generation under its own label', () => {
    const link = world.connect();
    for (let i = 1; i <= 3; i++) {
      link.client.take(link.client.connection.updateKeys(true));
      link.deliver();
      for (const label of [`CLIENT_TRAFFIC_SECRET_${i}`, `SERVER_TRAFFIC_SECRET_${i}`]) {
        assert(link.client.keyLog.get(label) !== undefined);
        assert.equal(link.client.keyLog.get(label), link.server.keyLog.get(label));
      }
    }
    assert.equal(new Set(link.client.keyLog.values()).size, link.client.keyLog.size, 'no secret twice');
    link.forget();
  });

  test('requests that come together are answered once, after all was read, without asking back', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      const { victim, puppet } = stage;
      const flight = [puppet.handshake(REQUEST)];
      flight.push(puppet.updateWrite().handshake(NO_REQUEST));
      flight.push(puppet.updateWrite().handshake(REQUEST));
      flight.push(puppet.updateWrite().record(23, utf8('data')));
      victim.receive(Buffer.concat(flight));
      assert.deepEqual(victim.data, utf8('data'));
      puppet.read(victim.flush());
      assert.deepEqual(updatesIn(stage), [false]);
      assert.deepEqual(victim.keyUpdates, ['read 1', 'read 2', 'read 3', 'write 1']);
      strike(stage);
    }
  });

  test('one that asks for nothing is not answered', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      stage.victim.receive(stage.puppet.handshake(NO_REQUEST));
      assert.equal(stage.victim.flush().length, 0);
      strike(stage);
    }
  });

  test('at most one request is outstanding', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      const { victim, puppet } = stage;
      victim.take(victim.connection.updateKeys(true));
      victim.take(victim.connection.updateKeys(true));
      puppet.read(victim.flush());
      assert.deepEqual(updatesIn(stage), [true, false]);
      victim.receive(puppet.handshake(NO_REQUEST));
      victim.take(victim.connection.updateKeys(true));
      puppet.read(victim.flush());
      assert.deepEqual(updatesIn(stage), [true]);
      strike(stage);
    }
  });

  test('a record under the key before the last is refused with bad_record_mac', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      const { victim, puppet } = stage;
      victim.receive(puppet.handshake(NO_REQUEST));
      victim.receive(puppet.record(23, utf8('old key')));
      assert.equal(victim.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
      strike(stage);
    }
  });

  test('requests that cross are both answered, and the connection goes on', () => {
    const link = world.connect();
    link.client.take(link.client.connection.updateKeys(true));
    link.server.take(link.server.connection.updateKeys(true));
    link.deliver().assertDataFlows();
    assert.deepEqual(link.client.keyUpdates, ['write 1', 'read 1', 'write 2', 'read 2']);
    assert.deepEqual(link.server.keyUpdates, ['write 1', 'read 1', 'write 2', 'read 2']);
    link.forget();
  });

  test('old generations are erased: a connection holds as many secrets after a hundred updates as before', () => {
    const link = world.connect();
    const before = watch.alive;
    for (let i = 0; i < 100; i++) {
      link.client.take(link.client.connection.updateKeys(i % 2 === 0));
      link.deliver();
      // One way only: the other end has nothing to say but its KeyUpdates.
      transfer(link.client, link.server, link, utf8('x'));
    }
    assert.deepEqual(watch.alive, before);
    link.forget();
  });
});

test('one hundred requests of our own are answered without becoming a flood', () => {
  const link = world.connect();
  for (let i = 0; i < 100; i++) {
    link.client.take(link.client.connection.updateKeys(true));
    link.deliver();
    transfer(link.client, link.server, link, utf8('x'));
  }
  link.forget();
});

describe('the usage limit', () => {
  test('is never overrun by the sender: keys are renewed before, as often as it takes', () => {
    for (const usageLimit of [8, 9, 16, 100]) {
      const link = world.connect({ recordSizeLimit: 64 }, { usageLimit });
      const data = new Uint8Array(63 * 250).map((_, index) => index);
      transfer(link.server, link.client, link, data);
      const renewed = link.client.keyUpdates.filter((update) => update.startsWith('read')).length;
      assert(renewed >= Math.floor(250 / usageLimit), `${renewed} for a limit of ${usageLimit}`);
      assert.deepEqual(
        link.server.connection.close().map(({ kind }) => kind),
        ['send'],
        'there is room for close_notify',
      );
      link.forget();
    }
  });

  test('of one byte at a time, over many sends, is kept too', () => {
    const link = world.connect({ usageLimit: 8 }, { usageLimit: 8 });
    for (let i = 0; i < 100; i++) {
      transfer(link.client, link.server, link, new Uint8Array([i]));
      transfer(link.server, link.client, link, new Uint8Array([i]));
    }
    assert(link.client.keyUpdates.length > 20);
    link.forget();
  });

  test('of a receiver is no reason to end the connection: it asks for a new key, once until it has one', () => {
    for (const reach of [
      () => clientIn(world, 'Connected', { client: { usageLimit: 10 } }),
      () => serverIn(world, 'Connected', { server: { usageLimit: 10 } }),
    ]) {
      const stage = reach();
      const { victim, puppet } = stage;
      for (let i = 0; i < 30; i++) {
        victim.receive(puppet.record(23, new Uint8Array([i])));
      }
      victim.assertFine();
      assert.equal(victim.data.length, 30);
      puppet.read(victim.flush());
      assert.deepEqual(updatesIn(stage), [true]);
      victim.receive(puppet.handshake(NO_REQUEST));
      puppet.updateWrite();
      for (let i = 0; i < 10; i++) {
        victim.receive(puppet.record(23, new Uint8Array([i])));
      }
      puppet.read(victim.flush());
      assert.deepEqual(updatesIn(stage), [true]);
      strike(stage);
    }
  });

  test('that differs at the two ends is kept by both', () => {
    const link = world.connect({ usageLimit: 8, recordSizeLimit: 64 }, { usageLimit: 1000, recordSizeLimit: 64 });
    const data = new Uint8Array(63 * 100).map((_, index) => index * 3);
    transfer(link.server, link.client, link, data);
    transfer(link.client, link.server, link, data);
    transfer(link.server, link.client, link, data);
    assert(link.server.keyUpdates.includes('write 1'), 'asked for by the client');
    link.forget();
  });

  test('of a server that only receives makes it ask again and again, for as long as data comes', () => {
    const link = world.connect({ recordSizeLimit: 64 }, { usageLimit: 8, recordSizeLimit: 64 });
    for (let i = 0; i < 60; i++) {
      transfer(link.client, link.server, link, new Uint8Array(63 * 9).fill(i));
    }
    assert(link.client.keyUpdates.filter((update) => update.startsWith('read')).length > 40);
    link.forget();
  });

  test('does not touch the handshake, whose keys cannot be renewed', () => {
    const certificateChain = [new Uint8Array(4000), new Uint8Array(4000)];
    const credentials = [{ ...world.context.credentials[0], certificateChain }];
    const link = world.connect(
      { recordSizeLimit: 64, usageLimit: 8 },
      { usageLimit: 8, context: { ...world.context, credentials } },
    );
    assert.equal(link.client.summary?.peerCertificates[1].length, 4000);
    link.forget();
  });
});
