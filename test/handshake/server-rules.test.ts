import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import {
  type ClientHello,
  type ClientHelloExtensions,
  decodeClientHello,
  encodeClientHello,
} from '../../src/messages/client-hello.ts';
import { decodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import { type Endpoint, World } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { FLIGHT_KEYS } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

type Change = (hello: ClientHello) => Partial<ClientHello>;

const ext =
  (changes: Partial<ClientHelloExtensions>): Change =>
  (hello) => ({ extensions: { ...hello.extensions, ...changes } });

/** The genuine first ClientHello of a client with these options, changed. */
function helloBytes(change: Change, options: Partial<ClientOptions> = {}): Uint8Array {
  const client = world.client(options).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  return plaintext(22, encodeClientHello({ ...hello, ...change(hello) }));
}

function assertRefused(server: Endpoint, code: TLSErrorCode, alert: string, what: string): void {
  assert.equal(server.error?.code, code, `${what}: ${server.error?.message}`);
  const puppet = new Puppet(server.keyLog).read(server.flush());
  assert.deepEqual(puppet.alerts, [`${alert} under plaintext`], what);
  server.forget();
  assert.deepEqual(
    watch.alive.filter((kind) => !['ticketKey', 'resumptionPsk'].includes(kind)),
    [],
    what,
  );
}

function refuses(change: Change, code: TLSErrorCode, alert: string, client: Partial<ClientOptions> = {}): void {
  assertRefused(world.server().receive(helloBytes(change, client)), code, alert, change.toString());
}

/** The server answers this hello with its flight, which is returned as messages. */
function accepts(
  change: Change,
  options: { client?: Partial<ClientOptions>; server?: Partial<ServerOptions> } = {},
): Puppet {
  const server = world.server(options.server);
  server.receive(helloBytes(change, options.client));
  assert.equal(server.error, undefined, `${change}: ${server.error?.message}`);
  const puppet = new Puppet(server.keyLog).read(server.flush(), FLIGHT_KEYS);
  server.forget();
  puppet.erase();
  return puppet;
}

describe('what a ClientHello must have', () => {
  test('a hello without TLS 1.3 is refused with protocol_version', () => {
    for (const supportedVersions of [undefined, [0x0303], [0x0303, 0x0302], [0x0a0a], [0x7f1c]]) {
      refuses(ext({ supportedVersions }), 'TLS_ERR_PROTOCOL_VERSION', 'protocol_version');
    }
  });

  test('a client that fell back below TLS 1.3 and says so is refused with inappropriate_fallback', () => {
    refuses(
      (hello) => ({ cipherSuites: [...hello.cipherSuites, 0x5600], ...ext({ supportedVersions: [0x0303] })(hello) }),
      'TLS_ERR_INAPPROPRIATE_FALLBACK',
      'inappropriate_fallback',
    );
    accepts((hello) => ({ cipherSuites: [...hello.cipherSuites, 0x5600] }));
  });

  test('mandatory extensions that are missing are refused with missing_extension', () => {
    for (const missing of ['supportedGroups', 'keyShares', 'signatureAlgorithms'] as const) {
      refuses(ext({ [missing]: undefined }), 'TLS_ERR_MISSING_EXTENSION', 'missing_extension');
    }
  });

  test('a PSK without psk_key_exchange_modes is refused with missing_extension', () => {
    const preSharedKey = {
      identities: [{ identity: new Uint8Array(40), obfuscatedTicketAge: 0 }],
      binders: [new Uint8Array(32)],
    };
    refuses(ext({ preSharedKey, pskKeyExchangeModes: undefined }), 'TLS_ERR_MISSING_EXTENSION', 'missing_extension');
    // With a PSK that is not taken, a signature is needed after all.
    refuses(ext({ preSharedKey, signatureAlgorithms: undefined }), 'TLS_ERR_MISSING_EXTENSION', 'missing_extension');
  });

  test('compression is refused with illegal_parameter', () => {
    refuses(() => ({ compressionMethods: [1, 0] }), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
    refuses(() => ({ compressionMethods: [1] }), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('beside supported_versions no legacy_version is refused', () => {
    for (const legacyVersion of [0x0300, 0x0302, 0x0304, 0x03ff]) {
      accepts(() => ({ legacyVersion }));
    }
  });

  test('a share for a group that is not supported is refused with illegal_parameter', () => {
    const keyShares = [{ group: 0x18, keyExchange: new Uint8Array(97) }];
    refuses(ext({ keyShares }), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a share of the wrong length, off the curve or of small order is refused with illegal_parameter', () => {
    for (const [group, keyExchange] of [
      [0x1d, new Uint8Array(31).fill(9)],
      [0x1d, new Uint8Array(33).fill(9)],
      [0x1d, new Uint8Array(32)],
      [0x17, new Uint8Array(65).fill(4)],
    ] as const) {
      refuses(ext({ keyShares: [{ group, keyExchange }] }), 'TLS_ERR_BAD_KEY_SHARE', 'illegal_parameter');
    }
  });

  test('nothing in common is refused with handshake_failure', () => {
    refuses(() => ({ cipherSuites: [0xc02f, 0x1304] }), 'TLS_ERR_NO_COMMON_SUITE', 'handshake_failure');
    refuses(ext({ supportedGroups: [0x1e], keyShares: [] }), 'TLS_ERR_NO_COMMON_GROUP', 'handshake_failure');
    refuses(ext({ signatureAlgorithms: [0x0401, 0x0403] }), 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME', 'handshake_failure');
    refuses(ext({ alpnProtocols: ['h3'] }), 'TLS_ERR_NO_APPLICATION_PROTOCOL', 'no_application_protocol');
  });

  test('a record size limit below 64 is refused, one above what a record holds is not', () => {
    refuses(ext({ recordSizeLimit: 63 }), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
    accepts(ext({ recordSizeLimit: 0xffff }));
  });

  test('pre_shared_key that is not the last extension is refused', () => {
    const link = world.connect();
    link.client.connection.erase();
    link.server.connection.erase();
    const client = world.client({ session: link.client.sessions[0], grease: false }).start();
    const bytes = client.flush();
    client.forget();
    // One more extension, empty and unknown, behind it.
    const longer = concat(bytes, new Uint8Array([0x42, 0x42, 0, 0]));
    const grow = (at: number, size: number) => {
      const value = longer.subarray(at, at + size).reduce((sum, byte) => sum * 256 + byte, 0) + 4;
      for (let i = 0; i < size; i++) {
        longer[at + i] = value >>> (8 * (size - 1 - i));
      }
    };
    const extensionsAt = 5 + 4 + 2 + 32 + 33 + 2 + 2 + 2;
    grow(3, 2);
    grow(6, 3);
    grow(extensionsAt, 2);
    assertRefused(world.server().receive(longer), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', 'not last');
    link.forget();
  });
});

describe('what a ClientHello may have', () => {
  test('reserved values in every list are passed over', () => {
    const grease = [0x0a0a, 0x1a1a, 0xfafa];
    const puppet = accepts((hello) => ({
      cipherSuites: [...grease, ...hello.cipherSuites],
      extensions: {
        ...hello.extensions,
        supportedGroups: [...grease, ...(hello.extensions.supportedGroups ?? [])].filter(
          (value, index, list) => list.indexOf(value) === index,
        ),
        supportedVersions: [...grease, 0x0304],
        signatureAlgorithms: [...grease, ...(hello.extensions.signatureAlgorithms ?? [])],
        signatureAlgorithmsCert: grease,
        alpnProtocols: ['\x0a\x0a', '\xfa\xfa', 'h2'],
        pskKeyExchangeModes: [0x0b, 1, 0x2a],
        unknown: grease.map((type) => ({ type, data: new Uint8Array(type & 7) })),
      },
    }));
    assert.equal(decodeServerHello(puppet.message('server_hello').subarray(4)).cipherSuite, 0x1301);
    const { extensions } = decodeEncryptedExtensions(puppet.message('encrypted_extensions').subarray(4));
    assert.equal(extensions.alpnProtocol, 'h2');
  });

  test('an empty session ID: then no change_cipher_spec is sent', () => {
    for (const [legacySessionId, expected] of [
      [new Uint8Array(0), 0],
      [new Uint8Array(32).fill(1), 1],
      [new Uint8Array(7).fill(1), 1],
    ] as const) {
      const server = world.server().receive(helloBytes(() => ({ legacySessionId })));
      const sent = server.flush();
      const types: number[] = [];
      for (let at = 0; at < sent.length; at += 5 + ((sent[at + 3] << 8) | sent[at + 4])) {
        types.push(sent[at]);
      }
      assert.equal(types.filter((type) => type === 20).length, expected);
      assert.deepEqual(
        decodeServerHello(sent.subarray(9, 5 + sent[3] * 256 + sent[4])).legacySessionIdEcho,
        legacySessionId,
      );
      server.forget();
    }
  });

  test('an IPv4 address as server name is treated as none', () => {
    const server = world.server({ context: 'ask' });
    server.hold = ['context'];
    server.receive(helloBytes(ext({ serverName: '192.0.2.1' })));
    assert(server.need?.kind === 'context');
    assert.equal(server.need.clientHello.serverName, '');
    server.forget();
  });

  test('no ALPN, or a server without protocols: none is agreed', () => {
    for (const [client, server] of [
      [{ alpnProtocols: [] }, {}],
      [{}, { context: { ...world.context, alpnProtocols: [] } }],
    ] as const) {
      const link = world.connect(client, server);
      assert.equal(link.client.summary?.alpnProtocol, '');
      link.forget();
    }
  });

  test('the server acknowledges a server name in a full handshake only', () => {
    const acknowledged = (puppet: Puppet) =>
      decodeEncryptedExtensions(puppet.message('encrypted_extensions').subarray(4)).extensions.serverName;
    assert.equal(acknowledged(accepts(() => ({}))), true);
    assert.equal(acknowledged(accepts(ext({ serverName: undefined }))), undefined);
  });
});

describe('the second ClientHello', () => {
  /** A server with a first hello that lacks a share, and the second hello of the honest client, changed. */
  function second(
    change: Change,
    { client = {}, server = {} }: { client?: Partial<ClientOptions>; server?: Partial<ServerOptions> } = {},
  ): Endpoint {
    const peer = world.client({ namedGroups: ['x25519', 'secp256r1'], keyShares: ['x25519'], ...client }).start();
    const victim = world.server({ namedGroups: ['secp256r1'], ...server });
    victim.receive(peer.flush());
    peer.receive(victim.flush());
    // change_cipher_spec leads.
    const hello = decodeClientHello(peer.flush().subarray(6 + 9));
    peer.forget();
    return victim.receive(plaintext(22, encodeClientHello({ ...hello, ...change(hello) })));
  }

  test('may not differ from the first but in what the retry asks for', () => {
    const changes: Record<string, Change> = {
      random: () => ({ random: new Uint8Array(32) }),
      'session ID': () => ({ legacySessionId: new Uint8Array(32) }),
      'cipher suites': (hello) => ({ cipherSuites: [...hello.cipherSuites, 0x1303] }),
      'server name': ext({ serverName: 'other.example' }),
      'no server name': ext({ serverName: undefined }),
      protocols: ext({ alpnProtocols: ['h2', 'http/1.1'] }),
      groups: ext({ supportedGroups: [0x17] }),
      schemes: ext({ signatureAlgorithms: [0x0807] }),
      'certificate schemes': ext({ signatureAlgorithmsCert: [0x0807] }),
      versions: ext({ supportedVersions: [0x0304] }),
      modes: ext({ pskKeyExchangeModes: [0, 1] }),
      'record size limit': ext({ recordSizeLimit: 1000 }),
      'ticket request': ext({ ticketRequest: { newSession: 9, resumption: 9 } }),
      'a PSK': ext({
        preSharedKey: {
          identities: [{ identity: new Uint8Array(40), obfuscatedTicketAge: 0 }],
          binders: [new Uint8Array(32)],
        },
      }),
      'early data': ext({ earlyData: true }),
      'a cookie': ext({ cookie: new Uint8Array(8) }),
      'no share': ext({ keyShares: [] }),
      'a share of another group': ext({ keyShares: [{ group: 0x1d, keyExchange: new Uint8Array(32).fill(9) }] }),
      'two shares': (hello) =>
        ext({
          keyShares: [...(hello.extensions.keyShares ?? []), { group: 0x1d, keyExchange: new Uint8Array(32).fill(9) }],
        })(hello),
    };
    for (const [what, change] of Object.entries(changes)) {
      const server = second(change);
      server.flush();
      assert.equal(server.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER', what);
      assert.equal(server.error?.alert, 'illegal_parameter');
      server.forget();
    }
    const fine = second(() => ({}));
    fine.assertFine();
    fine.forget();
  });

  test('must return the cookie unchanged', () => {
    const helloRetryCookie = new Uint8Array(20).fill(3);
    const server = { helloRetryCookie };
    const wrong = [undefined, new Uint8Array(20), new Uint8Array(19).fill(3), new Uint8Array(21).fill(3)];
    for (const cookie of wrong) {
      const refused = second(ext({ cookie }), { server });
      assert.equal(refused.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
      refused.forget();
    }
    const fine = second(() => ({}), { server });
    fine.assertFine();
    fine.forget();
    const link = world.connect({ keyShares: ['x25519'] }, { namedGroups: ['secp256r1'], helloRetryCookie });
    link.forget();
  });

  test('may leave out a PSK', () => {
    const link = world.connect();
    const left = second(ext({ preSharedKey: undefined }), { client: { session: link.client.sessions[0] } });
    left.assertFine();
    left.forget();
    link.forget();
  });
});
