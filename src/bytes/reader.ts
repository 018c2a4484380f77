/**
 * Reader: the only place where offsets into received bytes move. Every read is checked, vectors demand exact
 * consumption, and errors name the field.
 *
 * Presentation language: RFC 9846 §3.
 */

import { TLSError } from '../errors.ts';

export class Reader {
  #bytes: Uint8Array;
  #offset: number;
  #end: number;
  /** Named in errors, e.g. `ClientHello`. */
  readonly what: string;

  constructor(bytes: Uint8Array, what: string, offset = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#end = end;
    this.what = what;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  /** Position within the bytes given to the outermost reader. */
  get offset(): number {
    return this.#offset;
  }

  u8(field: string): number {
    const at = this.#advance(1, field);
    return this.#bytes[at];
  }

  u16(field: string): number {
    const at = this.#advance(2, field);
    return (this.#bytes[at] << 8) | this.#bytes[at + 1];
  }

  u24(field: string): number {
    const at = this.#advance(3, field);
    return (this.#bytes[at] << 16) | (this.#bytes[at + 1] << 8) | this.#bytes[at + 2];
  }

  u32(field: string): number {
    const at = this.#advance(4, field);
    const b = this.#bytes;
    return ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
  }

  /** An unsigned 64-bit integer that fits a JavaScript number (at most 2^53 − 1). */
  u64(field: string): number {
    const high = this.u32(field);
    const low = this.u32(field);
    const value = high * 0x1_0000_0000 + low;
    if (value > Number.MAX_SAFE_INTEGER) {
      throw this.malformed(field, `value ${value} exceeds 2^53 - 1`);
    }
    return value;
  }

  /** A view of the next `length` bytes; not a copy. */
  bytes(length: number, field: string): Uint8Array {
    const at = this.#advance(length, field);
    return this.#bytes.subarray(at, at + length);
  }

  /** All that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining, 'rest');
  }

  /** `opaque field<min..max>` with a one-byte length. */
  vector8(field: string, min = 0, max = 0xff): Uint8Array {
    return this.bytes(this.#length(this.u8(field), field, min, max), field);
  }

  /** `opaque field<min..max>` with a two-byte length. */
  vector16(field: string, min = 0, max = 0xffff): Uint8Array {
    return this.bytes(this.#length(this.u16(field), field, min, max), field);
  }

  /** `opaque field<min..max>` with a three-byte length. */
  vector24(field: string, min = 0, max = 0xffffff): Uint8Array {
    return this.bytes(this.#length(this.u24(field), field, min, max), field);
  }

  /** A reader over a vector with a one-byte length; the caller ends it with `end()`. */
  nested8(field: string, min = 0, max = 0xff): Reader {
    return this.#nested(this.u8(field), field, min, max);
  }

  nested16(field: string, min = 0, max = 0xffff): Reader {
    return this.#nested(this.u16(field), field, min, max);
  }

  nested24(field: string, min = 0, max = 0xffffff): Reader {
    return this.#nested(this.u24(field), field, min, max);
  }

  /** Demands that everything was read. */
  end(): void {
    if (this.#offset !== this.#end) {
      throw new TLSError('TLS_ERR_DECODE', `${this.what}: ${this.remaining} bytes follow its end`);
    }
  }

  malformed(field: string, detail: string): TLSError {
    return new TLSError('TLS_ERR_DECODE', `${this.what}.${field}: ${detail}`);
  }

  #nested(length: number, field: string, min: number, max: number): Reader {
    const at = this.#advance(this.#length(length, field, min, max), field);
    return new Reader(this.#bytes, `${this.what}.${field}`, at, at + length);
  }

  #length(length: number, field: string, min: number, max: number): number {
    if (length < min || length > max) {
      throw this.malformed(field, `length ${length} is outside ${min}..${max}`);
    }
    return length;
  }

  #advance(length: number, field: string): number {
    const at = this.#offset;
    if (length > this.#end - at) {
      throw this.malformed(field, `needs ${length} bytes, ${this.#end - at} are left`);
    }
    this.#offset = at + length;
    return at;
  }
}
