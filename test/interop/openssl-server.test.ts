/** Our client against `openssl s_server`. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authority,
  call,
  certificateFor,
  closing,
  eventually,
  folder,
  hangGuard,
  type KeyType,
  keyTypes,
  pemFiles,
  someLine,
} from './support.ts';

const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'] as const;
const groups = { x25519: 'X25519', secp256r1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' } as const;

describe('our client to openssl s_server', { ...hangGuard, ...skipUnless('openssl') }, () => {
  const files = pemFiles('server', certificateFor('ecdsa-p256'));
  const running: ToolProcess[] = [];
  let main: number;

  /** Starts a server that lives up to the end of this file, and returns it with its port. */
  async function serve(args: readonly string[], { cert, key } = files): Promise<[number, ToolProcess]> {
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', cert, '-key', key, '-tls1_3', ...args],
    ]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    return [Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]), tool];
  }

  before(async () => {
    [main] = await serve(['-rev']);
  });
  after(() => Promise.all(running.map((tool) => tool.stop())));

  for (const suite of suites) {
    test(`agrees on ${suite} when it offers only that`, async () => {
      const { summary, clean } = await call({ port: main, ciphers: suite });
      assert.equal(summary.version, 'TLSv1.3');
      assert.equal(summary.cipherSuite, suite);
      assert.equal(summary.resumed, false);
      assert.equal(clean, true);
    });
  }

  for (const group of Object.keys(groups)) {
    test(`agrees on ${group} when its share is for that`, async () => {
      const { summary } = await call({ port: main, groups: [group] });
      assert.equal(summary.namedGroup, group);
      assert.equal(summary.helloRetried, false);
    });
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`answers a HelloRetryRequest for ${group}, and resumes through another`, async () => {
      const [port] = await serve(['-rev', '-groups', name]);
      const offered = [group === 'x25519' ? 'secp256r1' : 'x25519', group];
      const first = await call({ port, groups: offered, tickets: 1 });
      assert.equal(first.summary.namedGroup, group);
      assert.equal(first.summary.helloRetried, true);
      const second = await call({ port, groups: offered, session: first.sessions[0] });
      assert.equal(second.summary.helloRetried, true);
      assert.equal(second.summary.resumed, true);
      assert.equal(second.summary.namedGroup, group);
    });
  }

  test('speaks to a server without middlebox compatibility', async () => {
    const [port] = await serve(['-rev', '-no_middlebox', '-groups', 'P-384:X25519']);
    const { summary } = await call({ port, groups: ['x25519', 'secp384r1'], tickets: 1 });
    assert.equal(summary.version, 'TLSv1.3');
  });

  for (const type of Object.keys(keyTypes) as KeyType[]) {
    test(`believes a server with a certificate of the key type ${type}`, async () => {
      const [port] = await serve(['-rev'], pemFiles(type, certificateFor(type)));
      const { summary } = await call({ port });
      assert.match(String(summary.signatureScheme), new RegExp(`^${keyTypes[type].scheme.replace(/_sha\d+$/, '')}`));
      assert.equal(summary.peerCertificates.length, 1);
    });
  }

  test('agrees on a protocol that both speak, and refuses none when the server names none', async () => {
    const [port] = await serve(['-rev', '-alpn', 'mayfly/1,h2']);
    assert.equal((await call({ port, ALPNProtocols: ['h2', 'mayfly/1'] })).summary.alpnProtocol, 'mayfly/1');
    assert.equal((await call({ port: main, ALPNProtocols: ['h2'] })).summary.alpnProtocol, '');
  });

  test('asks for a name, and is given the certificate for it', async () => {
    const named = pemFiles('named', certificateFor('ed25519', 'named.test'));
    const [port] = await serve([...['-rev', '-servername', 'named.test', '-cert2', named.cert, '-key2', named.key]]);
    assert.equal((await call({ port, servername: 'named.test' })).summary.signatureScheme, 'ed25519');
    assert.equal((await call({ port })).summary.signatureScheme, 'ecdsa_secp256r1_sha256');
  });

  for (const [words, args] of [
    ['stateless tickets', []],
    ['stateful tickets', ['-no_ticket']],
    ['five tickets', ['-num_tickets', '5']],
  ] as const) {
    test(`resumes with ${words}, twice over`, async () => {
      const [port] = await serve(['-rev', ...args]);
      const count = args[1] === '5' ? 5 : 2;
      const first = await call({ port, tickets: count });
      assert.equal(first.sessions.length, count);
      assert.equal(first.summary.resumed, false);
      const second = await call({ port, session: first.sessions[count - 1], tickets: 1 });
      assert.equal(second.summary.resumed, true);
      assert.equal(second.summary.pskMode, 'psk_dhe_ke');
      assert.deepEqual(second.summary.peerCertificates, first.summary.peerCertificates);
      const third = await call({ port, session: second.sessions[0] });
      assert.equal(third.summary.resumed, true);
      assert.equal(third.summary.authenticatedAt, first.summary.authenticatedAt);
    });
  }

  for (const suite of suites.slice(1)) {
    test(`resumes with ${suite}`, async () => {
      const first = await call({ port: main, ciphers: suite, tickets: 1 });
      const { summary } = await call({ port: main, ciphers: suite, session: first.sessions[0] });
      assert.equal(summary.resumed, true);
      assert.equal(summary.cipherSuite, suite);
    });
  }

  test('does a full handshake when the server does not know the ticket', async () => {
    const { sessions } = await call({ port: main, tickets: 1 });
    const [port] = await serve(['-rev']);
    const { summary } = await call({ port, session: sessions[0] });
    assert.equal(summary.resumed, false);
    assert.equal(summary.refusal, 'by_peer');
  });

  test('does not mind a server that sends no tickets', async () => {
    const [port] = await serve(['-rev', '-num_tickets', '0']);
    const { sessions } = await call({ port });
    assert.equal(sessions.length, 0);
  });

  test('answers a request for a certificate with none', async () => {
    const [port, server] = await serve(['-rev', '-msg', '-verify', '1', '-CAfile', files.cert]);
    const { summary } = await call({ port, tickets: 1 });
    assert.equal(summary.resumed, false);
    assert.match(server.text, />>> TLS 1.3, Handshake[^\n]*CertificateRequest/);
    assert.match(server.text, /<<< TLS 1.3, Handshake \[length 0008\], Certificate/);
    assert.doesNotMatch(server.text, /<<< TLS 1.3, Handshake[^\n]*CertificateVerify/);
  });

  test('is told by an alert when the server insists on a certificate', async () => {
    const [port] = await serve(['-rev', '-Verify', '1']);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority });
    const error = (await closing(socket)) as NodeJS.ErrnoException;
    assert.match(error.message, /certificate_required/);
  });

  /** A conversation through the server's standard input and output, which its -rev mode does not use. */
  async function talk(port: number, server: ToolProcess) {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority });
    const closed = closing(socket);
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    const exchange = async (length?: number) => {
      const line = someLine(length);
      socket.write(`${line}\n`);
      await server.until(() => server.bytes.includes(line));
      const back = someLine(length);
      server.write(`${back}\n`);
      await eventually('the line comes', () => received.endsWith(`${back}\n`));
    };
    await once(socket, 'secureConnect');
    await exchange();
    return { socket, closed, exchange };
  }

  test('carries data on when the server renews its keys, and when it asks us to', async () => {
    const [port, server] = await serve(['-msg']);
    const { socket, closed, exchange } = await talk(port, server);
    for (const [round, command] of ['k', 'K', 'K'].entries()) {
      server.write(`${command}\n`);
      await eventually('KeyUpdate sent', () => sentUpdates(server) > round);
      await exchange();
    }
    assert.equal(server.text.match(/<<< TLS 1.3, Handshake[^\n]*KeyUpdate/g)?.length, 2, 'one answer to each request');
    socket.end();
    assert.equal(await closed, undefined);
    assert.equal(socket.truncated, false);
  });

  function sentUpdates(server: ToolProcess): number {
    return server.text.match(/>>> TLS 1.3, Handshake[^\n]*KeyUpdate/g)?.length ?? 0;
  }

  test('renews its own keys, asks for others, and carries data on', async () => {
    const [port, server] = await serve(['-msg']);
    const { socket, closed, exchange } = await talk(port, server);
    for (const ask of [false, true, true, false]) {
      socket.updateKeys(ask);
      await exchange();
    }
    assert.equal(server.text.match(/<<< TLS 1.3, Handshake[^\n]*KeyUpdate/g)?.length, 4);
    assert.equal(sentUpdates(server), 2);
    socket.end();
    assert.equal(await closed, undefined);
  });

  for (const args of [[], ['-max_send_frag', '512'], ['-no_middlebox', '-split_send_frag', '1000']]) {
    test(`carries half a megabyte each way${args.length === 0 ? '' : ` with ${args.join(' ')}`}`, async () => {
      const [port, server] = await serve(args);
      const { socket, closed, exchange } = await talk(port, server);
      await exchange(500_000);
      socket.end();
      assert.equal(await closed, undefined);
    });
  }

  test('logs the same secrets as the server', async () => {
    const path = join(folder, 'server.keys');
    const [port, server] = await serve(['-rev', '-keylogfile', path]);
    const ours: string[] = [];
    await call({ port, keyLog: ours });
    await server.stop();
    const theirs = readFileSync(path, 'latin1')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.equal(ours.length, 5);
    assert.deepEqual(ours.sort(), theirs.sort());
  });

  test('exports the same keying material as the server', async () => {
    const [port, server] = await serve(['-keymatexport', 'EXPORTER-mayfly-test', '-keymatexportlen', '42']);
    const { socket, closed } = await talk(port, server);
    const ours = socket.exportKeyingMaterial(42, 'EXPORTER-mayfly-test').toString('hex').toUpperCase();
    await server.until(`Keying material: ${ours}`);
    socket.end();
    assert.equal(await closed, undefined);
  });

  test('refuses a server whose root it does not trust, and tells it by an alert', async () => {
    const [port, server] = await serve(['-rev', '-msg']);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost' });
    const error = (await closing(socket)) as NodeJS.ErrnoException;
    assert.match(String(error.code), /^TLS_ERR_UNKNOWN_CA$/);
    await server.until(/<<< TLS 1.3, Alert[^\n]*fatal unknown_ca/);
  });

  test('refuses a server that speaks at most TLS 1.2 where 1.3 is the least', async () => {
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', files.cert, '-key', files.key, '-tls1_2', '-rev'],
    ]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    const port = Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, minVersion: 'TLSv1.3' });
    const error = (await closing(socket)) as NodeJS.ErrnoException;
    assert.match(String(error.code), /^TLS_ERR_/);
    assert.match(error.message, /protocol_version/);
  });
});
