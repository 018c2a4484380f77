/**
 * The extensions of a ClientHello, and which of them a server may answer.
 *
 * RFC 9846 §4.3; RFC 5246 §7.4.1.4 and those of TLS 1.2 alone: RFC 5077, RFC 5746, RFC 7627, RFC 8422.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { ClientOptions, ProtocolVersion } from '../connection-options.ts';
import { type FfdheGroup, ffdheGroups } from '../crypto/dhe-groups.ts';
import { type NamedGroup, namedGroups } from '../crypto/groups.ts';
import type { KeyShare } from '../crypto/provider.ts';
import type { ClientHelloExtensions, KeyShareEntry } from '../messages/client-hello.ts';
import { noExtensions } from '../messages/client-hello-extensions.ts';
import { extensionTypes, PSK_DHE_KE, PSK_KE, TLS12, TLS13 } from '../messages/code-points.ts';
import type { Mutable } from '../messages/fields.ts';
import { isIPLiteral } from '../messages/server-name.ts';
import { OCSP_STATUS_REQUEST } from '../messages/status-request.ts';
import type { ClientSession12 } from '../session/client-session.ts';
import { acceptedCodes } from './certificate-messages.ts';
import type { QuicSide } from './channel.ts';
import { GREASE_GROUP, GREASE_VERSION, type Grease } from './grease.ts';
import { certificateSchemeCodes, codesToTake } from './signature-choice.ts';

const UNCOMPRESSED: readonly number[] = [0];
const DHE_ALONE: readonly number[] = [PSK_DHE_KE];
const BOTH_PSK_MODES: readonly number[] = [PSK_DHE_KE, PSK_KE];

export interface HelloExtensionsOptions {
  readonly options: ClientOptions;
  readonly offer: {
    readonly serverName: string;
    readonly versions: readonly ProtocolVersion[];
    readonly namedGroups: readonly NamedGroup[];
    readonly ffdheGroups12: readonly FfdheGroup[];
    readonly session12: ClientSession12 | undefined;
  };
  readonly grease: Grease;
  readonly shares: readonly KeyShare[];
  /** Not beside a share that the server has asked for: then that one stands alone. */
  readonly withGreaseShare: boolean;
  readonly quic: QuicSide | undefined;
  /** Our verify_data of the handshake before, in a renegotiation (RFC 5746 §3.5). */
  readonly renegotiatedConnection: Uint8Array;
}

/** All but those that depend on the rest of the hello, or on what the server has said. */
export function helloExtensions(given: HelloExtensionsOptions): Mutable<ClientHelloExtensions> {
  const { options, offer, grease, quic } = given;
  const { serverName, versions } = offer;
  const { alpnProtocols, recordSizeLimit, requestTickets } = options;
  const isName = serverName !== '' && !isIPLiteral(serverName);
  const with13 = versions.includes('TLSv1.3');
  const with12 = versions.includes('TLSv1.2');
  // Over QUIC nothing may be asked after the handshake (RFC 9001 §4.4).
  const canAnswerLater = options.credentials !== undefined && quic === undefined;
  const unknown = grease.extensions();
  const extensions = noExtensions();
  extensions.serverName = isName ? serverName : undefined;
  extensions.supportedGroups = groupCodes(offer, grease.list(GREASE_GROUP));
  extensions.signatureAlgorithms = codesToTake(options.acceptedSchemes, with12 ? 'TLSv1.2' : 'TLSv1.3');
  extensions.signatureAlgorithmsCert = certificateSchemeCodes;
  extensions.alpnProtocols = nonEmpty(alpnProtocols);
  extensions.statusRequest = options.statusRequest === true ? OCSP_STATUS_REQUEST : undefined;
  extensions.signedCertificateTimestamp = options.signedCertificateTimestamp === true ? true : undefined;
  extensions.recordSizeLimit = recordSizeLimit;
  extensions.quicTransportParameters = quic?.transportParameters;
  extensions.unknown = nonEmpty(unknown);
  if (with13) {
    extensions.supportedVersions = versionCodes(versions, grease.list(GREASE_VERSION));
    extensions.keyShares = keyShares(given);
    extensions.pskKeyExchangeModes = pskModes(options);
    extensions.postHandshakeAuth = canAnswerLater ? true : undefined;
    extensions.certificateAuthorities = nonEmpty(options.certificateAuthorities);
    extensions.compressCertificate = acceptedCodes(options.acceptCompressedCertificates);
    extensions.ticketRequest = requestTickets;
  }
  if (with12) {
    addExtensions12(extensions, given);
  }
  return extensions;
}

function keyShares({ shares, grease, withGreaseShare }: HelloExtensionsOptions): readonly KeyShareEntry[] {
  const ours = shares.map(({ group, publicKey }) => ({ group: namedGroups[group].code, keyExchange: publicKey }));
  return withGreaseShare ? [...grease.shares(), ...ours] : ours;
}

function groupCodes({ namedGroups: offered, ffdheGroups12 }: HelloExtensionsOptions['offer'], codes: number[]) {
  for (const name of offered) {
    codes.push(namedGroups[name].code);
  }
  for (const name of ffdheGroups12) {
    codes.push(ffdheGroups[name].code);
  }
  return codes;
}

function addExtensions12(extensions: Mutable<ClientHelloExtensions>, given: HelloExtensionsOptions): void {
  const { options, offer, renegotiatedConnection } = given;
  const { session12 } = offer;
  const { wantSessions, offerTickets12 } = options;
  const byTicket = session12 !== undefined && session12.ticket.length > 0;
  const wantsTickets = wantSessions !== false && (offerTickets12 !== false || byTicket);
  extensions.extendedMasterSecret = true;
  extensions.renegotiationInfo = renegotiatedConnection;
  extensions.ecPointFormats = UNCOMPRESSED;
  extensions.sessionTicket = wantsTickets ? (session12?.ticket ?? EMPTY) : undefined;
}

function pskModes({ dangerouslyAllowPskKe }: ClientOptions): readonly number[] {
  return dangerouslyAllowPskKe === true ? BOTH_PSK_MODES : DHE_ALONE;
}

function nonEmpty<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function versionCodes(versions: readonly ProtocolVersion[], codes: number[]): readonly number[] {
  for (const version of versions) {
    codes.push(version === 'TLSv1.3' ? TLS13 : TLS12);
  }
  return codes;
}

/** Last, as what stands behind it would have to be found when it is filled in. */
export function withEch(extensions: ClientHelloExtensions, data: Uint8Array | undefined): ClientHelloExtensions {
  if (data === undefined) {
    return extensions;
  }
  const ours = { type: extensionTypes.encrypted_client_hello, data };
  return { ...extensions, unknown: [...(extensions.unknown ?? []), ours] };
}

/** The types that the server may answer. */
export function offeredTypes(extensions: ClientHelloExtensions, withPsk: boolean, withEch: boolean): readonly number[] {
  const types: number[] = withEch ? [extensionTypes.encrypted_client_hello] : [];
  for (const { name, type } of answerable) {
    if (extensions[name] !== undefined) {
      types.push(type);
    }
  }
  if (withPsk) {
    types.push(extensionTypes.pre_shared_key);
  }
  return types;
}

/** Extensions that a server may answer in ServerHello, HelloRetryRequest, EncryptedExtensions or Certificate. */
const answerable: readonly { readonly name: keyof ClientHelloExtensions; readonly type: number }[] = [
  { name: 'serverName', type: extensionTypes.server_name },
  { name: 'supportedGroups', type: extensionTypes.supported_groups },
  { name: 'alpnProtocols', type: extensionTypes.application_layer_protocol_negotiation },
  { name: 'recordSizeLimit', type: extensionTypes.record_size_limit },
  { name: 'earlyData', type: extensionTypes.early_data },
  { name: 'supportedVersions', type: extensionTypes.supported_versions },
  { name: 'keyShares', type: extensionTypes.key_share },
  { name: 'ticketRequest', type: extensionTypes.ticket_request },
  { name: 'quicTransportParameters', type: extensionTypes.quic_transport_parameters },
  { name: 'extendedMasterSecret', type: extensionTypes.extended_master_secret },
  { name: 'renegotiationInfo', type: extensionTypes.renegotiation_info },
  { name: 'ecPointFormats', type: extensionTypes.ec_point_formats },
  { name: 'sessionTicket', type: extensionTypes.session_ticket },
  { name: 'statusRequest', type: extensionTypes.status_request },
  { name: 'signedCertificateTimestamp', type: extensionTypes.signed_certificate_timestamp },
];
