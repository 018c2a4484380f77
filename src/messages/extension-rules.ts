/**
 * Which TLS 1.3 message may carry which extension.
 *
 * RFC 9846 §4.3 (the table and the two MUSTs before it), RFC 9149 §3 (ticket_request), RFC 8449 §4 (record_size_limit),
 * RFC 9001 §8.2 (quic_transport_parameters).
 */

import { TLSError } from '../errors.ts';
import type { ExtensionType } from './code-points.ts';
import { extensionTypeName, extensionTypes } from './code-points.ts';

/** The messages with an extension block, by the table's columns. */
export type ExtensionCarrier =
  | 'client_hello'
  | 'server_hello'
  | 'hello_retry_request'
  | 'encrypted_extensions'
  | 'certificate'
  | 'certificate_request'
  | 'new_session_ticket';

/**
 * Refuses an extension that Mayfly knows and that has no place in this message; unknown ones pass.
 * @throws TLSError `TLS_ERR_MISPLACED_EXTENSION`
 */
export function refuseMisplaced(types: readonly number[], carrier: ExtensionCarrier): void {
  for (const type of types) {
    const carriers = carriersOf.get(type);
    if (carriers !== undefined && !carriers.includes(carrier)) {
      throw new TLSError('TLS_ERR_MISPLACED_EXTENSION', `${extensionTypeName(type)} does not belong in a ${carrier}`);
    }
  }
}

/**
 * Refuses, in a message that answers requests, an extension that was not requested: `offered` are the types of the
 * ClientHello (or CertificateRequest). The cookie of a HelloRetryRequest needs no request.
 * @throws TLSError `TLS_ERR_UNSUPPORTED_EXTENSION`
 */
export function refuseUnsolicited(
  types: readonly number[],
  offered: readonly number[],
  carrier: 'server_hello' | 'hello_retry_request' | 'encrypted_extensions' | 'certificate',
): void {
  for (const type of types) {
    if (offered.includes(type) || (type === extensionTypes.cookie && carrier === 'hello_retry_request')) {
      continue;
    }
    throw new TLSError(
      'TLS_ERR_UNSUPPORTED_EXTENSION',
      `the ${carrier} answers ${extensionTypeName(type)}, not offered`,
    );
  }
}

const table: Partial<Record<ExtensionType, readonly ExtensionCarrier[]>> = {
  server_name: ['client_hello', 'encrypted_extensions'],
  max_fragment_length: ['client_hello', 'encrypted_extensions'],
  status_request: ['client_hello', 'certificate_request', 'certificate'],
  supported_groups: ['client_hello', 'encrypted_extensions'],
  signature_algorithms: ['client_hello', 'certificate_request'],
  application_layer_protocol_negotiation: ['client_hello', 'encrypted_extensions'],
  signed_certificate_timestamp: ['client_hello', 'certificate_request', 'certificate'],
  padding: ['client_hello'],
  compress_certificate: ['client_hello', 'certificate_request'],
  record_size_limit: ['client_hello', 'encrypted_extensions'],
  pre_shared_key: ['client_hello', 'server_hello'],
  early_data: ['client_hello', 'encrypted_extensions', 'new_session_ticket'],
  psk_key_exchange_modes: ['client_hello'],
  cookie: ['client_hello', 'hello_retry_request'],
  supported_versions: ['client_hello', 'server_hello', 'hello_retry_request'],
  certificate_authorities: ['client_hello', 'certificate_request'],
  oid_filters: ['certificate_request'],
  post_handshake_auth: ['client_hello'],
  signature_algorithms_cert: ['client_hello', 'certificate_request'],
  key_share: ['client_hello', 'server_hello', 'hello_retry_request'],
  ticket_request: ['client_hello', 'encrypted_extensions'],
  quic_transport_parameters: ['client_hello', 'encrypted_extensions'],
  encrypted_client_hello: ['client_hello', 'hello_retry_request', 'encrypted_extensions'],
  // TLS 1.2 only: a hello may offer them, nothing in TLS 1.3 may answer.
  extended_master_secret: ['client_hello'],
  session_ticket: ['client_hello'],
  renegotiation_info: ['client_hello'],
  ec_point_formats: ['client_hello'],
};

const carriersOf = new Map<number, readonly ExtensionCarrier[]>(
  Object.entries(table).map(([name, carriers]) => [extensionTypes[name as ExtensionType], carriers]),
);
