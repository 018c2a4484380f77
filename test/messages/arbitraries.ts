/** Every message as a fast-check arbitrary, with its codec: one table that the property tests run over. */

import fc from 'fast-check';
import { decodeAlert, encodeAlert } from '../../src/messages/alert.ts';
import { decodeCertificate, encodeCertificate } from '../../src/messages/certificate.ts';
import { decodeCertificateRequest, encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { decodeCertificateVerify, encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import type { ClientHello } from '../../src/messages/client-hello.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { extensionTypes, handshakeTypes } from '../../src/messages/code-points.ts';
import { decodeEncryptedExtensions, encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeFinished, encodeFinished } from '../../src/messages/finished.ts';
import { decodeKeyUpdate, encodeKeyUpdate } from '../../src/messages/key-update.ts';
import { decodeNewSessionTicket, encodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import type { EncodableServerHello } from '../../src/messages/server-hello.ts';
import { decodeServerHello, encodeServerHello, HELLO_RETRY_REQUEST_RANDOM } from '../../src/messages/server-hello.ts';

export interface Codec {
  readonly name: string;
  /** Bytes before the body: 4, or 0 for an alert. */
  readonly type: number | undefined;
  readonly messages: fc.Arbitrary<unknown>;
  readonly encode: (message: never) => Uint8Array;
  readonly decode: (body: Uint8Array) => unknown;
}

const code = fc.integer({ min: 0, max: 0xffff });
const codes = fc.array(code, { minLength: 1, maxLength: 40 });
const codes8 = fc.array(code, { minLength: 1, maxLength: 20 });
const u8 = fc.integer({ min: 0, max: 255 });
const u8s = fc.array(u8, { minLength: 1, maxLength: 10 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const present = fc.constant(true as const);
const random = bytes(32, 32);
const fragmentLength = fc.constantFrom(512, 1024, 2048, 4096);
const limit = fc.integer({ min: 64, max: 0xffff });
const protocol = bytes(1, 255).map((name) => String.fromCharCode(...name));
const hostName = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/), { minLength: 1, maxLength: 8 })
  .map((labels) => labels.join('.'));
const keyShare = fc.record({ group: code, keyExchange: bytes(1, 1300) });
const names = fc.array(bytes(1, 60), { minLength: 1, maxLength: 5 });

const known = new Set<number>(Object.values(extensionTypes));
const unknown = fc.uniqueArray(fc.record({ type: code.filter((type) => !known.has(type)), data: bytes(0, 80) }), {
  maxLength: 4,
  minLength: 1,
  selector: (extension) => extension.type,
});

const preSharedKey = fc
  .array(fc.tuple(bytes(1, 300), u32, bytes(32, 255)), { minLength: 1, maxLength: 4 })
  .map((offers) => ({
    identities: offers.map(([identity, obfuscatedTicketAge]) => ({ identity, obfuscatedTicketAge })),
    binders: offers.map(([, , binder]) => binder),
  }));

export const clientHellos: fc.Arbitrary<ClientHello> = fc.record({
  legacyVersion: code,
  random,
  legacySessionId: bytes(0, 32),
  cipherSuites: codes,
  compressionMethods: fc.constantFrom([0], [1, 0], [0, 64]),
  extensions: fc.record(
    {
      serverName: hostName,
      supportedGroups: codes,
      signatureAlgorithms: codes,
      signatureAlgorithmsCert: codes,
      alpnProtocols: fc.array(protocol, { minLength: 1, maxLength: 5 }),
      supportedVersions: codes8,
      keyShares: fc.uniqueArray(keyShare, { maxLength: 4, selector: (share) => share.group }),
      pskKeyExchangeModes: u8s,
      preSharedKey,
      cookie: bytes(1, 200),
      recordSizeLimit: limit,
      maxFragmentLength: fragmentLength,
      ticketRequest: fc.record({ newSession: u8, resumption: u8 }),
      earlyData: present,
      postHandshakeAuth: present,
      extendedMasterSecret: present,
      sessionTicket: bytes(0, 200),
      renegotiationInfo: bytes(0, 24),
      ecPointFormats: u8s,
      statusRequest: bytes(0, 20),
      certificateAuthorities: names,
      compressCertificate: codes8,
      quicTransportParameters: bytes(0, 200),
      unknown,
    },
    { requiredKeys: [] },
  ),
});

const serverExtensions = {
  supportedVersion: code,
  selectedIdentity: code,
  cookie: bytes(1, 200),
  extendedMasterSecret: present,
  sessionTicket: present,
  renegotiationInfo: bytes(0, 24),
  ecPointFormats: u8s,
  alpnProtocol: protocol,
  serverName: present,
  statusRequest: present,
  recordSizeLimit: limit,
  maxFragmentLength: fragmentLength,
};

const serverFields = {
  legacyVersion: code,
  legacySessionIdEcho: bytes(0, 32),
  cipherSuite: code,
  compressionMethod: u8,
};

export const serverHellos: fc.Arbitrary<EncodableServerHello> = fc.record({
  ...serverFields,
  random,
  extensions: fc.record({ ...serverExtensions, keyShare }, { requiredKeys: [] }),
});

export const helloRetryRequests: fc.Arbitrary<EncodableServerHello> = fc.record({
  ...serverFields,
  random: fc.constant(HELLO_RETRY_REQUEST_RANDOM),
  extensions: fc.record({ ...serverExtensions, selectedGroup: code }, { requiredKeys: [] }),
});

export const codecs: readonly Codec[] = [
  codec('ClientHello', handshakeTypes.client_hello, clientHellos, encodeClientHello, decodeClientHello),
  codec('ServerHello', handshakeTypes.server_hello, serverHellos, encodeServerHello, decodeServerHello),
  codec('HelloRetryRequest', handshakeTypes.server_hello, helloRetryRequests, encodeServerHello, decodeServerHello),
  codec(
    'EncryptedExtensions',
    handshakeTypes.encrypted_extensions,
    fc.record({
      extensions: fc.record(
        {
          alpnProtocol: protocol,
          supportedGroups: codes,
          recordSizeLimit: limit,
          maxFragmentLength: fragmentLength,
          serverName: present,
          earlyData: present,
          ticketRequest: u8,
          quicTransportParameters: bytes(0, 200),
        },
        { requiredKeys: [] },
      ),
    }),
    encodeEncryptedExtensions,
    decodeEncryptedExtensions,
  ),
  codec(
    'Certificate',
    handshakeTypes.certificate,
    fc.record({
      requestContext: bytes(0, 255),
      entries: fc.array(
        fc.record({
          certificate: bytes(1, 400),
          extensions: fc.record(
            { statusRequest: bytes(0, 60), signedCertificateTimestamps: bytes(0, 60) },
            { requiredKeys: [] },
          ),
        }),
        { maxLength: 10 },
      ),
    }),
    encodeCertificate,
    decodeCertificate,
  ),
  codec(
    'CertificateRequest',
    handshakeTypes.certificate_request,
    fc.record(
      {
        requestContext: bytes(0, 255),
        signatureAlgorithms: codes,
        signatureAlgorithmsCert: codes,
        certificateAuthorities: names,
      },
      { requiredKeys: ['requestContext', 'signatureAlgorithms'] },
    ),
    encodeCertificateRequest,
    decodeCertificateRequest,
  ),
  codec(
    'CertificateVerify',
    handshakeTypes.certificate_verify,
    fc.record({ scheme: code, signature: bytes(0, 512) }),
    encodeCertificateVerify,
    decodeCertificateVerify,
  ),
  codec('Finished', handshakeTypes.finished, fc.record({ verifyData: bytes(32, 32) }), encodeFinished, (body) =>
    decodeFinished(body, 32),
  ),
  codec(
    'NewSessionTicket',
    handshakeTypes.new_session_ticket,
    fc.record(
      {
        ticketLifetime: u32,
        ticketAgeAdd: u32,
        ticketNonce: bytes(0, 255),
        ticket: bytes(1, 400),
        maxEarlyDataSize: u32,
      },
      { requiredKeys: ['ticketLifetime', 'ticketAgeAdd', 'ticketNonce', 'ticket'] },
    ),
    encodeNewSessionTicket,
    decodeNewSessionTicket,
  ),
  codec(
    'KeyUpdate',
    handshakeTypes.key_update,
    fc.record({ updateRequested: fc.boolean() }),
    encodeKeyUpdate,
    decodeKeyUpdate,
  ),
  codec('Alert', undefined, fc.record({ level: u8, description: u8 }), encodeAlert, decodeAlert),
];

function codec<T>(
  name: string,
  type: number | undefined,
  messages: fc.Arbitrary<T>,
  encode: (message: T) => Uint8Array,
  decode: (body: Uint8Array) => unknown,
): Codec {
  return { name, type, messages, encode: encode as (message: never) => Uint8Array, decode };
}

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength, maxLength, size: 'max' });
}
