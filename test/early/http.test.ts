/** Early data through `mayfly/https` and `mayfly/http2`: which requests are served at once, which wait, and 425. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, RequestListener } from 'node:http';
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Server as NetServer } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { createSecureServer } from '../../src/node/http2.ts';
import { Agent, createServer, request } from '../../src/node/https.ts';
import { ClientSessions, type ConnectionOptions, connect, type TLSSocket } from '../../src/node/tls.ts';
import { collect, listen, serverOptions, trust } from '../node/support.ts';
import { Relay } from './relay.ts';

const sessions = { earlyData: true };

interface Seen {
  readonly method: string | undefined;
  readonly early: boolean;
  readonly header: string | undefined;
  readonly body: string;
}

async function setUp(
  t: TestContext,
  listener: RequestListener,
): Promise<{ relay: Relay; port: number; server: NetServer }> {
  const server = createServer({ ...serverOptions, sessions }, listener);
  const [relay, port] = await Relay.to(await listen(server as unknown as NetServer));
  t.after(() => {
    relay.close();
    server.closeAllConnections();
    server.close();
  });
  return { relay, port, server: server as unknown as NetServer };
}

/** A listener that notes what it sees, and answers with it. */
function noting(seen: Seen[]): RequestListener {
  return (incoming, response) => {
    const early = (incoming.socket as unknown as TLSSocket).earlyData;
    collect(incoming).then((body) => {
      const header = incoming.headers['early-data'] as string | undefined;
      seen.push({ method: incoming.method, early, header, body: body.toString() });
      response.end(`${incoming.method} ${early ? 'early' : 'late'}`);
    });
  };
}

/** A connection that sends these bytes early, with a session of its own. */
async function raw(port: number, server: NetServer, text: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const sessionCache = new ClientSessions();
  const base = {
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ALPNProtocols: ['http/1.1'],
    ...trust,
    sessionCache,
  };
  const first = connect({ ...base, ...options });
  first.on('error', () => {});
  await Promise.all([once(first, 'session'), once(server, 'secureConnection')]);
  first.destroy();
  const socket = connect({ ...base, ...options, earlyData: Buffer.from(text, 'latin1') });
  socket.on('error', () => {});
  socket.on('earlyDataRejected', () => assert.fail('it was taken'));
  socket.once('close', () => sessionCache.clear());
  await once(socket, 'secureConnect');
  return socket;
}

const head = (method: string, more = '') => `${method} / HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;

async function until(socket: TLSSocket, pattern: RegExp): Promise<string> {
  let text = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (pattern.test(text)) {
      return text;
    }
  }
  return text;
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 40));

describe('an HTTP/1.1 request in early data', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    test(`${method} is served before the handshake is complete, and says so in its headers`, async (t) => {
      const seen: Seen[] = [];
      const { relay, port, server } = await setUp(t, noting(seen));
      relay.release();
      const opening = raw(port, server, head(method));
      server.once('secureConnection', () => relay.hold());
      const socket = await opening;
      const text = await until(socket, method === 'HEAD' ? /\r\n\r\n/ : / early/);
      assert.match(text, /^HTTP\/1.1 200 OK\r\n/);
      assert.deepEqual(seen, [{ method, early: true, header: '1', body: '' }]);
      relay.release();
      await settle();
      socket.write(head('GET'));
      assert.match(await until(socket, / late/), /GET late/);
      assert.equal(seen[1].header, undefined, 'later requests are no early data');
      socket.destroy();
    });
  }

  for (const [method, more] of [
    ['POST', 'Content-Length: 4\r\n'],
    ['PUT', 'Content-Length: 4\r\n'],
    ['DELETE', 'Content-Length: 4\r\n'],
    ['PATCH', 'Content-Length: 4\r\n'],
    ['PURGE', 'Content-Length: 4\r\n'],
    ['POST', 'Content-Length: 4\r\nExpect: 100-continue\r\n'],
  ]) {
    test(`${method} waits for the end of the handshake (${more.trim().split('\r\n').at(-1)})`, async (t) => {
      const seen: Seen[] = [];
      const { relay, port, server } = await setUp(t, noting(seen));
      const opening = raw(port, server, `${head(method, more)}body`);
      server.once('secureConnection', () => relay.hold());
      const socket = await opening;
      await settle();
      assert.deepEqual(seen, []);
      relay.release();
      assert.match(await until(socket, / late/), new RegExp(`${method} late`));
      assert.deepEqual(seen, [{ method, early: false, header: undefined, body: 'body' }]);
      socket.destroy();
    });
  }

  test('the answer to one that waits comes after that to one that does not, in the order of the requests', async (t) => {
    const seen: Seen[] = [];
    const { relay, port, server } = await setUp(t, noting(seen));
    const opening = raw(port, server, `${head('GET')}${head('POST', 'Content-Length: 4\r\n')}body${head('GET')}`);
    server.once('secureConnection', () => relay.hold());
    const socket = await opening;
    await until(socket, /GET early/);
    await settle();
    assert.deepEqual(
      seen.map(({ method }) => method),
      ['GET', 'GET'],
    );
    relay.release();
    const text = await until(socket, /GET (early|late)$/);
    assert.match(text, /POST late(.|\s)*GET early$/);
    socket.destroy();
  });

  test('one whose end comes after the handshake is an ordinary one', async (t) => {
    const seen: Seen[] = [];
    const { port, server } = await setUp(t, noting(seen));
    const socket = await raw(port, server, 'GET / HTTP/1.1\r\nHost: local');
    socket.write('host\r\n\r\n');
    assert.match(await until(socket, / late/), /GET late/);
    assert.deepEqual(seen, [{ method: 'GET', early: false, header: undefined, body: '' }]);
    socket.destroy();
  });

  test('a header of the client is kept, and one that waits gets none', async (t) => {
    const seen: Seen[] = [];
    const { port, relay, server } = await setUp(t, noting(seen));
    const opening = raw(port, server, head('GET', 'Early-Data: 1\r\n'));
    server.once('secureConnection', () => relay.hold());
    const socket = await opening;
    await until(socket, / early/);
    assert.equal(seen[0].header, '1');
    socket.destroy();
  });

  test('an upgrade waits, as nobody knows what it leads to', async (t) => {
    const { relay, port, server } = await setUp(t, () => assert.fail('no request'));
    let upgraded = false;
    server.on('upgrade', (_request: IncomingMessage, socket: TLSSocket) => {
      upgraded = true;
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
    });
    const opening = raw(port, server, head('GET', 'Connection: upgrade\r\nUpgrade: echo\r\n'));
    server.once('secureConnection', () => relay.hold());
    const socket = await opening;
    await settle();
    assert.equal(upgraded, false);
    relay.release();
    assert.match(await until(socket, /\r\n\r\n/), /^HTTP\/1.1 101/);
    socket.destroy();
  });

  test('one that waits is dropped with its connection', async (t) => {
    const seen: Seen[] = [];
    const { relay, port, server } = await setUp(t, noting(seen));
    const opening = raw(port, server, `${head('POST', 'Content-Length: 4\r\n')}body`);
    server.once('secureConnection', () => relay.hold());
    const socket = await opening;
    socket.destroy();
    relay.close();
    await settle();
    assert.deepEqual(seen, []);
  });
});

describe('an HTTP/2 request in early data', () => {
  async function setUp2(t: TestContext, seen: Seen[]): Promise<{ relay: Relay; port: number; server: NetServer }> {
    const server = createSecureServer({ ...serverOptions, sessions }, (incoming, response) => {
      const header = incoming.headers['early-data'] as string | undefined;
      seen.push({ method: incoming.method, early: header === '1', header, body: '' });
      response.end('answer');
    });
    const open = new Set<Http2Session>();
    server.on('session', (session) => {
      open.add(session);
      session.on('error', () => {});
    });
    server.on('sessionError', () => {});
    const [relay, port] = await Relay.to(await listen(server as unknown as NetServer));
    t.after(() => {
      relay.close();
      for (const session of open) {
        session.destroy();
      }
      server.close();
    });
    return { relay, port, server: server as unknown as NetServer };
  }

  /** Preface, SETTINGS and one request, as static table entries of HPACK (RFC 7541 Appendix A). */
  function frames(method: 'GET' | 'POST'): string {
    const frame = (type: number, flags: number, stream: number, payload: Buffer) =>
      Buffer.concat([Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, stream]), payload]);
    const block = Buffer.concat([
      Buffer.from([method === 'GET' ? 0x82 : 0x83, 0x87, 0x84, 0x41, 9]),
      Buffer.from('localhost'),
    ]);
    return Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(4, 0, 0, Buffer.alloc(0)),
      frame(1, 5, 1, block),
    ]).toString('latin1');
  }

  for (const [method, early] of [
    ['GET', true],
    ['POST', false],
  ] as const) {
    test(`${method} ${early ? 'is served at once' : 'waits for the end of the handshake'}`, async (t) => {
      const seen: Seen[] = [];
      const { relay, port, server } = await setUp2(t, seen);
      const opening = raw(port, server, frames(method), { ALPNProtocols: ['h2'] });
      server.once('secureConnection', () => relay.hold());
      const socket = await opening;
      if (early) {
        await until(socket, /answer/);
      } else {
        await settle();
        assert.deepEqual(seen, []);
        relay.release();
        await until(socket, /answer/);
      }
      assert.deepEqual(seen, [{ method, early, header: early ? '1' : undefined, body: '' }]);
      socket.destroy();
    });
  }

  test('listeners for streams see the same', async (t) => {
    const { relay, port, server } = await setUp2(t, []);
    const streams: unknown[] = [];
    server.on('stream', (_stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
      streams.push([headers[':method'], headers['early-data']]);
    });
    const opening = raw(port, server, frames('GET'), { ALPNProtocols: ['h2'] });
    server.once('secureConnection', () => relay.hold());
    const socket = await opening;
    await until(socket, /answer/);
    assert.deepEqual(streams, [['GET', '1']]);
    socket.destroy();
  });
});

describe('an https.Agent with early requests', () => {
  interface Answer {
    readonly status: number | undefined;
    readonly body: string;
    readonly socket: TLSSocket;
    readonly request: ClientRequest;
  }

  function ask(agent: Agent, port: number, method = 'GET', body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const made = request({
        host: '127.0.0.1',
        servername: 'localhost',
        port,
        method,
        agent: agent as never,
        path: '/x',
        headers: { 'x-mine': 'kept' },
      });
      made.on('response', (response) => {
        const socket = response.socket as unknown as TLSSocket;
        collect(response).then((bytes) => {
          resolve({ status: response.statusCode, body: bytes.toString(), socket, request: made });
        }, reject);
      });
      made.on('error', reject);
      made.end(body);
    });
  }

  async function withAgent(t: TestContext, listener: RequestListener, earlyRequests = true) {
    const { relay, port, server } = await setUp(t, listener);
    const agent = new Agent({ keepAlive: false, earlyRequests, ...trust });
    t.after(() => agent.destroy());
    const { socket } = await ask(agent, port);
    assert.equal(socket.mayfly?.earlyData, undefined, 'the first visit has no session');
    await settle();
    return { relay, port, server, agent };
  }

  test('sends safe requests early, and has the answer before the server has its Finished', async (t) => {
    const seen: Seen[] = [];
    const { relay, port, agent } = await withAgent(t, noting(seen));
    relay.hold();
    const answer = await ask(agent, port);
    assert.equal(answer.body, 'GET early');
    assert.equal(answer.socket.mayfly?.earlyData, 'taken');
    assert.equal(seen[1].header, '1');
  });

  test('sends nothing early without the option', async (t) => {
    const seen: Seen[] = [];
    const { port, agent } = await withAgent(t, noting(seen), false);
    const answer = await ask(agent, port);
    assert.equal(answer.body, 'GET late');
    assert.equal(answer.socket.mayfly?.resumed, true);
    assert.equal(answer.socket.mayfly?.earlyData, undefined);
  });

  test('never sends others early', async (t) => {
    const seen: Seen[] = [];
    const { port, agent } = await withAgent(t, noting(seen));
    for (const method of ['POST', 'PUT', 'PATCH']) {
      const answer = await ask(agent, port, method, 'body');
      assert.equal(answer.body, `${method} late`);
      assert.equal(answer.socket.mayfly?.earlyData, undefined, 'it is not even offered');
      await settle();
    }
  });

  test('sends what was refused once more when the handshake is complete', async (t) => {
    const seen: Seen[] = [];
    const { port, agent, server } = await withAgent(t, noting(seen));
    (server as unknown as { sessions: { flush(): void } }).sessions.flush();
    const answer = await ask(agent, port);
    assert.equal(answer.body, 'GET late');
    assert.equal(answer.socket.mayfly?.earlyData, 'refused');
    assert.deepEqual(
      seen.map(({ method }) => method),
      ['GET', 'GET'],
    );
  });

  test('asks once more where the server says 425 (Too Early)', async (t) => {
    const asked: string[] = [];
    const { port, agent } = await withAgent(t, (incoming, response) => {
      const early = incoming.headers['early-data'] === '1';
      asked.push(`${incoming.url} ${incoming.headers['x-mine']} ${early}`);
      response.statusCode = early ? 425 : 200;
      response.end(early ? 'too early' : 'now it is fine');
    });
    const answer = await ask(agent, port);
    assert.equal(answer.status, 200);
    assert.equal(answer.body, 'now it is fine');
    assert.deepEqual(asked, ['/x kept false', '/x kept true', '/x kept false']);
  });

  test('hands on a 425 to what was not early data, and a second one', async (t) => {
    let answers = 0;
    const { port, agent } = await withAgent(t, (_incoming, response) => {
      answers++;
      response.statusCode = answers === 1 ? 200 : 425;
      response.end('too early');
    });
    const second = await ask(agent, port);
    assert.equal(second.status, 425);
    assert.equal(answers, 3, 'asked once more, and no more');
    await settle();
    const post = await ask(agent, port, 'POST', 'body');
    assert.equal(post.status, 425);
    assert.equal(answers, 4);
  });

  test('a request that is destroyed while it is asked once more stays so', async (t) => {
    let answers = 0;
    const { port, agent } = await withAgent(t, (incoming, response) => {
      answers++;
      if (answers === 3) {
        return;
      }
      response.statusCode = incoming.headers['early-data'] === '1' ? 425 : 200;
      response.end();
    });
    const made = request({ host: '127.0.0.1', servername: 'localhost', port, agent: agent as never });
    const failed = once(made, 'error');
    made.end();
    for (let i = 0; answers < 3 && i < 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    made.destroy(new Error('enough'));
    const [error] = await failed;
    assert.equal((error as Error).message, 'enough');
  });
});
