/**
 * Diffie-Hellman over the groups of RFC 7919, for TLS 1.2's DHE suites.
 *
 *     publicKey = g^x mod p, padded to the prime's length      Z = peer^x mod p
 *     preMasterSecret = Z without its leading zero bytes
 *
 * RFC 5246 §8.1.2, RFC 7919 §5.1 (1 < y < p - 1).
 *
 * That the premaster secret's length depends on Z is what Raccoon measures: hashing a shorter one takes less time, and
 * many handshakes with one server key make of that an oracle for Z. A share here is used once, so that there is one
 * measurement per secret, which tells nothing about another.
 *
 * Not `createDiffieHellman`: on newer Nodes it tests the prime anew for each object, which takes 0.3 s for ffdhe2048 and
 * 5 s for ffdhe4096. Key objects take the group as it is. Node has no way to erase one: dropping the last reference leaves
 * it to the collector, upon which OpenSSL cleanses the private key.
 */

import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { concat } from '../bytes/bytes.ts';
import { HeldElsewhere } from '../bytes/held-elsewhere.ts';
import { Secret } from '../bytes/secret.ts';
import { TLSError } from '../errors.ts';
import { type FfdheGroup, type FfdheGroupInfo, ffdheGroups } from './dhe-groups.ts';
import type { RandomSource } from './exchange.ts';
import { readPrivateKey } from './private-key.ts';
import type { DheShare } from './provider.ts';

/** A fresh one-use share. With a `random` source the private key is made from its bytes; without, by Node's generator. */
export function generateDheShare(group: FfdheGroup, random?: RandomSource): DheShare {
  const info = ffdheGroups[group];
  const privateKey = random === undefined ? generated(info) : fromRandom(info, random);
  return new NodeDheShare(info, privateKey);
}

class NodeDheShare implements DheShare {
  readonly group: FfdheGroup;
  readonly publicKey: Uint8Array;
  readonly #info: FfdheGroupInfo;
  #privateKey: KeyObject | undefined;
  readonly #life: HeldElsewhere | undefined;

  constructor(info: FfdheGroupInfo, privateKey: KeyObject) {
    this.group = info.name;
    this.#info = info;
    this.#privateKey = privateKey;
    this.publicKey = publicNumber(info, privateKey);
    this.#life = HeldElsewhere.begin('keyShare', Math.ceil(info.exponentBits / 8));
  }

  agree(peerPublicKey: Uint8Array): Secret {
    const privateKey = this.#privateKey;
    if (privateKey === undefined) {
      throw new TLSError('TLS_ERR_SECRET_ERASED', `a ${this.group} key share was used after it was spent`);
    }
    this.#privateKey = undefined;
    this.#life?.end('spent');
    const peer = checkedNumber(this.#info, peerPublicKey);
    let z: Uint8Array;
    try {
      z = diffieHellman({ privateKey, publicKey: importPublic(this.#info, peer) });
    } catch (error) {
      throw badPublicKey(this.#info, 'is not a member of the group', error);
    }
    return Secret.take('preMasterSecret', withoutLeadingZeros(z), this.#life?.id);
  }

  erase(): void {
    this.#privateKey = undefined;
    this.#life?.end('unused');
  }
}

/**
 * The number without leading zeros.
 * @throws TLSError `TLS_ERR_BAD_KEY_SHARE` unless 1 < y < p - 1: 0, 1 and p - 1 make a secret that anyone knows
 */
function checkedNumber(info: FfdheGroupInfo, sent: Uint8Array): Uint8Array {
  if (sent.length > info.length) {
    throw badPublicKey(info, `has ${sent.length} bytes where ${info.length} were expected`);
  }
  const number = withoutLeadingZeros(sent);
  const isTooSmall = number.length === 0 || (number.length === 1 && number[0] === 1);
  if (isTooSmall || !isBelowPrimeMinusOne(info.prime, number)) {
    throw badPublicKey(info, 'lies outside 1 < y < p - 1');
  }
  return number;
}

/** p is odd, so p - 1 differs from it in the last bit alone. */
function isBelowPrimeMinusOne(prime: Uint8Array, number: Uint8Array): boolean {
  if (number.length < prime.length) {
    return true;
  }
  const last = prime.length - 1;
  for (let i = 0; i < last; i++) {
    if (number[i] !== prime[i]) {
      return number[i] < prime[i];
    }
  }
  return number[last] < prime[last] - 1;
}

function generated(info: FfdheGroupInfo): KeyObject {
  return generateDhKeyPair('dh', { prime: info.prime, generator: info.generator[0] }).privateKey;
}

function fromRandom(info: FfdheGroupInfo, random: RandomSource): KeyObject {
  const length = Math.ceil(info.exponentBits / 8);
  const octets = element(OCTET_STRING, element(INTEGER, new Uint8Array(length)));
  const der = element(SEQUENCE, element(INTEGER, Uint8Array.of(0)), algorithm(info), octets);
  // In place, at the end of PrivateKeyInfo: so there is one copy to erase.
  const exponent = der.subarray(der.length - length);
  random(exponent);
  // Positive and at its full length, whatever the source gives.
  exponent[0] = (exponent[0] & 0x7f) | 0x40;
  const privateKey = readPrivateKey({ key: der as Buffer, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return privateKey;
}

function importPublic(info: FfdheGroupInfo, number: Uint8Array): KeyObject {
  const der = element(SEQUENCE, algorithm(info), element(BIT_STRING, Uint8Array.of(0), unsigned(number)));
  return createPublicKey({ key: der as Buffer, format: 'der', type: 'spki' });
}

/** The public number stands at the end of SubjectPublicKeyInfo, behind all that depends only on the group. */
function publicNumber(info: FfdheGroupInfo, privateKey: KeyObject): Uint8Array {
  const spki = new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
  const algorithmIdentifier = content(spki, content(spki, 0).start);
  const subjectPublicKey = content(spki, algorithmIdentifier.end);
  const key = content(spki, subjectPublicKey.start + 1);
  const number = withoutLeadingZeros(spki.subarray(key.start, key.end));
  const padded = new Uint8Array(info.length);
  padded.set(number, info.length - number.length);
  return padded;
}

/** AlgorithmIdentifier of a PKCS #3 key: dhKeyAgreement with p and g. */
function algorithm(info: FfdheGroupInfo): Uint8Array {
  return element(SEQUENCE, DH_KEY_AGREEMENT, element(SEQUENCE, unsigned(info.prime), unsigned(info.generator)));
}

function unsigned(number: Uint8Array): Uint8Array {
  return number[0] < 0x80 ? element(INTEGER, number) : element(INTEGER, Uint8Array.of(0), number);
}

function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return concat(Uint8Array.of(tag, ...lengthOctets(length)), ...parts);
}

/** DER demands the shortest form. */
function lengthOctets(length: number): readonly number[] {
  if (length < 0x80) {
    return [length];
  }
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}

/** Where the content of the element at `at` starts and ends. */
function content(der: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  const first = der[at + 1];
  if (first < 0x80) {
    return { start: at + 2, end: at + 2 + first };
  }
  const count = first & 0x7f;
  let length = 0;
  for (let i = 0; i < count; i++) {
    length = (length << 8) | der[at + 2 + i];
  }
  return { start: at + 2 + count, end: at + 2 + count + length };
}

function withoutLeadingZeros(number: Uint8Array): Uint8Array {
  let at = 0;
  while (at < number.length && number[at] === 0) {
    at += 1;
  }
  return number.subarray(at);
}

function badPublicKey(info: FfdheGroupInfo, what: string, cause?: unknown): TLSError {
  return new TLSError('TLS_ERR_BAD_KEY_SHARE', `the peer's ${info.name} key share ${what}`, { cause });
}

/** Node's types do not know that it makes such keys. */
const generateDhKeyPair = generateKeyPairSync as unknown as (
  type: 'dh',
  options: { readonly prime: Uint8Array; readonly generator: number },
) => { readonly privateKey: KeyObject };

const INTEGER = 2;
const BIT_STRING = 3;
const OCTET_STRING = 4;
const SEQUENCE = 0x30;
/** OBJECT IDENTIFIER 1.2.840.113549.1.3.1. */
const DH_KEY_AGREEMENT = Uint8Array.of(0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01);
