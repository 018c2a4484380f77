/**
 * What QUIC demands of a handshake beyond TLS, and what TLS over TCP refuses of QUIC.
 *
 * RFC 9001 §8.1 (ALPN), §8.2 (transport parameters), §8.4 (no compatibility mode).
 */

import { concat, utf8 } from '../bytes/bytes.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { refuseTransportParameters, requireTransportParameters } from '../messages/quic-transport-parameters.ts';
import type { QuicSide } from './channel.ts';

const POLICY_LABEL = utf8('mayfly policy of QUIC');

/**
 * Server: holds a ClientHello against the transport that it came over.
 * @throws TLSError `TLS_ERR_MISSING_EXTENSION`, `TLS_ERR_UNSUPPORTED_EXTENSION`, `TLS_ERR_QUIC_PROTOCOL`
 */
export function checkTransport(quic: QuicSide | undefined, hello: ClientHello): void {
  const { quicTransportParameters } = hello.extensions;
  if (quic === undefined) {
    refuseTransportParameters(quicTransportParameters);
    return;
  }
  if (hello.legacySessionId.length > 0) {
    throw new TLSError('TLS_ERR_QUIC_PROTOCOL', 'the ClientHello has a legacy_session_id, which QUIC has no use for');
  }
  quic.receivedTransportParameters(requireTransportParameters(quicTransportParameters, 'ClientHello'));
}

/**
 * Client: takes the server's transport parameters. Over TCP there are none, as nothing was offered.
 * @throws TLSError `TLS_ERR_MISSING_EXTENSION`, `TLS_ERR_NO_APPLICATION_PROTOCOL`
 */
export function acceptTransport(
  quic: QuicSide | undefined,
  parameters: Uint8Array | undefined,
  alpnProtocol: string,
): void {
  requireProtocol(quic, alpnProtocol);
  quic?.receivedTransportParameters(requireTransportParameters(parameters, 'EncryptedExtensions'));
}

/**
 * A QUIC connection has an application protocol; over TCP it may have none.
 * @throws TLSError `TLS_ERR_NO_APPLICATION_PROTOCOL`
 */
export function requireProtocol(quic: QuicSide | undefined, alpnProtocol: string): void {
  if (quic !== undefined && alpnProtocol === '') {
    throw new TLSError('TLS_ERR_NO_APPLICATION_PROTOCOL', 'no application protocol was agreed, as QUIC demands');
  }
}

/** Sessions made over TCP do not resume over QUIC, nor the other way round: what a ticket allows differs. */
export function transportPolicyHash(
  provider: CryptoProvider,
  quic: QuicSide | undefined,
  policyHash: Uint8Array,
): Uint8Array {
  return quic === undefined ? policyHash : provider.hash('sha256', concat(POLICY_LABEL, policyHash));
}
