/**
 * Memory for records of application data on their way out. Two buffers per thread, a small and a large one, are sealed
 * into, handed to the socket and, where the kernel took all of it at once, sealed into again: a fresh allocation for
 * each write would cost a third of the throughput in bulk, and as much as the write itself for small records.
 *
 * Why only around `Connection.send`: its bytes leave in the same synchronous step. What the core gathers during a
 * handshake may wait for an answer, and must not lie in memory that another connection writes to.
 */

import { shortLived } from '../bytes/short-lived.ts';

export type OutputKind = 'small' | 'large';

/** A buffer that a socket still holds. */
export interface GivenOutput {
  readonly kind: OutputKind;
  readonly buffer: Buffer;
}

const current: Record<OutputKind, Buffer | undefined> = { small: undefined, large: undefined };
const spare: Record<OutputKind, Buffer | undefined> = { small: undefined, large: undefined };
let lending = false;

/** What the core is given as `allocate`. */
export function allocateOutput(length: number): Uint8Array {
  if (!lending || length > LARGE_SIZE) {
    return shortLived(length);
  }
  // One reservation per call of the core: a second one in the same call must not meet the first.
  lending = false;
  // A slow peer that keeps a buffer must not keep a large one for little.
  const kind = length > SMALL_SIZE ? 'large' : 'small';
  const buffer = current[kind] ?? spare[kind] ?? Buffer.allocUnsafeSlow(kind === 'large' ? LARGE_SIZE : SMALL_SIZE);
  if (current[kind] === undefined) {
    spare[kind] = undefined;
    current[kind] = buffer;
  }
  return buffer;
}

/** Opens the shared buffers to the next call of the core. */
export function lendOutput(): void {
  lending = true;
}

export function endLending(): void {
  lending = false;
}

/** The socket still holds these bytes: the shared buffer they lie in is given away until `returnOutput`. */
export function giveOutput(bytes: Uint8Array): GivenOutput | undefined {
  for (const kind of ['small', 'large'] as const) {
    const buffer = current[kind];
    if (buffer !== undefined && buffer.buffer === bytes.buffer) {
      current[kind] = undefined;
      return { kind, buffer };
    }
  }
  return undefined;
}

/** The socket is done with a buffer that was given away. */
export function returnOutput({ kind, buffer }: GivenOutput): void {
  spare[kind] ??= buffer;
}

/** Plaintext bytes that are sealed in one step: seven full records, gathered into one write. */
export const OUTPUT_SLICE: number = 7 * 16_384;
/** Each record adds a header of 5, a type byte and a tag of 16 bytes. */
const LARGE_SIZE = OUTPUT_SLICE + 7 * 22;
const SMALL_SIZE = 16_384 + 22;
