/** What a ClientHello must and must not be. RFC 9846 §4.2.2, §4.3. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientHello, ClientHelloExtensions } from '../../src/messages/client-hello.ts';
import { bindersLength, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { extensionTypes, greaseValue, isGrease } from '../../src/messages/code-points.ts';
import { isIPLiteral } from '../../src/messages/server-name.ts';
import { block, extension, hex16, refuses, vector8, vector16 } from './support.ts';

const RANDOM = '5a'.repeat(32);

interface Parts {
  readonly session?: string;
  readonly suites?: string;
  readonly compression?: string;
  readonly extensions?: string;
}

function body({ session = '00', suites = '00021301', compression = '0100', extensions = '0000' }: Parts): Uint8Array {
  return fromHex(`0303${RANDOM}${session}${suites}${compression}${extensions}`);
}

function withExtensions(...extensions: readonly string[]): Uint8Array {
  return body({ extensions: block(...extensions) });
}

function decodeOne(type: number, data: string): ClientHelloExtensions {
  return decodeClientHello(withExtensions(extension(type, data))).extensions;
}

function serverName(name: string): string {
  return vector16(`00${vector16(toHex(utf8(name)))}`);
}

function hello(extensions: ClientHelloExtensions): ClientHello {
  return {
    legacyVersion: 0x0303,
    random: fromHex(RANDOM),
    legacySessionId: new Uint8Array(0),
    cipherSuites: [0x1301],
    compressionMethods: [0],
    extensions,
  };
}

const psk = (identities: number, binders: number, binderLength = 32): string =>
  vector16(`${vector16('aabb')}00000001`.repeat(identities)) +
  vector16(vector8('cc'.repeat(binderLength)).repeat(binders));

describe('ClientHello', () => {
  it('may end before its extensions, as in TLS 1.2', () => {
    const decoded = decodeClientHello(body({ extensions: '' }));
    assert.deepEqual(decoded.extensions.types, []);
    assert.deepEqual(decodeClientHello(body({ extensions: '0000' })).extensions.types, []);
  });

  it('is refused with a session id of more than 32 bytes', () => {
    assert.equal(decodeClientHello(body({ session: vector8('11'.repeat(32)) })).legacySessionId.length, 32);
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ session: vector8('11'.repeat(33)) })));
  });

  it('is refused with no suites, half a suite, or more than 512', () => {
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ suites: '0000' })));
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ suites: vector16('130113') })));
    assert.equal(decodeClientHello(body({ suites: vector16('1301'.repeat(512)) })).cipherSuites.length, 512);
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ suites: vector16('1301'.repeat(513)) })));
  });

  it('is refused when a list announces more bytes than there are', () => {
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ suites: 'fffe1301' })));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.supported_groups, 'fffe001d'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.key_share, 'ffff001d'));
  });

  it('is refused without null compression', () => {
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ compression: '00' })));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeClientHello(body({ compression: '0101' })));
    assert.deepEqual(decodeClientHello(body({ compression: '020100' })).compressionMethods, [1, 0]);
  });

  it('is refused when bytes follow its extensions', () => {
    refuses('TLS_ERR_DECODE', () => decodeClientHello(body({ extensions: '000000' })));
  });

  it('is refused when an extension appears twice, known or unknown', () => {
    const known = extension(extensionTypes.extended_master_secret);
    const unknown = extension(0x1a1a);
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeClientHello(withExtensions(known, known)));
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeClientHello(withExtensions(unknown, known, unknown)));
  });

  it('is refused with more than 100 extensions', () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, index) => extension(0x2000 + index));
    assert.equal(decodeClientHello(withExtensions(...many(100))).extensions.types?.length, 100);
    refuses('TLS_ERR_DECODE', () => decodeClientHello(withExtensions(...many(101))));
  });

  it('tolerates GREASE in every list and keeps unknown extensions', () => {
    const grease = greaseValue(0x7f);
    assert.equal(grease, 0x7a7a);
    const decoded = decodeClientHello(
      body({
        suites: vector16(`${hex16(grease)}1301`),
        extensions: block(
          extension(0x0a0a),
          extension(extensionTypes.supported_groups, vector16(`${hex16(grease)}001d`)),
          extension(extensionTypes.key_share, vector16(`${hex16(grease)}000100001d000155`)),
          extension(extensionTypes.supported_versions, vector8(`${hex16(grease)}0304`)),
          extension(extensionTypes.signature_algorithms, vector16(`${hex16(grease)}0403`)),
          extension(extensionTypes.application_layer_protocol_negotiation, vector16(vector8(hex16(grease)))),
          extension(0xfafa, '00'),
        ),
      }),
    );
    assert.deepEqual(decoded.cipherSuites, [grease, 0x1301]);
    assert.deepEqual(decoded.extensions.unknown, [
      { type: 0x0a0a, data: new Uint8Array(0) },
      { type: 0xfafa, data: new Uint8Array(1) },
    ]);
    assert.deepEqual(
      decoded.extensions.keyShares?.map((share) => share.group),
      [grease, 0x001d],
    );
    assert.deepEqual(decoded.extensions.types, [0x0a0a, 10, 51, 43, 13, 16, 0xfafa]);
  });

  it('is refused when bytes follow the data of a known extension', () => {
    const marked: readonly [number, string][] = [
      [extensionTypes.server_name, serverName('a.example')],
      [extensionTypes.supported_groups, '0002001d'],
      [extensionTypes.signature_algorithms, '00020403'],
      [extensionTypes.signature_algorithms_cert, '00020403'],
      [extensionTypes.application_layer_protocol_negotiation, '0003026832'],
      [extensionTypes.supported_versions, '020304'],
      [extensionTypes.key_share, '0000'],
      [extensionTypes.psk_key_exchange_modes, '0101'],
      [extensionTypes.pre_shared_key, psk(1, 1)],
      [extensionTypes.cookie, '000155'],
      [extensionTypes.record_size_limit, '4001'],
      [extensionTypes.ticket_request, '0201'],
      [extensionTypes.early_data, ''],
      [extensionTypes.post_handshake_auth, ''],
      [extensionTypes.extended_master_secret, ''],
      [extensionTypes.renegotiation_info, '00'],
      [extensionTypes.ec_point_formats, '0100'],
      [extensionTypes.certificate_authorities, '00030001aa'],
      [extensionTypes.compress_certificate, '020002'],
    ];
    for (const [type, data] of marked) {
      assert.deepEqual(decodeOne(type, data).types, [type]);
      refuses('TLS_ERR_DECODE', () => decodeOne(type, `${data}00`));
    }
  });

  it('is refused when a list that must not be empty is empty', () => {
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.server_name, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.supported_groups, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.signature_algorithms, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.application_layer_protocol_negotiation, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.application_layer_protocol_negotiation, '000100'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.supported_versions, '00'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.psk_key_exchange_modes, '00'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.cookie, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.ec_point_formats, '00'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.certificate_authorities, '0000'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.compress_certificate, '00'));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.supported_versions, '03030403'));
  });

  it('is refused with a record size limit below 64', () => {
    assert.equal(decodeOne(extensionTypes.record_size_limit, '0040').recordSizeLimit, 64);
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.record_size_limit, '003f'));
  });

  it('is refused with more than 128 protocol names', () => {
    const names = (count: number): string => vector16('0161'.repeat(count));
    assert.equal(
      decodeOne(extensionTypes.application_layer_protocol_negotiation, names(128)).alpnProtocols?.length,
      128,
    );
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.application_layer_protocol_negotiation, names(129)));
  });
});

describe('server_name', () => {
  it('takes one host name of letters, digits, hyphen and underscore', () => {
    for (const name of [
      'localhost',
      'a.example',
      'xn--mnchen-3ya.example',
      '_sip.EXAMPLE',
      '127.0.0.1',
      'a'.repeat(255),
    ]) {
      assert.equal(decodeOne(extensionTypes.server_name, serverName(name)).serverName, name);
    }
  });

  it('refuses anything else', () => {
    for (const name of [
      'a.example..',
      '.',
      '.a',
      'a..b',
      'a\0.example',
      'a b',
      '[::1]',
      'g::1',
      'ä.example',
      '*.example',
      'a/b',
    ]) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.server_name, serverName(name)));
    }
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.server_name, serverName('')));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.server_name, serverName('a'.repeat(256))));
  });

  it('refuses two names and other name types', () => {
    const entry = `00${vector16('61')}`;
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.server_name, vector16(entry + entry)));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.server_name, vector16(`01${vector16('61')}`)));
  });

  it('that is an IP address is let through and can be told apart', () => {
    for (const name of ['192.0.2.1', '::1', '2001:DB8::192.0.2.1']) {
      assert.equal(decodeOne(extensionTypes.server_name, serverName(name)).serverName, name);
      assert.equal(isIPLiteral(name), true);
    }
    assert.equal(isIPLiteral('192.0.2.1.example'), false);
    assert.equal(isIPLiteral('1.2.3'), false);
  });

  it('loses one trailing dot, which browsers send along', () => {
    assert.equal(decodeOne(extensionTypes.server_name, serverName('a.example.')).serverName, 'a.example');
  });

  it('that no peer would take is not encoded', () => {
    for (const serverName of ['', 'a.example.', 'a b', '::1', 'a'.repeat(256)]) {
      refuses('TLS_ERR_CONFIG', () => encodeClientHello(hello({ serverName })));
    }
  });
});

describe('key_share', () => {
  it('may be empty, to ask for a HelloRetryRequest', () => {
    assert.deepEqual(decodeOne(extensionTypes.key_share, '0000').keyShares, []);
  });

  it('is refused with two shares for one group, an empty share, or more than 16', () => {
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.key_share, vector16('001d0001aa001d0001bb')));
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.key_share, vector16('001d0000')));
    const shares = (count: number): string =>
      vector16(Array.from({ length: count }, (_, index) => `${hex16(index)}0001aa`).join(''));
    assert.equal(decodeOne(extensionTypes.key_share, shares(16)).keyShares?.length, 16);
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.key_share, shares(17)));
  });
});

describe('pre_shared_key', () => {
  it('is refused unless it is the last extension', () => {
    const offer = extension(extensionTypes.pre_shared_key, psk(1, 1));
    const other = extension(extensionTypes.extended_master_secret);
    assert.ok(decodeClientHello(withExtensions(other, offer)).extensions.preSharedKey);
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeClientHello(withExtensions(offer, other)));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeClientHello(withExtensions(offer, extension(0x0a0a))));
  });

  it('is refused unless every identity has one binder', () => {
    assert.equal(decodeOne(extensionTypes.pre_shared_key, psk(3, 3)).preSharedKey?.binders.length, 3);
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.pre_shared_key, psk(2, 1)));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.pre_shared_key, psk(1, 2)));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeOne(extensionTypes.pre_shared_key, psk(1, 9)));
  });

  it('is refused with no identities, no binders, an empty identity, or a binder shorter than 32 bytes', () => {
    refuses('TLS_ERR_DECODE', () =>
      decodeOne(extensionTypes.pre_shared_key, `0000${vector16(vector8('cc'.repeat(32)))}`),
    );
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.pre_shared_key, psk(1, 0)));
    refuses('TLS_ERR_DECODE', () =>
      decodeOne(extensionTypes.pre_shared_key, `${vector16('000000000001ff')}${vector16(vector8('cc'.repeat(32)))}`),
    );
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.pre_shared_key, psk(2, 2, 31)));
  });

  it('is refused with more than 32 identities', () => {
    assert.equal(decodeOne(extensionTypes.pre_shared_key, psk(32, 32)).preSharedKey?.identities.length, 32);
    refuses('TLS_ERR_DECODE', () => decodeOne(extensionTypes.pre_shared_key, psk(33, 33)));
  });

  it('is encoded last, after a trailing GREASE extension, and its binders are the last bytes', () => {
    const binders = [new Uint8Array(32).fill(1), new Uint8Array(48).fill(2)];
    const identities = binders.map(() => ({ identity: new Uint8Array(8), obfuscatedTicketAge: 0xffff_ffff }));
    const encoded = encodeClientHello(
      hello({ unknown: [{ type: 0xdada, data: new Uint8Array(1) }], preSharedKey: { identities, binders } }),
    );
    const { extensions } = decodeClientHello(encoded.subarray(4));
    assert.deepEqual(extensions.types, [0xdada, extensionTypes.pre_shared_key]);
    assert.equal(extensions.preSharedKey?.identities[0].obfuscatedTicketAge, 0xffff_ffff);
    const tail = encoded.subarray(encoded.length - bindersLength(binders));
    assert.equal(toHex(tail), `0052${vector8('01'.repeat(32))}${vector8('02'.repeat(48))}`);
  });
});

describe('ALPN', () => {
  it('keeps names byte for byte', () => {
    const name = String.fromCharCode(0x00, 0x7f, 0x80, 0xff);
    const encoded = encodeClientHello(hello({ alpnProtocols: [name, 'h2'] }));
    assert.deepEqual(decodeClientHello(encoded.subarray(4)).extensions.alpnProtocols, [name, 'h2']);
  });

  it('does not encode a name that is empty, longer than 255 bytes, or not of bytes', () => {
    for (const name of ['', 'a'.repeat(256), 'h\u2082']) {
      refuses('TLS_ERR_CONFIG', () => encodeClientHello(hello({ alpnProtocols: [name] })));
    }
  });
});

describe('GREASE', () => {
  it('has sixteen values, and every random byte leads to one of them', () => {
    const values = new Set<number>();
    for (let byte = 0; byte < 256; byte++) {
      values.add(greaseValue(byte));
    }
    assert.equal(values.size, 16);
    let reserved = 0;
    for (let code = 0; code <= 0xffff; code++) {
      assert.equal(isGrease(code), values.has(code));
      reserved += isGrease(code) ? 1 : 0;
    }
    assert.equal(reserved, 16);
  });
});
