/**
 * Which extensions a TLS 1.2 ServerHello may carry: those of TLS 1.3 alone are refused there even when they were offered.
 *
 * RFC 9846 §4.3 (what belongs to TLS 1.3), RFC 5246 §7.4.1.4. Others, known or not, pass: whether they were offered is
 * checked by `refuseUnsolicited`, which treats a renegotiation_info that answers the SCSV as offered when the caller lists
 * it.
 */

import { TLSError } from '../../errors.ts';
import { extensionTypeName, extensionTypes } from '../code-points.ts';

/** @throws TLSError `TLS_ERR_MISPLACED_EXTENSION` */
export function refuseMisplaced12(types: readonly number[]): void {
  for (const type of types) {
    if (ONLY_TLS13.has(type)) {
      throw new TLSError(
        'TLS_ERR_MISPLACED_EXTENSION',
        `${extensionTypeName(type)} does not belong in a server_hello of TLS 1.2`,
      );
    }
  }
}

const ONLY_TLS13 = new Set<number>([
  extensionTypes.pre_shared_key,
  extensionTypes.early_data,
  extensionTypes.supported_versions,
  extensionTypes.cookie,
  extensionTypes.psk_key_exchange_modes,
  extensionTypes.certificate_authorities,
  extensionTypes.oid_filters,
  extensionTypes.post_handshake_auth,
  extensionTypes.signature_algorithms_cert,
  extensionTypes.key_share,
  extensionTypes.compress_certificate,
  extensionTypes.ticket_request,
  extensionTypes.encrypted_client_hello,
]);
