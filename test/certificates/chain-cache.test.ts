/** The cache of verdicts gives the same answers as the validator. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createChainCache } from '../../src/certificates/chain-cache.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import type { VerifyOptions } from '../../src/certificates/verify.ts';
import { makeIntermediate, makeLeaf, makeRoot, NOW } from './builder.ts';
import { refused } from './checks.ts';

const root = makeRoot();
const intermediate = makeIntermediate(root);
const leaf = makeLeaf(intermediate, { names: ['example.com', 'example.org'] });
const roots = createTrustStore([root.der]);

function options(changes: Partial<VerifyOptions> = {}): VerifyOptions {
  // Copies, as each handshake brings its own bytes.
  const chain = [leaf.der.slice(), intermediate.der.slice()];
  return { chain, roots, serverName: 'example.com', now: NOW, purpose: 'server', ...changes };
}

test('the same chain for the same name and roots gets the same verdict', () => {
  const cache = createChainCache();
  const first = cache.verify(options());
  assert.equal(cache.verify(options({ now: NOW + 1000 })), first);
  assert.equal(cache.size, 1);
});

test('another name, another store, another purpose or another form is judged anew', () => {
  const cache = createChainCache();
  const first = cache.verify(options());
  assert.notEqual(cache.verify(options({ serverName: 'example.org' })), first);
  assert.notEqual(cache.verify(options({ roots: createTrustStore([root.der]) })), first);
  assert.notEqual(cache.verify(options({ form: 'tolerant' })), first);
  assert.notEqual(cache.verify(options({ checkName: false })), first);
  refused(() => cache.verify(options({ purpose: 'client' })), 'TLS_ERR_BAD_CERTIFICATE', /clientAuth/);
  refused(() => cache.verify(options({ serverName: 'evil.example' })), 'TLS_ERR_CERTIFICATE_NAME', /evil\.example/);
  const strangers = createTrustStore([makeRoot({ subject: 'Stranger' }).der]);
  refused(() => cache.verify(options({ roots: strangers })), 'TLS_ERR_UNKNOWN_CA', /no trusted root/);
});

test('one changed byte anywhere in the chain misses the cache', () => {
  const cache = createChainCache();
  cache.verify(options());
  const end = leaf.der.length - 1;
  for (const at of [10, 60, end - 20, end]) {
    const changed = leaf.der.slice();
    changed[at] ^= 1;
    assert.throws(() => cache.verify(options({ chain: [changed, intermediate.der] })));
  }
  refused(() => cache.verify(options({ chain: [leaf.der] })), 'TLS_ERR_UNKNOWN_CA', /no trusted root/);
});

test('what is received may be overwritten afterwards', () => {
  const cache = createChainCache();
  const received = options();
  const first = cache.verify(received);
  received.chain[0].fill(0);
  assert.deepEqual(first.path[0].raw, leaf.der);
  assert.equal(cache.verify(options()), first);
});

test('a verdict ends with its age and with the first notAfter, and when the clock goes back', () => {
  const cache = createChainCache({ maxAge: 60_000 });
  const first = cache.verify(options());
  assert.equal(cache.verify(options({ now: NOW + 60_000 })), first);
  const second = cache.verify(options({ now: NOW + 60_001 }));
  assert.notEqual(second, first);
  assert.notEqual(cache.verify(options({ now: NOW })), second);

  const short = makeLeaf(intermediate, { notAfter: NOW + 5000 });
  const chain = [short.der, intermediate.der];
  cache.verify(options({ chain }));
  refused(() => cache.verify(options({ chain, now: NOW + 6000 })), 'TLS_ERR_CERTIFICATE_EXPIRED', /expired/);
});

test('refusals are not kept', () => {
  const cache = createChainCache();
  assert.throws(() => cache.verify(options({ serverName: 'evil.example' })));
  assert.throws(() => cache.verify(options({ chain: [] })));
  assert.throws(() => cache.verify(options({ chain: [Uint8Array.of(1)] })));
  assert.equal(cache.size, 0);
});

test('the cache holds no more than its bound, and none at all when that is zero', () => {
  const cache = createChainCache({ maxEntries: 2 });
  for (const form of ['strict', 'tolerant'] as const) {
    for (const serverName of ['example.com', 'example.org']) {
      cache.verify(options({ serverName, form }));
      assert.ok(cache.size <= 2);
    }
  }
  assert.equal(cache.size, 2);
  cache.clear();
  assert.equal(cache.size, 0);
  const none = createChainCache({ maxEntries: 0 });
  none.verify(options());
  assert.equal(none.size, 0);
});
