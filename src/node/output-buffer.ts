/**
 * Memory for bulk records on their way out. One buffer per thread is sealed into, handed to the socket and, where the
 * kernel took all of it at once, sealed into again: a fresh allocation for each write would cost a third of the
 * throughput.
 *
 * Why only around `Connection.send`: its bytes leave in the same synchronous step. What the core gathers during a
 * handshake may wait for an answer, and must not lie in memory that another connection writes to.
 */

let current: Buffer | undefined;
let spare: Buffer | undefined;
let lending = false;

/** What the core is given as `allocate`. */
export function allocateOutput(length: number): Uint8Array {
  if (!lending || length > OUTPUT_SIZE || length < WORTH_SHARING) {
    return new Uint8Array(length);
  }
  if (current === undefined) {
    current = spare ?? Buffer.allocUnsafeSlow(OUTPUT_SIZE);
    spare = undefined;
  }
  // One reservation per call of the core: a second one in the same call must not meet the first.
  lending = false;
  return current;
}

/** Opens the shared buffer to the next call of the core. */
export function lendOutput(): void {
  lending = true;
}

export function endLending(): void {
  lending = false;
}

/** True for bytes that lie in the shared buffer. */
export function isShared(bytes: Uint8Array): boolean {
  return current !== undefined && bytes.buffer === current.buffer;
}

/** The socket still holds the shared buffer: it is given away until `returnOutput`. */
export function giveOutput(): Buffer | undefined {
  const given = current;
  current = undefined;
  return given;
}

/** The socket is done with a buffer that was given away. */
export function returnOutput(buffer: Buffer): void {
  spare ??= buffer;
}

/** Plaintext bytes that are sealed in one step: seven full records, gathered into one write. */
export const OUTPUT_SLICE: number = 7 * 16_384;
/** Each record adds a header of 5, a type byte and a tag of 16 bytes. */
const OUTPUT_SIZE = OUTPUT_SLICE + 7 * 22;
/** Below this an allocation costs less than the bookkeeping, and a slow peer must not hold a large buffer for it. */
const WORTH_SHARING = 8_192;
