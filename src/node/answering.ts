/**
 * When the silence of a connection is the server's own: an answer takes its time, or the application has taken the connection
 * over and looks after it. A client that does not take what is there for it is waited for no longer than an idle one.
 */

import type { ServerResponse } from 'node:http';
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import { Roster } from './roster.ts';
import type { TLSSocket } from './tls-socket.ts';

/** On the socket: from the table of a WeakMap, V8's small collections would take them for alive after the socket's end. */
const STREAMS = Symbol('streams');

interface Streaming {
  [STREAMS]?: Roster<ServerHttp2Stream>;
}

/** For each session of HTTP/2 over `socket`, before it has streams. */
export function watchStreams(session: Http2Session, socket: TLSSocket): void {
  const open = new Roster<ServerHttp2Stream>();
  (socket as Streaming)[STREAMS] = open;
  session.on('stream', (stream: ServerHttp2Stream) => {
    const place = open.enter(stream);
    stream.once('close', () => open.leave(place));
  });
}

export function isOurTurn(socket: TLSSocket): boolean {
  return socket.timeless || (socket.bufferSize === 0 && (isAnswering1(socket) || isAnswering2(socket)));
}

/** Of HTTP/1: the request was read whole, and its answer takes its time. */
function isAnswering1(socket: TLSSocket): boolean {
  const { _httpMessage: response } = socket as { _httpMessage?: ServerResponse | null };
  return response?.req?.complete === true;
}

/**
 * Of HTTP/2: an answer is due or was begun, and no stream has anything that the client would have to make room for. A session
 * that leaves unread what came has stopped for good: Node 20 does so after some errors, and then notices no end either.
 */
function isAnswering2(socket: TLSSocket): boolean {
  const streams = [...((socket as Streaming)[STREAMS] ?? [])];
  const isRead = socket.readableLength === 0;
  return isRead && streams.some(isAnswered) && streams.every(({ writableLength }) => writableLength === 0);
}

/** What was ended, or is sent from a file, is the client's to take. One that is begun may run beside the request, as in gRPC. */
function isAnswered(stream: ServerHttp2Stream): boolean {
  return !stream.writableEnded && (stream.headersSent || stream.state.remoteClose === 1);
}
