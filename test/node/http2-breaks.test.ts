/** HTTP/2 over connections that break: what is being written or ended then must not take the process with it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Http2Session } from 'node:http2';
import { test } from 'node:test';
import * as http2 from '../../src/node/http2.ts';
import { wrapperOf } from '../../src/node/http2-wrapper.ts';
import type { TLSSocket } from '../../src/node/tls.ts';
import { closing, delay, listen, only, serverOptions, trust, type Version, versions } from './support.ts';

interface Met {
  readonly session: Http2Session;
  readonly stream: NodeJS.WritableStream;
  readonly socket: TLSSocket;
}

/** Each breaks the connection while the server sends without end. An error that nobody can catch fails the test file. */
const breaks: Readonly<Record<string, (met: Met) => void>> = {
  'the server gives up while the client writes': ({ stream, socket }) => {
    stream.write(Buffer.alloc(5_000_000));
    setImmediate(() => socket.destroy(new Error('broken')));
  },
  'the server gives up while its own end is under way': ({ session, socket }) => {
    session.close();
    session.destroy();
    setImmediate(() => socket.destroy(new Error('broken')));
  },
  'the transport is reset while the client writes and closes': ({ stream, session, socket }) => {
    stream.write(Buffer.alloc(5_000_000));
    session.close();
    setImmediate(() => socket.resetAndDestroy());
  },
  'the server gives up in a renegotiation': ({ socket }) => {
    socket.renegotiate({});
    setImmediate(() => socket.destroy(new Error('broken')));
  },
};

async function meet(version: Version): Promise<Met & { end(): void }> {
  const server = http2.createSecureServer({ ...serverOptions, ...only(version) }, (_request, response) => {
    response.on('error', () => {});
    response.writeHead(200);
    const write = () => {
      while (response.write(Buffer.alloc(65_536))) {}
      response.once('drain', write);
    };
    write();
  });
  server.on('sessionError', () => {});
  const port = await listen(server);
  const client = http2.connect(`https://localhost:${port}`, {
    ...trust,
    ...only(version),
    settings: { initialWindowSize: 2 ** 31 - 1 },
  });
  client.on('error', () => {});
  const served = once(server, 'session');
  await once(client, 'connect');
  const [session] = (await served) as [Http2Session];
  client.setLocalWindowSize(2 ** 31 - 1);
  const stream = client.request({ ':path': '/', ':method': 'POST' });
  stream.on('error', () => {});
  await once(stream, 'response');
  const [socket] = server.secureSockets;
  return {
    session,
    stream,
    socket,
    end() {
      client.destroy();
      server.close();
    },
  };
}

for (const version of versions) {
  for (const [name, breakIt] of Object.entries(breaks)) {
    test(`${name}: only the connection ends, ${version}`, async () => {
      for (let i = 0; i < 3; i++) {
        const met = await meet(version);
        const gone = closing(met.socket);
        breakIt(met);
        await gone;
        // What Node takes for a bug of its own it finds a few turns later.
        await delay(20);
        assert.equal(met.socket.destroyed, true);
        met.end();
      }
    });
  }
}

test('a write that comes while another, or the end, is under way is told that it is too late', async () => {
  const { session, end } = await meet('TLSv1.3');
  const wrapper = wrapperOf(session) as unknown as Record<symbol, unknown> & {
    doWrite(request: object, buffers: readonly Uint8Array[]): number;
  };
  const fields = Object.getOwnPropertySymbols(wrapper).filter(({ description }) => /^kCurrent/.test(description ?? ''));
  assert.equal(fields.length, 2);
  for (const field of fields) {
    const before = wrapper[field];
    wrapper[field] = {};
    assert.equal(wrapper.doWrite({}, [Buffer.from('x')]), -32);
    wrapper[field] = before;
  }
  end();
});

test('clients that hang up while their streams are open do not take the server with them', async () => {
  const server = http2.createSecureServer({ ...serverOptions }, (_request, response) => {
    response.on('error', () => {});
    response.end(Buffer.alloc(100));
  });
  server.on('sessionError', () => {});
  const port = await listen(server);
  for (let round = 0; round < 20; round++) {
    const client = http2.connect(`https://localhost:${port}`, trust);
    client.on('error', () => {});
    await once(client, 'connect');
    const closed = once(client, 'close');
    let answers = 0;
    const more = () => {
      const request = client.request();
      request.on('error', () => {});
      request.on('response', () => {
        answers++;
        if (answers === 24) {
          client.destroy();
        } else if (!client.destroyed) {
          more();
        }
      });
      request.resume();
    };
    for (let i = 0; i < 8; i++) {
      more();
    }
    await closed;
  }
  server.close();
});
