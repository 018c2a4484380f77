/** curl, held to TLS 1.2, against our HTTPS and HTTP/2 servers. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createSecureServer } from '../../src/node/http2.ts';
import { createServer } from '../../src/node/https.ts';
import type { HandshakeSummary, TLSSocket, TlsOptions } from '../../src/node/tls.ts';
import { run } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { authorityFile, certificateFor, file, hangGuard, listen, sha256, suites12 } from './support.ts';

const bulk = randomBytes(3_000_000);

describe('curl to our servers, TLS 1.2', { ...hangGuard, ...skipUnless('curl') }, () => {
  const seen: HandshakeSummary[] = [];
  const servers: { close(): unknown }[] = [];
  let main: number;

  async function serve(protocol: 'h2' | 'http/1.1', options: TlsOptions = certificateFor('ecdsa-p256')) {
    const answer = (request: NodeJS.ReadableStream, response: NodeJS.WritableStream) => {
      const { method, url } = request as unknown as { method: string; url: string };
      if (method === 'GET') {
        response.end(url === '/bulk' ? bulk : `you asked for ${url}\n`);
      } else {
        request.pipe(response);
      }
    };
    const server =
      protocol === 'h2'
        ? createSecureServer({ ...options, allowHTTP1: true }, answer as never)
        : createServer(options, answer as never);
    server.on('secureConnection', (socket: TLSSocket) => seen.push(socket.mayfly as HandshakeSummary));
    servers.push(server);
    return listen(server as never);
  }

  before(async () => {
    main = await serve('h2');
  });
  after(() => {
    for (const server of servers) {
      server.close();
    }
  });

  async function curl(port: number, flags: readonly string[], ...paths: string[]): Promise<Buffer> {
    seen.length = 0;
    const common = ['--disable', '--silent', '--show-error', '--fail', '--cacert', authorityFile, '--max-time', '20'];
    const where = [
      '--resolve',
      `localhost:${port}:127.0.0.1`,
      ...paths.map((path) => `https://localhost:${port}${path}`),
    ];
    const { code, text, bytes } = await run('curl', [...common, '--tls-max', '1.2', ...flags, ...where]);
    assert.equal(code, 0, text);
    for (const { version, serverName } of seen) {
      assert.deepEqual([version, serverName], ['TLSv1.2', 'localhost']);
    }
    return bytes;
  }

  for (const [flag, alpn] of [
    ['--http1.1', 'http/1.1'],
    ['--http2', 'h2'],
  ]) {
    test(`gets two documents on one connection, and three megabytes both ways, over ${alpn}`, async () => {
      assert.equal(String(await curl(main, [flag], '/one', '/two')), 'you asked for /one\nyou asked for /two\n');
      assert.equal(seen.length, 1);
      assert.equal(seen[0].alpnProtocol, alpn);
      assert.equal(sha256(await curl(main, [flag], '/bulk')), sha256(bulk));
      const upload = ['--header', 'Expect:', '--data-binary', `@${file('upload12.bin', bulk)}`];
      assert.equal(sha256(await curl(main, [flag, ...upload], '/echo')), sha256(bulk));
    });
  }

  for (const [words, sessions] of [
    ['that sends tickets too', {}],
    ['that sends none', { tickets: false, sessionIds: true }],
  ] as const) {
    test(`resumes by ID, as it asks for no tickets, at a server ${words}`, async () => {
      const port = await serve('http/1.1', { ...certificateFor('ecdsa-p256'), sessions });
      await curl(port, ['--http1.1', '--header', 'Connection: close'], '/one', '/two', '/three');
      assert.deepEqual(
        seen.map(({ resumedBy }) => resumedBy),
        [undefined, 'id', 'id'],
      );
    });
  }

  for (const { name, openssl, keyType } of suites12) {
    test(`agrees on ${openssl} when curl offers only that`, async () => {
      const port = await serve('h2', certificateFor(keyType));
      await curl(port, ['--ciphers', openssl], '/one');
      assert.equal(seen[0].cipherSuite, name);
    });
  }
});
