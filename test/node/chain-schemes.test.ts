/** What a SecureContext knows of its chains, for peers that name the signatures and the authorities they can check. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import { createSecureContext } from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { certificateFor as devCertificate } from './support.ts';

const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };

test('a chain is known by its issuers and by how its certificates are signed, self-signed ones left out', () => {
  const root = makeRoot({ subject: 'An authority', ...validity });
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const leaf = makeLeaf(root, {
    subject: 'A server',
    names: ['localhost'],
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    ...validity,
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const [alone] = createSecureContext({ cert: derToPem(leaf.der), key }).credentials;
  assert.deepEqual(alone.chainSchemes, ['ecdsa_secp256r1_sha256']);
  assert.equal(alone.issuers?.length, 1);
  const [withRoot] = createSecureContext({ cert: derToPem(leaf.der) + derToPem(root.der), key }).credentials;
  assert.deepEqual(withRoot.chainSchemes, alone.chainSchemes);
  assert.deepEqual(withRoot.issuers, [...(alone.issuers ?? []), ...(alone.issuers ?? [])]);
  assert.ok(createSecureContext(devCertificate('localhost')).credentials[0].chainSchemes?.length);
});
