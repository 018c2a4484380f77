/**
 * How ciphertext comes in: where the transport is a TCP socket, into one buffer per thread that the core reads in place,
 * so that a connection at rest holds no read buffer and no chunk is allocated per read. Anywhere else by 'data' events.
 *
 * A socket that we open ourselves gets the buffer by `net`'s public `onread` option. A socket that `net.Server` accepted
 * has no such option: it is given the buffer the way the option does it, if this Node has that way; if not, 'data'
 * events do the same work more slowly.
 */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

const owner: unique symbol = Symbol('owner');

/** What the transport's listeners call: they are shared by all connections and find theirs on the transport. */
export interface RawOwner {
  /** False stops reading. The bytes are valid only during the call. */
  receiveRaw(bytes: Uint8Array): boolean;
  rawEnded(): void;
  rawFailed(error: Error): void;
  rawClosed(): void;
  /** The transport takes more. */
  rawDrained(): void;
  emit(event: string, ...told: unknown[]): boolean;
}

type OwnedDuplex = Duplex & { [owner]: RawOwner };

/** Hands everything that happens on `raw` to `rawOwner`. */
export function listenTo(raw: Duplex, rawOwner: RawOwner): void {
  const owned = raw as OwnedDuplex;
  owned[owner] = rawOwner;
  if (!hasReadBuffer(raw) && !giveReadBuffer(raw)) {
    raw.on('data', onData);
  }
  raw.on('end', onEnd);
  raw.on('error', onError);
  raw.on('close', onClose);
  raw.on('drain', onDrain);
  raw.on('timeout', onTimeout);
}

/** Of a socket that we open, which `listenTo` had: what it tells of its way to the peer, `rawOwner` tells too. */
export function passOnOpening(raw: Socket): void {
  raw.on('lookup', onLookup);
  raw.on('connectionAttempt', onAttempt);
  raw.on('connectionAttemptFailed', onAttemptFailed);
  raw.on('connectionAttemptTimeout', onAttemptTimeout);
}

/** The `onread` option for sockets that we open. */
export function readOption(): { buffer: Uint8Array; callback: (nread: number, buffer: Uint8Array) => boolean } {
  readBuffer ??= new Uint8Array(READ_BUFFER_SIZE);
  onread ??= { buffer: readBuffer, callback: onRead };
  return onread;
}

function hasReadBuffer(raw: Duplex): boolean {
  // Without one, what has no such field at all would seem to have it.
  const { buffer } = socketFields ?? {};
  return (
    buffer !== undefined &&
    readBuffer !== undefined &&
    (raw as unknown as Record<symbol, unknown>)[buffer] === readBuffer
  );
}

function giveReadBuffer(raw: Duplex): boolean {
  if (
    !(raw instanceof Socket) ||
    socketFields === undefined ||
    raw.readableLength > 0 ||
    raw.listenerCount('data') > 0
  ) {
    return false;
  }
  const handle = (raw as unknown as { _handle?: { useUserBuffer?: (buffer: Uint8Array) => void } })._handle;
  if (typeof handle?.useUserBuffer !== 'function') {
    return false;
  }
  const { buffer, callback } = readOption();
  const fields = raw as unknown as Record<symbol, unknown>;
  fields[socketFields.buffer] = buffer;
  fields[socketFields.callback] = callback;
  handle.useUserBuffer(buffer);
  return true;
}

function onRead(this: unknown, nread: number, buffer: Uint8Array): boolean {
  return (this as OwnedDuplex)[owner].receiveRaw(buffer.subarray(0, nread));
}

function onData(this: Duplex, chunk: Uint8Array): void {
  if (!(this as OwnedDuplex)[owner].receiveRaw(chunk)) {
    this.pause();
  }
}

function onEnd(this: Duplex): void {
  (this as OwnedDuplex)[owner].rawEnded();
}

function onError(this: Duplex, error: Error): void {
  (this as OwnedDuplex)[owner].rawFailed(error);
}

function onClose(this: Duplex): void {
  (this as OwnedDuplex)[owner].rawClosed();
}

function onDrain(this: Duplex): void {
  (this as OwnedDuplex)[owner].rawDrained();
}

function onTimeout(this: Duplex): void {
  (this as OwnedDuplex)[owner].emit('timeout');
}

function onLookup(this: Duplex, ...told: unknown[]): void {
  (this as OwnedDuplex)[owner].emit('lookup', ...told);
}

function onAttempt(this: Duplex, ...told: unknown[]): void {
  (this as OwnedDuplex)[owner].emit('connectionAttempt', ...told);
}

function onAttemptFailed(this: Duplex, ...told: unknown[]): void {
  (this as OwnedDuplex)[owner].emit('connectionAttemptFailed', ...told);
}

function onAttemptTimeout(this: Duplex, ...told: unknown[]): void {
  (this as OwnedDuplex)[owner].emit('connectionAttemptTimeout', ...told);
}

interface SocketFields {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** The names under which a `net.Socket` keeps its `onread` option; undefined where this Node has others. */
const socketFields: SocketFields | undefined = findSocketFields();

function findSocketFields(): SocketFields | undefined {
  const buffer = new Uint8Array(1);
  const callback = () => true;
  const probe = new Socket({ onread: { buffer, callback } });
  const fields = probe as unknown as Record<symbol, unknown>;
  const symbols = Object.getOwnPropertySymbols(probe);
  const bufferField = symbols.find((symbol) => fields[symbol] === buffer);
  const callbackField = symbols.find((symbol) => fields[symbol] === callback);
  probe.destroy();
  return bufferField === undefined || callbackField === undefined
    ? undefined
    : { buffer: bufferField, callback: callbackField };
}

let readBuffer: Uint8Array | undefined;
let onread: { buffer: Uint8Array; callback: (nread: number, buffer: Uint8Array) => boolean } | undefined;
const READ_BUFFER_SIZE = 131_072;
