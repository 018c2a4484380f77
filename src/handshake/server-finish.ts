/**
 * The second half of the TLS 1.3 server: its Finished and tickets, the client's certificate where one was asked for, and
 * the client's Finished. RFC 9846 §4.5, §4.7.1.
 */

import type { HandshakeSummary } from '../actions.ts';
import type { PublicKey } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { Tls13Exporter } from '../keys/exporter.ts';
import { finishedVerifyData } from '../keys/finished.ts';
import { exporterSecretLine, trafficSecretLine } from '../keys/key-log.ts';
import type { MainSecret } from '../keys/ladder.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { decodeCertificate } from '../messages/certificate.ts';
import { certificateVerifyContent, decodeCertificateVerify } from '../messages/certificate-verify.ts';
import { encodeEndOfEarlyData } from '../messages/end-of-early-data.ts';
import { refuseMisplaced, refuseUnsolicited } from '../messages/extension-rules.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { ticketsToSend } from '../session/ticket-issuance.ts';
import { unfoldCertificate } from './certificate-messages.ts';
import { present } from './present.ts';
import type { ServerHandshake } from './server.ts';
import { choosePskMode } from './server-psk.ts';
import { issueTickets } from './server-resumption.ts';
import { takeScheme } from './signature-choice.ts';

/**
 * Finished, and the tickets with it: without a client certificate the client's Finished is known beforehand. With one the
 * tickets wait for it.
 */
export function sendFinished(hs: ServerHandshake): 'ExpectFinished' | 'ExpectClientCertificate' {
  const { provider, now } = hs.options;
  const { channel } = hs.host;
  const verifyData = finishedVerifyData(provider, present(hs.serverHandshakeSecret), hs.transcript.digest());
  hs.serverVerifyData = verifyData;
  const finished = encodeFinished({ verifyData });
  hs.transcript.add(finished);
  channel.handshake(finished);
  const mainSecret = present(hs.mainSecret);
  const transcriptHash = hs.transcript.digest();
  const serverSecret = mainSecret.serverApplicationTrafficSecret(transcriptHash);
  hs.clientApplicationSecret = mainSecret.clientApplicationTrafficSecret(transcriptHash);
  hs.exporterSecret = mainSecret.exporterSecret(transcriptHash);
  logSecret(hs, hs.clientApplicationSecret);
  logSecret(hs, serverSecret);
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: exporterSecretLine(hs.exporterSecret, present(hs.hello).random) });
  }
  channel.protectWrite(serverSecret);
  if (!hs.resumed) {
    hs.authenticatedAt = now();
  }
  if (hs.asksForCertificate) {
    return 'ExpectClientCertificate';
  }
  if (hs.earlyData !== undefined) {
    hs.transcript.add(encodeEndOfEarlyData());
  }
  hs.expectedFinished = finishedVerifyData(provider, present(hs.clientHandshakeSecret), hs.transcript.digest());
  hs.transcript.add(encodeFinished({ verifyData: hs.expectedFinished }));
  sendTickets(hs, mainSecret);
  return 'ExpectFinished';
}

/** The last use of the main secret, which ends here. The transcript covers the client's Finished. */
function sendTickets(hs: ServerHandshake, mainSecret: MainSecret): void {
  const { provider, now } = hs.options;
  const { channel } = hs.host;
  const context = present(hs.context);
  const policy = context.tickets;
  const { ticketRequest, pskKeyExchangeModes = [] } = present(hs.hello).extensions;
  const canResume = policy !== undefined && choosePskMode(context, pskKeyExchangeModes) !== undefined;
  const count = canResume ? ticketsToSend(policy, ticketRequest, hs.resumed) : 0;
  if (policy !== undefined && count > 0) {
    const tickets = issueTickets({
      provider,
      policy,
      resumptionSecret: mainSecret.resumptionSecret(hs.transcript.digest()),
      content: {
        suite: present(hs.suite),
        authenticatedAt: hs.authenticatedAt,
        serverName: hs.serverName,
        alpnProtocol: hs.alpnProtocol,
        policyHash: hs.psk?.policyHash ?? hs.policyHash,
        peerCertificates: hs.peerCertificates,
        externalPskIdentity: hs.psk?.externalPskIdentity,
        // Over QUIC tickets that allow early data have another form (RFC 9001 §4.6.1).
        maxEarlyDataSize: channel.quic === undefined ? policy.earlyData?.maxEarlyDataSize : undefined,
      },
      count,
      now: now(),
    });
    // The first application key cannot be renewed before the handshake is complete: what it cannot carry is not sent.
    let room = channel.writable * channel.maxFragment;
    for (const ticket of tickets) {
      room -= ticket.length;
      if (room >= 0) {
        channel.handshake(ticket);
      }
    }
  }
  mainSecret.erase('handshake complete');
  hs.mainSecret = undefined;
}

export function onClientCertificate(
  hs: ServerHandshake,
  message: JoinedMessage,
): 'AwaitClientVerdict' | 'ExpectFinished' {
  return takeClientCertificate(hs, message, message.body);
}

export function onCompressedClientCertificate(
  hs: ServerHandshake,
  message: JoinedMessage,
): 'AwaitClientVerdict' | 'ExpectFinished' {
  const { provider, acceptCompressedCertificates } = hs.options;
  return takeClientCertificate(hs, message, unfoldCertificate(provider, message, acceptCompressedCertificates).body);
}

function takeClientCertificate(
  hs: ServerHandshake,
  message: JoinedMessage,
  body: Uint8Array,
): 'AwaitClientVerdict' | 'ExpectFinished' {
  const { requestContext, entries } = decodeCertificate(body);
  if (requestContext.length !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', "the client's Certificate has a request context");
  }
  for (const entry of entries) {
    refuseMisplaced(entry.extensions.types, 'certificate');
    refuseUnsolicited(entry.extensions.types, [], 'certificate');
  }
  hs.transcript.add(message.raw);
  if (entries.length === 0) {
    if (present(hs.context).clientAuthentication?.required === true) {
      throw new TLSError('TLS_ERR_CERTIFICATE_REQUIRED', 'the client has no certificate, and the server requires one');
    }
    return 'ExpectFinished';
  }
  hs.peerCertificates = entries.map((entry) => entry.certificate);
  hs.host.ask({ kind: 'verifyCertificate', chain: hs.peerCertificates, serverName: '' });
  return 'AwaitClientVerdict';
}

export function onClientVerdict(hs: ServerHandshake, verdict: PublicKey | TLSError): 'ExpectClientCertificateVerify' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  return 'ExpectClientCertificateVerify';
}

export function onClientCertificateVerify(hs: ServerHandshake, message: JoinedMessage): 'ExpectFinished' {
  const { scheme: code, signature } = decodeCertificateVerify(message.body);
  const acceptedSchemes = hs.context?.clientAuthentication?.acceptedSchemes;
  const scheme = takeScheme({ code, acceptedSchemes, version: 'TLSv1.3', peer: 'client' });
  const content = certificateVerifyContent('client', hs.transcript.digest());
  if (!hs.options.provider.verify(scheme, present(hs.peerKey), content, signature)) {
    throw new TLSError(
      'TLS_ERR_BAD_SIGNATURE',
      `the client's ${scheme} signature over the handshake does not verify with its certificate's key`,
    );
  }
  hs.transcript.add(message.raw);
  return 'ExpectFinished';
}

export function onFinished(hs: ServerHandshake, message: JoinedMessage): 'Connected' {
  const { channel } = hs.host;
  const { provider } = hs.options;
  const suite = present(hs.suite);
  const { verifyData } = decodeFinished(message.body, suite.hashLength);
  const expected =
    hs.expectedFinished ?? finishedVerifyData(provider, present(hs.clientHandshakeSecret), hs.transcript.digest());
  if (!provider.equal(verifyData, expected)) {
    throw new TLSError('TLS_ERR_BAD_FINISHED', "the client's Finished does not verify");
  }
  channel.protectRead(present(hs.clientApplicationSecret), channel.joiner.boundary());
  channel.allowChangeCipherSpec(false);
  hs.clientApplicationSecret = undefined;
  if (hs.expectedFinished === undefined) {
    hs.transcript.add(message.raw);
    sendTickets(hs, present(hs.mainSecret));
  }
  const exporterSecret = present(hs.exporterSecret);
  hs.exporterSecret = undefined;
  hs.host.completed({
    summary: summarize(hs, suite),
    exporter: new Tls13Exporter(provider, suite.hash, exporterSecret),
    clientRandom: present(hs.hello).random,
    transcript: present(hs.hello).extensions.postHandshakeAuth === true ? hs.transcript.fork() : undefined,
    verifyData: { clientVerifyData: expected, serverVerifyData: hs.serverVerifyData },
  });
  return 'Connected';
}

export function summarize(hs: ServerHandshake, suite: CipherSuite): HandshakeSummary {
  return {
    role: 'server',
    version: 'TLSv1.3',
    cipherSuite: suite.name,
    namedGroup: hs.group?.name,
    signatureScheme: hs.scheme,
    serverName: hs.serverName,
    alpnProtocol: hs.alpnProtocol,
    resumed: hs.resumed,
    resumedBy: hs.resumed ? 'ticket' : undefined,
    extendedMasterSecret: true,
    refusal: hs.refusal,
    helloRetried: hs.helloRetried,
    earlyData: hs.earlyData !== undefined ? 'taken' : hs.earlyDataRefusal !== undefined ? 'refused' : undefined,
    earlyDataRefusal: hs.earlyData === undefined ? hs.earlyDataRefusal : undefined,
    pskMode: hs.psk === undefined ? undefined : hs.pskMode,
    authenticatedBy: hs.psk?.externalPsk === undefined ? 'certificate' : 'externalPsk',
    externalPsk: hs.psk?.externalPsk,
    authenticatedAt: hs.authenticatedAt,
    peerCertificates: hs.peerCertificates,
    certificateCompression: hs.certificateCompression,
  };
}

/** A line for the key log, if one was asked for. */
export function logSecret(hs: ServerHandshake, secret: TrafficSecret): void {
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: trafficSecretLine(secret, present(hs.hello).random) });
  }
}
