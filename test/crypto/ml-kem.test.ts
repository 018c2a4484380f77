import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasNativeMlKem } from '../../src/crypto/capabilities.ts';
import { type MlKem, mlKem768, nativeMlKem, nobleMlKem } from '../../src/crypto/ml-kem.ts';
import { assertBytes, bytes, runVectors } from './wycheproof.ts';

const BAD_SHARE = { code: 'TLS_ERR_BAD_KEY_SHARE' };
const noble = nobleMlKem((target) => target.fill(42));
const implementations: [string, MlKem][] = [['noble', noble]];
if (hasNativeMlKem()) {
  implementations.push(['native', nativeMlKem]);
}

for (const [name, kem] of implementations) {
  test(`key generation and decapsulation by ${name} agree with Wycheproof`, () => {
    interface Vector {
      readonly seed: string;
      readonly ek: string;
      readonly c: string;
      readonly K: string;
    }
    const counts = runVectors<unknown, Vector>('mlkem_768_test.json', (vector) => {
      const seed = bytes(vector.seed);
      if (seed.length !== 64) {
        return 'notOffered';
      }
      const key = kem.generate(seed);
      assertBytes(seed, new Uint8Array(64));
      if (vector.result === 'invalid') {
        assert.throws(() => key.agree(bytes(vector.c)), BAD_SHARE);
        return 'refused';
      }
      assertBytes(key.publicKey, bytes(vector.ek));
      assertBytes(key.agree(bytes(vector.c)), bytes(vector.K));
      return 'agreed';
    });
    assert.deepEqual(counts, { agreed: 153, refused: 20, notOffered: 20 });
  });

  test(`encapsulation by ${name} agrees with Wycheproof, and refuses keys that are not reduced`, () => {
    interface Vector {
      readonly m: string;
      readonly ek: string;
      readonly c: string;
      readonly K: string;
    }
    const counts = runVectors<unknown, Vector>('mlkem_768_encaps_test.json', (vector) => {
      const replay = name === 'noble' ? nobleMlKem((target) => target.set(bytes(vector.m))) : kem;
      const encapsulate = () => replay.encapsulate(bytes(vector.ek));
      if (vector.result === 'invalid') {
        assert.throws(encapsulate, BAD_SHARE);
        return vector.flags.includes('ModulusOverflow') ? 'notReduced' : 'refused';
      }
      const { ciphertext, sharedSecret } = encapsulate();
      assert.equal(ciphertext.length, 1088);
      assert.equal(sharedSecret.length, 32);
      if (name === 'noble') {
        assertBytes(ciphertext, bytes(vector.c));
        assertBytes(sharedSecret, bytes(vector.K));
      }
      return 'agreed';
    });
    assert.deepEqual(counts, { agreed: 133, refused: 120, notReduced: 12 });
  });

  test(`what ${name} encapsulates every implementation decapsulates, once`, () => {
    for (const [, other] of implementations) {
      const key = other.generate();
      const { ciphertext, sharedSecret } = kem.encapsulate(key.publicKey);
      assertBytes(key.agree(ciphertext), sharedSecret);
      assert.throws(() => key.agree(ciphertext), { code: 'TLS_ERR_SECRET_ERASED' });
      const unused = other.generate();
      unused.erase();
      assert.throws(() => unused.agree(ciphertext), { code: 'TLS_ERR_SECRET_ERASED' });
    }
  });
}

test('the native implementation serves where there is one, except with an injected source of randomness', () => {
  const zero = (target: Uint8Array) => target.fill(0);
  assert.equal(mlKem768(undefined, zero) === nativeMlKem, hasNativeMlKem());
  assert.notEqual(mlKem768(zero, zero), nativeMlKem);
});
