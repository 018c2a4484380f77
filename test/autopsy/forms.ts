/**
 * The forms in which a secret may lie in memory, cut into pieces of eight bytes that are looked for.
 *
 *     raw           as it is
 *     reversed      as OpenSSL keeps numbers (limbs, lowest first)
 *     ipad, opad    XOR 0x36 and XOR 0x5c: a key inside HMAC (RFC 2104 §2)
 *     spread        each word of four bytes several times over: ChaCha20's key in vector registers
 *     hex, base64   text in one byte or two bytes a character
 *
 * Pieces, because memory that was given back loses its head to the allocator's own notes: what is left of a key counts.
 */

export interface Form {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Bytes of this form that must stand together: fewer may be chance, as text has fewer values a byte. */
  readonly least: number;
}

/** Shorter secrets, such as TLS 1.2's implicit nonces of 4 bytes, are found by chance. */
export const SHORTEST = 8;
export const PIECE = 8;

const HMAC_KEY_LENGTHS = new Set([32, 48]);
const CHACHA_KEY_LENGTH = 32;
/** As often as the narrowest vectors hold a word. */
const SPREAD = 4;
const LEAST_HEX = 20;
const LEAST_BASE64 = 15;

export function formsOf(secret: Uint8Array): readonly Form[] {
  const forms: Form[] = [
    { name: 'raw', bytes: secret, least: PIECE },
    { name: 'reversed', bytes: Uint8Array.from(secret).reverse(), least: PIECE },
  ];
  if (HMAC_KEY_LENGTHS.has(secret.length)) {
    forms.push({ name: 'ipad', bytes: secret.map((byte) => byte ^ 0x36), least: PIECE });
    forms.push({ name: 'opad', bytes: secret.map((byte) => byte ^ 0x5c), least: PIECE });
  }
  if (secret.length === CHACHA_KEY_LENGTH) {
    forms.push({ name: 'spread', bytes: spread(secret), least: SPREAD * 4 });
  }
  const buffer = Buffer.from(secret.buffer, secret.byteOffset, secret.length);
  const hex = buffer.toString('hex');
  pushText(forms, 'hex', hex, LEAST_HEX);
  pushText(forms, 'HEX', hex.toUpperCase(), LEAST_HEX);
  // Inside other data it may begin at any of three places of base64's groups.
  for (let skip = 0; skip < 3; skip++) {
    const whole = buffer.subarray(skip, skip + 3 * Math.floor((secret.length - skip) / 3));
    const text = whole.toString('base64');
    pushText(forms, 'base64', text, LEAST_BASE64);
    const url = whole.toString('base64url');
    if (url !== text) {
      pushText(forms, 'base64url', url, LEAST_BASE64);
    }
  }
  return forms;
}

function spread(secret: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SPREAD * secret.length);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = secret[4 * Math.floor(at / (4 * SPREAD)) + (at % 4)];
  }
  return bytes;
}

function pushText(forms: Form[], name: string, text: string, least: number): void {
  forms.push({ name, bytes: Uint8Array.from(Buffer.from(text, 'latin1')), least });
  forms.push({ name: `${name} utf16`, bytes: Uint8Array.from(Buffer.from(text, 'utf16le')), least: 2 * least });
}
