/** External PSKs with OpenSSL and GnuTLS, both ways. Neither imports PSKs (RFC 9258). */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { call, certificateFor, file, hangGuard, LineServer, pemFiles, reversed, someLine } from './support.ts';

const psk = randomBytes(32);
const identity = 'device 1';
const hex = psk.toString('hex');
const known = { identity, psk };
const running: ToolProcess[] = [];
after(() => Promise.all(running.map((tool) => tool.stop())));

async function exchange(tool: ToolProcess): Promise<void> {
  const line = someLine(500);
  tool.write(`${line}\n`);
  await tool.until(reversed(line));
}

describe('external PSKs with OpenSSL', { ...hangGuard, ...skipUnless('openssl') }, () => {
  const files = pemFiles('psk', certificateFor('ecdsa-p256'));

  async function serve(args: readonly string[]): Promise<number> {
    const tool = new ToolProcess('openssl', ['s_server', '-accept', '127.0.0.1:0', '-tls1_3', '-rev', ...args]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    return Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]);
  }

  async function talk(server: LineServer, args: readonly string[]): Promise<string> {
    const connect = ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_3'];
    const tool = new ToolProcess('openssl', [...connect, ...args]);
    try {
      await exchange(tool);
      tool.end('Q\n');
      await tool.exited();
      return tool.text;
    } finally {
      await tool.stop();
    }
  }

  test('s_client -psk to our server, which has no certificate, with and without a HelloRetryRequest', async () => {
    for (const groups of [undefined, ['secp384r1']]) {
      const server = await LineServer.start({ externalPsks: [known], ...(groups === undefined ? {} : { groups }) });
      const text = await talk(server, ['-psk', hex, '-psk_identity', identity, '-groups', 'X25519:P-384']);
      const { summary } = server.visit();
      assert.equal(summary.authenticatedBy, 'externalPsk');
      assert.equal(summary.cipherSuite, 'TLS_AES_128_GCM_SHA256');
      assert.equal(summary.helloRetried, groups !== undefined);
      assert.equal(Buffer.from(summary.externalPsk?.identity ?? []).toString(), identity);
      assert.match(text, /no peer certificate available/);
    }
  });

  test('s_client -psk to our server with a function, and with pskCallback', async () => {
    for (const options of [
      {
        externalPsks: async ({ identity: name }: { identity: Buffer }) => (String(name) === identity ? { psk } : null),
      },
      { pskCallback: (_socket: unknown, name: string) => (name === identity ? psk : null) },
    ]) {
      const server = await LineServer.start(options);
      await talk(server, ['-psk', hex, '-psk_identity', identity]);
      assert.equal(server.visit().summary.authenticatedBy, 'externalPsk');
    }
  });

  test('a session of s_client that began with the PSK resumes', async () => {
    const server = await LineServer.start({ externalPsks: [known] });
    const kept = file('psk.session', '');
    const args = ['-psk', hex, '-psk_identity', identity];
    await talk(server, [...args, '-sess_out', kept]);
    assert.equal(server.visit().summary.resumed, false);
    assert.match(await talk(server, [...args, '-sess_in', kept]), /Reused, TLSv1.3/);
    const { summary } = server.visit();
    assert.equal(summary.resumed, true);
    assert.equal(summary.authenticatedBy, 'externalPsk');
  });

  test('s_client with a wrong key, and with another identity, is refused alike', async () => {
    const server = await LineServer.start({ externalPsks: [known] });
    for (const args of [
      ['-psk', 'ab'.repeat(32), '-psk_identity', identity],
      ['-psk', hex, '-psk_identity', 'device 2'],
    ]) {
      const tool = new ToolProcess('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_3', ...args]);
      assert.notEqual(await tool.exited(), 0);
      assert.match(tool.text, /alert decrypt error/);
    }
    assert.deepEqual(
      server.failures.map((error) => (error as NodeJS.ErrnoException).code),
      ['TLS_ERR_BAD_BINDER', 'TLS_ERR_UNKNOWN_PSK'],
    );
  });

  test('our client to s_server -psk -nocert, and on to a resumption', async () => {
    const port = await serve(['-nocert', '-psk', hex, '-psk_identity', identity]);
    for (const options of [
      { externalPsks: [known], externalPskRequired: true },
      { pskCallback: () => ({ psk, identity }), ...{ minVersion: 'TLSv1.3' } },
    ]) {
      const first = await call({ port, ...options, tickets: 1 });
      assert.equal(first.summary.authenticatedBy, 'externalPsk');
      assert.equal(first.summary.pskMode, 'psk_dhe_ke');
      assert.equal(first.summary.cipherSuite, 'TLS_AES_128_GCM_SHA256');
      const second = await call({ port, ...options, session: first.sessions[0] });
      assert.equal(second.summary.resumed, true);
      assert.equal(second.summary.authenticatedBy, 'externalPsk');
    }
  });

  test('our client, through a HelloRetryRequest, and with a PSK that is not known before the one that is', async () => {
    const port = await serve(['-nocert', '-psk', hex, '-psk_identity', identity, '-groups', 'P-384']);
    const { summary } = await call({
      port,
      groups: ['x25519', 'secp384r1'],
      externalPsks: [{ identity: 'unknown', psk: randomBytes(16) }, known],
    });
    assert.equal(summary.helloRetried, true);
    assert.equal(summary.authenticatedBy, 'externalPsk');
    assert.equal(Buffer.from(summary.externalPsk?.identity ?? []).toString(), identity);
  });

  test('our client takes the certificate of a server that does not know its PSK, unless it requires one', async () => {
    const port = await serve(['-cert', files.cert, '-key', files.key]);
    const { summary } = await call({ port, externalPsks: [known] });
    assert.equal(summary.authenticatedBy, 'certificate');
    await assert.rejects(call({ port, externalPsks: [known], externalPskRequired: true }), {
      code: 'TLS_ERR_PSK_REQUIRED',
    });
  });

  test('psk_ke with s_server and s_client that allow it, only where we do', async () => {
    const server = await LineServer.start({ externalPsks: [known], dangerouslyAllowPskKe: 'prefer' });
    const args = ['-psk', hex, '-psk_identity', identity];
    await talk(server, [...args, '-allow_no_dhe_kex']);
    assert.equal(server.visit().summary.pskMode, 'psk_ke');
    await talk(server, args);
    assert.equal(server.visit().summary.pskMode, 'psk_dhe_ke');
    const strict = await LineServer.start({ externalPsks: [known] });
    await talk(strict, [...args, '-allow_no_dhe_kex']);
    assert.equal(strict.visit().summary.pskMode, 'psk_dhe_ke');
  });
});

describe('external PSKs with GnuTLS', { ...hangGuard, ...skipUnless('gnutls-cli', 'gnutls-serv') }, () => {
  const priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:+PSK:+DHE-PSK:+ECDHE-PSK';

  test('gnutls-cli to our server, which has no certificate', async () => {
    const server = await LineServer.start({ externalPsks: [{ identity: 'jane', psk }] });
    const tool = new ToolProcess('gnutls-cli', [
      ...['--port', String(server.port), '--pskusername', 'jane', '--pskkey', hex, '--priority', priority],
      '127.0.0.1',
    ]);
    try {
      await exchange(tool);
      tool.end();
      await tool.exited();
    } finally {
      await tool.stop();
    }
    const { summary } = server.visit();
    assert.equal(summary.authenticatedBy, 'externalPsk');
    assert.match(tool.text, /PSK/);
  });

  test('our client to gnutls-serv', async () => {
    const port = await freePort();
    const passwords = file('psk.passwd', `jane:${hex}\n`);
    const tool = new ToolProcess('gnutls-serv', [
      ...['--port', String(port), '--pskpasswd', passwords, '--priority', priority, '--echo'],
    ]);
    running.push(tool);
    await tool.until(/IPv4.*done/);
    const { summary } = await call({
      port,
      externalPsks: [{ identity: 'jane', psk }],
      externalPskRequired: true,
      reply: (line) => line,
    });
    assert.equal(summary.authenticatedBy, 'externalPsk');
    assert.equal(Buffer.from(summary.externalPsk?.identity ?? []).toString(), 'jane');
  });
});
