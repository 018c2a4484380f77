import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { Writer } from '../../src/bytes/writer.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { decodeCertificateVerify, encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import { type ExtensionType, extensionTypes, type HandshakeType, isGrease } from '../../src/messages/code-points.ts';
import { decodeEncryptedExtensions, encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import {
  DOWNGRADE_TLS11,
  DOWNGRADE_TLS12,
  decodeServerHello,
  encodeServerHello,
  HELLO_RETRY_REQUEST_RANDOM,
  type ServerHello,
} from '../../src/messages/server-hello.ts';
import { type Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, type Stage, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

type Change = (hello: ServerHello) => object;

function assertFails(stage: Stage, code: TLSErrorCode, alert: string, under: string, what: string): void {
  assert.equal(stage.victim.error?.code, code, `${what}: ${stage.victim.error?.message}`);
  stage.puppet.read(stage.victim.flush());
  assert.deepEqual(stage.puppet.alerts, [`${alert} under ${under}`], what);
  strike(stage);
  assert.deepEqual(
    watch.alive.filter((kind) => !['ticketKey', 'resumptionPsk'].includes(kind)),
    [],
    what,
  );
}

/** Sends a genuine ServerHello or HelloRetryRequest with changes. */
function helloFails(
  change: Change,
  code: TLSErrorCode,
  alert: string,
  options: Partial<ClientOptions> = {},
  state: 'ExpectServerHello' | 'ExpectServerHelloAfterRetry' = 'ExpectServerHello',
): void {
  const stage = clientIn(world, state, { client: options });
  const genuine = decodeServerHello((stage.flight.get('server_hello') as Uint8Array).subarray(4));
  const changed = { ...genuine, ...change(genuine) } as ServerHello;
  stage.victim.receive(stage.puppet.handshake(encodeServerHello(changed)));
  assertFails(stage, code, alert, 'plaintext', change.toString());
}

const ext = (hello: ServerHello, changes: object) => ({ extensions: { ...hello.extensions, ...changes } });

/** An extension after those of a message whose body ends with its extension block. */
function withExtension(raw: Uint8Array, blockAt: number, type: number, data: Uint8Array): Uint8Array {
  const block = new Writer()
    .bytes(raw.subarray(blockAt + 2))
    .u16(type)
    .vector16(data)
    .finish();
  const body = new Writer().bytes(raw.subarray(4, blockAt)).vector16(block).finish();
  return frame(NAMES.get(raw[0]) as HandshakeType, body);
}
const NAMES = new Map<number, HandshakeType>([
  [2, 'server_hello'],
  [8, 'encrypted_extensions'],
  [4, 'new_session_ticket'],
]);
/** Where the block begins in a message with its header. */
const SERVER_HELLO_BLOCK = 4 + 2 + 32 + 33 + 2 + 1;

describe('the fields of a ServerHello and of a HelloRetryRequest', () => {
  const retry =
    (group: number | undefined, more: object = {}): Change =>
    (hello) => ({
      random: HELLO_RETRY_REQUEST_RANDOM,
      extensions: { supportedVersion: hello.extensions.supportedVersion, selectedGroup: group, ...more },
    });

  for (const [what, wrap] of [
    ['ServerHello', (change: Change) => change],
    [
      'HelloRetryRequest',
      (change: Change): Change =>
        (hello) => {
          const base = { ...hello, ...retry(0x17)(hello) } as ServerHello;
          return { ...base, ...change(base) };
        },
    ],
  ] as const) {
    test(`a ${what} that does not echo the session ID is refused`, () => {
      helloFails(
        wrap(() => ({ legacySessionIdEcho: new Uint8Array(32) })),
        'TLS_ERR_ILLEGAL_PARAMETER',
        'illegal_parameter',
      );
      helloFails(
        wrap(() => ({ legacySessionIdEcho: new Uint8Array(0) })),
        'TLS_ERR_ILLEGAL_PARAMETER',
        'illegal_parameter',
      );
    });

    test(`a ${what} with compression is refused`, () => {
      helloFails(
        wrap(() => ({ compressionMethod: 1 })),
        'TLS_ERR_ILLEGAL_PARAMETER',
        'illegal_parameter',
      );
    });

    test(`a ${what} with a suite that was not offered, or a reserved one, is refused`, () => {
      for (const cipherSuite of [0x1302, 0x1304, 0xc02f, 0x0a0a]) {
        helloFails(
          wrap(() => ({ cipherSuite })),
          'TLS_ERR_ILLEGAL_PARAMETER',
          'illegal_parameter',
        );
      }
    });

    test(`a ${what} with another selected or legacy version is refused`, () => {
      for (const supportedVersion of [0x0303, 0x0305, 0x7f1c, 0x2a2a]) {
        helloFails(
          wrap((hello) => ext(hello, { supportedVersion })),
          'TLS_ERR_ILLEGAL_PARAMETER',
          'illegal_parameter',
        );
      }
      helloFails(
        wrap(() => ({ legacyVersion: 0x0304 })),
        'TLS_ERR_ILLEGAL_PARAMETER',
        'illegal_parameter',
      );
    });

    test(`a ${what} without supported_versions is refused with protocol_version`, () => {
      helloFails(
        wrap((hello) => ext(hello, { supportedVersion: undefined })),
        'TLS_ERR_PROTOCOL_VERSION',
        'protocol_version',
      );
    });
  }

  test('a ServerHello of an older version that carries a downgrade sentinel is refused with illegal_parameter', () => {
    for (const sentinel of [DOWNGRADE_TLS12, DOWNGRADE_TLS11]) {
      helloFails(
        (hello) => ({
          random: concat(hello.random.subarray(0, 24), sentinel),
          extensions: { ...hello.extensions, supportedVersion: undefined, keyShare: undefined },
        }),
        'TLS_ERR_DOWNGRADE',
        'illegal_parameter',
      );
    }
  });

  test('a key share of a group that none was sent for, or none at all, is refused', () => {
    const keyExchange = new Uint8Array(65).fill(4);
    for (const group of [0x17, 0x18, 0x2a2a, 0x11ec]) {
      helloFails(
        (hello) => ext(hello, { keyShare: { group, keyExchange } }),
        'TLS_ERR_ILLEGAL_PARAMETER',
        'illegal_parameter',
      );
    }
    helloFails((hello) => ext(hello, { keyShare: undefined }), 'TLS_ERR_MISSING_EXTENSION', 'missing_extension');
  });

  test('a key share of the wrong length or of small order is refused', () => {
    for (const keyExchange of [new Uint8Array(32), new Uint8Array(31).fill(9), new Uint8Array(33).fill(9)]) {
      helloFails(
        (hello) => ext(hello, { keyShare: { group: 0x1d, keyExchange } }),
        'TLS_ERR_BAD_KEY_SHARE',
        'illegal_parameter',
      );
    }
  });

  test('a PSK that was not offered cannot be selected', () => {
    helloFails(
      (hello) => ext(hello, { selectedIdentity: 0 }),
      'TLS_ERR_UNSUPPORTED_EXTENSION',
      'unsupported_extension',
    );
  });

  test('a HelloRetryRequest for a group not offered, already sent, unknown or reserved is refused', () => {
    for (const group of [0x18, 0x1d, 0x4242, 0x2a2a]) {
      helloFails(retry(group), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
    }
  });

  test('a HelloRetryRequest that changes nothing is refused', () => {
    helloFails(retry(undefined), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a second HelloRetryRequest is refused with unexpected_message', () => {
    helloFails((hello) => hello, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', {}, 'ExpectServerHelloAfterRetry');
  });

  test('after a HelloRetryRequest the server may change neither suite nor group', () => {
    const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'] as const;
    const after: Change = (hello) => ({
      random: new Uint8Array(32),
      extensions: {
        supportedVersion: hello.extensions.supportedVersion,
        keyShare: { group: 0x1d, keyExchange: new Uint8Array(32).fill(9) },
      },
    });
    helloFails(
      (hello) => ({ ...after(hello), cipherSuite: hello.cipherSuite === 0x1301 ? 0x1303 : 0x1301 }),
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
      { cipherSuites: suites },
      'ExpectServerHelloAfterRetry',
    );
    const keyShare = { group: 0x17, keyExchange: new Uint8Array(65).fill(4) };
    helloFails(
      (hello) => ({ random: new Uint8Array(32), ...ext(hello, { selectedGroup: undefined, keyShare }) }),
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
      {},
      'ExpectServerHelloAfterRetry',
    );
  });

  test('a cookie alone is a reason to retry, and comes back with the same shares, reserved one and all', () => {
    const stage = clientIn(world, 'ExpectServerHello');
    const genuine = decodeServerHello((stage.flight.get('server_hello') as Uint8Array).subarray(4));
    const cookie = new Uint8Array(40).fill(5);
    stage.victim.receive(
      stage.puppet.handshake(encodeServerHello({ ...genuine, ...retry(undefined, { cookie })(genuine) })),
    );
    stage.victim.assertFine();
    stage.puppet.read(stage.victim.flush());
    const first = decodeClientHello((stage.flight.get('client_hello') as Uint8Array).subarray(4));
    const second = decodeClientHello(stage.puppet.message('client_hello').subarray(4));
    assert.deepEqual(second.extensions.cookie, cookie);
    assert.deepEqual(second.extensions.keyShares, first.extensions.keyShares);
    assert(first.extensions.keyShares?.some(({ group }) => isGrease(group)));
    strike(stage);
  });
});

describe('extensions that do not belong', () => {
  const misplacedIn = {
    server_hello: ['server_name', 'supported_groups', 'application_layer_protocol_negotiation', 'cookie', 'early_data'],
    encrypted_extensions: [
      'key_share',
      'supported_versions',
      'pre_shared_key',
      'cookie',
      'signature_algorithms',
      'status_request',
    ],
  } satisfies Record<string, ExtensionType[]>;
  /** Data that their own decoders take. */
  const data: Partial<Record<ExtensionType, Uint8Array>> = {
    application_layer_protocol_negotiation: new Uint8Array([0, 3, 2, 0x68, 0x32]),
    cookie: new Uint8Array([0, 1, 1]),
    supported_versions: new Uint8Array([3, 4]),
  };

  test('a known one in ServerHello where it has no place is refused with illegal_parameter', () => {
    for (const name of misplacedIn.server_hello) {
      const stage = clientIn(world, 'ExpectServerHello');
      const raw = stage.flight.get('server_hello') as Uint8Array;
      const changed = withExtension(raw, SERVER_HELLO_BLOCK, extensionTypes[name], data[name] ?? new Uint8Array(0));
      stage.victim.receive(stage.puppet.handshake(changed));
      assertFails(stage, 'TLS_ERR_MISPLACED_EXTENSION', 'illegal_parameter', 'plaintext', name);
    }
  });

  test('a known one in EncryptedExtensions where it has no place is refused with illegal_parameter', () => {
    for (const name of misplacedIn.encrypted_extensions) {
      const stage = clientIn(world, 'ExpectEncryptedExtensions');
      const raw = stage.flight.get('encrypted_extensions') as Uint8Array;
      stage.victim.receive(
        stage.puppet.handshake(withExtension(raw, 4, extensionTypes[name], data[name] ?? new Uint8Array(0))),
      );
      assertFails(stage, 'TLS_ERR_MISPLACED_EXTENSION', 'illegal_parameter', stage.alertsUnder, name);
    }
  });

  test('an unknown one, and a reserved one that the client itself sent, are refused with unsupported_extension', () => {
    for (const type of [0x4242, 0x2a2a, 0xfafa]) {
      const stage = clientIn(world, 'ExpectServerHello');
      const raw = stage.flight.get('server_hello') as Uint8Array;
      stage.victim.receive(stage.puppet.handshake(withExtension(raw, SERVER_HELLO_BLOCK, type, new Uint8Array(1))));
      assertFails(stage, 'TLS_ERR_UNSUPPORTED_EXTENSION', 'unsupported_extension', 'plaintext', 'server_hello');
      const later = clientIn(world, 'ExpectEncryptedExtensions');
      const extensions = later.flight.get('encrypted_extensions') as Uint8Array;
      later.victim.receive(later.puppet.handshake(withExtension(extensions, 4, type, new Uint8Array(1))));
      assertFails(later, 'TLS_ERR_UNSUPPORTED_EXTENSION', 'unsupported_extension', later.alertsUnder, 'encrypted');
    }
  });

  test('answers to what was not asked are refused with unsupported_extension', () => {
    const answers = [
      { recordSizeLimit: 1000 },
      { ticketRequest: 2 },
      { alpnProtocol: 'h2' },
      { serverName: true as const },
    ];
    for (const answer of answers) {
      const stage = clientIn(world, 'ExpectEncryptedExtensions', { client: { alpnProtocols: [], serverName: '' } });
      stage.victim.receive(stage.puppet.handshake(encodeEncryptedExtensions({ extensions: answer })));
      assertFails(
        stage,
        'TLS_ERR_UNSUPPORTED_EXTENSION',
        'unsupported_extension',
        stage.alertsUnder,
        Object.keys(answer)[0],
      );
    }
  });

  test('one that appears twice is refused with illegal_parameter', () => {
    const stage = clientIn(world, 'ExpectServerHello');
    const raw = stage.flight.get('server_hello') as Uint8Array;
    stage.victim.receive(stage.puppet.handshake(withExtension(raw, SERVER_HELLO_BLOCK, 43, new Uint8Array([3, 4]))));
    assertFails(stage, 'TLS_ERR_DUPLICATE_EXTENSION', 'illegal_parameter', 'plaintext', 'twice');
  });

  test('in a certificate entry: misplaced ones get illegal_parameter, unsolicited ones unsupported_extension', () => {
    for (const [type, code, alert] of [
      [extensionTypes.supported_groups, 'TLS_ERR_MISPLACED_EXTENSION', 'illegal_parameter'],
      [extensionTypes.status_request, 'TLS_ERR_UNSUPPORTED_EXTENSION', 'unsupported_extension'],
      [0x4242, 'TLS_ERR_UNSUPPORTED_EXTENSION', 'unsupported_extension'],
    ] as const) {
      const stage = clientIn(world, 'ExpectCertificateOrCertificateRequest');
      const entry = new Writer()
        .vector24(new Uint8Array(9))
        .vector16(new Writer().u16(type).vector16(new Uint8Array(1)).finish());
      const body = new Writer().u8(0).vector24(entry.finish()).finish();
      stage.victim.receive(stage.puppet.handshake(frame('certificate', body)));
      assertFails(stage, code, alert, stage.alertsUnder, `extension ${type}`);
    }
  });

  test('in a CertificateRequest a misplaced one is refused and an unknown one ignored', () => {
    for (const [type, data, code] of [
      [extensionTypes.key_share, new Uint8Array(2), 'TLS_ERR_MISPLACED_EXTENSION'],
      [0x4242, new Uint8Array(2), undefined],
    ] as const) {
      const stage = clientIn(world, 'ExpectCertificateOrCertificateRequest');
      const block = new Writer().u16(13).u16(4).u16(2).u16(0x0403).u16(type).vector16(data).finish();
      stage.victim.receive(
        stage.puppet.handshake(frame('certificate_request', new Writer().u8(0).vector16(block).finish())),
      );
      assert.equal(stage.victim.error?.code, code);
      strike(stage);
    }
  });

  test('a CertificateRequest without signature_algorithms, or with a context, is refused', () => {
    const schemes = new Writer().u16(13).u16(4).u16(2).u16(0x0403).finish();
    for (const [body, code, alert] of [
      [new Writer().u8(0).u16(0), 'TLS_ERR_MISSING_EXTENSION', 'missing_extension'],
      [new Writer().vector8(new Uint8Array(1)).vector16(schemes), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ] as const) {
      const stage = clientIn(world, 'ExpectCertificateOrCertificateRequest');
      stage.victim.receive(stage.puppet.handshake(frame('certificate_request', body.finish())));
      assertFails(stage, code, alert, stage.alertsUnder, code);
    }
  });
});

describe('what EncryptedExtensions may say', () => {
  function extensionsFail(
    extensions: object,
    code: TLSErrorCode,
    alert: string,
    client: Partial<ClientOptions> = {},
  ): void {
    const stage = clientIn(world, 'ExpectEncryptedExtensions', { client });
    const genuine = decodeEncryptedExtensions((stage.flight.get('encrypted_extensions') as Uint8Array).subarray(4));
    const changed = encodeEncryptedExtensions({ extensions: { ...genuine.extensions, ...extensions } });
    stage.victim.receive(stage.puppet.handshake(changed));
    assertFails(stage, code, alert, stage.alertsUnder, JSON.stringify(extensions));
  }

  test('an application protocol that was not offered is refused', () => {
    extensionsFail({ alpnProtocol: 'http/1.1' }, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('a record size limit below 64 or above what a record holds is refused', () => {
    for (const limit of [0, 63, 2 ** 14 + 2, 0xffff]) {
      extensionsFail({ recordSizeLimit: limit }, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', {
        recordSizeLimit: 500,
      });
    }
  });

  test('more than one application protocol is refused', () => {
    const stage = clientIn(world, 'ExpectEncryptedExtensions');
    const list = new Writer()
      .u16(16)
      .vector16(new Uint8Array([0, 6, 2, 0x68, 0x32, 2, 0x68, 0x33]))
      .finish();
    stage.victim.receive(stage.puppet.handshake(frame('encrypted_extensions', new Writer().vector16(list).finish())));
    assertFails(stage, 'TLS_ERR_DECODE', 'decode_error', stage.alertsUnder, 'two');
  });
});

describe('the certificate and its signature', () => {
  test('an empty certificate list is refused with decode_error, one with a context with illegal_parameter', () => {
    for (const [body, code, alert] of [
      [[0, 0, 0, 0], 'TLS_ERR_NO_CERTIFICATE', 'decode_error'],
      [[1, 7, 0, 0, 0], 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ] as const) {
      const stage = clientIn(world, 'ExpectCertificateOrCertificateRequest');
      stage.victim.receive(stage.puppet.handshake(frame('certificate', new Uint8Array(body))));
      assertFails(stage, code, alert, stage.alertsUnder, code);
    }
  });

  test('a scheme that is for certificates only, unknown or reserved is refused with illegal_parameter', () => {
    for (const scheme of [0x0401, 0x0201, 0x4242, 0x2a2a]) {
      const stage = clientIn(world, 'ExpectCertificateVerify');
      const { signature } = decodeCertificateVerify((stage.flight.get('certificate_verify') as Uint8Array).subarray(4));
      stage.victim.receive(stage.puppet.handshake(encodeCertificateVerify({ scheme, signature })));
      assertFails(stage, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', stage.alertsUnder, `scheme ${scheme}`);
    }
  });

  test("a scheme that the certificate's key cannot make is refused with decrypt_error", () => {
    const stage = clientIn(world, 'ExpectCertificateVerify');
    const { signature } = decodeCertificateVerify((stage.flight.get('certificate_verify') as Uint8Array).subarray(4));
    stage.victim.receive(stage.puppet.handshake(encodeCertificateVerify({ scheme: 0x0403, signature })));
    assertFails(stage, 'TLS_ERR_BAD_SIGNATURE', 'decrypt_error', stage.alertsUnder, 'other scheme');
  });

  test('the empty signature is refused', () => {
    const stage = clientIn(world, 'ExpectCertificateVerify');
    stage.victim.receive(
      stage.puppet.handshake(encodeCertificateVerify({ scheme: 0x0807, signature: new Uint8Array(0) })),
    );
    assertFails(stage, 'TLS_ERR_BAD_SIGNATURE', 'decrypt_error', stage.alertsUnder, 'empty');
  });

  test('a client that is asked for a certificate answers with none, and the transcript covers both', () => {
    const stage = clientIn(world, 'ExpectCertificate', { certificateRequest: true });
    const { victim, puppet, flight } = stage;
    victim.receive(puppet.handshake(flight.get('certificate') as Uint8Array));
    // The signature covers another transcript: it has to fail, by the signature and not by the request.
    victim.receive(puppet.handshake(flight.get('certificate_verify') as Uint8Array));
    assertFails(stage, 'TLS_ERR_BAD_SIGNATURE', 'decrypt_error', stage.alertsUnder, 'request is in the transcript');
  });
});

describe('a session that is offered', () => {
  function offering(): { client: Partial<ClientOptions>; link: Link } {
    const link = world.connect();
    link.client.connection.erase();
    link.server.connection.erase();
    return { client: { session: link.client.sessions[0] }, link };
  }

  test('must be selected by its index, with a key share, and with a suite of its hash', () => {
    const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const;
    const { client, link } = offering();
    const options = { ...client, cipherSuites: suites };
    helloFails(
      (hello) => ext(hello, { selectedIdentity: 1 }),
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
      options,
    );
    helloFails(
      (hello) => ext(hello, { keyShare: undefined }),
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
      options,
    );
    helloFails(() => ({ cipherSuite: 0x1302 }), 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', options);
    link.forget();
  });

  test('a server that resumes sends no Certificate: one is unexpected', () => {
    const { client, link } = offering();
    const stage = clientIn(world, 'ExpectFinished', { client });
    stage.victim.receive(stage.puppet.handshake(frame('certificate', new Uint8Array(4))));
    assertFails(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', stage.alertsUnder, 'certificate');
    link.forget();
  });

  test('is left out of the second ClientHello when the suite of the retry has another hash', () => {
    const { client, link } = offering();
    const server = world.server({ namedGroups: ['secp256r1'], cipherSuites: ['TLS_AES_256_GCM_SHA384'] });
    const offered = world.client({
      ...client,
      cipherSuites: ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'],
      keyShares: ['x25519'],
    });
    server.receive(offered.start().flush());
    offered.receive(server.flush());
    const second = decodeClientHello(offered.flush().subarray(6 + 5 + 4));
    assert.equal(second.extensions.preSharedKey, undefined);
    offered.forget();
    server.forget();
    link.forget();
  });
});

describe('the ClientHello of this client', () => {
  test('carries reserved values in every list that may hold them, unless it is told not to', () => {
    const hello = (options: Partial<ClientOptions>) => {
      const client = world.client(options).start();
      client.forget();
      return decodeClientHello(client.flush().subarray(9));
    };
    const with_ = hello({});
    for (const list of [with_.cipherSuites, with_.extensions.supportedGroups, with_.extensions.supportedVersions]) {
      assert(list?.some(isGrease));
    }
    assert.equal(with_.extensions.types?.filter(isGrease).length, 2);
    const without = hello({ grease: false });
    assert.equal(without.extensions.types?.some(isGrease), false);
    assert.equal(without.cipherSuites.some(isGrease), false);
    assert.equal(
      without.extensions.keyShares?.some(({ group }) => isGrease(group)),
      false,
    );
  });

  test('names no IP address and no empty name', () => {
    for (const serverName of ['', '127.0.0.1', '::1']) {
      const client = world.client({ serverName }).start();
      assert.equal(decodeClientHello(client.flush().subarray(9)).extensions.serverName, undefined);
      client.forget();
    }
  });

  test('cannot be made with a name that is none: the connection fails and says nothing', () => {
    const client = world.client({ serverName: 'not a name' }).start();
    assert.equal(client.error?.code, 'TLS_ERR_CONFIG');
    assert.equal(client.flush().length, 0);
  });

  test('cannot be made without suites, groups, or with a share for a group that is not offered', () => {
    for (const options of [{ cipherSuites: [] }, { namedGroups: [] }, { keyShares: ['secp521r1'] }] as const) {
      assert.throws(() => world.client(options), { code: 'TLS_ERR_CONFIG' });
    }
  });

  test('is not made with limits that would break the connection later', () => {
    for (const options of [
      { recordSizeLimit: 63 },
      { recordSizeLimit: 16_386 },
      { usageLimit: 7 },
      { usageLimit: 9.5 },
    ]) {
      assert.throws(() => world.client(options), { code: 'TLS_ERR_CONFIG' });
      assert.throws(() => world.server(options), { code: 'TLS_ERR_CONFIG' });
    }
  });
});
