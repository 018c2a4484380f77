/**
 * Client authentication on a running TLS 1.3 connection: the server asks when it knows what is asked of it, e.g. the
 * request's path.
 *
 *     server: CertificateRequest(context) ───▶
 *                                 ◀─── Certificate(context), [CertificateVerify], Finished
 *
 * The signature and the Finished cover the handshake's transcript, the request and what follows it; the Finished is made
 * with the client's present traffic secret. RFC 9846 §4.7.2, §4.5.3.
 */

import { sameBytes } from '../bytes/bytes.ts';
import type { ClientAuthenticationPolicy, Credential } from '../connection-options.ts';
import type { CertificateCompression, CryptoProvider, PublicKey } from '../crypto/provider.ts';
import { type SignatureScheme, signatureSchemes } from '../crypto/signatures.ts';
import { TLSError } from '../errors.ts';
import { finishedVerifyData } from '../keys/finished.ts';
import { decodeCertificate } from '../messages/certificate.ts';
import { decodeCertificateRequest, encodeCertificateRequest } from '../messages/certificate-request.ts';
import {
  certificateVerifyContent,
  decodeCertificateVerify,
  encodeCertificateVerify,
} from '../messages/certificate-verify.ts';
import { refuseMisplaced, refuseUnsolicited } from '../messages/extension-rules.ts';
import { decodeFinished, encodeFinished } from '../messages/finished.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { acceptedCodes, certificateMessage, compressionsOf, unfoldCertificate } from './certificate-messages.ts';
import { chooseClientCredential } from './client-finish.ts';
import { keyAtHand, wishesOf } from './credential-choice.ts';
import type { RecordHost } from './host.ts';
import { certificateSchemeCodes, codesToTake, takeScheme } from './signature-choice.ts';
import type { Transcript } from './transcript.ts';

/**
 * Requests with nothing sent by us between them. Each costs a signature, which takes us far longer than the request takes
 * a hostile server; an honest one asks because of something that it was sent.
 */
const MAX_REQUESTS_IN_A_ROW = 8;
/** Bytes of the context that tells one request from another. */
const CONTEXT_LENGTH = 16;
/** With SHA-384. */
const MAX_FINISHED_LENGTH = 4 + 48;

interface AuthenticatorOptions {
  readonly host: RecordHost;
  readonly provider: CryptoProvider;
  /** Up to the client's Finished; taken over. */
  readonly transcript: Transcript;
  readonly compressCertificates?: readonly CertificateCompression[];
  readonly acceptCompressedCertificates?: readonly CertificateCompression[];
}

export type CertificatePolicy = Pick<
  ClientAuthenticationPolicy,
  'required' | 'certificateAuthorities' | 'acceptedSchemes'
>;

/** Sees to it that the write key carries so many bytes of messages, before they are made. */
export type MakeRoom = (length: number) => void;

/** The client's side. Its answer goes out in one piece: nothing may stand between the messages (RFC 9846 §4.7.2). */
export class ClientAuthenticator {
  readonly #options: AuthenticatorOptions;
  readonly #credentials: readonly Credential[];
  #transcript: Transcript | undefined;
  #scheme: SignatureScheme | undefined;
  /** Messages of the answer, kept while the signature is made: data and KeyUpdates may be sent meanwhile. */
  #answer: Uint8Array[] = [];
  #requestsInARow = 0;

  constructor(options: AuthenticatorOptions, credentials: readonly Credential[]) {
    this.#options = options;
    this.#credentials = credentials;
  }

  noteSentData(): void {
    this.#requestsInARow = 0;
  }

  onCertificateRequest(message: JoinedMessage, makeRoom: MakeRoom): 'Connected' | 'AwaitAuthenticationSignature' {
    const { host, provider, transcript } = this.#options;
    const request = decodeCertificateRequest(message.body);
    refuseMisplaced(request.types, 'certificate_request');
    if (request.requestContext.length === 0) {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'a CertificateRequest after the handshake has no context');
    }
    this.#requestsInARow += 1;
    if (this.#requestsInARow > MAX_REQUESTS_IN_A_ROW) {
      throw new TLSError(
        'TLS_ERR_TOO_MANY_CERTIFICATE_REQUESTS',
        `the server sent more than ${MAX_REQUESTS_IN_A_ROW} CertificateRequests in a row`,
      );
    }
    if (!host.canSend) {
      return 'Connected';
    }
    this.#answer = [];
    this.#transcript = transcript.fork();
    this.#transcript.add(message.raw);
    const chosen = chooseClientCredential(this.#credentials, request.signatureAlgorithms, wishesOf(request));
    const { message: certificate } = certificateMessage({
      provider,
      credential: chosen?.credential,
      requestContext: request.requestContext,
      compressions: compressionsOf(provider, this.#options.compressCertificates),
      accepted: request.compressCertificate,
    });
    this.#add(certificate);
    if (chosen === undefined) {
      return this.#finish(makeRoom);
    }
    this.#scheme = chosen.scheme;
    const data = certificateVerifyContent('client', this.#running().digest());
    const privateKey = keyAtHand(chosen.credential);
    if (privateKey === undefined) {
      host.ask({ kind: 'sign', scheme: chosen.scheme, data: new Uint8Array(data), credential: chosen.credential });
      return 'AwaitAuthenticationSignature';
    }
    return this.onSignature(provider.sign(chosen.scheme, privateKey, data), makeRoom);
  }

  onSignature(signature: Uint8Array, makeRoom: MakeRoom): 'Connected' {
    const scheme = signatureSchemes[this.#scheme as SignatureScheme];
    this.#add(encodeCertificateVerify({ scheme, signature }));
    return this.#finish(makeRoom);
  }

  #finish(makeRoom: MakeRoom): 'Connected' {
    const { host, provider } = this.#options;
    const answer = this.#answer;
    const transcriptHash = this.#running().digest();
    this.#answer = [];
    this.#transcript = undefined;
    // Our side may have been closed while the signature was made.
    if (!host.canSend) {
      return 'Connected';
    }
    makeRoom(answer.reduce((sum, message) => sum + message.length, MAX_FINISHED_LENGTH));
    const verifyData = finishedVerifyData(provider, host.channel.writeSecret, transcriptHash);
    for (const message of [...answer, encodeFinished({ verifyData })]) {
      host.channel.handshake(message);
    }
    return 'Connected';
  }

  #add(message: Uint8Array): void {
    this.#running().add(message);
    this.#answer.push(message);
  }

  #running(): Transcript {
    return running(this.#transcript);
  }
}

/** The server's side: at most one request at a time. */
export class ServerAuthenticator {
  readonly #options: AuthenticatorOptions;
  #context: Uint8Array | undefined;
  #required = false;
  #acceptedSchemes: readonly SignatureScheme[] | undefined;
  #transcript: Transcript | undefined;
  #chain: readonly Uint8Array[] = [];
  #key: PublicKey | undefined;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Certificates may come compressed. */
  get takesCompressed(): boolean {
    return (this.#options.acceptCompressedCertificates?.length ?? 0) > 0;
  }

  /** A request is open. */
  get asked(): boolean {
    return this.#context !== undefined;
  }

  /** @throws TLSError `TLS_ERR_WRONG_STATE` a request is open */
  checkIdle(): void {
    if (this.asked) {
      throw new TLSError('TLS_ERR_WRONG_STATE', 'the client has been asked for a certificate already');
    }
  }

  request(policy: CertificatePolicy, makeRoom: MakeRoom): void {
    const { host, provider, transcript } = this.#options;
    const context = new Uint8Array(CONTEXT_LENGTH);
    provider.random(context);
    const { required, certificateAuthorities, acceptedSchemes } = policy;
    const message = encodeCertificateRequest({
      requestContext: context,
      signatureAlgorithms: codesToTake(acceptedSchemes, 'TLSv1.3'),
      signatureAlgorithmsCert: certificateSchemeCodes,
      certificateAuthorities: certificateAuthorities.length === 0 ? undefined : certificateAuthorities,
      compressCertificate: acceptedCodes(this.#options.acceptCompressedCertificates),
    });
    this.#context = context;
    this.#required = required;
    this.#acceptedSchemes = acceptedSchemes;
    this.#transcript = transcript.fork();
    this.#transcript.add(message);
    makeRoom(message.length);
    host.channel.handshake(message);
  }

  onCertificate(message: JoinedMessage): 'AwaitAuthenticationVerdict' | 'ExpectAuthenticationFinished' {
    // First, as the message may not even be whole: see PostHandshake.refuses.
    if (this.#context === undefined) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'the client sent a certificate that was not asked for');
    }
    return this.#takeCertificate(message, message.body, this.#context);
  }

  onCompressedCertificate(message: JoinedMessage): 'AwaitAuthenticationVerdict' | 'ExpectAuthenticationFinished' {
    if (this.#context === undefined) {
      throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'the client sent a certificate that was not asked for');
    }
    const { provider, acceptCompressedCertificates } = this.#options;
    const { body } = unfoldCertificate(provider, message, acceptCompressedCertificates);
    return this.#takeCertificate(message, body, this.#context);
  }

  #takeCertificate(
    message: JoinedMessage,
    body: Uint8Array,
    context: Uint8Array,
  ): 'AwaitAuthenticationVerdict' | 'ExpectAuthenticationFinished' {
    const { requestContext, entries } = decodeCertificate(body);
    if (!sameBytes(requestContext, context)) {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', "the client's Certificate answers another request");
    }
    for (const entry of entries) {
      refuseMisplaced(entry.extensions.types, 'certificate');
      refuseUnsolicited(entry.extensions.types, [], 'certificate');
    }
    running(this.#transcript).add(message.raw);
    this.#key = undefined;
    this.#chain = entries.map((entry) => entry.certificate);
    if (entries.length === 0) {
      if (this.#required) {
        throw new TLSError(
          'TLS_ERR_CERTIFICATE_REQUIRED',
          'the client has no certificate, and the server requires one',
        );
      }
      return 'ExpectAuthenticationFinished';
    }
    this.#options.host.ask({ kind: 'verifyCertificate', chain: this.#chain, serverName: '' });
    return 'AwaitAuthenticationVerdict';
  }

  onVerdict(verdict: PublicKey | TLSError): 'ExpectAuthenticationCertificateVerify' {
    if (verdict instanceof Error) {
      throw verdict;
    }
    this.#key = verdict;
    return 'ExpectAuthenticationCertificateVerify';
  }

  onCertificateVerify(message: JoinedMessage): 'ExpectAuthenticationFinished' {
    const { scheme: code, signature } = decodeCertificateVerify(message.body);
    const acceptedSchemes = this.#acceptedSchemes;
    const scheme = takeScheme({ code, acceptedSchemes, version: 'TLSv1.3', peer: 'client' });
    const transcript = running(this.#transcript);
    const content = certificateVerifyContent('client', transcript.digest());
    if (this.#key === undefined || !this.#options.provider.verify(scheme, this.#key, content, signature)) {
      throw new TLSError(
        'TLS_ERR_BAD_SIGNATURE',
        `the client's ${scheme} signature after the handshake does not verify with its certificate's key`,
      );
    }
    transcript.add(message.raw);
    return 'ExpectAuthenticationFinished';
  }

  onFinished(message: JoinedMessage): 'Connected' {
    const { host, provider } = this.#options;
    const secret = host.channel.readSecret;
    const { verifyData } = decodeFinished(message.body, secret.suite.hashLength);
    const expected = finishedVerifyData(provider, secret, running(this.#transcript).digest());
    if (!provider.equal(verifyData, expected)) {
      throw new TLSError('TLS_ERR_BAD_FINISHED', "the Finished of the client's authentication does not verify");
    }
    this.#context = undefined;
    this.#transcript = undefined;
    this.#key = undefined;
    host.authenticated(this.#chain);
    return 'Connected';
  }
}

function running(transcript: Transcript | undefined): Transcript {
  if (transcript === undefined) {
    throw new TLSError('TLS_ERR_INTERNAL', 'no authentication is under way');
  }
  return transcript;
}
