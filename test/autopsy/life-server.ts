/**
 * A server and nothing else, by Mayfly or by `node:tls`, for clients in another process: what they learn of its secrets
 * leaves no trace here. Its certificate comes from the other process too.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as nodeTls from 'node:tls';
import * as mayflyTls from '../../src/node/tls.ts';
import type { Order, Report } from './protocol.ts';
import { tell } from './testimony.ts';

export async function liveServer(tls: 'mayfly' | 'native'): Promise<number> {
  const { cert, key } = await order('serve');
  const { createServer } = tls === 'mayfly' ? mayflyTls : (nodeTls as unknown as typeof mayflyTls);
  let connections = 0;
  const server = createServer({ cert, key, minVersion: 'TLSv1.2' }, (socket) => {
    connections++;
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  if (tls === 'native') {
    const ticketKeys = (server as unknown as nodeTls.Server).getTicketKeys();
    // The first 16 bytes are the public name.
    tell('ticketKey', ticketKeys.subarray(16, 32));
    tell('ticketKey', ticketKeys.subarray(32, 48));
    ticketKeys.fill(0);
  }
  process.send?.({ stage: 'serving', connections: 0, port: (server.address() as AddressInfo).port } satisfies Report);
  await order('close');
  server.close();
  await once(server, 'close');
  return connections;
}

async function order<K extends Order['order']>(kind: K): Promise<Extract<Order, { order: K }>> {
  for (;;) {
    const [message] = (await once(process, 'message')) as [Order];
    if (message.order === kind) {
      return message as Extract<Order, { order: K }>;
    }
  }
}
