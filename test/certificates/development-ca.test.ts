/** The development CA's certificates are accepted by Mayfly, OpenSSL and GnuTLS. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import { pemToDer } from '../../src/certificates/pem.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { verifyCertificateChain } from '../../src/certificates/verify.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { DAY } from './builder.ts';
import { refused } from './checks.ts';

const now = Date.now();
const names = ['localhost', '127.0.0.1', '::1', '*.test.example.com'];
const ca = createDevelopmentCa({ now });
const issued = issueServerCertificate({ ca, names, now, days: 90 });

function check(serverName: string, at = now): void {
  verifyCertificateChain({
    chain: pemToDer(issued.certificatePem),
    roots: createTrustStore([ca.certificatePem]),
    serverName,
    now: at,
    purpose: 'server',
  });
}

test('a server certificate is valid in strict form for each of its names and for no other', () => {
  for (const name of ['localhost', '127.0.0.1', '::1', '0:0:0:0:0:0:0:1', 'a.test.example.com']) {
    check(name);
  }
  refused(() => check('example.com'), 'TLS_ERR_CERTIFICATE_NAME', /it is for localhost, 127\.0\.0\.1, ::1/);
  check('localhost', now - 60_000);
  refused(() => check('localhost', now + 91 * DAY), 'TLS_ERR_CERTIFICATE_EXPIRED', /expired/);
});

test('the certificate has what browsers ask for', () => {
  const leaf = parseCertificate(pemToDer(issued.certificatePem)[0]);
  const root = parseCertificate(pemToDer(ca.certificatePem)[0]);
  assert.ok(leaf.notAfter - leaf.notBefore <= 397 * DAY);
  assert.deepEqual([...(leaf.extKeyUsage ?? [])], ['1.3.6.1.5.5.7.3.1']);
  assert.deepEqual([...(leaf.keyUsage ?? [])], ['digitalSignature']);
  assert.equal(leaf.basicConstraints?.ca, false);
  assert.deepEqual(leaf.authorityKeyIdentifier?.keyIdentifier, root.subjectKeyIdentifier);
  assert.deepEqual(root.basicConstraints, { ca: true, pathLength: 0 });
  assert.deepEqual([...(root.keyUsage ?? [])], ['keyCertSign', 'cRLSign']);
  assert.ok(root.extensions.get(extensionOids.basicConstraints)?.critical);
  assert.ok(new X509Certificate(issued.certificatePem).checkIssued(new X509Certificate(ca.certificatePem)));
});

test('keys, serial numbers and CA names are new each time', () => {
  const other = issueServerCertificate({ ca, names, now });
  assert.notEqual(other.privateKeyPem, issued.privateKeyPem);
  const [a, b] = [issued, other].map(({ certificatePem }) => parseCertificate(pemToDer(certificatePem)[0]));
  assert.notDeepEqual(a.serialNumber, b.serialNumber);
  assert.notDeepEqual(a.publicKey.der, b.publicKey.der);
  const [first, second] = [ca, createDevelopmentCa({ now })].map(({ certificatePem }) =>
    parseCertificate(pemToDer(certificatePem)[0]),
  );
  assert.notEqual(first.subject.key, second.subject.key);
});

test('the private key belongs to the certificate and can be imported', () => {
  const key = nodeProvider.importPrivateKey(issued.privateKeyPem);
  assert.equal(key.type, 'ec-p256');
  assert.deepEqual(
    new Uint8Array(key.publicKeySpki),
    new Uint8Array(parseCertificate(pemToDer(issued.certificatePem)[0]).publicKey.der),
  );
});

test('a certificate never outlives its CA', () => {
  const late = now + 3600 * DAY;
  const leaf = parseCertificate(
    pemToDer(issueServerCertificate({ ca, names, now: late, days: 300 }).certificatePem)[0],
  );
  assert.ok(leaf.notAfter <= parseCertificate(pemToDer(ca.certificatePem)[0]).notAfter);
  refused(() => issueServerCertificate({ ca, names, now: now + 3700 * DAY }), 'TLS_ERR_CONFIG', /CA ended at/);
});

test('wrong input is refused with what is wrong', () => {
  const issue = (changes: object) => () => issueServerCertificate({ ca, names, now, days: 90, ...changes });
  refused(issue({ names: [] }), 'TLS_ERR_CONFIG', /at least one/);
  refused(issue({ names: ['no spaces'] }), 'TLS_ERR_CONFIG', /"no spaces" is neither/);
  refused(issue({ names: ['bücher.example'] }), 'TLS_ERR_CONFIG', /A-labels/);
  refused(issue({ days: 0 }), 'TLS_ERR_CONFIG', /1 to 396 days/);
  refused(issue({ days: 400 }), 'TLS_ERR_CONFIG', /1 to 396 days/);
  refused(
    issue({ ca: { ...ca, privateKeyPem: createDevelopmentCa({ now }).privateKeyPem } }),
    'TLS_ERR_KEY_MISMATCH',
    /does not belong/,
  );
  refused(issue({ ca: issued }), 'TLS_ERR_CONFIG', /not that of a CA/);
  refused(issue({ ca: { ...ca, certificatePem: 'nonsense' } }), 'TLS_ERR_CONFIG', /without PEM blocks/);
});

test('OpenSSL accepts the chain with -x509_strict', skipUnless('openssl'), () => {
  withFiles((caFile, leafFile) => {
    const args = [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'localhost',
      '-CAfile',
      caFile,
      leafFile,
    ];
    assert.match(execFileSync(requireTool('openssl'), args, { encoding: 'utf8' }), /: OK/);
  });
});

test('GnuTLS accepts the chain', skipUnless('certtool'), () => {
  withFiles((caFile, leafFile) => {
    const args = [
      '--verify',
      '--verify-profile',
      'high',
      '--verify-hostname',
      'localhost',
      '--load-ca-certificate',
      caFile,
      '--infile',
      leafFile,
    ];
    const output = execFileSync(requireTool('certtool'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    assert.match(output, /The certificate is trusted/);
  });
});

function withFiles(use: (caFile: string, leafFile: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-ca-'));
  try {
    const files = ['ca.pem', 'leaf.pem'].map((name) => join(folder, name));
    writeFileSync(files[0], ca.certificatePem);
    writeFileSync(files[1], issued.certificatePem);
    use(files[0], files[1]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
