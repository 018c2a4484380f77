/** Numbers of the host that would break a handshake in its middle are refused before it begins. */

import type { ClientOptions, ServerOptions } from '../connection-options.ts';
import { ffdheGroups } from '../crypto/dhe-groups.ts';
import { TLSError } from '../errors.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import { codesToTake } from './signature-choice.ts';

/** Bytes; RFC 8449 §4. */
const MIN_RECORD_SIZE_LIMIT = 64;
/** Records: room for data between one KeyUpdate and the next. */
const MIN_USAGE_LIMIT = 8;
/** Milliseconds and bytes: a KeyUpdate for every few records would cost more than the records. */
const MIN_KEY_AGE = 1000;
const MIN_KEY_BYTES = 2 ** 16;

/**
 * How far keys may be used, and when they are renewed.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function checkKeyLife({ usageLimit, keyRenewal }: Pick<ServerOptions, 'usageLimit' | 'keyRenewal'>): void {
  const { afterMilliseconds = MIN_KEY_AGE, afterBytes = MIN_KEY_BYTES } = keyRenewal ?? {};
  if (!(afterMilliseconds >= MIN_KEY_AGE && afterBytes >= MIN_KEY_BYTES)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `keyRenewal takes afterMilliseconds from ${MIN_KEY_AGE} and afterBytes from ${MIN_KEY_BYTES}`,
    );
  }
  if (usageLimit !== undefined && !isWithin(usageLimit, MIN_USAGE_LIMIT, Number.MAX_SAFE_INTEGER)) {
    throw new TLSError('TLS_ERR_CONFIG', `usageLimit must be at least ${MIN_USAGE_LIMIT} records, got ${usageLimit}`);
  }
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function checkOptions(options: ClientOptions | ServerOptions): void {
  const { recordSizeLimit, ffdheGroups12 } = options;
  checkKeyLife(options);
  if ('acceptedSchemes' in options) {
    codesToTake(options.acceptedSchemes, options.versions?.includes('TLSv1.2') ? 'TLSv1.2' : 'TLSv1.3');
  }
  if (recordSizeLimit !== undefined && !isWithin(recordSizeLimit, MIN_RECORD_SIZE_LIMIT, MAX_PLAINTEXT + 1)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `recordSizeLimit must be from ${MIN_RECORD_SIZE_LIMIT} to ${MAX_PLAINTEXT + 1} bytes, got ${recordSizeLimit}`,
    );
  }
  if (
    ffdheGroups12 !== undefined &&
    !(ffdheGroups12.length > 0 && ffdheGroups12.every((name) => Object.hasOwn(ffdheGroups, name)))
  ) {
    const known = Object.keys(ffdheGroups).join(', ');
    throw new TLSError('TLS_ERR_CONFIG', `ffdheGroups12 must name one or more of ${known}`);
  }
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
