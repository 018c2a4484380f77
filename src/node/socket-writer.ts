/**
 * The writing side of a TLSSocket: plaintext is gathered, or waits, and is sealed at the transport's pace.
 *
 * Small writes of one turn of the event loop leave in one record, at the next tick; larger ones are sealed at once, in
 * slices, for as long as the transport takes them.
 */

import type { Duplex, DuplexOptions } from 'node:stream';
import { concat } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { Gathered, type WriteCallback } from './gathered.ts';
import { OUTPUT_SLICE } from './output-buffer.ts';
import { cutOff, SocketSealer } from './socket-sealer.ts';

export type Callback = (error?: Error | null) => void;

/** Writes that wait: for the handshake, or for the transport to take more. */
interface Waiting {
  readonly chunks: readonly Uint8Array[];
  readonly callback: Callback;
}

export abstract class SocketWriter extends SocketSealer {
  /** From the start to the end of the handshake. */
  secureConnecting = true;
  /**
   * Server: what is read now is early data, or comes with it: the client has not shown yet that it is there, and it may all be
   * a recording. True up to the end of the handshake.
   */
  earlyData = false;
  /** While what arrived is being handed on: what is written in between leaves at its end. */
  protected receiving = false;
  /** The small writes of this turn. */
  #gathered: Gathered | undefined;
  #flushDue = false;
  #waiting: Waiting | undefined;
  #finishing: Callback | undefined;
  #saidAll = false;

  protected constructor(raw: Duplex | undefined, options: DuplexOptions) {
    super(raw, options);
  }

  /** Bytes given to `write`, sent or waiting. */
  get bytesWritten(): number {
    return this.plaintextOut + (this.#gathered?.length ?? 0) + this.writableLength;
  }

  /**
   * A small write when nothing waits goes past the stream's own accounts: nothing of it would stay in them. So the head, the
   * body and the end of an HTTP response, which are three writes, cost little more than one.
   */
  override write(chunk: unknown, callback?: WriteCallback): boolean;
  override write(chunk: unknown, encoding?: BufferEncoding, callback?: WriteCallback): boolean;
  override write(chunk: unknown, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean {
    const isBytes = chunk instanceof Uint8Array;
    const isText = typeof chunk === 'string' && (encoding === 'latin1' || encoding === 'utf8');
    if ((isBytes || isText) && chunk.length < DIRECT_LENGTH && this.#takesAtOnce) {
      this.#gather(chunk, encoding === 'latin1' ? 'latin1' : 'utf8');
      const done = typeof encoding === 'function' ? encoding : callback;
      if (typeof done === 'function') {
        this.#whenSealed(done);
      }
      return true;
    }
    return super.write(chunk, encoding as BufferEncoding, callback);
  }

  /** What was gathered before waits too, perhaps for longer than until its callback comes. */
  override cork(): void {
    super.cork();
    this.#gathered?.own();
  }

  /** What was gathered meanwhile leaves with what the stream kept. */
  override uncork(): void {
    super.uncork();
    if (this.#flushDue && !this.receiving && this.writableCorked === 0) {
      process.nextTick(flushGathered, this);
    }
  }

  /** The stream holds nothing and is open, and neither the handshake nor the transport holds anything up. */
  get #takesAtOnce(): boolean {
    return (
      this.writableLength === 0 && this.#waiting === undefined && this.writable && !this.secureConnecting && !this.#busy
    );
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: Callback): void {
    if (this.secureConnecting || this.#busy) {
      this.#waiting = { chunks: [chunk], callback };
      this.#limitHold();
      return;
    }
    if (chunk.length < DIRECT_LENGTH) {
      this.#gather(chunk);
      this.#taken(callback);
      return;
    }
    this.#send([chunk], callback);
  }

  override _writev(chunks: { chunk: Uint8Array }[], callback: Callback): void {
    const list = chunks.map(({ chunk }) => chunk);
    if (this.secureConnecting || this.#busy) {
      this.#waiting = { chunks: list, callback };
      return;
    }
    this.#send(list, callback);
  }

  override _final(callback: Callback): void {
    // An end on the heels of an answer to early data might overtake the client's Finished, and cut the answer off.
    if (this.secureConnecting || this.earlyData) {
      this.#finishing = callback;
      return;
    }
    this.flush();
    const { connection, raw } = this;
    if (connection?.holdsData === true) {
      this.#finishing = callback;
      this.#limitHold();
      return;
    }
    if (connection === undefined || raw === undefined || raw.destroyed) {
      callback();
      return;
    }
    this.#saidAll = true;
    this.transmit(connection.close());
    // A transport that fails tells by 'error', one that is destroyed meanwhile by 'close'; its owner may have ended it already.
    raw.end((error?: Error | null) => {
      if (!error || !raw.destroyed) {
        callback();
      }
    });
  }

  /** What was written before the handshake, to be sent as early data; undefined unless it is all there and no more than `max`. */
  protected earlyWrites(max: number): Uint8Array | undefined {
    const chunks = this.#waiting?.chunks ?? [];
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    return length > 0 && length <= max && length === this.writableLength ? concat(...chunks) : undefined;
  }

  /** It was taken: it does not go out again. */
  protected earlyWritesTaken(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.plaintextOut += waiting?.chunks.reduce((sum, chunk) => sum + chunk.length, 0) ?? 0;
    waiting?.callback();
  }

  /** The handshake, or a renegotiation, is over: what waited for it goes out. */
  protected release(): void {
    if (this.isCutOff && this.#waiting !== undefined && this.#waiting.chunks.length > 0) {
      this.crash(cutOff());
      return;
    }
    this.rawDrained();
    const finishing = this.#finishing;
    if (finishing !== undefined && !this.destroyed) {
      this.#finishing = undefined;
      this._final(finishing);
    }
  }

  /** The transport takes more. */
  rawDrained(): void {
    this.returnOutputs();
    const waiting = this.#waiting;
    if (waiting !== undefined && !this.secureConnecting && !this.destroyed) {
      this.#waiting = undefined;
      this.#send(waiting.chunks, waiting.callback);
    }
  }

  /**
   * On the way out: what was accepted leaves, where the transport takes it at once; after an error too, as answers to bad
   * requests are written and the socket then destroyed with the reason. That it was all, the peer learns without one.
   */
  protected endWriting(error: Error | null): Callback | undefined {
    const { connection, raw } = this;
    // The alert, when sealing has failed.
    this.sendAhead();
    if (connection?.canSend && raw !== undefined && !raw.destroyed && !connection.holdsData && !this.rawIsFull) {
      this.flush();
      if (error === null) {
        this.transmit(connection.close());
      }
    }
    this.#gathered?.clear(error ?? destroyedUnsent());
    this.#gathered = undefined;
    const callback = this.#waiting?.callback;
    this.#waiting = undefined;
    return callback;
  }

  /** Seals and sends what was gathered. */
  flush(): void {
    this.#flushDue = false;
    const gathered = this.#gathered;
    if (gathered !== undefined) {
      this.#gathered = undefined;
      this.seal(gathered.bytes());
      gathered.clear(this.errored ?? undefined);
    }
  }

  /** There is something to be flushed, and no cork holds it. */
  get flushDue(): boolean {
    return this.#flushDue && this.writableCorked === 0;
  }

  protected override get saidAll(): boolean {
    return this.#saidAll;
  }

  protected override get holdsWrites(): boolean {
    return this.#waiting !== undefined;
  }

  /** What waits for the end of a renegotiation must not wait for ever. */
  #limitHold(): void {
    if (this.connection?.holdsData === true) {
      this.limitHandshake();
    }
  }

  /** The transport has not taken what it was given: more must wait. */
  get #busy(): boolean {
    const { raw, connection } = this;
    if (connection?.holdsData === true) {
      // A TLS 1.2 renegotiation is under way: the core would only keep what it is given.
      return true;
    }
    return raw === undefined || this.rawIsFull || this.burstIsLong;
  }

  protected abstract limitHandshake(): void;

  /** Sends chunk by chunk while the transport takes them; what is left waits. */
  #send(chunks: readonly Uint8Array[], callback: Callback): void {
    this.sealing = true;
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i];
      if (chunk.length < DIRECT_LENGTH || (this.#gathered !== undefined && chunk.length <= FULL_RECORD)) {
        this.#gather(chunk);
        continue;
      }
      // What was gathered before it leaves in a record of its own, and in one write with it.
      this.keepAhead(() => this.flush());
      const sent = this.#sealWhileTaken(chunk);
      this.sendAhead();
      if (this.destroyed) {
        // Sealing has failed, or the transport: nobody else knows of this write.
        this.sealing = false;
        callback(this.errored ?? destroyedUnsent());
        return;
      }
      const rest = chunk.length - sent;
      if (rest > 0 || (this.#busy && i + 1 < chunks.length)) {
        const left = chunks.slice(i + 1);
        this.#waiting = { chunks: rest > 0 ? [chunk.subarray(sent), ...left] : left, callback };
        this.sealing = false;
        return;
      }
    }
    this.sealing = false;
    if (this.#busy) {
      this.#waiting = { chunks: [], callback };
      return;
    }
    this.#gathered?.own();
    this.#taken(callback);
  }

  /** For the stream's own accounts; not before the callbacks of writes that went past them. */
  #taken(callback: Callback): void {
    const gathered = this.#gathered;
    if (gathered?.awaited === true) {
      gathered.whenSealed(callback);
    } else {
      callback();
    }
  }

  #sealWhileTaken(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && !this.#busy && !this.destroyed) {
      const end = Math.min(chunk.length, at + OUTPUT_SLICE);
      this.seal(at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end));
      at = end;
    }
    return at;
  }

  #gather(chunk: Uint8Array | string, encoding: 'latin1' | 'utf8' = 'latin1'): void {
    if (chunk.length === 0) {
      return;
    }
    this.#gathered ??= new Gathered();
    if (!addTo(this.#gathered, chunk, encoding)) {
      this.flush();
      this.#gathered = new Gathered();
      addTo(this.#gathered, chunk, encoding);
    }
    if (!this.#flushDue) {
      this.#flushDue = true;
      if (!this.receiving && this.writableCorked === 0) {
        process.nextTick(flushGathered, this);
      }
    }
  }

  #whenSealed(callback: WriteCallback): void {
    if (this.#gathered === undefined) {
      process.nextTick(callback);
    } else {
      this.#gathered.whenSealed(callback);
    }
  }
}

function destroyedUnsent(): TLSError {
  return new TLSError('TLS_ERR_WRONG_STATE', 'the socket was destroyed before this was sent');
}

/** At the next tick; unless a larger write has flushed in the meantime. */
function flushGathered(writer: SocketWriter): void {
  if (writer.flushDue) {
    writer.flush();
  }
}

function addTo(gathered: Gathered, chunk: Uint8Array | string, encoding: 'latin1' | 'utf8'): boolean {
  return typeof chunk === 'string' ? gathered.addText(chunk, encoding) : gathered.add(chunk);
}

/** From here on a write fills enough of a record to be sealed by itself. */
const DIRECT_LENGTH = 8_192;
const FULL_RECORD = 16_384;
