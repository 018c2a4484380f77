/** Somebody who joins handshakes that do not belong together (CVE-2009-3555), and what is left of it with RFC 5746. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { encodeHelloRequest } from '../../src/messages/tls12/empty-messages.ts';
import { plaintext } from '../support/puppet.ts';
import { recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { ONLY12, type Stage12, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

function nothingIsLeft(): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
  );
}

/** The verify_data of the messages said so far, by name of its sender. */
function verifyDataOf({ transcript }: Stage12): { client: Uint8Array; server: Uint8Array } {
  const [client, server] = transcript.filter((raw) => raw[0] === 20).map((raw) => raw.slice(4));
  return { client, server };
}

/** A hello as an honest client of another connection sends it. */
function someHello(change: (hello: ClientHello) => ClientHello = (hello) => hello): Uint8Array {
  const client = world.client({ versions: ONLY12 }).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  return encodeClientHello(change(hello));
}

const withInfo =
  (renegotiationInfo: Uint8Array | undefined) =>
  (hello: ClientHello): ClientHello => ({ ...hello, extensions: { ...hello.extensions, renegotiationInfo } });

describe('a server that lets clients renegotiate', () => {
  const server = { clientRenegotiations: 3 };

  test('refuses the first hello of a victim that an attacker joins to a connection of its own', () => {
    watch.clear();
    const attacker = stage12(world, 'server', 'Connected', { server });
    const { victim: honestServer, puppet } = attacker;
    honestServer.receive(puppet.record(23, utf8('POST /transfer HTTP/1.1\r\nX-Ignore: ')));
    honestServer.receive(puppet.handshake(someHello()));
    assert.equal(honestServer.error?.code, 'TLS_ERR_INSECURE_RENEGOTIATION');
    puppet.read(honestServer.flush());
    assert.deepEqual(puppet.alerts, ['handshake_failure under keys']);
    honestServer.forget();
    nothingIsLeft();
  });

  test('refuses a hello that is bound to another connection, to the wrong end, or not at all', () => {
    const forged: Record<string, (stage: Stage12) => (hello: ClientHello) => ClientHello> = {
      'no extension': () => withInfo(undefined),
      'the SCSV in its place': () => (hello) => ({
        ...withInfo(undefined)(hello),
        cipherSuites: [...hello.cipherSuites, 0x00ff],
      }),
      'the SCSV beside it': (stage) => (hello) => ({
        ...withInfo(verifyDataOf(stage).client)(hello),
        cipherSuites: [...hello.cipherSuites, 0x00ff],
      }),
      'of another connection': () => withInfo(new Uint8Array(12).fill(5)),
      "the server's": (stage) => withInfo(verifyDataOf(stage).server),
      "both ends'": (stage) => withInfo(concat(verifyDataOf(stage).client, verifyDataOf(stage).server)),
      cut: (stage) => withInfo(verifyDataOf(stage).client.subarray(0, 11)),
    };
    for (const [what, forge] of Object.entries(forged)) {
      const stage = stage12(world, 'server', 'Connected', { server });
      stage.victim.receive(stage.puppet.handshake(someHello(forge(stage))));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_INSECURE_RENEGOTIATION', what);
      stage.victim.forget();
    }
  });

  test('takes the hello that is bound by the verify_data of the client', () => {
    const stage = stage12(world, 'server', 'Connected', { server });
    stage.victim.receive(stage.puppet.handshake(someHello(withInfo(verifyDataOf(stage).client))));
    stage.victim.assertFine();
    assert.equal(stage.victim.connection.state, 'ExpectClientKeyExchange12');
    stage.victim.forget();
  });

  test('refuses one in the clear, and one without extended master secret', () => {
    const clear = stage12(world, 'server', 'Connected', { server });
    clear.victim.receive(plaintext(22, someHello()));
    assert.equal(clear.victim.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    clear.victim.forget();
    const allowed = { ...server, allowLegacyMasterSecret: true };
    const legacy = stage12(world, 'server', 'Connected', { server: allowed });
    const hello = someHello((it) => {
      const bound = withInfo(verifyDataOf(legacy).client)(it);
      return { ...bound, extensions: { ...bound.extensions, extendedMasterSecret: undefined } };
    });
    legacy.victim.receive(legacy.puppet.handshake(hello));
    assert.equal(legacy.victim.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    legacy.victim.forget();
  });
});

describe('a server by default', () => {
  test('declines with no_renegotiation and goes on; one that asks again and again is cut off', () => {
    const stage = stage12(world, 'server', 'Connected');
    const hello = someHello(withInfo(verifyDataOf(stage).client));
    stage.victim.receive(stage.puppet.handshake(hello)).assertFine();
    stage.puppet.read(stage.victim.flush());
    assert.deepEqual(stage.puppet.alerts, ['no_renegotiation under keys']);
    stage.victim.receive(stage.puppet.record(23, utf8('still here'))).assertFine();
    assert.deepEqual(stage.victim.data, utf8('still here'));
    for (let i = 0; i < 100 && stage.victim.error === undefined; i++) {
      stage.victim.receive(stage.puppet.handshake(hello));
    }
    assert.equal(stage.victim.error?.alert, 'unexpected_message');
    stage.victim.forget();
  });
});

describe('a client that renegotiates', () => {
  /** Its hello has gone out; the puppet answers. */
  const begun = (): { stage: Stage12; hello: ClientHello } => {
    const stage = stage12(world, 'client', 'Connected');
    stage.victim.take(stage.victim.connection.startRenegotiation());
    stage.puppet.read(stage.victim.flush());
    const raw = stage.puppet.messages.at(-1)?.raw;
    assert(raw !== undefined);
    return { stage, hello: decodeClientHello(raw.subarray(4)) };
  };

  test('says which connection it renegotiates, and offers no older or newer version', () => {
    const { stage, hello } = begun();
    assert.deepEqual(hello.extensions.renegotiationInfo, verifyDataOf(stage).client);
    assert.equal(hello.extensions.supportedVersions, undefined);
    stage.victim.forget();
  });

  test('refuses a ServerHello that is not bound by the verify_data of both', () => {
    const forged: Record<string, (stage: Stage12) => Uint8Array | undefined> = {
      'no extension': () => undefined,
      empty: () => new Uint8Array(0),
      "the client's alone": (stage) => verifyDataOf(stage).client,
      'the wrong way round': (stage) => concat(verifyDataOf(stage).server, verifyDataOf(stage).client),
      'of another connection': () => new Uint8Array(24).fill(5),
    };
    const answers = (stage: Stage12, renegotiationInfo: Uint8Array | undefined) => {
      const genuine = decodeServerHello(stage.transcript[1].subarray(4));
      const extensions = { ...genuine.extensions, renegotiationInfo };
      stage.victim.receive(stage.puppet.handshake(encodeServerHello({ ...genuine, extensions })));
    };
    for (const [what, forge] of Object.entries(forged)) {
      watch.clear();
      const { stage } = begun();
      answers(stage, forge(stage));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_INSECURE_RENEGOTIATION', what);
      stage.victim.forget();
      nothingIsLeft();
    }
    const { stage } = begun();
    answers(stage, concat(verifyDataOf(stage).client, verifyDataOf(stage).server));
    stage.victim.assertFine('bound by both');
    stage.victim.forget();
  });

  test('ignores HelloRequest while it does, and starts only one for a request', () => {
    const { stage } = begun();
    stage.victim.receive(stage.puppet.handshake(encodeHelloRequest())).assertFine();
    assert.equal(stage.victim.flush().length, 0);
    stage.victim.forget();
  });
});

describe('a renegotiation between honest ends', () => {
  for (const who of ['client', 'server'] as const) {
    test(`begun by the ${who} gives new keys, leaves nothing of the old ones, and loses no data`, () => {
      watch.clear();
      const link = world.connect12('ticket', { wantSessions: false }, { clientRenegotiations: 3 });
      const alive = watch.alive;
      const before = link.client.connection.exportKeyingMaterial('EXPORTER-x', undefined, 32);
      link[who].take(link[who].connection.startRenegotiation());
      link.deliver();
      link.assertDataFlows();
      assert.deepEqual(watch.alive, alive, 'as many secrets as before');
      const exported = link.client.connection.exportKeyingMaterial('EXPORTER-x', undefined, 32);
      assert.deepEqual(exported, link.server.connection.exportKeyingMaterial('EXPORTER-x', undefined, 32));
      assert.notDeepEqual(exported, before);
      link.forget();
      nothingIsLeft();
    });
  }

  test('changes keys under protection: no message of it is to be read on the wire', () => {
    const link = world.connect12('ticket', {}, { clientRenegotiations: 3 });
    const seen: Uint8Array[] = [];
    const keep = (bytes: Uint8Array) => {
      seen.push(...recordsOf(bytes));
      return bytes;
    };
    link.toClient = keep;
    link.toServer = keep;
    link.client.take(link.client.connection.startRenegotiation());
    link.deliver();
    assert(seen.length >= 6);
    // Explicit nonce and tag at least: a change_cipher_spec of one byte has 25.
    assert(seen.every((record) => record.length >= 5 + 8 + 16));
    link.assertDataFlows();
    link.forget();
  });
});

describe('client certificates of TLS 1.2', () => {
  test('that are required and do not come end the handshake before the key exchange', () => {
    const clientAuthentication = { required: true, certificateAuthorities: [], id: 'required:ca' };
    const link = world.pair12('ticket', {}, { context: { ...world.context, clientAuthentication } }).run();
    assert.equal(link.server.error?.code, 'TLS_ERR_CERTIFICATE_REQUIRED');
    assert.equal(link.client.summary, undefined);
    link.forget();
  });
});
