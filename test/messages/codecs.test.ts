/** Properties that hold for every codec. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxMessageLength } from '../../src/messages/handshake-message.ts';
import { codecs } from './arbitraries.ts';
import { bodyOf, decodesSafely, heldBytes, mutationsOf, plain } from './support.ts';

for (const { name, type, messages, encode, decode } of codecs) {
  const body = (message: unknown): Uint8Array => {
    const encoded = encode(message as never);
    return type === undefined ? encoded : bodyOf(encoded, type);
  };

  describe(name, () => {
    it('decodes to what was encoded', () => {
      fc.assert(
        fc.property(messages, (message) => {
          assert.deepEqual(plain(decode(body(message))), plain(message));
        }),
        { numRuns: 150 },
      );
    });

    it('encodes again to the same bytes', () => {
      fc.assert(
        fc.property(messages, (message) => {
          const first = body(message);
          assert.deepEqual(body(decode(first)), first);
        }),
        { numRuns: 50 },
      );
    });

    it('survives arbitrary bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => decodesSafely(decode, bytes)),
        { numRuns: 500 },
      );
    });

    it('survives changed, cut, shortened and lengthened messages', () => {
      fc.assert(
        fc.property(
          messages.chain((message) => mutationsOf(new Uint8Array(body(message)))),
          (bytes) => decodesSafely(decode, bytes),
        ),
        { numRuns: 400 },
      );
    });

    it('refuses every truncation and every byte that follows', () => {
      const [message] = fc.sample(messages, { numRuns: 1, seed: 7 });
      const whole = body(message);
      for (let length = 0; length < whole.length; length++) {
        // A hello of TLS 1.2 may end before its extension block: that one cut is legal.
        const cut = whole.slice(0, length);
        const legal = name.endsWith('Hello') || name === 'HelloRetryRequest' ? isHelloWithoutBlock(cut, decode) : false;
        assert.ok(legal || throwsTLSError(decode, cut), `cut at ${length} of ${whole.length}`);
      }
      assert.ok(throwsTLSError(decode, Uint8Array.from([...whole, 0])));
    });

    it('keeps nothing of the buffer it reads, not even of a pooled one', () => {
      const [message] = fc.sample(messages, { numRuns: 1, seed: 11 });
      const pooled = Buffer.from(body(message));
      const decoded = decode(pooled);
      const before = plain(decoded);
      pooled.fill(0xa5);
      assert.deepEqual(plain(decoded), before);
      for (const bytes of heldBytes(decoded)) {
        assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
      }
    });

    if (type !== undefined) {
      it('has a cap on its length that leaves room for what we send', () => {
        const [message] = fc.sample(messages, { numRuns: 1, seed: 3 });
        assert.ok(body(message).length <= maxMessageLength(type));
        assert.ok(maxMessageLength(type) <= 100 * 1024);
      });
    }
  });
}

function throwsTLSError(decode: (body: Uint8Array) => unknown, body: Uint8Array): boolean {
  try {
    decode(body);
    return false;
  } catch (error) {
    return error instanceof Error && error.name === 'TLSError';
  }
}

function isHelloWithoutBlock(body: Uint8Array, decode: (body: Uint8Array) => unknown): boolean {
  try {
    const { extensions } = decode(body) as { extensions: { types: readonly number[] } };
    return extensions.types.length === 0;
  } catch {
    return false;
  }
}
