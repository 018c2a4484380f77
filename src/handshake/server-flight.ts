/**
 * The TLS 1.3 server's flight: ServerHello up to Finished, in one write unless a signature or an OCSP response has to be waited
 * for.
 *
 * RFC 9846 §4.2.3, §4.4, §4.5.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import { signatureSchemes } from '../crypto/signatures.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { type HandshakeSecret, handshakeSecretWithoutPsk } from '../keys/ladder.ts';
import { encodeCertificateRequest } from '../messages/certificate-request.ts';
import { certificateVerifyContent, encodeCertificateVerify } from '../messages/certificate-verify.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import { encodeEncryptedExtensions } from '../messages/encrypted-extensions.ts';
import { encodeServerHello } from '../messages/server-hello.ts';
import { asksForOcsp } from '../messages/status-request.ts';
import { acceptedCodes, certificateMessage, compressionsOf } from './certificate-messages.ts';
import { keyAtHand } from './credential-choice.ts';
import { settleEarlyData } from './early-data-server.ts';
import { warnOfPskKe } from './handshake-warning.ts';
import { present } from './present.ts';
import { agreeOnRecords } from './record-limits.ts';
import type { ServerHandshake } from './server.ts';
import { logSecret, sendFinished, summarize } from './server-finish.ts';
import { chooseCredential } from './server-negotiation.ts';
import { certificateSchemeCodes, codesToTake } from './signature-choice.ts';

type AfterFlight = 'ExpectFinished' | 'ExpectClientCertificate';
type AfterCertificate = 'AwaitSignature' | AfterFlight;
export type AfterHello = 'AwaitCertificateStatus' | 'ExpectEndOfEarlyData' | AfterCertificate;

/** ServerHello to EncryptedExtensions, and on to the end of the flight unless a signature has to be waited for. */
export function sendFlight(hs: ServerHandshake): AfterHello {
  const { channel } = hs.host;
  const { provider } = hs.options;
  const hello = present(hs.hello);
  const suite = present(hs.suite);
  const boundary = channel.joiner.boundary();
  const records = agreeOnRecords(hs, hello, 'TLSv1.3');
  hs.search = undefined;
  hs.resumed = hs.psk?.session !== undefined;
  if (hs.psk?.session !== undefined) {
    hs.authenticatedAt = hs.psk.session.authenticatedAt;
    hs.peerCertificates = hs.psk.session.peerCertificates ?? [];
  }
  if (hs.psk === undefined) {
    chooseSigner(hs);
  }
  hs.transcript.start(suite.hash);
  hs.transcript.add(hs.rawHello);
  settleEarlyData(hs, suite);
  const exchanged = exchangeKeys(hs);
  const random = new Uint8Array(32);
  provider.random(random);
  const serverHello = encodeServerHello({
    legacyVersion: TLS12,
    random,
    legacySessionIdEcho: hello.legacySessionId,
    cipherSuite: suite.code,
    compressionMethod: 0,
    extensions: { supportedVersion: TLS13, keyShare: exchanged, selectedIdentity: hs.psk?.index },
  });
  hs.transcript.add(serverHello);
  channel.handshake(serverHello);
  if (hello.legacySessionId.length > 0 && !hs.helloRetried) {
    channel.changeCipherSpec();
  }
  const handshakeSecret = makeHandshakeSecret(hs, suite, exchanged?.sharedSecret);
  const transcriptHash = hs.transcript.digest();
  hs.clientHandshakeSecret = handshakeSecret.clientHandshakeTrafficSecret(transcriptHash);
  hs.serverHandshakeSecret = handshakeSecret.serverHandshakeTrafficSecret(transcriptHash);
  hs.mainSecret = handshakeSecret.toMainSecret();
  if (hs.earlyData !== undefined) {
    logSecret(hs, hs.earlyData.secret);
  }
  logSecret(hs, hs.clientHandshakeSecret);
  logSecret(hs, hs.serverHandshakeSecret);
  channel.protectWrite(hs.serverHandshakeSecret);
  channel.protectRead(hs.earlyData?.secret ?? hs.clientHandshakeSecret, boundary);
  sendEncryptedExtensions(hs, hello, records);
  if (hs.psk === undefined) {
    return sendCertificate(hs);
  }
  const next = sendFinished(hs);
  if (hs.earlyData === undefined) {
    return next;
  }
  hs.host.emit({ kind: 'earlyDataAccepted', summary: summarize(hs, suite) });
  return 'ExpectEndOfEarlyData';
}

/** Our share and the shared secret; undefined with psk_ke, which has none. */
function exchangeKeys(hs: ServerHandshake) {
  if (hs.psk !== undefined && hs.pskMode === 'psk_ke') {
    hs.group = undefined;
    warnOfPskKe(hs.host, 'server');
    return undefined;
  }
  const { code, name } = present(hs.group);
  const { keyExchange, sharedSecret } = hs.options.provider.encapsulate(name, present(hs.share).keyExchange);
  return { group: code, keyExchange, sharedSecret };
}

function makeHandshakeSecret(
  hs: ServerHandshake,
  suite: CipherSuite,
  sharedSecret: Secret | undefined,
): HandshakeSecret {
  const { earlySecret } = hs;
  hs.earlySecret = undefined;
  if (earlySecret === undefined) {
    return handshakeSecretWithoutPsk(hs.options.provider, suite, present(sharedSecret));
  }
  return sharedSecret === undefined
    ? earlySecret.toHandshakeSecretWithoutKeyExchange(suite)
    : earlySecret.toHandshakeSecret(suite, sharedSecret);
}

function chooseSigner(hs: ServerHandshake): void {
  if (present(hs.context).credentials.length === 0) {
    // Whoever tries identities gets the same answer for one that is not known as for a wrong key.
    const offered = present(hs.hello).extensions.preSharedKey !== undefined;
    throw new TLSError(
      'TLS_ERR_UNKNOWN_PSK',
      'the client offers no PSK that the server knows, and the server has no certificate',
      offered ? { alert: 'decrypt_error' } : {},
    );
  }
  if (present(hs.hello).extensions.signatureAlgorithms === undefined) {
    throw new TLSError(
      'TLS_ERR_MISSING_EXTENSION',
      'the ClientHello lacks signature_algorithms, and no session resumes',
    );
  }
  const chosen = chooseCredential(present(hs.context), hs.info);
  if (chosen === undefined) {
    throw new TLSError(
      'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME',
      "the client accepts no signature that this server's certificates can make",
    );
  }
  hs.credential = chosen.credential;
  hs.scheme = chosen.scheme;
}

function sendEncryptedExtensions(
  hs: ServerHandshake,
  hello: ClientHello,
  records: ReturnType<typeof agreeOnRecords>,
): void {
  const message = encodeEncryptedExtensions({
    extensions: {
      alpnProtocol: hs.alpnProtocol === '' ? undefined : hs.alpnProtocol,
      earlyData: hs.earlyData === undefined ? undefined : true,
      recordSizeLimit: records.recordSizeLimit,
      maxFragmentLength: records.maxFragmentLength,
      quicTransportParameters: hs.host.channel.quic?.transportParameters,
      serverName: hello.extensions.serverName === undefined || hs.resumed ? undefined : true,
    },
  });
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

/** Asks for a certificate where the policy says so; a resumed session has the one of its full handshake. */
function sendCertificateRequest(hs: ServerHandshake): void {
  const policy = present(hs.context).clientAuthentication;
  if (policy === undefined) {
    return;
  }
  hs.asksForCertificate = true;
  const { certificateAuthorities, acceptedSchemes } = policy;
  const message = encodeCertificateRequest({
    requestContext: EMPTY,
    signatureAlgorithms: codesToTake(acceptedSchemes, 'TLSv1.3'),
    signatureAlgorithmsCert: certificateSchemeCodes,
    certificateAuthorities: certificateAuthorities.length === 0 ? undefined : certificateAuthorities,
    compressCertificate: acceptedCodes(hs.options.acceptCompressedCertificates),
  });
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

function sendCertificate(hs: ServerHandshake): AfterHello {
  sendCertificateRequest(hs);
  const { ocspResponse, certificateChain } = present(hs.credential);
  if (!asksForOcsp(present(hs.hello).extensions.statusRequest)) {
    return onCertificateStatus(hs, undefined);
  }
  if (present(hs.context).askCertificateStatus === true) {
    hs.host.ask({ kind: 'certificateStatus', certificateChain });
    return 'AwaitCertificateStatus';
  }
  return onCertificateStatus(hs, ocspResponse);
}

export function onCertificateStatus(hs: ServerHandshake, ocspResponse: Uint8Array | undefined): AfterCertificate {
  const { provider, compressCertificates } = hs.options;
  const { extensions } = present(hs.hello);
  const credential = present(hs.credential);
  const privateKey = keyAtHand(credential);
  const scheme = present(hs.scheme);
  const { message: certificate, compression } = certificateMessage({
    provider,
    credential,
    requestContext: EMPTY,
    ocspResponse,
    withTimestamps: extensions.signedCertificateTimestamp === true,
    compressions: compressionsOf(provider, compressCertificates),
    accepted: extensions.compressCertificate,
  });
  hs.certificateCompression = compression;
  hs.transcript.add(certificate);
  hs.host.channel.handshake(certificate);
  const data = certificateVerifyContent('server', hs.transcript.digest());
  if (privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data: new Uint8Array(data), credential });
    return 'AwaitSignature';
  }
  return onSignature(hs, hs.options.provider.sign(scheme, privateKey, data));
}

export function onSignature(hs: ServerHandshake, signature: Uint8Array): AfterFlight {
  const message = encodeCertificateVerify({ scheme: signatureSchemes[present(hs.scheme)], signature });
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
  return sendFinished(hs);
}
