import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { connect as http2Connect } from 'node:http2';
import { type Agent, Agent as HttpsAgent, request } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { projectRoot } from '../support/project.ts';
import { type Serving, serve } from './support.ts';

/** An upstream server that answers when told to. */
async function slowUpstream(t: TestContext): Promise<{ url: string; asked: () => Promise<ServerResponse> }> {
  const waiting: ((response: ServerResponse) => void)[] = [];
  const arrived: ServerResponse[] = [];
  const server = createServer((_incoming, response) => {
    const waiter = waiting.shift();
    if (waiter === undefined) {
      arrived.push(response);
      return;
    }
    waiter(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    asked: () =>
      new Promise((resolve) => {
        const first = arrived.shift();
        if (first === undefined) {
          waiting.push(resolve);
          return;
        }
        resolve(first);
      }),
  };
}

function get(serving: Serving, agent: Agent | false): Promise<{ body: string; connection: string | undefined }> {
  return new Promise((resolve, reject) => {
    request({ host: 'localhost', port: serving.port, ca: readFileSync(serving.ca), agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ body, connection: response.headers.connection }));
      response.on('error', reject);
    })
      .on('error', reject)
      .end();
  });
}

function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

test('SIGTERM lets running requests finish, takes no new ones, and ends with code 0', async (t) => {
  const { url, asked } = await slowUpstream(t);
  const serving = await serve(t, ['--upstream', url]);
  const agent = new HttpsAgent({ keepAlive: true });
  t.after(() => agent.destroy());
  const first = get(serving, agent);
  const firstResponse = await asked();
  const session = http2Connect(serving.url, { ca: readFileSync(serving.ca) });
  t.after(() => session.destroy());
  session.on('error', () => {});
  const stream = session.request({ ':path': '/' });
  let second = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    second += text;
  });
  const secondResponse = await asked();

  serving.child.kill('SIGTERM');
  const draining = await serving.until('draining');
  assert.equal(draining.open, 2);
  assert.equal(await refused(serving.port), true);
  firstResponse.end('first');
  secondResponse.end('second');
  const answer = await first;
  assert.deepEqual(answer, { body: 'first', connection: 'close' });
  await new Promise((resolve) => stream.once('close', resolve));
  assert.equal(second, 'second');
  assert.equal(await serving.ended, 0);
  assert.equal((await serving.until('stopped')).cut, 0);
});

test('idle connections do not hold the end up', async (t) => {
  const serving = await serve(t, ['--root', join(projectRoot, 'demo')]);
  const agent = new HttpsAgent({ keepAlive: true });
  t.after(() => agent.destroy());
  await get(serving, agent);
  const session = http2Connect(serving.url, { ca: readFileSync(serving.ca) });
  t.after(() => session.destroy());
  await new Promise((resolve) => session.once('connect', resolve));
  const raw = tcpConnect({ host: '127.0.0.1', port: serving.port });
  t.after(() => raw.destroy());
  raw.on('error', () => {});
  await new Promise((resolve) => raw.once('connect', resolve));
  assert.equal(await serving.stop(), 0);
  assert.equal((await serving.until('stopped')).cut, 0);
});

test('a second signal ends at once, with code 130', async (t) => {
  const { url, asked } = await slowUpstream(t);
  const serving = await serve(t, ['--upstream', url]);
  const hanging = get(serving, false);
  hanging.catch(() => {});
  await asked();
  serving.child.kill('SIGINT');
  await serving.until('draining');
  serving.child.kill('SIGINT');
  assert.equal(await serving.ended, 130);
  await assert.rejects(hanging);
});
