/**
 * The little of RFC 9000 that a test needs: variable-length integers, and frames as they come.
 *
 * RFC 9000 §16, §19.
 */

import { concat } from '../../src/bytes/bytes.ts';

export type Frame =
  | { readonly kind: 'ack' | 'ping' | 'padding' | 'handshakeDone' | 'other' }
  | { readonly kind: 'crypto'; readonly offset: number; readonly data: Uint8Array }
  | {
      readonly kind: 'stream';
      readonly id: number;
      readonly offset: number;
      readonly fin: boolean;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'close'; readonly code: number; readonly reason: string };

export function varint(value: number): Uint8Array {
  if (value < 0x40) {
    return new Uint8Array([value]);
  }
  if (value < 0x4000) {
    return new Uint8Array([0x40 | (value >> 8), value]);
  }
  return new Uint8Array([0x80 | (value >> 24), value >> 16, value >> 8, value]);
}

export class FrameReader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  varint(): number {
    const first = this.#bytes[this.at];
    const length = 1 << (first >> 6);
    let value = first & 0x3f;
    for (let i = 1; i < length; i++) {
      value = value * 256 + this.#bytes[this.at + i];
    }
    this.at += length;
    return value;
  }

  bytes(length: number): Uint8Array {
    if (length > this.#bytes.length - this.at) {
      throw new Error('a frame is longer than its packet');
    }
    this.at += length;
    return this.#bytes.slice(this.at - length, this.at);
  }

  frame(): Frame {
    const type = this.varint();
    if (type === 0x06) {
      const offset = this.varint();
      return { kind: 'crypto', offset, data: this.bytes(this.varint()) };
    }
    if (type >= 0x08 && type <= 0x0f) {
      const id = this.varint();
      const offset = (type & 4) === 0 ? 0 : this.varint();
      const length = (type & 2) === 0 ? this.#bytes.length - this.at : this.varint();
      return { kind: 'stream', id, offset, fin: (type & 1) === 1, data: this.bytes(length) };
    }
    if (type === 0x1c || type === 0x1d) {
      const code = this.varint();
      if (type === 0x1c) {
        this.varint();
      }
      return { kind: 'close', code, reason: new TextDecoder().decode(this.bytes(this.varint())) };
    }
    return this.#other(type);
  }

  #other(type: number): Frame {
    switch (type) {
      case 0x00:
        return { kind: 'padding' };
      case 0x01:
        return { kind: 'ping' };
      case 0x02:
      case 0x03:
        return this.#ack(type);
      case 0x07:
        this.bytes(this.varint());
        return { kind: 'other' };
      case 0x18:
        this.#skip(2);
        this.bytes(this.bytes(1)[0]);
        this.bytes(16);
        return { kind: 'other' };
      case 0x1a:
      case 0x1b:
        this.bytes(8);
        return { kind: 'other' };
      case 0x1e:
        return { kind: 'handshakeDone' };
      default:
        // MAX_… and …_BLOCKED; those of streams name one.
        this.#skip(counts[type]);
        return { kind: 'other' };
    }
  }

  #ack(type: number): Frame {
    this.#skip(2);
    const ranges = this.varint();
    this.#skip(1 + 2 * ranges + (type === 0x03 ? 3 : 0));
    return { kind: 'ack' };
  }

  #skip(count: number | undefined): void {
    if (count === undefined) {
      throw new Error('a frame of a type that this stack does not know');
    }
    for (let i = 0; i < count; i++) {
      this.varint();
    }
  }
}

/** Fields, all of them integers, of the frames that need no more than to be passed over. */
const counts: Readonly<Record<number, number>> = {
  4: 3,
  5: 2,
  16: 1,
  17: 2,
  18: 1,
  19: 1,
  20: 1,
  21: 2,
  22: 1,
  23: 1,
  25: 1,
};

export function cryptoFrame(offset: number, data: Uint8Array): Uint8Array {
  return concat(new Uint8Array([0x06]), varint(offset), varint(data.length), data);
}

export function streamFrame(id: number, data: Uint8Array, fin: boolean): Uint8Array {
  return concat(new Uint8Array([fin ? 0x0b : 0x0a]), varint(id), varint(data.length), data);
}

/** Of all that was received, so that nothing is sent again. */
export function ackFrame(received: ReadonlySet<number>): Uint8Array {
  const sorted = [...received].sort((a, b) => b - a);
  const ranges: { high: number; low: number }[] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && last.low === number + 1) {
      last.low = number;
    } else {
      ranges.push({ high: number, low: number });
    }
  }
  const [first, ...rest] = ranges;
  const parts = [varint(first.high), varint(0), varint(rest.length), varint(first.high - first.low)];
  let previous = first;
  for (const range of rest) {
    parts.push(varint(previous.low - range.high - 2), varint(range.high - range.low));
    previous = range;
  }
  return concat(new Uint8Array([0x02]), ...parts);
}

export const HANDSHAKE_DONE: Uint8Array = new Uint8Array([0x1e]);

/** CONNECTION_CLOSE of the transport. */
export function closeFrame(code: number): Uint8Array {
  return concat(new Uint8Array([0x1c]), varint(code), varint(0x06), varint(0));
}

/** `parameter ‖ length ‖ value`, the value bytes or one integer (RFC 9000 §18). */
export function transportParameters(list: readonly (readonly [number, Uint8Array | number])[]): Uint8Array {
  return concat(
    ...list.map(([id, value]) => {
      const bytes = typeof value === 'number' ? varint(value) : value;
      return concat(varint(id), varint(bytes.length), bytes);
    }),
  );
}

/** The parameters of a peer, by number. */
export function readTransportParameters(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const reader = new FrameReader(bytes);
  const parameters = new Map<number, Uint8Array>();
  while (!reader.done) {
    const id = reader.varint();
    parameters.set(id, reader.bytes(reader.varint()));
  }
  return parameters;
}
