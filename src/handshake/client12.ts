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

import type { HandshakeSummary, Need } from '../actions.ts';
import { concat, EMPTY, sameBytes } from '../bytes/bytes.ts';
import { type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import type { PublicKey } from '../crypto/provider.ts';
import {
  certificateSchemes,
  type SignatureScheme,
  schemesInTls12,
  signatureSchemeByCode,
  signatureSchemes,
} from '../crypto/signatures.ts';
import { type CipherSuite12, cipherSuite12ByCode } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import { Tls12Exporter } from '../keys/exporter.ts';
import { masterSecretLine } from '../keys/key-log.ts';
import { VERIFY_DATA_LENGTH } from '../keys/tls12-prf.ts';
import { encodeCertificateVerify } from '../messages/certificate-verify.ts';
import { TLS12 } from '../messages/code-points.ts';
import { refuseUnsolicited } from '../messages/extension-rules.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import { decodeCertificate12, encodeCertificate12 } from '../messages/tls12/certificate.ts';
import { clientCertificateTypes, decodeCertificateRequest12 } from '../messages/tls12/certificate-request.ts';
import { encodeClientKeyExchange } from '../messages/tls12/client-key-exchange.ts';
import { decodeServerHelloDone } from '../messages/tls12/empty-messages.ts';
import { refuseMisplaced12 } from '../messages/tls12/extension-rules.ts';
import { decodeNewSessionTicket12 } from '../messages/tls12/new-session-ticket.ts';
import { decodeServerKeyExchange, serverKeyExchangeContent } from '../messages/tls12/server-key-exchange.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import type { ClientSession12 } from '../session/client-session.ts';
import type { ClientHandshake } from './client.ts';
import { chooseClientCredential } from './client-finish.ts';
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
  keys: Tls12Keys | undefined;
  clientVerifyData: Uint8Array;
  group: NamedGroupInfo | undefined;
  serverPublicKey: Uint8Array;
  ticket: { readonly bytes: Uint8Array; readonly lifetimeHint: number } | undefined;
}

/** Seconds that a session is kept when the server gives no hint: its ID says nothing of its life (RFC 5246 §F.1.4). */
const SESSION_ID_LIFETIME = 3600;

export type AfterHello12 = 'ExpectServerCertificate12' | 'ExpectTicket12' | 'ExpectChangeCipherSpec12';

/** A ServerHello without supported_versions: the server speaks TLS 1.2, or something older. */
export function onServerHello12(hs: ClientHandshake, message: JoinedMessage, hello: ServerHello): AfterHello12 {
  const { channel } = hs.host;
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
    keys: undefined,
    clientVerifyData: EMPTY,
    group: undefined,
    serverPublicKey: EMPTY,
    ticket: undefined,
  };
  hs.tls12 = tls12;
  if (session === undefined) {
    return 'ExpectServerCertificate12';
  }
  checkResumption(session, suite, extensions.extendedMasterSecret === true);
  hs.resumed = true;
  hs.peerCertificates = session.peerCertificates;
  tls12.keys = Tls12Keys.resumed(tls12.keysOptions, session.secret.clone('masterSecret'));
  logMasterSecret(hs, tls12.keys);
  return tls12.ticketExpected ? 'ExpectTicket12' : 'ExpectChangeCipherSpec12';
}

/** The protocol is the connection's (RFC 7301 §3.1): a renegotiation keeps it, whether the server says it again or not. */
function chooseProtocol12(hs: ClientHandshake, chosen: string | undefined): void {
  const before = hs.previous?.summary.alpnProtocol;
  if (chosen === undefined) {
    hs.alpnProtocol = before ?? '';
    return;
  }
  if (!hs.options.alpnProtocols?.includes(chosen)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server chose an application protocol that was not offered');
  }
  if (before !== undefined && before !== chosen) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server changed the application protocol in a renegotiation');
  }
  hs.alpnProtocol = chosen;
}

function checkServerHello12(hs: ClientHandshake, hello: ServerHello): CipherSuite12 {
  const { extensions } = hello;
  if (hello.legacyVersion !== TLS12) {
    throw new TLSError(
      'TLS_ERR_PROTOCOL_VERSION',
      `the server chose version ${hello.legacyVersion.toString(16)}; TLS 1.2 is the oldest that was offered`,
    );
  }
  if (hello.compressionMethod !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose compression method ${hello.compressionMethod}`);
  }
  const suite = cipherSuite12ByCode(hello.cipherSuite);
  if (suite === undefined || !hs.offer.cipherSuites12.includes(suite.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose cipher suite ${hello.cipherSuite}, which was not offered for TLS 1.2`,
    );
  }
  refuseMisplaced12(extensions.types);
  refuseUnsolicited(extensions.types, hs.offer.offeredTypes, 'server_hello');
  if (extensions.ecPointFormats !== undefined && !extensions.ecPointFormats.includes(UNCOMPRESSED)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server does not support uncompressed points (RFC 8422 §5.2)');
  }
  const { previous } = hs;
  const bound = previous === undefined ? EMPTY : concat(previous.clientVerifyData, previous.serverVerifyData);
  if (extensions.renegotiationInfo === undefined || !sameBytes(extensions.renegotiationInfo, bound)) {
    throw new TLSError(
      'TLS_ERR_INSECURE_RENEGOTIATION',
      'the server does not bind renegotiations to the connection (RFC 5746)',
    );
  }
  if (extensions.extendedMasterSecret !== true && hs.options.allowLegacyMasterSecret !== true) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the server does not support extended master secret (allowLegacyMasterSecret goes on without)',
    );
  }
  return suite;
}

/** The offered session, when the server's echo of the session ID says that it is resumed. */
function resumedSession(hs: ClientHandshake, hello: ServerHello): ClientSession12 | undefined {
  const { session12, legacySessionId } = hs.offer;
  const echoed = legacySessionId.length > 0 && sameBytes(hello.legacySessionIdEcho, legacySessionId);
  if (echoed && session12 === undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server resumes a session that was not offered');
  }
  return echoed ? session12 : undefined;
}

function checkResumption(session: ClientSession12, suite: CipherSuite12, extendedMasterSecret: boolean): void {
  if (session.cipherSuite !== suite.name) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server resumes with ${suite.name}, the session has ${session.cipherSuite}`,
    );
  }
  if (session.extendedMasterSecret !== extendedMasterSecret) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the server changed the use of extended master secret in a resumed session (RFC 7627 §5.3)',
    );
  }
}

export function onServerCertificate12(hs: ClientHandshake, message: JoinedMessage): 'AwaitCertificateVerdict12' {
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
  const need: Need = { kind: 'verifyCertificate', chain: certificates, serverName: hs.options.serverName };
  hs.host.ask(need);
  return 'AwaitCertificateVerdict12';
}

export function onVerdict12(hs: ClientHandshake, verdict: PublicKey | TLSError): 'ExpectServerKeyExchange12' {
  if (verdict instanceof Error) {
    throw verdict;
  }
  hs.peerKey = verdict;
  return 'ExpectServerKeyExchange12';
}

export function onServerKeyExchange12(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectCertificateRequestOrServerHelloDone12' {
  const tls12 = present(hs.tls12);
  const { suite, clientRandom, serverRandom, provider } = tls12.keysOptions;
  const { params, rawParams, scheme: code, signature } = decodeServerKeyExchange(message.body, suite.keyExchange);
  if (params.kind !== 'ecdhe') {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'finite-field Diffie-Hellman is not offered');
  }
  const group = namedGroupByCode(params.group);
  if (group === undefined || !hs.offer.namedGroups.includes(group.name) || group.name === 'X25519MLKEM768') {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose group ${params.group}, which was not offered`);
  }
  const scheme = checkScheme(code, suite, present(hs.peerKey));
  const content = serverKeyExchangeContent(clientRandom, serverRandom, rawParams);
  if (!provider.verifyTls12(scheme, present(hs.peerKey), content, signature)) {
    throw new TLSError(
      'TLS_ERR_BAD_SIGNATURE',
      `the server's ${scheme} signature over its key exchange does not verify with its certificate's key`,
    );
  }
  hs.signatureScheme = scheme;
  tls12.group = group;
  tls12.serverPublicKey = params.publicKey;
  hs.transcript.add(message.raw);
  return 'ExpectCertificateRequestOrServerHelloDone12';
}

function checkScheme(code: number, suite: CipherSuite12, key: PublicKey): SignatureScheme {
  const scheme = signatureSchemeByCode(code);
  if (scheme === undefined || !certificateSchemes.includes(scheme)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server signed with scheme ${code}, which was not offered`);
  }
  const isRsa = key.type === 'rsa' || key.type === 'rsa-pss';
  if (isRsa !== (suite.authentication === 'rsa')) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server's certificate has a key of type ${key.type}, which ${suite.name} cannot be authenticated with`,
    );
  }
  return scheme;
}

export function onCertificateRequest12(hs: ClientHandshake, message: JoinedMessage): 'ExpectServerHelloDone12' {
  const { certificateTypes, signatureAlgorithms } = decodeCertificateRequest12(message.body);
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
      : chooseClientCredential(hs.options.credentials ?? [], hs.requestedSchemes, schemesInTls12);
  if (hs.requestedSchemes !== undefined) {
    send(hs, encodeCertificate12({ certificates: chosen?.credential.certificateChain ?? [] }));
  }
  const { keyExchange, sharedSecret } = provider.encapsulate(present(tls12.group).name, tls12.serverPublicKey);
  send(hs, encodeClientKeyExchange({ kind: 'ecdhe', publicKey: keyExchange }));
  tls12.keys = Tls12Keys.exchanged(tls12.keysOptions, sharedSecret, hs.transcript.digest());
  logMasterSecret(hs, tls12.keys);
  const data = hs.transcript.takeMessages();
  if (chosen === undefined) {
    return finishFlight(hs, tls12);
  }
  const { credential, scheme } = chosen;
  hs.clientScheme = scheme;
  if (credential.privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data });
    return 'AwaitClientSignature12';
  }
  return onClientSignature12(hs, provider.sign(scheme, credential.privateKey, data));
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
  const { channel } = hs.host;
  present(present(hs.tls12).keys).protectRead(channel, channel.joiner.boundary());
  return 'ExpectFinished12';
}

export function onFinished12(hs: ClientHandshake, message: JoinedMessage): 'Connected' {
  const tls12 = present(hs.tls12);
  const keys = present(tls12.keys);
  const { provider } = hs.options;
  const { verifyData } = decodeFinished(message.body, VERIFY_DATA_LENGTH);
  if (!provider.equal(verifyData, keys.verifyData('server', hs.transcript.digest()))) {
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
    exporter: new Tls12Exporter({
      ...tls12.keysOptions,
      hash: tls12.keysOptions.suite.hash,
      masterSecret: keys.masterSecret,
    }),
    clientRandom: hs.offer.random,
    previous: {
      clientVerifyData: tls12.clientVerifyData,
      serverVerifyData: verifyData,
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
  const { channel } = hs.host;
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
    offered: offer.described(),
  };
}

function logMasterSecret(hs: ClientHandshake, keys: Tls12Keys): void {
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: masterSecretLine(keys.masterSecret, hs.offer.random) });
  }
}

const UNCOMPRESSED = 0;
/** One that leaves no room for the rest of a ClientHello would make it impossible to connect again. */
const MAX_TICKET_LENGTH = 2 ** 14;
/** Seconds: what `ClientSession` takes. */
const MAX_TICKET_LIFETIME = 604_800;
