/** The runner's configuration for this shim: reasons for what is left out, and the codes that stand for its errors. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { errorTable } from '../../src/errors.ts';
import { projectRoot } from '../support/project.ts';

interface ShimConfiguration {
  readonly DisabledTests: Readonly<Record<string, string>>;
  readonly ErrorMap: Readonly<Record<string, string>>;
}

const config: ShimConfiguration = JSON.parse(readFileSync(join(projectRoot, 'test/bogo/config.json'), 'utf8'));

describe('the configuration for BoringSSL’s runner', () => {
  it('gives a reason, in a sentence, for each pattern of tests that it leaves out', () => {
    for (const [pattern, reason] of Object.entries(config.DisabledTests)) {
      assert.match(reason, /^[A-Z0-9].{15,}\.$/, pattern);
      assert.doesNotMatch(pattern, /^\**$/, 'a pattern for everything');
    }
  });

  it('names only error codes that there are', () => {
    for (const [error, expected] of Object.entries(config.ErrorMap)) {
      for (const [code] of expected.matchAll(/TLS_ERR_\w+/g)) {
        assert.ok(Object.hasOwn(errorTable, code), `${error}: ${code}`);
      }
    }
  });

  it('leaves out nothing of what the shim is for', () => {
    const patterns = Object.keys(config.DisabledTests).map(asPattern);
    for (const test of ESSENTIAL) {
      assert.deepEqual(
        patterns.filter((pattern) => pattern.test(test)),
        [],
        test,
      );
    }
  });
});

/** As the runner reads them: an asterisk for any text without a slash. */
function asPattern(glob: string): RegExp {
  return new RegExp(`^${glob.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*')}$`);
}

/** Names of tests of the runner, one for each thing that a pattern too wide would hide. */
const ESSENTIAL = [
  'Basic-Client-TLS-Sync',
  'Resume-Client-TLS13-TLS13-TLS',
  'Resume-Server-InvalidPSKBinder',
  'Resume-Server-PSKBinderFirstExtension',
  'ExtendedMasterSecret-YesToNo-Client',
  'EarlyData-Server-TLS13',
  'TLS-TLS13-AES_128_GCM_SHA256-server',
  'TLS-TLS12-ECDHE_RSA_WITH_AES_128_GCM_SHA256-LargeRecord',
  'TooManyKeyUpdates',
  'ServerSkipCertificateVerify-TLS13',
  'Downgrade-TLS12-Client',
  'TLS13-MaxEarlyData-Server-TLS-Sync',
  'TLS-ECH-Client',
  'TLS-ECH-Client-HelloRetryRequest',
  'TLS-ECH-Client-Reject-NoClientCertificate-TLS13',
  'TLS-ECH-Client-Reject-OverrideName-TLS13',
  'TLS-ECH-GREASE-Client-TLS13-HelloRetryRequest',
  'SendSNIWarningAlert',
  'SendEmptyRecords-Pass',
];
