import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { PrivateKey } from '../../src/crypto/provider.ts';
import {
  type KeyType,
  type SignatureScheme,
  schemesForKeyType,
  signatureSchemes,
} from '../../src/crypto/signatures.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import { restrictedRsaPss } from './rsa-pss.ts';
import { bytes, runVectors } from './wycheproof.ts';

interface SignatureGroup {
  readonly publicKeyDer: string;
}

interface SignatureVector {
  readonly msg: string;
  readonly sig: string;
}

for (const [file, scheme, expected] of [
  ['ecdsa_secp256r1_sha256_test.json', 'ecdsa_secp256r1_sha256', { valid: 174, invalid: 310 }],
  ['ecdsa_secp384r1_sha384_test.json', 'ecdsa_secp384r1_sha384', { valid: 194, invalid: 310 }],
  ['ecdsa_secp521r1_sha512_test.json', 'ecdsa_secp521r1_sha512', { valid: 232, invalid: 310 }],
  ['ed25519_test.json', 'ed25519', { valid: 88, invalid: 63 }],
  ['rsa_pss_2048_sha256_mgf1_32_test.json', 'rsa_pss_rsae_sha256', { valid: 63, invalid: 45 }],
] as const) {
  test(`${scheme} agrees with Wycheproof`, () => {
    const counts = runVectors<SignatureGroup, SignatureVector>(file, (vector, group) => {
      const key = nodeProvider.importPublicKey(bytes(group.publicKeyDer));
      const verdict = nodeProvider.verify(scheme, key, bytes(vector.msg), bytes(vector.sig));
      assert.equal(verdict, vector.result === 'valid');
      return vector.result;
    });
    assert.deepEqual(counts, expected);
  });
}

const rsa = rsaKeyPair().privateKey;
const handles: Record<KeyType, KeyObject> = {
  'ec-p256': generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  'ec-p384': generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  'ec-p521': generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey,
  ed25519: generateKeyPairSync('ed25519').privateKey,
  ed448: generateKeyPairSync('ed448').privateKey,
  rsa,
  'rsa-pss': rsaKeyPair('rsa-pss').privateKey,
};
const keys = Object.entries(handles).map(([type, handle]): [KeyType, PrivateKey] => [
  type as KeyType,
  nodeProvider.importPrivateKey(handle),
]);
const schemes = Object.keys(signatureSchemes) as SignatureScheme[];
const data = new TextEncoder().encode('signed data');

function canMake(type: KeyType, scheme: SignatureScheme): boolean {
  return schemesForKeyType(type).includes(scheme) || (type === 'rsa' && scheme.startsWith('rsa_pkcs1_'));
}

test('every scheme is made and checked by keys of its type, and by no others', () => {
  for (const [type, key] of keys) {
    assert.equal(key.type, type);
    assert.deepEqual(key.schemes, schemesForKeyType(type));
    const publicKey = nodeProvider.importPublicKey(key.publicKeySpki);
    assert.equal(publicKey.type, type);
    for (const scheme of schemes) {
      if (!canMake(type, scheme)) {
        assert.throws(() => nodeProvider.sign(scheme, key, data), { code: 'TLS_ERR_SIGN_FAILED' });
        assert.equal(nodeProvider.verify(scheme, publicKey, data, new Uint8Array(64)), false);
        continue;
      }
      const signature = Uint8Array.from(nodeProvider.sign(scheme, key, data));
      assert.equal(nodeProvider.verify(scheme, publicKey, data, signature), true);
      signature[signature.length >> 1] ^= 1;
      assert.equal(nodeProvider.verify(scheme, publicKey, data, signature), false);
      signature[signature.length >> 1] ^= 1;
      assert.equal(nodeProvider.verify(scheme, publicKey, data.subarray(1), signature), false);
      assert.equal(nodeProvider.verify(scheme, publicKey, data, signature.subarray(1)), false);
      assert.equal(nodeProvider.verify(scheme, publicKey, data, new Uint8Array(0)), false);
    }
  }
});

test('an RSA signature that begins with a zero is none without it, nor with one more', () => {
  for (const [handle, scheme] of [
    [rsa, 'rsa_pss_rsae_sha256'],
    [handles['rsa-pss'], 'rsa_pss_pss_sha256'],
    [rsa, 'rsa_pkcs1_sha256'],
  ] as const) {
    const key = nodeProvider.importPrivateKey(handle);
    const publicKey = nodeProvider.importPublicKey(key.publicKeySpki);
    let content = data;
    let signature = new Uint8Array([1]);
    // One in 256 does.
    for (let i = 0; signature[0] !== 0; i++) {
      assert(i < 20_000, 'no signature that begins with a zero');
      content = new TextEncoder().encode(`content ${i}`);
      signature = Uint8Array.from(nodeProvider.sign(scheme, key, content));
    }
    assert.equal(nodeProvider.verify(scheme, publicKey, content, signature), true);
    assert.equal(nodeProvider.verify(scheme, publicKey, content, signature.subarray(1)), false, scheme);
    assert.equal(nodeProvider.verify(scheme, publicKey, content, Uint8Array.of(0, ...signature)), false, scheme);
  }
});

test('a signature of one RSA scheme is none of another', () => {
  const key = nodeProvider.importPrivateKey(rsa);
  const publicKey = nodeProvider.importPublicKey(key.publicKeySpki);
  const rsaSchemes = schemes.filter((scheme) => canMake('rsa', scheme));
  assert.equal(rsaSchemes.length, 6);
  for (const made of rsaSchemes) {
    const signature = nodeProvider.sign(made, key, data);
    for (const checked of rsaSchemes) {
      assert.equal(nodeProvider.verify(checked, publicKey, data, signature), made === checked);
    }
  }
});

test('an RSA-PSS key restricted to one hash offers, makes and checks that hash alone', () => {
  const restricted = restrictedRsaPss('sha384', 'sha384', 32).privateKey;
  const key = nodeProvider.importPrivateKey(restricted);
  const publicKey = nodeProvider.importPublicKey(key.publicKeySpki);
  assert.deepEqual(key.schemes, ['rsa_pss_pss_sha384']);
  assert.deepEqual(publicKey.schemes, ['rsa_pss_pss_sha384']);
  const signature = nodeProvider.sign('rsa_pss_pss_sha384', key, data);
  assert.equal(nodeProvider.verify('rsa_pss_pss_sha384', publicKey, data, signature), true);
  assert.throws(() => nodeProvider.sign('rsa_pss_pss_sha256', key, data), { code: 'TLS_ERR_SIGN_FAILED' });
  assert.equal(nodeProvider.verify('rsa_pss_pss_sha256', publicKey, data, signature), false);
});

test('an RSA-PSS key whose restrictions no scheme meets is refused', () => {
  for (const [hash, mgf1Hash, saltLength] of [
    ['sha256', 'sha1', 32],
    ['sha1', 'sha1', 20],
    ['sha256', 'sha256', 33],
  ] as const) {
    const { privateKey, publicKey } = restrictedRsaPss(hash, mgf1Hash, saltLength);
    assert.throws(() => nodeProvider.importPrivateKey(privateKey), { code: 'TLS_ERR_BAD_KEY' });
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    assert.throws(() => nodeProvider.importPublicKey(spki), { code: 'TLS_ERR_UNSUPPORTED_CERTIFICATE' });
  }
});

test('a private key is read from PEM, DER, a KeyObject and a CryptoKey', async () => {
  const handle = handles['ec-p256'];
  const expected = nodeProvider.importPrivateKey(handle).publicKeySpki;
  const pem = handle.export({ type: 'pkcs8', format: 'pem' }) as string;
  const { subtle } = globalThis.crypto;
  const pkcs8 = handle.export({ type: 'pkcs8', format: 'der' });
  const imported = await subtle.importKey('pkcs8', pkcs8, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
  for (const form of [
    pem,
    `text before\n${pem}text after\n`,
    Buffer.from(pem),
    new TextEncoder().encode(pem),
    handle.export({ type: 'sec1', format: 'pem' }) as string,
    Uint8Array.from(pkcs8),
    handle.export({ type: 'sec1', format: 'der' }),
    handle,
    imported,
  ]) {
    const key = nodeProvider.importPrivateKey(form);
    assert.deepEqual(key.publicKeySpki, expected);
    assert.ok(nodeProvider.sign('ecdsa_secp256r1_sha256', key, data).length > 60);
  }
  const pkcs1 = nodeProvider.importPrivateKey(rsa.export({ type: 'pkcs1', format: 'der' }));
  assert.equal(pkcs1.type, 'rsa');
});

test('an encrypted private key needs its passphrase, and the error says so', () => {
  const pem = handles.ed25519.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'opening' });
  assert.equal(nodeProvider.importPrivateKey(pem, 'opening').type, 'ed25519');
  assert.equal(nodeProvider.importPrivateKey(Buffer.from(pem), 'opening').type, 'ed25519');
  assert.throws(() => nodeProvider.importPrivateKey(pem), {
    code: 'TLS_ERR_BAD_KEY',
    message: /a passphrase is needed/,
  });
  assert.throws(() => nodeProvider.importPrivateKey(pem, 'wrong'), { code: 'TLS_ERR_BAD_KEY', message: /wrong pass/ });
});

test('what is no private key of a supported kind is refused', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  for (const bad of [
    '',
    'not a key',
    new Uint8Array(0),
    Uint8Array.of(0x30, 0x03, 1, 2, 3),
    {},
    handles['ec-p256'].export({ type: 'pkcs8', format: 'der' }).subarray(0, 60),
    publicKey,
    publicKey.export({ type: 'spki', format: 'pem' }),
    privateKey,
    generateKeyPairSync('x25519').privateKey,
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
  ]) {
    assert.throws(() => nodeProvider.importPrivateKey(bad), { name: 'TLSError', code: 'TLS_ERR_BAD_KEY' });
  }
});

test('public keys of other kinds and sizes are refused', () => {
  const p256 = nodeProvider.importPrivateKey(handles['ec-p256']).publicKeySpki;
  const compressed = Uint8Array.from([...p256.subarray(0, 26), 2 + (p256[90] & 1), ...p256.subarray(27, 59)]);
  compressed[1] -= 32;
  compressed[24] -= 32;
  const hybrid = Uint8Array.from(p256);
  hybrid[26] = 6 + (p256[90] & 1);
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
  for (const bad of [
    new Uint8Array(0),
    p256.subarray(0, 90),
    Uint8Array.from([...p256, 0]),
    compressed,
    hybrid,
    generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ type: 'spki', format: 'der' }),
    generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey.export({
      type: 'spki',
      format: 'der',
    }),
    generateKeyPairSync('x448').publicKey.export({ type: 'spki', format: 'der' }),
    small.export({ type: 'spki', format: 'der' }),
    madeUpRsaSpki(16_384, [1, 0, 1]),
    madeUpRsaSpki(8200, [1, 0, 1]),
    madeUpRsaSpki(2048, [1]),
    madeUpRsaSpki(2048, [1, ...new Array(8).fill(1)]),
  ]) {
    assert.throws(() => nodeProvider.importPublicKey(bad), { code: 'TLS_ERR_UNSUPPORTED_CERTIFICATE' });
  }
  assert.equal(nodeProvider.importPublicKey(madeUpRsaSpki(8192, [1, 0, 1])).type, 'rsa');
});

test('a public key seen before is not parsed again, and the cache is bounded', () => {
  const [first] = keys.map(([, key]) => nodeProvider.importPublicKey(key.publicKeySpki));
  const again = Uint8Array.from(keys[0][1].publicKeySpki);
  assert.equal(nodeProvider.importPublicKey(again), first);
  again.fill(0);
  assert.equal(nodeProvider.importPublicKey(keys[0][1].publicKeySpki), first);
  for (let i = 0; i < 1000; i++) {
    const point = createHash('sha256').update(String(i)).digest();
    nodeProvider.importPublicKey(Buffer.concat([ED25519_PREFIX, point]));
  }
  assert.notEqual(nodeProvider.importPublicKey(keys[0][1].publicKeySpki), first);
});

test('a private key shows no key bytes when it is printed', () => {
  for (const [, key] of keys) {
    const shown = inspect(key, { depth: 10, showHidden: true }) + JSON.stringify({ ...key, publicKeySpki: '' });
    assert.ok(!/KeyObject|BEGIN|#key/.test(shown));
  }
});

test('a key that another provider made is refused', () => {
  const foreign: PrivateKey = { type: 'ed25519', schemes: ['ed25519'], publicKeySpki: new Uint8Array(44) };
  assert.throws(() => nodeProvider.sign('ed25519', foreign, data), { code: 'TLS_ERR_SIGN_FAILED' });
  assert.equal(
    nodeProvider.verify('ed25519', { type: 'ed25519', schemes: ['ed25519'] }, data, new Uint8Array(64)),
    false,
  );
});

/** A SubjectPublicKeyInfo with an odd number of this many bits as modulus: nobody knows its private key. */
function madeUpRsaSpki(bits: number, exponent: readonly number[]): Uint8Array {
  const modulus = new Uint8Array(bits / 8).fill(0xa5);
  modulus[modulus.length - 1] |= 1;
  const key = der(0x30, [...der(0x02, [0, ...modulus]), ...der(0x02, exponent)]);
  const algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
  return Uint8Array.from(der(0x30, [...algorithm, ...der(0x03, [0, ...key])]));
}

function der(tag: number, content: readonly number[]): number[] {
  const n = content.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return [tag, ...length, ...content];
}

const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
