/**
 * message_hash: the synthetic message that stands for the first ClientHello in the transcript once a HelloRetryRequest
 * was sent.
 *
 *     message_hash(254) ‖ 00 00 Hash.length ‖ Hash(ClientHello1)
 *
 * RFC 9846 §4.1.
 */

import { frame } from './handshake-message.ts';

/** @param hash of the whole first ClientHello message */
export function messageHash(hash: Uint8Array): Uint8Array {
  return frame('message_hash', hash);
}
