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

import type { ClientHelloInfo, EarlyDataRefusal, ResumptionRefusal } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { Credential, ProtocolVersion, ServerContext, ServerOptions } from '../connection-options.ts';
import type { NamedGroupInfo } from '../crypto/groups.ts';
import type { CertificateCompression, PublicKey } from '../crypto/provider.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import type { EarlySecret, MainSecret } from '../keys/ladder.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import type { ClientHello, KeyShareEntry } from '../messages/client-hello.ts';
import { onEndOfEarlyData, type ReceivedEarlyData } from './early-data-server.ts';
import type { HandshakeHost, PreviousHandshake } from './host.ts';
import { present } from './present.ts';
import {
  onClientCertificate,
  onClientCertificateVerify,
  onClientVerdict,
  onCompressedClientCertificate,
  onFinished,
} from './server-finish.ts';
import { onCertificateStatus, onSignature } from './server-flight.ts';
import { onClientHello, onContext, onExternalPsk, onSecondClientHello, onTicketClaim } from './server-hello.ts';
import { clientHelloInfo } from './server-negotiation.ts';
import type { ChosenPsk, PskMode, PskSearch } from './server-psk.ts';
import {
  onCertificateStatus12,
  onClientChangeCipherSpec12,
  onClientFinished12,
  onClientKeyExchange12,
  onSignature12,
  type ServerTls12,
} from './server12.ts';
import { onClientCertificate12, onClientCertificateVerify12, onClientVerdict12 } from './server12-client-auth.ts';
import type { Chosen12 } from './server12-negotiation.ts';
import { Transcript } from './transcript.ts';
import type { Handlers, serverTransitions } from './transitions.ts';

/** Everything a server holds between messages; dropped, with its secrets erased, when the handshake is over. */
export class ServerHandshake {
  readonly options: ServerOptions;
  readonly host: HandshakeHost;
  readonly transcript: Transcript;
  version: ProtocolVersion = 'TLSv1.3';
  hello: ClientHello | undefined;
  rawHello: Uint8Array = EMPTY;
  /** What the client asks for; empty for none. */
  serverName = '';
  context: ServerContext | undefined;
  suite: CipherSuite | undefined;
  /** Undefined with psk_ke. */
  group: NamedGroupInfo | undefined;
  share: KeyShareEntry | undefined;
  /** What both speak; after a HelloRetryRequest what it named. */
  suites: readonly CipherSuite[] = [];
  helloRetried = false;
  alpnProtocol = '';
  policyHash: Uint8Array = EMPTY;
  credential: Credential | undefined;
  /** How our chain went out compressed. */
  certificateCompression: CertificateCompression | undefined;
  /** Of our Finished. */
  serverVerifyData: Uint8Array = EMPTY;
  scheme: SignatureScheme | undefined;
  earlySecret: EarlySecret | undefined;
  pskMode: PskMode | undefined;
  /** Taken: what comes up to EndOfEarlyData. */
  earlyData: ReceivedEarlyData | undefined;
  earlyDataRefusal: EarlyDataRefusal | undefined;
  search: PskSearch | undefined;
  psk: ChosenPsk | undefined;
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
  /** TLS 1.2: what the full handshake goes on with, once the host has answered. */
  chosen12: Chosen12 | undefined;

  /** Renegotiation: the handshake before this one. */
  readonly previous: PreviousHandshake | undefined;
  #info: ClientHelloInfo | undefined;

  constructor(options: ServerOptions, host: HandshakeHost, previous?: PreviousHandshake) {
    this.options = options;
    this.previous = previous;
    this.host = host;
    this.transcript = new Transcript(options.provider);
  }

  /** What the client says of itself. Made for who asks: most resumptions do without. */
  get info(): ClientHelloInfo {
    this.#info ??= clientHelloInfo(present(this.hello), this.version);
    return this.#info;
  }

  erase(why: string): void {
    this.search?.erase(why);
    this.psk?.psk.erase(why);
    this.earlySecret?.erase(why);
    this.earlyData?.secret.erase(why);
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
  AwaitExternalPsk: { externalPsk: onExternalPsk },
  AwaitTicketClaim: { claimTicket: onTicketClaim },
  ExpectClientHelloAfterRetry: { client_hello: onSecondClientHello },
  ExpectEndOfEarlyData: { end_of_early_data: onEndOfEarlyData },
  AwaitCertificateStatus: { certificateStatus: onCertificateStatus },
  AwaitSignature: { sign: onSignature },
  ExpectClientCertificate: { certificate: onClientCertificate, compressed_certificate: onCompressedClientCertificate },
  AwaitClientVerdict: { verifyCertificate: onClientVerdict },
  ExpectClientCertificateVerify: { certificate_verify: onClientCertificateVerify },
  ExpectFinished: { finished: onFinished },
  AwaitCertificateStatus12: { certificateStatus: onCertificateStatus12 },
  AwaitSignature12: { sign: onSignature12 },
  ExpectClientCertificate12: { certificate: onClientCertificate12 },
  AwaitClientVerdict12: { verifyCertificate: onClientVerdict12 },
  ExpectClientCertificateVerify12: { certificate_verify: onClientCertificateVerify12 },
  ExpectClientKeyExchange12: { client_key_exchange: onClientKeyExchange12 },
  ExpectChangeCipherSpec12: { change_cipher_spec: onClientChangeCipherSpec12 },
  ExpectFinished12: { finished: onClientFinished12 },
};
