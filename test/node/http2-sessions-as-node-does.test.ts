/** Sessions of HTTP/2 as `node:http2` has them: each program runs over `node:tls` and over Mayfly at either end, and sees the same. */

import { once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { answer, type ClientOptions, type End, Meeting, node, ours, type ServerOptions } from './http2-witness.ts';
import { closing, collect, delay, listen, serverOptions, trust } from './support.ts';
import { attempt, compareAll, log, type Programs } from './witness.ts';

const programs: Programs<End> = {
  async 'the events of a session that is closed in peace'(ends) {
    const seen: { client: unknown[]; server: unknown[] } = { client: [], server: [] };
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('session', (session) => {
      log(seen.server, session, 'session', 'connect', 'close', 'error', 'goaway', 'frameError', 'aborted');
    });
    meeting.server.on('stream', (stream) => {
      log(seen.server, stream, 'stream', 'end', 'finish', 'close', 'aborted', 'error');
      stream.resume();
      stream.respond();
      stream.end('x');
    });
    const session = meeting.open();
    log(seen.client, session, 'session', 'connect', 'localSettings', 'close', 'error', 'goaway');
    await once(session, 'connect');
    const stream = session.request();
    log(seen.client, stream, 'stream', 'end', 'finish', 'close', 'aborted', 'error');
    await answer(stream);
    await meeting.end(session);
    return seen;
  },

  async 'the properties of both sessions and of what they show as their socket'(ends) {
    const meeting = await new Meeting(ends, { ciphers: 'TLS_AES_128_GCM_SHA256', ecdhCurve: 'X25519' }).listen();
    const [client, server] = await meeting.both();
    await new Promise((resolve) => client.ping(resolve));
    const known = (session: nodeHttp2.Http2Session) => {
      const socket = session.socket as unknown as Record<string, (...args: unknown[]) => unknown>;
      const address = session.socket.address() as AddressInfo;
      return {
        session: [session.encrypted, session.alpnProtocol, session.type, session.connecting, session.closed],
        more: [
          session.destroyed,
          session.originSet?.map((origin) => origin.replace(/\d+$/, '')),
          Object.keys(session.state),
        ],
        settings: [session.localSettings, session.remoteSettings],
        socket: [
          socket.encrypted,
          socket.authorized,
          socket.authorizationError,
          socket.alpnProtocol,
          socket.servername,
        ],
        state: [
          socket.connecting,
          socket.secureConnecting,
          socket.destroyed,
          socket.readable,
          socket.writable,
          socket.pending,
        ],
        ready: socket.readyState,
        address: [address.address, address.family, typeof address.port, socket.remoteAddress, socket.remoteFamily],
        local: [socket.localAddress, socket.localFamily, typeof socket.localPort, typeof socket.remotePort],
        tls: [socket.getProtocol(), socket.getCipher(), socket.isSessionReused(), socket.getEphemeralKeyInfo()],
        peer: (socket.getPeerCertificate() as { subject?: { CN?: string } }).subject?.CN,
        finished: [typeof socket.getFinished(), typeof socket.getPeerFinished()],
        keying: (socket.exportKeyingMaterial(32, 'EXPERIMENTAL x') as Buffer).length,
        own: [typeof socket.getSession, typeof socket.getTLSTicket, typeof socket.setMaxSendFragment],
        names: ['renegotiate', 'disableRenegotiation', 'enableTrace', 'getSharedSigalgs', 'getX509Certificate'].map(
          (name) => typeof socket[name],
        ),
        forbidden: ['emit', 'end', 'pause', 'read', 'resume', 'write', 'setEncoding', 'setKeepAlive', 'setNoDelay'].map(
          (name) => attempt(() => socket[name]),
        ),
        counts: [typeof socket.bytesRead, typeof socket.bytesWritten],
      };
    };
    const report = [known(client), known(server)];
    await meeting.end(client);
    const { socket } = client;
    return [...report, attempt(() => socket?.remoteAddress), client.closed, client.destroyed];
  },

  async 'settings, pings and windows'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends, { settings: { maxConcurrentStreams: 7 } }).listen();
    const [client, server] = await meeting.both({ settings: { initialWindowSize: 100_000 } });
    if (client.remoteSettings.maxConcurrentStreams !== 7) {
      await once(client, 'remoteSettings');
    }
    seen.push(client.remoteSettings.maxConcurrentStreams, server.remoteSettings.initialWindowSize);
    const told = once(client, 'remoteSettings');
    const acknowledged = new Promise((resolve) =>
      server.settings({ enablePush: false, maxFrameSize: 20_000 }, resolve),
    );
    seen.push(server.pendingSettingsAck, (await told)[0].maxFrameSize);
    await acknowledged;
    seen.push(server.localSettings.maxFrameSize, server.pendingSettingsAck);
    for (const session of [client, server]) {
      const [error, duration, payload] = await new Promise<unknown[]>((resolve) => {
        seen.push(session.ping(Buffer.from('12345678'), (...args) => resolve(args)));
      });
      seen.push(error, typeof duration, String(payload));
    }
    client.setLocalWindowSize(200_000);
    seen.push(client.state.effectiveLocalWindowSize);
    meeting.server.updateSettings({ maxConcurrentStreams: 9 });
    const [other] = await meeting.both();
    if (other.remoteSettings.maxConcurrentStreams !== 9) {
      await once(other, 'remoteSettings');
    }
    seen.push(other.remoteSettings.maxConcurrentStreams);
    const gone = closing(other);
    other.close();
    await gone;
    await meeting.end(client);
    return seen;
  },

  async 'ORIGIN and ALTSVC'(ends) {
    const meeting = await new Meeting(ends, { origins: ['https://a.example', 'https://b.example:8443'] }).listen();
    const seen: unknown[] = [];
    meeting.server.on('session', (session) => {
      session.altsvc('h2=":8000"', 'https://a.example:80');
      session.origin('https://c.example');
    });
    meeting.server.on('stream', (stream) => {
      (stream.session as nodeHttp2.ServerHttp2Session).altsvc('h2=":8001"', stream.id as number);
      stream.respond();
      stream.end();
    });
    const session = meeting.open();
    log(seen, session, 'session', 'origin', 'altsvc');
    await once(session, 'connect');
    await answer(session.request());
    seen.push(session.originSet?.map((origin) => origin.replace(/localhost:\d+$/, 'localhost')));
    await meeting.end(session);
    return [seen, session.originSet];
  },

  async 'GOAWAY with data'(ends) {
    const seen: unknown[] = [];
    for (const code of [0, 11]) {
      const meeting = await new Meeting(ends).listen();
      const [client, server] = await meeting.both();
      log(seen, client, 'client', 'goaway', 'error');
      const told = new Promise((resolve) => client.once('goaway', resolve));
      server.on('error', () => {});
      server.goaway(code, 0, Buffer.from('why'));
      await told;
      const { goawayCode, goawayLastStreamID } = client as unknown as Record<string, unknown>;
      seen.push(goawayCode, goawayLastStreamID, client.closed, client.destroyed);
      const gone = Promise.all([closing(client), closing(server)]);
      server.destroy();
      await gone;
      await meeting.end();
    }
    return seen;
  },

  async 'a session that is destroyed, with an error, with a code and without'(ends) {
    const seen: unknown[] = [];
    for (const how of [undefined, 8, new Error('of the application')]) {
      const meeting = await new Meeting(ends).listen();
      meeting.server.on('stream', (stream) => stream.on('error', () => {}));
      const [client, server] = await meeting.both();
      const told: unknown[] = [];
      const served: unknown[] = [];
      log(told, client, 'client', 'error', 'close');
      log(served, server, 'server', 'goaway', 'close');
      server.on('error', () => {});
      const stream = client.request();
      log(told, stream, 'stream', 'error', 'close');
      const both = Promise.all([closing(client), closing(server)]);
      await once(meeting.server, 'stream');
      client.destroy(how as Error);
      await both;
      seen.push(told, served);
      await meeting.end();
    }
    return seen;
  },

  async 'time-outs of sessions, streams and servers'(ends) {
    const seen: unknown[] = [];
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('stream', (stream) => stream.on('error', () => {}));
    const [client, server] = await meeting.both();
    await Promise.all(
      [client, server].map((session) => new Promise<void>((resolve) => session.setTimeout(20, resolve))),
    );
    const shown = client.socket;
    await new Promise<void>((resolve) => shown.setTimeout(30, resolve));
    shown.setTimeout(0);
    const stream = client.request();
    stream.on('error', () => {});
    await new Promise<void>((resolve) => stream.setTimeout(20, resolve));
    client.destroy();
    await meeting.end();
    const strict = await new Meeting(ends).listen();
    strict.server.setTimeout(30);
    const [other] = await strict.both();
    log(seen, other, 'other', 'goaway', 'error', 'close');
    await closing(other);
    await strict.end();
    return seen;
  },

  async 'HTTP/1.1 beside HTTP/2'(ends) {
    const meeting = await new Meeting(ends, { allowHTTP1: true }).listen();
    const seen: unknown[] = [];
    meeting.server.on('session', () => seen.push('session'));
    meeting.server.on('request', (request, response) => {
      seen.push([request.httpVersion, request.httpVersionMajor, request.constructor.name, response.constructor.name]);
      response.end('x');
    });
    const [client] = await meeting.both();
    seen.push(await answer(client.request()));
    const asked = nodeHttps.get({ host: 'localhost', port: meeting.port, ...trust, agent: false });
    const [response] = await once(asked, 'response');
    seen.push(response.httpVersion, String(await collect(response)));
    await meeting.end(client);
    return seen;
  },

  async 'a client without ALPN, told of and not'(ends) {
    const seen: unknown[] = [];
    for (const isHeard of [true, false]) {
      const meeting = await new Meeting(ends, { unknownProtocolTimeout: 100 } as ServerOptions).listen();
      if (isHeard) {
        meeting.server.on('unknownProtocol', (socket) => {
          seen.push([socket.constructor.name, socket.alpnProtocol, socket.encrypted]);
          socket.end('what?');
        });
      }
      // `node:tls` on Node 20 does not always send close_notify.
      const options = { port: meeting.port, servername: 'localhost', ...trust, allowTruncation: true };
      const socket = ends.client.tls.connect(options);
      seen.push(String(await collect(socket)).split('\r\n')[0]);
      await meeting.end();
    }
    return seen;
  },

  async 'a session on a transport that is there'(ends) {
    const { server: its } = ends;
    if (its.http2.performServerHandshake === undefined) {
      return 'not in this Node';
    }
    const seen: unknown[] = [];
    const serve = (socket: Duplex) => {
      const session = its.http2.performServerHandshake(socket, { settings: { maxConcurrentStreams: 3 } });
      session.on('stream', (stream) => {
        stream.respond();
        stream.end(`${session.encrypted} ${session.alpnProtocol} ${session.socket.remoteAddress}`);
      });
    };
    const plain = createNetServer(serve);
    const secure = its.tls.createServer({ ...serverOptions, ALPNProtocols: ['h2'] }, serve);
    for (const server of [plain, secure]) {
      const port = await listen(server);
      const client =
        server === plain
          ? nodeHttp2.connect(`http://127.0.0.1:${port}`)
          : ends.client.http2.connect(`https://localhost:${port}`, trust);
      seen.push(await answer(client.request()));
      const gone = closing(client);
      client.close();
      await gone;
      server.close();
    }
    return seen;
  },

  async 'what connect() takes and gives'(ends) {
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (_request, response) => response.end('x'));
    const { http2, tls } = ends.client;
    const seen: unknown[] = [];
    const url = new URL(`https://localhost:${meeting.port}`);
    const heard = await new Promise<unknown[]>((resolve) => {
      http2.connect(url, trust, (...args) => resolve(args));
    });
    seen.push(heard.map((one) => (one as object).constructor.name));
    (heard[0] as nodeHttp2.ClientHttp2Session).close();
    const connect = promisify(http2.connect) as unknown as typeof http2.connect;
    const promised = await connect(url, trust);
    seen.push(promised.constructor.name, promised.connecting);
    promised.close();
    const createConnection = () =>
      tls.connect({ port: meeting.port, servername: 'localhost', ALPNProtocols: ['h2'], ...trust });
    const own = http2.connect(url, { createConnection } as ClientOptions);
    seen.push(own.connecting, await answer(own.request()));
    await meeting.end(own);
    return seen;
  },

  async 'a session before it is connected'(ends) {
    const meeting = await new Meeting(ends).listen();
    meeting.server.on('request', (_request, response) => response.end('x'));
    const session = meeting.open();
    const seen: unknown[] = [session.connecting, session.encrypted, session.alpnProtocol, session.state];
    seen.push([session.localSettings, session.remoteSettings, session.originSet, session.pendingSettingsAck]);
    seen.push([session.closed, session.destroyed]);
    const stream = session.request();
    log(seen, stream, 'stream', 'ready');
    seen.push(stream.pending, stream.id, await answer(stream), stream.pending, stream.id);
    await meeting.end(session);
    return seen;
  },

  async 'a session that is closed or destroyed before it is connected'(ends) {
    const seen: unknown[] = [];
    for (const end of ['close', 'destroy'] as const) {
      const meeting = await new Meeting(ends).listen();
      const session = meeting.open();
      log(seen, session, end, 'connect', 'error', 'close');
      const gone = closing(session);
      session[end]();
      await gone;
      seen.push(session.closed, session.destroyed);
      await meeting.end();
    }
    return seen;
  },

  async 'a server that nobody listens at'(ends) {
    const meeting = await new Meeting(ends).listen();
    await meeting.end();
    const seen: unknown[] = [];
    const session = meeting.open();
    log(seen, session, 'session', 'connect', 'error', 'close');
    log(seen, session.request(), 'stream', 'ready', 'error', 'close');
    await closing(session);
    return seen;
  },

  async 'a server that is closed while a session is open'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: unknown[] = [];
    meeting.server.on('stream', (stream) => {
      meeting.server.close(() => seen.push('server closed'));
      setTimeout(() => {
        stream.respond();
        stream.end('late');
      }, 20);
    });
    const [client] = await meeting.both();
    seen.push(await answer(client.request()));
    const gone = closing(client);
    client.close();
    await gone;
    await delay(20);
    return seen;
  },

  async 'what is asked for wrongly, or too late'(ends) {
    const meeting = await new Meeting(ends).listen();
    const seen: unknown[] = [];
    meeting.server.on('request', (_request, response) => {
      response.statusCode = 418;
      response.end();
    });
    const [client] = await meeting.both();
    seen.push(await answer(client.request({ ':path': '/x', ':method': 'DELETE' })));
    seen.push(
      attempt(() => client.request({ ':nonsense': 'x' } as never)),
      attempt(() => (client as unknown as { setNextStreamID(id: number): void }).setNextStreamID(0)),
    );
    await meeting.end(client);
    seen.push(attempt(() => client.ping(() => {})));
    return seen;
  },
};

compareAll(programs, node, ours);
