/**
 * The TLS 1.3 client: what it does with each message of the server.
 *
 *     ClientHello ───▶
 *                      ◀─── ServerHello, {EncryptedExtensions}, {Certificate, CertificateVerify}, {Finished}
 *     {Finished}  ───▶
 *                      ◀─── [NewSessionTicket]
 *
 * RFC 9846 §2, §4, Appendix A.1. What comes later is in post-handshake.ts.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ClientOptions } from '../connection-options.ts';
import type { NamedGroupInfo } from '../crypto/groups.ts';
import type { CertificateCompression, PublicKey } from '../crypto/provider.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import type { HandshakeSecret, MainSecret } from '../keys/ladder.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { onClientSignature, onFinished } from './client-finish.ts';
import {
  onCertificate,
  onCertificateRequest,
  onCertificateVerify,
  onCompressedCertificate,
  onEncryptedExtensions,
  onVerdict,
} from './client-flight.ts';
import { onFirstServerHello, onSecondServerHello, sendClientHello } from './client-hello.ts';
import { ClientOffer } from './client-offer.ts';
import type { OfferedPsk } from './client-psks.ts';
import {
  type ClientTls12,
  onCertificateRequest12,
  onCertificateStatus12,
  onChangeCipherSpec12,
  onClientSignature12,
  onFinished12,
  onServerCertificate12,
  onServerHelloDone12,
  onServerKeyExchangeWithoutStatus12,
  onTicket12,
  onVerdict12,
} from './client12.ts';
import { onServerKeyExchange12 } from './client12-key-exchange.ts';
import type { CredentialWishes } from './credential-choice.ts';
import type { ClientEarlyData } from './early-data-client.ts';
import type { HandshakeHost, PreviousHandshake } from './host.ts';
import { Transcript } from './transcript.ts';
import type { clientTransitions, Handlers } from './transitions.ts';

/** Everything a client holds between messages; dropped, with its secrets erased, when the handshake is over. */
export class ClientHandshake {
  readonly options: ClientOptions;
  readonly host: HandshakeHost;
  transcript: Transcript;
  readonly offer: ClientOffer;
  /** The server did not decrypt our hello: the handshake goes on to learn from it what to do, and ends. */
  echRetryConfigs: Uint8Array | undefined;
  encryptedClientHello: boolean | undefined;
  suite: CipherSuite | undefined;
  group: NamedGroupInfo | undefined;
  helloRetried = false;
  /** Once is enough, wherever it stands (RFC 9846 Appendix E.4). */
  changeCipherSpecSent = false;
  earlyData: ClientEarlyData | undefined;
  earlyDataTaken = false;
  selectedIdentity: number | undefined;
  /** What the server selected; its rung is spent. */
  psk: OfferedPsk | undefined;
  resumed = false;
  alpnProtocol = '';
  handshakeSecret: HandshakeSecret | undefined;
  mainSecret: MainSecret | undefined;
  tls12: ClientTls12 | undefined;
  clientHandshakeSecret: TrafficSecret | undefined;
  serverHandshakeSecret: TrafficSecret | undefined;
  clientApplicationSecret: TrafficSecret | undefined;
  exporterSecret: Secret | undefined;
  /** How the server may compress ours, when it asks for it. */
  requestedCompressions: readonly number[] | undefined;
  /** How the server's chain came compressed. */
  certificateCompression: CertificateCompression | undefined;
  /** Of the server's Finished. */
  serverVerifyData: Uint8Array = EMPTY;
  ocspResponse: Uint8Array | undefined;
  signedCertificateTimestamps: readonly Uint8Array[] | undefined;
  /** The server asks for a certificate, signed in one of these ways. */
  requestedSchemes: readonly number[] | undefined;
  credentialWishes: CredentialWishes = { chainSchemes: [], authorities: [] };
  clientScheme: SignatureScheme | undefined;
  /** What was sent when the server asked. */
  ownCertificates: readonly Uint8Array[] | undefined;
  peerCertificates: readonly Uint8Array[] = [];
  peerKey: PublicKey | undefined;
  signatureScheme: SignatureScheme | undefined;

  /** Renegotiation: the handshake before this one. */
  readonly previous: PreviousHandshake | undefined;

  constructor(options: ClientOptions, host: HandshakeHost, previous?: PreviousHandshake) {
    this.options = options;
    this.previous = previous;
    this.host = host;
    this.transcript = new Transcript(options.provider);
    this.offer = new ClientOffer(options, previous?.clientVerifyData, host.channel.quic);
    if (this.offer.cipherSuites12.length > 0 && options.credentials !== undefined) {
      this.transcript.keepMessages();
    }
  }

  erase(why: string): void {
    this.offer.erase();
    this.psk?.early.erase(why);
    this.handshakeSecret?.erase(why);
    this.mainSecret?.erase(why);
    this.tls12?.keys?.erase(why);
    this.clientHandshakeSecret?.erase(why);
    this.serverHandshakeSecret?.erase(why);
    this.clientApplicationSecret?.erase(why);
    this.exporterSecret?.erase(why);
  }
}

/**
 * Alerts of a client that has read ServerHello go out under the handshake keys, so that nobody else learns what was wrong
 * (RFC 9846 Appendix A.1).
 */
export function protectAlerts(hs: ClientHandshake): void {
  const { channel } = hs.host;
  const secret = hs.clientHandshakeSecret;
  if (secret === undefined || channel.protectsWrites || hs.earlyData?.open) {
    return;
  }
  sendChangeCipherSpec(hs);
  channel.protectWrite(secret);
}

/** For middleboxes; before what follows the first hello, or before early data (RFC 9846 Appendix E.4). */
export function sendChangeCipherSpec(hs: ClientHandshake): void {
  if (!hs.changeCipherSpecSent) {
    hs.changeCipherSpecSent = true;
    hs.host.channel.changeCipherSpec();
  }
}

export const clientHandlers: Handlers<typeof clientTransitions, ClientHandshake> = {
  Start: { start: sendClientHello },
  ExpectServerHello: { server_hello: onFirstServerHello },
  ExpectServerHelloAfterRetry: { server_hello: onSecondServerHello },
  ExpectEncryptedExtensions: { encrypted_extensions: onEncryptedExtensions },
  ExpectCertificateOrCertificateRequest: {
    certificate_request: onCertificateRequest,
    certificate: onCertificate,
    compressed_certificate: onCompressedCertificate,
  },
  ExpectCertificate: { certificate: onCertificate, compressed_certificate: onCompressedCertificate },
  AwaitCertificateVerdict: { verifyCertificate: onVerdict },
  ExpectCertificateVerify: { certificate_verify: onCertificateVerify },
  ExpectFinished: { finished: onFinished },
  AwaitClientSignature: { sign: onClientSignature },
  ExpectServerCertificate12: { certificate: onServerCertificate12 },
  ExpectCertificateStatusOrServerKeyExchange12: {
    certificate_status: onCertificateStatus12,
    server_key_exchange: onServerKeyExchangeWithoutStatus12,
  },
  AwaitCertificateVerdict12: { verifyCertificate: onVerdict12 },
  ExpectServerKeyExchange12: { server_key_exchange: onServerKeyExchange12 },
  ExpectCertificateRequestOrServerHelloDone12: {
    certificate_request: onCertificateRequest12,
    server_hello_done: onServerHelloDone12,
  },
  ExpectServerHelloDone12: { server_hello_done: onServerHelloDone12 },
  AwaitClientSignature12: { sign: onClientSignature12 },
  ExpectTicket12: { new_session_ticket: onTicket12 },
  ExpectChangeCipherSpec12: { change_cipher_spec: onChangeCipherSpec12 },
  ExpectFinished12: { finished: onFinished12 },
};
