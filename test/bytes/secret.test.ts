import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { type SecretBorn, type SecretEnded, secretBorn, secretEnded } from '../../src/ledger/channels.ts';
import { collectGarbage } from '../support/collect.ts';
import { refuses } from '../support/refusals.ts';

/** Every way to make one. */
const makers: Record<string, (source: Uint8Array) => Secret> = {
  create: (source) => Secret.create('test', source.length, (bytes) => bytes.set(source)),
  take: (source) => Secret.take('test', source),
  copy: (source) => Secret.copy('test', source),
};

function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i + 1);
}

describe('Secret', () => {
  it('its memory lies outside the heap that V8 compacts', () => {
    // Arrays of up to 64 bytes inside that heap do not count as array buffers; allocations of their own do.
    // What others left behind may be let go meanwhile, in the background: hence so many, and half of what they take.
    const count = 60_000;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const secrets = Array.from({ length: count }, () => Secret.create('test', 32, () => {}));
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown > 0.5 * 32 * count, `array buffers grew by ${grown} bytes`);
    for (const secret of secrets) {
      secret.erase();
    }
  });

  for (const [name, make] of Object.entries(makers)) {
    it(`${name} gives it an allocation of its own, off the shared pool`, () => {
      for (let length = 1; length <= 100; length++) {
        const source = counting(length);
        const expected = toHex(source);
        make(source).use((bytes) => {
          assert.equal(bytes.byteOffset, 0);
          assert.equal(bytes.buffer.byteLength, length);
          assert.equal(bytes.constructor, Uint8Array);
          assert.notEqual(bytes.buffer, source.buffer);
          assert.equal(toHex(bytes), expected);
        });
      }
    });

    it(`${name} takes bytes from a slice of a pooled Buffer`, () => {
      const pooled = Buffer.from('some key bytes in the pool');
      const secret = make(pooled.subarray(5, 8));
      assert.equal(secret.length, 3);
      secret.use((bytes) => assert.equal(bytes.buffer.byteLength, 3));
    });
  }

  it('take erases the source, copy leaves it', () => {
    const taken = counting(8);
    const copied = counting(8);
    Secret.take('test', taken);
    Secret.copy('test', copied);
    assert.deepEqual(taken, new Uint8Array(8));
    assert.deepEqual(copied, counting(8));
  });

  it('erase overwrites the bytes, ends every use, and may be repeated', () => {
    const secret = Secret.copy('test', counting(32));
    const memory = secret.expose();
    assert.equal(secret.erased, false);
    secret.erase();
    assert.deepEqual(memory, new Uint8Array(32));
    assert.equal(secret.erased, true);
    assert.equal(secret.length, 0);
    secret.erase();
    const error = refuses('TLS_ERR_SECRET_ERASED', () => secret.expose());
    assert.equal(error.message, 'test was used after it was erased');
    refuses('TLS_ERR_SECRET_ERASED', () => secret.use(() => assert.fail('lent after its end')));
  });

  it('is erased by `using`', () => {
    const secret = Secret.copy('test', counting(4));
    secret[Symbol.dispose]();
    assert.equal(secret.erased, true);
  });

  it('never shows its bytes, whichever way it is printed', () => {
    const secret = Secret.copy('handshakeSecret', Buffer.from('0123456789abcdef0123456789abcdef'));
    const texts = [
      `${secret}`,
      secret.toString(),
      JSON.stringify(secret),
      JSON.stringify({ nested: { secret } }),
      inspect(secret),
      inspect({ nested: [secret] }, { showHidden: true, depth: 9 }),
      inspect(secret, { customInspect: false, showHidden: true, depth: 9 }),
      JSON.stringify(Object.entries(secret)),
    ];
    for (const text of texts) {
      assert.doesNotMatch(text, /0123456789|48, ?49, ?50|30 31 32|30313233/);
    }
    assert.equal(texts[0], 'Secret(32)');
    assert.equal(texts[2], '"Secret(32)"');
    assert.equal(texts[4], 'Secret(32)');
    secret.erase();
    assert.equal(inspect(secret), 'Secret(erased)');
  });

  it('publishes its birth and its end once each, without bytes', () => {
    const born: SecretBorn[] = [];
    const ended: SecretEnded[] = [];
    const onBorn = (message: unknown) => born.push(message as SecretBorn);
    const onEnded = (message: unknown) => ended.push(message as SecretEnded);
    secretBorn.subscribe(onBorn);
    secretEnded.subscribe(onEnded);
    try {
      const secret = Secret.copy('mainSecret', counting(48));
      const other = Secret.create('other', 16, () => {}, secret.id);
      secret.erase('handshake complete');
      secret.erase('again');
      other.erase();
      const none = { parents: [], owner: undefined, uses: undefined };
      assert.deepEqual(born, [
        { id: secret.id, kind: 'mainSecret', length: 48, ...none },
        { id: other.id, kind: 'other', length: 16, ...none, parents: [secret.id] },
      ]);
      assert.deepEqual(ended, [
        { id: secret.id, kind: 'mainSecret', why: 'handshake complete' },
        { id: other.id, kind: 'other', why: 'spent' },
      ]);
      assert.notEqual(secret.id, other.id);
    } finally {
      secretBorn.unsubscribe(onBorn);
      secretEnded.unsubscribe(onEnded);
    }
    Secret.copy('silent', counting(1)).erase();
    assert.equal(born.length, 2);
    assert.equal(ended.length, 2);
  });
});
