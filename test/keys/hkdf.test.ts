import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EMPTY, toHex, utf8 } from '../../src/bytes/bytes.ts';
import type { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import {
  expandLabel,
  expandLabelPlain,
  hashLength,
  hkdfExpand,
  hkdfExtract,
  PreparedLabel,
} from '../../src/keys/hkdf.ts';
import { bytes, runVectors } from '../crypto/wycheproof.ts';
import { refuses } from '../support/refusals.ts';

const hashes = ['sha256', 'sha384'] as const;
const LABELS = [
  ...['derived', 'res binder', 'c hs traffic', 's hs traffic', 'c ap traffic', 's ap traffic', 'exp master'],
  ...['res master', 'resumption', 'key', 'iv', 'finished', 'traffic upd'],
];

function hexOf(secret: Secret): string {
  return secret.use(toHex);
}

describe('HKDF', () => {
  const expectedCounts = { sha256: { valid: 83, invalid: 3 }, sha384: { valid: 80, invalid: 3 } };
  for (const hash of hashes) {
    it(`with ${hash} agrees with Wycheproof`, () => {
      interface Vector {
        readonly ikm: string;
        readonly salt: string;
        readonly info: string;
        readonly size: number;
        readonly okm: string;
      }
      const counts = runVectors<unknown, Vector>(`hkdf_${hash}_test.json`, (vector) => {
        const key = hkdfExtract(nodeProvider, hash, bytes(vector.salt), bytes(vector.ikm), 'prk');
        const expand = () => hkdfExpand(nodeProvider, hash, key.expose(), bytes(vector.info), vector.size, 'okm');
        if (vector.result === 'invalid') {
          refuses('TLS_ERR_CONFIG', expand);
        } else {
          assert.equal(hexOf(expand()), vector.okm);
        }
        return vector.result;
      });
      assert.deepEqual(counts, expectedCounts[hash]);
    });
  }

  it('agrees with the HKDF of node:crypto for any input', () => {
    const anyBytes = fc.uint8Array({ maxLength: 150 });
    fc.assert(
      fc.property(
        fc.constantFrom(...hashes),
        anyBytes,
        anyBytes,
        anyBytes,
        fc.integer({ min: 1, max: 300 }),
        (hash, salt, ikm, info, length) => {
          const key = hkdfExtract(nodeProvider, hash, salt, ikm, 'prk');
          const made = hkdfExpand(nodeProvider, hash, key.expose(), info, length, 'okm');
          assert.equal(hexOf(made), Buffer.from(hkdfSync(hash, ikm, salt, info, length)).toString('hex'));
        },
      ),
    );
  });

  it('the prepared labels equal the plain ones', () => {
    const context = fc.uint8Array({ maxLength: 255 });
    for (const hash of hashes) {
      const prepared = LABELS.map((label) => new PreparedLabel(label));
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 1, maxLength: 64 }),
          fc.constantFrom(...prepared),
          fc.oneof(fc.constant(EMPTY), context),
          fc.integer({ min: 1, max: hashLength(hash) }),
          (secret, label, transcriptHash, length) => {
            const fast = expandLabel(nodeProvider, hash, secret, label, transcriptHash, length, 'fast');
            const plain = expandLabelPlain(nodeProvider, hash, secret, label.label, transcriptHash, length, 'plain');
            assert.equal(hexOf(fast), hexOf(plain));
            assert.equal(fast.length, length);
          },
        ),
        { numRuns: 200 },
      );
    }
  });

  it('a label is laid out as RFC 9846 §7.1 says, with the counter of HKDF-Expand after it', () => {
    const label = new PreparedLabel('c hs traffic');
    assert.equal(
      toHex(label.fill(32, new Uint8Array(32).fill(0xaa))),
      `002012${toHex(utf8('tls13 c hs traffic'))}20${'aa'.repeat(32)}01`,
    );
    assert.equal(toHex(label.fill(12, EMPTY)), `000c12${toHex(utf8('tls13 c hs traffic'))}0001`);
  });

  it('refuses labels and contexts that do not fit', () => {
    const secret = new Uint8Array(32);
    const expand = (label: string, context: Uint8Array) =>
      expandLabelPlain(nodeProvider, 'sha256', secret, label, context, 32, 'x');
    assert.equal(expand('x'.repeat(249), new Uint8Array(255)).length, 32);
    refuses('TLS_ERR_CONFIG', () => expand('x'.repeat(250), EMPTY));
    refuses('TLS_ERR_CONFIG', () => expand('x', new Uint8Array(256)));
  });
});
