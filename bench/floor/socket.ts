/**
 * One end of the floor on a `net.Socket`: flights and records in and out by the cheapest ways that `net` has. What arrives is
 * cut by its lengths alone. Bytes are read into one static buffer and written past the stream's queue, as ours does it too.
 */

import type { Socket } from 'node:net';
import { listenTo, type RawOwner } from '../../src/node/raw-reader.ts';
import { type Direction, type End, FLIGHT_ROOM, HEADER, type Traffic } from './kinds.ts';

export abstract class FloorSocket implements RawOwner {
  readonly raw: Socket;
  protected traffic: Traffic | undefined;
  /** Of a server, once it knows the kind of handshake. */
  protected end: End | undefined;
  /** Writes that the kernel has not taken yet. */
  protected held = 0;
  readonly #onWritten: (error?: Error | null) => void;
  #kept: Uint8Array | undefined;
  #keptLength = 0;

  protected constructor(raw: Socket) {
    this.raw = raw;
    this.#onWritten = (error) => this.#written(error);
    listenTo(raw, this);
  }

  /** The handshake is done. */
  protected abstract secured(): void;
  /** A record was opened: its content, and `tail` bytes that belong to the record. An allocation of its own. */
  protected abstract received(content: Uint8Array): void;
  /** The transport has taken all, but not at once. */
  protected drained(): void {}
  /** Of a server: the kind of its handshake by what came first. */
  protected choose(_hello: Uint8Array): End {
    throw new Error('the floor has no end');
  }

  receiveRaw(bytes: Uint8Array): boolean {
    if (this.traffic !== undefined) {
      this.#cut(bytes, 0, this.traffic.receive);
      return true;
    }
    this.#handshake(bytes);
    return true;
  }

  abstract rawClosed(): void;
  rawEnded(): void {}
  rawDrained(): void {}
  rawFailed(error: Error): void {
    // The other end is this code: a failure is the bench's, and ends the process.
    throw error;
  }

  emit(): boolean {
    return false;
  }

  protected write(bytes: Uint8Array): void {
    this.held++;
    this.raw._write(bytes, 'buffer' as BufferEncoding, this.#onWritten);
  }

  /** What `fill` writes into the shared buffer. */
  protected writeFlight(fill: (out: Uint8Array) => number): void {
    this.writeShared(fill(shared));
  }

  /** Content alone, sealed into the shared buffer. */
  protected send(type: number, content: Uint8Array): void {
    const { send } = this.traffic as Traffic;
    let inner = content;
    if (send.tail > 0) {
      inner = scratch.subarray(0, content.length + 1);
      inner.set(content);
      inner[content.length] = type;
    }
    this.writeShared(send.seal(type, inner, shared, 0));
  }

  /** That many bytes of the shared buffer; another takes its place where the kernel does not take them at once. */
  protected writeShared(length: number): void {
    this.write(shared.subarray(0, length));
    if (this.held > 0) {
      shared = new Uint8Array(SHARED);
    }
  }

  #written(error?: Error | null): void {
    this.held--;
    if (error) {
      this.raw.destroy();
    } else if (this.held === 0) {
      this.drained();
    }
  }

  #handshake(arrived: Uint8Array): void {
    let bytes = arrived;
    if (this.#keptLength > 0) {
      bytes = Buffer.concat([(this.#kept as Uint8Array).subarray(0, this.#keptLength), arrived]);
      this.#keptLength = 0;
    }
    let at = 0;
    this.end ??= this.choose(bytes);
    const { end } = this;
    while (end.traffic === undefined) {
      if (at === bytes.length) {
        return;
      }
      const next = at + end.awaits;
      if (bytes.length < next) {
        this.#keep(bytes, at);
        return;
      }
      const length = end.take(at === 0 && bytes.length === next ? bytes : bytes.subarray(at, next), shared);
      at = next;
      if (length > 0) {
        this.writeShared(length);
      }
    }
    this.traffic = end.traffic;
    this.secured();
    if (at < bytes.length) {
      this.#cut(bytes, at, this.traffic.receive);
    }
  }

  #cut(bytes: Uint8Array, from: number, direction: Direction): void {
    let at = this.#keptLength > 0 ? this.#complete(bytes, from, direction) : from;
    const end = bytes.length;
    while (end - at >= HEADER) {
      const next = at + HEADER + ((bytes[at + 3] << 8) | bytes[at + 4]);
      if (next > end) {
        break;
      }
      const content = direction.open(bytes, at, next);
      at = next;
      this.received(content);
    }
    if (at < end) {
      this.#keep(bytes, at);
    }
  }

  /** What was kept becomes a whole record; returns where the next one begins. */
  #complete(bytes: Uint8Array, from: number, direction: Direction): number {
    const kept = this.#kept as Uint8Array;
    let at = this.#fill(bytes, from, HEADER);
    if (this.#keptLength < HEADER) {
      return at;
    }
    const length = HEADER + ((kept[3] << 8) | kept[4]);
    at = this.#fill(bytes, at, length);
    if (this.#keptLength === length) {
      this.#keptLength = 0;
      this.received(direction.open(kept, 0, length));
    }
    return at;
  }

  #fill(bytes: Uint8Array, at: number, wanted: number): number {
    const taken = Math.max(0, Math.min(wanted - this.#keptLength, bytes.length - at));
    (this.#kept as Uint8Array).set(bytes.subarray(at, at + taken), this.#keptLength);
    this.#keptLength += taken;
    return at + taken;
  }

  #keep(bytes: Uint8Array, at: number): void {
    this.#kept ??= new Uint8Array(KEPT);
    this.#kept.set(at === 0 ? bytes : bytes.subarray(at), 0);
    this.#keptLength = bytes.length - at;
  }
}

/** A record of the greatest length. */
const KEPT = 16_384 + 64;
/** One flight, or a record of a message that is not cut. */
const SHARED = FLIGHT_ROOM;
let shared = new Uint8Array(SHARED);
const scratch = new Uint8Array(SHARED);

export const ALERT = 21;
export const APPLICATION_DATA = 23;
export const CLOSE_NOTIFY: Uint8Array = Uint8Array.of(1, 0);
