/** Every message of TLS 1.2 as a fast-check arbitrary, with its codec: one table that the property tests run over. */

import fc from 'fast-check';
import { handshakeTypes } from '../../src/messages/code-points.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { decodeCertificate12, encodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import {
  decodeCertificateRequest12,
  encodeCertificateRequest12,
} from '../../src/messages/tls12/certificate-request.ts';
import { decodeCertificateStatus, encodeCertificateStatus } from '../../src/messages/tls12/certificate-status.ts';
import { decodeClientKeyExchange, encodeClientKeyExchange } from '../../src/messages/tls12/client-key-exchange.ts';
import { decodeNewSessionTicket12, encodeNewSessionTicket12 } from '../../src/messages/tls12/new-session-ticket.ts';
import {
  type DheParams,
  decodeServerKeyExchange,
  type EcdheParams,
  encodeServerKeyExchange,
  encodeServerKeyExchangeParams,
} from '../../src/messages/tls12/server-key-exchange.ts';

export interface Codec {
  readonly name: string;
  readonly type: number;
  readonly messages: fc.Arbitrary<unknown>;
  readonly encode: (message: never) => Uint8Array;
  readonly decode: (body: Uint8Array) => unknown;
}

const code = fc.integer({ min: 0, max: 0xffff });
const u8 = fc.integer({ min: 0, max: 255 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const present = fc.constant(true as const);

const ecdheParams: fc.Arbitrary<EcdheParams> = fc.record({
  kind: fc.constant('ecdhe' as const),
  group: code,
  publicKey: bytes(1, 255),
});

/** Big-endian and odd, without a leading zero, as a prime is. */
const prime = bytes(256, 300).map((number) => {
  number[0] |= 0x80;
  number[number.length - 1] |= 1;
  return number;
});

const dheParams: fc.Arbitrary<DheParams> = fc.record({
  kind: fc.constant('dhe' as const),
  prime,
  generator: fc.integer({ min: 2, max: 255 }).map((g) => Uint8Array.of(g)),
  publicKey: bytes(1, 256),
});

function keyExchanges(params: fc.Arbitrary<EcdheParams | DheParams>): fc.Arbitrary<unknown> {
  return fc
    .record({ params, scheme: code, signature: bytes(0, 512) })
    .map((message) => ({ ...message, rawParams: encodeServerKeyExchangeParams(message.params) }));
}

/** A ServerHello of TLS 1.2 with everything it can carry; at least one extension, so that no truncation is legal. */
const serverHellos = fc.record({
  legacyVersion: fc.constant(0x0303),
  random: bytes(32, 32).filter((random) => random[0] !== 0xcf),
  legacySessionIdEcho: bytes(0, 32),
  cipherSuite: code,
  compressionMethod: fc.constant(0),
  extensions: fc.record(
    {
      extendedMasterSecret: present,
      renegotiationInfo: fc.oneof(bytes(0, 0), bytes(24, 24)),
      sessionTicket: present,
      ecPointFormats: fc.array(u8, { minLength: 1, maxLength: 3 }),
      alpnProtocol: bytes(1, 255).map((name) => String.fromCharCode(...name)),
      serverName: present,
      statusRequest: present,
      recordSizeLimit: fc.integer({ min: 64, max: 0x4000 }),
      maxFragmentLength: fc.constantFrom(512, 1024, 2048, 4096),
    },
    { requiredKeys: ['extendedMasterSecret'] },
  ),
});

export const codecs: readonly Codec[] = [
  codec(
    'Certificate',
    handshakeTypes.certificate,
    fc.record({ certificates: fc.array(bytes(1, 600), { maxLength: 5 }) }),
    encodeCertificate12,
    decodeCertificate12,
  ),
  codec(
    'ServerKeyExchange with ECDHE',
    handshakeTypes.server_key_exchange,
    keyExchanges(ecdheParams),
    encodeServerKeyExchange,
    (body) => decodeServerKeyExchange(body, 'ecdhe'),
  ),
  codec(
    'ServerKeyExchange with DHE',
    handshakeTypes.server_key_exchange,
    keyExchanges(dheParams),
    encodeServerKeyExchange,
    (body) => decodeServerKeyExchange(body, 'dhe'),
  ),
  codec(
    'ClientKeyExchange with ECDHE',
    handshakeTypes.client_key_exchange,
    fc.record({ kind: fc.constant('ecdhe' as const), publicKey: bytes(1, 255) }),
    encodeClientKeyExchange,
    (body) => decodeClientKeyExchange(body, 'ecdhe'),
  ),
  codec(
    'ClientKeyExchange with DHE',
    handshakeTypes.client_key_exchange,
    fc.record({ kind: fc.constant('dhe' as const), publicKey: bytes(1, 1024) }),
    encodeClientKeyExchange,
    (body) => decodeClientKeyExchange(body, 'dhe'),
  ),
  codec(
    'CertificateRequest',
    handshakeTypes.certificate_request,
    fc.record({
      certificateTypes: fc.array(u8, { minLength: 1, maxLength: 8 }),
      signatureAlgorithms: fc.array(code, { minLength: 1, maxLength: 40 }),
      certificateAuthorities: fc.array(bytes(1, 100), { maxLength: 6 }),
    }),
    encodeCertificateRequest12,
    decodeCertificateRequest12,
  ),
  codec(
    'NewSessionTicket',
    handshakeTypes.new_session_ticket,
    fc.record({ lifetimeHint: u32, ticket: bytes(0, 600) }),
    encodeNewSessionTicket12,
    decodeNewSessionTicket12,
  ),
  codec(
    'CertificateStatus',
    handshakeTypes.certificate_status,
    fc.record({ response: bytes(1, 900) }),
    encodeCertificateStatus,
    decodeCertificateStatus,
  ),
  codec('ServerHello', handshakeTypes.server_hello, serverHellos, encodeServerHello, (body) => {
    const message = decodeServerHello(body);
    // A block that is cut off as a whole is legal in TLS 1.2: the truncation test asks for one that is not.
    if (message.extensions.types.length === 0) {
      decodeServerHello(new Uint8Array(0));
    }
    return message;
  }),
];

function codec<T>(
  name: string,
  type: number,
  messages: fc.Arbitrary<T>,
  encode: (message: never) => Uint8Array,
  decode: (body: Uint8Array) => unknown,
): Codec {
  return { name, type, messages, encode, decode };
}

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength, maxLength });
}
