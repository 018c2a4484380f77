/**
 * QUIC both ways with ngtcp2 over GnuTLS, whose example programs Debian has (`ngtcp2-client`, `ngtcp2-server`): the test's own
 * small QUIC stack runs on our handshake and our packet protection, and a page is asked for in HTTP/3.
 */

import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { pemToDer } from '../../src/certificates/pem.ts';
import type { NamedGroup } from '../../src/crypto/groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CipherSuiteName } from '../../src/crypto/suites.ts';
import { varint } from '../quic/frames.ts';
import { MiniStack, type MiniStackOptions } from '../quic/mini-stack.ts';
import { World } from '../support/connections.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { certificateFor, file, folder, hangGuard, type KeyType, pemFiles, subfolder } from './support.ts';

const suites: Readonly<Record<CipherSuiteName, string>> = {
  TLS_AES_128_GCM_SHA256: 'AES-128-GCM',
  TLS_AES_256_GCM_SHA384: 'AES-256-GCM',
  TLS_CHACHA20_POLY1305_SHA256: 'CHACHA20-POLY1305',
};
const PAGE = 'a page over QUIC\n'.repeat(300);

function worldOf(type: KeyType): { readonly world: World; readonly key: string; readonly cert: string } {
  const { cert, key } = certificateFor(type);
  const privateKey = nodeProvider.importPrivateKey(key);
  const spki = createPublicKey(cert).export({ type: 'spki', format: 'der' });
  const world = new World(
    { alpnProtocols: ['h3'] },
    {
      credential: { certificateChain: pemToDer(cert), schemes: privateKey.schemes, privateKey },
      publicKey: nodeProvider.importPublicKey(new Uint8Array(spki)),
    },
  );
  return { world, ...pemFiles(`quic-${type}`, { cert, key }) };
}

/** A stack on a UDP socket. */
class Endpoint {
  readonly stack: MiniStack;
  readonly #socket: Socket = createSocket('udp4');
  readonly #watchers = new Set<() => void>();
  readonly #onProgress: (endpoint: Endpoint) => void;
  #peer: { readonly port: number; readonly address: string } | undefined;

  constructor(options: MiniStackOptions, onProgress: (endpoint: Endpoint) => void = () => {}) {
    this.stack = new MiniStack(options);
    this.#onProgress = onProgress;
    this.#socket.on('message', (datagram, peer) => {
      this.#peer ??= peer;
      this.send(this.stack.receive(new Uint8Array(datagram)));
      this.#onProgress(this);
      for (const watcher of [...this.#watchers]) {
        watcher();
      }
    });
  }

  async listen(): Promise<number> {
    this.#socket.bind(0, '127.0.0.1');
    await once(this.#socket, 'listening');
    return this.#socket.address().port;
  }

  async call(port: number): Promise<this> {
    await this.listen();
    this.#peer = { port, address: '127.0.0.1' };
    this.send(this.stack.start());
    return this;
  }

  send(datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      this.#socket.send(datagram, this.#peer?.port ?? 0, this.#peer?.address);
    }
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const { endpoint, closed } = this.stack;
        const failure = endpoint?.error ?? (closed === undefined ? undefined : new Error(`closed: ${closed.code}`));
        if (condition()) {
          this.#watchers.delete(look);
          resolve();
        } else if (failure !== undefined) {
          reject(failure);
        }
      };
      this.#watchers.add(look);
      look();
    });
  }

  close(): void {
    this.#socket.close();
    this.stack.forget();
  }
}

/** HTTP/3 frames: type, length, content (RFC 9114 §7). */
function h3(type: number, content: Uint8Array): Uint8Array {
  return concat(varint(type), varint(content.length), content);
}

/** Header names are those of QPACK's static table (RFC 9204 Appendix A). */
function qpack(...fields: readonly (readonly [number, string] | number)[]): Uint8Array {
  return concat(
    new Uint8Array([0, 0]),
    ...fields.map((field) => {
      if (typeof field === 'number') {
        return new Uint8Array([0xc0 | field]);
      }
      const [name, value] = field;
      return concat(new Uint8Array([0x50 | name, value.length]), utf8(value));
    }),
  );
}

const [AUTHORITY, PATH, METHOD_GET, SCHEME_HTTPS, STATUS_200] = [0, 1, 17, 23, 25];
const HEADERS = 1;
const DATA = 0;
/** Type of the stream, and empty SETTINGS. */
const CONTROL_STREAM = concat(varint(0), h3(4, new Uint8Array(0)));

/** Asks for the page, and returns what came of it. */
async function get(client: Endpoint, id = 0): Promise<string> {
  const { stack } = client;
  await client.until(() => stack.complete && stack.handshakeDone);
  if (id === 0) {
    client.send(stack.send(2, CONTROL_STREAM, false));
  }
  const request = qpack(METHOD_GET, SCHEME_HTTPS, [AUTHORITY, 'localhost'], [PATH, '/page.txt']);
  client.send(stack.send(id, h3(HEADERS, request)));
  await client.until(() => stack.finished.has(id));
  return Buffer.from(stack.stream(id)).toString('latin1');
}

describe('our handshake at a client of gtlsserver', { ...hangGuard, ...skipUnless('gtlsserver') }, () => {
  const { world, key, cert } = worldOf('ecdsa-p256');
  const docs = subfolder('quic-docs');
  const running: { stop(): Promise<void> }[] = [];

  before(() => {
    file('quic-docs/page.txt', PAGE);
  });
  after(async () => {
    world.close();
    await Promise.all(running.map((server) => server.stop()));
  });

  async function serve(...args: string[]): Promise<number> {
    const port = await freeUdpPort();
    const server = new ToolProcess('gtlsserver', [
      '--no-quic-dump',
      '--no-http-dump',
      '-d',
      docs,
      ...args,
      '127.0.0.1',
      String(port),
      key,
      cert,
    ]);
    running.push(server);
    await bound(port);
    return port;
  }

  for (const [name, gnutls] of Object.entries(suites)) {
    test(`gets a page with ${name}`, async () => {
      const port = await serve(`--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+${gnutls}`);
      const client = await new Endpoint({ role: 'client', world }).call(port);
      assert.ok((await get(client)).includes(PAGE));
      const { endpoint, peerParameters } = client.stack;
      assert.equal(endpoint?.summary?.cipherSuite, name);
      assert.equal(endpoint?.summary?.alpnProtocol, 'h3');
      assert.ok(peerParameters.has(0x00) && peerParameters.has(0x0f), 'the connection IDs are authenticated');
      client.close();
    });
  }

  test('updates its keys, and the server follows', async () => {
    const client = await new Endpoint({ role: 'client', world }).call(await serve());
    assert.ok((await get(client)).includes(PAGE));
    client.stack.updateKeys();
    assert.ok((await get(client, 4)).includes(PAGE));
    assert.equal(client.stack.keyUpdates, 1);
    client.close();
  });

  test('believes a genuine Retry', async () => {
    const client = await new Endpoint({ role: 'client', world }).call(await serve('-V'));
    assert.ok((await get(client)).includes(PAGE));
    assert.equal(client.stack.retried, true);
    assert.ok(client.stack.peerParameters.has(0x10), 'retry_source_connection_id');
    client.close();
  });

  test('goes round once more for another group', async () => {
    const client = await new Endpoint({ role: 'client', world }).call(
      await serve('--groups=-GROUP-ALL:+GROUP-SECP384R1'),
    );
    assert.ok((await get(client)).includes(PAGE));
    const { helloRetried, namedGroup } = client.stack.endpoint?.summary ?? {};
    assert.equal(helloRetried, true);
    assert.equal(namedGroup, 'secp384r1' satisfies NamedGroup);
    client.close();
  });

  test('resumes with a ticket of the server', async () => {
    const port = await serve();
    const first = await new Endpoint({ role: 'client', world }).call(port);
    await get(first);
    await first.until(() => (first.stack.endpoint?.sessions.length ?? 0) > 0);
    const [session] = first.stack.endpoint?.sessions ?? [];
    assert.equal(session.maxEarlyDataSize, 0xffffffff);
    const second = await new Endpoint({ role: 'client', world, session }).call(port);
    assert.ok((await get(second)).includes(PAGE));
    assert.equal(second.stack.endpoint?.summary?.resumed, true);
    first.close();
    second.close();
  });
});

describe('our handshake at a server of gtlsclient', { ...hangGuard, ...skipUnless('gtlsclient') }, () => {
  const worlds = new Map<KeyType, World>();
  let visits = 0;
  after(() => {
    for (const world of worlds.values()) {
      world.close();
    }
  });

  function world(type: KeyType): World {
    const known = worlds.get(type) ?? worldOf(type).world;
    worlds.set(type, known);
    return known;
  }

  /** One visit: every request gets the page. */
  async function visit(
    args: readonly string[],
    type: KeyType = 'ecdsa-p256',
  ): Promise<{ server: Endpoint; page: string }> {
    const docs = subfolder(`quic-downloads-${visits++}`);
    const answered = new Set<number>();
    const server = new Endpoint({ role: 'server', world: world(type) }, ({ stack }) => {
      for (const id of stack.finished) {
        if (id % 4 === 0 && !answered.has(id)) {
          answered.add(id);
          const answer = concat(h3(HEADERS, qpack(STATUS_200)), h3(DATA, utf8(PAGE)));
          server.send([
            ...(answered.size === 1 ? stack.send(3, CONTROL_STREAM, false) : []),
            ...stack.send(id, answer),
          ]);
        }
      }
    });
    const port = await server.listen();
    const client = new ToolProcess('gtlsclient', [
      ...['--no-quic-dump', '--no-http-dump', '--exit-on-all-streams-close', '--timeout=5s', ...args],
      `--download=${docs}`,
      ...['127.0.0.1', String(port), 'https://localhost/page'],
    ]);
    try {
      assert.equal(await client.exited(), 0, client.text);
      assert.ok(server.stack.endpoint?.summary !== undefined, client.text);
      return { server, page: readFileSync(join(docs, 'page'), 'utf8') };
    } finally {
      await client.stop();
      server.close();
    }
  }

  for (const [name, gnutls] of Object.entries(suites)) {
    test(`serves a page with ${name}`, async () => {
      const { server, page } = await visit([`--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+${gnutls}`]);
      assert.equal(page, PAGE);
      assert.equal(server.stack.endpoint?.summary?.cipherSuite, name);
    });
  }

  for (const type of ['ecdsa-p384', 'ed25519', 'rsa'] as const) {
    test(`serves a page with a certificate of ${type}`, async () => {
      assert.equal((await visit([], type)).page, PAGE);
    });
  }

  test('follows the client through a key update', async () => {
    const { server, page } = await visit(['--key-update=1ms', '--delay-stream=300ms']);
    assert.equal(page, PAGE);
    assert.equal(server.stack.keyUpdates, 1);
  });

  test('resumes a session', async () => {
    const files = [`--session-file=${join(folder, 'quic-session')}`, `--tp-file=${join(folder, 'quic-parameters')}`];
    const first = await visit(files);
    assert.equal(first.server.stack.endpoint?.summary?.resumed, false);
    const second = await visit(files);
    assert.equal(second.page, PAGE);
    assert.equal(second.server.stack.endpoint?.summary?.resumed, true);
  });
});

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** Waits until somebody listens there: until then binding works. */
async function bound(port: number): Promise<void> {
  for (;;) {
    const socket = createSocket('udp4');
    const free = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false));
      socket.bind(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise<void>((resolve) => {
      socket.close(() => resolve());
    });
    if (!free) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
