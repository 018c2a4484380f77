/** curl against our HTTPS and HTTP/2 servers. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server as NetServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createSecureServer } from '../../src/node/http2.ts';
import { createServer } from '../../src/node/https.ts';
import type { HandshakeSummary, ServerCounters, TLSSocket } from '../../src/node/tls.ts';
import { run } from '../support/process.ts';
import { skipUnless, toolPath } from '../support/tools.ts';
import { authorityFile, certificateFor, file, hangGuard, listen, sha256 } from './support.ts';

type Host = NetServer & { readonly counters: ServerCounters };

const bulk = randomBytes(3_000_000);

/** Answers with what it was sent, or with the bulk. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'GET') {
    response.end(request.url === '/bulk' ? bulk : `you asked for ${request.url} over HTTP/${request.httpVersion}\n`);
    return;
  }
  request.pipe(response);
}

describe('curl to our servers', { ...hangGuard, ...skipUnless('curl') }, () => {
  const pem = certificateFor('ecdsa-p256');
  const seen: HandshakeSummary[] = [];
  let https: Host;
  let http2: Host;

  before(async () => {
    https = createServer(pem, answer);
    http2 = createSecureServer({ ...pem, allowHTTP1: true }, answer as never);
    for (const server of [https, http2]) {
      server.on('secureConnection', (socket: TLSSocket) => seen.push(socket.mayfly as HandshakeSummary));
      await listen(server);
    }
  });
  after(() => {
    https.close();
    http2.close();
  });

  async function curl(server: Host, flags: readonly string[], ...paths: string[]) {
    const { port } = server.address() as { port: number };
    const urls = paths.map((path) => `https://localhost:${port}${path}`);
    const common = ['--silent', '--show-error', '--fail', '--cacert', authorityFile, '--tlsv1.3', '--max-time', '20'];
    seen.length = 0;
    const result = await run('curl', [
      '--disable',
      ...common,
      '--resolve',
      `localhost:${port}:127.0.0.1`,
      ...flags,
      ...urls,
    ]);
    assert.equal(result.code, 0, result.text);
    return result.bytes;
  }

  const versions = [
    { title: 'HTTP/1.1', flags: ['--http1.1'], alpn: 'http/1.1', version: '1.1', hosts: () => [https, http2] },
    { title: 'HTTP/2', flags: ['--http2'], alpn: 'h2', version: '2.0', hosts: () => [http2] },
  ];
  for (const { title, flags, alpn, version, hosts } of versions) {
    test(`gets two documents on one connection over ${title}`, async () => {
      for (const host of hosts()) {
        const text = String(await curl(host, flags, '/one', '/two'));
        const lines = ['/one', '/two'].map((path) => `you asked for ${path} over HTTP/${version}\n`);
        assert.equal(text, lines.join(''));
        assert.equal(seen.length, 1, 'the second request reused the connection');
        assert.equal(seen[0].version, 'TLSv1.3');
        assert.equal(seen[0].alpnProtocol, alpn);
        assert.equal(seen[0].serverName, 'localhost');
      }
    });

    test(`gets three megabytes intact over ${title}`, async () => {
      for (const host of hosts()) {
        assert.equal(sha256(await curl(host, flags, '/bulk')), sha256(bulk));
      }
    });

    test(`sends three megabytes and gets them back over ${title}`, async () => {
      const path = file('upload.bin', bulk);
      for (const host of hosts()) {
        const bytes = await curl(host, [...flags, '--header', 'Expect:', '--data-binary', `@${path}`], '/echo');
        assert.equal(sha256(bytes), sha256(bulk));
      }
    });

    test(`gets six documents at once over ${title}`, async () => {
      for (const host of hosts()) {
        const paths = ['/1', '/2', '/3', '/4', '/5', '/6'];
        const text = String(await curl(host, [...flags, '--parallel', '--parallel-immediate'], ...paths));
        const lines = paths.map((path) => `you asked for ${path} over HTTP/${version}`);
        assert.deepEqual(text.trimEnd().split('\n').sort(), lines);
      }
    });
  }

  test('resumes when a run makes a second connection', async () => {
    // Without keep-alive each request has a connection of its own, and curl keeps sessions within a run.
    await curl(https, ['--http1.1', '--header', 'Connection: close'], '/one', '/two', '/three');
    assert.deepEqual(
      seen.map(({ resumed }) => resumed),
      [false, true, true],
    );
  });

  const ciphers = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
  for (const suite of ciphers) {
    test(`agrees on ${suite} when curl offers only that`, async () => {
      await curl(http2, ['--tls13-ciphers', suite], '/one');
      assert.equal(seen[0].cipherSuite, suite);
    });
  }

  test('refuses a name that the certificate does not have, on curl’s side', async () => {
    const { port } = https.address() as { port: number };
    const { code, text } = await run('curl', [
      ...[
        '--disable',
        '--silent',
        '--show-error',
        '--cacert',
        authorityFile,
        '--resolve',
        `other.test:${port}:127.0.0.1`,
      ],
      `https://other.test:${port}/`,
    ]);
    assert.equal(code, 60, text);
  });
});

describe('nghttp to our server', { skip: toolPath('nghttp') === undefined ? 'needs nghttp (optional)' : false }, () => {
  test('gets documents over HTTP/2 with priorities and multiplexing', async () => {
    const server = createSecureServer(certificateFor('ecdsa-p256'), answer as never);
    const port = await listen(server);
    const urls = ['/a', '/b', '/bulk', '/c'].map((path) => `https://127.0.0.1:${port}${path}`);
    const { code, text } = await run('nghttp', ['--null-out', '--stat', '--verbose', ...urls]);
    assert.equal(code, 0, text);
    assert.match(text, /The negotiated protocol: h2/);
    assert.equal(text.match(/:status: 200/g)?.length, 4);
    assert.match(text, /END_STREAM/);
    assert.equal(server.counters.full, 1);
    server.close();
  });
});
