/**
 * EndOfEarlyData: the client's last message under the keys for early data.
 *
 *     struct { } EndOfEarlyData;
 *
 * RFC 9846 §4.6.
 */

import { EMPTY } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { frame } from './handshake-message.ts';

/** The whole handshake message. */
export function encodeEndOfEarlyData(): Uint8Array {
  return frame('end_of_early_data', EMPTY);
}

/** @throws TLSError `TLS_ERR_DECODE` unless the body is empty */
export function decodeEndOfEarlyData(body: Uint8Array): void {
  new Reader(body, 'EndOfEarlyData').end();
}
