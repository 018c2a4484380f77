/** The rules of single messages of TLS 1.2: values, caps, and bytes as they stand on the wire. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concat, fromHex, toHex } from '../../src/bytes/bytes.ts';
import { ffdheGroupByPrime, ffdheGroups } from '../../src/crypto/dhe-groups.ts';
import { decodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { extensionTypes, handshakeTypes } from '../../src/messages/code-points.ts';
import { decodeFinished } from '../../src/messages/finished.ts';
import { maxMessageLength } from '../../src/messages/handshake-message.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { decodeCertificate12, encodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import {
  decodeCertificateRequest12,
  encodeCertificateRequest12,
} from '../../src/messages/tls12/certificate-request.ts';
import { decodeCertificateStatus, encodeCertificateStatus } from '../../src/messages/tls12/certificate-status.ts';
import { decodeClientKeyExchange, encodeClientKeyExchange } from '../../src/messages/tls12/client-key-exchange.ts';
import {
  decodeHelloRequest,
  decodeServerHelloDone,
  encodeHelloRequest,
  encodeServerHelloDone,
} from '../../src/messages/tls12/empty-messages.ts';
import { refuseMisplaced12 } from '../../src/messages/tls12/extension-rules.ts';
import { decodeNewSessionTicket12, encodeNewSessionTicket12 } from '../../src/messages/tls12/new-session-ticket.ts';
import {
  decodeServerKeyExchange,
  encodeServerKeyExchange,
  encodeServerKeyExchangeParams,
  serverKeyExchangeContent,
} from '../../src/messages/tls12/server-key-exchange.ts';
import { block, extension, refuses, vector8, vector16 } from '../messages/support.ts';

describe('TLS 1.2 Certificate', () => {
  it('without a certificate is that of a client that has none', () => {
    assert.equal(toHex(encodeCertificate12({ certificates: [] })), '0b000003000000');
    assert.deepEqual(decodeCertificate12(fromHex('000000')).certificates, []);
  });

  it('lists DER with three-byte lengths and without extensions', () => {
    const certificates = [fromHex('3001'), fromHex('30')];
    assert.equal(toHex(encodeCertificate12({ certificates })), '0b00000c0000090000023001000001' + '30');
  });

  it('is refused with an empty certificate and with more than ten', () => {
    refuses('TLS_ERR_DECODE', () => decodeCertificate12(fromHex('000003000000')));
    const ten = encodeCertificate12({ certificates: Array.from({ length: 10 }, () => Uint8Array.of(1)) });
    assert.equal(decodeCertificate12(ten.subarray(4)).certificates.length, 10);
    const eleven = encodeCertificate12({ certificates: Array.from({ length: 11 }, () => Uint8Array.of(1)) });
    refuses('TLS_ERR_DECODE', () => decodeCertificate12(eleven.subarray(4)));
  });
});

describe('ServerKeyExchange', () => {
  const signed = '04030002aabb';

  it('names a curve, and its raw parameters are the bytes before the algorithm', () => {
    const message = decodeServerKeyExchange(fromHex(`03001d${vector8('0102')}${signed}`), 'ecdhe');
    assert.deepEqual(message.params, { kind: 'ecdhe', group: 0x001d, publicKey: fromHex('0102') });
    assert.equal(toHex(message.rawParams), '03001d020102');
    assert.equal(message.scheme, 0x0403);
    assert.equal(toHex(message.signature), 'aabb');
    assert.equal(toHex(encodeServerKeyExchangeParams(message.params)), '03001d020102');
    assert.equal(toHex(encodeServerKeyExchange(message)), `0c00000c03001d020102${signed}`);
  });

  it('is refused with an explicit curve, prime or binary, and with a type that does not exist', () => {
    for (const type of ['00', '01', '02', '04', 'ff']) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () =>
        decodeServerKeyExchange(fromHex(`${type}001d020102${signed}`), 'ecdhe'),
      );
    }
  });

  it('is refused with an empty point', () => {
    refuses('TLS_ERR_DECODE', () => decodeServerKeyExchange(fromHex(`03001d00${signed}`), 'ecdhe'));
  });

  it('signs both randoms and the parameters as they stood on the wire, in this order', () => {
    const client = new Uint8Array(32).fill(1);
    const server = new Uint8Array(32).fill(2);
    const content = serverKeyExchangeContent(client, server, fromHex('03001d020102'));
    assert.equal(toHex(content), `${'01'.repeat(32)}${'02'.repeat(32)}03001d020102`);
  });

  const dhe = (p: string, g: string, y: string) =>
    decodeServerKeyExchange(fromHex(`${vector16(p)}${vector16(g)}${vector16(y)}${signed}`), 'dhe');
  const prime = (length: number) => `80${'00'.repeat(length - 2)}01`;

  it('carries a group of RFC 7919 that is found again by its prime', () => {
    for (const group of Object.values(ffdheGroups)) {
      const { length } = group;
      const publicKey = new Uint8Array(length).fill(5);
      const rawParams = encodeServerKeyExchangeParams({ kind: 'dhe', ...group, publicKey });
      const message = encodeServerKeyExchange({ rawParams, scheme: 0x0804, signature: new Uint8Array(512) });
      assert.ok(message.length <= maxMessageLength(handshakeTypes.server_key_exchange));
      const { params } = decodeServerKeyExchange(message.subarray(4), 'dhe');
      assert.ok(params.kind === 'dhe');
      assert.equal(ffdheGroupByPrime(params.prime, params.generator), group);
      assert.deepEqual(params.publicKey, publicKey);
    }
  });

  it('is refused with a prime of fewer than 2048 bits, such as Logjam breaks', () => {
    for (const length of [2, 64, 96, 128, 192, 255]) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(prime(length), '02', '05'));
    }
    assert.equal(dhe(prime(256), '02', '05').params.kind, 'dhe');
  });

  it('is refused with a prime that makes the client compute for long', () => {
    assert.equal(dhe(prime(1024), '02', '05').params.kind, 'dhe');
    for (const length of [1025, 4096, 16_000]) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(prime(length), '02', '05'));
    }
  });

  it('may have one leading zero in prime and generator, which is signed as it stands but no part of the number', () => {
    const { params, rawParams } = dhe(`00${prime(256)}`, '0002', '05');
    assert.ok(params.kind === 'dhe');
    assert.equal(params.prime.length, 256);
    assert.equal(toHex(params.generator), '02');
    assert.equal(toHex(rawParams), `010100${prime(256)}00020002000105`);
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(`0000${prime(256)}`, '02', '05'));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(prime(256), '000002', '05'));
  });

  it('is refused with an even prime, and with a generator of 0 or 1 or longer than the prime', () => {
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(`80${'00'.repeat(255)}`, '02', '05'));
    for (const generator of ['00', '01', '0001', '0000', 'ff'.repeat(257)]) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(prime(256), generator, '05'));
    }
  });

  it('is refused with a public key that is longer than the prime, or empty', () => {
    assert.equal(dhe(prime(256), '02', '00'.repeat(256)).params.kind, 'dhe');
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => dhe(prime(256), '02', 'ff'.repeat(257)));
    refuses('TLS_ERR_DECODE', () => dhe(prime(256), '02', ''));
    refuses('TLS_ERR_DECODE', () => dhe('', '02', '05'));
    refuses('TLS_ERR_DECODE', () => dhe(prime(256), '', '05'));
  });

  it('signed for a curve does not read as Diffie-Hellman', () => {
    const rawParams = encodeServerKeyExchangeParams({
      kind: 'ecdhe',
      group: 0x17,
      publicKey: new Uint8Array(65).fill(4),
    });
    const message = encodeServerKeyExchange({ rawParams, scheme: 0x0403, signature: new Uint8Array(70) });
    refuses('TLS_ERR_DECODE', () => decodeServerKeyExchange(message.subarray(4), 'dhe'));
  });
});

describe('ClientKeyExchange', () => {
  it('has a one-byte length for a point and a two-byte length for a number', () => {
    const publicKey = fromHex('0102');
    assert.equal(toHex(encodeClientKeyExchange({ kind: 'ecdhe', publicKey })), '10000003020102');
    assert.equal(toHex(encodeClientKeyExchange({ kind: 'dhe', publicKey })), '1000000400020102');
  });

  it('is refused when it is empty: a key in the certificate would be static', () => {
    for (const body of ['', '00', '0000']) {
      refuses('TLS_ERR_DECODE', () => decodeClientKeyExchange(fromHex(body), 'ecdhe'));
      refuses('TLS_ERR_DECODE', () => decodeClientKeyExchange(fromHex(body), 'dhe'));
    }
  });

  it('is refused with a number longer than that of any group that is allowed', () => {
    const body = (length: number) => concat(Uint8Array.of(length >> 8, length), new Uint8Array(length).fill(1));
    assert.equal(decodeClientKeyExchange(body(1024), 'dhe').publicKey.length, 1024);
    refuses('TLS_ERR_DECODE', () => decodeClientKeyExchange(body(1025), 'dhe'));
    assert.ok(body(1025).length < maxMessageLength(handshakeTypes.client_key_exchange));
  });
});

describe('TLS 1.2 CertificateRequest', () => {
  it('lists types, schemes and authorities', () => {
    const message = {
      certificateTypes: [1, 64],
      signatureAlgorithms: [0x0403, 0x0804],
      certificateAuthorities: [fromHex('3000')],
    };
    const bytes = encodeCertificateRequest12(message);
    assert.equal(toHex(bytes), '0d00000f0201400004040308040004' + '00023000');
    assert.deepEqual(decodeCertificateRequest12(bytes.subarray(4)), message);
  });

  it('may name no authority, but a type and a scheme', () => {
    assert.deepEqual(decodeCertificateRequest12(fromHex('0140000204030000')).certificateAuthorities, []);
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest12(fromHex('00000204030000')));
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest12(fromHex('014000000000')));
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest12(fromHex('014000030403040000')));
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest12(fromHex('01400002040300020000')));
  });

  it('is refused with more than 1024 authorities', () => {
    const body = (count: number) => fromHex(`014000020403${vector16('000130'.repeat(count))}`);
    assert.equal(decodeCertificateRequest12(body(1024)).certificateAuthorities.length, 1024);
    refuses('TLS_ERR_DECODE', () => decodeCertificateRequest12(body(1025)));
  });
});

describe('TLS 1.2 NewSessionTicket', () => {
  it('may be empty: the server promised a ticket and has none', () => {
    const bytes = encodeNewSessionTicket12({ lifetimeHint: 0, ticket: new Uint8Array(0) });
    assert.equal(toHex(bytes), '04000006000000000000');
    assert.equal(decodeNewSessionTicket12(bytes.subarray(4)).ticket.length, 0);
  });

  it('holds the hint in seconds before the ticket', () => {
    const bytes = encodeNewSessionTicket12({ lifetimeHint: 7200, ticket: fromHex('aabb') });
    assert.equal(toHex(bytes), '0400000800001c200002aabb');
  });

  it('of the largest ticket is within its cap, but for the last few bytes', () => {
    const bytes = encodeNewSessionTicket12({ lifetimeHint: 1, ticket: new Uint8Array(0xfff0) });
    assert.ok(bytes.length - 4 <= maxMessageLength(handshakeTypes.new_session_ticket));
  });
});

describe('messages without a body', () => {
  it('are four bytes', () => {
    assert.equal(toHex(encodeHelloRequest()), '00000000');
    assert.equal(toHex(encodeServerHelloDone()), '0e000000');
  });

  it('are refused with one', () => {
    decodeHelloRequest(new Uint8Array(0));
    decodeServerHelloDone(new Uint8Array(0));
    for (const decode of [decodeHelloRequest, decodeServerHelloDone]) {
      refuses('TLS_ERR_DECODE', () => decode(Uint8Array.of(0)));
      refuses('TLS_ERR_DECODE', () => decode(new Uint8Array(300)));
    }
    assert.equal(maxMessageLength(handshakeTypes.hello_request), 0);
    assert.equal(maxMessageLength(handshakeTypes.server_hello_done), 0);
  });
});

describe('CertificateStatus', () => {
  it('is an OCSP response of at least one byte, and of no other type', () => {
    assert.equal(toHex(encodeCertificateStatus({ response: fromHex('3000') })), '16000006010000023000');
    refuses('TLS_ERR_DECODE', () => decodeCertificateStatus(fromHex('01000000')));
    for (const type of ['00', '02', 'ff']) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeCertificateStatus(fromHex(`${type}0000023000`)));
    }
  });
});

describe('messages that TLS 1.2 has in the form of TLS 1.3', () => {
  it('CertificateVerify is algorithm and signature', () => {
    assert.deepEqual(decodeCertificateVerify(fromHex('08040002aabb')), { scheme: 0x0804, signature: fromHex('aabb') });
  });

  it('Finished is 12 bytes, whatever the hash', () => {
    assert.equal(decodeFinished(new Uint8Array(12), 12).verifyData.length, 12);
    refuses('TLS_ERR_DECODE', () => decodeFinished(new Uint8Array(32), 12));
    refuses('TLS_ERR_DECODE', () => decodeFinished(new Uint8Array(0), 12));
  });
});

describe('TLS 1.2 ServerHello', () => {
  const start = `0303${'11'.repeat(32)}00c02b00`;
  const verifyData = '22'.repeat(24);
  const extensions = [
    extension(extensionTypes.extended_master_secret),
    extension(extensionTypes.renegotiation_info, vector8(verifyData)),
    extension(extensionTypes.server_name),
    extension(extensionTypes.ec_point_formats, '0100'),
    extension(extensionTypes.session_ticket),
    extension(extensionTypes.status_request),
    extension(extensionTypes.application_layer_protocol_negotiation, '0003026832'),
    extension(extensionTypes.record_size_limit, '4000'),
  ];

  it('is read and written with every extension it can have', () => {
    const bytes = fromHex(`${start}${block(...extensions)}`);
    const message = decodeServerHello(bytes);
    const e = message.extensions;
    assert.equal(e.extendedMasterSecret, true);
    assert.equal(toHex(e.renegotiationInfo ?? new Uint8Array(0)), verifyData);
    assert.equal(e.serverName, true);
    assert.deepEqual(e.ecPointFormats, [0]);
    assert.equal(e.sessionTicket, true);
    assert.equal(e.statusRequest, true);
    assert.equal(e.alpnProtocol, 'h2');
    assert.equal(e.recordSizeLimit, 0x4000);
    assert.equal(e.supportedVersion, undefined);
    assert.equal(toHex(encodeServerHello(message).subarray(4)), toHex(bytes));
    refuseMisplaced12(e.types);
  });

  it('without extensions is written without a block', () => {
    const message = decodeServerHello(fromHex(start));
    assert.equal(toHex(encodeServerHello(message)), `02000026${start}`);
    assert.equal(toHex(encodeServerHello(decodeServerHello(fromHex(`${start}0000`)))), `02000026${start}`);
  });

  it('is refused when a marker of it has data, or a list of point formats is empty', () => {
    const { extended_master_secret, session_ticket, status_request, server_name, ec_point_formats } = extensionTypes;
    for (const type of [extended_master_secret, session_ticket, status_request, server_name]) {
      refuses('TLS_ERR_DECODE', () => decodeServerHello(fromHex(`${start}${block(extension(type, '00'))}`)));
    }
    refuses('TLS_ERR_DECODE', () => decodeServerHello(fromHex(`${start}${block(extension(ec_point_formats, '00'))}`)));
  });

  it('is refused with an extension of TLS 1.3 alone', () => {
    const { key_share, pre_shared_key, supported_versions, cookie, early_data } = extensionTypes;
    for (const type of [key_share, pre_shared_key, supported_versions, cookie, early_data]) {
      refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced12([extensionTypes.server_name, type]));
    }
    refuseMisplaced12([extensionTypes.supported_groups, extensionTypes.signed_certificate_timestamp, 0x1234]);
  });
});
