/** `openssl s_client` against our server. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { createServer, type TLSSocket } from '../../src/node/tls.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authorityFile,
  certificateFor,
  eventually,
  file,
  folder,
  hangGuard,
  type KeyType,
  keyTypes,
  LineServer,
  listen,
  pemFiles,
  reversed,
  sha256,
  someLine,
  type Visit,
} from './support.ts';

const groups = {
  x25519: { openssl: 'X25519', told: 'X25519' },
  secp256r1: { openssl: 'P-256', told: 'prime256v1|secp256r1' },
  secp384r1: { openssl: 'P-384', told: 'secp384r1' },
  secp521r1: { openssl: 'P-521', told: 'secp521r1' },
} as const;
const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'] as const;

describe('openssl s_client to our server', { ...hangGuard, ...skipUnless('openssl') }, () => {
  let main: LineServer;

  before(async () => {
    main = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['h2', 'http/1.1'] });
    for (const type of Object.keys(keyTypes) as KeyType[]) {
      main.server.addContext(`${type}.test`, certificateFor(type, `${type}.test`));
    }
    main.logKeys();
  });

  interface Talk {
    readonly server?: LineServer;
    readonly args?: readonly string[];
    readonly name?: string;
    readonly inMiddle?: (tool: ToolProcess, visit: Visit) => Promise<void>;
  }

  /** One connection from hello to close_notify with a line each way; asserts what holds for all. */
  async function talk({ server = main, args = [], name = 'localhost', inMiddle }: Talk = {}): Promise<[Visit, string]> {
    const trust = ['-CAfile', authorityFile, '-verify_return_error', '-verify_hostname', name];
    const tool = new ToolProcess('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', name, '-tls1_3', ...trust, ...args],
    ]);
    try {
      await exchange(tool);
      const visit = server.visit();
      await inMiddle?.(tool, visit);
      tool.end('Q\n');
      assert.equal(await tool.exited(), 0, tool.text);
      assert.equal(await visit.closed, undefined);
      assert.equal(visit.socket.truncated, false, 'the client sent close_notify');
      assert.equal(visit.summary.version, 'TLSv1.3');
      assert.equal(visit.summary.serverName, name);
      assert.match(tool.text, new RegExp(`(New|Reused), TLSv1.3, Cipher is ${visit.summary.cipherSuite}`));
      assert.match(tool.text, /Verify return code: 0 \(ok\)/);
      return [visit, tool.text];
    } finally {
      await tool.stop();
    }
  }

  async function exchange(tool: ToolProcess): Promise<void> {
    const line = someLine();
    tool.write(`${line}\n`);
    await tool.until(reversed(line));
  }

  for (const suite of suites) {
    test(`agrees on ${suite} when the client offers only that`, async () => {
      const [{ summary }, text] = await talk({ args: ['-ciphersuites', suite] });
      assert.equal(summary.cipherSuite, suite);
      assert.equal(summary.resumed, false);
      assert.match(text, new RegExp(`New, TLSv1.3, Cipher is ${suite}`));
    });
  }

  for (const [group, { openssl, told }] of Object.entries(groups)) {
    test(`agrees on ${group} when the client's first share is for it`, async () => {
      const [{ summary }, text] = await talk({ args: ['-groups', openssl] });
      assert.equal(summary.namedGroup, group);
      assert.equal(summary.helloRetried, false);
      assert.match(text, new RegExp(`Temp Key: .*(${told})`));
    });

    test(`asks for another share by HelloRetryRequest and agrees on ${group}`, async () => {
      const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), groups: [group] });
      const first = group === 'x25519' ? 'P-256' : 'X25519';
      const [{ summary }, text] = await talk({ server, args: ['-groups', `${first}:${openssl}`] });
      assert.equal(summary.namedGroup, group);
      assert.equal(summary.helloRetried, true);
      assert.equal(server.server.counters.helloRetries, 1);
      assert.match(text, new RegExp(`Temp Key: .*(${told})`));
    });
  }

  test('asks by HelloRetryRequest without middlebox compatibility too', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), groups: ['secp384r1'] });
    const [{ summary }] = await talk({ server, args: ['-groups', 'X25519:P-384', '-no_middlebox'] });
    assert.equal(summary.helloRetried, true);
    assert.equal(summary.namedGroup, 'secp384r1');
  });

  test('refuses a client that shares no group with it with a handshake_failure alert', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), groups: ['secp384r1'] });
    const connect = ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_3', '-groups', 'X25519'];
    const tool = new ToolProcess('openssl', connect);
    assert.notEqual(await tool.exited(), 0);
    assert.match(tool.text, /alert handshake failure/);
    assert.equal((server.failures[0] as NodeJS.ErrnoException).code, 'TLS_ERR_NO_COMMON_GROUP');
  });

  for (const [type, { scheme }] of Object.entries(keyTypes)) {
    test(`proves itself with a certificate of the key type ${type}, chosen by SNI`, async () => {
      const [{ summary }, text] = await talk({ name: `${type}.test` });
      assert.equal(summary.signatureScheme, scheme);
      assert.match(text, new RegExp(`A server with ${type}`));
    });
  }

  for (const [wanted, scheme] of [
    ['RSA-PSS+SHA384', 'rsa_pss_rsae_sha384'],
    ['RSA-PSS+SHA512', 'rsa_pss_rsae_sha512'],
  ]) {
    test(`signs with ${scheme} when the client takes no other`, async () => {
      const [{ summary }] = await talk({ name: 'rsa.test', args: ['-sigalgs', `${wanted}:ECDSA+SHA256`] });
      assert.equal(summary.signatureScheme, scheme);
    });
  }

  test('chooses the protocol by its own order and tells the client', async () => {
    const [{ summary }, text] = await talk({ args: ['-alpn', 'http/1.1,h2'] });
    assert.equal(summary.alpnProtocol, 'h2');
    assert.match(text, /ALPN protocol: h2/);
  });

  test('refuses a client none of whose protocols it speaks with no_application_protocol', async () => {
    const failed = main.failures.length;
    const tool = new ToolProcess('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${main.port}`, '-servername', 'localhost', '-alpn', 'spdy/1'],
    ]);
    assert.notEqual(await tool.exited(), 0);
    assert.match(tool.text, /alert no application protocol|alert number 120/);
    assert.equal(main.failures.length, failed + 1);
  });

  test('refuses a client that speaks at most TLS 1.2 with a protocol_version alert where 1.3 is the least', async () => {
    const { port } = await LineServer.start({ ...certificateFor('ecdsa-p256'), minVersion: 'TLSv1.3' });
    const tool = new ToolProcess('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2']);
    assert.notEqual(await tool.exited(), 0);
    assert.match(tool.text, /alert protocol version/);
  });

  for (const [words, args] of [
    ['', []],
    [' without middlebox compatibility', ['-no_middlebox']],
    [' with SHA-384', ['-ciphersuites', 'TLS_AES_256_GCM_SHA384']],
    [' with ChaCha20', ['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256']],
  ] as const) {
    test(`resumes the client's session by its ticket, and that one's again${words}`, async () => {
      const session = join(folder, `session${words.replaceAll(' ', '-')}.pem`);
      const [first] = await talk({ args: [...args, '-sess_out', session] });
      assert.equal(first.summary.resumed, false);
      for (let i = 0; i < 2; i++) {
        const [visit, text] = await talk({ args: [...args, '-sess_in', session, '-sess_out', session] });
        assert.equal(visit.summary.resumed, true);
        assert.equal(visit.summary.refusal, undefined);
        assert.equal(visit.summary.pskMode, 'psk_dhe_ke');
        assert.equal(visit.summary.authenticatedAt, first.summary.authenticatedAt);
        assert.match(text, /Reused, TLSv1.3/);
      }
    });
  }

  test('resumes after a HelloRetryRequest, with the binder over both hellos', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), groups: ['secp384r1'] });
    const session = join(folder, 'retried.pem');
    await talk({ server, args: ['-groups', 'P-384', '-sess_out', session] });
    const [{ summary }] = await talk({ server, args: ['-groups', 'X25519:P-384', '-sess_in', session] });
    assert.equal(summary.helloRetried, true);
    assert.equal(summary.resumed, true);
  });

  test('does not resume a session under another name, and does a full handshake', async () => {
    const session = join(folder, 'other-name.pem');
    await talk({ args: ['-sess_out', session] });
    const [{ summary }] = await talk({ args: ['-sess_in', session], name: 'ed25519.test' });
    assert.equal(summary.resumed, false);
    assert.equal(summary.refusal, 'policy_changed');
  });

  test('does a full handshake when the ticket was sealed under a key that is gone', async () => {
    const server = await LineServer.start(certificateFor('ecdsa-p256'));
    const session = join(folder, 'flushed.pem');
    await talk({ server, args: ['-sess_out', session] });
    server.server.sessions.flush();
    const [{ summary }, text] = await talk({ server, args: ['-sess_in', session] });
    assert.equal(summary.resumed, false);
    assert.equal(summary.refusal, 'unknown_key');
    assert.match(text, /New, TLSv1.3/);
  });

  test('gives the session of our ticket no early data to send, and resumes it', async () => {
    const session = join(folder, 'no-early.pem');
    const early = file('early.txt', `${someLine()}\n`);
    await talk({ args: ['-sess_out', session] });
    const [{ summary }, text] = await talk({ args: ['-sess_in', session, '-early_data', early] });
    assert.equal(summary.resumed, true);
    assert.match(text, /Early data was not sent/);
  });

  for (const retried of [false, true]) {
    test(`skips the early data of a foreign ticket${retried ? ' also when it asks for another share' : ''}`, async () => {
      const session = join(folder, `foreign-${retried}.pem`);
      await foreignTicket(session);
      const server = await LineServer.start({
        ...certificateFor('ecdsa-p256'),
        groups: [retried ? 'secp384r1' : 'x25519'],
      });
      const early = file('early.txt', `${someLine(12_000)}\n`);
      const args = ['-groups', 'X25519:P-384', '-sess_in', session, '-early_data', early];
      const [{ summary }, text] = await talk({ server, args });
      assert.equal(summary.resumed, false);
      // After a HelloRetryRequest for a suite with another hash the client leaves its ticket out.
      assert.match(
        String(summary.refusal),
        retried ? /^(undefined|bad_ticket|unknown_key)$/ : /^(bad_ticket|unknown_key)$/,
      );
      assert.equal(summary.helloRetried, retried);
      assert.match(text, /Early data was rejected/);
    });
  }

  /** A ticket of `s_server` that allows early data. */
  async function foreignTicket(path: string): Promise<void> {
    const { cert, key } = pemFiles('foreign', certificateFor('ecdsa-p256'));
    const server = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', cert, '-key', key, '-max_early_data', '20000', '-rev'],
    ]);
    try {
      await server.until(/ACCEPT 127.0.0.1:\d+/);
      const [, address] = /ACCEPT (127.0.0.1:\d+)/.exec(server.text) as RegExpExecArray;
      const client = new ToolProcess('openssl', [
        ...['s_client', '-connect', address, '-servername', 'localhost', '-sess_out', path],
      ]);
      await exchange(client);
      await eventually('the session is written', () => existsSync(path));
      client.end('Q\n');
      await client.exited();
    } finally {
      await server.stop();
    }
  }

  for (const [command, words] of [
    ['k', 'renews its keys'],
    ['K', 'renews its keys and asks us to renew ours'],
  ]) {
    test(`carries data on when the client ${words}`, async () => {
      const before = main.server.counters.keyUpdates;
      await talk({
        inMiddle: async (tool) => {
          tool.write(`${command}\n`);
          await tool.until('KEYUPDATE');
          await exchange(tool);
          await exchange(tool);
        },
      });
      assert.equal(main.server.counters.keyUpdates - before, command === 'K' ? 2 : 1);
    });
  }

  test('carries data on when the server renews its keys and asks the client to renew', async () => {
    const before = main.server.counters.keyUpdates;
    await talk({
      inMiddle: async (tool, { socket }) => {
        socket.updateKeys(true);
        await exchange(tool);
        socket.updateKeys(false);
        await exchange(tool);
      },
    });
    assert.equal(main.server.counters.keyUpdates - before, 3, 'two of ours and one answer');
  });

  test('logs the same secrets as the client', async () => {
    main.keyLog.length = 0;
    const path = join(folder, 'client.keys');
    await talk({ args: ['-keylogfile', path] });
    const theirs = readFileSync(path, 'latin1')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const ours = main.keyLog.map((line) => line.trimEnd());
    assert.equal(ours.length, 5);
    assert.deepEqual(ours.sort(), theirs.sort());
  });

  test('exports the same keying material as the client', async () => {
    const args = ['-keymatexport', 'EXPORTER-mayfly-test', '-keymatexportlen', '42'];
    let ours = '';
    const [, text] = await talk({
      args,
      inMiddle: async (_tool, { socket }) => {
        ours = socket.exportKeyingMaterial(42, 'EXPORTER-mayfly-test').toString('hex');
      },
    });
    const theirs = /Keying material: ([0-9A-F]+)/.exec(text)?.[1].toLowerCase();
    assert.equal(theirs, ours);
  });

  for (const args of [
    ['-max_send_frag', '512'],
    ['-split_send_frag', '600', '-max_send_frag', '700'],
    ['-no_middlebox'],
    ['-maxfraglen', '512'],
    ['-maxfraglen', '512', '-tls1_2'],
  ]) {
    test(`takes a megabyte and sends it back with ${args.join(' ')}`, async () => {
      const echo = createServer(certificateFor('ecdsa-p256'), (socket: TLSSocket) => socket.pipe(socket));
      const port = await listen(echo);
      const sent = Buffer.from(someLine(1_000_000));
      const tool = new ToolProcess('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-quiet', '-no_ign_eof', ...args],
      ]);
      try {
        tool.write(sent);
        await tool.until(() => tool.bytes.length >= sent.length);
        assert.equal(sha256(tool.bytes), sha256(sent));
        tool.end();
        assert.equal(await tool.exited(), 0);
      } finally {
        await tool.stop();
        echo.close();
      }
    });
  }

  test('ends with close_notify first, and the client answers it', async () => {
    const server = createServer(certificateFor('ecdsa-p256'), (socket: TLSSocket) => socket.end('farewell\n'));
    const port = await listen(server);
    const secured = once(server, 'secureConnection');
    const tool = new ToolProcess('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-msg', '-ign_eof']);
    const [socket] = (await secured) as [TLSSocket];
    assert.equal(await tool.exited(), 0);
    assert.match(tool.text, /farewell/);
    assert.match(tool.text, /<<< TLS 1.3, Alert[^\n]*\[length 0002\], warning close_notify/);
    await eventually('the socket closes', () => socket.destroyed);
    assert.equal(socket.truncated, false);
    server.close();
  });

  test('asks no client for a certificate, whatever it has', async () => {
    const { cert, key } = pemFiles('client', certificateFor('ed25519'));
    const [visit, text] = await talk({ args: ['-cert', cert, '-key', key] });
    assert.deepEqual(visit.summary.peerCertificates, []);
    assert.match(text, /No client certificate CA names sent/);
  });

  test('sends no ticket when they are off, and the client finds none to resume', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), sessions: { tickets: false } });
    const [, text] = await talk({ server });
    assert.doesNotMatch(text, /Post-Handshake New Session Ticket/);
  });
});
