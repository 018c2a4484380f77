/**
 * HKDF (RFC 5869) and its TLS 1.3 labels.
 *
 *     struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel;
 *
 * RFC 9846 §7.1. Inputs are handed over as `Secret`s, not as their bytes: so what is derived is known to descend from them.
 */

import { EMPTY, utf8 } from '../bytes/bytes.ts';
import { exposed, idOf, type KeyMaterial, Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { SecretUses } from '../ledger/channels.ts';

/** Bytes of the hash's output. */
export function hashLength(hash: HashName): number {
  return hash === 'sha256' ? 32 : 48;
}

/** HKDF-Extract, of any salt: it may be known, or become known. */
export function hkdfExtract(
  provider: CryptoProvider,
  hash: HashName,
  salt: KeyMaterial,
  inputKeyMaterial: KeyMaterial,
  kind: string,
): Secret {
  const made = provider.hmac(hash, exposed(salt), exposed(inputKeyMaterial));
  return Secret.adopt(kind, made, made.length, idOf(salt), idOf(inputKeyMaterial));
}

/** HKDF-Extract whose salt comes of a key exchange, so that nobody ever knows it: `CryptoProvider.hmacOfRandomKey` will do. */
export function hkdfExtractWithSecretSalt(
  provider: CryptoProvider,
  hash: HashName,
  salt: Secret,
  inputKeyMaterial: KeyMaterial,
  kind: string,
): Secret {
  const made = provider.hmacOfRandomKey(hash, salt.expose(), exposed(inputKeyMaterial));
  return Secret.adopt(kind, made, made.length, salt.id, idOf(inputKeyMaterial));
}

/** HKDF-Expand to `length` bytes (at most 255 hash lengths). `uses`, for the ledger: as of `Secret.create`. */
export function hkdfExpand(
  provider: CryptoProvider,
  hash: HashName,
  pseudorandomKey: KeyMaterial,
  info: Uint8Array,
  length: number,
  kind: string,
  uses?: SecretUses,
): Secret {
  const block = hashLength(hash);
  const key = exposed(pseudorandomKey);
  if (!Number.isInteger(length) || length < 0 || length > 255 * block) {
    throw new TLSError('TLS_ERR_CONFIG', `HKDF can make at most ${255 * block} bytes, ${length} were asked for`);
  }
  const fill = (out: Uint8Array) => {
    const input = new Uint8Array(new ArrayBuffer(block + info.length + 1));
    let previous: Uint8Array = EMPTY;
    for (let at = 0, counter = 1; at < length; at += block, counter++) {
      input.set(previous, 0);
      input.set(info, previous.length);
      input[previous.length + info.length] = counter;
      const made = provider.hmac(hash, key, input.subarray(0, previous.length + info.length + 1));
      previous.fill(0);
      previous = made;
      out.set(made.subarray(0, Math.min(block, length - at)), at);
    }
    previous.fill(0);
    input.fill(0);
  };
  return Secret.create(kind, length, fill, idOf(pseudorandomKey), uses);
}

/**
 * HKDF-Expand-Label for outputs of at most one hash length: one HMAC over a template prepared once per label.
 * Its plain twin is `expandLabelPlain`; the test "the prepared labels equal the plain ones" keeps them equal.
 */
export function expandLabel(
  provider: CryptoProvider,
  hash: HashName,
  secret: KeyMaterial,
  label: PreparedLabel,
  context: Uint8Array,
  length: number,
  kind: string,
): Secret {
  const made = provider.hmacOfRandomKey(hash, exposed(secret), label.fill(length, context));
  return Secret.adopt(kind, made, length, idOf(secret));
}

/** HKDF-Expand-Label for any length, built from its definition. */
export function expandLabelPlain(
  provider: CryptoProvider,
  hash: HashName,
  secret: KeyMaterial,
  label: string,
  context: Uint8Array,
  length: number,
  kind: string,
): Secret {
  return hkdfExpand(provider, hash, secret, hkdfLabel(label, context, length), length, kind);
}

/** An HkdfLabel followed by HKDF-Expand's first counter byte, ready but for its length and context. */
export class PreparedLabel {
  readonly label: string;
  readonly #empty: Uint8Array;
  readonly #contexts = new Map<number, Uint8Array>();

  constructor(label: string) {
    this.label = label;
    this.#empty = template(label, 0);
  }

  /** The bytes to run HMAC over; valid until the next call. Contexts are transcript hashes: public values. */
  fill(length: number, context: Uint8Array): Uint8Array {
    const filled = context.length === 0 ? this.#empty : this.#withContext(context);
    filled[0] = length >>> 8;
    filled[1] = length;
    return filled;
  }

  #withContext(context: Uint8Array): Uint8Array {
    let prepared = this.#contexts.get(context.length);
    if (prepared === undefined) {
      prepared = template(this.label, context.length);
      this.#contexts.set(context.length, prepared);
    }
    prepared.set(context, prepared.length - 1 - context.length);
    return prepared;
  }
}

function template(label: string, contextLength: number): Uint8Array {
  const info = hkdfLabel(label, new Uint8Array(contextLength), 0);
  const withCounter = new Uint8Array(info.length + 1);
  withCounter.set(info);
  withCounter[info.length] = 1;
  return withCounter;
}

function hkdfLabel(label: string, context: Uint8Array, length: number): Uint8Array {
  const name = utf8(`tls13 ${label}`);
  if (name.length > 255 || context.length > 255) {
    throw new TLSError('TLS_ERR_CONFIG', 'a label and its context may have at most 249 and 255 bytes');
  }
  const info = new Uint8Array(2 + 1 + name.length + 1 + context.length);
  info[0] = length >>> 8;
  info[1] = length;
  info[2] = name.length;
  info.set(name, 3);
  info[3 + name.length] = context.length;
  info.set(context, 4 + name.length);
  return info;
}
