/** What an alert of the peer means. RFC 9846 §6: in TLS 1.3 all but two are fatal, whatever their level says. */

import { ALERT_LEVEL_WARNING, type AlertDescription, alertName } from '../alerts.ts';
import { TLSError } from '../errors.ts';
import { decodeAlert } from '../messages/alert.ts';

export type ReceivedAlert =
  | { readonly kind: 'close_notify' }
  /** Informational; close_notify follows (RFC 9846 §6.1). */
  | { readonly kind: 'user_canceled' }
  /** TLS 1.2, or what may become it: the connection goes on (RFC 5246 §7.2). */
  | { readonly kind: 'warning'; readonly name: AlertDescription | undefined }
  | { readonly kind: 'fatal'; readonly error: TLSError };

/**
 * `mayBeTls12`: the connection is of TLS 1.2, or a client still has to learn whether it is.
 * @throws TLSError `TLS_ERR_UNEXPECTED_MESSAGE` an empty record, `TLS_ERR_DECODE`
 */
export function readAlert(content: Uint8Array, peer: 'client' | 'server', mayBeTls12: boolean): ReceivedAlert {
  if (content.length === 0) {
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'an alert record is empty');
  }
  const { level, description } = decodeAlert(content);
  const name = alertName(description);
  if (name === 'close_notify' || name === 'user_canceled') {
    return { kind: name };
  }
  if (mayBeTls12 && level === ALERT_LEVEL_WARNING) {
    return { kind: 'warning', name };
  }
  const shown = name ?? `unassigned alert ${description}`;
  const error = new TLSError('TLS_ERR_ALERT_RECEIVED', `the ${peer} ended the connection: ${shown}`, { alert: name });
  return { kind: 'fatal', error };
}
