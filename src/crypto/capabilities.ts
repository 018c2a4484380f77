/**
 * What this Node can do beyond the oldest one supported, found out by trying, never by version number.
 *
 * Each probe runs once, when first asked, and checks a known answer: a method that exists but behaves otherwise counts
 * as absent.
 */

import * as crypto from 'node:crypto';

/** Typed by hand: newer than the oldest Node whose types the project builds against. */
export interface RawKeyInput {
  readonly key: Uint8Array;
  readonly format: 'raw-public' | 'raw-seed';
  readonly asymmetricKeyType: 'x25519' | 'ml-kem-768';
}

interface NewerCrypto {
  createPublicKey(input: RawKeyInput): crypto.KeyObject;
  createPrivateKey(input: RawKeyInput): crypto.KeyObject;
  generateKeyPairSync(type: 'ml-kem-768'): crypto.KeyPairKeyObjectResult;
  generateKeyPairSync(
    type: 'x25519',
    options: { publicKeyEncoding: { format: 'raw-public' } },
  ): { readonly publicKey: Buffer; readonly privateKey: crypto.KeyObject };
  diffieHellman(options: { readonly privateKey: crypto.KeyObject; readonly publicKey: RawKeyInput }): Buffer;
  encapsulate(key: crypto.KeyObject): { sharedKey: Buffer; ciphertext: Buffer };
  decapsulate(key: crypto.KeyObject, ciphertext: Uint8Array): Buffer;
}

/** `node:crypto` with the functions of newer Nodes: call them only after the probe that covers them. */
export const newerCrypto = crypto as unknown as NewerCrypto;

/** The raw bytes of a public key, on Nodes that pass `hasNativeMlKem`. */
export function exportRawPublic(key: crypto.KeyObject): Buffer {
  const exporter = key as unknown as { export(options: { format: 'raw-public' }): Buffer };
  return exporter.export({ format: 'raw-public' });
}

/** True when x25519 public keys come out of the generator, and go into an agreement, as their 32 bytes. */
export const hasRawPublicKeys: () => boolean = once(() => {
  const [ours, theirs] = [generateRawX25519(), generateRawX25519()];
  const agreed = agreeRawX25519(ours.privateKey, theirs.publicKey);
  return ours.publicKey.length === 32 && agreeRawX25519(theirs.privateKey, ours.publicKey).equals(agreed);
});

/** On Nodes that pass `hasRawPublicKeys`. */
export function generateRawX25519(): { readonly publicKey: Buffer; readonly privateKey: crypto.KeyObject } {
  return newerCrypto.generateKeyPairSync('x25519', RAW_PUBLIC);
}

/** On Nodes that pass `hasRawPublicKeys`. @throws an Error of Node for a point of small order */
export function agreeRawX25519(privateKey: crypto.KeyObject, peer: Uint8Array): Buffer {
  const publicKey: RawKeyInput = { key: peer, format: 'raw-public', asymmetricKeyType: 'x25519' };
  return newerCrypto.diffieHellman({ privateKey, publicKey });
}

const RAW_PUBLIC = { publicKeyEncoding: { format: 'raw-public' } } as const;

/** True when `node:crypto` has ML-KEM-768 with raw keys (FIPS 203). */
export const hasNativeMlKem: () => boolean = once(() => {
  if (typeof newerCrypto.encapsulate !== 'function' || typeof newerCrypto.decapsulate !== 'function') {
    return false;
  }
  const { publicKey, privateKey } = newerCrypto.generateKeyPairSync('ml-kem-768');
  const key = exportRawPublic(publicKey);
  const imported = newerCrypto.createPublicKey({ key, format: 'raw-public', asymmetricKeyType: 'ml-kem-768' });
  const { sharedKey, ciphertext } = newerCrypto.encapsulate(imported);
  return (
    key.length === 1184 &&
    ciphertext.length === 1088 &&
    sharedKey.length === 32 &&
    newerCrypto.decapsulate(privateKey, ciphertext).equals(sharedKey)
  );
});

function once(probe: () => boolean): () => boolean {
  let answer: boolean | undefined;
  return () => {
    if (answer === undefined) {
      try {
        answer = probe();
      } catch {
        answer = false;
      }
    }
    return answer;
  };
}
