/** A small server under load: `server.js ours|node 1|2 <port> <cert file> <key file>`. */

import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SIZES } from './paths.ts';

const [engine, http, port, cert, key] = process.argv.slice(2);
const bodies = new Map(Object.entries(SIZES).map(([path, size]) => [path, Buffer.alloc(size, 0x61)]));

interface Listener {
  listen(port: number, host: string): unknown;
}

interface Module {
  createServer(options: object, answer: typeof answerRequest): Listener;
  createSecureServer(options: object, answer: typeof answerRequest): Listener;
}

function answerRequest(request: IncomingMessage, response: ServerResponse): void {
  const body = bodies.get(request.url ?? '') ?? Buffer.alloc(0);
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
  response.end(body);
}

async function load(): Promise<Module> {
  const ours = http === '1' ? () => import('../../src/node/https.ts') : () => import('../../src/node/http2.ts');
  const node = http === '1' ? () => import('node:https') : () => import('node:http2');
  return (await (engine === 'ours' ? ours() : node())) as unknown as Module;
}

const options = {
  cert: readFileSync(cert),
  key: readFileSync(key),
  // The same for both, whatever their defaults.
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  ecdhCurve: 'X25519',
};
const module = await load();
const server =
  http === '1' ? module.createServer(options, answerRequest) : module.createSecureServer(options, answerRequest);
server.listen(Number(port), '127.0.0.1');
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
