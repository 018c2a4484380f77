/** What the messages of a server must and must not be. RFC 9846 §4.2.3, §4.2.4, §4.4, §4.5, §4.7. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { decodeCertificate, MAX_CERTIFICATES } from '../../src/messages/certificate.ts';
import { decodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { certificateVerifyContent, decodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { extensionTypes } from '../../src/messages/code-points.ts';
import { decodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import {
  DOWNGRADE_TLS11,
  DOWNGRADE_TLS12,
  decodeServerHello,
  HELLO_RETRY_REQUEST_RANDOM,
  isHelloRetryRequest,
} from '../../src/messages/server-hello.ts';
import { block, extension, refuses, vector8, vector16 } from './support.ts';

const RANDOM = '5a'.repeat(32);
const RETRY = toHex(HELLO_RETRY_REQUEST_RANDOM);

const serverHello = (extensions: string, random = RANDOM): Uint8Array => fromHex(`0303${random}00130100${extensions}`);
const encrypted = (...extensions: string[]): Uint8Array => fromHex(block(...extensions));
const vector24 = (data: string): string => (data.length / 2).toString(16).padStart(6, '0') + data;
const entry = (certificate: string, extensions = '0000'): string => `${vector24(certificate)}${extensions}`;
const certificate = (...entries: string[]): Uint8Array => fromHex(`00${vector24(entries.join(''))}`);
const ticket = (nonce: string, bytes: string, extensions: string): Uint8Array =>
  fromHex(`0000003c00000001${vector8(nonce)}${vector16(bytes)}${extensions}`);

describe('ServerHello', () => {
  it('is a HelloRetryRequest by the hash that is its random', () => {
    assert.equal(RETRY, createHash('sha256').update('HelloRetryRequest').digest('hex'));
    assert.equal(isHelloRetryRequest(decodeServerHello(serverHello('0000', RETRY))), true);
    assert.equal(isHelloRetryRequest(decodeServerHello(serverHello('0000', `${RETRY.slice(0, -2)}00`))), false);
  });

  it('has the form of key_share that its random says', () => {
    const group = block(extension(extensionTypes.key_share, '001d'));
    const share = block(extension(extensionTypes.key_share, '001d0001aa'));
    assert.equal(decodeServerHello(serverHello(group, RETRY)).extensions.selectedGroup, 0x001d);
    assert.equal(decodeServerHello(serverHello(share)).extensions.keyShare?.group, 0x001d);
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello(group)));
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello(share, RETRY)));
    refuses('TLS_ERR_DECODE', () =>
      decodeServerHello(serverHello(block(extension(extensionTypes.key_share, '001d0000')))),
    );
  });

  it('may end before its extensions, as in TLS 1.2, and is refused when bytes follow them', () => {
    assert.deepEqual(decodeServerHello(serverHello('')).extensions.types, []);
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello('000000')));
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello('00')));
  });

  it('is refused when an extension appears twice', () => {
    const version = extension(extensionTypes.supported_versions, '0304');
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeServerHello(serverHello(block(version, version))));
  });

  it('is refused when bytes follow the data of a known extension', () => {
    const marked: readonly [number, string][] = [
      [extensionTypes.supported_versions, '0304'],
      [extensionTypes.key_share, '001d0001aa'],
      [extensionTypes.pre_shared_key, '0000'],
      [extensionTypes.cookie, '0001aa'],
      [extensionTypes.extended_master_secret, ''],
      [extensionTypes.session_ticket, ''],
      [extensionTypes.renegotiation_info, '00'],
      [extensionTypes.ec_point_formats, '0100'],
      [extensionTypes.application_layer_protocol_negotiation, '0003026832'],
      [extensionTypes.server_name, ''],
      [extensionTypes.status_request, ''],
      [extensionTypes.record_size_limit, '4001'],
    ];
    for (const [type, data] of marked) {
      assert.deepEqual(decodeServerHello(serverHello(block(extension(type, data)))).extensions.types, [type]);
      refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello(block(extension(type, `${data}00`)))));
    }
  });

  it('lists unknown extensions, so that the client can refuse what it did not offer', () => {
    const { types } = decodeServerHello(serverHello(block(extension(0x1234, 'ff'), extension(0x0a0a)))).extensions;
    assert.deepEqual(types, [0x1234, 0x0a0a]);
  });

  it('is refused when it chooses two protocols, or none', () => {
    const alpn = (names: string): string =>
      block(extension(extensionTypes.application_layer_protocol_negotiation, names));
    assert.equal(decodeServerHello(serverHello(alpn('0003026832'))).extensions.alpnProtocol, 'h2');
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello(alpn('0006026832026833'))));
    refuses('TLS_ERR_DECODE', () => decodeServerHello(serverHello(alpn('0000'))));
  });

  it('has downgrade sentinels that spell DOWNGRD and a version', () => {
    assert.equal(String.fromCharCode(...DOWNGRADE_TLS12), 'DOWNGRD\x01');
    assert.equal(String.fromCharCode(...DOWNGRADE_TLS11), 'DOWNGRD\x00');
  });
});

describe('EncryptedExtensions', () => {
  it('may be empty', () => {
    assert.deepEqual(decodeEncryptedExtensions(encrypted()).extensions.types, []);
  });

  it('is refused without a block, with bytes after it, or with an extension twice', () => {
    refuses('TLS_ERR_DECODE', () => decodeEncryptedExtensions(new Uint8Array(0)));
    refuses('TLS_ERR_DECODE', () => decodeEncryptedExtensions(fromHex('000000')));
    const name = extension(extensionTypes.server_name);
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeEncryptedExtensions(encrypted(name, name)));
  });

  it('is refused when bytes follow the data of a known extension', () => {
    const marked: readonly [number, string][] = [
      [extensionTypes.application_layer_protocol_negotiation, '0003026832'],
      [extensionTypes.supported_groups, '0002001d'],
      [extensionTypes.record_size_limit, '4001'],
      [extensionTypes.server_name, ''],
      [extensionTypes.early_data, ''],
      [extensionTypes.ticket_request, '02'],
    ];
    for (const [type, data] of marked) {
      assert.deepEqual(decodeEncryptedExtensions(encrypted(extension(type, data))).extensions.types, [type]);
      refuses('TLS_ERR_DECODE', () => decodeEncryptedExtensions(encrypted(extension(type, `${data}00`))));
    }
  });

  it('is refused when it chooses two protocols or a record size limit below 64', () => {
    const two = extension(extensionTypes.application_layer_protocol_negotiation, '0006026832026833');
    refuses('TLS_ERR_DECODE', () => decodeEncryptedExtensions(encrypted(two)));
    const limit = extension(extensionTypes.record_size_limit, '003f');
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeEncryptedExtensions(encrypted(limit)));
  });
});

describe('Certificate', () => {
  it('may hold no certificate: who may send that is for the handshake to say', () => {
    assert.deepEqual(decodeCertificate(certificate()).entries, []);
  });

  it('is refused with an empty certificate or one that is longer than the list', () => {
    refuses('TLS_ERR_DECODE', () => decodeCertificate(certificate(entry(''))));
    refuses('TLS_ERR_DECODE', () => decodeCertificate(fromHex('00000006ffffffaa0000')));
    refuses('TLS_ERR_DECODE', () => decodeCertificate(fromHex('00ffffff000001aa0000')));
  });

  it('is refused with more certificates than any chain needs', () => {
    const chain = (count: number): Uint8Array => certificate(...Array.from({ length: count }, () => entry('30')));
    assert.equal(decodeCertificate(chain(MAX_CERTIFICATES)).entries.length, MAX_CERTIFICATES);
    refuses('TLS_ERR_DECODE', () => decodeCertificate(chain(MAX_CERTIFICATES + 1)));
  });

  it('is refused when an entry has an extension twice, not when two entries have it', () => {
    const staple = extension(extensionTypes.status_request, '01000001aa');
    const twice = entry('30', block(staple, staple));
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeCertificate(certificate(twice)));
    const once = entry('30', block(staple));
    const { entries } = decodeCertificate(certificate(once, once));
    assert.deepEqual(
      entries.map(({ extensions }) => toHex(extensions.statusRequest ?? new Uint8Array(0))),
      ['01000001aa', '01000001aa'],
    );
  });
});

describe('CertificateRequest', () => {
  const schemes = extension(extensionTypes.signature_algorithms, '00020403');

  it('is refused without signature_algorithms', () => {
    refuses('TLS_ERR_MISSING_EXTENSION', () => decodeCertificateRequest(fromHex(`00${block()}`)));
    refuses('TLS_ERR_MISSING_EXTENSION', () => decodeCertificateRequest(fromHex(`00${block(extension(0x1234))}`)));
  });

  it('is read past unknown extensions, which it lists', () => {
    const request = decodeCertificateRequest(fromHex(`0155${block(extension(0x1234, 'aabb'), schemes)}`));
    assert.deepEqual(request.signatureAlgorithms, [0x0403]);
    assert.deepEqual(request.types, [0x1234, extensionTypes.signature_algorithms]);
    assert.equal(toHex(request.requestContext), '55');
  });

  it('is refused with an extension twice, with bytes after a list, and with an empty name', () => {
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeCertificateRequest(fromHex(`00${block(schemes, schemes)}`)));
    const long = extension(extensionTypes.signature_algorithms, '0002040300');
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest(fromHex(`00${block(long)}`)));
    const names = extension(extensionTypes.certificate_authorities, '000400000001');
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest(fromHex(`00${block(schemes, names)}`)));
  });
});

describe('CertificateVerify', () => {
  it('covers the padding, the role and the transcript hash, as in the example of the RFC', () => {
    const content = certificateVerifyContent('server', new Uint8Array(32).fill(1));
    assert.equal(
      toHex(content),
      `${'20'.repeat(64)}544c5320312e332c20736572766572204365727469666963617465566572696679${'00'}${'01'.repeat(32)}`,
    );
    const client = certificateVerifyContent('client', new Uint8Array(48));
    assert.equal(client.length, 64 + 34 + 48);
    assert.equal(String.fromCharCode(...client.subarray(64, 97)), 'TLS 1.3, client CertificateVerify');
  });

  it('is refused when its signature is cut or followed by bytes', () => {
    refuses('TLS_ERR_DECODE', () => decodeCertificateVerify(fromHex('04030002aa')));
    refuses('TLS_ERR_DECODE', () => decodeCertificateVerify(fromHex('04030001aabb')));
  });
});

describe('NewSessionTicket', () => {
  it('is refused with an empty ticket', () => {
    refuses('TLS_ERR_DECODE', () => decodeNewSessionTicket(ticket('', '', '0000')));
  });

  it('is read past unknown extensions and refused with those that belong elsewhere', () => {
    assert.equal(decodeNewSessionTicket(ticket('00', 'aa', block(extension(0x3a3a, 'ff')))).ticketLifetime, 60);
    const misplaced = block(extension(extensionTypes.key_share, 'ff'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => decodeNewSessionTicket(ticket('00', 'aa', misplaced)));
  });

  it('is refused with early_data of another size than four bytes, or twice', () => {
    const early = extension(extensionTypes.early_data, '00000400');
    assert.equal(decodeNewSessionTicket(ticket('', 'aa', block(early))).maxEarlyDataSize, 1024);
    refuses('TLS_ERR_DUPLICATE_EXTENSION', () => decodeNewSessionTicket(ticket('', 'aa', block(early, early))));
    for (const data of ['', '000004', '0000040000']) {
      const wrong = block(extension(extensionTypes.early_data, data));
      refuses('TLS_ERR_DECODE', () => decodeNewSessionTicket(ticket('', 'aa', wrong)));
    }
  });
});
