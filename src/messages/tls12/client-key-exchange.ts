/**
 * ClientKeyExchange: the client's ephemeral public key.
 *
 *     ECDHE:  struct { opaque point<1..2^8-1>; } ClientECDiffieHellmanPublic;
 *     DHE:    struct { opaque dh_Yc<1..2^16-1>; } ClientDiffieHellmanPublic;
 *
 * RFC 5246 §7.4.7.2, RFC 8422 §5.7. The implicit form, whose key is in the client's certificate, is static Diffie-Hellman
 * and left out.
 */

import { Reader } from '../../bytes/reader.ts';
import { copyOf } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface ClientKeyExchange {
  /** Not on the wire: it follows from the suite. */
  readonly kind: 'ecdhe' | 'dhe';
  readonly publicKey: Uint8Array;
}

/** The whole handshake message. */
export function encodeClientKeyExchange(message: ClientKeyExchange): Uint8Array {
  const { kind, publicKey } = message;
  const writer = startMessage('client_key_exchange', 2 + publicKey.length);
  return finishMessage(kind === 'ecdhe' ? writer.vector8(publicKey) : writer.vector16(publicKey));
}

/** @throws TLSError `TLS_ERR_DECODE` */
export function decodeClientKeyExchange(body: Uint8Array, kind: 'ecdhe' | 'dhe'): ClientKeyExchange {
  const reader = new Reader(body, 'ClientKeyExchange');
  const publicKey = copyOf(
    kind === 'ecdhe' ? reader.vector8('point', 1) : reader.vector16('dh_Yc', 1, MAX_PUBLIC_KEY_LENGTH),
  );
  reader.end();
  return { kind, publicKey };
}

/** That of the largest prime a ServerKeyExchange may carry: more is only there to be multiplied. */
const MAX_PUBLIC_KEY_LENGTH = 1024;
