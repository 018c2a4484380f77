/** HTTP/2 with those who abort, flood and break off: whatever they do, nothing of their connections is left behind. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Http2Session } from 'node:http2';
import * as net from 'node:net';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type SecretBorn, type SecretEnded, secretBorn, secretEnded } from '../../src/ledger/channels.ts';
import * as http2 from '../../src/node/http2.ts';
import { wrapperOf } from '../../src/node/http2-wrapper.ts';
import * as tls from '../../src/node/tls.ts';
import { closing, delay, listen, serverOptions, trust } from './support.ts';

const CONNECTIONS = 8;

const FRAME = { headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function uint32(...values: number[]): Buffer {
  return Buffer.concat(values.map((value) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])));
}

/** By the static table of RFC 7541: a method, the path /, https, and a name that is spelled out. */
function request(id: number, method: 'GET' | 'POST' = 'GET'): Buffer {
  const block = [method === 'GET' ? 0x82 : 0x83, 0x84, 0x87, 0x41, 9, ...Buffer.from('localhost')];
  return frame(FRAME.headers, END_HEADERS | (method === 'GET' ? END_STREAM : 0), id, Uint8Array.from(block));
}

function many(count: number, make: (id: number) => Uint8Array): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => make(1 + 2 * i)));
}

const CANCEL = uint32(8);
const EIGHT = new Uint8Array(8);

/** What a client sends after its preface; it hangs up a little later. */
const floods: Readonly<Record<string, Buffer>> = {
  'requests that are reset at once': many(2_000, (id) =>
    Buffer.concat([request(id), frame(FRAME.reset, 0, id, CANCEL)]),
  ),
  'requests with bodies that are reset': many(90, (id) =>
    Buffer.concat([request(id, 'POST'), frame(FRAME.reset, 0, id, CANCEL)]),
  ),
  'answers that are given up in their midst': many(30, request),
  'answers for which there is no room': Buffer.concat([
    frame(FRAME.settings, 0, 0, Buffer.concat([Uint8Array.from([0, 4]), uint32(0)])),
    many(30, request),
  ]),
  'settings without end': many(3_000, () => frame(FRAME.settings, 0, 0)),
  'pings without end': many(3_000, () => frame(FRAME.ping, 0, 0, EIGHT)),
  'headers without end': Buffer.concat([
    frame(FRAME.headers, 0, 1, Uint8Array.of(0x82)),
    many(300, () => frame(FRAME.continuation, 0, 1, new Uint8Array(1_000))),
  ]),
  'window updates that overflow': many(3, () => frame(FRAME.windowUpdate, 0, 0, uint32(0x7fff_ffff))),
  'a GOAWAY beside an open stream': Buffer.concat([request(1), frame(FRAME.goaway, 0, 0, uint32(0, 0))]),
  'a GOAWAY that tells of an error': Buffer.concat([request(1), frame(FRAME.goaway, 0, 0, uint32(0, 2))]),
  'data on no stream': frame(0, 0, 0, EIGHT),
  'a frame that is too long': Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
};

let collect: () => void;
/** Secrets that are alive. */
const live = new Map<number, string>();
const onBorn = (message: unknown) => live.set((message as SecretBorn).id, (message as SecretBorn).kind);
const onEnded = (message: unknown) => live.delete((message as SecretEnded).id);

before(() => {
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc');
  secretBorn.subscribe(onBorn);
  secretEnded.subscribe(onEnded);
});

after(() => {
  secretBorn.unsubscribe(onBorn);
  secretEnded.unsubscribe(onEnded);
});

interface Watched {
  readonly port: number;
  /** What is to be gone. */
  readonly made: WeakRef<object>[];
  /** Once all is closed. */
  assertGone(): Promise<void>;
}

/** Connections that Node 20 does not end by itself, after an error of the peer's, are idle. */
async function watched(): Promise<Watched> {
  const made: WeakRef<object>[] = [];
  const server = http2.createSecureServer({ ...serverOptions, idleTimeout: 200 });
  server.on('connection', (raw) => made.push(new WeakRef(raw)));
  server.on('session', (session) => {
    const wrapper = wrapperOf(session);
    made.push(
      new WeakRef(session),
      new WeakRef(wrapper),
      new WeakRef((wrapper as unknown as { stream: object }).stream),
    );
  });
  server.on('sessionError', () => {});
  server.on('tlsClientError', (_error, socket) => made.push(new WeakRef(socket)));
  server.on('stream', (stream, headers) => {
    made.push(new WeakRef(stream));
    stream.on('error', () => {});
    if (headers[':method'] === 'GET' && !stream.destroyed) {
      stream.respond({ ':status': 200 });
      stream.end(Buffer.alloc(40_000));
    }
  });
  const port = await listen(server);
  const assertGone = async () => {
    while (server.counters.open > 0) {
      await delay(10);
    }
    const closed = once(server, 'close');
    server.close();
    await closed;
    for (let i = 0; i < 100 && made.some((one) => one.deref() !== undefined); i++) {
      // What was looked at is kept for the rest of the turn.
      await delay(10);
      collect();
    }
    const left = made.map((one) => one.deref()?.constructor.name).filter((name) => name !== undefined);
    assert.deepEqual([...new Set(left)], [], `${left.length} objects are alive`);
    assert.equal(server.secureSockets.size, 0);
    assert.deepEqual([...new Set(live.values())], [], `${live.size} secrets are alive`);
  };
  return { port, made, assertGone };
}

async function flood(port: number, secureContext: tls.SecureContext, bytes: Buffer): Promise<void> {
  const options = { port, host: '127.0.0.1', servername: 'localhost', ALPNProtocols: ['h2'], secureContext };
  const socket = tls.connect(options);
  socket.on('error', () => {});
  const gone = closing(socket);
  await once(socket, 'secureConnect');
  socket.resume();
  socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), bytes]));
  await delay(20);
  socket.destroy();
  await gone;
}

for (const [name, bytes] of Object.entries(floods)) {
  test(`of ${name} nothing is left at a server`, async () => {
    const { port, made, assertGone } = await watched();
    const secureContext = tls.createSecureContext(trust);
    for (let i = 0; i < CONNECTIONS; i++) {
      await flood(port, secureContext, bytes);
    }
    assert.ok(made.length >= 4 * CONNECTIONS, 'there were sessions');
    await assertGone();
  });
}

test('connections that end in the midst of the handshake leave nothing at either end', async () => {
  const { port, made, assertGone } = await watched();
  const secureContext = tls.createSecureContext(trust);
  for (let i = 0; i < 3 * CONNECTIONS; i++) {
    // Before the ClientHello is sent, when its answer was read, and when that is being answered.
    await breakOff(port, secureContext, i % 3, made);
  }
  await assertGone();
});

async function breakOff(port: number, secureContext: tls.SecureContext, after: number, made: WeakRef<object>[]) {
  const raw = net.connect(port, '127.0.0.1');
  const session = http2.connect(`https://localhost:${port}`, {
    secureContext,
    createConnection: () => tls.connect({ socket: raw, servername: 'localhost', ALPNProtocols: ['h2'], secureContext }),
  });
  session.on('error', () => {});
  const stream = session.request().on('error', () => {});
  made.push(new WeakRef(session), new WeakRef(stream), new WeakRef(wrapperOf(session)), new WeakRef(raw));
  const gone = closing(session);
  await once(raw, 'connect');
  await delay(after);
  raw.resetAndDestroy();
  await gone;
}

const endings: readonly ((session: Http2Session, stream: { close(code: number): void }) => void)[] = [
  (session, stream) => {
    stream.close(8);
    session.close();
  },
  (session) => session.destroy(),
  (session) => session.destroy(new Error('of the application')),
  (session) => {
    session.goaway(2);
    session.close();
  },
];

for (const isTrusted of [true, false]) {
  const whose = isTrusted ? 'clients that abort and give up' : 'clients that do not trust the server';
  test(`${whose} leave nothing at either end`, async () => {
    const { port, made, assertGone } = await watched();
    const secureContext = tls.createSecureContext(isTrusted ? trust : {});
    for (let i = 0; i < 2 * endings.length; i++) {
      await giveUp(port, secureContext, isTrusted ? endings[i % endings.length] : undefined, made);
    }
    await assertGone();
  });
}

async function giveUp(
  port: number,
  secureContext: tls.SecureContext,
  end: (typeof endings)[number] | undefined,
  made: WeakRef<object>[],
): Promise<void> {
  const session = http2.connect(`https://localhost:${port}`, { secureContext });
  session.on('error', () => {});
  const stream = session.request().on('error', () => {});
  made.push(new WeakRef(session), new WeakRef(stream), new WeakRef(wrapperOf(session)));
  const gone = closing(session);
  if (end !== undefined) {
    await once(session, 'connect');
    end(session, stream);
  }
  await gone;
}
