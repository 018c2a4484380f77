/**
 * The TLS 1.2 server, from the ClientHello on: what it does with each message of the client.
 *
 *     ClientHello ───▶
 *                      ◀─── ServerHello, Certificate, ServerKeyExchange, ServerHelloDone
 *     ClientKeyExchange, change_cipher_spec, {Finished} ───▶
 *                      ◀─── [NewSessionTicket], change_cipher_spec, {Finished}
 *
 * Resumed: ServerHello, [NewSessionTicket], change_cipher_spec, {Finished}; then the client's. RFC 5246 §7.3, RFC 5077 §3.1.
 */

import type { HandshakeSummary } from '../actions.ts';
import { EMPTY, sameBytes } from '../bytes/bytes.ts';
import type { DheShare, KeyShare } from '../crypto/provider.ts';
import { signatureSchemes } from '../crypto/signatures.ts';
import { type CipherSuite12, cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import { masterSecretLine } from '../keys/key-log.ts';
import { VERIFY_DATA_LENGTH } from '../keys/tls12-prf.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { asksForOcsp } from '../messages/status-request.ts';
import { encodeCertificate12 } from '../messages/tls12/certificate.ts';
import { encodeCertificateStatus } from '../messages/tls12/certificate-status.ts';
import { decodeClientKeyExchange } from '../messages/tls12/client-key-exchange.ts';
import { encodeServerHelloDone } from '../messages/tls12/empty-messages.ts';
import { encodeServerKeyExchange, serverKeyExchangeContent } from '../messages/tls12/server-key-exchange.ts';
import type { SessionState12 } from '../session/session-state.ts';
import { keyAtHand } from './credential-choice.ts';
import { type PreviousHandshake, withRecords } from './host.ts';
import { type GroupInfo12, makeServerShare12 } from './key-exchange12.ts';
import { present } from './present.ts';
import type { ServerHandshake } from './server.ts';
import { contextPolicyHash } from './server-resumption.ts';
import { certificateRequest12 } from './server12-client-auth.ts';
import { begin12 } from './server12-hello.ts';
import { checkClientHello12, chooseFull12, commonSuites12 } from './server12-negotiation.ts';
import { issueTicket12, openOffered12, type Resumption12, rememberById12 } from './server12-sessions.ts';
import { Tls12Keys, type Tls12KeysOptions } from './tls12-keys.ts';

/** What the server holds of a TLS 1.2 handshake between messages. */
export interface ServerTls12 {
  readonly keysOptions: Tls12KeysOptions;
  /** Under which the session is remembered; empty for none. */
  readonly sessionId: Uint8Array;
  readonly resumedBy: 'ticket' | 'id' | undefined;
  readonly sendsTicket: boolean;
  readonly group: GroupInfo12 | undefined;
  share: KeyShare | DheShare | undefined;
  rawParams: Uint8Array;
  serverVerifyData: Uint8Array;
  readonly secureRenegotiation: boolean;
  keys: Tls12Keys | undefined;
}

type AfterStatus12 = 'AwaitSignature12' | 'ExpectClientKeyExchange12' | 'ExpectClientCertificate12';

export type AfterHello12 = 'AwaitCertificateStatus12' | AfterStatus12 | 'ExpectChangeCipherSpec12';

const SESSION_ID_LENGTH = 32;

/** The context is known, and TLS 1.2 is the version: resume, or begin a full handshake. */
export function onClientHello12(hs: ServerHandshake): AfterHello12 {
  const { channel } = withRecords(hs.host);
  const hello = present(hs.hello);
  const context = present(hs.context);
  checkClientHello12(hs.options, hello, hs.previous);
  if (hs.previous !== undefined) {
    refuseOtherService(hs, hs.previous);
  }
  channel.useTls12();
  hs.policyHash = contextPolicyHash(hs.options.provider, context, hs.serverName, hs.alpnProtocol, 'TLSv1.2');
  const suites = commonSuites12(hs.options, hello);
  const offer = openOffered12({
    provider: hs.options.provider,
    context,
    hello,
    now: hs.options.now(),
    policyHash: hs.policyHash,
    suites,
    allowLegacyMasterSecret: hs.options.allowLegacyMasterSecret === true,
  });
  if ('refusal' in offer) {
    hs.refusal = offer.refusal;
    return sendFullFlight12(hs, suites);
  }
  if (isOtherClient(hs, offer.state.peerCertificates ?? [])) {
    offer.state.secret.erase('refused');
    hs.refusal = 'policy_changed';
    return sendFullFlight12(hs, suites);
  }
  return resume12(hs, offer);
}

/** Name and protocol are the connection's: the host has chosen by them, and acted on them since. */
function refuseOtherService(hs: ServerHandshake, { summary }: PreviousHandshake): void {
  const { serverName } = hs;
  if (serverName !== summary.serverName || (hs.alpnProtocol !== '' && hs.alpnProtocol !== summary.alpnProtocol)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      'the client changed the server name or the application protocol in a renegotiation',
    );
  }
}

/** Renegotiation: the client has proved to be somebody else before. */
export function isOtherClient(hs: ServerHandshake, chain: readonly Uint8Array[]): boolean {
  const before = hs.previous?.peerCertificates[0];
  return before !== undefined && (chain.length === 0 || !sameBytes(before, chain[0]));
}

function resume12(hs: ServerHandshake, { state, resumedBy, renews }: Resumption12): 'ExpectChangeCipherSpec12' {
  const { channel } = hs.host;
  const hello = present(hs.hello);
  const sendsTicket = renews && offersTicket(hs);
  const tls12 = begin12(hs, {
    suite: cipherSuites12[state.cipherSuite],
    sessionId: hello.legacySessionId,
    resumedBy,
    sendsTicket,
    group: undefined,
  });
  hs.resumed = true;
  hs.authenticatedAt = state.authenticatedAt;
  hs.peerCertificates = state.peerCertificates ?? [];
  tls12.keys = Tls12Keys.resumed(tls12.keysOptions, state.secret);
  logMasterSecret(hs, tls12.keys);
  sendFinished12(hs, tls12, tls12.keys);
  channel.allowChangeCipherSpec(false);
  return 'ExpectChangeCipherSpec12';
}

function sendFullFlight12(hs: ServerHandshake, suites: readonly CipherSuite12[]): AfterHello12 {
  const hello = present(hs.hello);
  const context = present(hs.context);
  const chosen = chooseFull12({ server: hs.options, hello, info: hs.info, context, suites });
  hs.chosen12 = chosen;
  const { certificateChain, ocspResponse } = chosen.credential;
  if (!asksForOcsp(hello.extensions.statusRequest)) {
    return onCertificateStatus12(hs, undefined);
  }
  if (context.askCertificateStatus === true) {
    // Before the ServerHello, which announces the message.
    hs.host.ask({ kind: 'certificateStatus', certificateChain });
    return 'AwaitCertificateStatus12';
  }
  return onCertificateStatus12(hs, ocspResponse);
}

export function onCertificateStatus12(hs: ServerHandshake, ocspResponse: Uint8Array | undefined): AfterStatus12 {
  const { provider } = hs.options;
  const context = present(hs.context);
  const { suite, group, credential, scheme } = present(hs.chosen12);
  const sendsTicket = offersTicket(hs);
  const sessionId = new Uint8Array(!sendsTicket && context.sessionCache !== undefined ? SESSION_ID_LENGTH : 0);
  provider.random(sessionId);
  hs.credential = credential;
  hs.scheme = scheme;
  const { signedCertificateTimestamps: timestamps = [] } = credential;
  const wantsTimestamps = present(hs.hello).extensions.signedCertificateTimestamp === true;
  const tls12 = begin12(hs, {
    suite,
    sessionId,
    resumedBy: undefined,
    sendsTicket,
    group,
    sendsStatus: ocspResponse !== undefined,
    timestamps: wantsTimestamps ? timestamps : [],
  });
  send(hs, encodeCertificate12({ certificates: credential.certificateChain }));
  if (ocspResponse !== undefined) {
    send(hs, encodeCertificateStatus({ response: ocspResponse }));
  }
  const { share, rawParams } = makeServerShare12(provider, group);
  tls12.share = share;
  tls12.rawParams = rawParams;
  const { clientRandom, serverRandom } = tls12.keysOptions;
  const data = serverKeyExchangeContent(clientRandom, serverRandom, rawParams);
  const privateKey = keyAtHand(credential);
  if (privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data, credential });
    return 'AwaitSignature12';
  }
  return onSignature12(hs, provider.sign(scheme, privateKey, data));
}

export function onSignature12(
  hs: ServerHandshake,
  signature: Uint8Array,
): 'ExpectClientKeyExchange12' | 'ExpectClientCertificate12' {
  const { rawParams } = present(hs.tls12);
  send(hs, encodeServerKeyExchange({ rawParams, scheme: signatureSchemes[present(hs.scheme)], signature }));
  const request = certificateRequest12(hs);
  if (request !== undefined) {
    send(hs, request);
  }
  send(hs, encodeServerHelloDone());
  return hs.asksForCertificate ? 'ExpectClientCertificate12' : 'ExpectClientKeyExchange12';
}

export function onClientKeyExchange12(
  hs: ServerHandshake,
  message: JoinedMessage,
): 'ExpectClientCertificateVerify12' | 'ExpectChangeCipherSpec12' {
  const tls12 = present(hs.tls12);
  const { publicKey } = decodeClientKeyExchange(message.body, tls12.keysOptions.suite.keyExchange);
  hs.transcript.add(message.raw);
  const preMasterSecret = present(tls12.share).agree(publicKey);
  tls12.share = undefined;
  tls12.keys = Tls12Keys.exchanged(tls12.keysOptions, preMasterSecret, hs.transcript.digest());
  logMasterSecret(hs, tls12.keys);
  return hs.peerKey === undefined ? 'ExpectChangeCipherSpec12' : 'ExpectClientCertificateVerify12';
}

export function onClientChangeCipherSpec12(hs: ServerHandshake): 'ExpectFinished12' {
  const { channel } = withRecords(hs.host);
  present(present(hs.tls12).keys).protectRead(channel, channel.joiner.boundary());
  return 'ExpectFinished12';
}

export function onClientFinished12(hs: ServerHandshake, message: JoinedMessage): 'Connected' {
  const { provider, now } = hs.options;
  const tls12 = present(hs.tls12);
  const keys = present(tls12.keys);
  const clientVerifyData = keys.verifyData('client', hs.transcript.digest());
  if (!provider.equal(decodeFinished(message.body, VERIFY_DATA_LENGTH).verifyData, clientVerifyData)) {
    throw new TLSError('TLS_ERR_BAD_FINISHED', "the client's Finished does not verify");
  }
  hs.host.channel.joiner.boundary();
  hs.transcript.add(message.raw);
  if (!hs.resumed) {
    hs.authenticatedAt = now();
    sendFinished12(hs, tls12, keys);
    rememberById12(present(hs.context), tls12.sessionId, sessionState12(hs, tls12, keys), now());
  }
  const { keysOptions } = tls12;
  const summary = summarize12(hs, tls12);
  hs.host.completed({
    summary,
    exporter: keys.exporter(),
    clientRandom: keysOptions.clientRandom,
    previous: {
      clientVerifyData,
      serverVerifyData: tls12.serverVerifyData,
      // A man in the middle can give two connections of a session without it the same verify_data (RFC 7627 §5.4).
      secure: tls12.secureRenegotiation && (!hs.resumed || summary.extendedMasterSecret),
      summary,
      peerCertificates: hs.peerCertificates,
      context: present(hs.context),
      sessionId: cachedSessionId(tls12),
    },
  });
  return 'Connected';
}

/** [NewSessionTicket], change_cipher_spec, Finished. */
function sendFinished12(hs: ServerHandshake, tls12: ServerTls12, keys: Tls12Keys): void {
  const { channel } = withRecords(hs.host);
  if (tls12.sendsTicket) {
    const policy = present(present(hs.context).tickets);
    const ticket = issueTicket12({
      provider: hs.options.provider,
      policy,
      state: sessionState12(hs, tls12, keys),
      now: hs.options.now(),
    });
    send(hs, ticket);
  }
  channel.changeCipherSpec();
  keys.protectWrite(channel);
  tls12.serverVerifyData = keys.verifyData('server', hs.transcript.digest());
  send(hs, encodeFinished({ verifyData: tls12.serverVerifyData }));
}

/** The secret is lent: whoever keeps the state copies it. */
function sessionState12(hs: ServerHandshake, tls12: ServerTls12, keys: Tls12Keys): SessionState12 {
  return {
    version: 'TLSv1.2',
    cipherSuite: tls12.keysOptions.suite.name,
    secret: keys.masterSecret,
    extendedMasterSecret: tls12.keysOptions.extendedMasterSecret,
    issuedAt: hs.options.now(),
    authenticatedAt: hs.authenticatedAt,
    ticketLifetime: 0,
    serverName: hs.serverName,
    alpnProtocol: hs.alpnProtocol,
    policyHash: hs.policyHash,
    peerCertificates: hs.peerCertificates,
  };
}

/** Under which the session is kept; beside a ticket it is an echo that names none. */
export function cachedSessionId(tls12: ServerTls12): Uint8Array {
  return tls12.resumedBy === 'ticket' ? EMPTY : tls12.sessionId;
}

function offersTicket(hs: ServerHandshake): boolean {
  return present(hs.context).tickets !== undefined && present(hs.hello).extensions.sessionTicket !== undefined;
}

function send(hs: ServerHandshake, message: Uint8Array): void {
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

function summarize12(hs: ServerHandshake, tls12: ServerTls12): HandshakeSummary {
  return {
    role: 'server',
    version: 'TLSv1.2',
    cipherSuite: tls12.keysOptions.suite.name,
    namedGroup: tls12.group?.name,
    signatureScheme: hs.scheme,
    serverName: hs.serverName,
    // A client need not say it again when it renegotiates (RFC 7301 §3.1).
    alpnProtocol: hs.alpnProtocol === '' ? (hs.previous?.summary.alpnProtocol ?? '') : hs.alpnProtocol,
    resumed: hs.resumed,
    resumedBy: tls12.resumedBy,
    extendedMasterSecret: tls12.keysOptions.extendedMasterSecret,
    refusal: hs.refusal,
    helloRetried: false,
    pskMode: undefined,
    authenticatedAt: hs.authenticatedAt,
    peerCertificates: hs.peerCertificates,
  };
}

function logMasterSecret(hs: ServerHandshake, keys: Tls12Keys): void {
  if (hs.options.exportKeyLog) {
    hs.host.emit({ kind: 'keyLog', line: masterSecretLine(keys.masterSecret, present(hs.hello).random) });
  }
}
