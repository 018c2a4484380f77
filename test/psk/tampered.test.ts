import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { bindersLength, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeServerHello, encodeServerHello, type ServerHello } from '../../src/messages/server-hello.ts';
import type { ExternalPsk } from '../../src/session/external-psk.ts';
import { type Link, World } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { craftHello, end, externalPsk, offerTo, pskContext, usable } from './support.ts';

const watch = new SecretWatch();
let world = new World();
let psks: ExternalPsk[] = [];
beforeEach(() => {
  world.close();
  watch.clear();
  world = new World();
  psks = [externalPsk('one', { fill: 1 }), externalPsk('two', { fill: 2, importContext: utf8('x') })];
});
after(() => {
  watch.stop();
  world.close();
});

/** The genuine hello of a client with both PSKs: three identities under these suites. */
const SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const;

function genuine(): { record: Uint8Array; raw: Uint8Array; binders: readonly Uint8Array[]; identities: Uint8Array[] } {
  const client = world.client({ externalPsks: psks, cipherSuites: SUITES }).start();
  const record = client.flush();
  client.forget();
  const raw = record.slice(5);
  const offer = decodeClientHello(raw.subarray(4)).extensions.preSharedKey;
  assert(offer !== undefined);
  return { record, raw, binders: offer.binders, identities: offer.identities.map(({ identity }) => identity) };
}

function answerOf(
  raw: Uint8Array,
  known: readonly ExternalPsk[],
  cipherSuites = SUITES as ServerOptions['cipherSuites'],
) {
  const server = world.server({ context: pskContext(world, known), cipherSuites });
  const hello = offerTo(server, raw);
  const { error } = server;
  server.forget();
  return { selected: hello?.extensions.selectedIdentity, code: error?.code, alert: error?.alert };
}

describe('a hello with several PSKs', () => {
  test('is genuine to begin with: each identity is selected where it is the one that is known', () => {
    const { raw, identities, binders } = genuine();
    assert.equal(identities.length, 3);
    assert.deepEqual(
      binders.map(({ length }) => length),
      [32, 32, 48],
    );
    assert.equal(answerOf(raw, psks).selected, 0);
    assert.equal(answerOf(raw, [psks[1]]).selected, 1);
    assert.equal(answerOf(raw, [psks[1]], ['TLS_AES_256_GCM_SHA384']).selected, 2);
  });

  test('whose selected binder has any bit flipped is refused, one whose other binders have is not', () => {
    const { raw, binders } = genuine();
    const start = raw.length - bindersLength(binders) + 2;
    const at = [start + 1, start + 1 + 33, start + 1 + 66];
    for (const [which, known, cipherSuites] of [
      [0, psks, SUITES],
      [1, [psks[1]], SUITES],
      [2, [psks[1]], ['TLS_AES_256_GCM_SHA384']],
    ] as const) {
      for (let other = 0; other < 3; other++) {
        for (let byte = 0; byte < binders[other].length; byte += 5) {
          const changed = new Uint8Array(raw);
          changed[at[other] + byte] ^= 1 << (byte % 8);
          const { selected, code, alert } = answerOf(changed, known, cipherSuites);
          if (other === which) {
            assert.deepEqual([selected, code, alert], [undefined, 'TLS_ERR_BAD_BINDER', 'decrypt_error']);
          } else {
            assert.deepEqual([selected, code], [which, undefined]);
          }
        }
      }
    }
  });

  test('with its binders or its identities swapped is refused', () => {
    const { raw, binders } = genuine();
    const start = raw.length - bindersLength(binders) + 2;
    const swapped = new Uint8Array(raw);
    swapped.set(binders[1], start + 1);
    swapped.set(binders[0], start + 1 + 33);
    assert.equal(answerOf(swapped, psks).code, 'TLS_ERR_BAD_BINDER');
    assert.equal(answerOf(swapped, [psks[1]]).code, 'TLS_ERR_BAD_BINDER');
    const hello = decodeClientHello(raw.subarray(4));
    const offer = hello.extensions.preSharedKey;
    assert(offer !== undefined);
    const identities = [offer.identities[1], offer.identities[0], offer.identities[2]];
    const preSharedKey = { identities, binders: offer.binders };
    const reordered = encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } });
    assert.equal(answerOf(reordered, psks).code, 'TLS_ERR_BAD_BINDER');
  });

  test('with any other byte changed is refused, as the binder covers all before it', () => {
    const { raw, binders } = genuine();
    const cut = raw.length - bindersLength(binders);
    for (let position = 6; position < cut; position += 3) {
      const changed = new Uint8Array(raw);
      changed[position] ^= 1;
      const { selected, code } = answerOf(changed, psks);
      assert.equal(selected, undefined, `byte ${position}`);
      assert.notEqual(code, undefined, `byte ${position}`);
    }
  });

  test('whose binder has the label of another kind is refused', () => {
    const [one] = psks.map(usable);
    for (const kind of ['imported', 'resumption'] as const) {
      const raw = craftHello(world, { psks: [{ ...one, kind } as typeof one] });
      assert.equal(answerOf(raw, psks).code, 'TLS_ERR_BAD_BINDER');
    }
    assert.equal(answerOf(craftHello(world, { psks: [one] }), psks).selected, 0);
  });

  test('with one binder more or less than identities, one too short, or none at all is refused', () => {
    const one = usable(psks[0]);
    const full = new Uint8Array(32);
    const entry = { identity: one.wireIdentity, obfuscatedTicketAge: 0 };
    for (const [binders, identities, code] of [
      [[], [entry], 'TLS_ERR_DECODE'],
      [[full, full], [entry], 'TLS_ERR_ILLEGAL_PARAMETER'],
      [[full], [entry, entry], 'TLS_ERR_ILLEGAL_PARAMETER'],
      [[new Uint8Array(31)], [entry], 'TLS_ERR_DECODE'],
      [[full], [], 'TLS_ERR_DECODE'],
      [[full], [{ ...entry, identity: new Uint8Array(0) }], 'TLS_ERR_DECODE'],
      [[new Uint8Array(33)], [entry], 'TLS_ERR_BAD_BINDER'],
    ] as const) {
      const hello = decodeClientHello(craftHello(world, { psks: [one] }).subarray(4));
      const extensions = { ...hello.extensions, preSharedKey: { identities, binders } };
      assert.equal(answerOf(encodeClientHello({ ...hello, extensions }), psks).code, code);
    }
  });

  test('that names thousands of identities is refused before any is looked up', () => {
    const hello = decodeClientHello(craftHello(world, { psks: [usable(psks[0])] }).subarray(4));
    const entry = { identity: new Uint8Array(1), obfuscatedTicketAge: 0 };
    const preSharedKey = {
      identities: Array.from({ length: 33 }, () => entry),
      binders: Array.from({ length: 33 }, () => new Uint8Array(32)),
    };
    const raw = encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } });
    assert.equal(answerOf(raw, psks).code, 'TLS_ERR_DECODE');
  });

  test('with pre_shared_key before another extension is refused', () => {
    const raw = craftHello(world, { psks: [usable(psks[0])] });
    const blockAt = 4 + 2 + 32 + 1 + 32 + 2 + (raw[71] * 256 + raw[72]) + 2;
    const length = raw[blockAt] * 256 + raw[blockAt + 1] + 4;
    const changed = concat(raw, new Uint8Array([0xff, 0x77, 0, 0]));
    changed.set([length >>> 8, length & 0xff], blockAt);
    const whole = changed.length - 4;
    changed.set([0, whole >>> 8, whole & 0xff], 1);
    assert.deepEqual(answerOf(changed, psks).code, 'TLS_ERR_ILLEGAL_PARAMETER');
  });

  test('without psk_key_exchange_modes is refused', () => {
    const raw = craftHello(world, {
      psks: [usable(psks[0])],
      change: (extensions) => ({ ...extensions, pskKeyExchangeModes: undefined }),
    });
    assert.equal(answerOf(raw, psks).code, 'TLS_ERR_MISSING_EXTENSION');
  });

  test('with any identities, ages and binders at all leads to a certificate or to an alert, and leaves nothing behind', () => {
    const hello = decodeClientHello(craftHello(world, { psks: [usable(psks[0])] }).subarray(4));
    const known = psks.flatMap((psk) => [psk.identity, usable(psk).wireIdentity]);
    const identity = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.constantFrom(...known));
    const entry = fc.record({ identity, obfuscatedTicketAge: fc.nat(), length: fc.integer({ min: 32, max: 60 }) });
    const context = pskContext(world, psks, { credentials: world.context.credentials });
    watch.clear();
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), (entries) => {
        const preSharedKey = { identities: entries, binders: entries.map(({ length }) => new Uint8Array(length)) };
        const server = world.server({ context });
        const answer = offerTo(
          server,
          encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } }),
        );
        assert.equal(answer?.extensions.selectedIdentity, undefined);
        assert.ok(server.error === undefined || server.error.code === 'TLS_ERR_BAD_BINDER', server.error?.message);
        server.forget();
        assert.deepEqual(watch.alive, []);
      }),
      { numRuns: 150 },
    );
  });

  test('may name an identity twice: the first counts', () => {
    const one = usable(psks[0]);
    const wrong = { ...one, psk: usable(externalPsk('one', { fill: 9 })).psk };
    assert.equal(answerOf(craftHello(world, { psks: [one, one] }), psks).selected, 0);
    assert.equal(answerOf(craftHello(world, { psks: [one, wrong] }), psks).selected, 0);
    assert.equal(answerOf(craftHello(world, { psks: [wrong, one] }), psks).code, 'TLS_ERR_BAD_BINDER');
  });

  test('of which the second, after a HelloRetryRequest, offers a PSK that the first did not is refused', () => {
    const link = world.pair(
      { externalPsks: [psks[0]], keyShares: ['secp256r1'], grease: false },
      { context: pskContext(world, psks), namedGroups: ['x25519'] },
    );
    link.client.start();
    link.server.receive(link.client.flush());
    link.client.receive(link.server.flush());
    const second = link.client.flush();
    const at = second.indexOf(22, 1);
    const hello = decodeClientHello(second.subarray(at + 9));
    const offer = hello.extensions.preSharedKey;
    assert(offer !== undefined);
    for (const [identities, code] of [
      [[{ identity: utf8('two'), obfuscatedTicketAge: 0 }], 'TLS_ERR_ILLEGAL_PARAMETER'],
      [offer.identities, undefined],
    ] as const) {
      const preSharedKey = { identities, binders: offer.binders };
      const raw = encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } });
      if (code !== undefined) {
        const other = world.server({ context: pskContext(world, psks), namedGroups: ['x25519'] });
        const client = world.client({ externalPsks: [psks[0]], keyShares: ['secp256r1'] }).start();
        other.receive(client.flush());
        other.receive(plaintext(22, raw));
        assert.equal(other.error?.code, code);
        other.forget();
        client.forget();
      }
    }
    link.server.receive(second);
    assert.equal(link.server.error, undefined);
    link.forget();
  });
});

describe("a server's choice", () => {
  /** The client's error when the genuine ServerHello is changed. */
  function refused(
    change: (hello: ServerHello) => object,
    client: Partial<ClientOptions> = {},
    server: Partial<ServerOptions> = {},
  ): Link {
    const link = world.pair(
      { externalPsks: psks, cipherSuites: SUITES, ...client },
      { context: pskContext(world, psks), ...server },
    );
    let first = true;
    link.toClient = (bytes) => {
      if (!first || bytes.length === 0) {
        return bytes;
      }
      first = false;
      const hello = decodeServerHello(bytes.subarray(9, 5 + bytes[3] * 256 + bytes[4]));
      return plaintext(22, encodeServerHello({ ...hello, ...change(hello) } as ServerHello));
    };
    return end(link.run());
  }

  const ext = (hello: ServerHello, changes: object) => ({ extensions: { ...hello.extensions, ...changes } });

  function assertRefused(link: Link, code: TLSErrorCode, alert = 'illegal_parameter'): void {
    assert.equal(link.client.error?.code, code, link.client.error?.message);
    assert.equal(link.server.error?.alert, alert);
    assert.equal(link.client.summary, undefined);
  }

  test('of an identity that was not offered is refused', () => {
    for (const selectedIdentity of [3, 4, 0xffff]) {
      assertRefused(
        refused((hello) => ext(hello, { selectedIdentity })),
        'TLS_ERR_ILLEGAL_PARAMETER',
      );
    }
    assertRefused(
      refused((hello) => ext(hello, { selectedIdentity: 0 }), { externalPsks: [] }, { context: world.context }),
      'TLS_ERR_UNSUPPORTED_EXTENSION',
      'unsupported_extension',
    );
  });

  test('of another identity than the one whose binder it verified ends with the first protected record', () => {
    const link = refused((hello) => ext(hello, { selectedIdentity: 1 }));
    // Nothing followed the changed ServerHello: what the server sends next cannot be opened.
    assert.equal(link.client.summary, undefined);
    const honest = world.pair({ externalPsks: psks, cipherSuites: SUITES }, { context: pskContext(world, psks) });
    let first = true;
    honest.toClient = (bytes) => {
      if (!first || bytes.length === 0) {
        return bytes;
      }
      first = false;
      const length = 5 + bytes[3] * 256 + bytes[4];
      const hello = decodeServerHello(bytes.subarray(9, length));
      const changed = encodeServerHello({ ...hello, ...ext(hello, { selectedIdentity: 1 }) } as ServerHello);
      return concat(plaintext(22, changed), bytes.subarray(length));
    };
    end(honest.run());
    assert.equal(honest.client.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
  });

  test('of a suite whose hash is not that of the PSK is refused', () => {
    assertRefused(
      refused(() => ({ cipherSuite: 0x1302 })),
      'TLS_ERR_ILLEGAL_PARAMETER',
    );
    assertRefused(
      refused((hello) => ext(hello, { selectedIdentity: 2 })),
      'TLS_ERR_ILLEGAL_PARAMETER',
    );
  });

  test('of psk_ke, which was not offered, is refused', () => {
    assertRefused(
      refused((hello) => ext(hello, { keyShare: undefined })),
      'TLS_ERR_ILLEGAL_PARAMETER',
    );
  });

  test('of psk_ke after it asked for a share is refused', () => {
    const link = world.pair(
      { externalPsks: psks, dangerouslyAllowPskKe: true, keyShares: ['secp256r1'] },
      { context: pskContext(world, psks), namedGroups: ['x25519'] },
    );
    let flights = 0;
    link.toClient = (bytes) => {
      flights += bytes.length === 0 ? 0 : 1;
      if (flights !== 2 || bytes.length === 0) {
        return bytes;
      }
      const hello = decodeServerHello(bytes.subarray(9, 5 + bytes[3] * 256 + bytes[4]));
      return plaintext(22, encodeServerHello({ ...hello, ...ext(hello, { keyShare: undefined }) } as ServerHello));
    };
    end(link.run());
    assert.equal(link.client.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    assert.equal(link.client.summary, undefined);
  });

  test('of neither a PSK nor a share is refused', () => {
    for (const dangerouslyAllowPskKe of [false, true]) {
      assertRefused(
        refused((hello) => ext(hello, { keyShare: undefined, selectedIdentity: undefined }), { dangerouslyAllowPskKe }),
        'TLS_ERR_MISSING_EXTENSION',
        'missing_extension',
      );
    }
  });

  test('of no PSK, where one is required, is refused', () => {
    assertRefused(
      refused((hello) => ext(hello, { selectedIdentity: undefined }), { externalPskRequired: true }),
      'TLS_ERR_PSK_REQUIRED',
      'handshake_failure',
    );
  });

  test('leaves no PSK and no rung behind, whatever is wrong with it', () => {
    for (const { externalPsk: secret } of psks) {
      secret.erase();
    }
    psks = [externalPsk('one', { fill: 1 }), externalPsk('two', { fill: 2, importContext: utf8('x') })];
    const changes: ((hello: ServerHello) => object)[] = [
      (hello) => ext(hello, { selectedIdentity: 3 }),
      (hello) => ext(hello, { selectedIdentity: 2 }),
      (hello) => ext(hello, { keyShare: undefined }),
      (hello) => ext(hello, { selectedIdentity: undefined }),
    ];
    for (const change of changes) {
      const link = refused(change, { externalPskRequired: true });
      link.forget();
    }
    for (const { externalPsk: secret } of psks) {
      secret.erase();
    }
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
      [],
    );
  });
});
