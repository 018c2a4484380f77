/**
 * Channel bindings: bytes that both ends of this connection know and no other connection has, for authentication above TLS.
 *
 *     tls-exporter         = exporter("EXPORTER-Channel-Binding", "", 32)
 *     tls-unique           = the first Finished of the latest handshake; TLS 1.2 only
 *     tls-server-end-point = Hash(the server's certificate), by the hash of its own signature
 *
 * RFC 9266 §2, RFC 5929 §3, §4.
 */

import type { HandshakeSummary } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import { parseCertificate } from '../certificates/certificate.ts';
import type { Connection } from '../connection.ts';
import { signatureHashOf } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';

export type ChannelBindingType = 'tls-exporter' | 'tls-unique' | 'tls-server-end-point';

/** @throws TLSError `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_EXTENDED_MASTER_SECRET` */
export function channelBinding(
  type: ChannelBindingType,
  connection: Connection,
  summary: HandshakeSummary,
  serverCertificate: () => Uint8Array | undefined,
): Uint8Array {
  switch (type) {
    case 'tls-exporter':
      return connection.exportKeyingMaterial('EXPORTER-Channel-Binding', EMPTY, 32);
    case 'tls-unique':
      return unique(connection, summary);
    case 'tls-server-end-point':
      return endPoint(serverCertificate());
    default:
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', `there is no channel binding of the type ${JSON.stringify(type)}`);
  }
}

function unique(connection: Connection, { version, extendedMasterSecret, resumed }: HandshakeSummary): Uint8Array {
  if (version !== 'TLSv1.2') {
    throw new TLSError(
      'TLS_ERR_NOT_SUPPORTED',
      `tls-unique is not defined for ${version} (RFC 9266): use tls-exporter`,
    );
  }
  if (!extendedMasterSecret) {
    // A man in the middle can give two connections the same one: the triple handshake.
    throw new TLSError('TLS_ERR_EXTENDED_MASTER_SECRET', 'without extended master secret tls-unique binds nothing');
  }
  const first = connection.verifyData(resumed ? 'server' : 'client');
  if (first === undefined) {
    throw new TLSError('TLS_ERR_WRONG_STATE', 'there is no channel binding before the handshake is complete');
  }
  return first.slice();
}

function endPoint(certificate: Uint8Array | undefined): Uint8Array {
  if (certificate === undefined) {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'tls-server-end-point: the server showed no certificate that is known');
  }
  const { oid, parameters } = parseCertificate(certificate).signatureAlgorithm;
  const hash = signatureHashOf(oid, parameters, certificate);
  if (hash === undefined) {
    throw new TLSError(
      'TLS_ERR_NOT_SUPPORTED',
      'tls-server-end-point is not defined for a certificate whose signature names no hash (RFC 5929 §4.1)',
    );
  }
  return hash;
}
