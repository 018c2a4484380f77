/**
 * The certificate that a client has proved to hold the key of, for the upstream server: nobody behind the end of TLS can see it.
 *
 *     Client-Cert = ":" base64(DER) ":"
 *
 * RFC 9440 §2.1, §2.2; RFC 9651 §3.3.5.
 */

import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from '../../../node/tls-socket.ts';

/** As much as is asked of it here: without TLS, in tests, a socket has none of it. */
type Authorized = Partial<Pick<TLSSocket, 'authorized' | 'getPeerX509Certificate'>>;

/** Undefined where none was shown that is trusted. */
export function clientCertificate({ socket }: IncomingMessage): string | undefined {
  const { authorized, getPeerX509Certificate } = socket as Authorized;
  if (authorized !== true || getPeerX509Certificate === undefined) {
    return undefined;
  }
  const known = values.get(socket);
  if (known !== undefined) {
    return known;
  }
  const certificate = getPeerX509Certificate.call(socket);
  const value = certificate && `:${certificate.raw.toString('base64')}:`;
  if (value !== undefined) {
    values.set(socket, value);
  }
  return value;
}

/** A connection's certificate stays as it is. */
const values = new WeakMap<object, string>();
