/** HTTP/1.1 as `node:https` does it: each program runs over `node:tls` and over Mayfly at either end, and sees the same. */

import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import * as nodeHttps from 'node:https';
import type { Duplex } from 'node:stream';
import * as ourHttps from '../../src/node/https.ts';
import { closing, collect, delay, listen, serverOptions, trust } from './support.ts';
import { attempt, brief, compareAll, type Ends, log, type Programs } from './witness.ts';

type Https = typeof nodeHttps;

class Meeting {
  readonly server: nodeHttps.Server;
  readonly #client: Https;
  port = 0;

  constructor({ server, client }: Ends<Https>, options: nodeHttps.ServerOptions = {}) {
    this.#client = client;
    this.server = server.createServer({ ...serverOptions, ...options });
  }

  async listen(): Promise<this> {
    this.port = await listen(this.server);
    return this;
  }

  agent(options: nodeHttps.AgentOptions = {}): nodeHttps.Agent {
    return new this.#client.Agent({ ...trust, ...options });
  }

  request(options: nodeHttps.RequestOptions = {}): ClientRequest {
    return this.#client.request({ host: 'localhost', port: this.port, agent: false, ...trust, ...options });
  }

  async end(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

async function answer(request: ClientRequest, body?: string): Promise<[number | undefined, string]> {
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return [response.statusCode, String(await collect(response))];
}

const programs: Programs<Https> = {
  async 'the events of a request and its response'(ends) {
    const seen: Record<string, unknown[]> = { request: [], incoming: [], response: [] };
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (request, response) => {
      log(seen.incoming, request, 'request', 'end', 'close', 'aborted', 'error');
      log(seen.response, response, 'response', 'prefinish', 'finish', 'close');
      request.resume().on('end', () => response.end('x'));
    });
    const request = meeting.request({ method: 'POST' });
    log(seen.request, request, 'client', 'socket', 'finish', 'response', 'close', 'error', 'timeout');
    seen.request.push(await answer(request, 'hello'));
    await delay(20);
    await meeting.end();
    return seen;
  },

  async 'what request and response show of their socket'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const { encrypted, authorized, alpnProtocol, servername } = request.socket as unknown as Record<string, unknown>;
      seen.push([encrypted, authorized, alpnProtocol, servername, request.socket === response.socket]);
      const { remoteAddress, remoteFamily, localAddress, writable, readable, destroyed, readyState } = request.socket;
      seen.push([remoteAddress, remoteFamily, localAddress, writable, readable, destroyed, readyState]);
      seen.push([request.httpVersion, request.complete, request.aborted, request.connection === request.socket]);
      response.on('close', () => seen.push([response.socket === null, request.complete]));
      response.end();
    });
    const request = meeting.request({ ALPNProtocols: ['http/1.1'] } as object);
    await answer(request);
    seen.push([request.reusedSocket, request.protocol, request.host, request.path, request.destroyed]);
    await delay(20);
    await meeting.end();
    return seen;
  },

  async '100, 102, 103 and 417'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('checkContinue', (request, response) => {
      response.writeContinue();
      response.writeProcessing();
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      request.resume().on('end', () => response.end('x'));
    });
    meeting.server.on('checkExpectation', (_request, response) => {
      response.statusCode = 417;
      response.end();
    });
    const request = meeting.request({ method: 'POST', headers: { expect: '100-continue' } });
    request.on('information', ({ statusCode, headers }) => seen.push([statusCode, headers.link]));
    request.flushHeaders();
    await once(request, 'continue');
    seen.push(await answer(request, 'hello'), await answer(meeting.request({ headers: { expect: 'else' } })));
    await meeting.end();
    return seen;
  },

  async 'trailers of both'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (request, response) => {
      request.resume().on('end', () => {
        seen.push({ ...request.trailers });
        response.writeHead(200, { trailer: 'after' });
        response.write('x');
        response.addTrailers({ after: 'y' });
        response.end();
      });
    });
    const request = meeting.request({ method: 'POST', headers: { trailer: 'last', 'transfer-encoding': 'chunked' } });
    request.write('body');
    request.addTrailers({ last: 'z' });
    request.end();
    const [response] = await once(request, 'response');
    await collect(response);
    await meeting.end();
    return [seen, { ...response.trailers }, response.rawTrailers];
  },

  async 'upgrades, taken and not, and CONNECT'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (_request, response) => response.end('not upgraded'));
    const upgrade = { connection: 'upgrade', upgrade: 'echo' };
    const tunnel = (request: ClientRequest, event: string) =>
      new Promise<string>((resolve) => {
        request.on(event, async (response: IncomingMessage, socket: Duplex, head: Buffer) => {
          seen.push([event, response.statusCode, String(head)]);
          socket.end('to and fro');
          resolve(String(await collect(socket)));
        });
        request.end();
      });
    meeting.server.on('upgrade', (request, socket, head) => {
      seen.push([request.url, head.length, socket.constructor.name]);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhead ');
      socket.pipe(socket);
    });
    meeting.server.on('connect', (request, socket) => {
      seen.push(request.url);
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(socket);
    });
    seen.push(await tunnel(meeting.request({ path: '/up', headers: upgrade }), 'upgrade'));
    seen.push(
      await tunnel(meeting.request({ method: 'CONNECT', path: 'example.com:443', servername: 'localhost' }), 'connect'),
    );
    await meeting.end();
    return seen;
  },

  async 'requests that the client gives up'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (request, response) => {
      request.on('error', () => {});
      response.on('close', () => seen.push(['server', request.url, response.writableFinished, request.destroyed]));
      if (request.url === '/begun') {
        response.write('begun');
      }
    });
    for (const [path, end] of [
      ['/unanswered', (request: ClientRequest) => request.destroy()],
      ['/begun', (request: ClientRequest) => request.destroy(new Error('of the application'))],
      ['/aborted', (request: ClientRequest) => request.abort()],
    ] as const) {
      const request = meeting.request({ path });
      log(seen, request, path, 'error', 'close', 'abort');
      const served = once(meeting.server, 'request');
      const begun = path === '/begun' ? once(request, 'response') : served;
      request.end();
      const [response] = await begun;
      if (path === '/begun') {
        response.on('error', (error: Error) => seen.push(['response', brief(error)]));
      }
      await served;
      const gone = closing(request);
      end(request);
      await gone;
      await delay(20);
    }
    const controller = new AbortController();
    const request = meeting.request({ signal: controller.signal });
    log(seen, request, 'signal', 'error', 'close');
    controller.abort();
    await closing(request);
    await meeting.end();
    return seen;
  },

  async 'answers that the server cuts off'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (request, response) => {
      if (request.url === '/length') {
        response.setHeader('content-length', 100);
      }
      if (request.url !== '/nothing') {
        response.write('begun');
      }
      setTimeout(() => request.socket.destroy(), 20);
    });
    for (const path of ['/nothing', '/chunked', '/length']) {
      const request = meeting.request({ path });
      log(seen, request, path, 'error', 'close');
      request.on('response', (response) => {
        log(seen, response, `${path}, response`, 'aborted', 'error', 'end');
        response.on('close', () => seen.push([path, response.complete]));
        response.resume();
      });
      request.end();
      await closing(request);
      await delay(20);
    }
    await meeting.end();
    return seen;
  },

  async 'agents that keep connections, and those that limit them'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    const ports = new Set<unknown>();
    meeting.server.on('request', (request, response) => {
      ports.add(request.socket.remotePort);
      setTimeout(() => response.end(request.url), 5);
    });
    const agent = meeting.agent({ keepAlive: true, maxSockets: 2, maxFreeSockets: 1 });
    const state = () =>
      [agent.sockets, agent.freeSockets, agent.requests].map((each) => Object.values(each).map((list) => list?.length));
    const requests = Array.from({ length: 5 }, (_, i) => answer(meeting.request({ agent, path: `/${i}` })));
    await delay(1);
    seen.push(state(), (await Promise.all(requests)).map(([, text]) => text).sort(), ports.size);
    await delay(20);
    seen.push(state());
    const reused = meeting.request({ agent });
    seen.push(await answer(reused), reused.reusedSocket, ports.size);
    agent.destroy();
    await delay(20);
    seen.push(state());
    await meeting.end();
    return seen;
  },

  async 'time-outs of requests, sockets and servers'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends, { headersTimeout: 100, connectionsCheckingInterval: 20 }).listen();
    meeting.server.on('request', (request, response) => {
      if (request.url === '/server') {
        response.setTimeout(30, () => response.end('late'));
      }
    });
    const request = meeting.request({ path: '/client', timeout: 30 });
    log(seen, request, 'client', 'timeout', 'error', 'close');
    request.on('timeout', () => request.destroy());
    request.end();
    await closing(request);
    seen.push(await answer(meeting.request({ path: '/server' })));
    // A head that is never complete.
    const slow = meeting.request({ path: '/slow', createConnection: undefined } as object);
    slow.on('error', () => {});
    const socket = await new Promise<Duplex>((resolve) => slow.on('socket', resolve));
    await once(socket, 'secureConnect');
    socket.write('GET / HTTP/1.1\r\n');
    const text = await Promise.race([once(slow, 'response').then(([response]) => response.statusCode), closing(slow)]);
    seen.push(text);
    slow.destroy();
    await meeting.end();
    return seen;
  },

  async 'what is not HTTP, and what is too large'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends, { maxHeaderSize: 2_000 }).listen();
    meeting.server.on('clientError', (error, socket) => {
      seen.push([brief(error), socket.constructor.name, socket.writable]);
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    });
    const large = meeting.request({ headers: { x: 'y'.repeat(3_000) } });
    seen.push(await answer(large).catch(brief));
    await meeting.end();
    const silent = await new Meeting(ends, { maxHeaderSize: 2_000 }).listen();
    // Node destroys the connection after its answer, whose end nothing else tells.
    const truncated = { headers: { x: 'y'.repeat(3_000) }, allowTruncation: true };
    seen.push(await answer(silent.request(truncated)).catch(brief));
    await silent.end();
    return seen;
  },

  async 'connections that the server ends: idle ones, all, and those that have served enough'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.maxRequestsPerSocket = 2;
    const connections: string[] = [];
    meeting.server.on('request', (_request, response) => response.end('x'));
    const agent = meeting.agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 4; i++) {
      const request = meeting.request({ agent });
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      connections.push(`${response.headers.connection} ${response.headers['keep-alive']} ${request.reusedSocket}`);
      await collect(response);
      await delay(10);
    }
    seen.push(connections);
    const count = () => new Promise((resolve) => meeting.server.getConnections((_error, n) => resolve(n)));
    seen.push(await answer(meeting.request({ agent })), await count());
    meeting.server.closeIdleConnections();
    await delay(30);
    seen.push(await count());
    agent.destroy();
    await meeting.end();
    seen.push(await count());
    return seen;
  },

  async 'names, servers that are not there, and wrong options'({ client, server }) {
    const seen: unknown[] = [];
    const meeting = await new Meeting({ client, server }).listen();
    meeting.server.on('request', (_request, response) => response.end('x'));
    const checkServerIdentity = (name: string) => {
      seen.push(name);
      return undefined;
    };
    seen.push(await answer(meeting.request({ host: '127.0.0.1', servername: 'other.example', checkServerIdentity })));
    const own = () => new Error('of the application');
    // Ours has a code of its own, and this as its cause.
    seen.push(
      await answer(meeting.request({ checkServerIdentity: own })).catch((error) => brief(error.cause ?? error)),
    );
    const { port } = meeting;
    await meeting.end();
    seen.push(await answer(client.request({ host: 'localhost', port, agent: false })).catch(brief));
    seen.push(
      attempt(() => client.request('http://localhost/')),
      attempt(() => client.request({ path: '/ a' })),
    );
    seen.push(
      attempt(() => client.request({ method: 'G T' })),
      attempt(() => client.request('nonsense')),
    );
    return seen;
  },
};

compareAll(programs, nodeHttps, ourHttps as unknown as Https);
