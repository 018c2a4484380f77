/** `mayfly serve --early-data`, as a proxy. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { serveCommand } from '../../src/cli/serve.ts';
import { Agent, request } from '../../src/node/https.ts';
import type { TLSSocket } from '../../src/node/tls.ts';
import { refusedHere, serve } from '../cli/support.ts';
import { collect } from '../node/support.ts';

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
  readonly early: string | undefined;
}

test('early data is passed on as such, a 425 comes back, and each ticket is good once', async (t) => {
  const asked: string[] = [];
  const upstream = createServer((incoming, response) => {
    const early = incoming.headers['early-data'] ?? 'none';
    asked.push(`${incoming.method} ${incoming.url} ${early}`);
    response.statusCode = incoming.url === '/careful' && early === '1' ? 425 : 200;
    response.end(`early-data: ${early}`);
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const { port: upstreamPort } = upstream.address() as AddressInfo;
  const serving = await serve(t, ['--early-data', '--upstream', `http://127.0.0.1:${upstreamPort}`]);
  const agent = new Agent({ keepAlive: false, earlyRequests: true, ca: readFileSync(serving.ca), host: 'localhost' });
  t.after(() => agent.destroy());

  const ask = (method: string, path: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const made = request({ host: 'localhost', port: serving.port, method, path, agent: agent as never });
      made.on('response', (response) => {
        const early = (response.socket as unknown as TLSSocket).mayfly?.earlyData;
        collect(response).then(
          (body) => resolve({ status: response.statusCode, body: body.toString(), early }),
          reject,
        );
      });
      made.on('error', reject);
      made.end();
    });

  assert.deepEqual(await ask('GET', '/'), { status: 200, body: 'early-data: none', early: undefined });
  assert.deepEqual(await ask('GET', '/'), { status: 200, body: 'early-data: 1', early: 'taken' });
  assert.deepEqual(await ask('POST', '/'), { status: 200, body: 'early-data: none', early: undefined });
  asked.length = 0;
  const careful = await ask('GET', '/careful');
  assert.equal(careful.status, 200);
  assert.equal(careful.body, 'early-data: none');
  assert.deepEqual(asked, ['GET /careful 1', 'GET /careful none']);
  await serving.stop();
});

test('--early-data needs sessions and TLS 1.3, and its help says what it costs', async () => {
  for (const [args, text] of [
    [['--early-data', '--no-resumption'], /--no-resumption/],
    [['--early-data', '--tls', '1.2'], /TLS 1\.3/],
  ] as const) {
    const { code, line } = await refusedHere(serveCommand(), args);
    assert.equal(code, 2);
    assert.match(line, text);
  }
  const help = serveCommand().helpInformation().replace(/\s+/g, ' ');
  assert.match(help, /can replay them/);
  assert.match(help, /not forward secret/);
});
