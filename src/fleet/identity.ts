/**
 * A member's identity: an Ed25519 key that signs its records, and the file that holds it together with the allow-list.
 *
 *     member id     = SHA-256("mayfly ring 1 member" ‖ public key)
 *     identity file = JSON { mayflyIdentity: 1, fleetName, name, seed, members: [{ name, publicKey }, …] }, base64url
 *
 * The identity only signs. Who steals it can join from then on, and opens nothing of the past. The file is for mode 0600;
 * reading and writing it is the command line's part. RFC 8032 §5.1.5, RFC 8410 §7.
 */

import { sameBytes, toHex, utf8 } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { CryptoProvider, PrivateKey, PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { PUBLIC_KEY_LENGTH } from './configuration.ts';

export class Identity {
  readonly #provider: CryptoProvider;
  readonly #key: PrivateKey;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
  /** 32 bytes. */
  readonly memberId: Uint8Array;

  private constructor(provider: CryptoProvider, key: PrivateKey) {
    this.#provider = provider;
    this.#key = key;
    this.publicKey = Uint8Array.from(key.publicKeySpki.subarray(SPKI_PREFIX.length));
    this.memberId = memberIdOf(provider, this.publicKey);
  }

  /** From 32 bytes, which stay the caller's. */
  static fromSeed(provider: CryptoProvider, seed: Secret): Identity {
    const der = Secret.create('identityKey', PKCS8_PREFIX.length + SEED_LENGTH, (bytes) => {
      bytes.set(PKCS8_PREFIX);
      bytes.set(seed.expose(), PKCS8_PREFIX.length);
    });
    try {
      return new Identity(provider, provider.importPrivateKey(der.expose()));
    } finally {
      der.erase();
    }
  }

  /** 64 bytes. */
  sign(data: Uint8Array): Uint8Array {
    return this.#provider.sign('ed25519', this.#key, data);
  }
}

export interface NamedMember {
  /** What people call it; nothing rests on it. */
  readonly name: string;
  readonly publicKey: Uint8Array;
}

/** What an identity file holds. */
export interface IdentityFile {
  readonly fleetName: string;
  readonly name: string;
  readonly identity: Identity;
  /** The allow-list, with this member. */
  readonly members: readonly NamedMember[];
}

/** 32 bytes. */
export function memberIdOf(provider: CryptoProvider, publicKey: Uint8Array): Uint8Array {
  const input = new Uint8Array(MEMBER_LABEL.length + publicKey.length);
  input.set(MEMBER_LABEL);
  input.set(publicKey, MEMBER_LABEL.length);
  return Uint8Array.from(provider.hash('sha256', input));
}

/** The key that checks a member's signatures. */
export function verifyingKey(provider: CryptoProvider, publicKey: Uint8Array): PublicKey {
  const spki = new Uint8Array(SPKI_PREFIX.length + PUBLIC_KEY_LENGTH);
  spki.set(SPKI_PREFIX);
  spki.set(publicKey, SPKI_PREFIX.length);
  return provider.importPublicKey(spki);
}

/**
 * Makes one new identity for each name, all of one fleet: each file's content carries its own seed and everyone's public
 * keys. To be written with mode 0600, and each to one host only.
 * @throws TLSError `TLS_ERR_CONFIG` no names, or one of them twice
 */
export function createIdentityFiles(
  provider: CryptoProvider,
  fleetName: string,
  names: readonly string[],
): readonly string[] {
  return createIdentities(provider, fleetName, names, []).files;
}

/** The same beside members that there are already; no name at all is well then. */
export function createIdentities(
  provider: CryptoProvider,
  fleetName: string,
  names: readonly string[],
  others: readonly NamedMember[],
): { readonly members: readonly NamedMember[]; readonly files: readonly string[] } {
  const all = [...others.map(({ name }) => name), ...names];
  if (all.length === 0 || new Set(all).size !== all.length) {
    throw new TLSError('TLS_ERR_CONFIG', 'identities must have names that differ, and at least one is needed');
  }
  const seeds = names.map(() => Secret.create('identityKey', SEED_LENGTH, (bytes) => provider.random(bytes)));
  try {
    const made = seeds.map((seed, i) => ({ name: names[i], publicKey: Identity.fromSeed(provider, seed).publicKey }));
    const members = [...others, ...made];
    const files = seeds.map((seed, index) => {
      const own = { mayflyIdentity: VERSION, fleetName, name: names[index], seed: seed.use(base64url) };
      return `${JSON.stringify({ ...own, members: publicMembers(members) }, undefined, 2)}\n`;
    });
    return { members, files };
  } finally {
    for (const seed of seeds) {
      seed.erase();
    }
  }
}

/** As they stand in a file. */
export function publicMembers(members: readonly NamedMember[]): readonly { name: string; publicKey: string }[] {
  return members.map(({ name, publicKey }) => ({ name, publicKey: base64url(publicKey) }));
}

/** @throws TLSError `TLS_ERR_CONFIG` not an identity file, or its own key is not on its list */
export function readIdentityFile(provider: CryptoProvider, text: string): IdentityFile {
  const content = parse(text);
  const { mayflyIdentity, fleetName, name, members } = content;
  if (mayflyIdentity !== VERSION || typeof fleetName !== 'string' || typeof name !== 'string') {
    throw bad(`mayflyIdentity: ${VERSION}, a fleetName and a name were expected`);
  }
  const named = readMembers(members);
  const seed = Secret.take('identityKey', bytesOf(content.seed, 'seed'));
  try {
    const identity = Identity.fromSeed(provider, seed);
    if (!named.some(({ publicKey }) => sameBytes(publicKey, identity.publicKey))) {
      throw bad('its own key is not among its members');
    }
    return { fleetName, name, identity, members: named };
  } finally {
    seed.erase();
  }
}

/** How people see a member, an instance or a key: the first 4 bytes, hex. */
export function shortName(id: Uint8Array): string {
  return toHex(id.subarray(0, 4));
}

function parse(text: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // Not as the cause: JSON's errors quote the text, which holds the seed.
    throw bad('it is not JSON');
  }
  if (typeof content !== 'object' || content === null) {
    throw bad('a JSON object was expected');
  }
  return content as Record<string, unknown>;
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function readMembers(members: unknown): readonly NamedMember[] {
  if (!Array.isArray(members) || members.length > MAX_MEMBERS) {
    throw bad(`members must be a list of at most ${MAX_MEMBERS}`);
  }
  return members.map(readMember);
}

function readMember(member: unknown): NamedMember {
  const { name, publicKey } = (member ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string') {
    throw bad('each of its members needs a name');
  }
  return { name, publicKey: bytesOf(publicKey, 'publicKey') };
}

function bytesOf(value: unknown, field: string): Uint8Array {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(value)) {
    throw bad(`${field} must be 32 bytes in base64url`);
  }
  const shared = Buffer.from(value, 'base64url');
  const bytes = Uint8Array.from(shared);
  // Small Buffers are slices of one slab, which others see.
  shared.fill(0);
  return bytes;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

function bad(detail: string): TLSError {
  return new TLSError('TLS_ERR_CONFIG', `an identity file cannot be read: ${detail}`);
}

const VERSION = 1;
const SEED_LENGTH = 32;
const MAX_MEMBERS = 512;
const MEMBER_LABEL = utf8('mayfly ring 1 member');
/** PrivateKeyInfo and SubjectPublicKeyInfo for Ed25519 up to the 32 key bytes (RFC 8410 §4, §7). */
const PKCS8_PREFIX = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
const SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0);
