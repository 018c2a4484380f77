import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { hasRawPublicKeys } from '../../src/crypto/capabilities.ts';
import { CurveExchange } from '../../src/crypto/ec-curves.ts';
import { type NamedGroup, namedGroups } from '../../src/crypto/groups.ts';
import { createNodeProvider, nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { X25519Exchange } from '../../src/crypto/x25519.ts';
import { assertBytes, bytes, runVectors } from './wycheproof.ts';

const groups = Object.keys(namedGroups) as NamedGroup[];
const BAD_SHARE = { code: 'TLS_ERR_BAD_KEY_SHARE' };

interface DhVector {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

for (const [group, length, every, expected] of [
  ['secp256r1', 32, 1, { agreed: 330, refused: 25 }],
  // Slow curves: of the valid vectors every fourth, of the others all.
  ['secp384r1', 48, 4, { agreed: 193, refused: 19, skipped: 578 }],
  ['secp521r1', 66, 4, { agreed: 158, refused: 29, skipped: 474 }],
] as const) {
  test(`${group} agrees with Wycheproof, and refuses compressed points and points off the curve`, () => {
    const counts = runVectors<unknown, DhVector>(`ecdh_${group}_ecpoint_test.json`, (vector) => {
      if (vector.result === 'valid' && vector.tcId % every !== 0) {
        return 'skipped';
      }
      const exchange = CurveExchange.fromScalar(group, bytes(vector.private, length));
      const peer = bytes(vector.public);
      if (vector.result === 'valid') {
        assertBytes(exchange.agree(peer), bytes(vector.shared));
        return 'agreed';
      }
      // 'acceptable' are compressed points, which RFC 9846 §4.3.8.2 does not allow.
      assert.throws(() => exchange.agree(peer), BAD_SHARE);
      return 'refused';
    });
    assert.deepEqual(counts, expected);
  });
}

test('x25519 agrees with Wycheproof, and refuses points that lead to an all-zero secret', () => {
  const counts = runVectors<unknown, DhVector>('x25519_test.json', (vector) => {
    const exchange = X25519Exchange.fromScalar(bytes(vector.private));
    if (vector.flags.includes('ZeroSharedSecret')) {
      assert.throws(() => exchange.agree(bytes(vector.public)), BAD_SHARE);
      return 'refused';
    }
    assertBytes(exchange.agree(bytes(vector.public)), bytes(vector.shared));
    return 'agreed';
  });
  assert.deepEqual(counts, { agreed: 487, refused: 31 });
});

test('client and server agree in every group, with shares of the registered lengths', () => {
  for (const provider of [nodeProvider, seeded(1)]) {
    for (const group of groups) {
      assert.equal(provider.supportsGroup(group), true);
      const { keyExchange, sharedSecret, agreed, publicKey } = exchangeKeys(provider, group);
      assert.equal(publicKey.length, namedGroups[group].clientShareLength);
      assert.equal(keyExchange.length, namedGroups[group].serverShareLength);
      assert.equal(sharedSecret.length, secretLengths[group]);
      assertBytes(agreed.expose(), sharedSecret.expose());
    }
  }
});

test('a key share agrees once: a second use, and a use after its end, throw', () => {
  for (const group of groups) {
    const share = nodeProvider.generateKeyShare(group);
    const { keyExchange } = nodeProvider.encapsulate(group, share.publicKey);
    share.agree(keyExchange).erase();
    assert.throws(() => share.agree(keyExchange), { code: 'TLS_ERR_SECRET_ERASED' });
    share.erase();
    const unused = nodeProvider.generateKeyShare(group);
    unused.erase();
    unused.erase();
    assert.throws(() => unused.agree(keyExchange), { code: 'TLS_ERR_SECRET_ERASED' });
  }
});

test('a key share is spent by a bad answer as well', () => {
  for (const group of groups) {
    const share = nodeProvider.generateKeyShare(group);
    const { keyExchange } = nodeProvider.encapsulate(group, share.publicKey);
    assert.throws(() => share.agree(keyExchange.subarray(1)), BAD_SHARE);
    assert.throws(() => share.agree(keyExchange), { code: 'TLS_ERR_SECRET_ERASED' });
  }
});

test('no share is ever made twice, whatever became of those before', () => {
  for (const group of ['x25519', 'secp256r1', 'X25519MLKEM768'] as const) {
    const seen = new Set<string>();
    let made = 0;
    const note = (share: Uint8Array) => {
      made++;
      // The last 32 bytes: in a hybrid share the classical part must be fresh as well.
      seen.add(Buffer.from(share.subarray(share.length - 32)).toString('hex'));
    };
    for (let round = 0; round < 40; round++) {
      const kept = nodeProvider.generateKeyShare(group);
      note(kept.publicKey);
      const share = nodeProvider.generateKeyShare(group);
      note(share.publicKey);
      const { keyExchange } = nodeProvider.encapsulate(group, share.publicKey);
      note(keyExchange);
      if (round % 3 === 0) {
        share.erase();
      } else if (round % 3 === 1) {
        assert.throws(() => share.agree(new Uint8Array(5)), BAD_SHARE);
      } else {
        share.agree(keyExchange).erase();
      }
      kept.erase();
    }
    assert.equal(seen.size, made);
  }
});

test('shares that are held at the same time do not disturb each other', () => {
  for (const group of ['secp256r1', 'x25519'] as const) {
    const held = Array.from({ length: 20 }, () => nodeProvider.generateKeyShare(group));
    const answers = held.map((share) => nodeProvider.encapsulate(group, share.publicKey));
    for (const [i, share] of held.entries()) {
      assertBytes(share.agree(answers[i].keyExchange).expose(), answers[i].sharedSecret.expose());
    }
  }
});

test('shares of a wrong length are refused on both sides', () => {
  for (const group of groups) {
    const good = nodeProvider.generateKeyShare(group);
    const answer = nodeProvider.encapsulate(group, good.publicKey).keyExchange;
    for (const change of [-1, 1]) {
      const wrong = new Uint8Array(good.publicKey.length + change);
      wrong.set(good.publicKey.subarray(0, wrong.length));
      assert.throws(() => nodeProvider.encapsulate(group, wrong), BAD_SHARE);
      const wrongAnswer = new Uint8Array(answer.length + change);
      wrongAnswer.set(answer.subarray(0, wrongAnswer.length));
      assert.throws(() => nodeProvider.generateKeyShare(group).agree(wrongAnswer), BAD_SHARE);
    }
    assert.throws(() => nodeProvider.encapsulate(group, new Uint8Array(0)), BAD_SHARE);
  }
});

test('a point off the curve, at infinity, compressed or in hybrid form is refused on both sides', () => {
  for (const group of ['secp256r1', 'secp384r1', 'secp521r1'] as const) {
    const valid = nodeProvider.generateKeyShare(group).publicKey;
    const fieldLength = (valid.length - 1) / 2;
    const off = Uint8Array.from(valid);
    off[off.length - 1] ^= 1;
    const zero = new Uint8Array(valid.length);
    zero[0] = 4;
    const hybrid = Uint8Array.from(valid);
    hybrid[0] = 6 + (valid[valid.length - 1] & 1);
    const compressed = Uint8Array.from(valid.subarray(0, 1 + fieldLength));
    compressed[0] = 2 + (valid[valid.length - 1] & 1);
    for (const bad of [off, zero, hybrid, compressed, Uint8Array.of(0)]) {
      assert.throws(() => nodeProvider.encapsulate(group, bad), BAD_SHARE);
      assert.throws(() => nodeProvider.generateKeyShare(group).agree(bad), BAD_SHARE);
    }
  }
});

test('an x25519 part of small order is refused, alone and within the hybrid', () => {
  for (const first of [0, 1]) {
    const small = new Uint8Array(32);
    small[0] = first;
    assert.throws(() => nodeProvider.encapsulate('x25519', small), BAD_SHARE);
    assert.throws(() => nodeProvider.generateKeyShare('x25519').agree(small), BAD_SHARE);

    const share = nodeProvider.generateKeyShare('X25519MLKEM768');
    const { keyExchange } = nodeProvider.encapsulate('X25519MLKEM768', share.publicKey);
    const badClient = Uint8Array.from(share.publicKey);
    badClient.set(small, 1184);
    assert.throws(() => nodeProvider.encapsulate('X25519MLKEM768', badClient), BAD_SHARE);
    const badServer = Uint8Array.from(keyExchange);
    badServer.set(small, 1088);
    assert.throws(() => share.agree(badServer), BAD_SHARE);
  }
});

test('a hybrid share whose ML-KEM key is not reduced is refused', () => {
  const share = Uint8Array.from(nodeProvider.generateKeyShare('X25519MLKEM768').publicKey);
  share.fill(0xff, 0, 3);
  assert.throws(() => nodeProvider.encapsulate('X25519MLKEM768', share), BAD_SHARE);
  assert.throws(() => seeded(3).encapsulate('X25519MLKEM768', share), BAD_SHARE);
});

test('a changed hybrid answer leads to another secret, not to an error that would tell why', () => {
  const share = nodeProvider.generateKeyShare('X25519MLKEM768');
  const { keyExchange, sharedSecret } = nodeProvider.encapsulate('X25519MLKEM768', share.publicKey);
  const changed = Uint8Array.from(keyExchange);
  changed[100] ^= 1;
  const agreed = share.agree(changed).expose();
  const sent = sharedSecret.expose();
  assert.notEqual(Buffer.compare(agreed.subarray(0, 32), sent.subarray(0, 32)), 0);
  assertBytes(agreed.subarray(32), sent.subarray(32));
});

test('with the same seed every exchange is the same to the byte, with another it is not', () => {
  for (const group of groups) {
    const [first, second, other] = [7, 7, 8].map((seed) => exchangeKeys(seeded(seed), group));
    assertBytes(first.publicKey, second.publicKey);
    assertBytes(first.keyExchange, second.keyExchange);
    assertBytes(first.sharedSecret.expose(), second.sharedSecret.expose());
    assert.notEqual(Buffer.compare(first.publicKey, other.publicKey), 0);
    assert.notEqual(Buffer.compare(first.keyExchange, other.keyExchange), 0);
  }
});

test('an injected source that gives no private key at all does not hang', () => {
  const provider = createNodeProvider({ random: (target) => target.fill(0) });
  assert.throws(() => provider.generateKeyShare('secp256r1'), { code: 'TLS_ERR_INTERNAL' });
});

test('the bytes that a scalar came in are erased', () => {
  const forX25519 = new Uint8Array(32).fill(9);
  X25519Exchange.fromScalar(forX25519);
  assertBytes(forX25519, new Uint8Array(32));
  const forCurve = new Uint8Array(32).fill(9);
  CurveExchange.fromScalar('secp256r1', forCurve);
  assertBytes(forCurve, new Uint8Array(32));
});

test('the shared secret is a Secret that prints no bytes', () => {
  const { sharedSecret } = exchangeKeys(nodeProvider, 'x25519');
  assert.ok(sharedSecret instanceof Secret);
  assert.equal(String(sharedSecret), 'Secret(32)');
});

// On old Nodes, some ways to export a generated key hang after some thousands of rounds.
test('thousands of x25519 and P-256 exchanges in a row end', () => {
  for (let round = 0; round < 4000; round++) {
    const { agreed, sharedSecret } = exchangeKeys(nodeProvider, 'x25519');
    assert.ok(nodeProvider.equal(agreed.expose(), sharedSecret.expose()));
  }
  for (let round = 0; round < 500; round++) {
    const { agreed, sharedSecret } = exchangeKeys(nodeProvider, 'secp256r1');
    assert.ok(nodeProvider.equal(agreed.expose(), sharedSecret.expose()));
  }
});

test('the probe for raw keys answers the same each time', () => {
  assert.equal(hasRawPublicKeys(), hasRawPublicKeys());
});

function exchangeKeys(provider: CryptoProvider, group: NamedGroup) {
  const share = provider.generateKeyShare(group);
  const { keyExchange, sharedSecret } = provider.encapsulate(group, share.publicKey);
  return { publicKey: share.publicKey, keyExchange, sharedSecret, agreed: share.agree(keyExchange) };
}

/** A provider whose randomness is a hash of the seed and a counter. */
function seeded(seed: number): CryptoProvider {
  let counter = 0;
  return createNodeProvider({
    random: (target) => {
      for (let at = 0; at < target.length; at += 32) {
        const block = nodeProvider.hash('sha256', Uint8Array.of(seed, counter >>> 8, counter++));
        target.set(block.subarray(0, Math.min(32, target.length - at)), at);
      }
    },
  });
}

const secretLengths: Record<NamedGroup, number> = {
  X25519MLKEM768: 64,
  x25519: 32,
  secp256r1: 32,
  secp384r1: 48,
  secp521r1: 66,
};
