/**
 * The TLS 1.2 client, from the ServerHello on: what it does with each message of the server.
 *
 *     ClientHello ───▶
 *                      ◀─── ServerHello, Certificate, ServerKeyExchange, [CertificateRequest], ServerHelloDone
 *     [Certificate], ClientKeyExchange, [CertificateVerify], change_cipher_spec, {Finished} ───▶
 *                      ◀─── [NewSessionTicket], change_cipher_spec, {Finished}
 *
 * Resumed: ServerHello, [NewSessionTicket], change_cipher_spec, {Finished}; then ours. RFC 5246 §7.3, RFC 5077 §3.1.
 */

import type { HandshakeSummary } from '../actions.ts';
import { EMPTY, sameBytes } from '../bytes/bytes.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { signatureSchemeByCode, signatureSchemes } from '../crypto/signatures.ts';
import { TLSError } from '../errors.ts';
import { masterSecretLine } from '../keys/key-log.ts';
import { VERIFY_DATA_LENGTH } from '../keys/tls12-prf.ts';
import { encodeCertificateVerify } from '../messages/certificate-verify.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import { HANDSHAKE_HEADER_LENGTH } from '../messages/handshake-message.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import { decodeTimestamps } from '../messages/signed-certificate-timestamps.ts';
import { decodeCertificate12, encodeCertificate12 } from '../messages/tls12/certificate.ts';
import { clientCertificateTypes, decodeCertificateRequest12 } from '../messages/tls12/certificate-request.ts';
import { decodeCertificateStatus } from '../messages/tls12/certificate-status.ts';
import { decodeServerHelloDone } from '../messages/tls12/empty-messages.ts';
import { decodeNewSessionTicket12 } from '../messages/tls12/new-session-ticket.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import type { ClientSession12 } from '../session/client-session.ts';
import { askForVerdict } from './certificate-messages.ts';
import type { ClientHandshake } from './client.ts';
import { chooseClientCredential } from './client-finish.ts';
import { checkResumption, checkServerHello12, chooseProtocol12, resumedSession } from './client12-hello.ts';
import { onServerKeyExchange12 } from './client12-key-exchange.ts';
import { keyAtHand, wishesOf } from './credential-choice.ts';
import { withRecords } from './host.ts';
import { answerServerShare12, type GroupInfo12 } from './key-exchange12.ts';
import { present } from './present.ts';
import { Tls12Keys, type Tls12KeysOptions } from './tls12-keys.ts';

/** What the client holds of a TLS 1.2 handshake between messages. */
export interface ClientTls12 {
  readonly keysOptions: Tls12KeysOptions;
  /** As the server chose it: the name of a session to come, or of the one that is resumed. */
  readonly sessionId: Uint8Array;
  readonly resumedBy: 'ticket' | 'id' | undefined;
  /** The server announced a NewSessionTicket. */
  readonly ticketExpected: boolean;
  /** A CertificateStatus may follow the chain. */
  readonly statusExpected: boolean;
  /** It came in the place of the CertificateStatus, and waits for the verdict on the chain. */
  keyExchange: JoinedMessage | undefined;
  keys: Tls12Keys | undefined;
  clientVerifyData: Uint8Array;
  group: GroupInfo12 | undefined;
  serverPublicKey: Uint8Array;
  ticket: { readonly bytes: Uint8Array; readonly lifetimeHint: number } | undefined;
}

/** Seconds that a session is kept when the server gives no hint: its ID says nothing of its life (RFC 5246 §F.1.4). */
const SESSION_ID_LIFETIME = 3600;

export type AfterHello12 = 'ExpectServerCertificate12' | 'ExpectTicket12' | 'ExpectChangeCipherSpec12';

/** A ServerHello without supported_versions: the server speaks TLS 1.2, or something older. */
export function onServerHello12(hs: ClientHandshake, message: JoinedMessage, hello: ServerHello): AfterHello12 {
  const { channel } = withRecords(hs.host);
  const { extensions } = hello;
  const suite = checkServerHello12(hs, hello);
  channel.useTls12();
  hs.offer.erase();
  hs.transcript.start(suite.hash);
  hs.transcript.add(message.raw);
  chooseProtocol12(hs, extensions.alpnProtocol);
  if (extensions.recordSizeLimit !== undefined) {
    // RFC 8449 §4: in TLS 1.2 the limit does not count a content type, as there is none inside.
    channel.limitSentRecords(extensions.recordSizeLimit + 1);
    channel.limitReceivedRecords((hs.options.recordSizeLimit ?? MAX_PLAINTEXT) + 1);
  }
  const session = resumedSession(hs, hello);
  const tls12: ClientTls12 = {
    keysOptions: {
      provider: hs.options.provider,
      suite,
      role: 'client',
      clientRandom: hs.offer.random,
      serverRandom: hello.random,
      extendedMasterSecret: extensions.extendedMasterSecret === true,
    },
    sessionId: hello.legacySessionIdEcho,
    resumedBy: session === undefined ? undefined : session.ticket.length > 0 ? 'ticket' : 'id',
    ticketExpected: extensions.sessionTicket === true,
    statusExpected: extensions.statusRequest === true,
    keyExchange: undefined,
    keys: undefined,
    clientVerifyData: EMPTY,
    group: undefined,
    serverPublicKey: EMPTY,
    ticket: undefined,
  };
  hs.tls12 = tls12;
  if (session === undefined) {
    const { signedCertificateTimestamps } = extensions;
    hs.signedCertificateTimestamps =
      signedCertificateTimestamps === undefined ? undefined : decodeTimestamps(signedCertificateTimestamps);
    return 'ExpectServerCertificate12';
  }
  checkResumption(session, suite, extensions.extendedMasterSecret === true);
  hs.resumed = true;
  hs.peerCertificates = session.peerCertificates;
  tls12.keys = Tls12Keys.resumed(tls12.keysOptions, session.secret.clone('masterSecret'));
  logMasterSecret(hs, tls12.keys);
  return tls12.ticketExpected ? 'ExpectTicket12' : 'ExpectChangeCipherSpec12';
}

export function onServerCertificate12(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'AwaitCertificateVerdict12' | 'ExpectCertificateStatusOrServerKeyExchange12' {
  const { certificates } = decodeCertificate12(message.body);
  if (certificates.length === 0) {
    throw new TLSError('TLS_ERR_NO_CERTIFICATE', 'the server sent no certificate');
  }
  const before = hs.previous?.peerCertificates[0];
  if (before !== undefined && !sameBytes(before, certificates[0])) {
    throw new TLSError('TLS_ERR_INSECURE_RENEGOTIATION', 'the server changed its certificate in a renegotiation');
  }
  hs.transcript.add(message.raw);
  hs.peerCertificates = certificates;
  if (present(hs.tls12).statusExpected) {
    return 'ExpectCertificateStatusOrServerKeyExchange12';
  }
  askForVerdict(hs);
  return 'AwaitCertificateVerdict12';
}

export function onCertificateStatus12(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict12' {
  hs.ocspResponse = decodeCertificateStatus(message.body).response;
  hs.transcript.add(message.raw);
  askForVerdict(hs);
  return 'AwaitCertificateVerdict12';
}

/** A server that has announced a CertificateStatus may send none (RFC 6066 §8): the chain is judged without. */
export function onServerKeyExchangeWithoutStatus12(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'AwaitCertificateVerdict12' {
  // The message outlives the record that it came in.
  const raw = new Uint8Array(message.raw);
  present(hs.tls12).keyExchange = { type: message.type, raw, body: raw.subarray(HANDSHAKE_HEADER_LENGTH) };
  askForVerdict(hs);
  return 'AwaitCertificateVerdict12';
}

export function onVerdict12(
  hs: ClientHandshake,
  verdict: PublicKey | TLSError,
): 'ExpectServerKeyExchange12' | 'ExpectCertificateRequestOrServerHelloDone12' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  const tls12 = present(hs.tls12);
  const { keyExchange } = tls12;
  tls12.keyExchange = undefined;
  return keyExchange === undefined ? 'ExpectServerKeyExchange12' : onServerKeyExchange12(hs, keyExchange);
}

export function onCertificateRequest12(hs: ClientHandshake, message: JoinedMessage): 'ExpectServerHelloDone12' {
  const request = decodeCertificateRequest12(message.body);
  const { certificateTypes, signatureAlgorithms } = request;
  hs.credentialWishes = wishesOf(request);
  hs.requestedSchemes = signatureAlgorithms.filter((code) => certificateTypes.includes(certificateTypeOf(code)));
  hs.transcript.add(message.raw);
  return 'ExpectServerHelloDone12';
}

/** The kind of certificate whose key makes such signatures (RFC 5246 §7.4.4, RFC 8422 §5.5). */
function certificateTypeOf(code: number): number {
  const { rsa_sign, ecdsa_sign } = clientCertificateTypes;
  return signatureSchemeByCode(code)?.startsWith('rsa_') === true ? rsa_sign : ecdsa_sign;
}

type AfterFlight12 = 'ExpectTicket12' | 'ExpectChangeCipherSpec12';

/** The key exchange, and our flight. */
export function onServerHelloDone12(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'AwaitClientSignature12' | AfterFlight12 {
  const tls12 = present(hs.tls12);
  const { provider } = tls12.keysOptions;
  decodeServerHelloDone(message.body);
  hs.transcript.add(message.raw);
  const chosen =
    hs.requestedSchemes === undefined
      ? undefined
      : chooseClientCredential(hs.options.credentials ?? [], hs.requestedSchemes, hs.credentialWishes, 'TLSv1.2');
  if (hs.requestedSchemes !== undefined) {
    hs.ownCertificates = chosen?.credential.certificateChain ?? [];
    send(hs, encodeCertificate12({ certificates: hs.ownCertificates }));
  }
  const { clientKeyExchange, preMasterSecret } = answerServerShare12(
    provider,
    present(tls12.group),
    tls12.serverPublicKey,
  );
  send(hs, clientKeyExchange);
  tls12.keys = Tls12Keys.exchanged(tls12.keysOptions, preMasterSecret, hs.transcript.digest());
  logMasterSecret(hs, tls12.keys);
  const data = hs.transcript.takeMessages();
  if (chosen === undefined) {
    return finishFlight(hs, tls12);
  }
  const { credential, scheme } = chosen;
  hs.clientScheme = scheme;
  const privateKey = keyAtHand(credential);
  if (privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data, credential });
    return 'AwaitClientSignature12';
  }
  return onClientSignature12(hs, provider.sign(scheme, privateKey, data));
}

export function onClientSignature12(hs: ClientHandshake, signature: Uint8Array): AfterFlight12 {
  send(hs, encodeCertificateVerify({ scheme: signatureSchemes[present(hs.clientScheme)], signature }));
  return finishFlight(hs, present(hs.tls12));
}

function finishFlight(hs: ClientHandshake, tls12: ClientTls12): AfterFlight12 {
  sendFinished(hs, tls12, present(tls12.keys));
  return tls12.ticketExpected ? 'ExpectTicket12' : 'ExpectChangeCipherSpec12';
}

export function onTicket12(hs: ClientHandshake, message: JoinedMessage): 'ExpectChangeCipherSpec12' {
  const { ticket, lifetimeHint } = decodeNewSessionTicket12(message.body);
  hs.transcript.add(message.raw);
  if (ticket.length > 0 && ticket.length <= MAX_TICKET_LENGTH) {
    present(hs.tls12).ticket = { bytes: ticket, lifetimeHint };
  }
  return 'ExpectChangeCipherSpec12';
}

export function onChangeCipherSpec12(hs: ClientHandshake): 'ExpectFinished12' {
  const { channel } = withRecords(hs.host);
  present(present(hs.tls12).keys).protectRead(channel, channel.joiner.boundary());
  return 'ExpectFinished12';
}

export function onFinished12(hs: ClientHandshake, message: JoinedMessage): 'Connected' {
  const tls12 = present(hs.tls12);
  const keys = present(tls12.keys);
  const { provider } = hs.options;
  const serverVerifyData = keys.verifyData('server', hs.transcript.digest());
  if (!provider.equal(decodeFinished(message.body, VERIFY_DATA_LENGTH).verifyData, serverVerifyData)) {
    throw new TLSError('TLS_ERR_BAD_FINISHED', "the server's Finished does not verify");
  }
  hs.transcript.add(message.raw);
  if (hs.resumed) {
    sendFinished(hs, tls12, keys);
  }
  const summary = summarize12(hs, tls12);
  const session = hs.options.wantSessions === false ? undefined : sessionOf(hs, tls12, keys, summary);
  hs.host.completed({
    summary,
    exporter: keys.exporter(),
    clientRandom: hs.offer.random,
    previous: {
      clientVerifyData: tls12.clientVerifyData,
      serverVerifyData,
      // A man in the middle can give two connections of a session without it the same verify_data (RFC 7627 §5.4).
      secure: !hs.resumed || summary.extendedMasterSecret,
      summary,
      peerCertificates: hs.peerCertificates,
    },
  });
  if (session !== undefined) {
    hs.host.emit({ kind: 'session', session });
  }
  return 'Connected';
}

function sendFinished(hs: ClientHandshake, tls12: ClientTls12, keys: Tls12Keys): void {
  const { channel } = withRecords(hs.host);
  channel.changeCipherSpec();
  keys.protectWrite(channel);
  tls12.clientVerifyData = keys.verifyData('client', hs.transcript.digest());
  send(hs, encodeFinished({ verifyData: tls12.clientVerifyData }));
}

function send(hs: ClientHandshake, message: Uint8Array): void {
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

/** The session to remember: by the new ticket, else by its ID, else, when resumed by ticket, as before. */
function sessionOf(
  hs: ClientHandshake,
  tls12: ClientTls12,
  keys: Tls12Keys,
  summary: HandshakeSummary,
): ClientSession12 | undefined {
  const { ticket, sessionId, resumedBy } = tls12;
  if (ticket === undefined && (resumedBy !== undefined || sessionId.length === 0)) {
    return undefined;
  }
  return {
    version: 'TLSv1.2',
    cipherSuite: tls12.keysOptions.suite.name,
    secret: keys.masterSecret.clone('masterSecret'),
    extendedMasterSecret: tls12.keysOptions.extendedMasterSecret,
    sessionId: ticket === undefined ? sessionId : EMPTY,
    ticket: ticket?.bytes ?? EMPTY,
    receivedAt: hs.options.now(),
    ticketLifetime: lifetimeOf(ticket?.lifetimeHint),
    authenticatedAt: summary.authenticatedAt,
    serverName: summary.serverName,
    alpnProtocol: summary.alpnProtocol,
    peerCertificates: summary.peerCertificates,
  };
}

/** A hint of 0 leaves it to the client (RFC 5077 §3.3). */
function lifetimeOf(hint: number | undefined): number {
  return hint === undefined || hint === 0 ? SESSION_ID_LIFETIME : Math.min(hint, MAX_TICKET_LIFETIME);
}

function summarize12(hs: ClientHandshake, tls12: ClientTls12): HandshakeSummary {
  const { offer, options } = hs;
  return {
    role: 'client',
    version: 'TLSv1.2',
    cipherSuite: tls12.keysOptions.suite.name,
    namedGroup: tls12.group?.name,
    signatureScheme: hs.signatureScheme,
    serverName: options.serverName,
    alpnProtocol: hs.alpnProtocol,
    resumed: hs.resumed,
    resumedBy: tls12.resumedBy,
    extendedMasterSecret: tls12.keysOptions.extendedMasterSecret,
    refusal: options.session === undefined || hs.resumed ? undefined : (offer.refusal ?? 'by_peer'),
    helloRetried: false,
    pskMode: undefined,
    authenticatedAt: hs.resumed && offer.session12 !== undefined ? offer.session12.authenticatedAt : options.now(),
    peerCertificates: hs.peerCertificates,
    ownCertificates: hs.ownCertificates,
    ocspResponse: hs.ocspResponse,
    signedCertificateTimestamps: hs.signedCertificateTimestamps,
    certificateCompression: hs.certificateCompression,
    offered: offer.described(),
  };
}

function logMasterSecret(hs: ClientHandshake, keys: Tls12Keys): void {
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: masterSecretLine(keys.masterSecret, hs.offer.random) });
  }
}

/** One that leaves no room for the rest of a ClientHello would make it impossible to connect again. */
const MAX_TICKET_LENGTH = 2 ** 14;
/** Seconds: what `ClientSession` takes. */
const MAX_TICKET_LIFETIME = 604_800;
