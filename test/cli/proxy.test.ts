import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect as http2Connect, type Settings } from 'node:http2';
import { request } from 'node:https';
import { after, describe, type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { type Serving, serve, sharedServer, status } from './support.ts';

type Handler = NonNullable<Parameters<typeof createServer>[1]>;

async function upstream(t: TestContext, handler: Handler): Promise<{ server: Server; url: string }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, url: `http://127.0.0.1:${(server.address() as { port: number }).port}` };
}

let handle: Handler = () => {};
const sharedUrl = new Promise<string>((resolve) => {
  const server = createServer((incoming, response) => handle(incoming, response));
  server.on('checkContinue', (incoming, response) => handle(incoming, response));
  server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as { port: number }).port}`));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
});
const shared = sharedServer(async () => ['--upstream', await sharedUrl]);

/** The server of all tests that need none of their own; this is what its upstream server does from now on. */
function proxyTo(handler: Handler): Promise<Serving> {
  handle = handler;
  return shared();
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

/** One request by node:https. */
function ask1(serving: Serving, { method = 'GET', path = '/', headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: 'localhost', port: serving.port, ca: readFileSync(serving.ca), method, path, headers, agent: false },
      (response) => {
        collect(response).then((text) => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
        }, reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** One request by node:http2. */
async function ask2(serving: Serving, { method = 'GET', path = '/', headers = {}, body }: Ask = {}): Promise<Answer> {
  const session = http2Connect(serving.url, { ca: readFileSync(serving.ca) });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      session.on('error', reject);
      const stream = session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === undefined },
      );
      let answer: { status: number; headers: Answer['headers'] } | undefined;
      stream.on('response', (fields) => {
        answer = { status: Number(fields[':status']), headers: fields as Answer['headers'] };
      });
      stream.on('error', reject);
      collect(stream).then((text) => resolve({ status: 0, headers: {}, ...answer, body: text }), reject);
      if (body !== undefined) {
        stream.end(body);
      }
    });
  } finally {
    session.close();
  }
}

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += chunk.toString('latin1');
  }
  return text;
}

for (const [name, ask] of [
  ['HTTP/1.1', ask1],
  ['HTTP/2', ask2],
] as const) {
  describe(`a proxied ${name} request`, () => {
    test('reaches the upstream server with who asked, for which host, and how', async () => {
      const serving = await proxyTo((incoming, response) => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ url: incoming.url, method: incoming.method, headers: incoming.headers }));
      });
      const answer = await ask(serving, {
        path: '/a/b?c=d',
        headers: {
          'x-forwarded-for': '203.0.113.9',
          'x-forwarded-proto': 'http',
          'x-forwarded-host': 'evil.example',
          forwarded: 'for=203.0.113.9',
          'x-kept': 'yes',
        },
      });
      assert.equal(answer.status, 200);
      const seen = JSON.parse(answer.body) as { url: string; method: string; headers: Record<string, string> };
      assert.equal(seen.url, '/a/b?c=d');
      assert.match(seen.headers['x-forwarded-for'], /^(127\.0\.0\.1|::1)$/);
      assert.equal(seen.headers['x-forwarded-proto'], 'https');
      assert.equal(seen.headers['x-forwarded-host'], `localhost:${serving.port}`);
      assert.equal(seen.headers['x-forwarded-port'], String(serving.port));
      assert.equal(seen.headers.host, `localhost:${serving.port}`);
      assert.equal(seen.headers.forwarded, undefined);
      assert.equal(seen.headers['x-kept'], 'yes');
      assert.ok(Object.keys(seen.headers).every((header) => !header.startsWith(':')));
    });

    test('carries bodies of any length both ways', async () => {
      const serving = await proxyTo((incoming, response) => {
        incoming.pipe(response);
      });
      const body = Buffer.alloc(3_000_000, 'mayfly ');
      const answer = await ask(serving, { method: 'POST', body });
      assert.equal(answer.status, 200);
      assert.equal(answer.body, body.toString('latin1'));
    });

    test('waits for 100 Continue when it asks for it, until the upstream server wants the body or refuses it', async () => {
      const serving = await proxyTo((incoming, response) => {
        if (incoming.headers.expect === '100-continue' && incoming.url === '/wanted') {
          response.writeContinue();
          incoming.pipe(response);
        } else {
          response.writeHead(413).end();
        }
      });
      const asked = { method: 'POST', headers: { expect: '100-continue' }, body: 'as asked for' };
      const wanted = await ask(serving, { ...asked, path: '/wanted' });
      assert.deepEqual([wanted.status, wanted.body], [200, 'as asked for']);
      assert.equal((await ask(serving, asked)).status, 413);
    });

    test('loses the headers that belong to one hop, in both directions', async () => {
      let seen: IncomingMessage['headers'] = {};
      const serving = await proxyTo((incoming, response) => {
        seen = incoming.headers;
        response.setHeader('keep-alive', 'timeout=5');
        response.setHeader('proxy-authenticate', 'Basic');
        response.setHeader('x-hop', 'secret');
        response.setHeader('connection', 'x-hop');
        response.setHeader('x-kept', 'yes');
        response.end('fine');
      });
      const hop: Record<string, string> =
        ask === ask1
          ? { connection: 'close, x-mine', 'x-mine': '1', 'keep-alive': 'x', te: 'trailers' }
          : { te: 'trailers' };
      const answer = await ask(serving, { headers: { ...hop, 'proxy-authorization': 'Basic x' } });
      assert.equal(answer.body, 'fine');
      assert.equal(answer.headers['x-kept'], 'yes');
      for (const header of ['keep-alive', 'proxy-authenticate', 'x-hop']) {
        assert.equal(answer.headers[header], undefined, header);
      }
      for (const header of ['x-mine', 'keep-alive', 'proxy-authorization']) {
        assert.equal(seen[header], undefined, header);
      }
      // That trailers are taken is said for this hop anew.
      assert.deepEqual([seen.te, seen.connection], ['trailers', 'keep-alive, TE']);
    });

    test('cannot carry a second request in its body', async () => {
      const requests: string[] = [];
      const serving = await proxyTo((incoming, response) => {
        requests.push(`${incoming.method} ${incoming.url}`);
        incoming.resume().on('end', () => response.end('ok'));
      });
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
      for (const method of ['GET', 'DELETE', 'OPTIONS', 'POST']) {
        const headers: Record<string, string> = ask === ask1 ? { 'content-length': String(smuggled.length) } : {};
        const answer = await ask(serving, { method, headers, body: smuggled });
        assert.equal(answer.status, 200, method);
      }
      assert.deepEqual(requests, ['GET /', 'DELETE /', 'OPTIONS /', 'POST /']);
    });

    test('is answered with 502 when the upstream server is gone or hangs up', async (t) => {
      // Nobody listens there; a port that was free a moment ago may be somebody else's by now.
      const serving = await serve(t, ['--upstream', 'http://127.0.0.1:1']);
      const answer = await ask(serving);
      assert.equal(answer.status, 502);
      assert.match(answer.body, /upstream server 127\.0\.0\.1:\d+ did not answer \(connection refused\)/);

      const other = await proxyTo((incoming) => incoming.socket.destroy());
      const second = await ask(other);
      assert.equal(second.status, 502);
      assert.match(second.body, /hung up/);
    });

    test('that the upstream server breaks off is broken off, not ended as if it were whole', async () => {
      const serving = await proxyTo((_incoming, response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('half');
        setImmediate(() => response.destroy());
      });
      await assert.rejects(ask(serving));
    });
  });
}

test('a slow reader holds the upstream server back', async (t) => {
  let sent = 0;
  const serving = await proxyTo((_incoming, response) => {
    const chunk = Buffer.alloc(65_536);
    const more = () => {
      while (!response.destroyed && response.write(chunk)) {
        sent += chunk.length;
      }
      sent += chunk.length;
    };
    response.on('drain', more);
    more();
  });
  const outgoing = request({ host: 'localhost', port: serving.port, ca: readFileSync(serving.ca), agent: false });
  t.after(() => outgoing.destroy());
  outgoing.on('error', () => {});
  outgoing.end();
  const response = await new Promise<IncomingMessage>((resolve) => outgoing.once('response', resolve));
  response.pause();
  // Buffers on the way fill up; then nothing more may come, however long we wait.
  let before = -1;
  while (before !== sent) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(sent < 64_000_000, `${sent} bytes were sent to a client that reads nothing`);
});

test('an HTTP/2 connection has no more than 128 requests at a time', async (t) => {
  const serving = await shared();
  const session = http2Connect(serving.url, { ca: readFileSync(serving.ca) });
  t.after(() => session.destroy());
  const settings = await new Promise<Settings>((resolve) => session.once('remoteSettings', resolve));
  assert.equal(settings.maxConcurrentStreams, 128);
});

test('WebSockets pass through, both ways', async (t) => {
  const { server, url } = await upstream(t, (_incoming, response) => response.writeHead(426).end());
  const sockets = new WebSocketServer({ server });
  t.after(() => sockets.close());
  let seen: IncomingMessage['headers'] = {};
  sockets.on('connection', (socket, incoming) => {
    seen = incoming.headers;
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const serving = await serve(t, ['--upstream', url]);
  const client = new WebSocket(`wss://localhost:${serving.port}/chat`, { ca: readFileSync(serving.ca) });
  t.after(() => client.terminate());
  await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
  const big = Buffer.alloc(1_000_000, 7);
  for (const message of [Buffer.from('hello'), big]) {
    const echo = new Promise<Buffer>((resolve) => client.once('message', (data) => resolve(data as Buffer)));
    client.send(message);
    assert.deepEqual(await echo, message);
  }
  assert.equal(seen['x-forwarded-proto'], 'https');
  const { connections } = await status(serving);
  assert.equal(connections.list[0].upgraded, true);
  client.close(1000);
  await new Promise((resolve) => client.once('close', resolve));
});

test('an upgrade that the upstream server refuses is refused', async () => {
  const serving = await proxyTo((_incoming, response) => response.writeHead(403).end('no sockets here'));
  const refusal = await new Promise<string>((resolve) => {
    const client = new WebSocket(`wss://localhost:${serving.port}/`, { ca: readFileSync(serving.ca) });
    client.on('error', (error) => resolve(error.message));
  });
  assert.match(refusal, /403/);
});

test('a path in the upstream URL goes before the request’s', async (t) => {
  const { url } = await upstream(t, (incoming, response) => response.end(incoming.url));
  const serving = await serve(t, ['--upstream', `${url}/base/`]);
  assert.equal((await ask1(serving, { path: '/x?y' })).body, '/base/x?y');
});
