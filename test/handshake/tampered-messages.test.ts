import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, type Stage, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const flight = ['encrypted_extensions', 'certificate', 'certificate_verify', 'finished'] as const;

/** The client never completes, tells the peer why under the handshake key, and keeps nothing. */
function assertRefused(stage: Stage, what: string, codes?: readonly string[]): void {
  const { victim, puppet } = stage;
  assert.equal(victim.summary, undefined, `${what}: not complete`);
  assert(victim.error !== undefined, `${what}: failed`);
  if (codes !== undefined) {
    assert(codes.includes(victim.error.code), `${what}: ${victim.error.code}: ${victim.error.message}`);
  }
  puppet.read(victim.flush());
  assert.deepEqual(puppet.alerts, [`${victim.error.alert} under ${stage.alertsUnder}`], what);
  strike(stage);
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

describe("a server's protected message, changed by one who knows the keys", () => {
  for (const name of flight) {
    test(`${name} with any bit flipped is refused`, () => {
      const { flight: genuine, ...rest } = clientIn(world, 'ExpectServerHello');
      strike({ flight: genuine, ...rest });
      const length = genuine.get(name)?.length ?? 0;
      assert(length > 0);
      for (let position = 1; position < length; position++) {
        const bit = 1 << ((position * 3) % 8);
        const stage = clientIn(world, 'Connected', {
          tamper: (which, raw) => (which === name ? flipped(raw, position, bit) : raw),
        });
        // One whose length grew is still waited for.
        if (stage.victim.error === undefined && position < 4) {
          stage.victim.take(stage.victim.connection.transportEnded());
          strike(stage);
          continue;
        }
        assertRefused(stage, `bit ${bit} of byte ${position} of ${name}`);
      }
    });

    test(`${name} that is shorter or longer than its fields say is refused`, () => {
      for (const change of [-1, 1]) {
        const stage = clientIn(world, 'Connected', {
          tamper: (which, raw) => (which === name ? resized(raw, change) : raw),
        });
        assertRefused(stage, `${name} with ${change} bytes`, ['TLS_ERR_DECODE', 'TLS_ERR_BAD_FINISHED']);
      }
    });

    test(`${name} left out or sent twice is refused`, () => {
      for (const change of ['left out', 'twice'] as const) {
        const stage = clientIn(world, 'Connected', {
          tamper: (which, raw) => (which !== name ? raw : change === 'twice' ? concat(raw, raw) : undefined),
        });
        if (change === 'left out' && name === 'finished') {
          assert.equal(stage.victim.summary, undefined);
          strike(stage);
          continue;
        }
        // Twice in one record: a second Finished stands before a key change.
        assertRefused(stage, `${name} ${change}`, ['TLS_ERR_UNEXPECTED_MESSAGE', 'TLS_ERR_RECORD_BOUNDARY']);
      }
    });
  }

  test('two messages in the wrong order are refused', () => {
    for (let first = 0; first + 1 < flight.length; first++) {
      const stage = clientIn(world, 'ExpectEncryptedExtensions');
      const order: string[] = [...flight];
      order.splice(first, 2, flight[first + 1], flight[first]);
      for (const name of order) {
        stage.victim.receive(stage.puppet.handshake(stage.flight.get(name) as Uint8Array));
      }
      assertRefused(stage, order.join(), ['TLS_ERR_UNEXPECTED_MESSAGE']);
    }
  });
});

describe("a client's Finished, changed by one who knows the keys", () => {
  test('with any bit flipped it is refused with decrypt_error', () => {
    for (let position = 4; position < 36; position++) {
      const stage = serverIn(world, 'ExpectFinished');
      const finished = stage.flight.get('finished') as Uint8Array;
      stage.victim.receive(stage.puppet.handshake(flipped(finished, position, 1 << (position % 8))));
      assertRefused(stage, `byte ${position}`, ['TLS_ERR_BAD_FINISHED']);
    }
  });

  test('shorter or longer it is refused with decode_error', () => {
    for (const change of [-1, 1]) {
      const stage = serverIn(world, 'ExpectFinished');
      stage.victim.receive(stage.puppet.handshake(resized(stage.flight.get('finished') as Uint8Array, change)));
      assertRefused(stage, `${change} bytes`, ['TLS_ERR_DECODE']);
    }
  });
});

describe('a message that a key change follows must end its record', () => {
  test("bytes after the server's Finished are refused", () => {
    const stage = clientIn(world, 'ExpectFinished');
    stage.victim.receive(stage.puppet.handshake(stage.flight.get('finished') as Uint8Array, new Uint8Array([4])));
    assertRefused(stage, 'after Finished', ['TLS_ERR_RECORD_BOUNDARY']);
  });

  test("bytes after the client's Finished are refused", () => {
    const stage = serverIn(world, 'ExpectFinished');
    stage.victim.receive(stage.puppet.handshake(stage.flight.get('finished') as Uint8Array, new Uint8Array([24])));
    assertRefused(stage, 'after Finished', ['TLS_ERR_RECORD_BOUNDARY']);
  });

  test('bytes after ServerHello are refused', () => {
    const stage = clientIn(world, 'ExpectServerHello');
    stage.victim.receive(stage.puppet.handshake(stage.flight.get('server_hello') as Uint8Array, new Uint8Array([8])));
    stage.puppet.readWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
    assertRefused({ ...stage, alertsUnder: 'CLIENT_HANDSHAKE_TRAFFIC_SECRET' }, 'after ServerHello', [
      'TLS_ERR_RECORD_BOUNDARY',
    ]);
  });

  test('bytes after the first or second ClientHello are refused', () => {
    const stage = serverIn(world, 'ExpectClientHello');
    const hello = stage.flight.get('client_hello') as Uint8Array;
    stage.victim.receive(stage.puppet.handshake(hello, new Uint8Array([20])));
    assertRefused(stage, 'after ClientHello', ['TLS_ERR_RECORD_BOUNDARY']);

    const client = world.client({ keyShares: ['secp256r1'] });
    const server = world.server({ namedGroups: ['x25519'] });
    server.receive(client.start().flush());
    client.receive(server.flush());
    // A change_cipher_spec of six bytes leads.
    const second = client.flush().slice(6);
    const length = second.length - 5 + 1;
    second.set([length >>> 8, length & 0xff], 3);
    server.receive(concat(second, new Uint8Array([20])));
    assert.equal(server.error?.code, 'TLS_ERR_RECORD_BOUNDARY');
    client.forget();
    server.forget();
  });

  test('bytes after KeyUpdate are refused on both sides', () => {
    for (const reach of [() => clientIn(world, 'Connected'), () => serverIn(world, 'Connected')]) {
      const stage = reach();
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([24, 0, 0, 1, 0, 24])));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_RECORD_BOUNDARY');
      stage.puppet.read(stage.victim.flush());
      assert.deepEqual(stage.puppet.alerts, [`unexpected_message under ${stage.alertsUnder}`]);
      strike(stage);
    }
  });
});

test('a handshake message may not be mixed with records of another kind', () => {
  const stage = clientIn(world, 'ExpectEncryptedExtensions');
  const message = stage.flight.get('encrypted_extensions') as Uint8Array;
  stage.victim.receive(stage.puppet.handshake(message.subarray(0, 3)));
  stage.victim.receive(stage.puppet.record(21, new Uint8Array([1, 90])));
  assertRefused(stage, 'an alert inside', ['TLS_ERR_UNEXPECTED_MESSAGE']);

  const connected = clientIn(world, 'Connected');
  connected.victim.receive(connected.puppet.handshake(new Uint8Array([4, 0])));
  connected.victim.receive(connected.puppet.record(23, new Uint8Array(3)));
  assert.equal(connected.victim.error?.code, 'TLS_ERR_RECORD_TYPE');
  strike(connected);
});

test('a signature by another key, and one over another transcript, are refused with decrypt_error', () => {
  const other = new World({}, { ...world.identity });
  const foreign = clientIn(other, 'ExpectServerHello');
  const verify = foreign.flight.get('certificate_verify') as Uint8Array;
  strike(foreign);
  const replayed = clientIn(world, 'Connected', {
    tamper: (name, raw) => (name === 'certificate_verify' ? verify : raw),
  });
  assertRefused(replayed, 'from another handshake', ['TLS_ERR_BAD_SIGNATURE']);
  other.close();
});

test('the alert of a client that has read ServerHello is not to be read on the wire', () => {
  const link = world.pair();
  link.client.verdict = undefined;
  link.client.publicKey = undefined as never;
  link.client.start();
  link.server.receive(link.client.flush());
  link.client.receive(link.server.flush());
  assert(link.client.error !== undefined);
  const sent = link.client.flush();
  // change_cipher_spec, then a protected record: 2 bytes of alert, its type and a tag.
  assert.deepEqual([...sent.slice(0, 11)], [20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 19]);
  link.server.receive(sent);
  assert.equal(link.server.error?.code, 'TLS_ERR_ALERT_RECEIVED');
  assert.equal(link.server.error?.alert, link.client.error.alert);
  link.forget();
});

function flipped(bytes: Uint8Array, position: number, bit: number): Uint8Array {
  const changed = new Uint8Array(bytes);
  changed[position] ^= bit;
  return changed;
}

/** With a body one byte shorter or longer, and a header that says so. */
function resized(raw: Uint8Array, change: number): Uint8Array {
  const changed = new Uint8Array(raw.length + change);
  changed.set(raw.subarray(0, Math.min(raw.length, changed.length)));
  const length = changed.length - 4;
  changed.set([length >>> 16, length >>> 8, length], 1);
  return changed;
}
