import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { MAX_EARLY_DATA } from '../../src/handshake/early-data-client.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import { recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { asking } from '../support/stages.ts';
import { assertTaken, EarlyWorld, earlyDataOf, kindsOf, MAX, PING, rejectedOf } from './support.ts';

const watch = new SecretWatch();
let world = new EarlyWorld();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new EarlyWorld();
});
after(() => {
  watch.stop();
  world.close();
});

describe('early data that is taken', () => {
  test('reaches the server with the hello, as what it is and not as data of the handshake', () => {
    const link = world.early();
    link.server.receive(link.client.flush());
    assert.equal(earlyDataOf(link.server), Buffer.from(PING).toString());
    assert.equal(link.server.summary, undefined, 'the handshake is not complete');
    assert.deepEqual(
      kindsOf(link.server).filter((kind) => kind !== 'keyLog'),
      ['earlyDataAccepted', 'earlyData', 'send'],
    );
    assertTaken(link.deliver());
    link.forget();
  });

  test('comes in any number of pieces, cut anywhere, and joined with what follows', () => {
    for (const size of [1, 2, 5, 17, 100, 1000]) {
      const link = world.early({ data: new Uint8Array(0) });
      const pieces = Array.from({ length: 9 }, (_, i) => utf8(`piece ${i}, `.repeat(i + 1)));
      for (const piece of pieces) {
        link.client.take(link.client.connection.sendEarlyData(piece));
      }
      link.chop = function* (bytes) {
        for (let at = 0; at < bytes.length; at += size) {
          yield bytes.subarray(at, at + size);
        }
      };
      assertTaken(link.deliver(), concat(...pieces));
      link.forget();
    }
  });

  test('may be as much as the ticket says, in several records, and no more', () => {
    const link = world.early({ data: new Uint8Array(0) });
    const { connection } = link.client;
    assert.equal(connection.earlyDataRoom, MAX);
    const half = new Uint8Array(MAX / 2).fill(65);
    link.client.take(connection.sendEarlyData(half));
    assert.equal(connection.earlyDataRoom, MAX / 2);
    assert.throws(() => connection.sendEarlyData(new Uint8Array(MAX / 2 + 1)), { code: 'TLS_ERR_WRONG_STATE' });
    link.client.take(connection.sendEarlyData(half));
    assert.equal(connection.earlyDataRoom, 0);
    assertTaken(link.deliver(), concat(half, half));
    link.forget();
  });

  test('is sent between the hello and the end of the handshake, and at no other time', () => {
    const session = world.session();
    const link = world.pair({ session, earlyData: true });
    const { client, server } = link;
    assert.equal(client.connection.earlyDataRoom, 0);
    assert.throws(() => client.connection.sendEarlyData(PING), { code: 'TLS_ERR_WRONG_STATE' });
    client.start();
    assert.equal(client.connection.sendEarlyData(new Uint8Array(0)).length, 0);
    client.take(client.connection.sendEarlyData(PING));
    assertTaken(link.deliver());
    assert.equal(client.connection.earlyDataRoom, 0);
    for (const end of [client, server]) {
      assert.throws(() => end.connection.sendEarlyData(PING), { code: 'TLS_ERR_WRONG_STATE' });
    }
    link.forget();
  });

  test('is not even offered without the option, a ticket that allows it, its suite and its protocol', () => {
    const offers = (client: object, session = world.session()): boolean => {
      const end = world.client({ session, earlyData: true, ...client }).start();
      const { extensions } = decodeClientHello(recordsOf(end.flush())[0].subarray(9));
      const offered = extensions.earlyData === true;
      assert.equal(extensions.preSharedKey === undefined, false, 'the session itself is offered');
      assert.equal(end.connection.earlyDataRoom > 0, offered);
      end.forget();
      return offered;
    };
    assert.equal(offers({}), true);
    assert.equal(offers({ earlyData: false }), false);
    assert.equal(offers({ earlyData: undefined }), false);
    assert.equal(offers({}, { ...world.session(), maxEarlyDataSize: 0 }), false);
    assert.equal(offers({}, { ...world.session(), maxEarlyDataSize: undefined }), false);
    assert.equal(offers({ alpnProtocols: ['http/1.1'] }), false);
    assert.equal(offers({ alpnProtocols: [] }), false);
    assert.equal(offers({ alpnProtocols: ['http/1.1', 'h2'] }), true);
    assert.equal(offers({}, world.session({ alpnProtocols: [] })), false);
    assert.equal(offers({ alpnProtocols: [] }, world.session({ alpnProtocols: [] })), true);
    assert.equal(offers({ cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] }), false);
  });

  test('a server cannot make a client keep more than a mebibyte', () => {
    const session = { ...world.session(), maxEarlyDataSize: 0xffff_ffff };
    const client = world.client({ session, earlyData: true }).start();
    assert.equal(client.connection.earlyDataRoom, MAX_EARLY_DATA);
    client.forget();
  });

  test('tickets say how much, also those of a resumption, and a policy without early data says nothing', () => {
    assert.equal(world.session().maxEarlyDataSize, MAX);
    assert.equal(world.session({ session: world.session() }).maxEarlyDataSize, MAX);
    assert.equal(world.session({}, world.with({ maxEarlyDataSize: 7 })).maxEarlyDataSize, 7);
    assert.equal(world.session({}, world.with(undefined)).maxEarlyDataSize, 0);
  });

  test('has a key log line that both ends write, and keys that follow from the hello', () => {
    const session = world.session();
    const seen = new Set<string>();
    for (let i = 0; i < 2; i++) {
      const link = world.early({ session, server: world.with({ register: { claim: () => 'fresh' } }) });
      assertTaken(link.deliver());
      const secret = link.client.keyLog.get('CLIENT_EARLY_TRAFFIC_SECRET');
      assert.equal(typeof secret, 'string');
      assert.equal(secret, link.server.keyLog.get('CLIENT_EARLY_TRAFFIC_SECRET'));
      assert.equal(seen.has(secret as string), false, 'another hello, another key');
      seen.add(secret as string);
      link.forget();
    }
  });

  test('change_cipher_spec stands between the hello and the early data, and nowhere else', () => {
    const link = world.early();
    const first = link.client.flush();
    assert.deepEqual(
      recordsOf(first).map(([type]) => type),
      [22, 20, 23],
    );
    link.server.receive(first);
    link.client.receive(link.server.flush());
    const second = link.client.flush();
    assert.deepEqual(
      recordsOf(second).map(([type]) => type),
      [23, 23],
      'EndOfEarlyData and Finished, under different keys',
    );
    link.server.receive(second);
    assertTaken(link);
    link.forget();
  });

  test('a middlebox may add change_cipher_spec anywhere up to Finished', () => {
    const link = world.early();
    const ccs = new Uint8Array([20, 3, 3, 0, 1, 1]);
    link.toServer = (bytes) => concat(...recordsOf(bytes).flatMap((record) => [record, ccs]));
    link.server.receive(link.toServer(link.client.flush()));
    link.client.receive(link.server.flush());
    const [end, finished] = recordsOf(link.client.flush());
    link.server.receive(concat(end, ccs, finished));
    link.toServer = (bytes) => bytes;
    assertTaken(link);
    link.forget();
  });

  test('offered and not used is ended all the same', () => {
    const link = world.early({ data: new Uint8Array(0) });
    assertTaken(link.deliver(), new Uint8Array(0));
    assert.equal(kindsOf(link.server).includes('earlyDataAccepted'), true);
    link.forget();
  });

  test('with every suite, and with records of the smallest size agreed', () => {
    for (const name of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'] as const) {
      const cipherSuites = [name] as const;
      const session = world.session({ cipherSuites });
      const link = world.early({
        session,
        data: new Uint8Array(3000).fill(66),
        client: { cipherSuites, recordSizeLimit: 64 },
        server: { recordSizeLimit: 64 },
      });
      assertTaken(link.deliver(), new Uint8Array(3000).fill(66));
      link.forget();
    }
  });

  test('a session of a client with a certificate tells the server who it was, as in any resumption', () => {
    const context = asking(world);
    const credentials = [world.identity.credential];
    const session = world.session({ credentials }, { context });
    const link = world.early({ session, client: { credentials }, server: { context } });
    link.server.receive(link.client.flush());
    const accepted = link.server.actions.find((action) => action.kind === 'earlyDataAccepted');
    assert.deepEqual(accepted?.summary.peerCertificates, credentials[0].certificateChain);
    assert.equal(
      link.server.actions.some((action) => action.kind === 'need'),
      false,
      'a resumption asks for no certificate',
    );
    assertTaken(link.deliver());
    link.forget();
  });

  test('no secret of it is left when both ends are erased, in whatever state', () => {
    const reach: ((link: ReturnType<typeof world.early>) => void)[] = [
      () => {},
      ({ client, server }) => server.receive(client.flush()),
      ({ client, server }) => {
        server.receive(client.flush());
        client.receive(server.flush());
      },
      (link) => link.deliver(),
    ];
    for (const go of reach) {
      const session = world.session();
      const link = world.early({ session });
      go(link);
      link.forget();
      session.secret.erase();
      assert.deepEqual(
        watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
        [],
      );
    }
  });
});

describe('a server that took early data', () => {
  test('may answer before the Finished of the client, and the client reads that with the flight', () => {
    const link = world.early();
    const { client, server } = link;
    server.receive(client.flush());
    assert.equal(server.connection.canSend, true);
    server.take(server.connection.send(utf8('an early pong')));
    client.receive(server.flush());
    assert.equal(Buffer.from(client.data).toString(), 'an early pong');
    assert.equal(client.summary?.earlyData, 'taken');
    assertTaken(link.deliver());
    link.forget();
  });

  test('may do nothing else that needs a complete handshake', () => {
    const link = world.early();
    const { connection } = link.server.receive(link.client.flush());
    const wrong = { code: 'TLS_ERR_WRONG_STATE' };
    assert.throws(() => connection.updateKeys(true), wrong);
    assert.throws(() => connection.exportKeyingMaterial('label', undefined, 16), wrong);
    assert.throws(() => connection.requestClientCertificate({ required: true, certificateAuthorities: [] }), wrong);
    assert.throws(() => connection.startRenegotiation(), wrong);
    assert.deepEqual(connection.maintain(), []);
    link.forget();
  });

  test('a server that did not take any may not send before Finished', () => {
    const link = world.pair({ session: world.session() });
    link.server.receive(link.client.start().flush());
    assert.equal(link.server.connection.canSend, false);
    assert.throws(() => link.server.connection.send(PING), { code: 'TLS_ERR_WRONG_STATE' });
    link.forget();
  });

  test('holds what its first key cannot carry until that can be renewed', () => {
    const link = world.early({ server: { usageLimit: 12 } });
    const { client, server } = link;
    server.receive(client.flush());
    const long = new Uint8Array(20 * 16_384).map((_, i) => i);
    server.take(server.connection.send(long));
    assert.equal(server.connection.holdsData, true);
    server.take(server.connection.send(PING));
    link.deliver();
    assert.deepEqual(client.data, concat(long, PING));
    assert.equal(server.connection.holdsData, false);
    link.assertComplete();
    link.forget();
  });

  test('may close at once: the client has the answer and a clean end', () => {
    const link = world.early();
    const { client, server } = link;
    server.receive(client.flush());
    server.take(server.connection.send(utf8('bye')));
    server.take(server.connection.close());
    link.deliver();
    client.assertFine();
    assert.equal(Buffer.from(client.data).toString(), 'bye');
    assert.equal(client.peerClosed, true);
    assert.equal(server.summary?.earlyData, 'taken', 'it still reads the Finished');
    client.take(client.connection.close());
    link.deliver();
    server.assertFine();
    assert.equal(server.peerClosed, true);
    link.forget();
  });

  test('resumes and takes early data of the tickets that it gave with early data', () => {
    let session = world.session();
    for (let i = 0; i < 4; i++) {
      const link = world.early({ session });
      assertTaken(link.deliver());
      link.client.connection.erase();
      link.server.connection.erase();
      session.secret.erase();
      [session] = link.client.sessions;
    }
    session.secret.erase();
  });

  test('a client that is told of a failure before the answer gets nothing back: it may have been read', () => {
    const link = world.early();
    link.server.receive(link.client.flush());
    link.client.take(link.client.connection.transportEnded());
    assert.equal(link.client.error?.code, 'TLS_ERR_TRUNCATED');
    assert.deepEqual(rejectedOf(link.client), []);
    link.forget();
  });
});
