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

import { EMPTY, sameBytes } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ClientOptions } from '../connection-options.ts';
import { type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import type { CertificateCompression, PublicKey } from '../crypto/provider.ts';
import { certificateVerifySchemes, type SignatureScheme, signatureSchemeByCode } from '../crypto/signatures.ts';
import { type CipherSuite, cipherSuiteByCode } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { HandshakeSecret, MainSecret } from '../keys/ladder.ts';
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
import { decodeTimestamps } from '../messages/signed-certificate-timestamps.ts';
import { decodeStatusExtension } from '../messages/status-request.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import { askForVerdict, unfoldCertificate } from './certificate-messages.ts';
import { logSecret, onClientSignature, onFinished } from './client-finish.ts';
import { agree } from './client-key-exchange.ts';
import { ClientOffer } from './client-offer.ts';
import type { OfferedPsk } from './client-psks.ts';
import {
  type AfterHello12,
  type ClientTls12,
  onCertificateRequest12,
  onCertificateStatus12,
  onChangeCipherSpec12,
  onClientSignature12,
  onFinished12,
  onServerCertificate12,
  onServerHello12,
  onServerHelloDone12,
  onServerKeyExchangeWithoutStatus12,
  onTicket12,
  onVerdict12,
} from './client12.ts';
import { onServerKeyExchange12 } from './client12-key-exchange.ts';
import { type CredentialWishes, wishesOf } from './credential-choice.ts';
import { ClientEarlyData } from './early-data-client.ts';
import { settleEch, settleEchByRetry, takeRetryConfigs } from './ech-client.ts';
import type { HandshakeHost, PreviousHandshake } from './host.ts';
import { present } from './present.ts';
import { acceptTransport } from './quic-rules.ts';
import { Transcript } from './transcript.ts';
import type { clientTransitions, Handlers } from './transitions.ts';

/** Everything a client holds between messages; dropped, with its secrets erased, when the handshake is over. */
export class ClientHandshake {
  readonly options: ClientOptions;
  readonly host: HandshakeHost;
  transcript: Transcript;
  readonly offer: ClientOffer;
  /** The server did not decrypt our hello: the handshake goes on to learn from it what to do, and ends. */
  echRetryConfigs: Uint8Array | undefined;
  encryptedClientHello: boolean | undefined;
  suite: CipherSuite | undefined;
  group: NamedGroupInfo | undefined;
  helloRetried = false;
  /** Once is enough, wherever it stands (RFC 9846 Appendix E.4). */
  changeCipherSpecSent = false;
  earlyData: ClientEarlyData | undefined;
  earlyDataTaken = false;
  selectedIdentity: number | undefined;
  /** What the server selected; its rung is spent. */
  psk: OfferedPsk | undefined;
  resumed = false;
  alpnProtocol = '';
  handshakeSecret: HandshakeSecret | undefined;
  mainSecret: MainSecret | undefined;
  tls12: ClientTls12 | undefined;
  clientHandshakeSecret: TrafficSecret | undefined;
  serverHandshakeSecret: TrafficSecret | undefined;
  clientApplicationSecret: TrafficSecret | undefined;
  exporterSecret: Secret | undefined;
  /** How the server may compress ours, when it asks for it. */
  requestedCompressions: readonly number[] | undefined;
  /** How the server's chain came compressed. */
  certificateCompression: CertificateCompression | undefined;
  /** Of the server's Finished. */
  serverVerifyData: Uint8Array = EMPTY;
  ocspResponse: Uint8Array | undefined;
  signedCertificateTimestamps: readonly Uint8Array[] | undefined;
  /** The server asks for a certificate, signed in one of these ways. */
  requestedSchemes: readonly number[] | undefined;
  credentialWishes: CredentialWishes = { chainSchemes: [], authorities: [] };
  clientScheme: SignatureScheme | undefined;
  /** What was sent when the server asked. */
  ownCertificates: readonly Uint8Array[] | undefined;
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
    this.offer = new ClientOffer(options, previous?.clientVerifyData, host.channel.quic);
    if (this.offer.cipherSuites12.length > 0 && options.credentials !== undefined) {
      this.transcript.keepMessages();
    }
  }

  erase(why: string): void {
    this.offer.erase();
    this.psk?.early.erase(why);
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
  if (secret === undefined || channel.protectsWrites || hs.earlyData?.open) {
    return;
  }
  sendChangeCipherSpec(hs);
  channel.protectWrite(secret);
}

/** For middleboxes; before what follows the first hello, or before early data (RFC 9846 Appendix E.4). */
export function sendChangeCipherSpec(hs: ClientHandshake): void {
  if (!hs.changeCipherSpecSent) {
    hs.changeCipherSpecSent = true;
    hs.host.channel.changeCipherSpec();
  }
}

export const clientHandlers: Handlers<typeof clientTransitions, ClientHandshake> = {
  Start: { start: sendClientHello },
  ExpectServerHello: { server_hello: onFirstServerHello },
  ExpectServerHelloAfterRetry: { server_hello: onSecondServerHello },
  ExpectEncryptedExtensions: { encrypted_extensions: onEncryptedExtensions },
  ExpectCertificateOrCertificateRequest: {
    certificate_request: onCertificateRequest,
    certificate: onCertificate,
    compressed_certificate: onCompressedCertificate,
  },
  ExpectCertificate: { certificate: onCertificate, compressed_certificate: onCompressedCertificate },
  AwaitCertificateVerdict: { verifyCertificate: onVerdict },
  ExpectCertificateVerify: { certificate_verify: onCertificateVerify },
  ExpectFinished: { finished: onFinished },
  AwaitClientSignature: { sign: onClientSignature },
  ExpectServerCertificate12: { certificate: onServerCertificate12 },
  ExpectCertificateStatusOrServerKeyExchange12: {
    certificate_status: onCertificateStatus12,
    server_key_exchange: onServerKeyExchangeWithoutStatus12,
  },
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
  const hello = hs.offer.first(hs.transcript);
  hs.host.channel.handshake(hello);
  // A middlebox's habit that only TLS 1.3 provides for.
  hs.host.channel.allowChangeCipherSpec(hs.offer.cipherSuites.length > 0);
  const { session, earlyDataRoom } = hs.offer;
  if (session !== undefined && earlyDataRoom > 0) {
    sendChangeCipherSpec(hs);
    const secret = hs.offer.earlyTrafficSecret(hello);
    logSecret(hs, secret);
    hs.earlyData = new ClientEarlyData(hs.host, session, earlyDataRoom, secret);
  }
  return 'ExpectServerHello';
}

function onFirstServerHello(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectServerHelloAfterRetry' | 'ExpectEncryptedExtensions' | AfterHello12 {
  const hello = decodeServerHello(message.body);
  if (hello.extensions.supportedVersion === undefined && hs.offer.cipherSuites12.length > 0) {
    refuseDowngrade(hs, hello);
    refuseEarlyData12(hs);
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
  hs.transcript.start(suite.hash);
  settleEchByRetry(hs, suite, message, retry);
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
  hs.earlyData?.reject();
  hs.suite = suite;
  hs.group = group;
  hs.helloRetried = true;
  hs.transcript.start(suite.hash);
  hs.transcript.replaceWithMessageHash();
  hs.transcript.add(message.raw);
  sendChangeCipherSpec(hs);
  channel.handshake(hs.offer.second(hs.transcript, group, cookie, suite.name));
  return 'ExpectServerHelloAfterRetry';
}

function onServerHello(hs: ClientHandshake, message: JoinedMessage, hello: ServerHello): 'ExpectEncryptedExtensions' {
  const { channel } = hs.host;
  const suite = checkHello(hs, hello);
  hs.transcript.start(suite.hash);
  settleEch(hs, suite, message);
  refuseMisplaced(hello.extensions.types, 'server_hello');
  refuseUnsolicited(hello.extensions.types, hs.offer.offeredTypes, 'server_hello');
  if (hs.helloRetried && suite !== hs.suite) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server changed the cipher suite after its HelloRetryRequest');
  }
  hs.selectedIdentity = hello.extensions.selectedIdentity;
  if (hs.selectedIdentity === undefined) {
    // First of all: an alert under the keys for early data would be skipped with it.
    hs.earlyData?.reject();
  }
  hs.handshakeSecret = agree(hs, suite, hello);
  hs.offer.erase(hs.psk);
  hs.suite = suite;
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
  if (channel.quic !== undefined) {
    // Packets have to be acknowledged long before our Finished goes out.
    channel.protectWrite(hs.clientHandshakeSecret);
  }
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
  hs.earlyData?.reject();
  throw new TLSError(
    'TLS_ERR_PROTOCOL_VERSION',
    `the server chose version ${hello.legacyVersion.toString(16)}, TLS 1.3 was offered`,
  );
}

/**
 * A server that remembers a session of TLS 1.3 speaks TLS 1.3; one that does not cannot read on, so all is lost but what it
 * was to be told (RFC 9846 Appendix E.3).
 */
function refuseEarlyData12(hs: ClientHandshake): void {
  if (hs.earlyData === undefined) {
    return;
  }
  hs.earlyData.reject();
  throw new TLSError(
    'TLS_ERR_PROTOCOL_VERSION',
    'the server chose TLS 1.2 for a connection that began with early data of TLS 1.3',
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
  acceptTransport(hs.host.channel.quic, extensions.quicTransportParameters, hs.alpnProtocol);
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
  takeRetryConfigs(hs, extensions.echRetryConfigs);
  settleEarlyData(hs, extensions.earlyData === true);
  hs.transcript.add(message.raw);
  if (hs.psk === undefined) {
    return 'ExpectCertificateOrCertificateRequest';
  }
  hs.peerCertificates = hs.psk.session?.peerCertificates ?? [];
  return 'ExpectFinished';
}

function settleEarlyData(hs: ClientHandshake, taken: boolean): void {
  const { earlyData, selectedIdentity, alpnProtocol } = hs;
  if (!taken) {
    earlyData?.reject();
    return;
  }
  // Without an offer of ours, or after a HelloRetryRequest, it would be an extension that nobody asked for.
  present(earlyData).accept({ selectedIdentity, cipherSuite: present(hs.suite).name, alpnProtocol });
  hs.earlyDataTaken = true;
}

function onCertificateRequest(hs: ClientHandshake, message: JoinedMessage): 'ExpectCertificate' {
  const request = decodeCertificateRequest(message.body);
  refuseMisplaced(request.types, 'certificate_request');
  if (request.requestContext.length !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the CertificateRequest of a handshake has a context');
  }
  hs.requestedSchemes = request.signatureAlgorithms;
  hs.credentialWishes = wishesOf(request);
  hs.requestedCompressions = request.compressCertificate;
  hs.transcript.add(message.raw);
  return 'ExpectCertificate';
}

function onCertificate(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict' {
  return takeCertificate(hs, message, message.body);
}

function onCompressedCertificate(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict' {
  const { provider, acceptCompressedCertificates } = hs.options;
  const { body, compression } = unfoldCertificate(provider, message, acceptCompressedCertificates);
  hs.certificateCompression = compression;
  return takeCertificate(hs, message, body);
}

function takeCertificate(hs: ClientHandshake, message: JoinedMessage, body: Uint8Array): 'AwaitCertificateVerdict' {
  const { requestContext, entries } = decodeCertificate(body);
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
  // Those of the issuers say nothing that we judge.
  const { statusRequest, signedCertificateTimestamps } = entries[0].extensions;
  hs.ocspResponse = statusRequest === undefined ? undefined : decodeStatusExtension(statusRequest);
  hs.signedCertificateTimestamps =
    signedCertificateTimestamps === undefined ? undefined : decodeTimestamps(signedCertificateTimestamps);
  askForVerdict(hs);
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
