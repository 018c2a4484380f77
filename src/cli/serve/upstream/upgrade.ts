/**
 * WebSocket upgrades. Until the upstream server has said 101 it gets nothing from the client but the request, and its refusal
 * goes the way of every other answer; from then on bytes pass both ways, each end as it comes.
 *
 * RFC 9110 §7.8, RFC 6455 §4 and §7.1.1.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { plainResponse } from '../../../node/plain.ts';
import type { Exchange } from '../exchange.ts';
import type { UpstreamBooks } from './books.ts';
import { responseHeaders } from './hop-headers.ts';
import { type OwnOptions, otherProtocol, sendAlone } from './own-connection.ts';

export interface UpgradeOptions extends OwnOptions {
  readonly socket: Duplex;
  /** What the client said after its request. */
  readonly head: Buffer;
  readonly books: UpstreamBooks | undefined;
}

/** For the answers to an upgrade that are none; undefined when an earlier request on the connection still has no answer. */
export function upgradeExchange(request: IncomingMessage, socket: Duplex): Exchange | undefined {
  const response = plainResponse(request);
  try {
    response.assignSocket(socket as Socket);
  } catch {
    return undefined;
  }
  socket.on('drain', () => response.emit('drain'));
  response.once('finish', () => endSoon(socket));
  return { request, response };
}

export function forwardUpgrade({ socket, head, books, request, ...own }: UpgradeOptions, exchange: Exchange): void {
  const headers = [...request.headers, 'connection', 'upgrade', 'upgrade', 'websocket'];
  sendAlone(
    { ...own, request: { ...request, headers } },
    {
      onOpen: (outgoing) => outgoing.end(),
      onUpgrade(answer, upstream, upstreamHead) {
        if (socket.destroyed) {
          upstream.destroy();
          return;
        }
        if (answer.headers.upgrade?.toLowerCase() !== 'websocket') {
          upstream.destroy();
          own.handler.onResponseError(otherProtocol(), false);
          return;
        }
        exchange.response.detachSocket(socket as Socket);
        socket.write(headOf(answer.headers), 'latin1');
        upstream.unshift(upstreamHead);
        socket.unshift(head);
        join(socket as Socket, upstream);
        if (books !== undefined) {
          books.upgraded++;
          upstream.once('close', () => books.upgraded--);
        }
      },
    },
  );
}

function headOf(answer: IncomingHttpHeaders): string {
  let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
  for (const [name, value] of Object.entries(responseHeaders(answer, false))) {
    for (const one of Array.isArray(value) ? value : [value]) {
      head += `${name}: ${one}\r\n`;
    }
  }
  return `${head}\r\n`;
}

/** Bytes of each side go to the other until both have ended. A side that is cut off ends the other one too. */
function join(client: Socket, upstream: Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ]) {
    // RFC 6455 §7.1.1: who closes first still reads what the other says.
    from.allowHalfOpen = true;
    from.setTimeout(0);
    from.setNoDelay(true);
    // A peer that is gone without a word.
    from.setKeepAlive(true, KEEP_ALIVE);
    from.on('error', () => from.destroy());
    from.once('end', () => {
      // Some never end their own side.
      const linger = setTimeout(() => from.destroy(), LINGER);
      from.once('close', () => clearTimeout(linger));
    });
    from.once('close', () => endSoon(to));
    from.pipe(to);
  }
}

/** When what is written has left; a peer that does not take it is given up. */
function endSoon(socket: Duplex): void {
  if (socket.destroyed) {
    return;
  }
  const linger = setTimeout(() => socket.destroy(), LINGER);
  socket.once('close', () => clearTimeout(linger));
  if (socket.writableFinished) {
    socket.destroy();
    return;
  }
  socket.once('finish', () => socket.destroy());
  socket.end();
}

/** Milliseconds. */
const KEEP_ALIVE = 30_000;
/** Milliseconds that a half-closed connection may stay so. */
const LINGER = 30_000;
