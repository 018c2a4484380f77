/**
 * The second half of the TLS 1.3 client: the server's Finished, our certificate where one was asked for, our Finished.
 * RFC 9846 §4.5.
 */

import type { HandshakeSummary } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { Credential, ProtocolVersion } from '../connection-options.ts';
import { type SignatureScheme, signatureSchemes } from '../crypto/signatures.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { Tls13Exporter } from '../keys/exporter.ts';
import { finishedVerifyData } from '../keys/finished.ts';
import { exporterSecretLine, trafficSecretLine } from '../keys/key-log.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { certificateVerifyContent, encodeCertificateVerify } from '../messages/certificate-verify.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { certificateMessage, compressionsOf } from './certificate-messages.ts';
import { type ClientHandshake, sendChangeCipherSpec } from './client.ts';
import { externalPskFingerprintOf } from './client-psks.ts';
import { byWishes, type CredentialWishes, keyAtHand } from './credential-choice.ts';
import { refuseRejectedEch } from './ech-client.ts';
import { present } from './present.ts';
import { ReceivedTickets } from './received-tickets.ts';
import { schemesToSign } from './signature-choice.ts';

export function onFinished(hs: ClientHandshake, message: JoinedMessage): 'Connected' | 'AwaitClientSignature' {
  const { provider } = hs.options;
  const { channel } = hs.host;
  const suite = present(hs.suite);
  const { verifyData } = decodeFinished(message.body, suite.hashLength);
  const expected = finishedVerifyData(provider, present(hs.serverHandshakeSecret), hs.transcript.digest());
  if (!provider.equal(verifyData, expected)) {
    throw new TLSError('TLS_ERR_BAD_FINISHED', "the server's Finished does not verify");
  }
  hs.serverVerifyData = expected;
  const boundary = channel.joiner.boundary();
  hs.transcript.add(message.raw);
  const transcriptHash = hs.transcript.digest();
  const mainSecret = present(hs.mainSecret);
  hs.clientApplicationSecret = mainSecret.clientApplicationTrafficSecret(transcriptHash);
  const serverSecret = mainSecret.serverApplicationTrafficSecret(transcriptHash);
  hs.exporterSecret = mainSecret.exporterSecret(transcriptHash);
  logSecret(hs, hs.clientApplicationSecret);
  logSecret(hs, serverSecret);
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: exporterSecretLine(hs.exporterSecret, hs.offer.random) });
  }
  channel.protectRead(serverSecret, boundary);
  channel.allowChangeCipherSpec(false);
  const endOfEarlyData = hs.earlyData?.finish();
  if (endOfEarlyData !== undefined) {
    hs.transcript.add(endOfEarlyData);
  }
  if (!channel.protectsWrites) {
    sendChangeCipherSpec(hs);
    channel.protectWrite(present(hs.clientHandshakeSecret));
  }
  return hs.requestedSchemes === undefined ? finish(hs) : sendCertificate(hs, hs.requestedSchemes);
}

/** Our certificate, or an empty one; a key that lives elsewhere has to be waited for. */
function sendCertificate(
  hs: ClientHandshake,
  requestedSchemes: readonly number[],
): 'Connected' | 'AwaitClientSignature' {
  // To who speaks for the public name alone we stay who we are (RFC 9849 §6.1.7).
  const credentials = hs.encryptedClientHello === false ? [] : (hs.options.credentials ?? []);
  const chosen = chooseClientCredential(credentials, requestedSchemes, hs.credentialWishes);
  hs.ownCertificates = chosen?.credential.certificateChain ?? [];
  const { provider, compressCertificates } = hs.options;
  const { message } = certificateMessage({
    provider,
    credential: chosen?.credential,
    requestContext: EMPTY,
    compressions: compressionsOf(provider, compressCertificates),
    accepted: hs.requestedCompressions,
  });
  send(hs, message);
  if (chosen === undefined) {
    return finish(hs);
  }
  const { credential, scheme } = chosen;
  hs.clientScheme = scheme;
  const data = certificateVerifyContent('client', hs.transcript.digest());
  const privateKey = keyAtHand(credential);
  if (privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data: new Uint8Array(data), credential });
    return 'AwaitClientSignature';
  }
  return onClientSignature(hs, hs.options.provider.sign(scheme, privateKey, data));
}

export function onClientSignature(hs: ClientHandshake, signature: Uint8Array): 'Connected' {
  send(hs, encodeCertificateVerify({ scheme: signatureSchemes[present(hs.clientScheme)], signature }));
  return finish(hs);
}

function finish(hs: ClientHandshake): 'Connected' {
  const { provider, now, wantSessions = true } = hs.options;
  const { channel } = hs.host;
  const suite = present(hs.suite);
  const mainSecret = present(hs.mainSecret);
  const verifyData = finishedVerifyData(provider, present(hs.clientHandshakeSecret), hs.transcript.digest());
  send(hs, encodeFinished({ verifyData }));
  channel.protectWrite(present(hs.clientApplicationSecret));
  hs.clientApplicationSecret = undefined;
  refuseRejectedEch(hs);
  const summary = summarize(hs, suite);
  const resumptionSecret = wantSessions ? mainSecret.resumptionSecret(hs.transcript.digest()) : undefined;
  const tickets = new ReceivedTickets({
    provider,
    suite,
    resumptionSecret,
    summary,
    now,
    externalPskFingerprint: externalPskFingerprintOf(hs.psk),
  });
  mainSecret.erase('handshake complete');
  const exporter = new Tls13Exporter(provider, suite.hash, present(hs.exporterSecret));
  hs.exporterSecret = undefined;
  // The messages that TLS 1.2 would have needed stay behind.
  const transcript = hs.options.credentials === undefined ? undefined : hs.transcript.fork();
  hs.host.completed({
    summary,
    exporter,
    clientRandom: hs.offer.random,
    tickets,
    transcript,
    verifyData: { clientVerifyData: verifyData, serverVerifyData: hs.serverVerifyData },
  });
  return 'Connected';
}

/**
 * Of the credentials that can sign, in this version, in one of the ways the server accepts, the one whose chain pleases it most.
 */
export function chooseClientCredential(
  credentials: readonly Credential[],
  accepted: readonly number[],
  wishes: CredentialWishes,
  version: ProtocolVersion = 'TLSv1.3',
): { readonly credential: Credential; readonly scheme: SignatureScheme } | undefined {
  for (const credential of byWishes(credentials, wishes)) {
    const scheme = schemesToSign(credential, version).find((candidate) =>
      accepted.includes(signatureSchemes[candidate]),
    );
    if (scheme !== undefined) {
      return { credential, scheme };
    }
  }
  return undefined;
}

function send(hs: ClientHandshake, message: Uint8Array): void {
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

function summarize(hs: ClientHandshake, suite: CipherSuite): HandshakeSummary {
  const { offer, options } = hs;
  const externalPsk = offer.externalPskOf(hs.psk);
  const now = options.now();
  return {
    role: 'client',
    version: 'TLSv1.3',
    cipherSuite: suite.name,
    namedGroup: hs.group?.name,
    signatureScheme: hs.signatureScheme,
    serverName: options.serverName,
    alpnProtocol: hs.alpnProtocol,
    resumed: hs.resumed,
    resumedBy: hs.resumed ? 'ticket' : undefined,
    extendedMasterSecret: true,
    refusal: options.session === undefined || hs.resumed ? undefined : (offer.refusal ?? 'by_peer'),
    helloRetried: hs.helloRetried,
    encryptedClientHello: hs.encryptedClientHello,
    earlyData: hs.earlyData === undefined ? undefined : hs.earlyDataTaken ? 'taken' : 'refused',
    pskMode: hs.psk === undefined ? undefined : hs.group === undefined ? 'psk_ke' : 'psk_dhe_ke',
    authenticatedBy: externalPsk === undefined ? 'certificate' : 'externalPsk',
    externalPsk,
    authenticatedAt: hs.psk?.session?.authenticatedAt ?? now,
    peerCertificates: hs.peerCertificates,
    ocspResponse: hs.ocspResponse,
    signedCertificateTimestamps: hs.signedCertificateTimestamps,
    certificateCompression: hs.certificateCompression,
    ownCertificates: hs.ownCertificates,
    offered: offer.described(),
  };
}

/** A line for the key log, if one was asked for. */
export function logSecret(hs: ClientHandshake, secret: TrafficSecret): void {
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: trafficSecretLine(secret, hs.offer.random) });
  }
}
