import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect as connectRaw } from 'node:net';
import { Duplex } from 'node:stream';
import { after, before, describe, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { createIdentityFiles } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { joinFleet } from '../../src/node/fleet.ts';
import { ClientSessions, connect, createServer } from '../../src/node/tls.ts';
import { mainFile, temporaryFolder } from '../cli/support.ts';
import { closing, delay, only, serverOptions, trust, versions } from '../node/support.ts';
import { isLookedFor } from './kinds.ts';
import { Search } from './search.ts';
import { Testimony, type ToldSecret } from './testimony.ts';

const { create, take, adopt, copy } = Secret;
const told: ToldSecret[] = [];

/** As text shows bytes: in every form that memory is searched for, and as lists of numbers. */
function secretsIn(text: string, secrets: readonly ToldSecret[]): string[] {
  const plain = text.replace(/\s+/g, ' ');
  const lists = secrets.filter(({ bytes }) => {
    const head = [...bytes.subarray(0, 8)];
    const inHex = head.map((byte) => byte.toString(16).padStart(2, '0'));
    return plain.includes(head.join(', ')) || plain.includes(inHex.join(' ')) || plain.includes(head.join(','));
  });
  const found = new Set(new Search(secrets).scan(Buffer.from(text), 0).map(({ id }) => id));
  return [...lists, ...secrets.filter(({ id }) => found.has(id))].map(({ kind }) => kind);
}

function everything(value: unknown): string {
  return inspect(value, { depth: 12, showHidden: true, maxArrayLength: null, maxStringLength: null, getters: true });
}

describe('what can be seen of a process from within', () => {
  before(() => {
    const note = (secret: Secret) => {
      told.push({ id: secret.id, kind: secret.kind, bytes: Uint8Array.from(secret.expose()), ended: false });
      return secret;
    };
    Secret.create = (...args) => note(create.apply(Secret, args));
    Secret.take = (...args) => note(take.apply(Secret, args));
    Secret.adopt = (...args) => note(adopt.apply(Secret, args));
    Secret.copy = (...args) => note(copy.apply(Secret, args));
  });
  after(() => {
    Object.assign(Secret, { create, take, adopt, copy });
  });

  for (const version of versions) {
    test(`no secret shows when the objects of a ${version} connection are inspected, or made JSON`, async () => {
      const sessionCache = new ClientSessions();
      const server = createServer({ ...serverOptions, ...only(version) });
      const accepted = once(server, 'secureConnection');
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const client = connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ...trust,
        ...only(version),
        sessionCache,
      });
      const [socket] = await accepted;
      socket.write('x');
      await once(client, 'data');
      const objects = {
        server,
        sessions: server.sessions,
        client,
        socket,
        sessionCache,
        summary: client.mayfly,
        told: Secret,
      };
      const wanted = told.filter(isLookedFor);
      assert(wanted.length > 30);
      for (const [name, value] of Object.entries(objects)) {
        assert.deepEqual(secretsIn(everything(value), wanted), [], name);
      }
      const { sessions } = server as { sessions: { status(): unknown } };
      assert.deepEqual(secretsIn(JSON.stringify([sessions.status(), client.mayfly]), wanted), []);
      client.destroy();
      socket.destroy();
      sessionCache.clear();
      server.close();
    });
  }

  test('no secret shows in the status, the events and the insides of a fleet', async () => {
    const [identity] = createIdentityFiles(nodeProvider, 'fleet', ['one']);
    const store = new MemoryStore(() => Date.now());
    const events: unknown[] = [];
    // A ring's timers keep no process alive.
    const awake = setInterval(() => {}, 1_000);
    const fleet = await new Promise<ReturnType<typeof joinFleet>>((resolve) => {
      const joined = joinFleet({
        identity,
        store: () => store,
        rotate: 6,
        ticketLifetime: 6,
        onEvent(event) {
          events.push(event);
          if (event.kind === 'sealing') {
            setImmediate(() => resolve(joined));
          }
        },
      });
    });
    const wanted = told.filter(isLookedFor);
    assert(wanted.some(({ kind }) => kind === 'epochSecret'));
    assert.deepEqual(secretsIn(everything([fleet, fleet.ringStatus(), fleet.status(), events, store]), wanted), []);
    await fleet.close();
    clearInterval(awake);
  });

  test('no secret shows in the errors of connections that fail, or of secrets that are used too late', async () => {
    const errors: unknown[] = [];
    const server = createServer({ ...serverOptions, handshakeTimeout: 1_000 });
    server.on('tlsClientError', (error) => errors.push(error));
    server.on('secureConnection', (socket) => socket.on('error', (error: Error) => errors.push(error)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    // Every byte that the client sends after its first flight is changed.
    const raw = connectRaw(port, '127.0.0.1');
    let flights = 0;
    const tampered = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, callback) {
        raw.write(flights++ === 0 ? chunk : chunk.map((byte, at) => (at < 5 ? byte : byte ^ 1)), callback);
      },
    });
    raw.on('data', (chunk) => tampered.push(chunk));
    raw.on('close', () => tampered.push(null));
    const client = connect({ socket: tampered, servername: 'localhost', ...trust });
    client.on('error', (error) => errors.push(error));
    await once(raw, 'close');
    const untrusting = connect({ port, host: '127.0.0.1', servername: 'localhost' });
    errors.push((await once(untrusting, 'error'))[0]);
    const spent = Secret.create('spent', 32, nodeProvider.random);
    spent.erase();
    for (const use of [() => spent.expose(), () => spent.clone()]) {
      try {
        use();
      } catch (error) {
        errors.push(error);
      }
    }
    assert(errors.length >= 4, inspect(errors));
    const wanted = told.filter(isLookedFor);
    for (const error of errors) {
      assert.deepEqual(secretsIn(`${everything(error)}${(error as Error).stack}${JSON.stringify(error)}`, wanted), []);
    }
    client.destroy();
    server.close();
  });
});

test('no secret of a server shows in what it prints, as text or as JSON', async (t) => {
  for (const form of [[], ['--json']]) {
    const { child, port, testimony, printed } = await serve(t, form);
    for (const rejectUnauthorized of [true, false]) {
      const client = connect({ port, host: '127.0.0.1', rejectUnauthorized });
      client.on('error', () => {});
      client.once('secureConnect', () => client.end('GET / HTTP/1.0\r\n\r\n'));
      client.resume();
      await closing(client);
    }
    child.kill('SIGTERM');
    await once(child, 'close');
    const secrets = [...testimony.secrets.values()].filter(isLookedFor);
    assert(secrets.length > 20 && printed().length > 50, printed());
    assert.deepEqual(
      testimony.alive.map(({ kind }) => kind),
      [],
    );
    assert.deepEqual(secretsIn(printed(), secrets), []);
  }
});

test('a server that is cut off by a second signal has erased the keys of its open connections', async (t) => {
  const { child, port, testimony } = await serve(t, []);
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  client.on('error', () => {});
  await once(client, 'secureConnect');
  // The answer will not come: the request is not complete.
  client.write('GET / HTTP/1.1\r\n');
  const secured = () => [...testimony.secrets.values()].some(({ kind }) => kind === 'resumptionPsk');
  while (!secured()) {
    await delay(10);
  }
  const alive = () => testimony.alive.map(({ kind }) => kind);
  assert(alive().includes('SERVER_TRAFFIC_SECRET') && alive().includes('ticketKey'), String(alive()));
  child.kill('SIGINT');
  child.kill('SIGTERM');
  await once(child, 'close');
  assert.deepEqual(alive(), []);
  client.destroy();
});

/** `mayfly serve`, and all its secrets. */
async function serve(t: TestContext, flags: readonly string[]) {
  const hook = new URL('./testify-hook.js', import.meta.url).href;
  const child = spawn(
    process.execPath,
    ['--import', hook, mainFile, 'serve', '--listen', '127.0.0.1:0', '--no-status', '--root', '.', ...flags],
    {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      cwd: import.meta.dirname,
      env: { ...process.env, XDG_STATE_HOME: temporaryFolder(t) },
    },
  );
  t.after(() => child.kill('SIGKILL'));
  const testimony = new Testimony();
  (child.stdio[3] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => testimony.hear(chunk));
  let printed = '';
  const port = await new Promise<number>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        printed += chunk;
        const [, found] = /https:\/\/127\.0\.0\.1:(\d+)/.exec(printed) ?? [];
        if (found !== undefined) {
          resolve(Number(found));
        }
      });
    }
  });
  return { child, port, testimony, printed: () => printed };
}
