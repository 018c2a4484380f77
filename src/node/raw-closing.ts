/**
 * The end of a transport after a fatal alert. Closing a TCP socket that holds unread bytes makes the kernel send a
 * reset, and the peer may then lose the alert that says why: so the writing side is ended first, and what still comes
 * is thrown away for a moment.
 */

import type { Duplex } from 'node:stream';

/** Ends the transport, and destroys it when the peer ends too or after a second. */
export function closeGently(raw: Duplex): void {
  const timer = setTimeout(destroy, LINGER_MS, raw);
  timer.unref();
  raw.once('close', () => clearTimeout(timer));
  raw.once('end', () => raw.destroy());
  if (!raw.writableEnded) {
    raw.end();
  }
  if (raw.readableEnded) {
    raw.destroy();
  } else {
    raw.resume();
  }
}

/** Destroys a stream that has data left, when that has been read. */
export function destroyOnceRead(stream: Duplex, error: Error): void {
  const { read } = stream;
  stream.read = (size?: number) => {
    const chunk = read.call(stream, size);
    if (stream.readableLength === 0) {
      process.nextTick(() => stream.destroy(error));
    }
    return chunk;
  };
}

/** True when the first bytes from a client look like an HTTP/1 request. */
export function isPlainHttp(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length && at < LONGEST_METHOD && bytes[at] >= 0x41 && bytes[at] <= 0x5a) {
    at++;
  }
  return at > 0 && (at === bytes.length || bytes[at] === 0x20);
}

/** The readable answer to a browser that was sent to the TLS port with `http://`. */
export function plainHttpAnswer(): string {
  const body =
    '<!doctype html><title>400 The plain HTTP request was sent to an HTTPS port</title>\n' +
    '<h1>400 Bad Request</h1>\n<p>This port speaks HTTPS: use an address that begins with <code>https://</code>.</p>\n';
  return [
    'HTTP/1.1 400 Bad Request',
    'Content-Type: text/html; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function destroy(raw: Duplex): void {
  raw.destroy();
}

const LINGER_MS = 1_000;
const LONGEST_METHOD = 16;
