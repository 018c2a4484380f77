/**
 * The generation: how often the ring was flushed, and who was evicted. Everyone's view of it only grows, and any two
 * views merge into one, in any order: so orders need no leader either.
 *
 *     merge((g, S), (h, T)) = (max(g, h), S ∪ T), and one more if the higher of the two did not know all of S ∪ T
 *
 * Why one more: keys of a generation were handed to everyone whom its makers did not know to be evicted. At the largest
 * number there is no more: it stays, and the set alone tells generations apart. So nobody who says that number keeps others
 * from evicting him.
 */

import { sameBytes, toHex } from '../bytes/bytes.ts';
import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { ID_LENGTH, readId } from './records/signed.ts';

export interface Generation {
  readonly number: number;
  /** Member ids, 32 bytes each, in the order of their hex. */
  readonly evicted: readonly Uint8Array[];
}

export const FIRST_GENERATION: Generation = { number: 0, evicted: [] };

export function isEvicted({ evicted }: Generation, memberId: Uint8Array): boolean {
  const id = toHex(memberId);
  return evicted.some((one) => toHex(one) === id);
}

/** What an order makes of it: flush, or evict one. */
export function nextGeneration(generation: Generation, evict?: Uint8Array): Generation {
  const evicted = evict === undefined ? generation.evicted : union(generation.evicted, [evict]);
  return { number: oneMore(generation.number), evicted };
}

export function mergeGenerations(a: Generation, b: Generation): Generation {
  const evicted = union(a.evicted, b.evicted);
  const number = Math.max(a.number, b.number);
  const unaware = [a, b].some((one) => one.number === number && one.evicted.length < evicted.length);
  return { number: unaware ? oneMore(number) : number, evicted };
}

export function sameGeneration(a: Generation, b: Generation): boolean {
  const same = (id: Uint8Array, index: number) => sameBytes(id, b.evicted[index]);
  return a.number === b.number && a.evicted.length === b.evicted.length && a.evicted.every(same);
}

export function writeGeneration(writer: Writer, { number, evicted }: Generation): void {
  writer.u64(number).u16(evicted.length);
  for (const memberId of evicted) {
    writer.bytes(memberId);
  }
}

/** @param allows whether a member id is on the allow-list: evicting anyone else means nothing and would only fill memory */
export function readGeneration(reader: Reader, allows: (memberId: Uint8Array) => boolean): Generation {
  const number = reader.u64('generation');
  if (number > MAX_GENERATION) {
    throw reader.malformed('generation', `${number} exceeds ${MAX_GENERATION}`);
  }
  const count = reader.u16('evicted');
  if (count > MAX_EVICTED) {
    throw reader.malformed('evicted', `${count} members, at most ${MAX_EVICTED} are kept`);
  }
  const evicted: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const memberId = readId(reader, ID_LENGTH, 'evicted');
    if (!allows(memberId)) {
      throw reader.malformed('evicted', 'a member that is not on the allow-list');
    }
    evicted.push(memberId);
  }
  return { number, evicted: union(evicted, []) };
}

function oneMore(number: number): number {
  return Math.min(number + 1, MAX_GENERATION);
}

function union(a: readonly Uint8Array[], b: readonly Uint8Array[]): readonly Uint8Array[] {
  const byHex = new Map([...a, ...b].map((id) => [toHex(id), id]));
  return [...byHex.keys()].sort().map((hex) => byHex.get(hex) as Uint8Array);
}

/** Far beyond any number of orders, far below where adding one stops to be exact. */
const MAX_GENERATION = 2 ** 48;
/** As many as an allow-list may hold. */
const MAX_EVICTED = 512;
