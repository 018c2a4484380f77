/**
 * The TLS 1.3 server: what it does with each message of the client.
 *
 *     ClientHello ───▶
 *                      ◀─── ServerHello, {EncryptedExtensions}, {Certificate, CertificateVerify}, {Finished},
 *                           [NewSessionTicket…], all in one write
 *     {Finished}  ───▶
 *
 * RFC 9846 §2, §4, Appendix A.2.
 */

import type { ClientHelloInfo, ResumptionRefusal } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { Credential, ProtocolVersion, ServerContext, ServerOptions } from '../connection-options.ts';
import type { NamedGroupInfo } from '../crypto/groups.ts';
import type { PublicKey } from '../crypto/provider.ts';
import {
  certificateSchemes,
  certificateVerifySchemes,
  type SignatureScheme,
  signatureSchemes,
} from '../crypto/signatures.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { type EarlySecret, handshakeSecretWithoutPsk, type MainSecret } from '../keys/ladder.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { encodeCertificate } from '../messages/certificate.ts';
import { encodeCertificateRequest } from '../messages/certificate-request.ts';
import { certificateVerifyContent, encodeCertificateVerify } from '../messages/certificate-verify.ts';
import { type ClientHello, decodeClientHello, type KeyShareEntry } from '../messages/client-hello.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import { encodeEncryptedExtensions } from '../messages/encrypted-extensions.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { encodeServerHello, HELLO_RETRY_REQUEST_RANDOM } from '../messages/server-hello.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import type { HandshakeHost, PreviousHandshake } from './host.ts';
import { present } from './present.ts';
import {
  logSecret,
  onClientCertificate,
  onClientCertificateVerify,
  onClientVerdict,
  onFinished,
  sendFinished,
} from './server-finish.ts';
import {
  checkClientHello,
  checkSecondHello,
  chooseCredential,
  chooseGroup,
  chooseProtocol,
  chooseSuite,
  clientHelloInfo,
} from './server-negotiation.ts';
import { bindersOffset, chooseSession, contextPolicyHash, verifyBinder } from './server-resumption.ts';
import {
  type AfterHello12,
  onClientChangeCipherSpec12,
  onClientFinished12,
  onClientHello12,
  onClientKeyExchange12,
  onSignature12,
  type ServerTls12,
} from './server12.ts';
import { onClientCertificate12, onClientCertificateVerify12, onClientVerdict12 } from './server12-client-auth.ts';
import { chooseVersion } from './server12-negotiation.ts';
import { Transcript } from './transcript.ts';
import type { Handlers, serverTransitions } from './transitions.ts';

type AfterFlight = 'ExpectFinished' | 'ExpectClientCertificate';
type AfterHello = 'AwaitSignature' | AfterFlight;
type AfterFirstHello = 'ExpectClientHelloAfterRetry' | AfterHello | AfterHello12;

/** Everything a server holds between messages; dropped, with its secrets erased, when the handshake is over. */
export class ServerHandshake {
  readonly options: ServerOptions;
  readonly host: HandshakeHost;
  readonly transcript: Transcript;
  version: ProtocolVersion = 'TLSv1.3';
  hello: ClientHello | undefined;
  rawHello: Uint8Array = EMPTY;
  info: ClientHelloInfo | undefined;
  context: ServerContext | undefined;
  suite: CipherSuite | undefined;
  group: NamedGroupInfo | undefined;
  helloRetried = false;
  alpnProtocol = '';
  policyHash: Uint8Array = EMPTY;
  credential: Credential | undefined;
  scheme: SignatureScheme | undefined;
  earlySecret: EarlySecret | undefined;
  resumed = false;
  refusal: ResumptionRefusal | undefined;
  authenticatedAt = 0;
  mainSecret: MainSecret | undefined;
  clientHandshakeSecret: TrafficSecret | undefined;
  serverHandshakeSecret: TrafficSecret | undefined;
  clientApplicationSecret: TrafficSecret | undefined;
  exporterSecret: Secret | undefined;
  /** Known beforehand unless the client is asked for a certificate. */
  expectedFinished: Uint8Array | undefined;
  asksForCertificate = false;
  peerCertificates: readonly Uint8Array[] = [];
  peerKey: PublicKey | undefined;
  tls12: ServerTls12 | undefined;

  /** Renegotiation: the handshake before this one. */
  readonly previous: PreviousHandshake | undefined;

  constructor(options: ServerOptions, host: HandshakeHost, previous?: PreviousHandshake) {
    this.options = options;
    this.previous = previous;
    this.host = host;
    this.transcript = new Transcript(options.provider);
  }

  erase(why: string): void {
    this.earlySecret?.erase(why);
    this.mainSecret?.erase(why);
    this.clientHandshakeSecret?.erase(why);
    this.serverHandshakeSecret?.erase(why);
    this.clientApplicationSecret?.erase(why);
    this.exporterSecret?.erase(why);
    this.tls12?.share?.erase();
    this.tls12?.keys?.erase(why);
  }
}

export const serverHandlers: Handlers<typeof serverTransitions, ServerHandshake> = {
  ExpectClientHello: { client_hello: onClientHello },
  AwaitContext: { context: onContext },
  ExpectClientHelloAfterRetry: { client_hello: onSecondClientHello },
  AwaitSignature: { sign: onSignature },
  ExpectClientCertificate: { certificate: onClientCertificate },
  AwaitClientVerdict: { verifyCertificate: onClientVerdict },
  ExpectClientCertificateVerify: { certificate_verify: onClientCertificateVerify },
  ExpectFinished: { finished: onFinished },
  AwaitSignature12: { sign: onSignature12 },
  ExpectClientCertificate12: { certificate: onClientCertificate12 },
  AwaitClientVerdict12: { verifyCertificate: onClientVerdict12 },
  ExpectClientCertificateVerify12: { certificate_verify: onClientCertificateVerify12 },
  ExpectClientKeyExchange12: { client_key_exchange: onClientKeyExchange12 },
  ExpectChangeCipherSpec12: { change_cipher_spec: onClientChangeCipherSpec12 },
  ExpectFinished12: { finished: onClientFinished12 },
};

function onClientHello(hs: ServerHandshake, message: JoinedMessage): 'AwaitContext' | AfterFirstHello {
  const hello = decodeClientHello(message.body);
  hs.host.channel.joiner.boundary();
  hs.version = chooseVersion(hs.options, hello);
  if (hs.version === 'TLSv1.3') {
    checkClientHello(hello);
    hs.host.channel.allowChangeCipherSpec(true);
  }
  hs.hello = hello;
  // The transcript outlives the record that the message came in.
  hs.rawHello = new Uint8Array(message.raw);
  hs.info = clientHelloInfo(hello, hs.version);
  const { context } = hs.options;
  if (context === 'ask') {
    hs.host.ask({ kind: 'context', clientHello: hs.info });
    return 'AwaitContext';
  }
  return onContext(hs, context);
}

function onContext(hs: ServerHandshake, context: ServerContext | undefined): AfterFirstHello {
  const hello = present(hs.hello);
  const info = present(hs.info);
  if (context === undefined) {
    throw new TLSError(
      'TLS_ERR_UNRECOGNIZED_NAME',
      `there is no certificate for ${info.serverName || 'a client without server_name'}`,
    );
  }
  hs.context = context;
  hs.alpnProtocol = chooseProtocol(context, info);
  if (hs.version === 'TLSv1.2') {
    return onClientHello12(hs);
  }
  hs.suite = chooseSuite(hs.options, hello);
  hs.policyHash = contextPolicyHash(hs.options.provider, context, info.serverName, hs.alpnProtocol);
  const { group, share } = chooseGroup(hs.options, hello);
  hs.group = group;
  if (share === undefined) {
    return sendHelloRetryRequest(hs, hello, group);
  }
  if (hello.extensions.earlyData !== undefined) {
    hs.host.channel.skipEarlyData('undecryptable');
  }
  return sendFlight(hs, hello, share);
}

function sendHelloRetryRequest(
  hs: ServerHandshake,
  hello: ClientHello,
  group: NamedGroupInfo,
): 'ExpectClientHelloAfterRetry' {
  const { channel } = hs.host;
  const { helloRetryCookie } = hs.options;
  hs.helloRetried = true;
  hs.transcript.add(hs.rawHello);
  hs.transcript.start(present(hs.suite).hash);
  hs.transcript.replaceWithMessageHash();
  const retry = encodeServerHello({
    legacyVersion: TLS12,
    random: HELLO_RETRY_REQUEST_RANDOM,
    legacySessionIdEcho: hello.legacySessionId,
    cipherSuite: present(hs.suite).code,
    compressionMethod: 0,
    extensions: { supportedVersion: TLS13, selectedGroup: group.code, cookie: helloRetryCookie },
  });
  hs.transcript.add(retry);
  channel.handshake(retry);
  if (hello.legacySessionId.length > 0) {
    channel.changeCipherSpec();
  }
  if (hello.extensions.earlyData !== undefined) {
    channel.skipEarlyData('all');
  }
  return 'ExpectClientHelloAfterRetry';
}

function onSecondClientHello(hs: ServerHandshake, message: JoinedMessage): AfterHello {
  const hello = decodeClientHello(message.body);
  checkClientHello(hello);
  const share = checkSecondHello({
    first: present(hs.hello),
    second: hello,
    group: present(hs.group),
    cookie: hs.options.helloRetryCookie,
  });
  hs.hello = hello;
  hs.rawHello = new Uint8Array(message.raw);
  return sendFlight(hs, hello, share);
}

/** ServerHello to EncryptedExtensions, and on to the end of the flight unless a signature has to be waited for. */
function sendFlight(hs: ServerHandshake, hello: ClientHello, share: KeyShareEntry): AfterHello {
  const { channel } = hs.host;
  const { provider } = hs.options;
  const suite = present(hs.suite);
  const group = present(hs.group);
  const boundary = channel.joiner.boundary();
  limitRecords(hs, hello);
  const selectedIdentity = resume(hs, hello, suite);
  if (!hs.resumed) {
    chooseSigner(hs);
  }
  const { keyExchange, sharedSecret } = provider.encapsulate(group.name, share.keyExchange);
  const random = new Uint8Array(32);
  provider.random(random);
  const serverHello = encodeServerHello({
    legacyVersion: TLS12,
    random,
    legacySessionIdEcho: hello.legacySessionId,
    cipherSuite: suite.code,
    compressionMethod: 0,
    extensions: { supportedVersion: TLS13, keyShare: { group: group.code, keyExchange }, selectedIdentity },
  });
  hs.transcript.add(serverHello);
  channel.handshake(serverHello);
  if (hello.legacySessionId.length > 0 && !hs.helloRetried) {
    channel.changeCipherSpec();
  }
  const handshakeSecret =
    hs.earlySecret === undefined
      ? handshakeSecretWithoutPsk(provider, suite, sharedSecret)
      : hs.earlySecret.toHandshakeSecret(suite, sharedSecret);
  hs.earlySecret = undefined;
  const transcriptHash = hs.transcript.digest();
  hs.clientHandshakeSecret = handshakeSecret.clientHandshakeTrafficSecret(transcriptHash);
  hs.serverHandshakeSecret = handshakeSecret.serverHandshakeTrafficSecret(transcriptHash);
  hs.mainSecret = handshakeSecret.toMainSecret();
  logSecret(hs, hs.clientHandshakeSecret);
  logSecret(hs, hs.serverHandshakeSecret);
  channel.protectWrite(hs.serverHandshakeSecret);
  channel.protectRead(hs.clientHandshakeSecret, boundary);
  sendEncryptedExtensions(hs, hello);
  return hs.resumed ? sendFinished(hs) : sendCertificate(hs);
}

/** Adds the ClientHello to the transcript and finds out whether it resumes a session; returns the selected identity. */
function resume(hs: ServerHandshake, hello: ClientHello, suite: CipherSuite): number | undefined {
  const { provider, now } = hs.options;
  const offer = hello.extensions.preSharedKey;
  hs.transcript.start(suite.hash);
  if (offer === undefined) {
    hs.transcript.add(hs.rawHello);
    return undefined;
  }
  const cut = bindersOffset(hs.rawHello, offer);
  hs.transcript.add(hs.rawHello.subarray(0, cut));
  const choice = chooseSession({
    provider,
    policy: present(hs.context).tickets,
    now: now(),
    offer,
    modes: hello.extensions.pskKeyExchangeModes ?? [],
    suite,
    policyHash: hs.policyHash,
  });
  if ('refusal' in choice) {
    hs.refusal = choice.refusal;
    hs.transcript.add(hs.rawHello.subarray(cut));
    return undefined;
  }
  const { state, identity } = choice;
  hs.earlySecret = verifyBinder({
    provider,
    suite,
    psk: state.secret,
    binder: offer.binders[identity],
    truncatedHash: hs.transcript.digest(),
  });
  hs.transcript.add(hs.rawHello.subarray(cut));
  hs.resumed = true;
  hs.authenticatedAt = state.authenticatedAt;
  hs.peerCertificates = state.peerCertificates ?? [];
  return identity;
}

/** Both limits hold for every protected record, so they are set before the first key (RFC 8449 §4). */
function limitRecords(hs: ServerHandshake, hello: ClientHello): void {
  const { channel } = hs.host;
  const theirs = hello.extensions.recordSizeLimit;
  if (theirs !== undefined) {
    channel.limitSentRecords(theirs);
    channel.limitReceivedRecords(ourRecordSizeLimit(hs));
  }
}

function ourRecordSizeLimit(hs: ServerHandshake): number {
  return hs.options.recordSizeLimit ?? MAX_PLAINTEXT + 1;
}

function chooseSigner(hs: ServerHandshake): void {
  if (present(hs.hello).extensions.signatureAlgorithms === undefined) {
    throw new TLSError(
      'TLS_ERR_MISSING_EXTENSION',
      'the ClientHello lacks signature_algorithms, and no session resumes',
    );
  }
  const chosen = chooseCredential(present(hs.context), present(hs.info));
  if (chosen === undefined) {
    throw new TLSError(
      'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME',
      "the client accepts no signature that this server's certificates can make",
    );
  }
  hs.credential = chosen.credential;
  hs.scheme = chosen.scheme;
}

function sendEncryptedExtensions(hs: ServerHandshake, hello: ClientHello): void {
  const message = encodeEncryptedExtensions({
    extensions: {
      alpnProtocol: hs.alpnProtocol === '' ? undefined : hs.alpnProtocol,
      recordSizeLimit: hello.extensions.recordSizeLimit === undefined ? undefined : ourRecordSizeLimit(hs),
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
  const { certificateAuthorities } = policy;
  const message = encodeCertificateRequest({
    requestContext: EMPTY,
    signatureAlgorithms: certificateVerifySchemes.map((scheme) => signatureSchemes[scheme]),
    signatureAlgorithmsCert: certificateSchemes.map((scheme) => signatureSchemes[scheme]),
    certificateAuthorities: certificateAuthorities.length === 0 ? undefined : certificateAuthorities,
  });
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}

function sendCertificate(hs: ServerHandshake): AfterHello {
  sendCertificateRequest(hs);
  const { privateKey } = present(hs.credential);
  const scheme = present(hs.scheme);
  const certificate = certificateMessage(present(hs.credential));
  hs.transcript.add(certificate);
  hs.host.channel.handshake(certificate);
  const data = certificateVerifyContent('server', hs.transcript.digest());
  if (privateKey === undefined) {
    hs.host.ask({ kind: 'sign', scheme, data });
    return 'AwaitSignature';
  }
  return onSignature(hs, hs.options.provider.sign(scheme, privateKey, data));
}

function onSignature(hs: ServerHandshake, signature: Uint8Array): AfterFlight {
  const message = encodeCertificateVerify({ scheme: signatureSchemes[present(hs.scheme)], signature });
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
  return sendFinished(hs);
}

const certificateMessages = new WeakMap<Credential, Uint8Array>();

/** The Certificate message is the same in every handshake: it is encoded once per credential. */
function certificateMessage(credential: Credential): Uint8Array {
  let message = certificateMessages.get(credential);
  if (message === undefined) {
    message = encodeCertificate({
      requestContext: EMPTY,
      entries: credential.certificateChain.map((certificate) => ({ certificate, extensions: {} })),
    });
    certificateMessages.set(credential, message);
  }
  return message;
}
