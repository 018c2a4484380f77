/**
 * Builds DER from the inside out: each function returns one whole element.
 *
 *     element = tag (1 byte) ‖ length (1..5 bytes) ‖ content
 *
 * ITU-T X.690 §10. Used by the development CA; not for secrets.
 */

import { concat, utf8 } from '../bytes/bytes.ts';
import {
  TAG_BIT_STRING,
  TAG_BOOLEAN,
  TAG_GENERALIZED_TIME,
  TAG_INTEGER,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
  TAG_SET,
  TAG_UTC_TIME,
  TAG_UTF8_STRING,
} from './der.ts';

/** An element with the concatenation of `parts` as its content. */
export function derElement(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = parts.length === 1 ? parts[0] : concat(...parts);
  const length = content.length;
  if (length < 0x80) {
    return concat(Uint8Array.of(tag, length), content);
  }
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) {
    octets.unshift(rest % 256);
  }
  return concat(Uint8Array.of(tag, 0x80 | octets.length, ...octets), content);
}

export function derSequence(...parts: readonly Uint8Array[]): Uint8Array {
  return derElement(TAG_SEQUENCE, ...parts);
}

export function derSet(...parts: readonly Uint8Array[]): Uint8Array {
  return derElement(TAG_SET, ...parts);
}

export function derBoolean(value: boolean): Uint8Array {
  return derElement(TAG_BOOLEAN, Uint8Array.of(value ? 0xff : 0));
}

/** A non-negative INTEGER below 2^31. */
export function derInteger(value: number): Uint8Array {
  const octets = [value & 0xff];
  for (let rest = value >>> 8; rest > 0; rest >>>= 8) {
    octets.unshift(rest & 0xff);
  }
  return derUnsigned(Uint8Array.from(octets));
}

/** A non-negative INTEGER from its big-endian magnitude. */
export function derUnsigned(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) {
    start++;
  }
  const shortest = magnitude.subarray(start);
  return shortest[0] >= 0x80 ? derElement(TAG_INTEGER, Uint8Array.of(0), shortest) : derElement(TAG_INTEGER, shortest);
}

export function derOid(dotted: string): Uint8Array {
  const [first, second, ...others] = dotted.split('.').map(Number);
  const octets: number[] = [];
  for (const arc of [40 * first + second, ...others]) {
    const septets = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      septets.unshift((rest % 128) | 0x80);
    }
    octets.push(...septets);
  }
  return derElement(TAG_OID, Uint8Array.from(octets));
}

export function derOctetString(content: Uint8Array): Uint8Array {
  return derElement(TAG_OCTET_STRING, content);
}

export function derBitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return derElement(TAG_BIT_STRING, Uint8Array.of(unusedBits), bytes);
}

export function derUtf8String(text: string): Uint8Array {
  return derElement(TAG_UTF8_STRING, utf8(text));
}

/** UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5), of milliseconds since the epoch. */
export function derTime(at: number): Uint8Array {
  const digits = `${new Date(at).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  const year = new Date(at).getUTCFullYear();
  return year >= 1950 && year < 2050
    ? derElement(TAG_UTC_TIME, utf8(digits.slice(2)))
    : derElement(TAG_GENERALIZED_TIME, utf8(digits));
}
