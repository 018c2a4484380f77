/** HPKE: the RFC's vectors, a library as second witness, and what must not open. RFC 9180. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Aes128Gcm, Aes256Gcm, CipherSuite, HkdfSha256 } from '@hpke/core';
import { DhkemX25519HkdfSha256 } from '@hpke/dhkem-x25519';
import { XWing } from '@hpke/hybridkem-x-wing';
import { fromHex, toHex, utf8 } from '../../src/bytes/bytes.ts';
import { createNodeProvider, nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import type { AeadName } from '../../src/crypto/suites.ts';
import type { RingKem } from '../../src/fleet/configuration.ts';
import { generateKeyPair, type HpkeInput, HpkeSender, kems, openWith, sealTo } from '../../src/keys/hpke.ts';
import { SecretWatch } from '../support/secret-watch.ts';

interface Vector {
  readonly section: string;
  readonly aead: AeadName;
  readonly info: string;
  readonly skEm: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly enc: string;
  readonly pt: string;
  readonly aad: string;
  readonly ct: string;
}

const { vectors } = JSON.parse(readFileSync('test/vectors/hpke-rfc9180.json', 'utf8')) as { vectors: Vector[] };
const KEMS: readonly RingKem[] = ['x25519', 'x-wing'];
const message = utf8('a message of 32 bytes, or nearly.');

/** A provider whose next private key is the given one. */
function withPrivateKey(hex: string) {
  return createNodeProvider({ random: (bytes) => bytes.set(fromHex(hex).subarray(0, bytes.length)) });
}

function inputFor(kem: RingKem): HpkeInput {
  return { provider, suite: { kem }, info: utf8('info'), aad: utf8('aad') };
}

describe('HPKE', () => {
  for (const vector of vectors) {
    const suite = { kem: 'x25519', aead: vector.aead } as const;
    const parts = { suite, info: fromHex(vector.info), aad: fromHex(vector.aad) };

    it(`seals what RFC 9180 ${vector.section} says`, () => {
      const input = { ...parts, provider: withPrivateKey(vector.skEm) };
      const sealed = sealTo(input, fromHex(vector.pkRm), fromHex(vector.pt));
      assert.equal(toHex(sealed.encapsulation), vector.enc);
      assert.equal(toHex(sealed.ciphertext), vector.ct);
    });

    it(`seals several to one encapsulation, the first as RFC 9180 ${vector.section} says`, () => {
      const provider = withPrivateKey(vector.skEm);
      const sender = new HpkeSender({ provider, suite, info: parts.info }, fromHex(vector.pkRm));
      assert.equal(toHex(sender.encapsulation), vector.enc);
      assert.equal(toHex(sender.seal(parts.aad, fromHex(vector.pt))), vector.ct);
      assert.notEqual(toHex(sender.seal(parts.aad, fromHex(vector.pt))), vector.ct);
      sender.erase();
    });

    it(`opens what RFC 9180 ${vector.section} says`, () => {
      const input = { ...parts, provider: withPrivateKey(vector.skRm) };
      const keyPair = generateKeyPair(input.provider, 'x25519');
      assert.equal(toHex(keyPair.publicKey), vector.pkRm);
      const opened = openWith(input, keyPair, { encapsulation: fromHex(vector.enc), ciphertext: fromHex(vector.ct) });
      assert(opened);
      assert.equal(opened.use(toHex), vector.pt);
    });
  }

  it('a library opens one message after the other of one encapsulation, in their order', async () => {
    const theirs = new CipherSuite({
      kem: new DhkemX25519HkdfSha256(),
      kdf: new HkdfSha256(),
      aead: new Aes128Gcm(),
    });
    const exact = (bytes: Uint8Array) => Uint8Array.from(bytes).buffer as ArrayBuffer;
    const keys = await theirs.kem.generateKeyPair();
    const publicKey = new Uint8Array(await theirs.kem.serializePublicKey(keys.publicKey));
    const watch = new SecretWatch();
    const info = utf8('info');
    const sender = new HpkeSender({ provider, suite: { kem: 'x25519', aead: 'aes-128-gcm' }, info }, publicKey);
    const sealed = [utf8('one'), utf8('two')].map((text) => sender.seal(text, text));
    sender.erase();
    assert.deepEqual(watch.alive, []);
    watch.stop();
    const enc = exact(sender.encapsulation);
    const open = () => theirs.createRecipientContext({ recipientKey: keys.privateKey, enc, info: exact(info) });
    const recipient = await open();
    assert.equal(toHex(new Uint8Array(await recipient.open(exact(sealed[0]), exact(utf8('one'))))), toHex(utf8('one')));
    assert.equal(toHex(new Uint8Array(await recipient.open(exact(sealed[1]), exact(utf8('two'))))), toHex(utf8('two')));
    const second = await open();
    await assert.rejects(second.open(exact(sealed[1]), exact(utf8('two'))));
  });

  for (const kem of KEMS) {
    const theirs = new CipherSuite({
      kem: kem === 'x25519' ? new DhkemX25519HkdfSha256() : new XWing(),
      kdf: new HkdfSha256(),
      aead: new Aes256Gcm(),
    });
    const exact = (bytes: Uint8Array) => Uint8Array.from(bytes).buffer as ArrayBuffer;
    const input = inputFor(kem);

    it(`${kem}: a library opens what is sealed here`, async () => {
      const keys = await theirs.kem.generateKeyPair();
      const publicKey = new Uint8Array(await theirs.kem.serializePublicKey(keys.publicKey));
      const { encapsulation, ciphertext } = sealTo(input, publicKey, message);
      const recipient = { recipientKey: keys.privateKey, enc: exact(encapsulation), info: exact(input.info) };
      const opened = await theirs.open(recipient, exact(ciphertext), exact(input.aad));
      assert.equal(toHex(new Uint8Array(opened)), toHex(message));
    });

    it(`${kem}: what a library seals is opened here`, async () => {
      const keyPair = generateKeyPair(provider, kem);
      const recipientPublicKey = await theirs.kem.deserializePublicKey(exact(keyPair.publicKey));
      const sealed = await theirs.seal(
        { recipientPublicKey, info: exact(input.info) },
        exact(message),
        exact(input.aad),
      );
      const opened = openWith(input, keyPair, {
        encapsulation: new Uint8Array(sealed.enc),
        ciphertext: new Uint8Array(sealed.ct),
      });
      assert(opened);
      assert.equal(opened.use(toHex), toHex(message));
    });

    it(`${kem}: nothing opens that differs by a bit, or by what it is bound to`, () => {
      const tampered = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
      const attempts: ((keyPair: { publicKey: Uint8Array }) => [HpkeInput, (s: Uint8Array) => Uint8Array, boolean])[] =
        [
          () => [input, (ciphertext) => tampered(ciphertext, 0), false],
          () => [input, (ciphertext) => tampered(ciphertext, ciphertext.length - 1), false],
          () => [{ ...input, info: utf8('other') }, (ciphertext) => ciphertext, false],
          () => [{ ...input, aad: utf8('other') }, (ciphertext) => ciphertext, false],
          () => [input, (ciphertext) => ciphertext, true],
        ];
      for (const attempt of attempts) {
        const keyPair = generateKeyPair(provider, kem);
        const { encapsulation, ciphertext } = sealTo(input, keyPair.publicKey, message);
        const [used, change, opens] = attempt(keyPair);
        const opened = openWith(used, keyPair, { encapsulation, ciphertext: change(ciphertext) });
        assert.equal(opened !== undefined, opens);
      }
      for (const at of [0, kems[kem].encapsulationLength - 1]) {
        const keyPair = generateKeyPair(provider, kem);
        const { encapsulation, ciphertext } = sealTo(input, keyPair.publicKey, message);
        assert.equal(openWith(input, keyPair, { encapsulation: tampered(encapsulation, at), ciphertext }), undefined);
      }
    });

    it(`${kem}: a key pair opens once, also when what it is given is wrong`, () => {
      const keyPair = generateKeyPair(provider, kem);
      const sealed = sealTo(input, keyPair.publicKey, message);
      const short = { ...sealed, encapsulation: sealed.encapsulation.subarray(1) };
      assert.throws(() => openWith(input, keyPair, short), { code: 'TLS_ERR_BAD_KEY_SHARE' });
      assert.throws(() => openWith(input, keyPair, sealed), { code: 'TLS_ERR_SECRET_ERASED' });
    });

    it(`${kem}: a public key of the wrong length is refused`, () => {
      assert.throws(() => sealTo(input, new Uint8Array(31), message), { code: 'TLS_ERR_BAD_KEY_SHARE' });
    });

    it(`${kem}: no secret is left over`, () => {
      const watch = new SecretWatch();
      const keyPair = generateKeyPair(provider, kem);
      openWith(input, keyPair, sealTo(input, keyPair.publicKey, message))?.erase();
      assert.deepEqual(watch.alive, []);
      watch.stop();
    });
  }

  it('x-wing keys and encapsulations have the lengths of their draft', () => {
    const keyPair = generateKeyPair(provider, 'x-wing');
    assert.equal(keyPair.publicKey.length, 1216);
    assert.equal(sealTo(inputFor('x-wing'), keyPair.publicKey, message).encapsulation.length, 1120);
  });
});
