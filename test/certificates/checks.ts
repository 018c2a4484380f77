/** Shorthands for asking the validator in tests. */

import assert from 'node:assert/strict';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { type VerifiedChain, type VerifyOptions, verifyCertificateChain } from '../../src/certificates/verify.ts';
import { TLSError, type TLSErrorCode } from '../../src/errors.ts';
import { type Authority, NOW } from './builder.ts';

export function verify(
  chain: readonly Authority[],
  roots: readonly Authority[],
  options: Partial<VerifyOptions> = {},
): VerifiedChain {
  return verifyCertificateChain({
    chain: chain.map(({ der }) => der),
    roots: createTrustStore(roots.map(({ der }) => der)),
    serverName: 'example.com',
    now: NOW,
    purpose: 'server',
    ...options,
  });
}

/** Asserts that `action` throws a TLSError with this code and a text that matches. */
export function refused(action: () => unknown, code: TLSErrorCode, text: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof TLSError, `expected a TLSError, got ${String(error)}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });
}
