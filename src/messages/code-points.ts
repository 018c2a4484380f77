/**
 * The numbers of the handshake protocol by their registered names: messages, extensions, content types, versions, GREASE.
 *
 * RFC 9846 §4, §4.3, §5.1; IANA "TLS HandshakeType" and "TLS ExtensionType Values"; GREASE: RFC 8701 §2.
 */

export const handshakeTypes = {
  /** TLS 1.2 only. */
  hello_request: 0,
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  end_of_early_data: 5,
  encrypted_extensions: 8,
  certificate: 11,
  server_key_exchange: 12,
  certificate_request: 13,
  server_hello_done: 14,
  certificate_verify: 15,
  client_key_exchange: 16,
  finished: 20,
  certificate_status: 22,
  key_update: 24,
  compressed_certificate: 25,
  message_hash: 254,
} as const;

export type HandshakeType = keyof typeof handshakeTypes;

export const extensionTypes = {
  server_name: 0,
  max_fragment_length: 1,
  status_request: 5,
  supported_groups: 10,
  ec_point_formats: 11,
  signature_algorithms: 13,
  use_srtp: 14,
  heartbeat: 15,
  application_layer_protocol_negotiation: 16,
  signed_certificate_timestamp: 18,
  client_certificate_type: 19,
  server_certificate_type: 20,
  padding: 21,
  encrypt_then_mac: 22,
  extended_master_secret: 23,
  cached_info: 25,
  compress_certificate: 27,
  record_size_limit: 28,
  delegated_credential: 34,
  session_ticket: 35,
  supported_ekt_ciphers: 39,
  pre_shared_key: 41,
  early_data: 42,
  supported_versions: 43,
  cookie: 44,
  psk_key_exchange_modes: 45,
  certificate_authorities: 47,
  oid_filters: 48,
  post_handshake_auth: 49,
  signature_algorithms_cert: 50,
  key_share: 51,
  transparency_info: 52,
  connection_id: 54,
  external_id_hash: 55,
  external_session_id: 56,
  quic_transport_parameters: 57,
  ticket_request: 58,
  encrypted_client_hello: 0xfe0d,
  renegotiation_info: 0xff01,
} as const;

export type ExtensionType = keyof typeof extensionTypes;

export const contentTypes = {
  change_cipher_spec: 20,
  alert: 21,
  handshake: 22,
  application_data: 23,
} as const;

export type ContentType = keyof typeof contentTypes;

export const TLS12 = 0x0303;
export const TLS13 = 0x0304;

/** PskKeyExchangeMode (RFC 9846 §4.3.9). */
export const PSK_KE = 0;
export const PSK_DHE_KE = 1;

/** The registered name of a handshake message, or undefined for a code that Mayfly never accepts. */
export function handshakeTypeName(code: number): HandshakeType | undefined {
  return handshakeNames[code];
}

/** The registered name of an extension, or `extension 0x…` for one that Mayfly does not know; for errors and stories. */
export function extensionTypeName(code: number): string {
  return extensionNames.get(code) ?? `extension 0x${code.toString(16).padStart(4, '0')}`;
}

/** Whether a suite, group, extension, version or signature scheme is one of the sixteen reserved values 0x?A?A. */
export function isGrease(code: number): boolean {
  return (code & 0x0f0f) === 0x0a0a && code >>> 8 === (code & 0xff);
}

/** The GREASE value that the high four bits of a random byte select. */
export function greaseValue(randomByte: number): number {
  const half = (randomByte & 0xf0) | 0x0a;
  return (half << 8) | half;
}

/** By their byte. */
const handshakeNames: (HandshakeType | undefined)[] = new Array(0x100).fill(undefined);
for (const [name, code] of Object.entries(handshakeTypes)) {
  handshakeNames[code] = name as HandshakeType;
}

const extensionNames = new Map<number, ExtensionType>(
  Object.entries(extensionTypes).map(([name, code]) => [code, name as ExtensionType]),
);
