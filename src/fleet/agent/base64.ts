/**
 * Base64 of key bytes, into and out of byte arrays that can be erased: a string could not be. Without tables or branches
 * that depend on the bytes. RFC 4648 §4.
 */

/** Characters, with padding. */
export function base64Length(bytes: number): number {
  return 4 * Math.ceil(bytes / 3);
}

/** Writes `base64Length(bytes.length)` characters at `at`. */
export function writeBase64(bytes: Uint8Array, out: Uint8Array, at: number): void {
  for (let i = 0, to = at; i < bytes.length; i += 3, to += 4) {
    const left = bytes.length - i;
    const group = (bytes[i] << 16) | ((left > 1 ? bytes[i + 1] : 0) << 8) | (left > 2 ? bytes[i + 2] : 0);
    out[to] = character(group >>> 18);
    out[to + 1] = character((group >>> 12) & 63);
    out[to + 2] = left > 1 ? character((group >>> 6) & 63) : PAD;
    out[to + 3] = left > 2 ? character(group & 63) : PAD;
  }
}

/** Decodes text whose decoded length is known; undefined when it is not base64 of `out.length` bytes. */
export function readBase64(text: Uint8Array, out: Uint8Array): boolean {
  if (text.length !== base64Length(out.length)) {
    return false;
  }
  const padding = (text.length / 4) * 3 - out.length;
  let bad = 0;
  for (let i = 0, to = 0; i < text.length; i += 4, to += 3) {
    let group = 0;
    for (let j = 0; j < 4; j++) {
      const isPadding = i + j >= text.length - padding;
      const value = isPadding ? (text[i + j] === PAD ? 0 : -1) : sixBits(text[i + j]);
      bad |= value >> 31;
      group = (group << 6) | (value & 63);
    }
    // What lies beyond the end of `out` is padding, and a typed array drops it.
    out[to] = group >>> 16;
    out[to + 1] = group >>> 8;
    out[to + 2] = group;
  }
  return bad === 0;
}

/** A–Z, a–z, 0–9, + and /: each comparison adds what the next range is further on. */
function character(six: number): number {
  const beyond = (limit: number) => (limit - six) >> 31;
  return 65 + six + (beyond(25) & 6) - (beyond(51) & 75) - (beyond(61) & 15) + (beyond(62) & 3);
}

/** −1 for what is no character of it. */
function sixBits(code: number): number {
  const within = (low: number, high: number) => ((low - 1 - code) & (code - high - 1)) >> 31;
  return (
    -1 +
    (within(65, 90) & (code - 64)) +
    (within(97, 122) & (code - 70)) +
    (within(48, 57) & (code + 5)) +
    (within(43, 43) & 63) +
    (within(47, 47) & 64)
  );
}

const PAD = 0x3d;
