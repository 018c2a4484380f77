/** Numbers of the host that would break a handshake in its middle are refused before it begins. */

import type { ClientOptions, ServerOptions } from '../connection-options.ts';
import { TLSError } from '../errors.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';

/** Bytes; RFC 8449 §4. */
const MIN_RECORD_SIZE_LIMIT = 64;
/** Records: room for data between one KeyUpdate and the next. */
const MIN_USAGE_LIMIT = 8;

/** @throws TLSError `TLS_ERR_CONFIG` */
export function checkOptions({ recordSizeLimit, usageLimit }: ClientOptions | ServerOptions): void {
  if (recordSizeLimit !== undefined && !isWithin(recordSizeLimit, MIN_RECORD_SIZE_LIMIT, MAX_PLAINTEXT + 1)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `recordSizeLimit must be from ${MIN_RECORD_SIZE_LIMIT} to ${MAX_PLAINTEXT + 1} bytes, got ${recordSizeLimit}`,
    );
  }
  if (usageLimit !== undefined && !isWithin(usageLimit, MIN_USAGE_LIMIT, Number.MAX_SAFE_INTEGER)) {
    throw new TLSError('TLS_ERR_CONFIG', `usageLimit must be at least ${MIN_USAGE_LIMIT} records, got ${usageLimit}`);
  }
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
