/** Assertions on refusals: by the stable code, and that what is told to people never holds bytes. */

import assert from 'node:assert/strict';
import { TLSError, type TLSErrorCode } from '../../src/errors.ts';

/** Asserts that the call throws the error with this code, and returns it. */
export function refuses(code: TLSErrorCode, call: () => unknown): TLSError {
  let refusal: TLSError | undefined;
  assert.throws(call, (error: unknown) => {
    if (!(error instanceof TLSError)) {
      return false;
    }
    refusal = error;
    assert.equal(error.code, code, error.message);
    return true;
  });
  return refusal as TLSError;
}
