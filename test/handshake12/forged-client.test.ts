/** A client that breaks the rules, with the right keys where it needs any. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import type { ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import { encodeClientKeyExchange } from '../../src/messages/tls12/client-key-exchange.ts';
import type { Endpoint } from '../support/connections.ts';
import type { Message } from '../support/puppet.ts';
import { plaintext } from '../support/puppet.ts';
import { verifyData12 } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, clearMessages, ONLY12, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

type HelloChange = (hello: ClientHello) => ClientHello;

function helloOf(change: HelloChange = (hello) => hello, versions: ServerOptions['versions'] = ONLY12): Uint8Array {
  const client = world.client({ versions }).start();
  const raw = client.flush();
  client.forget();
  return plaintext(22, encodeClientHello(change(decodeClientHello(raw.subarray(9)))));
}

function answerTo(hello: Uint8Array, server: Partial<ServerOptions> = {}): Endpoint {
  return world.server({ versions: ONLY12, ...server }).receive(hello);
}

function refuses(hello: Uint8Array, code: TLSErrorCode, alert: string, server: Partial<ServerOptions> = {}, what = '') {
  watch.clear();
  const victim = answerTo(hello, server);
  assert.equal(victim.error?.code, code, `${what}: ${victim.error?.stack}`);
  const said = victim.flush();
  assert.equal(said.length, 7, 'an alert and nothing before it');
  assert.equal(victim.error?.alert, alert, what);
  victim.forget();
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

const changed =
  (extensions: Partial<ClientHello['extensions']>): HelloChange =>
  (hello) => ({ ...hello, extensions: { ...hello.extensions, ...extensions } });

/** The ServerHello that a server answers with. */
function serverHelloFor(hello: Uint8Array, server: Partial<ServerOptions> = {}) {
  const victim = answerTo(hello, server).assertFine();
  const [message] = clearMessages(victim.flush());
  victim.forget();
  return decodeServerHello(message.raw.subarray(4));
}

describe('the ClientHello of TLS 1.2', () => {
  test('is refused without extended_master_secret, and taken where the operator allows it', () => {
    const hello = helloOf(changed({ extendedMasterSecret: undefined }));
    refuses(hello, 'TLS_ERR_EXTENDED_MASTER_SECRET', 'handshake_failure');
    assert.equal(serverHelloFor(hello, { allowLegacyMasterSecret: true }).extensions.extendedMasterSecret, undefined);
  });

  test('is refused when the first of a connection says that it renegotiates another (renegotiation injection)', () => {
    for (const length of [1, 12, 36]) {
      const hello = helloOf(changed({ renegotiationInfo: new Uint8Array(length) }));
      refuses(hello, 'TLS_ERR_INSECURE_RENEGOTIATION', 'handshake_failure');
    }
  });

  test('gets renegotiation_info for the extension, for the SCSV, and not at all without either', () => {
    const scsv: HelloChange = (hello) => ({
      ...changed({ renegotiationInfo: undefined })(hello),
      cipherSuites: [...hello.cipherSuites, 0x00ff],
    });
    assert.deepEqual(serverHelloFor(helloOf()).extensions.renegotiationInfo, new Uint8Array(0));
    assert.deepEqual(serverHelloFor(helloOf(scsv)).extensions.renegotiationInfo, new Uint8Array(0));
    const neither = helloOf(changed({ renegotiationInfo: undefined }));
    assert.equal(serverHelloFor(neither).extensions.renegotiationInfo, undefined);
  });

  test('with TLS_FALLBACK_SCSV is refused by a server of a higher version, and taken by one of the same (RFC 7507)', () => {
    const fallback: HelloChange = (hello) => ({ ...hello, cipherSuites: [...hello.cipherSuites, 0x5600] });
    const hello = helloOf(fallback);
    const old = helloOf((it) => ({ ...fallback(it), legacyVersion: 0x0302 }));
    refuses(hello, 'TLS_ERR_INAPPROPRIATE_FALLBACK', 'inappropriate_fallback', { versions: BOTH });
    refuses(hello, 'TLS_ERR_INAPPROPRIATE_FALLBACK', 'inappropriate_fallback', { versions: ['TLSv1.3'] });
    refuses(old, 'TLS_ERR_INAPPROPRIATE_FALLBACK', 'inappropriate_fallback');
    assert.equal(serverHelloFor(hello).legacyVersion, 0x0303);
    const both = answerTo(helloOf(fallback, BOTH), { versions: BOTH });
    both.assertFine('a client that offers the highest version has not fallen back');
    both.forget();
  });

  test('of an older version is refused with protocol_version', () => {
    for (const legacyVersion of [0x0300, 0x0301, 0x0302]) {
      const hello = helloOf((it) => ({ ...it, legacyVersion }));
      refuses(hello, 'TLS_ERR_PROTOCOL_VERSION', 'protocol_version', { versions: BOTH });
    }
    const neither = helloOf(changed({ supportedVersions: [0x0302, 0x0301] }));
    refuses(neither, 'TLS_ERR_PROTOCOL_VERSION', 'protocol_version', { versions: BOTH });
    assert.equal(serverHelloFor(helloOf((it) => ({ ...it, legacyVersion: 0x0304 }))).legacyVersion, 0x0303);
  });

  test('is refused without null compression, and gets no compression when it offers some', () => {
    const without = helloOf((it) => ({ ...it, compressionMethods: [1] }));
    refuses(without, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
    const deflate = helloOf((it) => ({ ...it, compressionMethods: [1, 0] }));
    assert.equal(serverHelloFor(deflate).compressionMethod, 0);
  });

  test('is refused when its points are only compressed', () => {
    const hello = helloOf(changed({ ecPointFormats: [1, 2] }));
    refuses(hello, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('is refused without a common suite, group or signature scheme, with handshake_failure', () => {
    const suites = helloOf((it) => ({ ...it, cipherSuites: [0x009c, 0xc013, 0x002f, 0x0003, 0x1301] }));
    refuses(suites, 'TLS_ERR_NO_COMMON_SUITE', 'handshake_failure');
    const rsaSuite = helloOf((it) => ({ ...it, cipherSuites: [0xc02f] }));
    refuses(rsaSuite, 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME', 'handshake_failure');
    const groups = helloOf(changed({ supportedGroups: [1, 19, 0x11ec] }));
    refuses(groups, 'TLS_ERR_NO_COMMON_GROUP', 'handshake_failure');
    const schemes = helloOf(changed({ signatureAlgorithms: [0x0201, 0x0203, 0x0403] }));
    refuses(schemes, 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME', 'handshake_failure');
    const none = helloOf(changed({ signatureAlgorithms: undefined }));
    refuses(none, 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME', 'handshake_failure', {}, 'which would mean SHA-1');
  });

  test('that offers DHE alone is refused by a server that was not told to speak it (Logjam)', () => {
    const hello = helloOf((it) => ({ ...it, cipherSuites: [0x009e, 0x009f, 0xccaa] }));
    refuses(hello, 'TLS_ERR_NO_COMMON_SUITE', 'handshake_failure');
  });

  test('with a foreign ticket and a session ID that nobody knows gets a full handshake', () => {
    for (const length of [1, 15, 16, 100, 200, 4000]) {
      const hello = helloOf((it) => ({
        ...changed({ sessionTicket: new Uint8Array(length).fill(length) })(it),
        legacySessionId: new Uint8Array(32).fill(9),
      }));
      assert.deepEqual(serverHelloFor(hello).legacySessionIdEcho, new Uint8Array(0));
      assert.equal(serverHelloFor(hello, { context: world.byId }).legacySessionIdEcho.length, 32);
    }
  });

  test('that is followed by bytes in its record is refused', () => {
    const hello = helloOf();
    const longer = plaintext(22, concat(hello.subarray(5), new Uint8Array([16])));
    const victim = answerTo(longer);
    assert.equal(victim.error?.alert, 'unexpected_message');
    victim.forget();
  });
});

describe("the client's key exchange", () => {
  const refusesExchange = (raw: Uint8Array, alerts: readonly string[], what: string, group: 'x25519' | 'secp256r1') => {
    watch.clear();
    const { victim, puppet } = stage12(world, 'server', 'ExpectClientKeyExchange12', {
      client: { namedGroups: [group] },
    });
    victim.receive(puppet.handshake(raw));
    assert(alerts.includes(String(victim.error?.alert)), `${what}: ${victim.error?.stack}`);
    puppet.read(victim.flush());
    assert.deepEqual(puppet.alerts, [`${victim.error?.alert} under plaintext`]);
    victim.forget();
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
      [],
      what,
    );
  };

  test('is refused with an invalid point of P-256', () => {
    const share = nodeProvider.generateKeyShare('secp256r1');
    const off = new Uint8Array(share.publicKey);
    off[64] ^= 1;
    const compressed = concat(new Uint8Array([2]), share.publicKey.subarray(1, 33));
    const points = { off, compressed, infinity: new Uint8Array(1), zero: new Uint8Array(65), x: new Uint8Array(32) };
    for (const [name, publicKey] of Object.entries(points)) {
      refusesExchange(encodeClientKeyExchange({ kind: 'ecdhe', publicKey }), ['illegal_parameter'], name, 'secp256r1');
    }
    share.erase();
  });

  test('is refused with an x25519 point of small order', () => {
    for (const hex of [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    ]) {
      const raw = encodeClientKeyExchange({ kind: 'ecdhe', publicKey: fromHex(hex) });
      refusesExchange(raw, ['illegal_parameter'], hex, 'x25519');
    }
  });

  test('is refused as an encrypted premaster secret (RSA key transport), as a DH number, empty, and with more behind it', () => {
    const share = nodeProvider.generateKeyShare('x25519');
    const good = encodeClientKeyExchange({ kind: 'ecdhe', publicKey: share.publicKey });
    const forged: Record<string, Uint8Array> = {
      rsa: frame('client_key_exchange', concat(new Uint8Array([1, 0]), new Uint8Array(256).fill(0x5a))),
      dhe: encodeClientKeyExchange({ kind: 'dhe', publicKey: new Uint8Array(256).fill(5) }),
      implicit: frame('client_key_exchange', new Uint8Array(0)),
      empty: frame('client_key_exchange', new Uint8Array([0])),
      longer: frame('client_key_exchange', concat(good.subarray(4), new Uint8Array(1))),
      cut: frame('client_key_exchange', good.subarray(4, 20)),
    };
    for (const [name, raw] of Object.entries(forged)) {
      refusesExchange(raw, ['decode_error', 'illegal_parameter'], name, 'x25519');
    }
    share.erase();
  });
});

describe('Finished', () => {
  for (const role of ['client', 'server'] as const) {
    const sender = role === 'client' ? 'server' : 'client';

    test(`a ${role} refuses one of the wrong sender, the wrong length, or over another transcript`, () => {
      const cases: Record<string, (right: Uint8Array, other: Uint8Array) => [Uint8Array, string]> = {
        'the sender is mixed up': (_, other) => [other, 'decrypt_error'],
        'a bit differs': (right) => [right.map((byte, i) => (i === 11 ? byte ^ 1 : byte)), 'decrypt_error'],
        'it is empty': () => [new Uint8Array(0), 'decode_error'],
        'it is cut': (right) => [right.subarray(0, 11), 'decode_error'],
        'it is longer': (right) => [concat(right, new Uint8Array(1)), 'decode_error'],
        'it is as long as in SSL 3': () => [new Uint8Array(36), 'decode_error'],
      };
      for (const [what, make] of Object.entries(cases)) {
        watch.clear();
        const stage = stage12(world, role, 'ExpectFinished12');
        const { suite, masterSecret } = stage.secrets();
        const right = verifyData12(suite, masterSecret, sender, stage.transcript);
        const other = verifyData12(suite, masterSecret, role, stage.transcript);
        const [verifyData, alert] = make(right, other);
        stage.victim.receive(stage.puppet.handshake(frame('finished', verifyData)));
        assert.equal(stage.victim.error?.alert, alert, what);
        assert.equal(stage.victim.summary, undefined);
        stage.victim.forget();
        assert.deepEqual(
          watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
          [],
        );
      }
    });

    test(`a ${role} takes the one that a second implementation computes from master secret and transcript`, () => {
      const stage = stage12(world, role, 'ExpectFinished12');
      const { suite, masterSecret } = stage.secrets();
      const verifyData = verifyData12(suite, masterSecret, sender, stage.transcript);
      stage.victim.receive(stage.puppet.handshake(frame('finished', verifyData)));
      stage.victim.assertFine();
      assert.equal(stage.victim.connection.state, 'Connected');
      stage.victim.forget();
    });
  }
});

test("each message of a client's flight left out or doubled is refused by the server", () => {
  for (const name of ['client_key_exchange', 'change_cipher_spec', 'finished']) {
    for (const times of [0, 2]) {
      const edit = (message: Message) => (message.name === name ? Array<Message>(times).fill(message) : [message]);
      if (name === 'finished') {
        const stage = stage12(world, 'server', 'Connected', { tamper: (message) => [message] });
        const second = stage.transcript.at(-1);
        assert(second !== undefined);
        stage.victim.receive(stage.puppet.handshake(second));
        assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE', 'a Finished after the handshake');
        stage.victim.forget();
        continue;
      }
      let stage: ReturnType<typeof stage12> | undefined;
      try {
        stage = stage12(world, 'server', 'Connected', { tamper: edit });
      } catch {
        // Without change_cipher_spec the puppet has no key for its Finished.
      }
      assert(stage === undefined || stage.victim.error !== undefined, `${name} × ${times}`);
      assert.equal(stage?.victim.summary, undefined);
      stage?.victim.forget();
    }
  }
});
