/**
 * Distinguished names: decoding, comparison and display.
 *
 *     Name ::= SEQUENCE OF SET SIZE (1..MAX) OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
 *
 * RFC 5280 §4.1.2.4; compared without regard to case, string type and runs of white space (RFC 5280 §7.1).
 */

import { toHex } from '../bytes/bytes.ts';
import {
  asciiText,
  DerReader,
  TAG_BIT_STRING,
  TAG_BMP_STRING,
  TAG_IA5_STRING,
  TAG_PRINTABLE_STRING,
  TAG_SEQUENCE,
  TAG_SET,
  TAG_TELETEX_STRING,
  TAG_UNIVERSAL_STRING,
  TAG_UTF8_STRING,
} from './der.ts';
import { attributeNames } from './oids.ts';

export interface NameAttribute {
  /** Dotted OID. */
  readonly type: string;
  /** The value as text; `#` and hex of its DER when it is not a string. */
  readonly value: string;
}

export interface DistinguishedName {
  /** The whole Name, DER. */
  readonly der: Uint8Array;
  /** In the order of the certificate; attributes of one RDN stand in one list. */
  readonly rdns: readonly (readonly NameAttribute[])[];
  /** One comparable string per RDN: equal exactly when the RDNs match. */
  readonly rdnKeys: readonly string[];
  /** Equal exactly when the names match. */
  readonly key: string;
}

/** @throws TLSError `TLS_ERR_BAD_CERTIFICATE` */
export function readDistinguishedName(der: Uint8Array, what: string): DistinguishedName {
  const outer = new DerReader(der, what);
  const sequence = outer.enter(TAG_SEQUENCE, 'rdnSequence');
  outer.end();
  const rdns: NameAttribute[][] = [];
  const rdnKeys: string[] = [];
  while (!sequence.done) {
    const set = sequence.enter(TAG_SET, 'relativeDistinguishedName');
    const attributes: NameAttribute[] = [];
    const keys: string[] = [];
    do {
      const pair = set.enter(TAG_SEQUENCE, 'attribute');
      const type = pair.oid('type');
      const text = readAttributeValue(pair);
      pair.end();
      attributes.push({ type, value: text.value });
      // The length guards against a value that contains the separators of another name.
      keys.push(`${type}=${text.key.length}:${text.key}`);
    } while (!set.done);
    rdns.push(attributes);
    rdnKeys.push(keys.length === 1 ? keys[0] : keys.sort().join('+'));
  }
  return { der, rdns, rdnKeys, key: rdnKeys.join(',') };
}

/** True when `name` equals `base` or lies below it. RFC 5280 §4.2.1.10, directoryName. */
export function isWithinSubtree(name: DistinguishedName, base: DistinguishedName): boolean {
  return base.rdnKeys.length <= name.rdnKeys.length && base.rdnKeys.every((key, i) => key === name.rdnKeys[i]);
}

/** All values of one attribute type. */
export function attributeValues(name: DistinguishedName, type: string): string[] {
  const values: string[] = [];
  for (const rdn of name.rdns) {
    for (const attribute of rdn) {
      if (attribute.type === type) {
        values.push(attribute.value);
      }
    }
  }
  return values;
}

/** For people: `CN=example.com, O=Example`, most specific first, harmless in a terminal, at most 200 characters. */
export function nameText(name: DistinguishedName): string {
  if (name.rdns.length === 0) {
    return '(empty name)';
  }
  const text = name.rdns
    .map((rdn) => rdn.map(({ type, value }) => `${attributeNames.get(type) ?? type}=${escapedValue(value)}`).join('+'))
    .reverse()
    .join(', ');
  return printable(text);
}

/** RFC 4514 §2.4, of it what keeps one attribute from looking like two. */
function escapedValue(value: string): string {
  return value.replace(/[,+\\]/g, '\\$&');
}

/** Without what a hostile certificate could aim at a terminal or a log; at most 200 characters. */
export function printable(text: string): string {
  const clean = escapeUnprintable(text.slice(0, 201));
  return clean.length > 200 ? `${clean.slice(0, 199)}…` : clean;
}

/**
 * `\uXXXX` for control characters, C1 among them (U+009B is to a terminal what ESC [ is), and for what turns the order of
 * writing around, cannot be seen, or ends a line (Unicode: categories Cc, Cf, Cs, Zl, Zp; Default_Ignorable_Code_Point).
 */
export function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, i) => hexEscape(character.charCodeAt(i))).join(''),
  );
}

function hexEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

function readAttributeValue(pair: DerReader): { value: string; key: string } {
  const tag = pair.nextTag;
  if (!STRING_TAGS.has(tag)) {
    const hex = `#${toHex(otherValue(pair, tag))}`;
    return { value: hex, key: hex };
  }
  const bytes = pair.content(tag, 'value');
  const value = stringValue(pair, tag, bytes);
  return { value, key: fold(value) };
}

/** The whole element. */
function otherValue(pair: DerReader, tag: number): Uint8Array {
  const element = pair.element('value');
  if (!OTHER_TAGS.has(tag)) {
    throw pair.malformed('value', `0x${tag.toString(16)} is the tag of no type that attributes of names have`);
  }
  if (tag === TAG_BIT_STRING) {
    new DerReader(element, 'attribute').bitString('value');
  }
  return element;
}

function stringValue(pair: DerReader, tag: number, bytes: Uint8Array): string {
  if (tag === TAG_UTF8_STRING) {
    try {
      return strictUtf8.decode(bytes);
    } catch {
      throw pair.malformed('value', 'a UTF8String is not UTF-8');
    }
  }
  if (tag === TAG_BMP_STRING || tag === TAG_UNIVERSAL_STRING) {
    const width = tag === TAG_BMP_STRING ? 2 : 4;
    if (bytes.length % width !== 0) {
      throw pair.malformed('value', 'a BMPString or UniversalString is cut off');
    }
    let text = '';
    for (let i = 0; i < bytes.length; i += width) {
      let point = 0;
      for (let j = i; j < i + width; j++) {
        point = point * 256 + bytes[j];
      }
      text += point <= 0x10ffff ? String.fromCodePoint(point) : '\ufffd';
    }
    return text;
  }
  // TeletexString is Latin-1 in practice; PrintableString and IA5String should be ASCII.
  return asciiText(bytes);
}

function fold(value: string): string {
  // Most names are plain; normalization of Unicode is slow.
  const normal = ASCII_ONLY.test(value) ? value : value.normalize('NFKC');
  return normal.toLowerCase().trim().replace(/\s+/g, ' ');
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const ASCII_ONLY = /^[\x20-\x7e]*$/;
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** Carried and compared as they stand: BIT STRING, NumericString, SEQUENCE. With any other, OpenSSL reads no certificate. */
const OTHER_TAGS = new Set([TAG_BIT_STRING, 0x12, TAG_SEQUENCE]);
const STRING_TAGS = new Set([
  TAG_UTF8_STRING,
  TAG_PRINTABLE_STRING,
  TAG_TELETEX_STRING,
  TAG_IA5_STRING,
  TAG_BMP_STRING,
  TAG_UNIVERSAL_STRING,
]);
