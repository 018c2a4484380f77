import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import { fromHex } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import {
  certificateSignatureScheme,
  generateCertificateKey,
  sha256,
  verifyCertificateSignature,
  weakSha1,
} from '../../src/crypto/x509.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { restrictedRsaPss } from './rsa-pss.ts';
import { assertBytes } from './wycheproof.ts';

const tbs = new TextEncoder().encode('to be signed');
const NULL = Uint8Array.of(5, 0);
const rsa = rsaKeyPair();
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const ed25519 = generateKeyPairSync('ed25519');
const ed448 = generateKeyPairSync('ed448');

const RSA = '1.2.840.113549.1.1';
const ECDSA = '1.2.840.10045.4.3';
const PSS = `${RSA}.10`;

/** RSASSA-PSS-params as OpenSSL writes them: SHA-256, MGF1 with SHA-256, salt of 32 bytes. */
const PSS_SHA256 = fromHex(
  '3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120',
);

function spki(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

test('certificate signatures of every supported algorithm verify, and fail once a byte changes', () => {
  const cases: [string, Uint8Array | undefined, { privateKey: KeyObject; publicKey: KeyObject }, string | null][] = [
    [`${RSA}.11`, NULL, rsa, 'sha256'],
    [`${RSA}.11`, undefined, rsa, 'sha256'],
    [`${RSA}.12`, NULL, rsa, 'sha384'],
    [`${RSA}.13`, NULL, rsa, 'sha512'],
    [`${ECDSA}.2`, undefined, p256, 'sha256'],
    [`${ECDSA}.3`, undefined, p384, 'sha384'],
    [`${ECDSA}.4`, undefined, p521, 'sha512'],
    [`${ECDSA}.2`, undefined, p384, 'sha256'],
    ['1.3.101.112', undefined, ed25519, null],
    ['1.3.101.113', undefined, ed448, null],
  ];
  for (const [algorithmOid, algorithmParameters, pair, hash] of cases) {
    const signature = Uint8Array.from(sign(hash, tbs, pair.privateKey));
    const input = { algorithmOid, algorithmParameters, issuerSpki: spki(pair.publicKey), tbs, signature };
    assert.equal(verifyCertificateSignature(input), true);
    assert.equal(verifyCertificateSignature({ ...input, tbs: tbs.subarray(1) }), false);
    signature[signature.length >> 1] ^= 1;
    assert.equal(verifyCertificateSignature(input), false);
  }
});

test('RSA-PSS verifies with matching parameters only', () => {
  const signature = sign('sha256', tbs, {
    key: rsa.privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  });
  const input = { algorithmOid: PSS, algorithmParameters: PSS_SHA256, issuerSpki: spki(rsa.publicKey), tbs, signature };
  assert.equal(verifyCertificateSignature(input), true);
  for (const [changed, verdict] of [
    [PSS_SHA256.subarray(0, -1), 'unsupported'],
    [Uint8Array.from([...PSS_SHA256, 0]), 'unsupported'],
    [PSS_SHA256.map((byte, i) => (i === PSS_SHA256.length - 1 ? 20 : byte)), 'unsupported'],
    [undefined, 'unsupported'],
    [NULL, 'unsupported'],
    [fromHex('3000'), 'unsupported'],
  ] as const) {
    assert.equal(verifyCertificateSignature({ ...input, algorithmParameters: changed }), verdict);
  }

  const restricted = restrictedRsaPss('sha384', 'sha384', 48);
  assert.equal(verifyCertificateSignature({ ...input, issuerSpki: spki(restricted.publicKey) }), false);
});

test('RSA-PSS parameters verify for each hash as OpenSSL encodes them', () => {
  for (const [hash, arc, length] of [
    ['sha256', 1, 32],
    ['sha384', 2, 48],
    ['sha512', 3, 64],
  ] as const) {
    const parameters = Uint8Array.from(PSS_SHA256);
    const places = [...parameters.keys()].filter(
      (i) => parameters[i] === 4 && parameters[i + 1] === 2 && parameters[i + 2] === 1,
    );
    assert.equal(places.length, 2);
    for (const at of places) {
      parameters[at + 2] = arc;
    }
    parameters[parameters.length - 1] = length;
    const key = { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: length };
    const signature = sign(hash, tbs, key);
    const input = {
      algorithmOid: PSS,
      algorithmParameters: parameters,
      issuerSpki: spki(rsa.publicKey),
      tbs,
      signature,
    };
    assert.equal(verifyCertificateSignature(input), true);
    assert.equal(certificateSignatureScheme(PSS, parameters), `rsa_pss_rsae_${hash}`);
  }
});

test('SHA-1, MD5 and unknown algorithms, stray parameters and unfit keys are unsupported', () => {
  const good = { issuerSpki: spki(rsa.publicKey), tbs, signature: sign('sha1', tbs, rsa.privateKey) };
  for (const algorithmOid of [`${RSA}.5`, `${RSA}.4`, '1.2.840.10045.4.1', '1.2.840.10040.4.3', '1.2.3', '']) {
    assert.equal(verifyCertificateSignature({ ...good, algorithmOid }), 'unsupported');
    assert.equal(certificateSignatureScheme(algorithmOid), undefined);
  }
  const signature = sign('sha256', tbs, p256.privateKey);
  const ecdsa = { algorithmOid: `${ECDSA}.2`, issuerSpki: spki(p256.publicKey), tbs, signature };
  assert.equal(verifyCertificateSignature({ ...ecdsa, algorithmParameters: NULL }), 'unsupported');
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const weak = { algorithmOid: `${RSA}.11`, issuerSpki: spki(small.publicKey), tbs };
  assert.equal(
    verifyCertificateSignature({ ...weak, signature: sign('sha256', tbs, small.privateKey) }),
    'unsupported',
  );
});

test('an issuer key of another type than the algorithm is a bad signature', () => {
  const signature = sign('sha256', tbs, p256.privateKey);
  for (const algorithmOid of [`${RSA}.11`, '1.3.101.112']) {
    assert.equal(verifyCertificateSignature({ algorithmOid, issuerSpki: spki(p256.publicKey), tbs, signature }), false);
  }
});

test('a certificate key signs what its public key verifies, and its PEM imports', () => {
  const key = generateCertificateKey();
  const signature = key.sign(tbs);
  const input = { algorithmOid: `${ECDSA}.2`, issuerSpki: key.spki, tbs, signature };
  assert.equal(verifyCertificateSignature(input), true);
  assertBytes(nodeProvider.importPrivateKey(key.privateKeyPem).publicKeySpki, key.spki);
  assert.notDeepEqual(generateCertificateKey().spki, key.spki);
});

test('digests are those of FIPS 180-4', () => {
  const abc = new TextEncoder().encode('abc');
  assertBytes(sha256(abc), fromHex('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'));
  assertBytes(weakSha1(abc), fromHex('a9993e364706816aba3e25717850c26c9cd0d89d'));
});
