/**
 * Secret: the sole holder of key bytes. It owns an allocation of its own, is read through a callback, is erased
 * explicitly, and prints as `Secret(32)`.
 *
 * Why `new ArrayBuffer` and not `new Uint8Array(n)`: V8 keeps typed arrays of up to 64 bytes inside its moving heap,
 * where a collection leaves stale copies behind; a separate ArrayBuffer stays where it is until it is erased.
 */

import { TLSError } from '../errors.ts';
import {
  nextSecretId,
  noticeLoss,
  publishBirth,
  publishEnd,
  type SecretUses,
  secretBorn,
  secretEnded,
} from '../ledger/channels.ts';
import { wipe } from './bytes.ts';

/** What goes into a derivation: a `Secret`, of which the result is a child, or bytes that are public or somebody else's. */
export type KeyMaterial = Secret | Uint8Array;

export class Secret {
  /** Identifies this secret in the ledger. */
  readonly id: number = nextSecretId();
  /** What it is, in the RFC's terms, e.g. `handshakeSecret`. */
  readonly kind: string;
  #bytes: Uint8Array | undefined;

  private constructor(kind: string, bytes: Uint8Array, from: number, last: number, uses: SecretUses | undefined) {
    this.kind = kind;
    this.#bytes = bytes;
    if (secretBorn.hasSubscribers) {
      publishBirth(this.id, kind, bytes.length, from, last, uses);
      noticeLoss(this, this.id, kind);
    }
  }

  /**
   * A secret of `length` bytes that `fill` writes in place. For the ledger: `from` is the ID of the secret that it is made
   * from, and `uses` is what its uses are counted on.
   */
  static create(
    kind: string,
    length: number,
    fill: (bytes: Uint8Array) => void,
    from: number = 0,
    uses?: SecretUses,
  ): Secret {
    const bytes = new Uint8Array(new ArrayBuffer(length));
    fill(bytes);
    return new Secret(kind, bytes, from, 0, uses);
  }

  /**
   * Takes the bytes over: copies them into an allocation of its own and erases `source`. `from` and `last` are the IDs of
   * the secrets that they were made from.
   */
  static take(kind: string, source: Uint8Array, from: number = 0, last: number = 0): Secret {
    const bytes = new Uint8Array(new ArrayBuffer(source.length));
    bytes.set(source);
    wipe(source);
    return new Secret(kind, bytes, from, last, undefined);
  }

  /**
   * Keeps the bytes where they are, without a copy: `source` lies outside of the moving heap, as results of
   * `CryptoProvider.hmac` do, on an allocation that holds nothing but secrets, and nobody else keeps it. Of it `length` bytes
   * are the secret; the rest is erased now. `from`, `last` and `uses`: as of `create` and `take`.
   */
  static adopt(
    kind: string,
    source: Uint8Array,
    length: number = source.length,
    from: number = 0,
    last: number = 0,
    uses?: SecretUses,
  ): Secret {
    if (length === source.length) {
      return new Secret(kind, source, from, last, uses);
    }
    wipe(source, length);
    return new Secret(kind, source.subarray(0, length), from, last, uses);
  }

  /** Copies the bytes; for sources that belong to someone else, such as test vectors or a caller's PSK. */
  static copy(kind: string, source: Uint8Array, from: number = 0, uses?: SecretUses): Secret {
    const bytes = new Uint8Array(new ArrayBuffer(source.length));
    bytes.set(source);
    return new Secret(kind, bytes, from, 0, uses);
  }

  /** Another secret of the same bytes, with an end of its own. */
  clone(kind: string = this.kind): Secret {
    return Secret.copy(kind, this.expose(), this.id);
  }

  /** Length in bytes; 0 once erased. */
  get length(): number {
    return this.#bytes?.length ?? 0;
  }

  get erased(): boolean {
    return this.#bytes === undefined;
  }

  /**
   * Lends the bytes to `callback`, which must not keep them.
   * @throws TLSError `TLS_ERR_SECRET_ERASED`
   */
  use<T>(callback: (bytes: Uint8Array) => T): T {
    return callback(this.expose());
  }

  /**
   * The bytes themselves, for the provider's hot paths: valid until `erase`, not to be kept or copied.
   * @throws TLSError `TLS_ERR_SECRET_ERASED`
   */
  expose(): Uint8Array {
    if (this.#bytes === undefined) {
      throw new TLSError('TLS_ERR_SECRET_ERASED', `${this.kind} was used after it was erased`);
    }
    return this.#bytes;
  }

  /** Overwrites the bytes with zeros and ends this secret. Idempotent. */
  erase(why = 'spent'): void {
    if (this.#bytes === undefined) {
      return;
    }
    wipe(this.#bytes);
    this.#bytes = undefined;
    if (secretEnded.hasSubscribers) {
      publishEnd(this, this.id, this.kind, why);
    }
  }

  /**
   * Ends this secret and hands its bytes over: whoever takes them erases them.
   * @throws TLSError `TLS_ERR_SECRET_ERASED`
   */
  surrender(why: string): Uint8Array {
    const bytes = this.expose();
    this.#bytes = undefined;
    if (secretEnded.hasSubscribers) {
      publishEnd(this, this.id, this.kind, why);
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.erase();
  }

  toString(): string {
    return this.erased ? 'Secret(erased)' : `Secret(${this.length})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** The bytes themselves, as `Secret.expose` gives them. */
export function exposed(material: KeyMaterial): Uint8Array {
  return material instanceof Secret ? material.expose() : material;
}

/** What the ledger knows it by; 0 for what is no secret of ours. */
export function idOf(material: KeyMaterial): number {
  return material instanceof Secret ? material.id : 0;
}
