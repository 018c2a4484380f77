/**
 * Bulk data and streams of the floor, in the shape of `rows/transfer.ts`.
 *
 *     client → server: uint32 size of each write, once; then the server writes until the client hangs up
 *
 * Large writes are sealed record by record into one static buffer, small ones are gathered where they are sealed from. Both
 * leave when they are twelve records, or at the next tick: fewer writes wake the other end less often, which in bulk is
 * worth a tenth (ours writes what it has been given: seven records at most).
 */

import type { Socket } from 'node:net';
import { giveBack } from '../../src/bytes/give-back.ts';
import type { BenchCertificate } from '../certificate.ts';
import type { Driver, WorkloadName } from '../workload.ts';
import type { ServerOptions } from './ends.ts';
import type { ClientEnd, Traffic } from './kinds.ts';
import { type ClientPlace, ClientSocket, endMaker, kindOf, listen, ServerSocket, serverOptions } from './place.ts';
import { APPLICATION_DATA } from './socket.ts';

export function serveTransfers(workload: WorkloadName, certificate: BenchCertificate): Promise<number> {
  const options = serverOptions(workload, certificate);
  return listen((raw) => new TransferServer(raw, options));
}

export function transferDriver(place: ClientPlace): Driver {
  const make = endMaker(place);
  return (ms, options) =>
    new Promise((resolve) => {
      const wanted = options.bytes === undefined ? Number.POSITIVE_INFINITY : Number(options.bytes);
      new TransferClient(place.port, make(kindOf(place, options)), {
        writeSize: Number(options.writeSize),
        wanted,
        ms,
        done: (received, elapsed) => {
          const count = received / 1e6;
          resolve({ count, seconds: elapsed / 1000, total: count });
        },
      });
    });
}

interface Transfer {
  readonly writeSize: number;
  readonly wanted: number;
  readonly ms: number;
  done(received: number, elapsed: number): void;
}

class TransferClient extends ClientSocket {
  readonly #transfer: Transfer;
  #received = 0;
  #begin = 0;
  #isDone = false;

  constructor(port: number, end: ClientEnd, transfer: Transfer) {
    super(port, end);
    this.#transfer = transfer;
  }

  override receiveRaw(bytes: Uint8Array): boolean {
    if (this.#isDone) {
      return false;
    }
    super.receiveRaw(bytes);
    this.#look();
    return !this.#isDone;
  }

  rawClosed(): void {
    if (!this.#isDone) {
      throw new Error('a transfer of the floor was closed in the middle');
    }
  }

  override rawFailed(error: Error): void {
    if (!this.#isDone) {
      throw error;
    }
  }

  protected secured(): void {
    const request = new Uint8Array(4);
    new DataView(request.buffer).setUint32(0, this.#transfer.writeSize);
    this.send(APPLICATION_DATA, request);
  }

  /** What was opened is lent to whoever counts it, and given back. */
  protected received(content: Uint8Array): void {
    this.#received += content.length - 1;
    giveBack(content);
  }

  /** The first piece starts the watch and does not count. */
  #look(): void {
    if (this.#received === 0) {
      return;
    }
    if (this.#begin === 0) {
      this.#begin = performance.now();
      this.#received = 0;
      return;
    }
    const { wanted, ms, done } = this.#transfer;
    const elapsed = performance.now() - this.#begin;
    if (this.#received >= wanted || elapsed >= ms) {
      this.#isDone = true;
      done(this.#received, elapsed);
      this.raw.destroy();
    }
  }
}

class TransferServer extends ServerSocket {
  #chunk: Uint8Array | undefined;
  #pumping = false;
  #stage: Stage | undefined;
  #flushDue = false;
  /** Bytes of large writes that are sealed and wait in the buffer. */
  #sealed = 0;
  readonly #out = new Uint8Array(BATCH * (RECORD + OVERHEAD));
  readonly #flushSoon = (): void => {
    this.#flushDue = false;
    this.#flush();
  };

  constructor(raw: Socket, options: ServerOptions) {
    super(raw, options);
  }

  override rawFailed(): void {
    // The client hangs up when it has enough.
  }

  protected secured(): void {}

  /** The request. */
  protected received(content: Uint8Array): void {
    const size = new DataView(content.buffer, content.byteOffset).getUint32(0);
    if (size > RECORD ? size % RECORD !== 0 || size > BATCH * RECORD : RECORD % size !== 0) {
      throw new Error(`the floor does not write in pieces of ${size} bytes`);
    }
    this.#chunk = new Uint8Array(size).fill(0x61);
    this.#stage = size < RECORD ? new Stage() : undefined;
    this.drained();
  }

  protected override drained(): void {
    if (this.#pumping || this.#chunk === undefined) {
      return;
    }
    this.#pumping = true;
    while (!this.raw.destroyed && this.#write(this.#chunk));
    this.#pumping = false;
  }

  /** False when the kernel has not taken all: `drained` follows. */
  #write(chunk: Uint8Array): boolean {
    const isFull = this.#stage?.add(chunk) ?? this.#sealLarge(chunk);
    if (isFull) {
      this.#flush();
    } else if (!this.#flushDue) {
      this.#flushDue = true;
      process.nextTick(this.#flushSoon);
    }
    return this.held === 0;
  }

  /** True when the buffer has no room for as much again. */
  #sealLarge(chunk: Uint8Array): boolean {
    const { send } = this.traffic as Traffic;
    const out = this.#out;
    const begin = this.#sealed;
    let end = begin;
    for (let at = 0; at < chunk.length; at += RECORD) {
      inner.set(chunk.subarray(at, at + RECORD));
      end = send.seal(APPLICATION_DATA, inner, out, end);
    }
    this.#sealed = end;
    return 2 * end - begin > out.length;
  }

  #flush(): void {
    const out = this.#out;
    let end = this.#sealed;
    if (this.#stage !== undefined) {
      const { send } = this.traffic as Traffic;
      for (const record of this.#stage.take()) {
        end = send.seal(APPLICATION_DATA, record, out, end);
      }
    }
    this.#sealed = 0;
    if (end > 0) {
      this.write(end === out.length ? out : out.subarray(0, end));
    }
  }
}

/** Small writes, each copied once to where it is sealed from. */
class Stage {
  length = 0;
  readonly #records = Array.from({ length: BATCH }, emptyRecord);

  /** True when it is full. */
  add(chunk: Uint8Array): boolean {
    const { length } = this;
    this.#records[Math.floor(length / RECORD)].set(chunk, length % RECORD);
    this.length = length + chunk.length;
    return this.length === BATCH * RECORD;
  }

  /** Contents with their type. */
  take(): readonly Uint8Array[] {
    const { length } = this;
    this.length = 0;
    if (length === 0) {
      return [];
    }
    if (length === BATCH * RECORD) {
      return this.#records;
    }
    const last = Math.floor(length / RECORD);
    const rest = this.#records[last].slice(0, (length % RECORD) + 1);
    rest[rest.length - 1] = APPLICATION_DATA;
    return [...this.#records.slice(0, last), rest];
  }
}

function emptyRecord(): Uint8Array {
  const record = new Uint8Array(RECORD + 1);
  record[RECORD] = APPLICATION_DATA;
  return record;
}

/** Bytes of a full record, records that leave in one write, and what each adds in TLS 1.3. */
const RECORD = 16_384;
const BATCH = 12;
const OVERHEAD = 22;
const inner = emptyRecord();
