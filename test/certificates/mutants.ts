/**
 * Certificates that are wrong on purpose, and signed all the same: a good one is taken apart into its elements, some of them
 * are changed, and the issuer signs what comes of it. Without the signature nothing behind it would ever be reached.
 */

import fc from 'fast-check';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { derBitString, derOid, derSequence } from '../../src/certificates/der-writer.ts';
import { OID_ECDSA_WITH_SHA256 } from '../../src/certificates/oids.ts';
import type { CertificateKey } from '../../src/crypto/x509.ts';

/** An element of DER. Constructed ones, and strings that hold whole elements, have `children`. */
export interface Node {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly children: readonly Node[] | undefined;
  /** Stands for the whole element, header and all. */
  readonly raw?: Uint8Array;
}

export interface Change {
  /** Which element, counted from the outside in; modulo their number. */
  readonly at: number;
  readonly how: (typeof HOW)[number];
  readonly number: number;
}

const HOW = [
  'flip',
  'retag',
  'drop',
  'double',
  'swap',
  'copy',
  'empty',
  'longLength',
  'indefinite',
  'lie',
  'negate',
  'pad',
  'grow',
  'time',
  'name',
  'wrap',
] as const;

export const anyChange: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(400),
  how: fc.constantFrom(...HOW),
  number: fc.nat(1 << 16),
});

/** A certificate whose tbsCertificate went through `changes` before `signer` signed it. */
export function mutant(der: Uint8Array, changes: readonly Change[], signer: CertificateKey): Uint8Array {
  const tbs = mutate(elements(der)[0].children?.[0] as Node, changes);
  return derSequence(tbs, derSequence(derOid(OID_ECDSA_WITH_SHA256)), derBitString(signer.sign(tbs)));
}

/** Any DER, changed and written again. */
export function mutate(whole: Node, changes: readonly Change[]): Uint8Array {
  let tree = whole;
  for (const change of changes) {
    const all = flatten(tree);
    const target = all[change.at % all.length];
    tree = replace(tree, target, changed(target, change, all))[0] ?? tree;
  }
  return write(tree);
}

/** The elements of `der`, taken apart as far as they go. */
export function elements(der: Uint8Array): readonly Node[] {
  const nodes = parse(der);
  if (nodes === undefined) {
    throw new Error('not DER');
  }
  return nodes;
}

function parse(der: Uint8Array): readonly Node[] | undefined {
  const nodes: Node[] = [];
  for (let at = 0; at < der.length; ) {
    const tag = der[at];
    let length = der[at + 1];
    let start = at + 2;
    if (length > 0x80 && length <= 0x83) {
      const count = length & 0x7f;
      length = der.subarray(start, start + count).reduce((sum, byte) => 256 * sum + byte, 0);
      start += count;
    }
    if (length === undefined || length === 0x80 || start + length > der.length) {
      return undefined;
    }
    const content = der.subarray(start, start + length);
    const holds = (tag & 0x20) !== 0 || (tag === 0x04 && content.length > 1);
    const children = holds ? parse(content) : undefined;
    if ((tag & 0x20) !== 0 && children === undefined) {
      return undefined;
    }
    nodes.push({ tag, content, children });
    at = start + length;
  }
  return nodes;
}

function write({ tag, content, children, raw }: Node): Uint8Array {
  if (raw !== undefined) {
    return raw;
  }
  return element(tag, children === undefined ? content : concat(...children.map(write)));
}

function flatten(node: Node): Node[] {
  return [node, ...(node.children ?? []).flatMap(flatten)];
}

function replace(tree: Node, target: Node, by: readonly Node[]): readonly Node[] {
  if (tree === target) {
    return by;
  }
  if (tree.children === undefined) {
    return [tree];
  }
  return [{ ...tree, children: tree.children.flatMap((child) => replace(child, target, by)) }];
}

function changed(node: Node, { how, number }: Change, all: readonly Node[]): readonly Node[] {
  const whole = write(node);
  const content = node.children === undefined ? node.content : concat(...node.children.map(write));
  const leaf = (bytes: Uint8Array, tag = node.tag): Node[] => [{ tag, content: bytes, children: undefined }];
  const raw = (bytes: Uint8Array): Node[] => [{ ...node, raw: bytes }];
  switch (how) {
    case 'flip': {
      const bytes = content.slice();
      if (bytes.length > 0) {
        bytes[(number >> 3) % bytes.length] ^= 1 << (number & 7);
      }
      return leaf(bytes);
    }
    case 'retag':
      return leaf(content, TAGS[number % TAGS.length]);
    case 'drop':
      return [];
    case 'double':
      return [node, node];
    case 'swap':
      return node.children === undefined ? [node] : [{ ...node, children: rotated(node.children, number) }];
    case 'copy':
      return [all[number % all.length]];
    case 'empty':
      return leaf(new Uint8Array(0));
    case 'longLength':
      return raw(concat(Uint8Array.of(node.tag, 0x83, 0, content.length >> 8, content.length & 0xff), content));
    case 'indefinite':
      return raw(concat(Uint8Array.of(node.tag | 0x20, 0x80), content, Uint8Array.of(0, 0)));
    case 'lie': {
      const bytes = whole.slice();
      bytes[1] += number % 2 === 0 ? 1 : -1;
      return raw(bytes);
    }
    case 'negate':
      return leaf(content.map((byte, i) => (i === 0 ? byte | 0x80 : byte)));
    case 'pad':
      return leaf(concat(Uint8Array.of(number % 2 === 0 ? 0 : 0xff), content));
    case 'grow':
      return leaf(concat(content, new Uint8Array(1 + (number % 300)).fill(number >> 8)));
    case 'time':
      return leaf(utf8(TIMES[number % TIMES.length]), number % 2 === 0 ? 0x17 : 0x18);
    case 'name':
      return leaf(utf8(NAMES[number % NAMES.length]));
    case 'wrap':
      return leaf(whole, 0x30);
  }
}

function rotated(nodes: readonly Node[], by: number): readonly Node[] {
  const cut = nodes.length === 0 ? 0 : by % nodes.length;
  return [...nodes.slice(cut), ...nodes.slice(0, cut)];
}

function element(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.of(tag, ...header), content);
}

const TAGS = [
  ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1c, 0x1e, 0x1f],
  ...[0x30, 0x31, 0x80, 0x81, 0x82, 0x83, 0x84, 0x86, 0x87, 0x88, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xbf],
];

/** UTCTime and GeneralizedTime, right, almost right and wrong; each is tried under both tags. */
export const TIMES = [
  ...['260531120000Z', '491231235959Z', '500101000000Z', '991231235959Z', '000101000000Z', '240229120000Z'],
  ...['250229120000Z', '260631120000Z', '2606011200Z', '260601120000', '260601120000+0000', '26060112000 Z'],
  ...['260601240000Z', '260601120060Z', '261301000000Z', '260600000000Z', '-60601120000Z', '260601120000z'],
  ...['20260531120000Z', '20491231235959Z', '20500101000000Z', '99991231235959Z', '19491231235959Z'],
  ...['00000101000000Z', '00010101000000Z', '19000229000000Z', '20000229000000Z', '21000229000000Z'],
  ...['20260601120000.5Z', '20260601120000,5Z', '202606011200Z', '20260601120000+0100', '20260601120000'],
  ...['', 'Z', '2026-06-01T12:00:00Z', '9'.repeat(40)],
];

const NAMES = [
  ...['example.com', 'EXAMPLE.com', 'example.com.', '.example.com', '*.example.com', '*.com', '*', '', '.', 'com'],
  ...['example.com\0.evil.example', 'evil.example', 'xn--', 'ex*mple.com', '*.*.com', 'example..com', ' example.com'],
  ...['a@example.com', 'https://example.com/', '127.0.0.1', `${'a'.repeat(64)}.example.com`, 'ex\u00e4mple.com'],
];
