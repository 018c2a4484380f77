/** Properties that hold for every codec of TLS 1.2. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TLSError } from '../../src/errors.ts';
import { maxMessageLength } from '../../src/messages/handshake-message.ts';
import { bodyOf, heldBytes, mutationsOf, plain } from '../messages/support.ts';
import { codecs } from './arbitraries.ts';

for (const { name, type, messages, encode, decode } of codecs) {
  const body = (message: unknown): Uint8Array => bodyOf(encode(message as never), type);

  describe(`TLS 1.2 ${name}`, () => {
    it('decodes to what was encoded', () => {
      fc.assert(
        fc.property(messages, (message) => assert.deepEqual(plain(decode(body(message))), plain(message))),
        { numRuns: 100 },
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
        { numRuns: 300 },
      );
    });

    it('survives changed, cut, shortened and lengthened messages', () => {
      fc.assert(
        fc.property(
          messages.chain((message) => mutationsOf(new Uint8Array(body(message)))),
          (bytes) => decodesSafely(decode, bytes),
        ),
        { numRuns: 300 },
      );
    });

    it('refuses every truncation and every byte that follows', () => {
      const [message] = fc.sample(messages, { numRuns: 1, seed: 7 });
      const whole = body(message);
      for (let length = 0; length < whole.length; length++) {
        assert.throws(() => decode(whole.slice(0, length)), TLSError, `cut at ${length} of ${whole.length}`);
      }
      assert.throws(() => decode(Uint8Array.from([...whole, 0])), TLSError);
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

    it('has a cap on its length that leaves room for what we send', () => {
      const [message] = fc.sample(messages, { numRuns: 1, seed: 3 });
      assert.ok(body(message).length <= maxMessageLength(type));
      assert.ok(maxMessageLength(type) <= 100 * 1024);
    });
  });
}

/** Like the check of the other messages, but a ServerKeyExchange holds its parameters twice. */
function decodesSafely(decode: (body: Uint8Array) => unknown, body: Uint8Array): void {
  let message: unknown;
  try {
    message = decode(body);
  } catch (error) {
    assert.ok(error instanceof TLSError, `threw ${error}`);
    assert.equal(error.blame, 'peer');
    assert.notEqual(error.alert, undefined);
    return;
  }
  let held = 0;
  for (const bytes of heldBytes(message)) {
    assert.notEqual(bytes.buffer, body.buffer, 'a field is a view of the input');
    assert.equal(bytes.buffer.byteLength, bytes.length, 'a field pins more memory than it shows');
    held += bytes.length;
  }
  assert.ok(held <= 2 * body.length, `${held} bytes are held of ${body.length}`);
}
