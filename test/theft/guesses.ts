/** What a string would be if it were a key: how each guess is put to the test. */

import { createHash, createHmac, createPrivateKey, createPublicKey, hash } from 'node:crypto';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { createNodeProvider, nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import type { KeyShare } from '../../src/crypto/provider.ts';
import { X25519Exchange } from '../../src/crypto/x25519.ts';
import { decodeSessionState, type SessionState } from '../../src/session/session-state.ts';

/** One of what others see of an epoch's secret: room for the key's block, and the info of HKDF after it. */
export type Sign = Buffer;

/**
 * What makes of an epoch's secret its key id, and the names of its ticket keys, which are all public. The plain twins are
 * `keyIdOf` and `workingKey`, which are slower; that the attacker recognizes stolen secrets keeps them equal.
 */
export function signsFor(policies: readonly string[]): readonly Sign[] {
  return [KEY_ID_INFO, ...policies.map(nameInfo)].map((info) => Buffer.concat([Buffer.alloc(BLOCK, 0x36), info]));
}

/**
 * 16 bytes in latin1 for each sign. HMAC (RFC 2104 §2) with a key of 32 bytes by two hashes, a third of what an object for each
 * would cost, and always in the same room: it is made for hundreds of thousands of strings.
 */
export function signsOf(secret: Uint8Array, signs: readonly Sign[]): string[] {
  for (let i = 0; i < secret.length; i++) {
    outer[i] = secret[i] ^ 0x5c;
  }
  return signs.map((inner) => {
    for (let i = 0; i < secret.length; i++) {
      inner[i] = secret[i] ^ 0x36;
    }
    outer.write(hash('sha256', inner, 'binary'), BLOCK, 'latin1');
    return hash('sha256', outer, 'binary').slice(0, 16);
  });
}

/** The Ed25519 public key that goes with this seed, if it is one. */
export function identityOf(seed: Uint8Array): Uint8Array {
  return provider.importPrivateKey(concat(PKCS8_ED25519, seed)).publicKeySpki.subarray(-32);
}

/** Opens a ticket by its format, whatever its key is called: see src/session/ticket.ts. */
export function openTicketWith(key: Uint8Array, ticket: Uint8Array, boundTo: Uint8Array): SessionState | undefined {
  const salt = ticket.subarray(17, 49);
  const aead = createHmac('sha256', key).update('mayfly ticket').update(salt).update(Uint8Array.of(1)).digest();
  const aad = concat(ticket.subarray(0, 49), boundTo);
  const plaintext = provider.aead('aes-256-gcm', aead).open(salt.slice(0, 12), aad, ticket.subarray(49));
  return plaintext === undefined ? undefined : decodeSessionState(plaintext);
}

/**
 * Private parts of a hybrid key pair that this string may stand for, 96 bytes each: d ‖ z ‖ x25519 scalar. As it is; as a seed
 * by X-Wing's own expansion; the way in which an Ed25519 seed makes an X25519 key.
 */
export function privateKeysFrom(bytes: Uint8Array, thorough: boolean): readonly Uint8Array[] {
  if (bytes.length === 96) {
    return [bytes];
  }
  if (bytes.length !== 32) {
    return [];
  }
  const expanded = createHash('shake256', { outputLength: 96 }).update(bytes).digest();
  const converted = createHash('sha512').update(bytes).digest().subarray(0, 32);
  const materials = [concat(bytes, bytes, bytes), expanded];
  return (thorough ? [...materials, concat(bytes, bytes, converted)] : materials).map((one) => Uint8Array.from(one));
}

/** The x25519 public key of this scalar. */
export function x25519PublicKey(scalar: Uint8Array): Uint8Array {
  return fromJwk(scalar) ?? X25519Exchange.fromScalar(scalar.slice()).publicKey;
}

/** Ten times as fast where OpenSSL decodes DER slowly; a later Node refuses it, as the public part given here is not the key's. */
function fromJwk(scalar: Uint8Array): Uint8Array | undefined {
  const key = { kty: 'OKP', crv: 'X25519', d: Buffer.from(scalar).toString('base64url'), x: SOME_X };
  try {
    const { x } = createPublicKey(createPrivateKey({ key, format: 'jwk' })).export({ format: 'jwk' });
    return x === SOME_X ? undefined : Uint8Array.from(Buffer.from(x as string, 'base64url'));
  } catch {
    return undefined;
  }
}

/** The key pair with these private parts. */
export function keyShare(material: Uint8Array): KeyShare {
  let at = 0;
  const random = (bytes: Uint8Array) => {
    bytes.set(material.subarray(at, at + bytes.length));
    at += bytes.length;
  };
  return createNodeProvider({ random }).generateKeyShare('X25519MLKEM768');
}

function nameInfo(policy: string): Uint8Array {
  const target = utf8('mayfly-name');
  const label = utf8(policy);
  return concat(
    utf8('mayfly ring 1 working'),
    Uint8Array.of(label.length),
    label,
    Uint8Array.of(target.length),
    target,
    Uint8Array.of(1),
  );
}

/** Bytes that SHA-256 takes at a time. */
const BLOCK = 64;
const outer = Buffer.alloc(BLOCK + 32, 0x5c);
const SOME_X = Buffer.alloc(32, 1).toString('base64url');
const KEY_ID_INFO = concat(utf8('mayfly ring 1 id'), Uint8Array.of(1));
const PKCS8_ED25519 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
