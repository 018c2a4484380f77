import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { AeadName } from '../../src/crypto/suites.ts';
import { assertBytes, bytes, type Counts, runVectors } from './wycheproof.ts';

const TAG_LENGTH = 16;
const keyLengths: Record<AeadName, number> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 };
const algorithms = Object.entries(keyLengths) as [AeadName, number][];

interface AeadVector {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

function runAead(file: string, algorithmOf: (keySize: number) => AeadName | undefined): Counts {
  interface Group {
    readonly ivSize: number;
    readonly keySize: number;
    readonly tagSize: number;
  }
  return runVectors<Group, AeadVector>(file, (vector, group) => {
    const algorithm = algorithmOf(group.keySize);
    if (algorithm === undefined || group.ivSize !== 96 || group.tagSize !== 128) {
      return 'notOffered';
    }
    const key = nodeProvider.aead(algorithm, bytes(vector.key));
    const nonce = bytes(vector.iv);
    const aad = bytes(vector.aad);
    const plaintext = bytes(vector.msg);
    const sealed = bytes(vector.ct + vector.tag);
    const opened = key.open(nonce, aad, sealed);
    if (vector.result === 'invalid') {
      assert.equal(opened, undefined);
      return 'refused';
    }
    assert.ok(opened);
    assertBytes(opened, plaintext);
    const out = new Uint8Array(sealed.length);
    key.seal(nonce, aad, plaintext, out, 0);
    assertBytes(out, sealed);
    return 'opened';
  });
}

test('AES-GCM agrees with Wycheproof', () => {
  const counts = runAead('aes_gcm_test.json', (size) =>
    size === 128 ? 'aes-128-gcm' : size === 256 ? 'aes-256-gcm' : undefined,
  );
  assert.deepEqual(counts, AES_COUNTS);
});

test('ChaCha20-Poly1305 agrees with Wycheproof', () => {
  const counts = runAead('chacha20_poly1305_test.json', () => 'chacha20-poly1305');
  assert.deepEqual(counts, CHACHA_COUNTS);
});

test('what is sealed opens to the same bytes, touches nothing around its place, and not at all once changed', () => {
  for (const [name, keyLength] of algorithms) {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: keyLength, maxLength: keyLength }),
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.uint8Array({ maxLength: 32 }),
        fc.uint8Array({ maxLength: 3000 }),
        fc.nat({ max: 20 }),
        fc.nat(),
        (keyBytes, nonce, aad, plaintext, offset, where) => {
          const key = nodeProvider.aead(name, keyBytes);
          const length = plaintext.length + TAG_LENGTH;
          const out = new Uint8Array(offset + length + 7).fill(0xaa);
          const before = Uint8Array.from(plaintext);
          key.seal(nonce, aad, plaintext, out, offset);
          assertBytes(plaintext, before);
          assert.ok(out.subarray(0, offset).every((byte) => byte === 0xaa));
          assert.ok(out.subarray(offset + length).every((byte) => byte === 0xaa));
          const sealed = out.subarray(offset, offset + length);
          const opened = key.open(nonce, aad, sealed);
          assert.ok(opened);
          assertBytes(opened, plaintext);
          assert.notEqual(opened.buffer, out.buffer);
          sealed[where % length] ^= 1 + (where % 255);
          assert.equal(key.open(nonce, aad, sealed), undefined);
        },
      ),
      { numRuns: 60 },
    );
  }
});

test('a full record of 16 KiB survives sealing and opening, and opened plaintexts do not share memory', () => {
  for (const [name, keyLength] of algorithms) {
    const key = nodeProvider.aead(name, new Uint8Array(keyLength).fill(5));
    const nonce = new Uint8Array(12);
    const aad = Uint8Array.of(23, 3, 3, 64, 17);
    const plaintext = new Uint8Array(16_385).map((_, i) => i);
    const out = new Uint8Array(plaintext.length + TAG_LENGTH);
    key.seal(nonce, aad, plaintext, out, 0);
    const first = key.open(nonce, aad, out);
    const second = key.open(nonce, aad, out);
    assert.ok(first && second);
    assertBytes(first, plaintext);
    first.fill(0);
    assertBytes(second, plaintext);
  }
});

test('a key keeps its own copy: erasing the bytes that it was made from changes nothing', () => {
  const bytesOfKey = new Uint8Array(16).fill(1);
  const key = nodeProvider.aead('aes-128-gcm', bytesOfKey);
  bytesOfKey.fill(0);
  const out = new Uint8Array(17);
  key.seal(new Uint8Array(12), new Uint8Array(0), Uint8Array.of(9), out, 0);
  const same = nodeProvider.aead('aes-128-gcm', new Uint8Array(16).fill(1));
  assert.ok(same.open(new Uint8Array(12), new Uint8Array(0), out));
});

test('an erased AEAD key neither seals nor opens', () => {
  for (const [name, keyLength] of algorithms) {
    const key = nodeProvider.aead(name, new Uint8Array(keyLength));
    const none = new Uint8Array(0);
    const out = new Uint8Array(16);
    key.seal(new Uint8Array(12), none, none, out, 0);
    key.erase('test');
    key.erase();
    assert.throws(() => key.seal(new Uint8Array(12), none, none, out, 0), { code: 'TLS_ERR_SECRET_ERASED' });
    assert.throws(() => key.open(new Uint8Array(12), none, out), { code: 'TLS_ERR_SECRET_ERASED' });
  }
});

test('wrong lengths of key, nonce and output are refused, and what is shorter than a tag does not open', () => {
  assert.throws(() => nodeProvider.aead('aes-256-gcm', new Uint8Array(16)), { code: 'TLS_ERR_INTERNAL' });
  const key = nodeProvider.aead('aes-128-gcm', new Uint8Array(16));
  const none = new Uint8Array(0);
  for (const length of [0, 8, 11, 13, 16]) {
    const nonce = new Uint8Array(length);
    assert.throws(() => key.seal(nonce, none, none, new Uint8Array(16), 0), { code: 'TLS_ERR_INTERNAL' });
    assert.throws(() => key.open(nonce, none, new Uint8Array(16)), { code: 'TLS_ERR_INTERNAL' });
  }
  const nonce = new Uint8Array(12);
  assert.throws(() => key.seal(nonce, none, none, new Uint8Array(16), 1), { code: 'TLS_ERR_INTERNAL' });
  for (let length = 0; length < 16; length++) {
    assert.equal(key.open(nonce, none, new Uint8Array(length)), undefined);
  }
});

/** 192-bit keys and other nonce and tag lengths are not part of TLS. */
const AES_COUNTS: Counts = { opened: 79, refused: 54, notOffered: 183 };
const CHACHA_COUNTS: Counts = { opened: 256, refused: 60, notOffered: 9 };
