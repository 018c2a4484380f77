/** Both session codecs: the server's state and the client's session. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { TLSError } from '../../src/errors.ts';
import { type ClientSession, decodeClientSession, encodeClientSession } from '../../src/session/client-session.ts';
import { decodeSessionState, encodeSessionState, type SessionState } from '../../src/session/session-state.ts';
import { anyClientSession, anySessionState, clientSession, plain, sessionState } from './fixtures.ts';

interface Codec<T> {
  readonly name: string;
  readonly any: fc.Arbitrary<T>;
  readonly example: (changes?: Partial<T>) => T;
  readonly encode: (session: T) => Secret;
  readonly decode: (bytes: Uint8Array) => T;
}

const refusal = { name: 'TLSError', code: 'TLS_ERR_SESSION_STATE' };

function rules<T extends ClientSession | SessionState>({ name, any, example, encode, decode }: Codec<T>): void {
  describe(name, () => {
    it('decoding gives back what was encoded', () => {
      fc.assert(
        fc.property(any, (session) => {
          const encoded = encode(session);
          assert.deepEqual(plain(decode(encoded.expose())), plain(session));
        }),
      );
    });

    it('what is decoded shares no memory with the bytes', () => {
      for (const copy of [new Uint8Array(encode(example()).expose()), Buffer.from(encode(example()).expose())]) {
        const decoded = decode(copy);
        copy.fill(0xff);
        assert.deepEqual(plain(decoded), plain(example()));
      }
    });

    it('every truncation and every extension is refused', () => {
      const bytes = encode(example()).expose();
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => decode(bytes.subarray(0, length)), refusal, `${length} bytes`);
      }
      assert.throws(() => decode(new Uint8Array([...bytes, 0])), refusal);
    });

    it('hostile bytes lead to TLS_ERR_SESSION_STATE and nothing else', () => {
      const valid = encode(example()).expose();
      const tampered = fc
        .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
        .map((changes) => {
          const bytes = new Uint8Array(valid);
          for (const [at, value] of changes) {
            bytes[at] = value;
          }
          return bytes;
        });
      fc.assert(
        fc.property(fc.oneof(tampered, fc.uint8Array({ maxLength: 400 })), (bytes) => {
          try {
            decode(bytes);
          } catch (error) {
            assert(error instanceof TLSError);
            assert.equal(error.code, 'TLS_ERR_SESSION_STATE');
          }
        }),
        { numRuns: 2000 },
      );
    });

    it('fields without an encoding are refused', () => {
      const wrong: Partial<ClientSession & SessionState>[] = [
        { serverName: 'a'.repeat(256) },
        { alpnProtocol: 'é'.repeat(128) },
        { ticketLifetime: 604_801 },
        { ticketLifetime: 1.5 },
        { ticketAgeAdd: 2 ** 32 },
        { ticketAgeAdd: -1 },
        { authenticatedAt: -1 },
        { authenticatedAt: Number.NaN },
        { secret: Secret.copy('resumptionPsk', new Uint8Array(20)) },
        { cipherSuite: 'TLS_NULL' as 'TLS_AES_128_GCM_SHA256' },
      ];
      for (const changes of wrong) {
        assert.throws(() => encode({ ...example(), ...changes } as T), refusal, Object.keys(changes)[0]);
      }
    });

    it('an erased secret cannot be encoded', () => {
      const session = example();
      session.secret.erase();
      assert.throws(() => encode(session), { code: 'TLS_ERR_SECRET_ERASED' });
    });
  });
}

rules({
  name: 'session state codec',
  any: anySessionState,
  example: sessionState,
  encode: encodeSessionState,
  decode: decodeSessionState,
});
rules({
  name: 'client session codec',
  any: anyClientSession,
  example: clientSession,
  encode: encodeClientSession,
  decode: decodeClientSession,
});

describe('session state codec', () => {
  it('padding reaches the multiple, is accepted, and must be zeros', () => {
    for (let length = 0; length < 70; length++) {
      const state = sessionState({ serverName: 'n'.repeat(length) });
      const encoded = encodeSessionState(state, 32);
      assert.equal(encoded.length % 32, 0);
      assert.deepEqual(plain(decodeSessionState(encoded.expose())), plain(state));
    }
    const padded = encodeSessionState(sessionState({ serverName: '' }), 256).expose();
    padded[padded.length - 1] = 1;
    assert.throws(() => decodeSessionState(padded), refusal);
  });

  it('an unknown format, suite and a PSK of the wrong length are refused', () => {
    const bytes = encodeSessionState(sessionState()).expose();
    for (const [at, value] of [
      [0, 2],
      [1, 0x99],
      [2, 0x02],
    ]) {
      const changed = new Uint8Array(bytes);
      changed[at] = value;
      assert.throws(() => decodeSessionState(changed), refusal, `byte ${at}`);
    }
  });

  it('a policy hash of another length is refused', () => {
    assert.throws(() => encodeSessionState(sessionState({ policyHash: new Uint8Array(31) })), refusal);
  });

  it('a time with a fraction is encoded as the whole millisecond before it', () => {
    const encoded = encodeSessionState(sessionState({ issuedAt: 1234.9 }));
    assert.equal(decodeSessionState(encoded.expose()).issuedAt, 1234);
  });
});

describe('client session codec', () => {
  it('empty or too many certificates and an empty ticket are refused', () => {
    const one = new Uint8Array(1);
    for (const changes of [
      { peerCertificates: [new Uint8Array(0)] },
      { peerCertificates: Array.from({ length: 65 }, () => one) },
      { peerCertificates: [new Uint8Array(1_048_577)] },
      { ticket: new Uint8Array(0) },
      { ticket: new Uint8Array(65_536) },
    ]) {
      assert.throws(() => encodeClientSession(clientSession(changes)), refusal);
    }
  });

  it('more certificates than the cap are refused before they are copied', () => {
    const bytes = Array.from(encodeClientSession(clientSession({ peerCertificates: [] })).expose());
    const many = Array.from({ length: 65 }, () => [0, 0, 1, 9]).flat();
    bytes.splice(bytes.length - 3, 3, 0, many.length >> 8, many.length & 255, ...many);
    assert.throws(() => decodeClientSession(new Uint8Array(bytes)), refusal);
  });
});
