/** Both session codecs: the server's state and the client's session. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { TLSError } from '../../src/errors.ts';
import {
  type ClientSession,
  type ClientSession12,
  type ClientSession13,
  cloneClientSession,
  decodeClientSession,
  encodeClientSession,
} from '../../src/session/client-session.ts';
import {
  decodeSessionState,
  encodeSessionState,
  MAX_STATE_LENGTH,
  type SessionState,
  type SessionState13,
} from '../../src/session/session-state.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import {
  anyClientSession,
  anySessionState,
  clientSession,
  clientSession12,
  NO_BYTES,
  plain,
  sessionState,
  sessionState12,
} from './fixtures.ts';

interface Codec<T> {
  readonly name: string;
  readonly any: fc.Arbitrary<T>;
  readonly example: () => T;
  /** Fields of this version that have no encoding. */
  readonly wrong: readonly object[];
  readonly encode: (session: T) => Secret;
  readonly decode: (bytes: Uint8Array) => T;
}

const refusal = { name: 'TLSError', code: 'TLS_ERR_SESSION_STATE' };

function rules<T extends ClientSession | SessionState>({ name, any, example, wrong, encode, decode }: Codec<T>): void {
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
      const common = [
        { serverName: 'a'.repeat(256) },
        { alpnProtocol: 'é'.repeat(128) },
        { ticketLifetime: 604_801 },
        { ticketLifetime: 1.5 },
        { authenticatedAt: -1 },
        { authenticatedAt: Number.NaN },
        { secret: Secret.copy('resumptionPsk', new Uint8Array(20)) },
        { cipherSuite: 'TLS_NULL' },
        { version: 'TLSv1.1' },
        { peerCertificates: [new Uint8Array(0)] },
      ];
      for (const changes of [...common, ...wrong]) {
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

const wrongAge = [
  { ticketAgeAdd: 2 ** 32 },
  { ticketAgeAdd: -1 },
  { maxEarlyDataSize: 2 ** 32 },
  { maxEarlyDataSize: -1 },
];
const wrong12 = [
  { extendedMasterSecret: undefined },
  { extendedMasterSecret: 1 },
  { cipherSuite: 'TLS_AES_128_GCM_SHA256' },
  { secret: Secret.copy('masterSecret', new Uint8Array(32)) },
];
const stateCodec = { any: anySessionState, encode: encodeSessionState, decode: decodeSessionState };
const sessionCodec = { any: anyClientSession, encode: encodeClientSession, decode: decodeClientSession };

rules<SessionState>({ name: 'session state codec, TLS 1.3', ...stateCodec, example: sessionState, wrong: wrongAge });
rules<SessionState>({ name: 'session state codec, TLS 1.2', ...stateCodec, example: sessionState12, wrong: wrong12 });
rules<ClientSession>({
  name: 'client session codec, TLS 1.3',
  ...sessionCodec,
  example: clientSession,
  wrong: wrongAge,
});
rules<ClientSession>({
  name: 'client session codec, TLS 1.2',
  ...sessionCodec,
  example: clientSession12,
  wrong: [...wrong12, { sessionId: new Uint8Array(33) }, { sessionId: NO_BYTES }, { ticket: new Uint8Array(1) }],
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

  it('an unknown format, version and suite, a secret of the wrong length and a flag that is no flag are refused', () => {
    const bytes13 = encodeSessionState(sessionState()).expose();
    const bytes12 = encodeSessionState(sessionState12()).expose();
    const flagAt = 1 + 2 + 2 + 49 + 8 + 8 + 4;
    assert.equal(bytes12[flagAt], 1);
    for (const [bytes, at, value] of [
      [bytes13, 0, 1],
      [bytes13, 0, 2],
      [bytes13, 0, 4],
      [bytes13, 2, 0x02],
      [bytes13, 2, 0x03],
      [bytes13, 3, 0x99],
      [bytes13, 4, 0x02],
      [bytes12, 2, 0x04],
      [bytes12, 3, 0x13],
      [bytes12, 5, 47],
      [bytes12, flagAt, 2],
    ] as const) {
      const changed = new Uint8Array(bytes);
      changed[at] = value;
      assert.throws(() => decodeSessionState(changed), refusal, `byte ${at} of ${bytes.length}`);
    }
  });

  it('has these bytes', () => {
    const hex = (state: SessionState): string => Buffer.from(encodeSessionState(state, 16).expose()).toString('hex');
    const times = '000001a3185c5000' + '000001a3185c4c18';
    const names = '0f7777772e6578616d706c652e636f6d' + '026832';
    const secretOf = (length: number): string =>
      Array.from({ length }, (_, i) => (i + 1).toString(16).padStart(2, '0')).join('');
    assert.equal(
      hex(sessionState()),
      `0303041301${'20'}${secretOf(32)}${times}00001c20deadbeef000000000000${names}${'07'.repeat(32)}0000` +
        `06${'00'.repeat(6)}`,
    );
    const certificate = new Uint8Array([0xaa, 0xbb, 0xcc]);
    assert.equal(
      hex(sessionState12({ peerCertificates: [certificate] })),
      `030303c02b${'30'}${secretOf(48)}${times}00000e1001${names}${'07'.repeat(32)}00050003aabbcc` +
        `0a${'00'.repeat(10)}`,
    );
  });

  it('a state without what is optional is encoded as one with none', () => {
    const { peerCertificates: _, maxEarlyDataSize: __, externalPskIdentity: ___, ...without } = sessionState();
    assert.deepEqual(encodeSessionState(without).expose(), encodeSessionState(sessionState()).expose());
  });

  it('client certificates of up to 8 and 12 KiB are kept, more are refused both ways', () => {
    const most = sessionState12({ peerCertificates: [new Uint8Array(12_286).fill(1)] });
    assert.deepEqual(plain(decodeSessionState(encodeSessionState(most).expose())), plain(most));
    const one = new Uint8Array(1);
    for (const peerCertificates of [
      [new Uint8Array(12_287)],
      [new Uint8Array(12_284), one],
      Array.from({ length: 9 }, () => one),
    ]) {
      assert.throws(() => encodeSessionState(sessionState12({ peerCertificates })), refusal);
    }
    const bytes = Array.from(encodeSessionState(sessionState()).expose());
    for (const list of [Array.from({ length: 9 }, () => [0, 1, 9]).flat(), [0, 0], [0, 2, 9]]) {
      const changed = [...bytes.slice(0, -3), list.length >> 8, list.length & 255, ...list, 0];
      assert.throws(() => decodeSessionState(new Uint8Array(changed)), refusal, list.join());
    }
    const long = [...bytes.slice(0, -3), 0x30, 0x01, ...new Uint8Array(0x3001), 0];
    assert.throws(() => decodeSessionState(new Uint8Array(long)), refusal);
  });

  it('no state is longer than the longest', () => {
    const longest = sessionState({
      cipherSuite: 'TLS_AES_256_GCM_SHA384',
      serverName: 'n'.repeat(255),
      alpnProtocol: 'n'.repeat(255),
      peerCertificates: [new Uint8Array(12_286)],
      externalPskIdentity: new Uint8Array(1024),
    });
    assert.equal(encodeSessionState(longest).length, MAX_STATE_LENGTH);
  });

  it('a state that cannot be encoded leaves no copy of its secret behind', () => {
    const watch = new SecretWatch();
    const wrong: Partial<SessionState13>[] = [{ ticketAgeAdd: -1 }, { policyHash: NO_BYTES }];
    for (const changes of wrong) {
      const state = sessionState(changes);
      assert.throws(() => encodeSessionState(state), refusal);
      state.secret.erase();
    }
    assert.deepEqual(watch.alive, []);
    watch.stop();
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
      { peerCertificates: Array.from({ length: 65 }, () => one) },
      { peerCertificates: [new Uint8Array(1_048_577)] },
      { ticket: new Uint8Array(0) },
      { ticket: new Uint8Array(65_536) },
    ]) {
      assert.throws(() => encodeClientSession(clientSession(changes)), refusal);
    }
  });

  it('a TLS 1.2 session by ID, by ticket, and by neither or both', () => {
    const ticket = new Uint8Array(3).fill(5);
    for (const session of [clientSession12(), clientSession12({ sessionId: NO_BYTES, ticket })]) {
      assert.deepEqual(plain(decodeClientSession(encodeClientSession(session).expose())), plain(session));
    }
    const bytes = Array.from(encodeClientSession(clientSession12({ sessionId: new Uint8Array([1]) })).expose());
    const idAt = 4 + 1 + 2 + 2 + 49 + 1;
    assert.deepEqual(bytes.slice(idAt, idAt + 4), [1, 1, 0, 0]);
    const both = [...bytes.slice(0, idAt), 1, 1, 0, 1, 7, ...bytes.slice(idAt + 4)];
    const neither = [...bytes.slice(0, idAt), 0, 0, 0, ...bytes.slice(idAt + 4)];
    for (const changed of [both, neither]) {
      assert.throws(() => decodeClientSession(new Uint8Array(changed)), refusal);
    }
  });

  it('a clone has a secret of its own', () => {
    const examples: (ClientSession13 | ClientSession12)[] = [clientSession(), clientSession12()];
    for (const session of examples) {
      const clone = cloneClientSession(session);
      assert.deepEqual(plain(clone), plain(session));
      session.secret.erase();
      assert.equal(clone.secret.erased, false);
      assert.equal(clone.secret.expose()[5], 6);
    }
  });

  it('more certificates than the cap are refused before they are copied', () => {
    const bytes = Array.from(encodeClientSession(clientSession({ peerCertificates: [] })).expose());
    const many = Array.from({ length: 65 }, () => [0, 0, 1, 9]).flat();
    bytes.splice(bytes.length - 3, 3, 0, many.length >> 8, many.length & 255, ...many);
    assert.throws(() => decodeClientSession(new Uint8Array(bytes)), refusal);
  });
});
