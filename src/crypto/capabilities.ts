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
  encapsulate(key: crypto.KeyObject): { sharedKey: Buffer; ciphertext: Buffer };
  decapsulate(key: crypto.KeyObject, ciphertext: Uint8Array): Buffer;
}

/** `node:crypto` with the functions of newer Nodes: call them only after the probe that covers them. */
export const newerCrypto = crypto as unknown as NewerCrypto;

/** The raw bytes of a public key, on Nodes that pass `hasRawPublicKeys` or `hasNativeMlKem`. */
export function exportRawPublic(key: crypto.KeyObject): Buffer {
  const exporter = key as unknown as { export(options: { format: 'raw-public' }): Buffer };
  return exporter.export({ format: 'raw-public' });
}

/** True when x25519 public keys can be imported and exported as their 32 bytes. */
export const hasRawPublicKeys: () => boolean = once(() => {
  const bytes = new Uint8Array(32).fill(9);
  const key = newerCrypto.createPublicKey({ key: bytes, format: 'raw-public', asymmetricKeyType: 'x25519' });
  return exportRawPublic(key).equals(bytes);
});

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
