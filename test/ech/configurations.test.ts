/** The codecs of Encrypted Client Hello. RFC 9849 §4, §5. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Reader } from '../../src/bytes/reader.ts';
import { TLSError } from '../../src/errors.ts';
import { decodeEchConfigList, encodeOuterEch } from '../../src/messages/encrypted-client-hello.ts';
import { encodeEchConfig, encodeEchConfigList } from '../support/ech-server.ts';

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const u16 = fc.integer({ min: 0, max: 0xffff });
const configuration = fc.record({
  kem: u16,
  kdf: u16,
  aead: u16,
  configId: fc.integer({ min: 0, max: 255 }),
  maximumNameLength: fc.integer({ min: 0, max: 255 }),
  publicName: fc.domain().filter((name) => name.length < 256),
});

describe('an ECHConfigList', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes(1, 64), configuration), { minLength: 1, maxLength: 4 }), (list) => {
        const raws = list.map(([publicKey, options]) => encodeEchConfig(publicKey, options));
        const read = decodeEchConfigList(encodeEchConfigList(...raws));
        assert.equal(read.length, list.length);
        for (const [at, [publicKey, { kem, kdf, aead, ...same }]] of list.entries()) {
          const { raw, cipherSuites, hasMandatoryExtension, ...rest } = read[at];
          assert.deepEqual(raw, raws[at]);
          assert.deepEqual(cipherSuites, [{ kdf, aead }]);
          assert.equal(hasMandatoryExtension, false);
          assert.deepEqual({ ...rest, publicKey: [...rest.publicKey] }, { ...same, kem, publicKey: [...publicKey] });
        }
      }),
    );
  });

  it('may hold configurations of versions to come, whatever is in them', () => {
    const odd = encodeEchConfig(new Uint8Array(5), { version: 0xfe0e });
    const known = encodeEchConfig(new Uint8Array(32), { publicName: 'known.example' });
    const read = decodeEchConfigList(encodeEchConfigList(odd, known));
    assert.deepEqual(
      read.map(({ publicName }) => publicName),
      ['known.example'],
    );
  });

  it('that is cut short, or goes on behind its end, breaks the syntax', () => {
    const list = encodeEchConfigList(encodeEchConfig(new Uint8Array(32)));
    for (let length = 0; length < list.length; length++) {
      assert.throws(() => decodeEchConfigList(list.subarray(0, length)), { code: 'TLS_ERR_DECODE' }, `${length} bytes`);
    }
    assert.throws(() => decodeEchConfigList(Uint8Array.of(...list, 0)), { code: 'TLS_ERR_DECODE' });
  });

  it('with any byte changed is read or refused, and nothing else', () => {
    const list = encodeEchConfigList(encodeEchConfig(new Uint8Array(32)), encodeEchConfig(new Uint8Array(32)));
    fc.assert(
      fc.property(fc.nat(list.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const tampered = new Uint8Array(list);
        tampered[at] ^= change;
        try {
          decodeEchConfigList(tampered);
        } catch (error) {
          assert(error instanceof TLSError && error.code === 'TLS_ERR_DECODE');
        }
      }),
    );
  });

  it('of no configuration at all breaks the syntax', () => {
    assert.throws(() => decodeEchConfigList(Uint8Array.of(0, 0)), { code: 'TLS_ERR_DECODE' });
  });
});

describe('the extension in the outer hello', () => {
  it('ends with its payload', () => {
    fc.assert(
      fc.property(u16, u16, bytes(0, 32), bytes(1, 300), (kdf, aead, encapsulation, payload) => {
        const raw = encodeOuterEch({ cipherSuite: { kdf, aead }, configId: 5, encapsulation, payload });
        const reader = new Reader(raw, 'test');
        assert.deepEqual([reader.u8(''), reader.u16(''), reader.u16(''), reader.u8('')], [0, kdf, aead, 5]);
        assert.deepEqual([...reader.vector16('')], [...encapsulation]);
        assert.deepEqual([...reader.vector16('')], [...payload]);
        reader.end();
      }),
    );
  });
});
