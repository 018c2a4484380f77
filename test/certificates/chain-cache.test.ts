/** The cache of verdicts gives the same answers as the validator. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createChainCache } from '../../src/certificates/chain-cache.ts';
import { keyPurposeOids } from '../../src/certificates/oids.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { type VerifiedChain, type VerifyOptions, verifyCertificateChain } from '../../src/certificates/verify.ts';
import { TLSError } from '../../src/errors.ts';
import { DAY, makeIntermediate, makeLeaf, makeRoot, NOW } from './builder.ts';
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

test('whatever is asked, in whatever order, gets the answer that it would get without a cache', () => {
  const held = [root, makeRoot({ subject: 'Stranger' }), leaf].map(({ der }) => createTrustStore([der]));
  const client = makeLeaf(intermediate, { names: ['example.com'], extKeyUsage: [keyPurposeOids.client] });
  const brief = makeLeaf(intermediate, { names: ['example.com', '192.0.2.7'], notAfter: NOW + 90_000 });
  const manual = makeLeaf(intermediate, {
    names: ['*.example.com', 'xn--bcher-kva.example'],
    serial: Uint8Array.of(0),
  });
  const chains = [leaf, client, brief, manual].flatMap(({ der }) => [[der, intermediate.der], [der]]);
  const anyOptions: fc.Arbitrary<VerifyOptions> = fc.record({
    chain: fc.constantFrom(...chains),
    roots: fc.constantFrom(...held),
    serverName: fc.constantFrom(...NAMES),
    checkName: fc.boolean(),
    // Forth and back, over the end of one of the certificates and of the verdicts.
    now: fc.constantFrom(0, 1000, 59_000, 60_001, 90_999, 91_000, 120_000, -DAY - 1, -1).map((after) => NOW + after),
    purpose: fc.constantFrom('server', 'client'),
    form: fc.constantFrom('strict', 'tolerant'),
    stapling: fc.constantFrom(undefined, 'check', 'require', 'judged'),
  });
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(anyOptions, { minLength: 20, maxLength: 40 }), (questions) => {
      const cache = createChainCache({ maxAge: 60_000, maxEntries: 8 });
      // Each is asked twice, in another order.
      for (const question of [...questions, ...questions.toReversed()]) {
        const direct = answer(() => verifyCertificateChain(question));
        assert.deepEqual(
          answer(() => cache.verify(question)),
          direct,
          JSON.stringify(question.serverName),
        );
        accepted += direct.startsWith('path') ? 1 : 0;
      }
    }),
    { seed: 7633, numRuns: 60 },
  );
  assert.ok(accepted > 100, `${accepted} were accepted`);
});

test('a name is another for each way of writing it, and an address for none', () => {
  const cache = createChainCache();
  const one = makeLeaf(intermediate, { names: ['example.com', '*.example.org', '192.0.2.7', 'xn--bcher-kva.example'] });
  const chain = [one.der, intermediate.der];
  for (const name of [
    'example.com',
    'EXAMPLE.com',
    'example.com.',
    'a.example.org',
    '192.0.2.7',
    'b\u00fccher.example',
  ]) {
    cache.verify(options({ chain, serverName: name }));
  }
  assert.equal(cache.size, 6);
  for (const name of [
    ...['example.com..', '.example.com', 'a.example.com', 'example.org', 'b.a.example.org', '*.example.org', ''],
    ...['192.0.2.7.', '192.0.2.07', '3221225991', '0xc0000207', '::ffff:192.0.2.7', '192.0.2.8', 'example.com\0'],
    ...['xn--bcher-kva.example.evil', 'bucher.example', ' example.com', 'example.com:443', 'example.com/'],
  ]) {
    refused(() => cache.verify(options({ chain, serverName: name })), 'TLS_ERR_CERTIFICATE_NAME', /is not for/);
  }
  assert.equal(cache.size, 6);
});

test('a chain with much behind it is judged and not kept: a trusted peer could fill the memory with it', () => {
  const cache = createChainCache();
  const chain = [leaf.der, intermediate.der, new Uint8Array(40_000)];
  assert.equal(cache.verify(options({ chain })).path.length, 3);
  assert.equal(cache.size, 0);
  cache.verify(options({ chain: [leaf.der, intermediate.der, new Uint8Array(20_000)] }));
  assert.equal(cache.size, 1);
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

function answer(decide: () => VerifiedChain): string {
  try {
    const { path, notAfter } = decide();
    return `path ${path.map(({ raw }) => Buffer.from(raw).toString('base64').slice(-20)).join(' ')} until ${notAfter}`;
  } catch (error) {
    assert.ok(error instanceof TLSError, String(error));
    return `${error.code} ${error.message}`;
  }
}

const NAMES = [
  ...['example.com', 'EXAMPLE.COM', 'example.com.', 'example.org', 'a.example.com', '192.0.2.7', '192.0.2.8', ''],
  ...['b\u00fccher.example', 'xn--bcher-kva.example', '::ffff:192.0.2.7', 'evil.example'],
];
