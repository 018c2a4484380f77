import assert from 'node:assert/strict';
import { createHash, hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concat, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuites, type HashName } from '../../src/crypto/suites.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import { externalPskTable, foundPsk, usablePsks } from '../../src/session/external-psk.ts';
import {
  decodeImportedIdentity,
  encodeImportedIdentity,
  importPsk,
  roleContext,
} from '../../src/session/psk-importer.ts';
import { externalPsk } from './support.ts';

const hash = fc.constantFrom<HashName>('sha256', 'sha384');
const identity = fc.record(
  {
    externalIdentity: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    context: fc.uint8Array({ maxLength: 300 }),
    targetHash: hash,
  },
  { noNullPrototype: true },
);

describe('imported PSKs', () => {
  it('an ImportedIdentity is encoded as RFC 9258 §5.1 writes it', () => {
    const encoded = encodeImportedIdentity({
      externalIdentity: utf8('id'),
      context: utf8('ctx'),
      targetHash: 'sha384',
    });
    assert.equal(toHex(encoded), `0002${toHex(utf8('id'))}0003${toHex(utf8('ctx'))}03040002`);
  });

  it('what is encoded is decoded, and nothing else is', () => {
    fc.assert(
      fc.property(identity, fc.nat(), fc.integer({ min: 1, max: 255 }), (imported, at, flip) => {
        const encoded = encodeImportedIdentity(imported);
        assert.deepEqual(decodeImportedIdentity(encoded), imported);
        assert.equal(decodeImportedIdentity(concat(encoded, new Uint8Array(1))), undefined);
        assert.equal(decodeImportedIdentity(encoded.subarray(0, -1)), undefined);
        encoded[at % encoded.length] ^= flip;
        const other = decodeImportedIdentity(encoded);
        assert.ok(other === undefined || toHex(encodeImportedIdentity(other)) === toHex(encoded));
      }),
    );
    const other = encodeImportedIdentity({ externalIdentity: utf8('a'), context: utf8(''), targetHash: 'sha256' });
    for (const [at, value] of [
      [other.length - 3, 0x03],
      [other.length - 1, 0x03],
      [other.length - 1, 0],
    ]) {
      const changed = new Uint8Array(other);
      changed[at] = value;
      assert.equal(decodeImportedIdentity(changed), undefined, 'another protocol or KDF than ours');
    }
  });

  it('the imported PSK is the one of RFC 9258 §5.1, computed another way', () => {
    fc.assert(
      fc.property(identity, hash, fc.uint8Array({ minLength: 16, maxLength: 64 }), (imported, own, epsk) => {
        const secret = Secret.copy('externalPsk', epsk);
        const ipsk = importPsk({ provider: nodeProvider, externalPsk: secret, hash: own, identity: imported });
        const length = imported.targetHash === 'sha256' ? 32 : 48;
        const context = createHash(own).update(encodeImportedIdentity(imported)).digest();
        const label = utf8('tls13 derived psk');
        const info = concat(
          new Uint8Array([0, length, label.length]),
          label,
          new Uint8Array([context.length]),
          new Uint8Array(context),
        );
        const zeros = new Uint8Array(own === 'sha256' ? 32 : 48);
        assert.equal(toHex(ipsk.expose()), toHex(new Uint8Array(hkdfSync(own, epsk, zeros, info, length))));
        ipsk.erase();
        secret.erase();
      }),
      { numRuns: 30 },
    );
  });

  it('its binder key has a label of its own, as that of a PSK that is not imported', () => {
    const labels = { external: 'ext binder', imported: 'imp binder', resumption: 'res binder' } as const;
    const psk = Secret.create('externalPsk', 32, (bytes) => bytes.fill(9));
    for (const [kind, label] of Object.entries(labels)) {
      const early = EarlySecret.create(nodeProvider, 'sha256', psk);
      const key = early.binderKey(kind as keyof typeof labels);
      const name = utf8(`tls13 ${label}`);
      const empty = new Uint8Array(createHash('sha256').digest());
      const info = concat(new Uint8Array([0, 32, name.length]), name, new Uint8Array([32]), empty);
      const expected = hkdfSync('sha256', psk.expose(), new Uint8Array(32), info, 32);
      assert.equal(toHex(key.expose()), toHex(new Uint8Array(expected)));
      key.erase();
      early.erase();
    }
  });

  it('with psk_ke the rung below is made from zeros in the place of a shared secret', () => {
    const psk = Secret.create('externalPsk', 32, (bytes) => bytes.fill(9));
    const suite = cipherSuites.TLS_AES_128_GCM_SHA256;
    const alone = EarlySecret.create(nodeProvider, 'sha256', psk).toHandshakeSecretWithoutKeyExchange(suite);
    const zeros = Secret.copy('sharedSecret', new Uint8Array(32));
    const same = EarlySecret.create(nodeProvider, 'sha256', psk).toHandshakeSecret(suite, zeros);
    const transcript = new Uint8Array(32).fill(1);
    const [a, b] = [alone, same].map((rung) => rung.clientHandshakeTrafficSecret(transcript).trafficKeys().writeKey);
    assert.equal(toHex(a.expose()), toHex(b.expose()));
  });

  it('a PSK is imported once for each hash, one that is not goes with its own hash alone', () => {
    const context = roleContext({ client: utf8('a'), server: utf8('b') });
    const imported = usablePsks(nodeProvider, externalPsk('id', { importContext: context }), ['sha256', 'sha384']);
    assert.deepEqual(
      imported.map(({ kind, hash, psk }) => [kind, hash, psk.length]),
      [
        ['imported', 'sha256', 32],
        ['imported', 'sha384', 48],
      ],
    );
    const plain = usablePsks(nodeProvider, externalPsk('id'), ['sha256', 'sha384']);
    assert.deepEqual(
      plain.map(({ kind, hash }) => [kind, hash]),
      [['external', 'sha256']],
    );
    assert.deepEqual(usablePsks(nodeProvider, externalPsk('id'), ['sha384']), []);
  });

  it('an identity that looks imported is not imported unless the server says so, nor the other way round', () => {
    const looks = encodeImportedIdentity({ externalIdentity: utf8('id'), context: utf8(''), targetHash: 'sha256' });
    const query = { identity: looks, imported: decodeImportedIdentity(looks) };
    const { externalPsk: secret } = externalPsk('id');
    assert.equal(foundPsk(nodeProvider, query, { externalPsk: secret })?.kind, 'external');
    assert.equal(foundPsk(nodeProvider, query, { externalPsk: secret, imported: true })?.kind, 'imported');
    const plain = { identity: utf8('id'), imported: undefined };
    assert.equal(foundPsk(nodeProvider, plain, { externalPsk: secret, imported: true }), undefined);
  });

  it('a role context is two names with their lengths', () => {
    assert.equal(toHex(roleContext({ client: utf8('ab'), server: utf8('c') })), '0261620163');
    assert.throws(() => roleContext({ client: new Uint8Array(256), server: utf8('') }), { code: 'TLS_ERR_CONFIG' });
  });

  it('PSKs that can be guessed, identities out of their range, other hashes and two of one name are refused', () => {
    const short = Secret.copy('externalPsk', new Uint8Array(15));
    const wrong = [
      externalPsk('id', { externalPsk: short }),
      externalPsk(''),
      { ...externalPsk(''), identity: new Uint8Array(65_536) },
      externalPsk('id', { hash: 'sha512' as HashName }),
      { ...externalPsk('id', { importContext: new Uint8Array(65_530) }) },
    ];
    for (const psk of wrong) {
      assert.throws(() => externalPskTable([psk]), { code: 'TLS_ERR_CONFIG' });
      assert.throws(() => usablePsks(nodeProvider, psk, ['sha256']), { code: 'TLS_ERR_CONFIG' });
    }
    assert.throws(() => externalPskTable([externalPsk('a'), externalPsk('a', { fill: 8 })]), {
      code: 'TLS_ERR_CONFIG',
    });
  });
});
