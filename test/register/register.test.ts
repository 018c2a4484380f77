/** Programs that know nothing of Mayfly, run with `--import mayfly/register`: their tickets go by the ring. */

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createIdentityFiles, nodeProvider } from '../../src/node/fleet.ts';
import { RedisServer } from '../fleet-redis/redis-server.ts';
import { localhost, only, trust, type Version } from '../node/support.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';

const register = join(import.meta.dirname, '..', '..', 'src', 'node', 'register.js');
const app = join(import.meta.dirname, 'app.js');
const folder = mkdtempSync(join(tmpdir(), 'mayfly-register-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function start(mode: string, env: Record<string, string> = {}): ToolProcess {
  const all = { CERT: localhost.certificatePem, KEY: localhost.privateKeyPem, NODE_OPTIONS: '', ...env };
  return new ToolProcess('node', ['--import', register, app, mode], { env: all });
}

async function portOf(program: ToolProcess, servers = 1): Promise<number> {
  await program.until(() => program.text.split('listening').length > servers);
  return Number(/listening (\d+)/.exec(program.text)?.[1]);
}

interface Visit {
  readonly body: string;
  readonly reused: boolean;
  readonly session: Buffer | undefined;
}

/** One request on a connection of its own. */
function visit(port: number, version: Version, session?: Buffer): Promise<Visit> {
  return new Promise((resolve, reject) => {
    let newest = session;
    let reused = false;
    const options = {
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      agent: false,
      session,
      ...trust,
      ...only(version),
    };
    const request = https.get(options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ body, reused, session: newest }));
    });
    request.on('error', reject);
    request.on('socket', (socket) => {
      const tls = socket as TLSSocket;
      tls.on('session', (made: Buffer) => {
        newest = made;
      });
      tls.on('secureConnect', () => {
        reused = tls.isSessionReused();
        // OpenSSL tells no listener of the new ticket that a resumption of TLS 1.2 brings.
        newest = version === 'TLSv1.2' ? tls.getSession() : newest;
      });
    });
  });
}

/** Visits with the newest session until each of so many has served a resumed one: the ring may have to come about first. */
async function resumeAt(ports: readonly number[], version: Version, processes: number): Promise<Set<string>> {
  const served = new Set<string>();
  let session: Buffer | undefined;
  let before = '';
  for (let i = 0; i < 400 && served.size < processes; i++) {
    const found = await visit(ports[i % ports.length], version, session);
    session = found.session;
    // Resumed by another than the one that made the session: it was not its own memory.
    if (found.reused && found.body !== before) {
      served.add(found.body);
    }
    before = found.body;
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return served;
}

describe('node --import mayfly/register', () => {
  test('lets a session resume at every worker of a cluster', async () => {
    const port = await freePort();
    await using program = start('cluster', { PORT: String(port) });
    await portOf(program, 2);
    for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
      assert.equal((await resumeAt([port], version, 2)).size, 2, version);
    }
    assert.doesNotMatch(program.text, /[Ww]arning/);
  });

  test('seals the tickets of each kind of server under the ring’s key', async () => {
    for (const mode of ['alone', 'http2', 'thread']) {
      await using program = start(mode);
      const port = await portOf(program);
      const [, own] = /listening \d+ ([0-9a-f]{32})/.exec(program.text) ?? [];
      let session: Buffer | undefined;
      // Until the ring has a key there are no tickets.
      for (let i = 0; i < 400 && (session === undefined || keyName(session) === ''); i++) {
        session = (await visit(port, 'TLSv1.2')).session;
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      assert(session !== undefined);
      assert.match(keyName(session), /^[0-9a-f]{32}$/);
      assert.notEqual(keyName(session), own);
      assert((await visit(port, 'TLSv1.2', session)).reused);
    }
  });

  test('leaves a program that has nothing more to do to end by itself', async () => {
    await using program = start('once');
    assert.equal(await program.exited(), 0);
  });

  test('says what is wrong with its variables, and ends the start', async () => {
    const [identity] = createIdentityFiles(nodeProvider, 'web', ['a']);
    const path = join(folder, 'open.json');
    writeFileSync(path, identity);
    chmodSync(path, 0o644);
    const url = 'redis://127.0.0.1:1';
    const cases: [Record<string, string>, RegExp][] = [
      [{ MAYFLY_ROTATE: 'often' }, /MAYFLY_ROTATE: expected seconds/],
      [{ MAYFLY_ROTATE: '1s' }, /epochLength must be/],
      [{ MAYFLY_SESSION_TIMEOUT: '1ms' }, /MAYFLY_SESSION_TIMEOUT/],
      [{ MAYFLY_FLEET_NAME: 'web' }, /MAYFLY_FLEET_NAME is set: a fleet needs both/],
      [{ MAYFLY_FLEET_URL: url, MAYFLY_IDENTITY: path }, /can be read by others \(mode 0644\)/],
      [{ MAYFLY_FLEET_URL: 'http://u:hunter2@x', MAYFLY_IDENTITY: identity }, /the store's URL cannot be read/],
      [{ MAYFLY_FLEET_URL: url, MAYFLY_IDENTITY: identity, MAYFLY_FLEET_NAME: 'mail' }, /of the fleet "web", not of/],
      [{ MAYFLY_FLEET_URL: url, MAYFLY_IDENTITY: identity, MAYFLY_FLEET_CA: '/none.pem' }, /MAYFLY_FLEET_CA/],
    ];
    const told = await Promise.all(
      cases.map(async ([env, what]) => {
        await using program = start('alone', env);
        assert.equal(await program.exited(), 1);
        assert.match(program.text, /^mayfly\/register: [^\n]+\n$/);
        assert.match(program.text, what);
        return program.text;
      }),
    );
    assert(!told.join('').includes('hunter2'));
  });

  test('lets sessions resume at another process of the fleet', skipUnless('redis-server'), async () => {
    const redis = await RedisServer.start();
    const files = createIdentityFiles(nodeProvider, 'web', ['a', 'b']);
    const paths = files.map((text, i) => {
      const path = join(folder, `${i}.json`);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    });
    const programs = paths.map((path) =>
      start('alone', {
        MAYFLY_FLEET_URL: redis.url,
        MAYFLY_IDENTITY: path,
        MAYFLY_FLEET_NAME: 'web',
        MAYFLY_ROTATE: '6s',
        MAYFLY_TICKET_LIFETIME: '18s',
        MAYFLY_SESSION_ID_CONTEXT: 'web',
      }),
    );
    try {
      const ports = await Promise.all(programs.map((program) => portOf(program)));
      for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
        assert.equal((await resumeAt(ports, version, 2)).size, 2, version);
      }
      await using once = start('once', { MAYFLY_FLEET_URL: redis.url, MAYFLY_IDENTITY: paths[0] });
      assert.equal(await once.exited(), 0, 'no connection to the store keeps it alive');
    } finally {
      await Promise.all(programs.map((program) => program.stop()));
      await redis.stop();
    }
  });
});

/** Of the ticket in an SSL_SESSION: its first 16 bytes, behind tag [10] and OCTET STRING (RFC 5077 §4). */
function keyName(session: Buffer): string {
  const at = session.findIndex((byte, i) => byte === 0xaa && session[i + 1] >= 0x80 && session[i + 3] === 0x04);
  return at === -1 ? '' : session.subarray(at + 5, at + 21).toString('hex');
}
