/**
 * OpenSSL resumes a session under whatever server name it is presented with, and takes over the verdict on the client's
 * certificate from the handshake that made it: that of another virtual host, with another set of CAs (as in CVE-2025-23419).
 * The guard judges the client anew, by the CAs of the name that was asked for.
 *
 * A ticket holds the client's leaf alone: intermediates are looked for among the CAs that are given.
 */

import type { TLSSocket } from 'node:tls';
import { TLSError } from '../../errors.ts';
import { type CaOption, trustFor, verifyClientChain } from '../trust.ts';

/** The CAs for clients of one virtual host; undefined where nobody told. */
export type ClientTrust = (serverName: string) => CaOption | undefined;

/** Why the client of this resumed connection is not authorized; undefined when it is. */
export function refusalOf(socket: TLSSocket, trust: ClientTrust): TLSError | undefined {
  const certificate = socket.getPeerX509Certificate?.();
  if (certificate === undefined) {
    // Node takes a TLS 1.3 session without a certificate for one by external PSK, and says that it is authorized.
    return new TLSError('TLS_ERR_CERTIFICATE_REQUIRED', 'the session was made without a client certificate');
  }
  const serverName = typeof socket.servername === 'string' ? socket.servername : '';
  const ca = trust(serverName);
  if (ca === undefined) {
    return new TLSError(
      'TLS_ERR_UNKNOWN_CA',
      `a session with a client certificate was resumed for "${serverName}", whose CAs are not known: give them as \`clientTrust\``,
    );
  }
  try {
    verifyClientChain(trustFor(ca), [new Uint8Array(certificate.raw)]);
    return undefined;
  } catch (error) {
    return error instanceof TLSError
      ? error
      : new TLSError('TLS_ERR_INTERNAL', 'the client could not be judged', { cause: error });
  }
}
