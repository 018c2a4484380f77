/** Streams of HTTP/2 as `node:http2` has them: each program runs over `node:tls` and over Mayfly at either end, and sees the same. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as nodeHttp2 from 'node:http2';
import { fileURLToPath } from 'node:url';
import { answer, type End, Meeting, node, ours } from './http2-witness.ts';
import { closing, collect, delay } from './support.ts';
import { attempt, brief, compareAll, log, type Programs } from './witness.ts';

const programs: Programs<End> = {
  async 'the socket of requests and responses of the compatible API'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: unknown[] = [];
    meeting.server.on('request', (request, response) => {
      for (const { socket } of [request, response]) {
        const { encrypted, authorized, alpnProtocol, servername } = socket as unknown as Record<string, unknown>;
        seen.push([encrypted, authorized, alpnProtocol, servername, socket.remoteAddress, socket.localAddress]);
        seen.push([typeof socket.remotePort, socket.destroyed, socket.writable, 'encrypted' in socket]);
        seen.push([attempt(() => socket.write), attempt(() => socket.pause), typeof socket.setTimeout]);
      }
      seen.push([
        request.httpVersion,
        request.authority.replace(/\d+$/, ''),
        request.scheme,
        request.url,
        request.method,
      ]);
      seen.push([request.headers.a, request.rawHeaders.slice(-2), request.complete, request.aborted]);
      response.on('close', () => seen.push(['close', response.socket === undefined, request.socket === undefined]));
      response.on('finish', () => seen.push(['finish', response.writableEnded]));
      response.writeHead(201, { b: 'c' });
      response.end('done');
    });
    const [client] = await meeting.both();
    seen.push(await answer(client.request({ ':path': '/p', a: '1' })));
    await delay(10);
    await meeting.end(client);
    return seen;
  },

  async 'pushed streams'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: unknown[] = [];
    meeting.server.on('stream', (stream) => {
      seen.push(stream.pushAllowed);
      stream.pushStream({ ':path': '/pushed' }, (error, pushed, headers) => {
        seen.push(error, headers[':path']);
        pushed.respond({ ':status': 200, p: '1' });
        pushed.end('pushed');
        stream.respond();
        stream.end('asked');
      });
    });
    const [client] = await meeting.both();
    const pushed = new Promise<unknown[]>((resolve) => {
      client.on('stream', (stream, { ':path': path }) => {
        stream.on('push', async ({ p }) => resolve([path, p, String(await collect(stream))]));
      });
    });
    seen.push(await answer(client.request()), await pushed);
    await meeting.end(client);
    return seen;
  },

  async 'CONNECT, and that of RFC 8441 for WebSockets'(ends) {
    const meeting = await new Meeting(ends, { settings: { enableConnectProtocol: true } }).listen();
    const seen: unknown[] = [];
    meeting.server.on('stream', (stream, headers) => {
      seen.push([headers[':method'], headers[':protocol'], headers[':path'], headers[':scheme']]);
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const [client] = await meeting.both();
    if (!client.remoteSettings.enableConnectProtocol) {
      await once(client, 'remoteSettings');
    }
    seen.push(client.remoteSettings.enableConnectProtocol);
    const authority = 'example.com:443';
    seen.push(
      await answer(client.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false }), 'a'),
    );
    const websocket = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' };
    seen.push(await answer(client.request(websocket, { endStream: false }), 'b'));
    seen.push(attempt(() => client.request({ ':method': 'CONNECT' })));
    await meeting.end(client);
    return seen;
  },

  async 'trailers, 100 and 103'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: unknown[] = [];
    meeting.server.on('request', () => seen.push('not expected'));
    meeting.server.on('checkContinue', (request, response) => {
      response.writeContinue();
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      request.on('trailers', (trailers: object) => seen.push(['request', { ...trailers }]));
      request.resume().on('end', () => {
        seen.push(['all', { ...request.trailers }]);
        response.addTrailers({ after: 'x' });
        response.end('body');
      });
    });
    const [client] = await meeting.both();
    const stream = client.request(
      { ':method': 'POST', expect: '100-continue' },
      { waitForTrailers: true, endStream: false },
    );
    stream.on('headers', (headers) => seen.push(['informed', headers[':status'], headers.link]));
    stream.on('trailers', ({ after }) => seen.push(['answered', after]));
    stream.on('wantTrailers', () => stream.sendTrailers({ last: 'y' }));
    await once(stream, 'continue');
    seen.push(await answer(stream, 'hello'));
    await meeting.end(client);
    return seen;
  },

  async 'headers that are sensitive, and what does not fit'(ends) {
    const meeting = await new Meeting(ends, { maxHeaderListPairs: 12 }).listen();
    const seen: unknown[] = [];
    meeting.server.on('stream', (stream, headers) => {
      seen.push([headers.secret, headers[nodeHttp2.sensitiveHeaders as unknown as string], headers.cookie]);
      stream.respond();
      stream.end();
    });
    const [client] = await meeting.both();
    const secret = { secret: 's', cookie: 'a=b', [nodeHttp2.sensitiveHeaders]: ['secret'] };
    await answer(client.request(secret as nodeHttp2.OutgoingHttpHeaders));
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'v']));
    const refused = client.request(many);
    refused.on('error', (error) => seen.push(brief(error)));
    await closing(refused);
    seen.push(refused.rstCode);
    await meeting.end(client);
    return seen;
  },

  async files(ends) {
    const meeting = await new Meeting(ends).listen();
    const path = fileURLToPath(import.meta.url);
    const seen: unknown[] = [];
    meeting.server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/part') {
        stream.respondWithFile(path, { a: 'b' }, { offset: 10, length: 300 });
        return;
      }
      const onError = (error: unknown) => {
        seen.push(brief(error));
        stream.respond({ ':status': 404 });
        stream.end();
      };
      stream.respondWithFile(headers[':path'] === '/' ? path : `${path}-not`, {}, { onError });
    });
    const [client] = await meeting.both();
    const whole = readFileSync(path, 'utf8');
    seen.push((await answer(client.request()))[1] === whole, await answer(client.request({ ':path': '/not' })));
    seen.push(Buffer.from((await answer(client.request({ ':path': '/part' })))[1]).length);
    await meeting.end(client);
    return seen;
  },

  async 'streams that either end aborts'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: Record<string, unknown[]> = { client: [], server: [] };
    meeting.server.on('stream', (stream, headers) => {
      log(seen.server, stream, String(headers[':path']), 'aborted', 'error');
      stream.on('close', () => seen.server.push(['close', stream.rstCode, stream.aborted]));
      stream.respond();
      stream.write('begun');
      if (headers[':path'] === '/server') {
        stream.close(nodeHttp2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      }
    });
    const [client] = await meeting.both();
    for (const path of ['/client', '/server']) {
      const stream = client.request({ ':path': path, ':method': 'POST' });
      log(seen.client, stream, path, 'aborted', 'error');
      stream.on('response', () => {
        if (path === '/client') {
          stream.close(nodeHttp2.constants.NGHTTP2_CANCEL);
        }
      });
      stream.resume();
      await closing(stream);
      seen.client.push([stream.rstCode, stream.aborted]);
    }
    await delay(10);
    await meeting.end(client);
    return seen;
  },
};

compareAll(programs, node, ours);
