/**
 * Stands between a connection and undici, for two things that undici does not bear. It takes `100 Continue` out of what the
 * upstream server sends: it may come unasked, and undici ends the connection at it. And it holds back what comes while the
 * client is not ready for more: undici's own pause ends the process when the connection then ends or breaks in an answer
 * without a length.
 *
 *   response = *( 1xx-status-line headers CRLF )  final-status-line headers CRLF  body
 *
 * RFC 9110 §15.2: a proxy that asked for no 1xx response must cope with it; §15.2.1: 100 says only "go on". Other 1xx
 * responses go through, as undici knows them.
 */

import type { Socket } from 'node:net';

export class UpstreamReading {
  readonly #socket: Socket;
  #awaitsHead = false;
  #isHeld = false;
  /** The beginning of a head that is not all here. */
  #held: Buffer | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const read = socket.read;
    // Not assigned as it is written: such a function V8 puts into the old generation, where it outlives the connection.
    const guarded: Socket['read'] = (size) => {
      if (this.#isHeld) {
        return null;
      }
      const chunk = read.call(socket, size);
      return this.#awaitsHead && chunk !== null ? this.pass(chunk) : chunk;
    };
    socket.read = guarded;
  }

  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    if (this.#isHeld) {
      this.#isHeld = false;
      process.nextTick(readOn, this.#socket);
    }
  }

  /** The answer is over: nothing of it is left to be held back. */
  endAnswer(): void {
    this.#isHeld = false;
  }

  /** A request leaves: what comes next is the head of a response. */
  expectHead(): void {
    this.#awaitsHead = true;
    this.#held = undefined;
  }

  /** What of these bytes is for undici; null: nothing, for now. */
  pass(chunk: Buffer): Buffer | null {
    let rest = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = undefined;
    const kept: Buffer[] = [];
    while (mayBeInterim(rest)) {
      const end = rest.length < STATUS_LINE.length ? -1 : rest.indexOf(END_OF_HEAD);
      if (end < 0 && rest.length < MAX_HEAD) {
        this.#held = rest;
        return kept.length === 0 ? null : Buffer.concat(kept);
      }
      const status = rest.toString('latin1', 9, 13);
      if (end < 0 || /^101/.test(status) || !/^1\d\d[ \r]$/.test(status)) {
        // After 101 it is another protocol; the rest is no head that we know.
        break;
      }
      if (!status.startsWith('100')) {
        kept.push(rest.subarray(0, end + END_OF_HEAD.length));
      }
      rest = rest.subarray(end + END_OF_HEAD.length);
    }
    this.#awaitsHead = false;
    return kept.length === 0 ? rest : Buffer.concat([...kept, rest]);
  }
}

/** undici listens to this. It reads up to the end, if that has come. */
function readOn(socket: Socket): void {
  socket.emit('readable');
}

/** True also of nothing: an interim response may follow. */
function mayBeInterim(bytes: Buffer): boolean {
  for (let i = 0; i < STATUS_LINE.length && i < bytes.length; i++) {
    // 0: any minor version.
    if (STATUS_LINE[i] !== 0 && bytes[i] !== STATUS_LINE[i]) {
      return false;
    }
  }
  return true;
}

const STATUS_LINE = Buffer.from('HTTP/1.\0 1', 'latin1');
const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');
/** A server that never ends a head must not fill our memory. As much as Node's HTTP allows a head. */
const MAX_HEAD = 16_384;
