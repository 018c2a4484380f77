/** The cases of C2SP/x509-limbo, and those decided otherwise by `limbo-exceptions.ts`. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pemToDer } from '../../src/certificates/pem.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { verifyCertificateChain } from '../../src/certificates/verify.ts';
import { TLSError } from '../../src/errors.ts';
import { projectRoot } from '../support/project.ts';
import { limboExceptions } from './limbo-exceptions.ts';

interface LimboCase {
  readonly id: string;
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: { readonly kind: string; readonly value: string } | null;
  readonly max_chain_depth: number | null;
}

const file = readFileSync(join(projectRoot, 'test', 'vectors', 'x509-limbo.json'), 'utf8');
const cases: readonly LimboCase[] = JSON.parse(file).testcases;

test('every case of x509-limbo is decided as expected or as argued', (context) => {
  const wrong: string[] = [];
  const count = { accepted: 0, refused: 0, argued: 0 };
  for (const limboCase of cases) {
    const { verdict, why } = decide(limboCase);
    const exception = limboExceptions[limboCase.id];
    if (verdict !== (exception?.verdict ?? limboCase.expected_result)) {
      wrong.push(`${limboCase.id}: expected ${limboCase.expected_result}, got ${verdict} ${why}`);
    }
    count[verdict === 'SUCCESS' ? 'accepted' : 'refused']++;
    count.argued += exception === undefined ? 0 : 1;
  }
  context.diagnostic(
    `x509-limbo: ${cases.length} cases, ${count.accepted} accepted, ${count.refused} refused; ` +
      `${count.argued} decided otherwise than the file, each for a written reason`,
  );
  assert.deepEqual(wrong, []);
});

test('every argued exception is a case of x509-limbo and differs from what the file expects', () => {
  for (const [id, exception] of Object.entries(limboExceptions)) {
    const limboCase = cases.find((candidate) => candidate.id === id);
    assert.ok(limboCase !== undefined, `${id} is not in the file`);
    assert.notEqual(limboCase.expected_result, exception.verdict, `${id} needs no exception`);
    assert.ok(exception.reason.length > 20, `${id} has no reason`);
  }
});

test('a chain that x509-limbo expects to be good is refused only where TLS itself demands it', () => {
  const rejections = Object.entries(limboExceptions).filter(([, { verdict }]) => verdict === 'FAILURE');
  for (const [id, { reason }] of rejections) {
    assert.match(reason, /RFC 9846/, id);
  }
  assert.ok(cases.filter(({ id }) => id.startsWith('online::')).every(({ id }) => limboExceptions[id] === undefined));
});

test('tolerant form accepts every chain that strict form accepts, and only drops refusals of form', () => {
  for (const limboCase of cases) {
    const strict = decide(limboCase);
    const tolerant = decide(limboCase, 'tolerant');
    if (strict.verdict !== tolerant.verdict) {
      assert.equal(tolerant.verdict, 'SUCCESS', limboCase.id);
      assert.match(strict.why, FORM, limboCase.id);
    }
  }
});

function decide(
  limboCase: LimboCase,
  form: 'strict' | 'tolerant' = 'strict',
): { verdict: 'SUCCESS' | 'FAILURE'; why: string } {
  const name = limboCase.expected_peer_name;
  try {
    verifyCertificateChain({
      chain: [limboCase.peer_certificate, ...limboCase.untrusted_intermediates].flatMap(pemToDer),
      roots: createTrustStore(limboCase.trusted_certs),
      serverName: name?.value ?? '',
      checkName: name !== null,
      // Null means now, as the file says.
      now: limboCase.validation_time === null ? Date.now() : Date.parse(limboCase.validation_time),
      purpose: limboCase.validation_kind === 'SERVER' ? 'server' : 'client',
      form,
      ...(limboCase.max_chain_depth !== null && { budget: { intermediates: limboCase.max_chain_depth } }),
    });
    return { verdict: 'SUCCESS', why: '' };
  } catch (error) {
    assert.ok(error instanceof TLSError, `${limboCase.id} threw ${String(error)}`);
    return { verdict: 'FAILURE', why: `${error.code}: ${error.message}` };
  }
}

const FORM =
  /critical \(RFC 5280 §4\.2|KeyIdentifier|serial number|underscore|extKeyUsage does not allow serverAuth|keyIdentifier/;
