/**
 * The messages without a body: HelloRequest, by which a server asks for renegotiation and which no transcript covers, and
 * ServerHelloDone.
 *
 *     struct { } HelloRequest;
 *     struct { } ServerHelloDone;
 *
 * RFC 5246 §7.4.1.1, §7.4.5.
 */

import { EMPTY } from '../../bytes/bytes.ts';
import { Reader } from '../../bytes/reader.ts';
import { frame } from '../handshake-message.ts';

/** The whole handshake message. */
export function encodeHelloRequest(): Uint8Array {
  return frame('hello_request', EMPTY);
}

/** @throws TLSError `TLS_ERR_DECODE` unless the body is empty */
export function decodeHelloRequest(body: Uint8Array): void {
  new Reader(body, 'HelloRequest').end();
}

/** The whole handshake message. */
export function encodeServerHelloDone(): Uint8Array {
  return frame('server_hello_done', EMPTY);
}

/** @throws TLSError `TLS_ERR_DECODE` unless the body is empty */
export function decodeServerHelloDone(body: Uint8Array): void {
  new Reader(body, 'ServerHelloDone').end();
}
