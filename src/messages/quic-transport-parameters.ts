/**
 * quic_transport_parameters: what a QUIC endpoint allows its peer, in ClientHello and EncryptedExtensions.
 *
 *     opaque extension_data<0..2^16-1>;      the sequence of RFC 9000 §18, opaque here
 *
 * Bytes pass through as they stand: what they say, and whether it may be said, belongs to the QUIC stack, which alone knows
 * the connection IDs that they authenticate. RFC 9001 §8.2.
 */

import { TLSError } from '../errors.ts';

/** @throws TLSError `TLS_ERR_MISSING_EXTENSION` */
export function requireTransportParameters(parameters: Uint8Array | undefined, message: string): Uint8Array {
  if (parameters === undefined) {
    throw new TLSError('TLS_ERR_MISSING_EXTENSION', `the ${message} lacks quic_transport_parameters`);
  }
  return parameters;
}

/**
 * Over TCP: a peer that takes us for a QUIC endpoint is refused.
 * @throws TLSError `TLS_ERR_UNSUPPORTED_EXTENSION`
 */
export function refuseTransportParameters(parameters: Uint8Array | undefined): void {
  if (parameters !== undefined) {
    throw new TLSError(
      'TLS_ERR_UNSUPPORTED_EXTENSION',
      'the ClientHello has quic_transport_parameters, but this is TCP',
    );
  }
}
