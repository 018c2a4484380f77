import assert from 'node:assert/strict';
import { checkPrimeSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { generateDheShare } from '../../src/crypto/dhe-exchange.ts';
import {
  type FfdheGroup,
  type FfdheGroupInfo,
  ffdheGroupByCode,
  ffdheGroupByPrime,
  ffdheGroups,
} from '../../src/crypto/dhe-groups.ts';
import { createNodeProvider, nodeProvider } from '../../src/crypto/node-provider.ts';
import { refuses } from '../support/refusals.ts';

const all: readonly FfdheGroupInfo[] = Object.values(ffdheGroups);

/** RFC 7919, appendix A: bits of the prime and the X that makes it the first safe one. */
const FORMULA: readonly [FfdheGroup, bigint, bigint][] = [
  ['ffdhe2048', 2048n, 560_316n],
  ['ffdhe3072', 3072n, 2_625_351n],
  ['ffdhe4096', 4096n, 5_736_041n],
  ['ffdhe6144', 6144n, 15_705_020n],
  ['ffdhe8192', 8192n, 10_965_728n],
];

describe('groups of RFC 7919', () => {
  for (const [name, bits, x] of FORMULA) {
    const group = ffdheGroups[name];

    it(`${name}: the prime is what the formula gives`, () => {
      const p = 2n ** bits - 2n ** (bits - 64n) + (eulerTimesTwoTo(bits - 130n) + x) * 2n ** 64n - 1n;
      assert.equal(toHex(group.prime), p.toString(16));
      assert.equal(group.length, Number(bits) / 8);
      assert.equal(group.prime.length, group.length);
    });

    it(`${name}: the prime is safe, and 2 generates the large subgroup`, () => {
      const p = numberOf(group.prime);
      const q = (p - 1n) / 2n;
      // For the smallest by OpenSSL's many rounds; for the others, where those take seconds, by the strong test to two
      // bases, which for numbers of the form 4k + 3 is that a^((n-1)/2) is 1 or -1.
      if (name === 'ffdhe2048') {
        assert.ok(checkPrimeSync(p) && checkPrimeSync(q));
      }
      const bases = [
        [p, 3n],
        [q, 2n],
        [q, 3n],
      ] as const;
      // One takes seconds for the largest two, which are what the formula says.
      for (const [n, base] of bits > 4096n ? [] : bases) {
        assert.ok([1n, n - 1n].includes(power(base, (n - 1n) / 2n, n)));
      }
      assert.ok(bits > 4096n || power(2n, q, p) === 1n);
      assert.equal(p % 8n, 7n, '2 is a square modulo p');
      assert.equal(toHex(group.generator), '02');
    });
  }

  it('are found by code point and by numbers, and nothing else is', () => {
    assert.deepEqual(
      all.map(({ code }) => code),
      [0x0100, 0x0101, 0x0102, 0x0103, 0x0104],
    );
    for (const group of all) {
      assert.equal(ffdheGroupByCode(group.code), group);
      assert.equal(ffdheGroupByPrime(new Uint8Array(group.prime), Uint8Array.of(2)), group);
      assert.equal(ffdheGroupByPrime(group.prime, Uint8Array.of(5)), undefined);
      for (const at of [0, 100, group.length - 1]) {
        const changed = new Uint8Array(group.prime);
        changed[at] ^= 4;
        assert.equal(ffdheGroupByPrime(changed, group.generator), undefined);
      }
      assert.equal(ffdheGroupByPrime(group.prime.subarray(1), group.generator), undefined);
    }
    assert.equal(ffdheGroupByCode(0x0105), undefined);
    assert.equal(ffdheGroupByCode(0x001d), undefined);
  });
});

describe('Diffie-Hellman shares', () => {
  for (const group of all) {
    it(`${group.name}: both ends agree, and no two shares are alike`, () => {
      const a = nodeProvider.generateDheShare(group.name);
      const b = nodeProvider.generateDheShare(group.name);
      assert.equal(a.group, group.name);
      assert.equal(a.publicKey.length, group.length);
      assert.notDeepEqual(a.publicKey, b.publicKey);
      const [first, second] = [a.agree(b.publicKey), b.agree(a.publicKey)];
      assert.equal(first.kind, 'preMasterSecret');
      assert.equal(first.use(toHex), second.use(toHex));
    });

    it(`${group.name}: a share from known bytes is what modular arithmetic gives`, () => {
      const exponent = Math.ceil(group.exponentBits / 8);
      const share = seeded(group.name, 0x5a);
      const x = numberOf(new Uint8Array(exponent).fill(0x5a));
      const p = numberOf(group.prime);
      assert.equal(numberOf(share.publicKey), power(2n, x, p));
      const peer = power(2n, 0x1234_5678n, p);
      const secret = share.agree(bytesOf(peer, group.length));
      assert.equal(numberOf(secret.expose()), power(peer, x, p));
    });
  }

  it('refuse 0, 1, p - 1, p and all above, in any padding', () => {
    for (const group of all) {
      const p = numberOf(group.prime);
      const over = 2n ** BigInt(8 * group.length) - 1n;
      for (const value of [0n, 1n, p - 1n, p, p + 1n, over]) {
        refuses('TLS_ERR_BAD_KEY_SHARE', () => seeded(group.name, 1).agree(bytesOf(value, group.length)));
      }
      for (const sent of ['', '00', '01', '0001']) {
        refuses('TLS_ERR_BAD_KEY_SHARE', () => seeded(group.name, 1).agree(fromHex(sent)));
      }
      refuses('TLS_ERR_BAD_KEY_SHARE', () => seeded(group.name, 1).agree(bytesOf(4n, group.length + 1)));
    }
  });

  it('take the smallest and short numbers, padded or not', () => {
    const p = numberOf(ffdheGroups.ffdhe2048.prime);
    const x = numberOf(new Uint8Array(29).fill(0x41));
    // Squares, as honest keys are: 4, and powers of 2 whose DER lengths take one, two and three bytes.
    for (const peer of [4n, 2n ** 900n, 2n ** 1100n, 2n ** 1600n, 2n ** 2040n]) {
      const expected = power(peer, x, p);
      for (const length of [Math.ceil(peer.toString(16).length / 2), 256]) {
        const secret = seeded('ffdhe2048', 0x41).agree(bytesOf(peer, length));
        assert.equal(numberOf(secret.expose()), expected);
      }
    }
  });

  it('strip the leading zeros of the agreed number, as TLS 1.2 does and TLS 1.3 does not', () => {
    const p = numberOf(ffdheGroups.ffdhe2048.prime);
    const x = numberOf(new Uint8Array(29).fill(0x41));
    // Of some hundred peers one gives a number of fewer than 256 bytes. (4a)^x is 4^x a^x.
    let peer = 2n;
    const factor = power(4n, x, p);
    for (let agreed = power(peer, x, p); agreed >= 2n ** 2040n; agreed = (agreed * factor) % p) {
      peer = (peer * 4n) % p;
    }
    const secret = seeded('ffdhe2048', 0x41).agree(bytesOf(peer, 256));
    assert.ok(secret.length < 256);
    assert.notEqual(secret.expose()[0], 0);
    assert.equal(numberOf(secret.expose()), power(peer, x, p));
  });

  it('are used once, whatever the outcome, and not after they are erased', () => {
    const peer = seeded('ffdhe2048', 7).publicKey;
    const used = generateDheShare('ffdhe2048');
    used.agree(peer);
    refuses('TLS_ERR_SECRET_ERASED', () => used.agree(peer));
    const misused = generateDheShare('ffdhe2048');
    refuses('TLS_ERR_BAD_KEY_SHARE', () => misused.agree(Uint8Array.of(1)));
    refuses('TLS_ERR_SECRET_ERASED', () => misused.agree(peer));
    const erased = generateDheShare('ffdhe2048');
    erased.erase();
    erased.erase();
    refuses('TLS_ERR_SECRET_ERASED', () => erased.agree(peer));
  });

  it('come from the random source of the provider, so that a handshake can be replayed', () => {
    const provider = createNodeProvider({ random: (bytes) => bytes.fill(3) });
    const [one, two] = [provider.generateDheShare('ffdhe2048'), provider.generateDheShare('ffdhe2048')];
    assert.deepEqual(one.publicKey, two.publicKey);
    assert.deepEqual(one.publicKey, seeded('ffdhe2048', 3).publicKey);
  });
});

function seeded(group: FfdheGroup, byte: number) {
  return generateDheShare(group, (bytes) => bytes.fill(byte));
}

/** floor(2^n · e), by the series of 1/k! with 64 bits to spare. */
function eulerTimesTwoTo(n: bigint): bigint {
  let sum = 0n;
  let term = 2n ** (n + 64n);
  for (let k = 1n; term > 0n; k++) {
    sum += term;
    term /= k;
  }
  return sum >> 64n;
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) {
      result = (result * square) % modulus;
    }
    square = (square * square) % modulus;
  }
  return result;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes) || '0'}`);
}

function bytesOf(value: bigint, length: number): Uint8Array {
  return fromHex(value.toString(16).padStart(2 * length, '0'));
}
