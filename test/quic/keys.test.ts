/** QUIC's key schedule and packet protection against the examples of RFC 9001 and RFC 9369, and what they refuse. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type CipherSuite, cipherSuites } from '../../src/crypto/suites.ts';
import {
  decodePacketNumber,
  nextQuicSecret,
  QUIC_INITIAL_SUITE,
  QuicPacketProtection,
  quicInitialSecrets,
  quicKeys,
  quicRetryIntegrityTag,
} from '../../src/quic.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { vectors } from './vectors.ts';

const dcid = fromHex(vectors.destinationConnectionId);
const CHACHA = cipherSuites.TLS_CHACHA20_POLY1305_SHA256;
const suites: readonly CipherSuite[] = Object.values(cipherSuites);

function hex(secret: Secret): string {
  return secret.use(toHex);
}

function secretOf(suite: CipherSuite, fill = 7): Secret {
  return Secret.copy('test', new Uint8Array(suite.hashLength).fill(fill));
}

function protection(suite: CipherSuite): QuicPacketProtection {
  return new QuicPacketProtection({ provider: nodeProvider, suite, secret: secretOf(suite) });
}

for (const version of vectors.versions) {
  const { version: number, rfc } = version;

  describe(`QUIC version ${number}`, () => {
    it(`makes the initial secrets and keys of RFC ${rfc}, Appendix A.1`, () => {
      const secrets = quicInitialSecrets(nodeProvider, dcid, number);
      for (const role of ['client', 'server'] as const) {
        const expected = version.initial[role];
        assert.equal(hex(secrets[role]), expected.secret);
        const keys = quicKeys(nodeProvider, QUIC_INITIAL_SUITE, secrets[role], number);
        assert.equal(hex(keys.key), expected.key);
        assert.equal(hex(keys.iv), expected.iv);
        assert.equal(hex(keys.hp), expected.hp);
      }
    });

    for (const packet of version.packets) {
      it(`protects and opens the ${packet.from}'s Initial packet of Appendix ${packet.section}`, () => {
        const secret = quicInitialSecrets(nodeProvider, dcid, number)[packet.from];
        const header = fromHex(packet.header);
        const payload = new Uint8Array(packet.payloadLength);
        payload.set(fromHex(packet.crypto));
        const options = { provider: nodeProvider, suite: QUIC_INITIAL_SUITE, secret, version: number };
        const sealed = new QuicPacketProtection(options).seal(packet.packetNumber, header, payload);
        assert.equal(toHex(sealed), packet.protected);
        const numberAt = header.length - (header[0] & 3) - 1;
        const opened = new QuicPacketProtection(options).open(sealed, numberAt, -1);
        assert.ok(opened !== undefined);
        assert.equal(opened.packetNumber, packet.packetNumber);
        assert.equal(toHex(opened.header), packet.header);
        assert.equal(toHex(opened.payload), toHex(payload));
      });

      it(`makes the header protection mask of Appendix ${packet.section}`, () => {
        const hp = fromHex(version.initial[packet.from].hp);
        const mask = nodeProvider.headerProtection('aes-128-gcm', hp).mask(fromHex(packet.sample));
        assert.equal(toHex(mask), packet.mask);
      });
    }

    it('makes the Retry Integrity Tag of Appendix A.4', () => {
      const retry = fromHex(version.retry);
      const tag = quicRetryIntegrityTag(nodeProvider, dcid, retry.subarray(0, -16), number);
      assert.equal(toHex(tag), toHex(retry.subarray(-16)));
      const other = Uint8Array.from(dcid);
      other[0] ^= 1;
      assert.notDeepEqual(quicRetryIntegrityTag(nodeProvider, other, retry.subarray(0, -16), number), tag);
    });

    it('protects, opens and updates with ChaCha20-Poly1305 as in Appendix A.5', () => {
      const { chacha20 } = version;
      const secret = Secret.copy('test', fromHex(chacha20.secret));
      const keys = quicKeys(nodeProvider, CHACHA, secret, number);
      assert.equal(hex(keys.key), chacha20.key);
      assert.equal(hex(keys.iv), chacha20.iv);
      assert.equal(hex(keys.hp), chacha20.hp);
      assert.equal(hex(nextQuicSecret(nodeProvider, CHACHA, secret, number)), chacha20.ku);
      if (chacha20.mask !== undefined) {
        const mask = nodeProvider.headerProtection(CHACHA.aead, keys.hp.expose()).mask(fromHex(chacha20.sample));
        assert.equal(toHex(mask), chacha20.mask);
      }
      const options = { provider: nodeProvider, suite: CHACHA, secret, version: number };
      const sealed = new QuicPacketProtection(options).seal(
        chacha20.packetNumber,
        fromHex(chacha20.header),
        fromHex(chacha20.payload),
      );
      assert.equal(toHex(sealed), chacha20.protected);
      const opened = new QuicPacketProtection(options).open(sealed, 1, chacha20.packetNumber - 1);
      assert.equal(opened?.packetNumber, chacha20.packetNumber);
      assert.equal(toHex(opened?.payload ?? new Uint8Array()), chacha20.payload);
    });
  });
}

describe('QUIC keys', () => {
  it('of the two versions differ in everything', () => {
    for (const suite of suites) {
      const secret = secretOf(suite);
      const [one, two] = ([1, 2] as const).map((version) => quicKeys(nodeProvider, suite, secret, version));
      for (const part of ['key', 'iv', 'hp'] as const) {
        assert.notEqual(hex(one[part]), hex(two[part]));
        assert.equal(one[part].length, part === 'iv' ? 12 : suite.keyLength);
      }
      const next = nextQuicSecret(nodeProvider, suite, secret);
      assert.equal(next.length, suite.hashLength);
      assert.notEqual(hex(next), hex(secret));
    }
  });

  it('refuse a connection ID that QUIC cannot have', () => {
    refuses('TLS_ERR_CONFIG', () => quicInitialSecrets(nodeProvider, new Uint8Array(21)));
    refuses('TLS_ERR_CONFIG', () => quicRetryIntegrityTag(nodeProvider, new Uint8Array(21), new Uint8Array(30)));
  });
});

describe('header protection', () => {
  it('takes a key of its length and a sample of sixteen bytes, and nothing once erased', () => {
    for (const { aead, keyLength } of suites) {
      refuses('TLS_ERR_INTERNAL', () => nodeProvider.headerProtection(aead, new Uint8Array(keyLength - 1)));
      const key = nodeProvider.headerProtection(aead, new Uint8Array(keyLength));
      refuses('TLS_ERR_INTERNAL', () => key.mask(new Uint8Array(15)));
      assert.equal(key.mask(new Uint8Array(16)).length, 5);
      key.erase();
      refuses('TLS_ERR_SECRET_ERASED', () => key.mask(new Uint8Array(16)));
    }
  });
});

describe('packet protection', () => {
  it('opens what it sealed, whatever the suite, header and packet number', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...suites),
        fc.boolean(),
        fc.integer({ min: 0, max: 2 ** 53 - 2 }),
        fc.integer({ min: 1, max: 4 }),
        fc.uint8Array({ minLength: 4, maxLength: 60 }),
        fc.uint8Array({ minLength: 3, maxLength: 40 }),
        (suite, long, packetNumber, length, payload, between) => {
          const header = new Uint8Array(1 + between.length + length);
          header[0] = (long ? 0xc0 : 0x40) | (length - 1);
          header.set(between, 1);
          for (let i = 0; i < length; i++) {
            header[header.length - 1 - i] = Math.floor(packetNumber / 256 ** i) % 256;
          }
          const sealed = protection(suite).seal(packetNumber, header, payload);
          assert.equal(sealed.length, header.length + payload.length + 16);
          const opened = protection(suite).open(sealed, header.length - length, packetNumber - 1);
          assert.ok(opened !== undefined);
          assert.equal(opened.packetNumber, packetNumber);
          assert.deepEqual(toHex(opened.header), toHex(header));
          assert.deepEqual(toHex(opened.payload), toHex(payload));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('opens nothing of which any bit was changed', () => {
    const header = new Uint8Array([0x41, 1, 2, 3, 0, 9]);
    const sealed = protection(CHACHA).seal(9, header, new Uint8Array(12));
    const opener = protection(CHACHA);
    for (let at = 0; at < sealed.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const forged = Uint8Array.from(sealed);
        forged[at] ^= 1 << bit;
        assert.equal(opener.open(forged, 4, 8), undefined, `byte ${at} bit ${bit}`);
      }
    }
    for (let end = 0; end < sealed.length; end++) {
      assert.equal(opener.open(sealed.subarray(0, end), 4, 8), undefined);
    }
    assert.ok(opener.open(sealed, 4, 8) !== undefined);
  });

  it('never uses a packet number twice, nor one that cannot be', () => {
    const header = new Uint8Array([0x40, 5]);
    const sealer = protection(CHACHA);
    sealer.seal(5, header, new Uint8Array(8));
    for (const packetNumber of [5, 4, -1, 5.5, 2 ** 53]) {
      refuses('TLS_ERR_WRONG_STATE', () => sealer.seal(packetNumber, header, new Uint8Array(8)));
    }
    refuses('TLS_ERR_WRONG_STATE', () => sealer.next().seal(5, header, new Uint8Array(8)));
    sealer.seal(6, header, new Uint8Array(8));
  });

  it('asks for padding where there is nothing to sample', () => {
    refuses('TLS_ERR_CONFIG', () => protection(CHACHA).seal(0, new Uint8Array([0x40, 0]), new Uint8Array(2)));
    refuses('TLS_ERR_CONFIG', () => protection(CHACHA).seal(0, new Uint8Array([0x40]), new Uint8Array(8)));
    protection(CHACHA).seal(0, new Uint8Array([0x40, 0]), new Uint8Array(3));
  });

  it('updates its keys: the next generation opens what the next one sealed, and nothing of another', () => {
    for (const suite of suites) {
      const header = new Uint8Array([0x41, 7, 0, 1]);
      const [sealer, opener] = [protection(suite), protection(suite)];
      const [nextSealer, nextOpener] = [sealer.next(), opener.next()];
      const before = sealer.seal(1, header, new Uint8Array(8));
      const after = nextSealer.seal(1, header, new Uint8Array(8));
      assert.notDeepEqual(before, after);
      assert.equal(opener.open(after, 2, 0), undefined);
      assert.equal(nextOpener.open(before, 2, 0), undefined);
      assert.ok(opener.open(before, 2, 0) !== undefined);
      assert.ok(nextOpener.open(after, 2, 0) !== undefined);
      // The header protection stays: the receiver reads the key phase before it knows the generation.
      const secret = secretOf(suite);
      const updated = nextQuicSecret(nodeProvider, suite, secret);
      const fresh = new QuicPacketProtection({ provider: nodeProvider, suite, secret: updated });
      assert.notDeepEqual(fresh.seal(1, header, new Uint8Array(8)).subarray(0, 4), after.subarray(0, 4));
    }
  });

  it('ends at the confidentiality limit of its cipher, or a lower one', () => {
    assert.equal(protection(cipherSuites.TLS_AES_128_GCM_SHA256).remaining, 2 ** 23);
    assert.equal(protection(cipherSuites.TLS_AES_256_GCM_SHA384).remaining, 2 ** 23);
    const suite = CHACHA;
    const sealer = new QuicPacketProtection({ provider: nodeProvider, suite, secret: secretOf(suite), usageLimit: 2 });
    const header = new Uint8Array([0x40, 0]);
    sealer.seal(0, header, new Uint8Array(3));
    sealer.seal(1, header, new Uint8Array(3));
    assert.equal(sealer.remaining, 0);
    refuses('TLS_ERR_USAGE_LIMIT', () => sealer.seal(2, header, new Uint8Array(3)));
    assert.equal(sealer.next().remaining, 2);
  });

  it('ends the connection after too many forgeries, which a key update does not forget', () => {
    const suite = CHACHA;
    const opener = new QuicPacketProtection({
      provider: nodeProvider,
      suite,
      secret: secretOf(suite),
      forgeryLimit: 3,
    });
    const forged = new Uint8Array(40).fill(0x41);
    assert.equal(opener.open(forged, 2, -1), undefined);
    assert.equal(opener.open(forged, 2, -1), undefined);
    refuses('TLS_ERR_PEER_USAGE_LIMIT', () => opener.next().open(forged, 2, -1));
    refuses('TLS_ERR_PEER_USAGE_LIMIT', () => opener.open(forged, 2, -1));
  });

  it('keeps no secret once it is erased', () => {
    const watch = new SecretWatch();
    try {
      const secrets = quicInitialSecrets(nodeProvider, dcid);
      const first = new QuicPacketProtection({
        provider: nodeProvider,
        suite: QUIC_INITIAL_SUITE,
        secret: secrets.client,
      });
      const second = first.next();
      assert.ok(watch.alive.length > 4);
      first.erase();
      second.seal(0, new Uint8Array([0x40, 0]), new Uint8Array(3));
      second.erase();
      secrets.client.erase();
      secrets.server.erase();
      assert.deepEqual(watch.alive, []);
      refuses('TLS_ERR_SECRET_ERASED', () => first.seal(1, new Uint8Array([0x40, 0]), new Uint8Array(3)));
    } finally {
      watch.stop();
    }
  });
});

describe('packet numbers', () => {
  it('are decoded as in RFC 9000, Appendix A.3', () => {
    assert.equal(decodePacketNumber(0x9b32, 2, 0xa82f30ea), 0xa82f9b32);
  });

  it('are the ones nearest to the one expected', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1, max: 2 ** 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.double({ min: -0.49, max: 0.49, noNaN: true }),
        (largest, length, part) => {
          const packetNumber = Math.max(0, largest + 1 + Math.floor(part * 256 ** length));
          assert.equal(decodePacketNumber(packetNumber % 256 ** length, length, largest), packetNumber);
        },
      ),
    );
  });
});
