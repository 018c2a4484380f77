/**
 * Writer: the only place where offsets into bytes to be sent move. Vectors are written in place and their length is
 * filled in when they close.
 */

import { TLSError } from '../errors.ts';

export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 512, allocate: (length: number) => Uint8Array = fresh) {
    this.#bytes = allocate(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
    return this;
  }

  u24(value: number): this {
    const at = this.#grow(3);
    this.#bytes[at] = value >>> 16;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
    return this;
  }

  /** An unsigned integer of at most 2^53 − 1 in eight bytes. */
  u64(value: number): this {
    return this.u32(Math.floor(value / 0x1_0000_0000)).u32(value >>> 0);
  }

  bytes(source: Uint8Array): this {
    const at = this.#grow(source.length);
    this.#bytes.set(source, at);
    return this;
  }

  zeros(count: number): this {
    const at = this.#grow(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }

  vector8(source: Uint8Array): this {
    this.#check(source.length, 0xff);
    return this.u8(source.length).bytes(source);
  }

  vector16(source: Uint8Array): this {
    this.#check(source.length, 0xffff);
    return this.u16(source.length).bytes(source);
  }

  vector24(source: Uint8Array): this {
    this.#check(source.length, 0xffffff);
    return this.u24(source.length).bytes(source);
  }

  /** Opens a vector whose length takes `lengthBytes`; pass the mark to `close`. */
  open(lengthBytes: 1 | 2 | 3): number {
    return this.#grow(lengthBytes) + lengthBytes;
  }

  /** Closes the vector opened at `mark` and fills in its length. */
  close(mark: number, lengthBytes: 1 | 2 | 3): this {
    const length = this.#length - mark;
    this.#check(length, LONGEST[lengthBytes]);
    for (let i = 1; i <= lengthBytes; i++) {
      this.#bytes[mark - i] = length >>> (8 * (i - 1));
    }
    return this;
  }

  /** What was written, as a view of the writer's buffer: the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #check(length: number, max: number): void {
    if (length > max) {
      throw new TLSError(
        'TLS_ERR_INTERNAL',
        `a vector of ${length} bytes does not fit its length field (at most ${max})`,
      );
    }
  }

  #grow(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    this.#length = needed;
    return at;
  }
}

function fresh(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** By the bytes of the length field. */
const LONGEST = { 1: 0xff, 2: 0xffff, 3: 0xffffff } as const;
