/**
 * KeyUpdate: the sender's next records use its next traffic key, and it may ask the same of the peer.
 *
 *     enum { update_not_requested(0), update_requested(1), (255) } KeyUpdateRequest;
 *     struct { KeyUpdateRequest request_update; } KeyUpdate;
 *
 * RFC 9846 §4.7.3.
 */

import { Reader } from '../bytes/reader.ts';
import { TLSError } from '../errors.ts';
import { finishMessage, startMessage } from './handshake-message.ts';

export interface KeyUpdate {
  readonly updateRequested: boolean;
}

/** The whole handshake message. */
export function encodeKeyUpdate(message: KeyUpdate): Uint8Array {
  return finishMessage(startMessage('key_update', 1).u8(message.updateRequested ? 1 : 0));
}

/** @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_ILLEGAL_PARAMETER` for a value other than 0 and 1 */
export function decodeKeyUpdate(body: Uint8Array): KeyUpdate {
  const reader = new Reader(body, 'KeyUpdate');
  const value = reader.u8('request_update');
  reader.end();
  if (value > 1) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `KeyUpdate.request_update: expected 0 or 1, got ${value}`);
  }
  return { updateRequested: value === 1 };
}
