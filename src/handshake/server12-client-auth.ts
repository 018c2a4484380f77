/** The client's certificate in TLS 1.2: asking for it, and checking what comes. RFC 5246 §7.4.4, §7.4.6, §7.4.8. */

import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { decodeCertificateVerify } from '../messages/certificate-verify.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeCertificate12 } from '../messages/tls12/certificate.ts';
import { clientCertificateTypes, encodeCertificateRequest12 } from '../messages/tls12/certificate-request.ts';
import type { ServerHandshake } from './server.ts';
import { isOtherClient } from './server12.ts';
import { codesToTake, takeScheme } from './signature-choice.ts';

/** The CertificateRequest, where the policy asks for one. */
export function certificateRequest12(hs: ServerHandshake): Uint8Array | undefined {
  const policy = hs.context?.clientAuthentication;
  if (policy === undefined) {
    return undefined;
  }
  hs.asksForCertificate = true;
  return encodeCertificateRequest12({
    certificateTypes: [clientCertificateTypes.ecdsa_sign, clientCertificateTypes.rsa_sign],
    signatureAlgorithms: codesToTake(policy.acceptedSchemes, 'TLSv1.2'),
    certificateAuthorities: policy.certificateAuthorities,
  });
}

export function onClientCertificate12(
  hs: ServerHandshake,
  message: JoinedMessage,
): 'AwaitClientVerdict12' | 'ExpectClientKeyExchange12' {
  const { certificates } = decodeCertificate12(message.body);
  hs.transcript.add(message.raw);
  if (certificates.length === 0) {
    if (hs.context?.clientAuthentication?.required === true) {
      // TLS 1.2 has no alert of its own for this (RFC 5246 §7.4.6).
      throw new TLSError('TLS_ERR_CERTIFICATE_REQUIRED', 'the client has no certificate, and the server requires one', {
        alert: 'handshake_failure',
      });
    }
    return 'ExpectClientKeyExchange12';
  }
  if (isOtherClient(hs, certificates)) {
    throw new TLSError('TLS_ERR_INSECURE_RENEGOTIATION', 'the client changed its certificate in a renegotiation');
  }
  hs.peerCertificates = certificates;
  hs.host.ask({ kind: 'verifyCertificate', chain: certificates, serverName: '' });
  return 'AwaitClientVerdict12';
}

export function onClientVerdict12(hs: ServerHandshake, verdict: PublicKey | TLSError): 'ExpectClientKeyExchange12' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  return 'ExpectClientKeyExchange12';
}

/** The signature over all messages so far, which only the holder of the certificate's key can make. */
export function onClientCertificateVerify12(hs: ServerHandshake, message: JoinedMessage): 'ExpectChangeCipherSpec12' {
  const { scheme: code, signature } = decodeCertificateVerify(message.body);
  const acceptedSchemes = hs.context?.clientAuthentication?.acceptedSchemes;
  const scheme = takeScheme({ code, acceptedSchemes, version: 'TLSv1.2', peer: 'client' });
  const content = hs.transcript.takeMessages();
  if (hs.peerKey === undefined || !hs.options.provider.verifyTls12(scheme, hs.peerKey, content, signature)) {
    throw new TLSError(
      'TLS_ERR_BAD_SIGNATURE',
      `the client's ${scheme} signature over the handshake does not verify with its certificate's key`,
    );
  }
  hs.transcript.add(message.raw);
  return 'ExpectChangeCipherSpec12';
}
