/**
 * Alert: two bytes in a record of their own; not a handshake message, so without its header.
 *
 *     struct { AlertLevel level; AlertDescription description; } Alert;
 *
 * RFC 9846 §6.
 */

import { Reader } from '../bytes/reader.ts';

export interface Alert {
  /** 1 warning, 2 fatal; to be ignored in TLS 1.3, where the description decides. */
  readonly level: number;
  /** May be one that is not registered. */
  readonly description: number;
}

/** The two bytes. */
export function encodeAlert(alert: Alert): Uint8Array {
  return Uint8Array.of(alert.level, alert.description);
}

/** @throws TLSError `TLS_ERR_DECODE` for anything but two bytes: an alert is never split or joined (RFC 9846 §5.1) */
export function decodeAlert(bytes: Uint8Array): Alert {
  const reader = new Reader(bytes, 'Alert');
  const level = reader.u8('level');
  const description = reader.u8('description');
  reader.end();
  return { level, description };
}
