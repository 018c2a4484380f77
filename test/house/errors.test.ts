/** The error table: every code is asserted by some test, and every row is whole. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { alertCodes } from '../../src/alerts.ts';
import { errorTable, TLSError, type TLSErrorCode } from '../../src/errors.ts';
import { sourceFiles, sourceText, withoutComments } from './sources.ts';

const codes = Object.keys(errorTable) as TLSErrorCode[];

/** Codes that nothing raises yet, and so no test can, each with the reason. */
const UNRAISED: Partial<Record<TLSErrorCode, string>> = {};

describe('error codes', () => {
  it('are each named by some test', () => {
    const texts = sourceFiles('test')
      .filter((file) => !file.startsWith('test/house/'))
      .map(sourceText)
      .join('\n');
    const missing = codes.filter((code) => !names(texts, code));
    assert.deepEqual(missing, Object.keys(UNRAISED));
  });

  it('are each raised by the library itself', () => {
    const texts = sourceFiles('src')
      // The commands only translate codes for people.
      .filter((file) => file !== 'src/errors.ts' && !file.startsWith('src/cli/'))
      .map((file) => withoutComments(sourceText(file)))
      .join('\n');
    const unraised = codes.filter((code) => !names(texts, code));
    assert.deepEqual(unraised, Object.keys(UNRAISED));
  });

  it('carry their row: blame, alert and section', () => {
    for (const code of codes) {
      const error = new TLSError(code, 'detail');
      const row: { alert?: string } = errorTable[code];
      assert.equal(error.code, code);
      assert.equal(error.name, 'TLSError');
      assert.equal(error.message, 'detail');
      assert.equal(error.alert, row.alert);
      assert.equal(error.blame, errorTable[code].blame);
      assert.match(error.section, /^(RFC \d{4} §|docs\/|README)/);
      assert.ok(row.alert === undefined || row.alert in alertCodes);
    }
  });

  it('keep the cause, and let the alert be another', () => {
    const cause = new Error('why');
    const error = new TLSError('TLS_ERR_ALERT_RECEIVED', 'detail', { cause, alert: 'bad_certificate' });
    assert.equal(error.cause, cause);
    assert.equal(error.alert, 'bad_certificate');
    assert.equal(Object.hasOwn(new TLSError('TLS_ERR_DECODE', 'detail'), 'cause'), false);
  });
});

function names(texts: string, code: string): boolean {
  return new RegExp(`\\b${code}\\b`).test(texts);
}
