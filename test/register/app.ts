/** A program that knows nothing of Mayfly: an HTTPS server, alone or in a cluster, or an HTTP/2 server; by its first argument. */

import cluster from 'node:cluster';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { isMainThread, Worker } from 'node:worker_threads';

const { CERT: cert, KEY: key, PORT: port = '0' } = process.env;
const [, , mode] = process.argv;

function listen(server: https.Server | http2.Http2SecureServer, at: number): void {
  server.listen(at, '127.0.0.1', () => {
    // The first 16 bytes are the name of the key that OpenSSL would seal tickets under.
    const ownKey = server.getTicketKeys().subarray(0, 16).toString('hex');
    console.log(`listening ${(server.address() as AddressInfo).port} ${ownKey}`);
    if (mode === 'once') {
      server.close();
    }
  });
}

if (mode === 'cluster' && cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else if (mode === 'thread' && isMainThread) {
  new Worker(new URL(import.meta.url), { argv: [mode] });
} else if (mode === 'http2') {
  listen(
    http2.createSecureServer({ cert, key, allowHTTP1: true }, (_request, response) => response.end('h2')),
    Number(port),
  );
} else {
  const server = https.createServer({ cert, key }, (_request, response) => response.end(String(process.pid)));
  listen(server, Number(port));
}
