/** HTTP over mayfly: Node's https and http2, Express, Fastify, undici and fetch, each against the other engine too. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import * as nodeHttp2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { createRequire } from 'node:module';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import Fastify from 'fastify';
import { Agent as UndiciAgent, fetch as undiciFetch, request as undiciRequest } from 'undici';
import * as ourHttp2 from '../../src/node/http2.ts';
import * as ourHttps from '../../src/node/https.ts';
import type { TLSError, TLSSocket } from '../../src/node/tls.ts';
import { createConnector } from '../../src/node/undici.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { collect, delay, listen, native, only, serverOptions, trust, versions } from './support.ts';

/** Express brings no types. */
const express = createRequire(import.meta.url)('express') as () => {
  get(path: string, handler: (request: Record<string, never>, response: { json(value: unknown): void }) => void): void;
} & ((request: IncomingMessage, response: ServerResponse) => void);

type Https = Pick<typeof ourHttps, 'request' | 'get' | 'Agent' | 'createServer'>;
const nativeHttps = nodeHttps as unknown as Https;

async function ask(made: ClientRequest, body?: Buffer | string): Promise<{ response: IncomingMessage; text: string }> {
  made.end(body);
  const [response] = (await once(made, 'response')) as [IncomingMessage];
  return { response, text: String(await collect(response)) };
}

function echo(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('x-secure', String((request.socket as unknown as TLSSocket).encrypted));
  response.setHeader('x-protocol', String((request.socket as unknown as TLSSocket).getProtocol()));
  response.setHeader('x-resumed', String((request.socket as unknown as TLSSocket).isSessionReused()));
  request.pipe(response);
}

const httpsPairs = [
  ['mayfly https server, mayfly client', ourHttps as Https, ourHttps as Https],
  ['mayfly https server, node:https client', ourHttps as Https, nativeHttps],
  ['node:https server, mayfly client', nativeHttps, ourHttps as Https],
] as const;

for (const [name, serverHttps, clientHttps, version] of versions.flatMap((version) =>
  httpsPairs.map((pair) => [...pair, version] as const),
)) {
  describe(`${name}, ${version}`, () => {
    let server: NetServer;
    let port: number;
    before(async () => {
      server = serverHttps.createServer({ ...serverOptions, ...only(version) }, echo);
      port = await listen(server);
    });
    after(() => server.close());

    test('a body goes there and back', async () => {
      const agent = new clientHttps.Agent(trust);
      const options = { host: '127.0.0.1', servername: 'localhost', port, method: 'POST', agent: agent as never };
      const data = randomBytes(500_000).toString('hex');
      const { response, text } = await ask(clientHttps.request(options), data);
      assert.equal(response.statusCode, 200);
      assert.equal(response.headers['x-secure'], 'true');
      assert.equal(response.headers['x-protocol'], version);
      assert.equal(text, data);
      agent.destroy();
    });

    test('by URL, with options and without an agent', async () => {
      const { text } = await ask(
        clientHttps.request(`https://localhost:${port}/x`, { ...trust, method: 'PUT', agent: false }),
        'hi',
      );
      assert.equal(text, 'hi');
      const made = clientHttps.get(new URL(`https://localhost:${port}/`), { ...trust, agent: false });
      assert.equal((await once(made, 'response'))[0].resume().statusCode, 200);
    });

    test('an agent keeps connections alive, and resumes sessions on new ones', async () => {
      const agent = new clientHttps.Agent({ ...trust, keepAlive: true, maxSockets: 1 });
      const options = { host: '127.0.0.1', servername: 'localhost', port, agent: agent as never, method: 'POST' };
      const first = await ask(clientHttps.request(options), '1');
      await delay(10);
      const second = clientHttps.request(options);
      assert.equal((await ask(second, '2')).text, '2');
      assert.equal(second.reusedSocket, true);
      assert.equal(first.response.headers['x-resumed'], 'false');
      (second.socket as Socket).destroy();
      await delay(10);
      const third = await ask(clientHttps.request(options), '3');
      assert.equal(third.text, '3');
      assert.equal(third.response.headers['x-resumed'], 'true');
      agent.destroy();
    });

    test('a session that the caller brings is offered', async () => {
      const options = {
        host: '127.0.0.1',
        servername: 'localhost',
        port,
        method: 'POST',
        agent: false,
        ...trust,
      } as const;
      const first = clientHttps.request(options);
      const brought = new Promise<Buffer>((resolve) => {
        first.once('socket', (socket) => socket.once('session', resolve));
      });
      await ask(first, '1');
      const { response } = await ask(clientHttps.request({ ...options, session: await brought }), '2');
      assert.equal(response.headers['x-resumed'], 'true');
    });

    test('an untrusted certificate fails the request', async () => {
      const made = clientHttps.request({ host: '127.0.0.1', servername: 'localhost', port, agent: false });
      made.end();
      const [error] = await once(made, 'error');
      assert.ok(error instanceof Error);
    });
  });
}

describe('https', () => {
  test('an answer may take longer than idleTimeout, which closes the connection after it', async () => {
    const server = ourHttps.createServer(
      { ...serverOptions, idleTimeout: 60, keepAliveTimeout: 0 } as never,
      (request, response) => {
        request.resume();
        setTimeout(() => response.end('late'), 300);
      },
    );
    const port = await listen(server);
    const agent = new ourHttps.Agent({ ...trust, keepAlive: true });
    const { text } = await ask(ourHttps.request({ host: 'localhost', port, agent: agent as never }));
    assert.equal(text, 'late');
    assert.equal(server.counters.idleClosed, 0);
    while (server.counters.open > 0) {
      await delay(10);
    }
    assert.equal(server.counters.idleClosed, 1);
    agent.destroy();
    server.close();
  });

  test('serves several requests on one connection, and upgrades', async () => {
    const server = ourHttps.createServer(serverOptions, (request, response) => response.end(request.url));
    server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
      socket.pipe(socket);
    });
    const port = await listen(server);
    const socket = native.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const text = String(await collect(socket));
    assert.ok(text.includes('/a') && text.includes('/b'), text);
    const agent = new ourHttps.Agent(trust);
    const made = ourHttps.request({
      host: 'localhost',
      port,
      agent: agent as never,
      headers: { Connection: 'Upgrade', Upgrade: 'echo' },
    });
    made.end();
    const [, upgraded] = await once(made, 'upgrade');
    upgraded.write('through');
    assert.equal(String((await once(upgraded, 'data'))[0]), 'through');
    upgraded.end();
    await once(upgraded, 'close');
    server.close();
  });

  test('the default agent takes options of the request', async () => {
    const server = ourHttps.createServer(serverOptions, echo);
    const port = await listen(server);
    const { text } = await ask(ourHttps.request({ host: 'localhost', port, method: 'POST', ...trust }), 'x');
    assert.equal(text, 'x');
    ourHttps.globalAgent.destroy();
    server.close();
  });

  test('a body that only the end of the connection ends fails when it is cut off, others do not', async () => {
    for (const [head, cut] of [
      ['HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n', true],
      ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n', false],
    ] as const) {
      const raws: Socket[] = [];
      const server = native.createServer(serverOptions, (socket) => {
        socket.once('data', () => {
          socket.write(`${head}body`);
          setTimeout(() => raws[0].end(), 20);
        });
      });
      server.on('connection', (raw) => raws.push(raw));
      const port = await listen(server);
      const made = ourHttps.get({ host: 'localhost', port, ...trust, agent: false });
      const outcome = await new Promise<string>((resolve) => {
        made.once('error', (error: TLSError) => resolve(error.code));
        made.once('response', (response) => {
          response.once('error', () => {});
          response.resume();
          response.once('end', () => setTimeout(resolve, 40, 'complete'));
        });
      });
      assert.equal(outcome, cut ? 'TLS_ERR_TRUNCATED' : 'complete');
      server.close();
    }
  });

  test('a client error reaches clientError', async () => {
    const server = ourHttps.createServer(serverOptions, echo);
    const port = await listen(server);
    const seen = once(server, 'clientError');
    const socket = native.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    socket.on('error', () => {});
    socket.write('NO SUCH HTTP\r\n\r\n');
    const [error, raw] = await seen;
    assert.match(error.code, /^HPE_/);
    raw.destroy();
    const refused = once(server, 'clientError');
    native.connect({ host: '127.0.0.1', port, servername: 'localhost' }).on('error', () => {});
    assert.equal((await refused)[0].code, 'ECONNRESET');
    server.close();
  });

  test('curl speaks both versions', skipUnless('curl'), async () => {
    const server = ourHttp2.createSecureServer({ ...serverOptions, allowHTTP1: true }, (request, response) => {
      response.end(request.httpVersion);
    });
    const port = await listen(server);
    const run = promisify(execFile);
    const url = `https://localhost:${port}/`;
    for (const [flag, version] of [
      ['--http1.1', '1.1'],
      ['--http2', '2.0'],
    ]) {
      const { stdout } = await run(requireTool('curl'), [
        '-sS',
        '-k',
        flag,
        '--resolve',
        `localhost:${port}:127.0.0.1`,
        url,
      ]);
      assert.equal(stdout, version);
    }
    server.close();
  });
});

describe('http2', () => {
  const respond = (request: nodeHttp2.Http2ServerRequest, response: nodeHttp2.Http2ServerResponse) => {
    const { socket } = request;
    response.setHeader('x-encrypted', String((socket as unknown as TLSSocket).encrypted));
    response.setHeader('x-remote', String(socket.remoteAddress));
    response.setHeader('x-protocol', String((socket as unknown as TLSSocket).getProtocol()));
    request.pipe(response);
  };

  async function exchange(
    session: nodeHttp2.ClientHttp2Session,
    body: string,
  ): Promise<[Record<string, unknown>, string]> {
    const stream = session.request({ ':path': '/', ':method': 'POST' });
    stream.end(body);
    const [headers] = await once(stream, 'response');
    return [headers, String(await collect(stream))];
  }

  const http2Pairs = [
    ['mayfly both', ourHttp2.createSecureServer, ourHttp2.connect],
    ['mayfly server', ourHttp2.createSecureServer, nodeHttp2.connect as unknown as typeof ourHttp2.connect],
    ['mayfly client', nodeHttp2.createSecureServer as unknown as typeof ourHttp2.createSecureServer, ourHttp2.connect],
  ] as const;

  for (const [name, server, connect, version] of versions.flatMap((version) =>
    http2Pairs.map((pair) => [...pair, version] as const),
  )) {
    test(`${name}, ${version}: requests on one session`, async () => {
      const served = server({ ...serverOptions, ...only(version) }, respond);
      const port = await listen(served);
      const session = connect(`https://localhost:${port}`, trust);
      const data = 'd'.repeat(200_000);
      const answers = await Promise.all([exchange(session, 'one'), exchange(session, data)]);
      assert.equal(answers[0][1], 'one');
      assert.equal(answers[1][1], data);
      assert.deepEqual(
        [answers[0][0]['x-encrypted'], answers[0][0]['x-remote'], answers[0][0]['x-protocol']],
        ['true', '127.0.0.1', version],
      );
      assert.equal(session.encrypted, true);
      assert.equal(session.alpnProtocol, 'h2');
      session.close();
      await once(session, 'close');
      served.close();
    });
  }

  test('allowHTTP1 serves a client that speaks HTTP/1.1', async () => {
    const server = ourHttp2.createSecureServer({ ...serverOptions, allowHTTP1: true }, (request, response) => {
      response.end(`${request.httpVersion} ${(request.socket as unknown as TLSSocket).encrypted}`);
    });
    const port = await listen(server);
    const { text } = await ask(nodeHttps.request({ host: 'localhost', port, ...trust, agent: false }));
    assert.equal(text, '1.1 true');
    server.close();
  });

  test('connect waits for the handshake, and a server without h2 is refused', async () => {
    const server = ourHttps.createServer({ ...serverOptions, ALPNProtocols: [] }, echo);
    const port = await listen(server);
    const session = ourHttp2.connect(`https://localhost:${port}`, trust, () => assert.fail('there is no HTTP/2 here'));
    const [error] = await once(session, 'error');
    assert.equal(error.code, 'TLS_ERR_NO_APPLICATION_PROTOCOL');
    server.close();
  });

  test('an untrusted server fails the session before connect', async () => {
    const server = ourHttp2.createSecureServer(serverOptions, respond);
    const port = await listen(server);
    const session = ourHttp2.connect(`https://localhost:${port}`, {}, () => assert.fail('this was not to be trusted'));
    const [error] = await once(session, 'error');
    assert.equal(error.code, 'TLS_ERR_UNKNOWN_CA');
    server.close();
  });
});

describe('frameworks run unchanged', () => {
  for (const version of versions) {
    test(`Express 5 over ${version}`, async () => {
      const app = express();
      app.get('/hello/:name', (request, response) => {
        response.json({
          name: (request.params as { name: string }).name,
          secure: request.secure,
          protocol: request.protocol,
          ip: request.ip,
        });
      });
      const server = ourHttps.createServer({ ...serverOptions, ...only(version) }, app);
      const port = await listen(server);
      const made = nodeHttps.request({ host: 'localhost', port, path: '/hello/mayfly', ...trust, agent: false });
      const { text } = await ask(made);
      assert.deepEqual(JSON.parse(text), { name: 'mayfly', secure: true, protocol: 'https', ip: '127.0.0.1' });
      assert.equal(server.counters.byVersion[version].full, 1);
      server.close();
    });
  }

  for (const version of ['HTTP/1.1', 'HTTP/2']) {
    test(`Fastify 5 over ${version}`, async () => {
      const app = Fastify({
        serverFactory: (handler) => {
          const options = { ...serverOptions, allowHTTP1: true };
          return (
            version === 'HTTP/2'
              ? ourHttp2.createSecureServer(options, handler as never)
              : ourHttps.createServer(serverOptions, handler)
          ) as never;
        },
      });
      app.post('/', async (request) => ({ body: request.body, protocol: request.protocol, ip: request.ip }));
      await app.listen({ port: 0, host: '127.0.0.1' });
      const { port } = app.server.address() as AddressInfo;
      const expected = { body: { a: 1 }, protocol: 'https', ip: '127.0.0.1' };
      if (version === 'HTTP/2') {
        const session = nodeHttp2.connect(`https://localhost:${port}`, trust);
        const stream = session.request({ ':path': '/', ':method': 'POST', 'content-type': 'application/json' });
        stream.end('{"a":1}');
        assert.deepEqual(JSON.parse(String(await collect(stream))), expected);
        session.close();
      } else {
        const options = { host: 'localhost', port, method: 'POST', ...trust, agent: false } as const;
        const made = nodeHttps.request({ ...options, headers: { 'content-type': 'application/json' } });
        assert.deepEqual(JSON.parse((await ask(made, '{"a":1}')).text), expected);
      }
      await app.close();
    });
  }

  for (const allowH2 of [false, true]) {
    test(`undici and fetch over a connector, ${allowH2 ? 'HTTP/2' : 'HTTP/1.1'}`, async () => {
      const server = ourHttp2.createSecureServer({ ...serverOptions, allowHTTP1: true }, (request, response) => {
        response.setHeader('x-version', request.httpVersion);
        request.pipe(response);
      });
      const port = await listen(server);
      const dispatcher = new UndiciAgent({ connect: createConnector({ ...trust, allowH2 }) as never, allowH2 });
      const url = `https://localhost:${port}/`;
      for (let i = 0; i < 3; i++) {
        const { body, headers } = await undiciRequest(url, { dispatcher, method: 'POST', body: `body ${i}` });
        assert.equal(await body.text(), `body ${i}`);
        assert.equal(headers['x-version'], allowH2 ? '2.0' : '1.1');
      }
      const answer = await undiciFetch(url, { dispatcher, method: 'POST', body: 'fetched' });
      assert.equal(await answer.text(), 'fetched');
      await dispatcher.close();
      server.close();
    });
  }

  test('a connector passes failures on', async () => {
    const server = ourHttps.createServer(serverOptions, echo);
    const port = await listen(server);
    const dispatcher = new UndiciAgent({ connect: createConnector() as never });
    await assert.rejects(undiciRequest(`https://localhost:${port}/`, { dispatcher }), { code: 'TLS_ERR_UNKNOWN_CA' });
    await dispatcher.destroy();
    server.close();
  });
});
