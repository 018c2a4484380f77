/**
 * Strict reader for DER: definite lengths in their shortest form, single-byte tags, exact consumption.
 *
 *     element = tag (1 byte) ‖ length (1..5 bytes) ‖ content
 *
 * ITU-T X.690 §8, §10, §11. Lax decoding of BER in certificates has let two parsers see two different certificates in
 * one signature (Bleichenbacher's forgery, the "Frankencerts" findings): what is not DER is refused.
 */

import { TLSError } from '../errors.ts';

export const TAG_BOOLEAN = 0x01;
export const TAG_INTEGER = 0x02;
export const TAG_BIT_STRING = 0x03;
export const TAG_OCTET_STRING = 0x04;
export const TAG_NULL = 0x05;
export const TAG_OID = 0x06;
export const TAG_UTF8_STRING = 0x0c;
export const TAG_PRINTABLE_STRING = 0x13;
export const TAG_TELETEX_STRING = 0x14;
export const TAG_IA5_STRING = 0x16;
export const TAG_UTC_TIME = 0x17;
export const TAG_GENERALIZED_TIME = 0x18;
export const TAG_UNIVERSAL_STRING = 0x1c;
export const TAG_BMP_STRING = 0x1e;
export const TAG_SEQUENCE = 0x30;
export const TAG_SET = 0x31;

/** A BIT STRING: its bytes and how many low bits of the last one do not count. */
export interface BitString {
  readonly bytes: Uint8Array;
  readonly unusedBits: number;
}

/** Context-specific tag `[number]`. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

/**
 * Walks the elements of one constructed value. All results are views of the bytes given.
 * @throws TLSError `TLS_ERR_BAD_CERTIFICATE` from every method, naming the field
 */
export class DerReader {
  #bytes: Uint8Array;
  #offset: number;
  #end: number;
  readonly #what: string;

  constructor(bytes: Uint8Array, what: string, offset = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#what = what;
    this.#offset = offset;
    this.#end = end;
  }

  get done(): boolean {
    return this.#offset === this.#end;
  }

  /** The tag of the next element, or -1 at the end. */
  get nextTag(): number {
    return this.#offset < this.#end ? this.#bytes[this.#offset] : -1;
  }

  /** A reader over the content of the next element, which must have this tag. */
  enter(tag: number, field: string): DerReader {
    const start = this.#header(tag, field);
    return new DerReader(this.#bytes, `${this.#what}.${field}`, start, this.#offset);
  }

  /** The content of the next element, which must have this tag. */
  content(tag: number, field: string): Uint8Array {
    const start = this.#header(tag, field);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** The next element whole, header included; of any tag when none is given. */
  element(field: string, tag: number = this.nextTag): Uint8Array {
    const start = this.#offset;
    this.#header(tag, field);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Two's complement content octets in their shortest form. */
  integer(field: string, tag: number = TAG_INTEGER): Uint8Array {
    const value = this.content(tag, field);
    if (value.length === 0) {
      throw this.malformed(field, 'an INTEGER is empty');
    }
    const second = value[1];
    if (value.length > 1 && ((value[0] === 0 && second < 0x80) || (value[0] === 0xff && second >= 0x80))) {
      throw this.malformed(field, 'an INTEGER is not in its shortest form');
    }
    return value;
  }

  /** A non-negative INTEGER below 2^31. */
  smallInteger(field: string, tag: number = TAG_INTEGER): number {
    const value = this.integer(field, tag);
    if (value[0] >= 0x80) {
      throw this.malformed(field, 'an INTEGER is negative');
    }
    if (value.length > 4) {
      throw this.malformed(field, 'an INTEGER is too large');
    }
    let number = 0;
    for (const byte of value) {
      number = number * 256 + byte;
    }
    return number;
  }

  boolean(field: string, tag: number = TAG_BOOLEAN): boolean {
    const value = this.content(tag, field);
    if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff)) {
      throw this.malformed(field, 'a BOOLEAN is neither 00 nor FF');
    }
    return value[0] === 0xff;
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(field: string, tag: number = TAG_OID): string {
    const value = this.content(tag, field);
    if (value.length === 0 || value.length > MAX_OID_BYTES || value[value.length - 1] >= 0x80) {
      throw this.malformed(field, 'an OBJECT IDENTIFIER is empty, cut off or too long');
    }
    let text = '';
    let arc = 0;
    let fresh = true;
    for (const byte of value) {
      if (fresh && byte === 0x80) {
        throw this.malformed(field, 'an OBJECT IDENTIFIER is not in its shortest form');
      }
      arc = arc * 128 + (byte & 0x7f);
      if (arc > Number.MAX_SAFE_INTEGER) {
        throw this.malformed(field, 'an OBJECT IDENTIFIER has an arc above 2^53');
      }
      fresh = byte < 0x80;
      if (!fresh) {
        continue;
      }
      if (text === '') {
        const first = Math.min(2, Math.floor(arc / 40));
        text = `${first}.${arc - 40 * first}`;
      } else {
        text += `.${arc}`;
      }
      arc = 0;
    }
    return text;
  }

  bitString(field: string, tag: number = TAG_BIT_STRING): BitString {
    const value = this.content(tag, field);
    const unusedBits = value[0];
    if (value.length === 0 || unusedBits > 7 || (value.length === 1 && unusedBits !== 0)) {
      throw this.malformed(field, 'a BIT STRING has no valid count of unused bits');
    }
    if ((value[value.length - 1] & ((1 << unusedBits) - 1)) !== 0 && value.length > 1) {
      throw this.malformed(field, 'a BIT STRING has unused bits that are not zero');
    }
    return { bytes: value.subarray(1), unusedBits };
  }

  /** UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 narrows them (seconds, `Z`), in milliseconds since the epoch. */
  time(field: string): number {
    const tag = this.nextTag;
    if (tag !== TAG_UTC_TIME && tag !== TAG_GENERALIZED_TIME) {
      throw this.malformed(field, 'neither UTCTime nor GeneralizedTime');
    }
    const text = asciiText(this.content(tag, field));
    const match = (tag === TAG_UTC_TIME ? UTC_TIME : GENERALIZED_TIME).exec(text);
    if (match === null) {
      throw this.malformed(field, 'a time is not of the form [YY]YYMMDDHHMMSSZ');
    }
    const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
    const fullYear = tag === TAG_UTC_TIME ? year + (year >= 50 ? 1900 : 2000) : year;
    const date = new Date(0);
    date.setUTCFullYear(fullYear, month - 1, day);
    date.setUTCHours(hour, minute, second);
    if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
      throw this.malformed(field, `no such time: ${text}`);
    }
    return date.getTime();
  }

  /** Demands that everything was read. */
  end(): void {
    if (!this.done) {
      throw new TLSError('TLS_ERR_BAD_CERTIFICATE', `${this.#what}: ${this.#end - this.#offset} bytes follow its end`);
    }
  }

  malformed(field: string, detail: string): TLSError {
    return new TLSError('TLS_ERR_BAD_CERTIFICATE', `${this.#what}.${field}: ${detail}`);
  }

  /** Reads the header, moves past the element, and returns where its content starts. */
  #header(expected: number, field: string): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#offset;
    if (at + 2 > end) {
      throw this.malformed(field, at === end ? 'is missing' : 'its header is cut off');
    }
    const tag = bytes[at++];
    if (tag !== expected) {
      throw this.malformed(field, `expected tag 0x${expected.toString(16)}, got 0x${tag.toString(16)}`);
    }
    if ((tag & 0x1f) === 0x1f) {
      throw this.malformed(field, 'multi-byte tags are not used in certificates');
    }
    let length = bytes[at++];
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4 || at + count > end) {
        throw this.malformed(field, 'its length is indefinite, cut off or above 2^32');
      }
      length = 0;
      for (let i = 0; i < count; i++) {
        length = length * 256 + bytes[at++];
      }
      if (length < 0x80 || length < 2 ** (8 * (count - 1))) {
        throw this.malformed(field, 'its length is not in the shortest form');
      }
    }
    if (length > end - at) {
      throw this.malformed(field, `its length is ${length}, but ${end - at} bytes are left`);
    }
    this.#offset = at + length;
    return at;
  }
}

/** The bytes as characters, one to one. */
export function asciiText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    text += String.fromCharCode(byte);
  }
  return text;
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
/** Longer ones exist nowhere; stops quadratic work on the dotted form. */
const MAX_OID_BYTES = 128;
