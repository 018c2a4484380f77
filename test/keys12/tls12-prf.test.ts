/** The TLS 1.2 PRF and what is made with it, against published vectors and against a second computation from the RFC. */

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { HashName } from '../../src/crypto/suites.ts';
import { cipherSuites12 } from '../../src/crypto/suites12.ts';
import {
  extendedMasterSecret,
  finishedVerifyData12,
  keyBlock,
  legacyMasterSecret,
  MASTER_SECRET_LENGTH,
  prf,
  VERIFY_DATA_LENGTH,
} from '../../src/keys/tls12-prf.ts';
import { refuses } from '../support/refusals.ts';
import { cavp, PUBLISHED, SESSION } from './vectors.ts';

const provider = nodeProvider;

describe('TLS 1.2 PRF', () => {
  for (const { hash, secret, label, seed, output } of PUBLISHED) {
    it(`with ${hash} gives the published output, and the same in every shorter length`, () => {
      const expected = fromHex(output);
      for (const length of [1, 31, 32, 33, 47, 48, 49, 64, 96, expected.length]) {
        const made = run(hash, fromHex(secret), label, fromHex(seed), length);
        assert.equal(toHex(made), toHex(expected.subarray(0, length)));
      }
    });
  }

  it('equals a second computation for any secret, label, seed and length', () => {
    const hash = fc.constantFrom<HashName>('sha256', 'sha384');
    const secret = fc.uint8Array({ minLength: 1, maxLength: 520 });
    const label = fc.stringMatching(/^[a-z ]{1,30}$/);
    const seed = fc.uint8Array({ maxLength: 300 });
    const length = fc.integer({ min: 0, max: 300 });
    fc.assert(
      fc.property(hash, secret, label, seed, length, (h, s, l, d, n) => {
        assert.equal(toHex(run(h, s, l, d, n)), independentPrf(h, s, l, d, n).toString('hex'));
      }),
      { numRuns: 150 },
    );
  });

  it('leaves the secret and the seed as they are', () => {
    const secret = Secret.copy('masterSecret', new Uint8Array(48).fill(9));
    const seed = new Uint8Array(32).fill(8);
    const made = prf({ provider, hash: 'sha256', secret, label: 'x', seed, length: 100, kind: 'test' });
    assert.deepEqual(secret.expose(), new Uint8Array(48).fill(9));
    assert.deepEqual(seed, new Uint8Array(32).fill(8));
    assert.equal(made.kind, 'test');
    assert.equal(made.length, 100);
  });

  it('is refused a secret that was erased', () => {
    const secret = Secret.copy('masterSecret', new Uint8Array(48));
    secret.erase();
    refuses('TLS_ERR_SECRET_ERASED', () =>
      prf({ provider, hash: 'sha256', secret, label: 'x', seed: new Uint8Array(0), length: 1, kind: 'test' }),
    );
  });
});

describe('TLS 1.2 master secret', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    const vector = cavp[hash];

    it(`with ${hash} is that of the CAVP vector, from the client's random and then the server's`, () => {
      const preMaster = Secret.copy('preMasterSecret', fromHex(vector.preMasterSecret));
      const made = legacyMasterSecret(
        provider,
        hash,
        preMaster,
        fromHex(vector.clientHelloRandom),
        fromHex(vector.serverHelloRandom),
      );
      assert.equal(made.use(toHex), vector.masterSecret);
      assert.equal(made.kind, 'masterSecret');
      assert.equal(preMaster.erased, true);
    });

    it(`with ${hash}, extended, covers the session hash and no random`, () => {
      const preMaster = Secret.copy('preMasterSecret', fromHex(vector.preMasterSecret));
      const sessionHash = createHash(hash).update(SESSION).digest();
      const made = extendedMasterSecret(provider, hash, preMaster, sessionHash);
      assert.equal(made.use(toHex), vector.extendedMasterSecret);
      const again = independentPrf(hash, fromHex(vector.preMasterSecret), 'extended master secret', sessionHash, 48);
      assert.equal(made.use(toHex), again.toString('hex'));
      assert.equal(made.length, MASTER_SECRET_LENGTH);
      assert.equal(made.kind, 'extendedMasterSecret');
      assert.equal(preMaster.erased, true);
    });
  }

  it('takes a premaster secret of any length: 32 bytes of x25519, 256 and fewer of DHE', () => {
    for (const length of [32, 48, 66, 255, 256, 512]) {
      const bytes = new Uint8Array(length).fill(length);
      const seed = new Uint8Array(32).fill(1);
      const made = extendedMasterSecret(provider, 'sha256', Secret.copy('preMasterSecret', bytes), seed);
      assert.equal(
        made.use(toHex),
        independentPrf('sha256', bytes, 'extended master secret', seed, 48).toString('hex'),
      );
    }
  });

  it('differs for two session hashes, which is what the triple handshake needs equal', () => {
    const make = (byte: number) =>
      extendedMasterSecret(
        provider,
        'sha256',
        Secret.copy('preMasterSecret', new Uint8Array(32).fill(7)),
        new Uint8Array(32).fill(byte),
      ).use(toHex);
    assert.notEqual(make(1), make(2));
  });
});

describe('TLS 1.2 key block', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    it(`with ${hash} is that of the CAVP vector, cut into client key, server key, client nonce, server nonce`, () => {
      const vector = cavp[hash];
      const expected = fromHex(vector.keyBlock);
      for (const [keyLength, ivLength] of [
        [16, 4],
        [32, 4],
        [32, 12],
      ] as const) {
        const { client, server } = keyBlock({
          provider,
          hash,
          masterSecret: Secret.copy('masterSecret', fromHex(vector.masterSecret)),
          clientRandom: fromHex(vector.clientRandom),
          serverRandom: fromHex(vector.serverRandom),
          keyLength,
          ivLength,
        });
        const parts = [client.writeKey, server.writeKey, client.writeIv, server.writeIv];
        let at = 0;
        for (const part of parts) {
          assert.equal(part.use(toHex), toHex(expected.subarray(at, at + part.length)));
          at += part.length;
        }
        assert.deepEqual(
          parts.map(({ length }) => length),
          [keyLength, keyLength, ivLength, ivLength],
        );
        assert.deepEqual(
          parts.map(({ kind }) => kind),
          ['clientWriteKey', 'serverWriteKey', 'clientImplicitNonce', 'serverImplicitNonce'],
        );
      }
    });
  }

  it('keeps the master secret, for resumption, and gives no two connections a key in common', () => {
    const masterSecret = Secret.copy('masterSecret', new Uint8Array(48).fill(3));
    const seen = new Set<string>();
    for (let connection = 0; connection < 20; connection++) {
      for (const suite of Object.values(cipherSuites12)) {
        const { client, server } = keyBlock({
          provider,
          hash: suite.hash,
          masterSecret,
          clientRandom: new Uint8Array(32).fill(connection),
          serverRandom: new Uint8Array(32).fill(suite.code ^ (connection << 3)),
          keyLength: suite.keyLength,
          ivLength: suite.ivLength,
        });
        assert.notEqual(client.writeKey.use(toHex), server.writeKey.use(toHex));
        if (suite.name === 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256') {
          seen.add(client.writeKey.use(toHex)).add(server.writeKey.use(toHex));
        }
      }
    }
    assert.equal(masterSecret.erased, false);
    assert.equal(seen.size, 40);
  });

  it('changes with either random and with their order', () => {
    const make = (clientRandom: number, serverRandom: number) =>
      keyBlock({
        provider,
        hash: 'sha256',
        masterSecret: Secret.copy('masterSecret', new Uint8Array(48).fill(3)),
        clientRandom: new Uint8Array(32).fill(clientRandom),
        serverRandom: new Uint8Array(32).fill(serverRandom),
        keyLength: 16,
        ivLength: 4,
      }).client.writeKey.use(toHex);
    assert.equal(new Set([make(1, 2), make(2, 1), make(1, 1), make(2, 2)]).size, 4);
  });
});

describe('TLS 1.2 Finished', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    for (const sender of ['client', 'server'] as const) {
      it(`of the ${sender} with ${hash} is 12 bytes under its own label`, () => {
        const vector = cavp[hash];
        const transcriptHash = createHash(hash).update(SESSION).digest();
        const masterSecret = Secret.copy('masterSecret', fromHex(cavp.sha384.masterSecret));
        const verifyData = finishedVerifyData12({ provider, hash, masterSecret, sender, transcriptHash });
        assert.equal(toHex(verifyData), vector.finished[sender]);
        assert.equal(verifyData.length, VERIFY_DATA_LENGTH);
        const again = independentPrf(hash, masterSecret.expose(), `${sender} finished`, transcriptHash, 12);
        assert.equal(toHex(verifyData), again.toString('hex'));
      });
    }
  }

  it('changes with every bit of the transcript hash', () => {
    const masterSecret = Secret.copy('masterSecret', new Uint8Array(48).fill(5));
    const seen = new Set<string>();
    for (let bit = 0; bit < 256; bit++) {
      const transcriptHash = new Uint8Array(32);
      transcriptHash[bit >> 3] = 1 << (bit & 7);
      seen.add(
        toHex(finishedVerifyData12({ provider, hash: 'sha256', masterSecret, sender: 'client', transcriptHash })),
      );
    }
    assert.equal(seen.size, 256);
  });
});

function run(hash: HashName, secret: Uint8Array, label: string, seed: Uint8Array, length: number): Uint8Array {
  const made = prf({ provider, hash, secret: Secret.copy('test', secret), label, seed, length, kind: 'test' });
  return made.use((bytes) => new Uint8Array(bytes));
}

/** P_hash from its definition, block by block over whole buffers. */
function independentPrf(hash: string, secret: Uint8Array, label: string, seed: Uint8Array, length: number): Buffer {
  const labelAndSeed = Buffer.concat([utf8(label), seed]);
  const mac = (...data: Uint8Array[]) => createHmac(hash, secret).update(Buffer.concat(data)).digest();
  const blocks: Buffer[] = [];
  for (let a = mac(labelAndSeed), made = 0; made < length; a = mac(a)) {
    blocks.push(mac(a, labelAndSeed));
    made += blocks[0].length;
  }
  return Buffer.concat(blocks).subarray(0, length);
}
