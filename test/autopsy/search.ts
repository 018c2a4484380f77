/**
 * Looks for many patterns in much memory, in one pass: a window of eight bytes moves over every byte, two bit maps say
 * whether it may begin a piece of a pattern, and what may is compared in full.
 */

import { type Form, formsOf, PIECE } from './forms.ts';

export interface Wanted {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export interface Hit {
  readonly id: number;
  readonly form: string;
  /** Where the first byte that is left of it lies. */
  readonly address: number;
  /** Bytes of the form that stand there together, and from which on. */
  readonly length: number;
  readonly from: number;
  /** Bytes of the whole form. */
  readonly of: number;
}

interface Piece {
  readonly id: number;
  readonly form: Form;
  readonly at: number;
}

const BITS = 24;
const SHIFT = 32 - BITS;
const PAGE = 4096;
const ZERO_PAGE = Buffer.alloc(PAGE);

export class Search {
  readonly #map = new Int32Array(1 << (BITS - 5));
  /** By another hash: of what only happens to fall on a bit of the first it lets little through. */
  readonly #secondMap = new Int32Array(1 << (BITS - 5));
  readonly #pieces = new Map<number, Piece[]>();
  /** The longest form: what must be seen around a piece. */
  #longest = 0;

  constructor(wanted: Iterable<Wanted>) {
    for (const { id, bytes } of wanted) {
      for (const form of formsOf(bytes)) {
        this.#add(id, form);
      }
    }
  }

  /** Bytes that two neighbouring blocks must have in common. */
  get overlap(): number {
    return this.#longest;
  }

  #add(id: number, form: Form): void {
    this.#longest = Math.max(this.#longest, form.bytes.length);
    // So that a run as long as the form's least has a whole piece in it, wherever it begins.
    const step = Math.max(PIECE, form.least - PIECE + 1);
    for (let at = 0; at + PIECE <= form.bytes.length; at += step) {
      const low = word(form.bytes, at);
      const high = word(form.bytes, at + 4);
      if (low === 0 && high === 0) {
        continue;
      }
      const hash = hashOf(low, high);
      this.#map[hash >>> 5] |= 1 << (hash & 31);
      const second = secondHashOf(low, high);
      this.#secondMap[second >>> 5] |= 1 << (second & 31);
      const known = this.#pieces.get(hash);
      if (known === undefined) {
        this.#pieces.set(hash, [{ id, form, at }]);
      } else {
        known.push({ id, form, at });
      }
    }
  }

  /** What stands in `block`, whose first byte lies at `address`. A form that two pieces lead to is told once. */
  scan(block: Buffer, address: number): Hit[] {
    const hits = new Map<string, Hit>();
    const map = this.#map;
    const secondMap = this.#secondMap;
    const end = block.length;
    for (let page = 0; page < end; page += PAGE) {
      const pageEnd = Math.min(end, page + PAGE);
      if (pageEnd - page === PAGE && ZERO_PAGE.equals(block.subarray(page, pageEnd))) {
        continue;
      }
      // The window that begins in this page may end in the next one.
      const last = Math.min(end, pageEnd + PIECE - 1);
      let low = 0;
      let high = 0;
      for (let i = page; i < last; i++) {
        low = (low >>> 8) | (high << 24);
        high = (high >>> 8) | (block[i] << 24);
        const hash = hashOf(low, high);
        if ((map[hash >>> 5] & (1 << (hash & 31))) !== 0 && i - page >= PIECE - 1) {
          const second = secondHashOf(low, high);
          if ((secondMap[second >>> 5] & (1 << (second & 31))) !== 0) {
            this.#compare(hash, block, i - PIECE + 1, address, hits);
          }
        }
      }
    }
    return [...hits.values()];
  }

  #compare(hash: number, block: Buffer, offset: number, address: number, hits: Map<string, Hit>): void {
    for (const { id, form, at } of this.#pieces.get(hash) ?? []) {
      const { bytes } = form;
      const start = offset - at;
      let from = at;
      while (from > 0 && start + from > 0 && block[start + from - 1] === bytes[from - 1]) {
        from--;
      }
      let to = at;
      while (to < bytes.length && start + to < block.length && block[start + to] === bytes[to]) {
        to++;
      }
      if (to - from >= Math.min(form.least, bytes.length) && to - at >= PIECE) {
        const hit = { id, form: form.name, address: address + start + from, length: to - from, from, of: bytes.length };
        hits.set(`${id} ${hit.form} ${hit.address}`, hit);
      }
    }
  }
}

function hashOf(low: number, high: number): number {
  return (Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> SHIFT;
}

function secondHashOf(low: number, high: number): number {
  return (Math.imul(low, 0xc2b2ae35) ^ Math.imul(high, 0x27d4eb2f)) >>> SHIFT;
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
