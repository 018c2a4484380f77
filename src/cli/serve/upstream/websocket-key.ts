/**
 * What shows that a WebSocket server took up the handshake of this very client:
 *
 *     Sec-WebSocket-Key     base64 of 16 random bytes
 *     Sec-WebSocket-Accept  base64( SHA-1( Sec-WebSocket-Key || GUID ) )
 *
 * RFC 6455 §4.1, §4.2.2. Clients check it; we do because after a 101 all passes unseen. A status alone may be that of somebody
 * whom the upstream server asked in turn, and then the way would lead past every check to a server that still speaks HTTP.
 */

import { utf8 } from '../../../bytes/bytes.ts';
import { weakSha1 } from '../../../crypto/x509.ts';

/** RFC 6455 §4.2.1: other requests a server must refuse. Of several keys, joined by commas, none is one. */
export function isWebSocketKey(value: string | undefined): value is string {
  return value !== undefined && KEY.test(value) && Buffer.from(value, 'base64').length === 16;
}

/** What a server says to this key. */
export function acceptOf(key: string): string {
  return Buffer.from(weakSha1(utf8(key + GUID))).toString('base64');
}

const KEY = /^[A-Za-z0-9+/]{22}==$/;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
