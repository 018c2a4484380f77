/**
 * WebSocket upgrades. Until the upstream server has said 101, and that it took up this handshake, it gets nothing from the
 * client but the request, and its refusal goes the way of every other answer; from then on bytes pass both ways, each end as it
 * comes.
 *
 * RFC 9110 §7.8, RFC 6455 §4 and §7.1.1.
 */

import type { OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Exchange, endSoon, LINGER } from '../exchange.ts';
import type { UpstreamBooks } from './books.ts';
import { responseHeaders } from './hop-headers.ts';
import { type OwnOptions, otherProtocol, sendAlone } from './own-connection.ts';
import { acceptOf } from './websocket-key.ts';

export interface UpgradeOptions extends OwnOptions {
  readonly socket: Duplex;
  /** `Sec-WebSocket-Key` of the client. */
  readonly key: string;
  /** What the client said after its request. */
  readonly head: Buffer;
  readonly books: UpstreamBooks | undefined;
}

export function forwardUpgrade(
  { socket, key, head, books, request, ...own }: UpgradeOptions,
  exchange: Exchange,
): void {
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
        const refused =
          answer.headers.upgrade?.toLowerCase() !== 'websocket'
            ? otherProtocol()
            : answer.headers['sec-websocket-accept'] !== acceptOf(key)
              ? new Error('its Sec-WebSocket-Accept does not answer the key')
              : undefined;
        if (refused !== undefined) {
          upstream.destroy();
          own.handler.onResponseError(refused, false);
          return;
        }
        const { response } = exchange;
        response.detachSocket(socket as Socket);
        socket.write(headOf({ ...response.getHeaders(), ...responseHeaders(answer.headers, false) }), 'latin1');
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

function headOf({ 'content-length': _, ...headers }: OutgoingHttpHeaders): string {
  // RFC 9110 §8.6: a 101 has no length.
  let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
  for (const [name, value] of Object.entries(headers)) {
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

/** Milliseconds. */
const KEEP_ALIVE = 30_000;
