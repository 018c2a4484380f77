/**
 * Finished: a MAC over the whole handshake.
 *
 *     struct { opaque verify_data[Hash.length]; } Finished;
 *
 * RFC 9846 §4.5.3.
 */

import { Reader } from '../bytes/reader.ts';
import { copyOf } from './fields.ts';
import { frame } from './handshake-message.ts';

export interface Finished {
  readonly verifyData: Uint8Array;
}

/** The whole handshake message. */
export function encodeFinished(message: Finished): Uint8Array {
  return frame('finished', message.verifyData);
}

/**
 * @param expectedLength bytes of the suite's hash (12 in TLS 1.2)
 * @throws TLSError `TLS_ERR_DECODE` for any other length
 */
export function decodeFinished(body: Uint8Array, expectedLength: number): Finished {
  const reader = new Reader(body, 'Finished');
  const verifyData = copyOf(reader.bytes(expectedLength, 'verify_data'));
  reader.end();
  return { verifyData };
}
