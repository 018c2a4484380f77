/** Small helpers on byte strings that carry no secret. */

export const EMPTY: Uint8Array = new Uint8Array(0);

const encoder = new TextEncoder();

export function utf8(text: string): Uint8Array {
  return shortAscii(text) ?? encoder.encode(text);
}

/** Names and labels, without a call into the encoder; undefined for all others. */
function shortAscii(text: string): Uint8Array | undefined {
  const { length } = text;
  if (length > LONGEST_NAME) {
    return undefined;
  }
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) {
      return undefined;
    }
    bytes[i] = code;
  }
  return bytes;
}

/** Bytes: what V8 keeps on its heap. */
const LONGEST_NAME = 64;

/** Memory that still holds what lay there before: for those who write all of it before they hand it on. */
export function uninitialized(length: number): Uint8Array {
  return Buffer.allocUnsafeSlow(length);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return concatOn(zeros, parts);
}

function zeros(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** The same on memory that `allocate` gives. */
export function concatOn(allocate: (length: number) => Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) {
    length += part.length;
  }
  const joined = allocate(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * For the application: a copy on memory of its own. `Buffer.from` and `Buffer.concat` put short ones side by side on memory
 * that all of them show at their `buffer`, and that is never erased.
 */
export function ownBuffer(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.from(concat(...parts).buffer);
}

/** Erases key material. A loop, as most of it is short, and `fill` costs a call into V8's runtime. */
export function wipe(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
  if (end - start > LONGEST_LOOP) {
    bytes.fill(0, start, end);
    return;
  }
  for (let i = start; i < end; i++) {
    bytes[i] = 0;
  }
}

const LONGEST_LOOP = 256;

/** The same bytes as a plain Uint8Array: a Buffer's slice() would be a view where the codecs want a copy. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Equality of public values; secrets are compared with the provider's `equal`, which takes constant time. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) {
    return false;
  }
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) {
      return false;
    }
  }
  return true;
}

export function toHex(bytes: Uint8Array): string {
  // A view of the same bytes, not a copy.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

export function fromHex(text: string): Uint8Array {
  const clean = text.replace(/\s+/g, '');
  const bytes = new Uint8Array(clean.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number.parseInt(clean.slice(2 * i, 2 * i + 2), 16);
  }
  return bytes;
}
