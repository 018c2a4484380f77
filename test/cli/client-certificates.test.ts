/** `serve --client-ca` and `connect --cert --key`: who must show a certificate, and what is told of it. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { connectCommand } from '../../src/cli/connect.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { alice, clientCa, mallory } from '../node/client-support.ts';
import { mayflyHosted, type Owner, type Result, refusedHere, type Serving, serve, temporaryFolder } from './support.ts';

const cleanUps: (() => unknown)[] = [];
const owner: Owner = { after: (cleanUp) => cleanUps.push(cleanUp) };
after(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const folder = temporaryFolder(owner);
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
};
const caPath = write('client-ca.pem', clientCa.pem);
const aliceFlags = ['--cert', write('alice.pem', alice.cert), '--key', write('alice.key', alice.key)];
const malloryFlags = ['--cert', write('mallory.pem', mallory.cert), '--key', write('mallory.key', mallory.key)];

let strict: Promise<Serving> | undefined;
function requiring(): Promise<Serving> {
  strict ??= serve(owner, ['--root', folder, '--no-status', '--client-ca', caPath]);
  return strict;
}

function connect(serving: Serving, ...flags: string[]): Promise<Result> {
  return mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca, ...flags]);
}

function told(result: Result): { clientCertificate: unknown; resumed: boolean } {
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '');
}

for (const tls of ['1.3', '1.2']) {
  test(`a server that requires certificates is shown one, and the story tells, TLS ${tls}`, async () => {
    const serving = await requiring();
    const { code, stdout, stderr } = await connect(serving, ...aliceFlags, '--tls', tls);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /The client\n +The server asked for a certificate: CN=alice was sent/);
    assert.match(stdout, tls === '1.2' ? /in the clear/ : /encrypted/);
  });

  test(`who has none, or none that is trusted, is turned away, TLS ${tls}`, async () => {
    const serving = await requiring();
    const none = await connect(serving, '--tls', tls);
    assert.equal(none.code, 16, none.stdout);
    assert.match(none.stderr, tls === '1.3' ? /certificate_required.*--cert FILE --key FILE/ : /handshake_failure/);
    const wrong = await connect(serving, ...malloryFlags, '--tls', tls);
    assert.equal(wrong.code, 16, wrong.stdout);
    assert.match(wrong.stderr, /unknown_ca/);
  });
}

test('a server that only requests one serves others too; a kept session is for the one that it was made with', async (t) => {
  const serving = await serve(t, ['--root', folder, '--no-status', '--client-ca', caPath, '--client-cert', 'request']);
  assert.equal((await serving.until('listening')).clientCertificates, 'requested');
  const none = await connect(serving);
  assert.match(none.stdout, /asked for a certificate: none was given/);
  const kept = ['--json', '--session', join(folder, 'session')];
  assert.deepEqual(told(await connect(serving, ...kept, ...aliceFlags)).clientCertificate, {
    asked: true,
    sent: 'CN=alice',
  });
  const again = told(await connect(serving, ...kept, ...aliceFlags));
  assert.deepEqual([again.resumed, again.clientCertificate], [true, { asked: false, sent: null }]);
  const other = told(await connect(serving, ...kept));
  assert.deepEqual([other.resumed, other.clientCertificate], [false, { asked: true, sent: null }]);
});

test('behind --upstream the application is told of a certificate that is trusted, and by nobody else', async (t) => {
  const upstream = createServer((request, response) => response.end(request.headers['client-cert'] ?? 'none'));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => upstream.close());
  const to = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const flags = ['--upstream', to, '--no-status', '--client-ca', caPath, '--client-cert', 'request'];
  const serving = await serve(t, flags);
  const ca = readFileSync(serving.ca);
  const der = new X509Certificate(alice.cert).raw.toString('base64');
  for (const [identity, expected] of [
    [{ cert: alice.cert, key: alice.key }, `:${der}:`],
    [{}, 'none'],
  ] as const) {
    const forged = { 'client-cert': ':AAAA:', client_cert: ':AAAA:' };
    const answered = new Promise<string>((resolve, reject) => {
      get(
        { port: serving.port, host: 'localhost', ca, ...identity, headers: forged, agent: false },
        async (response) => {
          resolve(await text(response));
        },
      ).on('error', reject);
    });
    assert.equal(await answered, expected);
    const session = connectHttp2(`https://localhost:${serving.port}`, { ca, ...identity });
    assert.equal(await text(session.request({ ':path': '/', ...forged })), expected, 'HTTP/2');
    session.close();
  }
});

test('flags that cannot be meant are refused with code 2, files that cannot be read with 3 and 4', async () => {
  const missing = join(folder, 'missing.pem');
  const noPem = write('no.pem', 'nothing');
  const broken = write('broken.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  for (const [args, code, pattern] of [
    [['--client-cert', 'request'], 2, /--client-ca is missing/],
    [['--client-ca', caPath, '--client-cert', 'perhaps'], 2, /"perhaps" is not a choice.*require or request/],
    [['--client-ca', missing], 3, /cannot read .*missing\.pem/],
    [['--client-ca', noPem], 4, /holds no certificate/],
    [['--client-ca', broken], 4, /broken\.pem/],
  ] as const) {
    const refused = await refusedHere(serveCommand(), [...args]);
    assert.equal(refused.code, code, refused.line);
    assert.match(refused.line, pattern);
  }
  for (const [args, code, pattern] of [
    [['--cert', caPath], 2, /--key is missing/],
    [['--key', aliceFlags[3]], 2, /--cert is missing/],
    [['--cert', aliceFlags[1], '--key', malloryFlags[3]], 5, /does not belong/],
  ] as const) {
    const refused = await refusedHere(connectCommand(), ['localhost:1', ...args]);
    assert.equal(refused.code, code, refused.line);
    assert.match(refused.line, pattern);
  }
});
