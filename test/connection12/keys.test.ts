/** Whose keys open what: record keys, exporters and the key log of TLS 1.2 connections of one session. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import type { Link } from '../support/connections.ts';
import { messagesOf, prf12, recordKeys12, recordsOf, type Session12Secrets, secretsFrom } from '../support/puppet12.ts';
import { countingProvider, NAMINGS, type Naming, World12 } from '../support/world12.ts';

const world = new World12();
after(() => world.close());

const SUITE: CipherSuite12Name = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';
const options = { cipherSuites12: [SUITE] };

/** What somebody on the wire keeps of a connection. */
interface Recording {
  readonly toServer: Uint8Array[];
  readonly toClient: Uint8Array[];
}

function record(link: Link): Recording {
  const recording: Recording = { toServer: [], toClient: [] };
  link.toServer = (bytes) => {
    recording.toServer.push(bytes);
    return bytes;
  };
  link.toClient = (bytes) => {
    recording.toClient.push(bytes);
    return bytes;
  };
  return recording;
}

function hellosOf({ toServer, toClient }: Recording): [Uint8Array, Uint8Array] {
  const first = (flights: Uint8Array[]) => messagesOf(recordsOf(concat(...flights))[0].subarray(5))[0].raw;
  return [first(toServer), first(toClient)];
}

/** What the master secret of some session reads in a recording: the application data, or nothing at all. */
function opened(recording: Recording, masterSecret: Uint8Array): { up: string; down: string } | undefined {
  const [clientHello, serverHello] = hellosOf(recording);
  const secrets: Session12Secrets = {
    suite: cipherSuites12[SUITE],
    masterSecret,
    clientRandom: clientHello.slice(6, 38),
    serverRandom: serverHello.slice(6, 38),
  };
  const { client, server } = recordKeys12(secrets);
  const read = (flights: Uint8Array[], keys: typeof client): string | undefined => {
    let isProtected = false;
    let text = '';
    for (const bytes of recordsOf(concat(...flights))) {
      if (isProtected) {
        const content = keys.open(bytes);
        if (content === undefined) {
          return undefined;
        }
        text += bytes[0] === 23 ? Buffer.from(content).toString() : '';
      }
      isProtected ||= bytes[0] === 20;
    }
    return text;
  };
  const up = read(recording.toServer, client);
  const down = read(recording.toClient, server);
  return up === undefined || down === undefined ? undefined : { up, down };
}

function talk(naming: Naming, changes: Parameters<World12['pair12']>[1] = {}) {
  const link = world.pair12(naming, { ...options, ...changes });
  const recording = record(link);
  link.run();
  link.assertComplete();
  link.client.take(link.client.connection.send(utf8('GET /secret')));
  link.server.take(link.server.connection.send(utf8('the secret')));
  link.deliver();
  return { link, recording };
}

function masterSecretOf(link: Link): Uint8Array {
  return new Uint8Array(Buffer.from(link.client.keyLog.get('CLIENT_RANDOM') ?? '', 'hex'));
}

for (const naming of NAMINGS) {
  describe(`connections of one session by ${naming}`, () => {
    test('each have record keys and implicit nonces of their own, from one master secret', () => {
      const seen = new Set<string>();
      let { link, recording } = talk(naming);
      const master = toHex(masterSecretOf(link));
      const [session] = link.client.sessions12;
      for (let i = 0; i < 6; i++) {
        assert.equal(link.client.summary?.resumed, i > 0);
        assert.equal(toHex(masterSecretOf(link)), master);
        const secrets = secretsFrom(cipherSuites12[SUITE], link.client.keyLog, ...hellosOf(recording));
        for (const piece of recordKeys12(secrets).raw) {
          // The implicit nonce has 4 bytes: two are equal once in 2^32.
          assert(!seen.has(piece.toString('hex')), 'no key comes twice');
          seen.add(piece.toString('hex'));
        }
        link.server.forget();
        link.client.connection.erase();
        ({ link, recording } = talk(naming, { session }));
      }
      link.forget();
    });

    test('after the first run no key exchange, and no signature', () => {
      const session = world.session12(naming, options);
      const [client, server] = [countingProvider(), countingProvider()];
      const link = world.connect12(naming, { session, provider: client.provider }, { provider: server.provider });
      assert.equal(link.client.summary?.resumedBy, naming);
      for (const { calls } of [client, server]) {
        for (const call of ['generateKeyShare', 'encapsulate', 'generateDheShare', 'sign', 'verify', 'verifyTls12']) {
          assert.equal(calls[call], undefined, call);
        }
        assert(calls.hmacOfRandomKey > 0 && calls.random > 0 && calls.aead > 0);
      }
      link.forget();
      const [other, otherServer] = [countingProvider(), countingProvider()];
      const full = world.connect12(naming, { provider: other.provider }, { provider: otherServer.provider });
      assert.equal(other.calls.encapsulate, 1);
      assert.equal(other.calls.verifyTls12, 1);
      assert.equal(otherServer.calls.generateKeyShare, 1);
      assert.equal(otherServer.calls.sign, 1);
      full.forget();
      session.secret.erase();
    });

    test('are all opened by whoever has the master secret: before it was stolen and after', () => {
      const full = talk(naming);
      const [session] = full.link.client.sessions12;
      const later = talk(naming, { session });
      const stolen = masterSecretOf(later.link);
      const content = { up: 'GET /secret', down: 'the secret' };
      for (const recording of [full.recording, later.recording]) {
        const read = opened(recording, stolen);
        assert(read?.up.endsWith(content.up) && read.down.endsWith(content.down));
      }
      full.link.forget();
      later.link.forget();
    });

    test('are closed to the master secret of any other session, also of the same client and server', () => {
      const one = talk(naming);
      const other = talk(naming);
      assert.notDeepEqual(masterSecretOf(one.link), masterSecretOf(other.link));
      assert.equal(opened(one.recording, masterSecretOf(other.link)), undefined);
      assert.equal(opened(other.recording, masterSecretOf(one.link)), undefined);
      assert.notEqual(opened(one.recording, masterSecretOf(one.link)), undefined);
      one.link.forget();
      other.link.forget();
    });

    test('can be begun by whoever has the master secret, without the certificate: a thief of sessions is a client', () => {
      const { link } = talk(naming);
      const [session] = link.client.sessions12;
      // Of all that the victim has, the thief has the session alone.
      const thief = world.connect12(naming, { ...options, session });
      assert.equal(thief.server.summary?.resumed, true);
      link.forget();
      thief.forget();
    });
  });
}

describe('exporters', () => {
  test('give both ends the same, and each connection, label and context something else', () => {
    const { link } = talk('ticket');
    const { link: resumed } = talk('ticket', { session: link.client.sessions12[0] });
    const seen = new Set<string>();
    for (const { client, server } of [link, resumed]) {
      for (const label of ['EXPORTER-one', 'EXPORTER-two']) {
        for (const context of [undefined, new Uint8Array(0), utf8('context')]) {
          const exported = client.connection.exportKeyingMaterial(label, context, 40);
          assert.deepEqual(exported, server.connection.exportKeyingMaterial(label, context, 40));
          assert(!seen.has(toHex(exported)));
          seen.add(toHex(exported));
        }
      }
    }
    link.forget();
    resumed.forget();
  });

  test('are what RFC 5705 §4 says, by a second implementation', () => {
    const { link, recording } = talk('ticket');
    const { suite, masterSecret, clientRandom, serverRandom } = secretsFrom(
      cipherSuites12[SUITE],
      link.client.keyLog,
      ...hellosOf(recording),
    );
    const randoms = concat(clientRandom, serverRandom);
    const { connection } = link.client;
    assert.deepEqual(
      connection.exportKeyingMaterial('EXPORTER-x', undefined, 33),
      new Uint8Array(prf12(suite, masterSecret, 'EXPORTER-x', randoms, 33)),
    );
    assert.deepEqual(
      connection.exportKeyingMaterial('EXPORTER-x', utf8('abc'), 33),
      new Uint8Array(prf12(suite, masterSecret, 'EXPORTER-x', concat(randoms, utf8('\0\x03abc')), 33)),
    );
    link.forget();
  });

  test('refuse the labels by which TLS itself uses the master secret', () => {
    const { link } = talk('ticket');
    for (const label of ['key expansion', 'client finished', 'server finished', 'master secret', '']) {
      assert.throws(() => link.client.connection.exportKeyingMaterial(label, undefined, 32), {
        code: 'TLS_ERR_CONFIG',
      });
    }
    link.forget();
  });
});

describe('the key log', () => {
  test('has the one line CLIENT_RANDOM with the random of the hello, the same at both ends', () => {
    for (const naming of NAMINGS) {
      const { link, recording } = talk(naming);
      const [clientHello] = hellosOf(recording);
      for (const endpoint of [link.client, link.server]) {
        const lines = endpoint.actions.flatMap((action) =>
          action.kind === 'keyLog' ? [Buffer.from(action.line).toString()] : [],
        );
        const random = toHex(clientHello.slice(6, 38));
        assert.deepEqual(lines, [`CLIENT_RANDOM ${random} ${toHex(masterSecretOf(link))}`]);
      }
      assert.equal(masterSecretOf(link).length, 48);
      link.forget();
    }
  });

  test('is empty unless it was asked for', () => {
    const link = world.connect12('ticket', { exportKeyLog: false }, { exportKeyLog: false });
    assert.equal(link.client.keyLog.size + link.server.keyLog.size, 0);
    link.forget();
  });
});
