import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import { type Chop, World } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const session = () => {
  const link = world.connect();
  link.client.connection.erase();
  link.server.connection.erase();
  return link.client.sessions[0];
};

const scenarios: Record<string, () => [Partial<ClientOptions>, Partial<ServerOptions>]> = {
  'a full handshake': () => [{}, {}],
  'a resumed handshake': () => [{ session: session() }, {}],
  'a handshake with a HelloRetryRequest': () => [{ keyShares: ['x25519'] }, { namedGroups: ['secp256r1'] }],
  'a handshake that waits for its host': () => [{}, { context: 'ask' }],
};

function* slices(bytes: Uint8Array, length: number): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) {
    yield bytes.subarray(at, at + length);
  }
}

for (const [name, options] of Object.entries(scenarios)) {
  describe(`${name} completes`, () => {
    test('byte by byte', () => {
      const link = world.pair(...options());
      link.chop = (bytes) => slices(bytes, 1);
      link.run().assertComplete();
      link.forget();
    });

    test('in pieces of every small length', () => {
      for (let length = 2; length < 40; length++) {
        const link = world.pair(...options());
        link.chop = (bytes) => slices(bytes, length);
        link.run().assertComplete();
        link.forget();
      }
    });

    test('split in two at every place', () => {
      let longest = 1;
      for (let at = 1; at < longest; at++) {
        const link = world.pair(...options());
        const chop: Chop = (bytes) => {
          longest = Math.max(longest, bytes.length);
          return at < bytes.length ? [bytes.subarray(0, at), bytes.subarray(at)] : [bytes];
        };
        link.chop = chop;
        link.run();
        link.client.assertFine(`split at ${at}`);
        link.server.assertFine(`split at ${at}`);
        assert(link.client.summary !== undefined && link.server.summary !== undefined);
        link.forget();
        if (at === 1) {
          assert(longest > 300);
        }
      }
    });

    test('in the smallest records that both may ask for', () => {
      const [client, server] = options();
      const link = world.pair({ ...client, recordSizeLimit: 64 }, { ...server, recordSizeLimit: 64 });
      link.chop = (bytes) => slices(bytes, 7);
      link.run().assertComplete();
      link.forget();
    });
  });
}

describe('messages spread over many records', () => {
  test('a ClientHello in records of one byte each is put together', () => {
    const { victim, puppet, flight } = serverIn(world, 'ExpectClientHello');
    for (const byte of flight.get('client_hello') as Uint8Array) {
      victim.receive(plaintext(22, new Uint8Array([byte])));
    }
    victim.assertFine();
    assert.equal(victim.connection.state, 'ExpectFinished');
    victim.forget();
    puppet.erase();
  });

  test("a server's flight in records of one byte each is put together", () => {
    const stage = clientIn(world, 'ExpectEncryptedExtensions');
    const { victim, puppet, flight } = stage;
    for (const name of ['encrypted_extensions', 'certificate', 'certificate_verify', 'finished']) {
      for (const byte of flight.get(name) as Uint8Array) {
        victim.receive(puppet.handshake(new Uint8Array([byte])));
      }
    }
    assert(victim.summary !== undefined);
    strike(stage);
  });

  test('several messages share one record', () => {
    const stage = clientIn(world, 'ExpectEncryptedExtensions');
    const { victim, puppet, flight } = stage;
    const names = ['encrypted_extensions', 'certificate', 'certificate_verify', 'finished'];
    victim.receive(puppet.handshake(...names.map((name) => flight.get(name) as Uint8Array)));
    assert(victim.summary !== undefined);
    strike(stage);
  });

  test('one in more than 2048 pieces is refused', () => {
    const { victim } = serverIn(world, 'ExpectClientHello');
    victim.receive(plaintext(22, new Uint8Array([1, 0, 0xff, 0xff])));
    const piece = plaintext(22, new Uint8Array(1));
    victim.receive(concat(...Array.from({ length: 2048 }, () => piece)));
    assert.equal(victim.error?.code, 'TLS_ERR_MESSAGE_TOO_LONG');
  });

  test('one that announces more than it may have is refused by its header', () => {
    for (const [type, length] of [[1, 0x1_0001]] as const) {
      const { victim } = serverIn(world, 'ExpectClientHello');
      victim.receive(plaintext(22, new Uint8Array([type, length >>> 16, length >>> 8, length])));
      assert.equal(victim.error?.code, 'TLS_ERR_MESSAGE_TOO_LONG');
    }
    const stage = clientIn(world, 'ExpectCertificateOrCertificateRequest');
    stage.victim.receive(stage.puppet.handshake(new Uint8Array([11, 0xff, 0xff, 0xff])));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_MESSAGE_TOO_LONG');
    strike(stage);
  });
});
