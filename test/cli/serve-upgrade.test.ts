/** WebSocket upgrades through the proxy, byte by byte: how they begin, how they do not, and how they end. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket, createServer as tcpServer } from 'node:net';
import { after, beforeEach, test } from 'node:test';
import { askInText, front, portOf, WEBSOCKET_ACCEPT, WEBSOCKET_KEY } from './forwarding-support.ts';
import type { Owner } from './support.ts';

let behave: (socket: Socket, said: string) => unknown;
const sockets = new Set<Socket>();
const upstream = tcpServer({ allowHalfOpen: true }, (socket) => {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket)).on('error', () => {});
  socket.once('data', (said) => behave(socket, said.toString('latin1')));
});
const port = await portOf({ after }, upstream);
const server = await front({ after }, port, 1, 400, { connections: 1, queue: { size: 1, patience: 100 } });

const UPGRADE = `GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n${WEBSOCKET_KEY}\r\n`;
const SWITCHED = `HTTP/1.1 101 Odd\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n${WEBSOCKET_ACCEPT}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\n`;

const AGREED = '101 Odd\r\nConnection: upgrade\r\nUpgrade: websocket\r\n';

beforeEach(() => {
  server.failures.length = 0;
});

/** Asks, and sends `more` at once. */
function dial(t: Owner, more = ''): { socket: Socket; text: () => string; until: (part: string) => Promise<void> } {
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => socket.destroy());
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
  });
  socket.write(UPGRADE + more, 'latin1');
  return {
    socket,
    text: () => text,
    async until(part) {
      while (!text.includes(part)) {
        await once(socket, 'data');
      }
    },
  };
}

function endsToo(socket: Socket): Socket {
  return socket.resume().once('end', () => socket.end());
}

async function allClosed(): Promise<void> {
  for (const socket of sockets) {
    await new Promise((resolve) => socket.once('close', resolve));
  }
}

test('each side may end first and still hears all that the other has to say', async (t) => {
  const much = 'm'.repeat(8_000_000);
  for (const first of ['client', 'upstream'] as const) {
    let heard = '';
    let asked = '';
    behave = (socket, said) => {
      asked = said;
      socket.write(`${SWITCHED}hello `);
      socket.on('data', (bytes) => {
        heard += bytes.toString('latin1');
      });
      const answer = () => socket.end(much);
      first === 'client' ? socket.once('end', answer) : answer();
    };
    const { socket, text, until } = dial(t, 'early ');
    await until('hello ');
    if (first === 'upstream') {
      await once(socket, 'end');
    }
    socket.end(much);
    await allClosed();
    await new Promise((resolve) => (socket.closed ? resolve(0) : socket.once('close', resolve)));
    assert.match(asked, /^GET \/chat HTTP\/1\.1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n/);
    assert.match(asked, /\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n$/);
    assert.equal(heard.length, much.length + 6);
    const [head, body] = [text().slice(0, text().indexOf('\r\n\r\n')), text().slice(text().indexOf('\r\n\r\n') + 4)];
    assert.match(head, /^HTTP\/1\.1 101 [\s\S]*\r\nset-cookie: a=1\r\nset-cookie: b=2/i);
    assert.match(head, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
    assert.doesNotMatch(head, /x-hop|content-length/i);
    assert.equal(body.length, much.length + 6);
  }
  assert.deepEqual(server.failures, []);
});

test('a side that is cut off takes the other with it, which is nobody’s failure', async (t) => {
  for (const first of ['client', 'upstream'] as const) {
    let far: Socket | undefined;
    behave = (socket) => {
      far = socket;
      endsToo(socket).write(`${SWITCHED}hello`);
    };
    const { socket, until } = dial(t);
    await until('hello');
    (first === 'client' ? socket : (far as Socket)).resetAndDestroy();
    await allClosed();
    await new Promise((resolve) => (socket.closed ? resolve(0) : socket.end().once('close', resolve)));
  }
  assert.deepEqual(server.failures, []);
});

test('a refusal is passed on as what it is, and so is no answer', async () => {
  for (const [answer, expected] of [
    [
      '403 No\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 1\r\n\r\n2\r\nno\r\n0\r\n\r\n',
      /^HTTP\/1\.1 403 No\r\n[\s\S]*2\r\nno\r\n0\r\n\r\n$/,
    ],
    [`200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1_000_000)}`, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nx+$/],
    ['426 No\r\nContent-Length: 0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', /^HTTP\/1\.1 426 No\r\n/],
    ['200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', /^HTTP\/1\.1 502 /],
    // To no protocol, and to another one.
    ['101 Odd\r\n\r\n', /^HTTP\/1\.1 502 /],
    [`101 Odd\r\nConnection: upgrade\r\nUpgrade: h2c\r\n${WEBSOCKET_ACCEPT}\r\n`, /^HTTP\/1\.1 502 /],
    [`101 Odd\r\nUpgrade: websocket\r\n${WEBSOCKET_ACCEPT}\r\n`, /^HTTP\/1\.1 502 /],
    // To WebSocket, but not with this client: no answer to its key, that to another one, and two.
    [`${AGREED}\r\n`, /^HTTP\/1\.1 502 [\s\S]*Sec-WebSocket-Accept/],
    [`${AGREED}${WEBSOCKET_ACCEPT.replace('s3p', 'S3p')}\r\n`, /^HTTP\/1\.1 502 /],
    [`${AGREED}${WEBSOCKET_ACCEPT}${WEBSOCKET_ACCEPT}\r\n`, /^HTTP\/1\.1 502 /],
    ['', /^HTTP\/1\.1 504 /],
  ] as const) {
    behave = (socket) => endsToo(socket).write(answer === '' ? '' : `HTTP/1.1 ${answer}`);
    // What a client that hopes for more says after its request goes nowhere.
    const text = await askInText(server.port, UPGRADE, 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(text, expected);
    assert.match(text, /\r\nconnection: close\r\n/i);
    assert.doesNotMatch(text, /keep-alive/i);
    await allClosed();
  }
});

test('a client that leaves before the answer ends its request; an upgraded connection counts until it is closed', async (t) => {
  const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  let arrived = (): void => {};
  behave = (far) => {
    endsToo(far);
    arrived();
  };
  const asked = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const { socket } = dial(t);
  await asked;
  socket.resetAndDestroy();
  await allClosed();
  behave = (far) => endsToo(far).write(`${SWITCHED}hello`);
  const open = dial(t);
  await open.until('hello');
  assert.match(await askInText(server.port, GET), /^HTTP\/1\.1 503 /);
  open.socket.destroy();
  behave = (far) => endsToo(far).write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  assert.match(await askInText(server.port, GET), /^HTTP\/1\.1 200 /);
  assert.deepEqual(server.failures, ['QUEUE_TIMEOUT']);
});

test('a request to upgrade whose key is none, or that is none of HTTP/1.1 to WebSocket, goes nowhere', async () => {
  let heard = 0;
  behave = (socket) => {
    heard++;
    endsToo(socket).write(SWITCHED);
  };
  const key = (value: string): string => WEBSOCKET_KEY.replace(/(?<=: ).*(?=\r)/, value);
  for (const lines of [
    '',
    WEBSOCKET_KEY.repeat(2),
    key(''),
    // 15 and 17 bytes, and what base64 is not.
    key('dGhlIHNhbXBsZSBub25j'),
    key('dGhlIHNhbXBsZSBub25jZWE='),
    key('dGhlIHNhbXBsZSBub25jZ===='),
    key('dGhlIHNhbXBsZSBub25j-_=='),
    WEBSOCKET_KEY.replaceAll('-', '_'),
  ]) {
    const text = await askInText(server.port, UPGRADE.replace(WEBSOCKET_KEY, lines));
    assert.match(text, /^HTTP\/1\.1 400 [\s\S]*Sec-WebSocket-Key/, lines);
    assert.match(text, /\r\nconnection: close\r\n/i);
  }
  for (const other of [
    UPGRADE.replace('HTTP/1.1', 'HTTP/1.0'),
    UPGRADE.replace('GET', 'POST'),
    UPGRADE.replace('WebSocket\r', 'h2c\r'),
  ]) {
    assert.match(await askInText(server.port, other), /^HTTP\/1\.1 501 /);
  }
  assert.equal(heard, 0);
});
