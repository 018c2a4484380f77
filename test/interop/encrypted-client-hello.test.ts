/** Encrypted Client Hello at our client, against NSS's `selfserv`. Optional: never required of a machine. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { certificateFor, trust } from '../node/support.ts';
import { freePort, run, ToolProcess } from '../support/process.ts';
import { toolPath } from '../support/tools.ts';
import { hangGuard, subfolder } from './support.ts';

const missing = ['selfserv', 'certutil', 'pk12util', 'openssl'].filter((name) => toolPath(name) === undefined);
const skip = missing.length > 0 ? `needs ${missing.join(', ')} (optional)` : false;

const SECRET_NAME = 'secret.test';
const PUBLIC_NAME = 'public.test';

describe('Encrypted Client Hello to NSS', { ...hangGuard, skip }, () => {
  let database: string;
  const servers: ToolProcess[] = [];

  before(async () => {
    const folder = subfolder('ech');
    database = `sql:${folder}`;
    const { cert, key } = certificateFor(SECRET_NAME, PUBLIC_NAME);
    const path = (name: string) => join(folder, name);
    writeFileSync(path('cert.pem'), cert);
    writeFileSync(path('key.pem'), key, { mode: 0o600 });
    for (const [tool, ...args] of [
      ['certutil', '-N', '-d', database, '--empty-password'],
      [
        ...['openssl', 'pkcs12', '-export', '-in', path('cert.pem'), '-inkey', path('key.pem')],
        ...['-name', 'server', '-passout', 'pass:x', '-out', path('server.p12')],
      ],
      ['pk12util', '-i', path('server.p12'), '-d', database, '-W', 'x', '-K', ''],
    ]) {
      const { code, text } = await run(tool, args);
      assert.equal(code, 0, text);
    }
    assert(readFileSync(path('server.p12')).length > 0);
  });

  after(async () => {
    for (const server of servers) {
      await server.stop('SIGKILL');
    }
  });

  /** A server with a key of its own, and what it publishes. */
  async function start(...more: string[]): Promise<{ port: number; configList: Buffer; server: ToolProcess }> {
    const port = await freePort();
    const server = new ToolProcess('selfserv', [
      ...['-d', database, '-n', 'server', '-p', String(port), '-V', 'tls1.3:tls1.3', '-H', '1', '-v'],
      ...['-X', `publicname:${PUBLIC_NAME}`, ...more],
    ]);
    servers.push(server);
    await server.until(/ECHConfigs?.*\n[\s\S]*?([A-Za-z0-9+/=]{40,})/);
    const base64 = /([A-Za-z0-9+/]{40,}={0,2})/.exec(
      server.text.slice(server.text.indexOf('ECHConfig')),
    )?.[1] as string;
    return { port, configList: Buffer.from(base64, 'base64'), server };
  }

  async function connect(
    port: number,
    options: tls.ConnectionOptions,
  ): Promise<{ answer: string; socket: tls.TLSSocket; error: NodeJS.ErrnoException | undefined; retry: unknown }> {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: SECRET_NAME, ...trust, ...options });
    let answer = '';
    let error: NodeJS.ErrnoException | undefined;
    let retry: unknown;
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', (one) => {
      error = one;
    });
    socket.on('echRejected', (configs: Buffer | null) => {
      retry = configs;
    });
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    await new Promise((resolve) => socket.once('close', resolve));
    return { answer, socket, error, retry };
  }

  test('is decrypted: the name on the wire is the public one, and the server sees the other', async () => {
    const { port, configList } = await start();
    const { answer, error, socket } = await connect(port, { encryptedClientHello: configList, allowTruncation: true });
    assert.equal(error, undefined);
    assert.match(answer, /HTTP\/1\.0 200/);
    assert.equal(socket.servername, SECRET_NAME);
  });

  test('goes through a HelloRetryRequest', async () => {
    const { port, configList } = await start('-I', 'P256');
    const { answer, error } = await connect(port, {
      encryptedClientHello: configList,
      allowTruncation: true,
      ecdhCurve: 'x25519:P-256',
    });
    assert.equal(error, undefined);
    assert.match(answer, /HTTP\/1\.0 200/);
  });

  test('of a configuration that the server has replaced is refused with the new one, which works', async () => {
    const old = await start();
    const current = await start();
    const refused = await connect(current.port, { encryptedClientHello: old.configList });
    assert.equal(refused.error?.code, 'TLS_ERR_ECH_REJECTED');
    assert(refused.retry instanceof Buffer);
    assert.equal(refused.answer, '');
    const again = await connect(current.port, { encryptedClientHello: refused.retry, allowTruncation: true });
    assert.equal(again.error, undefined);
    assert.match(again.answer, /HTTP\/1\.0 200/);
  });

  test('that is none at all is taken for grease', async () => {
    const { port } = await start();
    const { answer, error } = await connect(port, { encryptedClientHello: 'grease', allowTruncation: true });
    assert.equal(error, undefined);
    assert.match(answer, /HTTP\/1\.0 200/);
  });

  test('resumes a session by an encrypted ticket', async () => {
    const { port, configList } = await start('-u');
    const sessionCache = new tls.ClientSessions();
    const options = { encryptedClientHello: configList, allowTruncation: true, sessionCache };
    await connect(port, options);
    const { error, socket, answer } = await connect(port, options);
    assert.equal(error, undefined);
    assert.match(answer, /HTTP\/1\.0 200/);
    assert(socket.isSessionReused());
  });
});
