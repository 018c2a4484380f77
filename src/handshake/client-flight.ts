/**
 * The TLS 1.3 client and the server's flight: EncryptedExtensions to CertificateVerify. What the Finished brings is in
 * client-finish.ts.
 *
 * RFC 9846 §4.4, §4.5.
 */

import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { decodeCertificate } from '../messages/certificate.ts';
import { decodeCertificateRequest } from '../messages/certificate-request.ts';
import { certificateVerifyContent, decodeCertificateVerify } from '../messages/certificate-verify.ts';
import { decodeEncryptedExtensions } from '../messages/encrypted-extensions.ts';
import { refuseMisplaced, refuseUnsolicited } from '../messages/extension-rules.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeTimestamps } from '../messages/signed-certificate-timestamps.ts';
import { decodeStatusExtension } from '../messages/status-request.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import { askForVerdict, unfoldCertificate } from './certificate-messages.ts';
import type { ClientHandshake } from './client.ts';
import { wishesOf } from './credential-choice.ts';
import { takeRetryConfigs } from './ech-client.ts';
import { present } from './present.ts';
import { acceptTransport } from './quic-rules.ts';
import { takeScheme } from './signature-choice.ts';

export function onEncryptedExtensions(
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

export function onCertificateRequest(hs: ClientHandshake, message: JoinedMessage): 'ExpectCertificate' {
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

export function onCertificate(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict' {
  return takeCertificate(hs, message, message.body);
}

export function onCompressedCertificate(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict' {
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

export function onVerdict(hs: ClientHandshake, verdict: PublicKey | TLSError): 'ExpectCertificateVerify' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  return 'ExpectCertificateVerify';
}

export function onCertificateVerify(hs: ClientHandshake, message: JoinedMessage): 'ExpectFinished' {
  const { scheme: code, signature } = decodeCertificateVerify(message.body);
  const { acceptedSchemes } = hs.options;
  const scheme = takeScheme({ code, acceptedSchemes, version: 'TLSv1.3', peer: 'server' });
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
