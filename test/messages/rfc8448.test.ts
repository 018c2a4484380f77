/** The messages of RFC 8448, byte for byte. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { decodeAlert, encodeAlert } from '../../src/messages/alert.ts';
import { decodeCertificate, encodeCertificate } from '../../src/messages/certificate.ts';
import { decodeCertificateRequest, encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { decodeCertificateVerify, encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { bindersLength, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { extensionTypes, TLS13 } from '../../src/messages/code-points.ts';
import { decodeEncryptedExtensions, encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeFinished, encodeFinished } from '../../src/messages/finished.ts';
import { decodeNewSessionTicket, encodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import { decodeServerHello, encodeServerHello, isHelloRetryRequest } from '../../src/messages/server-hello.ts';
import { rfc8448Messages, rfc8448Payloads } from './support.ts';

const sections = [3, 4, 5, 6, 7];

/** Checks decode and encode of every message of a name, and that there are as many as the RFC has. */
function roundTrips(name: string, count: number, again: (body: Uint8Array) => Uint8Array): void {
  let seen = 0;
  for (const section of sections) {
    for (const message of rfc8448Messages(section, name)) {
      assert.equal(toHex(again(message.subarray(4))), toHex(message), `section ${section}`);
      seen++;
    }
  }
  assert.equal(seen, count);
}

describe('RFC 8448', () => {
  it('ServerHello and HelloRetryRequest decode and encode to the same bytes', () => {
    roundTrips('ServerHello', 6, (body) => encodeServerHello(decodeServerHello(body)));
  });

  it('EncryptedExtensions decode and encode to the same bytes', () => {
    roundTrips('EncryptedExtensions', 5, (body) => encodeEncryptedExtensions(decodeEncryptedExtensions(body)));
  });

  it('Certificate decodes and encodes to the same bytes', () => {
    roundTrips('Certificate', 5, (body) => encodeCertificate(decodeCertificate(body)));
  });

  it('CertificateRequest decodes and encodes to the same bytes', () => {
    roundTrips('CertificateRequest', 1, (body) => encodeCertificateRequest(decodeCertificateRequest(body)));
  });

  it('CertificateVerify decodes and encodes to the same bytes', () => {
    roundTrips('CertificateVerify', 5, (body) => encodeCertificateVerify(decodeCertificateVerify(body)));
  });

  it('Finished decodes and encodes to the same bytes', () => {
    roundTrips('Finished', 10, (body) => encodeFinished(decodeFinished(body, 32)));
  });

  it('NewSessionTicket decodes and encodes to the same bytes', () => {
    roundTrips('NewSessionTicket', 1, (body) => encodeNewSessionTicket(decodeNewSessionTicket(body)));
  });

  it('every ClientHello that is sent decodes and encodes to the same bytes', () => {
    let seen = 0;
    for (const section of sections) {
      for (const payload of rfc8448Payloads(section, 'client').filter((bytes) => bytes[0] === 1 && bytes.length > 4)) {
        assert.equal(toHex(encodeClientHello(decodeClientHello(payload.subarray(4)))), toHex(payload));
        seen++;
      }
    }
    assert.equal(seen, 6);
  });

  it('the ClientHello of section 3 holds what the trace says', () => {
    const [message] = rfc8448Messages(3, 'ClientHello');
    const hello = decodeClientHello(message.subarray(4));
    assert.equal(hello.legacyVersion, 0x0303);
    assert.equal(toHex(hello.random), 'cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7');
    assert.deepEqual(hello.cipherSuites, [0x1301, 0x1303, 0x1302]);
    assert.deepEqual(hello.compressionMethods, [0]);
    const { extensions } = hello;
    assert.equal(extensions.serverName, 'server');
    assert.deepEqual(extensions.supportedVersions, [TLS13]);
    assert.equal(extensions.keyShares?.length, 1);
    assert.equal(extensions.keyShares?.[0].group, 0x001d);
    assert.deepEqual(extensions.pskKeyExchangeModes, [1]);
    assert.equal(extensions.recordSizeLimit, 0x4001);
    assert.equal(extensions.sessionTicket?.length, 0);
    assert.equal(extensions.renegotiationInfo?.length, 0);
    assert.equal(extensions.supportedGroups?.length, 9);
    assert.equal(extensions.signatureAlgorithms?.length, 15);
    assert.deepEqual(extensions.types, [0, 0xff01, 10, 35, 51, 43, 13, 45, 28]);
  });

  it('the resumed ClientHello of section 4 less its binders is the message that the binder covers', () => {
    const [truncated] = rfc8448Messages(4, 'ClientHello', 'client');
    const payload = rfc8448Payloads(4, 'client')[0];
    const hello = decodeClientHello(payload.subarray(4));
    const { preSharedKey, earlyData, types } = hello.extensions;
    assert.ok(preSharedKey);
    assert.equal(types?.at(-1), extensionTypes.pre_shared_key);
    assert.equal(preSharedKey.identities[0].obfuscatedTicketAge, 0xfad6aacb);
    assert.equal(earlyData, true);
    assert.equal(toHex(preSharedKey.binders[0]), '3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d');
    assert.equal(bindersLength(preSharedKey.binders), 35);
    assert.equal(toHex(payload.subarray(0, payload.length - 35)), toHex(truncated));
    const blank = { ...preSharedKey, binders: preSharedKey.binders.map(() => new Uint8Array(32)) };
    const encoded = encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey: blank } });
    assert.equal(toHex(encoded.subarray(0, encoded.length - 35)), toHex(truncated));
  });

  it('the ticket of section 3 is the identity that section 4 offers', () => {
    const ticket = decodeNewSessionTicket(rfc8448Messages(3, 'NewSessionTicket')[0].subarray(4));
    const hello = decodeClientHello(rfc8448Payloads(4, 'client')[0].subarray(4));
    assert.equal(ticket.ticketLifetime, 30);
    assert.equal(ticket.ticketAgeAdd, 0xfad6aac5);
    assert.equal(toHex(ticket.ticketNonce), '0000');
    assert.equal(ticket.maxEarlyDataSize, 1024);
    assert.deepEqual(hello.extensions.preSharedKey?.identities[0].identity, ticket.ticket);
  });

  it('the first ServerHello of section 5 is a HelloRetryRequest, the second is not', () => {
    const [first, second] = rfc8448Messages(5, 'ServerHello').map((message) => decodeServerHello(message.subarray(4)));
    assert.equal(isHelloRetryRequest(first), true);
    assert.equal(first.extensions.selectedGroup, 0x0017);
    assert.equal(first.extensions.keyShare, undefined);
    assert.equal(first.extensions.cookie?.length, 114);
    assert.equal(first.extensions.supportedVersion, TLS13);
    assert.equal(isHelloRetryRequest(second), false);
    assert.equal(second.extensions.keyShare?.group, 0x0017);
    assert.equal(second.extensions.keyShare?.keyExchange.length, 65);
    assert.equal(second.extensions.selectedGroup, undefined);
  });

  it('the resumed ServerHello of section 4 selects the first identity', () => {
    const hello = decodeServerHello(rfc8448Messages(4, 'ServerHello')[0].subarray(4));
    assert.equal(hello.extensions.selectedIdentity, 0);
    assert.equal(hello.cipherSuite, 0x1301);
  });

  it('the closing alert is a warning of close_notify', () => {
    const bytes = fromHex('0100');
    assert.deepEqual(decodeAlert(bytes), { level: 1, description: 0 });
    assert.deepEqual(encodeAlert({ level: 1, description: 0 }), bytes);
  });
});
