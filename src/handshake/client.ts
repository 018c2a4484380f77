/**
 * The TLS 1.3 client: what it does with each message of the server.
 *
 *     ClientHello ───▶
 *                      ◀─── ServerHello, {EncryptedExtensions}, {Certificate, CertificateVerify}, {Finished}
 *     {Finished}  ───▶
 *                      ◀─── [NewSessionTicket]
 *
 * RFC 9846 §2, §4, Appendix A.1. What comes later is in post-handshake.ts.
 */

import type { Need } from '../actions.ts';
import { sameBytes } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ClientOptions } from '../connection-options.ts';
import { type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { certificateVerifySchemes, type SignatureScheme, signatureSchemeByCode } from '../crypto/signatures.ts';
import { type CipherSuite, cipherSuiteByCode, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { type HandshakeSecret, handshakeSecretWithoutPsk, type MainSecret } from '../keys/ladder.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { decodeCertificate } from '../messages/certificate.ts';
import { decodeCertificateRequest } from '../messages/certificate-request.ts';
import { certificateVerifyContent, decodeCertificateVerify } from '../messages/certificate-verify.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import { decodeEncryptedExtensions } from '../messages/encrypted-extensions.ts';
import { refuseMisplaced, refuseUnsolicited } from '../messages/extension-rules.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import {
  DOWNGRADE_TLS11,
  DOWNGRADE_TLS12,
  decodeServerHello,
  isHelloRetryRequest,
  type ServerHello,
} from '../messages/server-hello.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import { logSecret, onClientSignature, onFinished } from './client-finish.ts';
import { ClientOffer } from './client-offer.ts';
import {
  type AfterHello12,
  type ClientTls12,
  onCertificateRequest12,
  onChangeCipherSpec12,
  onClientSignature12,
  onFinished12,
  onServerCertificate12,
  onServerHello12,
  onServerHelloDone12,
  onServerKeyExchange12,
  onTicket12,
  onVerdict12,
} from './client12.ts';
import type { HandshakeHost, PreviousHandshake } from './host.ts';
import { present } from './present.ts';
import { Transcript } from './transcript.ts';
import type { clientTransitions, Handlers } from './transitions.ts';

/** Everything a client holds between messages; dropped, with its secrets erased, when the handshake is over. */
export class ClientHandshake {
  readonly options: ClientOptions;
  readonly host: HandshakeHost;
  readonly transcript: Transcript;
  readonly offer: ClientOffer;
  suite: CipherSuite | undefined;
  group: NamedGroupInfo | undefined;
  helloRetried = false;
  resumed = false;
  alpnProtocol = '';
  handshakeSecret: HandshakeSecret | undefined;
  mainSecret: MainSecret | undefined;
  tls12: ClientTls12 | undefined;
  clientHandshakeSecret: TrafficSecret | undefined;
  serverHandshakeSecret: TrafficSecret | undefined;
  clientApplicationSecret: TrafficSecret | undefined;
  exporterSecret: Secret | undefined;
  /** The server asks for a certificate, signed in one of these ways. */
  requestedSchemes: readonly number[] | undefined;
  clientScheme: SignatureScheme | undefined;
  peerCertificates: readonly Uint8Array[] = [];
  peerKey: PublicKey | undefined;
  signatureScheme: SignatureScheme | undefined;

  /** Renegotiation: the handshake before this one. */
  readonly previous: PreviousHandshake | undefined;

  constructor(options: ClientOptions, host: HandshakeHost, previous?: PreviousHandshake) {
    this.options = options;
    this.previous = previous;
    this.host = host;
    this.transcript = new Transcript(options.provider);
    this.offer = new ClientOffer(options, previous?.clientVerifyData);
    if (this.offer.cipherSuites12.length > 0 && options.credentials !== undefined) {
      this.transcript.keepMessages();
    }
  }

  erase(why: string): void {
    this.offer.erase();
    this.handshakeSecret?.erase(why);
    this.mainSecret?.erase(why);
    this.tls12?.keys?.erase(why);
    this.clientHandshakeSecret?.erase(why);
    this.serverHandshakeSecret?.erase(why);
    this.clientApplicationSecret?.erase(why);
    this.exporterSecret?.erase(why);
  }
}

/**
 * Alerts of a client that has read ServerHello go out under the handshake keys, so that nobody else learns what was wrong
 * (RFC 9846 Appendix A.1).
 */
export function protectAlerts(hs: ClientHandshake): void {
  const { channel } = hs.host;
  const secret = hs.clientHandshakeSecret;
  if (secret === undefined || channel.protectsWrites) {
    return;
  }
  if (!hs.helloRetried) {
    channel.changeCipherSpec();
  }
  channel.protectWrite(secret);
}

export const clientHandlers: Handlers<typeof clientTransitions, ClientHandshake> = {
  Start: { start: sendClientHello },
  ExpectServerHello: { server_hello: onFirstServerHello },
  ExpectServerHelloAfterRetry: { server_hello: onSecondServerHello },
  ExpectEncryptedExtensions: { encrypted_extensions: onEncryptedExtensions },
  ExpectCertificateOrCertificateRequest: { certificate_request: onCertificateRequest, certificate: onCertificate },
  ExpectCertificate: { certificate: onCertificate },
  AwaitCertificateVerdict: { verifyCertificate: onVerdict },
  ExpectCertificateVerify: { certificate_verify: onCertificateVerify },
  ExpectFinished: { finished: onFinished },
  AwaitClientSignature: { sign: onClientSignature },
  ExpectServerCertificate12: { certificate: onServerCertificate12 },
  AwaitCertificateVerdict12: { verifyCertificate: onVerdict12 },
  ExpectServerKeyExchange12: { server_key_exchange: onServerKeyExchange12 },
  ExpectCertificateRequestOrServerHelloDone12: {
    certificate_request: onCertificateRequest12,
    server_hello_done: onServerHelloDone12,
  },
  ExpectServerHelloDone12: { server_hello_done: onServerHelloDone12 },
  AwaitClientSignature12: { sign: onClientSignature12 },
  ExpectTicket12: { new_session_ticket: onTicket12 },
  ExpectChangeCipherSpec12: { change_cipher_spec: onChangeCipherSpec12 },
  ExpectFinished12: { finished: onFinished12 },
};

function sendClientHello(hs: ClientHandshake): 'ExpectServerHello' {
  hs.host.channel.handshake(hs.offer.first(hs.transcript));
  // A middlebox's habit that only TLS 1.3 provides for.
  hs.host.channel.allowChangeCipherSpec(hs.offer.cipherSuites.length > 0);
  return 'ExpectServerHello';
}

function onFirstServerHello(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectServerHelloAfterRetry' | 'ExpectEncryptedExtensions' | AfterHello12 {
  const hello = decodeServerHello(message.body);
  if (hello.extensions.supportedVersion === undefined && hs.offer.cipherSuites12.length > 0) {
    refuseDowngrade(hs, hello);
    return onServerHello12(hs, message, hello);
  }
  if (isHelloRetryRequest(hello)) {
    return onHelloRetryRequest(hs, message, hello);
  }
  return onServerHello(hs, message, hello);
}

function onSecondServerHello(hs: ClientHandshake, message: JoinedMessage): 'ExpectEncryptedExtensions' {
  const hello = decodeServerHello(message.body);
  if (isHelloRetryRequest(hello)) {
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'the server sent a second HelloRetryRequest');
  }
  return onServerHello(hs, message, hello);
}

function onHelloRetryRequest(
  hs: ClientHandshake,
  message: JoinedMessage,
  retry: ServerHello,
): 'ExpectServerHelloAfterRetry' {
  const { channel } = hs.host;
  const suite = checkHello(hs, retry);
  refuseMisplaced(retry.extensions.types, 'hello_retry_request');
  refuseUnsolicited(retry.extensions.types, hs.offer.offeredTypes, 'hello_retry_request');
  const { selectedGroup, cookie } = retry.extensions;
  let group: NamedGroupInfo | undefined;
  if (selectedGroup !== undefined) {
    group = namedGroupByCode(selectedGroup);
    if (group === undefined || !hs.offer.namedGroups.includes(group.name) || hs.offer.hasShare(group.name)) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `the HelloRetryRequest asks for group ${selectedGroup}, which was not offered or already sent`,
      );
    }
  }
  if (group === undefined && cookie === undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the HelloRetryRequest changes nothing');
  }
  channel.joiner.boundary();
  hs.suite = suite;
  hs.group = group;
  hs.helloRetried = true;
  hs.transcript.start(suite.hash);
  hs.transcript.replaceWithMessageHash();
  hs.transcript.add(message.raw);
  channel.changeCipherSpec();
  channel.handshake(hs.offer.second(hs.transcript, group, cookie, suite.name));
  return 'ExpectServerHelloAfterRetry';
}

function onServerHello(hs: ClientHandshake, message: JoinedMessage, hello: ServerHello): 'ExpectEncryptedExtensions' {
  const { provider } = hs.options;
  const { channel } = hs.host;
  const suite = checkHello(hs, hello);
  refuseMisplaced(hello.extensions.types, 'server_hello');
  refuseUnsolicited(hello.extensions.types, hs.offer.offeredTypes, 'server_hello');
  const { keyShare, selectedIdentity } = hello.extensions;
  if (hs.helloRetried && suite !== hs.suite) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server changed the cipher suite after its HelloRetryRequest');
  }
  if (keyShare === undefined) {
    throw selectedIdentity === undefined
      ? new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ServerHello has no key_share')
      : new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server resumed without key_share: only psk_dhe_ke was offered');
  }
  const group = namedGroupByCode(keyShare.group);
  if (group === undefined || !hs.offer.hasShare(group.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose group ${keyShare.group}, for which no share was sent`,
    );
  }
  if (selectedIdentity !== undefined) {
    checkSelectedIdentity(hs, suite, selectedIdentity);
    hs.resumed = true;
  }
  const sharedSecret = present(hs.offer.takeShare(group.name)).agree(keyShare.keyExchange);
  hs.handshakeSecret = hs.resumed
    ? present(hs.offer.takeEarlySecret()).toHandshakeSecret(suite, sharedSecret)
    : handshakeSecretWithoutPsk(provider, suite, sharedSecret);
  hs.offer.erase();
  hs.suite = suite;
  hs.group = group;
  hs.transcript.start(suite.hash);
  hs.transcript.add(message.raw);
  const transcriptHash = hs.transcript.digest();
  hs.clientHandshakeSecret = hs.handshakeSecret.clientHandshakeTrafficSecret(transcriptHash);
  hs.serverHandshakeSecret = hs.handshakeSecret.serverHandshakeTrafficSecret(transcriptHash);
  hs.mainSecret = hs.handshakeSecret.toMainSecret();
  hs.handshakeSecret = undefined;
  logSecret(hs, hs.clientHandshakeSecret);
  logSecret(hs, hs.serverHandshakeSecret);
  channel.protectRead(hs.serverHandshakeSecret, channel.joiner.boundary());
  return 'ExpectEncryptedExtensions';
}

/** The rules that ServerHello and HelloRetryRequest share; returns the chosen suite. */
function checkHello(hs: ClientHandshake, hello: ServerHello): CipherSuite {
  if (hello.extensions.supportedVersion === undefined) {
    refuseOldVersion(hs, hello);
  }
  if (hello.extensions.supportedVersion !== TLS13 || hello.legacyVersion !== TLS12) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose version ${hello.extensions.supportedVersion}, which was not offered`,
    );
  }
  if (!sameBytes(hello.legacySessionIdEcho, hs.offer.legacySessionId)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server does not echo the legacy session ID');
  }
  if (hello.compressionMethod !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose compression method ${hello.compressionMethod}`);
  }
  const suite = cipherSuiteByCode(hello.cipherSuite);
  if (suite === undefined || !hs.offer.cipherSuites.includes(suite.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose cipher suite ${hello.cipherSuite}, which was not offered`,
    );
  }
  return suite;
}

function refuseOldVersion(hs: ClientHandshake, hello: ServerHello): never {
  refuseDowngrade(hs, hello);
  throw new TLSError(
    'TLS_ERR_PROTOCOL_VERSION',
    `the server chose version ${hello.legacyVersion.toString(16)}, TLS 1.3 was offered`,
  );
}

/** A server that speaks TLS 1.3 says so in its random when it is made to choose less (RFC 9846 §4.2.3). */
function refuseDowngrade(hs: ClientHandshake, hello: ServerHello): void {
  const sentinel = hello.random.subarray(24);
  const isDowngrade = sameBytes(sentinel, DOWNGRADE_TLS12) || sameBytes(sentinel, DOWNGRADE_TLS11);
  if (isDowngrade && hs.offer.cipherSuites.length > 0) {
    throw new TLSError(
      'TLS_ERR_DOWNGRADE',
      'the server supports TLS 1.3, but somebody in between made it choose an older version',
    );
  }
}

function checkSelectedIdentity(hs: ClientHandshake, suite: CipherSuite, selectedIdentity: number): void {
  const { session } = hs.offer;
  if (session === undefined || selectedIdentity !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose PSK ${selectedIdentity}, which was not offered`);
  }
  if (cipherSuites[session.cipherSuite].hash !== suite.hash) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server resumed with ${suite.name}, whose hash is not the session's`,
    );
  }
}

function onEncryptedExtensions(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectFinished' | 'ExpectCertificateOrCertificateRequest' {
  const { extensions } = decodeEncryptedExtensions(message.body);
  refuseMisplaced(extensions.types, 'encrypted_extensions');
  refuseUnsolicited(extensions.types, hs.offer.offeredTypes, 'encrypted_extensions');
  if (extensions.alpnProtocol !== undefined) {
    if (!hs.options.alpnProtocols?.includes(extensions.alpnProtocol)) {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server chose an application protocol that was not offered');
    }
    hs.alpnProtocol = extensions.alpnProtocol;
  }
  if (extensions.recordSizeLimit !== undefined) {
    if (extensions.recordSizeLimit > MAX_PLAINTEXT + 1) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `the server's record_size_limit of ${extensions.recordSizeLimit} bytes is more than a record can hold`,
      );
    }
    hs.host.channel.limitSentRecords(extensions.recordSizeLimit);
    hs.host.channel.limitReceivedRecords(hs.options.recordSizeLimit as number);
  }
  hs.transcript.add(message.raw);
  if (!hs.resumed) {
    return 'ExpectCertificateOrCertificateRequest';
  }
  hs.peerCertificates = hs.offer.session?.peerCertificates ?? [];
  return 'ExpectFinished';
}

function onCertificateRequest(hs: ClientHandshake, message: JoinedMessage): 'ExpectCertificate' {
  const request = decodeCertificateRequest(message.body);
  refuseMisplaced(request.types, 'certificate_request');
  if (request.requestContext.length !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the CertificateRequest of a handshake has a context');
  }
  hs.requestedSchemes = request.signatureAlgorithms;
  hs.transcript.add(message.raw);
  return 'ExpectCertificate';
}

function onCertificate(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict' {
  const { requestContext, entries } = decodeCertificate(message.body);
  if (requestContext.length !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', "the server's Certificate has a request context");
  }
  if (entries.length === 0) {
    throw new TLSError('TLS_ERR_NO_CERTIFICATE', 'the server sent no certificate');
  }
  for (const entry of entries) {
    refuseMisplaced(entry.extensions.types, 'certificate');
    refuseUnsolicited(entry.extensions.types, hs.offer.offeredTypes, 'certificate');
  }
  hs.transcript.add(message.raw);
  hs.peerCertificates = entries.map((entry) => entry.certificate);
  const need: Need = {
    kind: 'verifyCertificate',
    chain: hs.peerCertificates,
    serverName: hs.options.serverName,
  };
  hs.host.ask(need);
  return 'AwaitCertificateVerdict';
}

function onVerdict(hs: ClientHandshake, verdict: PublicKey | TLSError): 'ExpectCertificateVerify' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  return 'ExpectCertificateVerify';
}

function onCertificateVerify(hs: ClientHandshake, message: JoinedMessage): 'ExpectFinished' {
  const { scheme: code, signature } = decodeCertificateVerify(message.body);
  const scheme = signatureSchemeByCode(code);
  if (scheme === undefined || !certificateVerifySchemes.includes(scheme)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server signed with scheme ${code}, which was not offered`);
  }
  const content = certificateVerifyContent('server', hs.transcript.digest());
  if (!hs.options.provider.verify(scheme, present(hs.peerKey), content, signature)) {
    throw new TLSError(
      'TLS_ERR_BAD_SIGNATURE',
      `the server's ${scheme} signature over the handshake does not verify with its certificate's key`,
    );
  }
  hs.signatureScheme = scheme;
  hs.transcript.add(message.raw);
  return 'ExpectFinished';
}
