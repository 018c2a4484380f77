/**
 * A provider for simulations: hashes and AEAD are real, key exchange and signatures are look-ups in a table that stands for
 * the mathematics. A thousand times faster, and as strict: who has not the private part gets nothing.
 */

import { toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider, KeyShare, PrivateKey, PublicKey } from '../../src/crypto/provider.ts';
import { TLSError } from '../../src/errors.ts';

const KEY_LENGTH = 32;
const SPKI_PREFIX_LENGTH = 12;

interface ToyPrivateKey extends PrivateKey {
  readonly seed: Uint8Array;
}

interface ToyPublicKey extends PublicKey {
  readonly name: string;
}

export function createToyProvider(seed: number): CryptoProvider {
  let counter = 0;
  const exchangeKeys = new Map<string, Uint8Array>();
  const signingKeys = new Map<string, Uint8Array>();

  function hash(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
    return Uint8Array.from(nodeProvider.hash('sha256', Buffer.concat([utf8(label), ...parts])));
  }

  function random(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += KEY_LENGTH) {
      const block = hash('random', utf8(`${seed} ${counter++}`));
      bytes.set(block.subarray(0, Math.min(KEY_LENGTH, bytes.length - at)), at);
    }
  }

  function keyPair(): { privateKey: Uint8Array; publicKey: Uint8Array } {
    const privateKey = new Uint8Array(KEY_LENGTH);
    random(privateKey);
    const publicKey = hash('exchange', privateKey);
    exchangeKeys.set(toHex(publicKey), privateKey);
    return { privateKey, publicKey };
  }

  function generateKeyShare(): KeyShare {
    const { privateKey, publicKey } = keyPair();
    let spent = false;
    return {
      group: 'x25519',
      publicKey,
      agree(peer) {
        if (spent) {
          throw new TLSError('TLS_ERR_SECRET_ERASED', 'a key share was used twice');
        }
        spent = true;
        if (!exchangeKeys.has(toHex(peer))) {
          throw new TLSError('TLS_ERR_BAD_KEY_SHARE', 'not a key');
        }
        return Secret.take('sharedSecret', hash('agree', privateKey, peer));
      },
      erase() {
        spent = true;
      },
    };
  }

  function signature(signer: Uint8Array, data: Uint8Array): Uint8Array {
    return Buffer.concat([hash('signature 1', signer, data), hash('signature 2', signer, data)]);
  }

  return {
    ...nodeProvider,
    random,
    generateKeyShare,
    encapsulate(_group, publicKey) {
      const theirs = exchangeKeys.get(toHex(publicKey));
      if (theirs === undefined) {
        throw new TLSError('TLS_ERR_BAD_KEY_SHARE', 'not a key');
      }
      const keyExchange = keyPair().publicKey;
      return { keyExchange, sharedSecret: Secret.take('sharedSecret', hash('agree', theirs, keyExchange)) };
    },
    importPrivateKey(der) {
      const signer = Uint8Array.from((der as Uint8Array).subarray(-KEY_LENGTH));
      const publicKey = hash('signer', signer);
      signingKeys.set(toHex(publicKey), signer);
      const publicKeySpki = Buffer.concat([new Uint8Array(SPKI_PREFIX_LENGTH), publicKey]);
      const key: ToyPrivateKey = { type: 'ed25519', schemes: ['ed25519'], publicKeySpki, seed: signer };
      return key;
    },
    importPublicKey(spki) {
      const name = toHex(spki.subarray(SPKI_PREFIX_LENGTH));
      const key: ToyPublicKey = { type: 'ed25519', schemes: ['ed25519'], name };
      return key;
    },
    sign: (_scheme, key, data) => signature((key as ToyPrivateKey).seed, data),
    verify(_scheme, key, data, given) {
      const signer = signingKeys.get((key as ToyPublicKey).name);
      return signer !== undefined && nodeProvider.equal(signature(signer, data), given);
    },
  };
}
