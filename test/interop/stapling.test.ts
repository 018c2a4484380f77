/** OCSP staples and exported keying material between us and `openssl`, and staples from `gnutls-serv`. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as netConnect } from 'node:net';
import { after, describe, test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import { connect } from '../../src/node/tls.ts';
import { DAY, makeIntermediate, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { makeResponder } from '../certificates/ocsp-maker.ts';
import { freePort, run, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { call, file, folder, hangGuard, LineServer, pemFiles, someLine } from './support.ts';

const now = Date.now();
const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const root = makeRoot({ subject: 'Interop stapling root', ...validity });
const issuer = makeIntermediate(root, validity);
const leaf = makeLeaf(issuer, { names: ['localhost'], serial: Uint8Array.of(0x4d, 1), ...validity });
const revoked = makeLeaf(issuer, { names: ['localhost'], serial: Uint8Array.of(0x4d, 2), ...validity });
const responder = makeResponder(issuer, validity);
const ca = derToPem(root.der);

const pem = (of: typeof leaf) => ({ cert: derToPem(of.der) + derToPem(issuer.der), key: of.key.privateKeyPem });
const files = { leaf: pemFiles('stapled', pem(leaf)), revoked: pemFiles('revoked', pem(revoked)) };
const rootFile = file('stapling-root.pem', ca);
const issuerFile = file('stapling-issuer.pem', derToPem(issuer.der));

/** An OCSP response that OpenSSL makes, as a file. */
async function ocspFile(name: 'leaf' | 'revoked'): Promise<string> {
  const signer = pemFiles('responder', { cert: derToPem(responder.der), key: responder.key.privateKeyPem });
  const index = file(
    'index.txt',
    'V\t301231000000Z\t\t4D01\tunknown\t/CN=a\nR\t301231000000Z\t260101000000Z,keyCompromise\t4D02\tunknown\t/CN=b\n',
  );
  const [request, response] = [`${folder}/${name}.ocsp-request`, `${folder}/${name}.ocsp`];
  const certificate = file(`${name}.only.pem`, derToPem((name === 'leaf' ? leaf : revoked).der));
  const asking = ['ocsp', '-issuer', issuerFile, '-cert', certificate, '-no_nonce', '-reqout', request];
  const answering = ['ocsp', '-index', index, '-CA', issuerFile, '-rsigner', signer.cert, '-rkey', signer.key];
  for (const args of [asking, [...answering, '-reqin', request, '-respout', response, '-ndays', '1']]) {
    const { code, text } = await run('openssl', args);
    assert.equal(code, 0, text);
  }
  return response;
}

const running: ToolProcess[] = [];
after(() => Promise.all(running.map((tool) => tool.stop())));

async function opensslServer(name: 'leaf' | 'revoked', ...args: readonly string[]): Promise<[number, ToolProcess]> {
  const { cert, key } = files[name];
  const chain = ['-cert', cert, '-cert_chain', issuerFile, '-key', key];
  const tool = new ToolProcess('openssl', ['s_server', '-accept', '127.0.0.1:0', ...chain, ...args]);
  running.push(tool);
  await tool.until(/ACCEPT 127.0.0.1:\d+/);
  return [Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]), tool];
}

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  const only = { minVersion: version, maxVersion: version };
  const flag = version === 'TLSv1.3' ? '-tls1_3' : '-tls1_2';

  describe(`our client to openssl s_server, ${version}`, { ...hangGuard, ...skipUnless('openssl') }, () => {
    test('believes the response that it staples', async () => {
      const [port] = await opensslServer('leaf', flag, '-rev', '-status_file', await ocspFile('leaf'));
      const { summary } = await call({ port, ca, ...only, stapling: 'require' });
      assert.ok((summary.ocspResponse?.length ?? 0) > 0);
    });

    test('refuses a certificate that was revoked, and a server that staples nothing', async () => {
      const [port] = await opensslServer('revoked', flag, '-rev', '-status_file', await ocspFile('revoked'));
      await assert.rejects(call({ port, ca, ...only, stapling: 'check' }), { code: 'TLS_ERR_CERTIFICATE_REVOKED' });
      const [plain] = await opensslServer('leaf', flag, '-rev');
      await assert.rejects(call({ port: plain, ca, ...only, stapling: 'require' }), { code: 'TLS_ERR_BAD_STATUS' });
      await call({ port: plain, ca, ...only, stapling: 'check' });
    });

    test('exports the same keying material', async () => {
      const [port, tool] = await opensslServer('leaf', flag, '-keymatexport', 'EXPERIMENTAL', '-keymatexportlen', '40');
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...only });
      await once(socket, 'secureConnect');
      const ours = socket.exportKeyingMaterial(40, 'EXPERIMENTAL').toString('hex').toUpperCase();
      await tool.until(/Keying material: [0-9A-F]+/);
      assert.equal(/Keying material: ([0-9A-F]+)/.exec(tool.text)?.[1], ours);
      socket.destroy();
    });
  });

  describe(`openssl s_client to our server, ${version}`, { ...hangGuard, ...skipUnless('openssl') }, () => {
    test('is told that the certificate is good, and exports the same keying material', async () => {
      const ocspResponse = readFileSync(await ocspFile('leaf'));
      const server = await LineServer.start({ ...pem(leaf), ...only, ocspResponse });
      const tool = new ToolProcess('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', '-CAfile', rootFile],
        ...['-verify_return_error', '-status', '-keymatexport', 'EXPERIMENTAL', '-keymatexportlen', '40', flag],
      ]);
      running.push(tool);
      tool.write(`${someLine(20)}\n`);
      await tool.until(/Keying material: [0-9A-F]+/);
      const { socket } = server.visit();
      assert.match(tool.text, /OCSP Response Status: successful/);
      assert.match(tool.text, /Cert Status: good/);
      const ours = socket.exportKeyingMaterial(40, 'EXPERIMENTAL').toString('hex').toUpperCase();
      assert.equal(/Keying material: ([0-9A-F]+)/.exec(tool.text)?.[1], ours);
      const finished = socket.getPeerFinished();
      assert.equal(finished?.length, version === 'TLSv1.2' ? 12 : 32);
      tool.end();
      await tool.exited();
    });

    test('is told that there is no response', async () => {
      const server = await LineServer.start({ ...pem(leaf), ...only });
      const { text } = await run('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', '-status', flag],
      ]);
      assert.match(text, /OCSP response: no response sent/);
    });
  });
}

/** What says that it listens may do so a moment before it does. */
async function accepting(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = netConnect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('our client to gnutls-serv', { ...hangGuard, ...skipUnless('gnutls-serv', 'openssl') }, () => {
  test('believes the response that it staples', async () => {
    const port = await freePort();
    const { cert, key } = files.leaf;
    const args = ['--x509certfile', cert, '--x509keyfile', key, '--ocsp-response', await ocspFile('leaf')];
    const tool = new ToolProcess('gnutls-serv', ['--port', String(port), '--echo', ...args]);
    running.push(tool);
    await tool.until(/listening on IPv4/);
    await accepting(port);
    for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
      const only = { minVersion: version, maxVersion: version };
      const { summary } = await call({ port, ca, ...only, stapling: 'require', reply: (line) => line });
      assert.equal(summary.version, version);
      assert.ok((summary.ocspResponse?.length ?? 0) > 0);
    }
  });
});
