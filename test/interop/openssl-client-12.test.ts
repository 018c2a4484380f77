/** `openssl s_client` against our server, in TLS 1.2. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { createServer, type TLSSocket } from '../../src/node/tls.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authorityFile,
  certificateFor,
  folder,
  hangGuard,
  type KeyType,
  keyTypes,
  LineServer,
  listen,
  reversed,
  sha256,
  someLine,
  suites12,
  type Visit,
} from './support.ts';

const groups = { x25519: 'X25519', secp256r1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' } as const;

describe('openssl s_client to our server, TLS 1.2', { ...hangGuard, ...skipUnless('openssl') }, () => {
  let main: LineServer;

  before(async () => {
    main = await serverFor({});
    main.logKeys();
  });

  async function serverFor(options: Parameters<typeof LineServer.start>[0]): Promise<LineServer> {
    const server = await LineServer.start({
      ...certificateFor('ecdsa-p256'),
      ALPNProtocols: ['h2', 'http/1.1'],
      ...options,
    });
    for (const type of Object.keys(keyTypes) as KeyType[]) {
      server.server.addContext(`${type}.test`, certificateFor(type, `${type}.test`));
    }
    return server;
  }

  interface Talk {
    readonly server?: LineServer;
    readonly args?: readonly string[];
    readonly name?: string;
    readonly inMiddle?: (tool: ToolProcess, visit: Visit) => Promise<void>;
  }

  function client(server: LineServer, args: readonly string[], name = 'localhost'): ToolProcess {
    const trust = ['-CAfile', authorityFile, '-verify_return_error', '-verify_hostname', name];
    return new ToolProcess('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', name, '-tls1_2', ...trust, ...args],
    ]);
  }

  /** One connection from hello to close_notify with a line each way; asserts what holds for all. */
  async function talk({ server = main, args = [], name = 'localhost', inMiddle }: Talk = {}): Promise<[Visit, string]> {
    const tool = client(server, args, name);
    try {
      await exchange(tool);
      const visit = server.visit();
      await inMiddle?.(tool, visit);
      tool.end('Q\n');
      assert.equal(await tool.exited(), 0, tool.text);
      assert.equal(await visit.closed, undefined);
      assert.equal(visit.socket.truncated, false, 'the client sent close_notify');
      assert.equal(visit.summary.version, 'TLSv1.2');
      assert.equal(visit.summary.serverName, name);
      const { name: cipher } = visit.socket.getCipher() as { name: string };
      assert.match(tool.text, new RegExp(`(New|Reused), TLSv1.2, Cipher is ${cipher}`));
      assert.match(tool.text, /Secure Renegotiation IS supported/);
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

  /** A handshake that must not succeed: the client's words. */
  async function refused(server: LineServer, args: readonly string[], name?: string): Promise<string> {
    const tool = client(server, args, name);
    try {
      assert.notEqual(await tool.exited(), 0);
      return tool.text;
    } finally {
      await tool.stop();
    }
  }

  for (const { name: suite, openssl, keyType } of suites12) {
    test(`agrees on ${suite} when the client offers only that, and resumes with it`, async () => {
      const session = join(folder, `${openssl}.pem`);
      const args = ['-cipher', openssl];
      const [first, text] = await talk({ name: `${keyType}.test`, args: [...args, '-sess_out', session] });
      assert.equal(first.summary.cipherSuite, suite);
      assert.equal(first.summary.extendedMasterSecret, true);
      assert.match(text, /Extended master secret: yes/);
      const [second] = await talk({ name: `${keyType}.test`, args: [...args, '-sess_in', session] });
      assert.equal(second.summary.cipherSuite, suite);
      assert.equal(second.summary.resumed, true);
    });
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`agrees on ${group} when the client offers only that`, async () => {
      const [{ summary }] = await talk({ name: 'rsa.test', args: ['-groups', name] });
      assert.equal(summary.namedGroup, group);
    });
  }

  for (const [type, { scheme }] of Object.entries(keyTypes)) {
    test(`proves itself with a certificate of the key type ${type}, chosen by SNI`, async () => {
      const [{ summary }, text] = await talk({ name: `${type}.test` });
      assert.equal(summary.signatureScheme, scheme);
      assert.match(summary.cipherSuite, type.startsWith('rsa') ? /_RSA_/ : /_ECDSA_/);
      assert.match(text, new RegExp(`A server with ${type}`));
    });
  }

  for (const [wanted, scheme] of [
    ['RSA+SHA256', 'rsa_pkcs1_sha256'],
    ['RSA+SHA384', 'rsa_pkcs1_sha384'],
    ['RSA+SHA512', 'rsa_pkcs1_sha512'],
    ['RSA-PSS+SHA384', 'rsa_pss_rsae_sha384'],
  ]) {
    test(`signs with ${scheme} when the client takes no other for RSA`, async () => {
      const [{ summary }] = await talk({ name: 'rsa.test', args: ['-sigalgs', `${wanted}:ECDSA+SHA256`] });
      assert.equal(summary.signatureScheme, scheme);
    });
  }

  test('refuses a client with which it shares no suite, no group or no signature with handshake_failure', async () => {
    const server = await serverFor({ groups: ['secp384r1'] });
    for (const [args, code] of [
      [['-cipher', 'AES128-GCM-SHA256'], 'TLS_ERR_NO_COMMON_SUITE'],
      [['-cipher', 'ECDHE-ECDSA-AES128-SHA'], 'TLS_ERR_NO_COMMON_SUITE'],
      [['-groups', 'X25519'], 'TLS_ERR_NO_COMMON_GROUP'],
      [['-sigalgs', 'RSA+SHA256'], 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME'],
    ] as const) {
      assert.match(await refused(server, args), /alert handshake failure/);
      assert.equal((server.failures.pop() as NodeJS.ErrnoException).code, code);
    }
  });

  test('chooses the protocol by its own order and tells the client, and refuses one it does not speak', async () => {
    const [{ summary }, text] = await talk({ args: ['-alpn', 'http/1.1,h2'] });
    assert.equal(summary.alpnProtocol, 'h2');
    assert.match(text, /ALPN protocol: h2/);
    assert.match(await refused(main, ['-alpn', 'spdy/1']), /alert no application protocol|alert number 120/);
  });

  for (const [how, args] of [
    ['ticket', []],
    ['id', ['-no_ticket']],
  ] as const) {
    for (const suite of ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']) {
      test(`resumes the client's session by ${how} with ${suite}, three times over`, async () => {
        const session = join(folder, `by-${how}-${suite}.pem`);
        const common = [...args, '-cipher', suite, '-sess_out', session];
        const [first] = await talk({ args: common });
        assert.equal(first.summary.resumed, false);
        for (let i = 0; i < 3; i++) {
          const [{ summary }, text] = await talk({ args: [...common, '-sess_in', session] });
          assert.equal(summary.resumed, true);
          assert.equal(summary.resumedBy, how);
          assert.equal(summary.namedGroup, undefined);
          assert.equal(summary.authenticatedAt, first.summary.authenticatedAt);
          assert.match(text, /Reused, TLSv1.2/);
        }
      });
    }

    test(`does a full handshake under another name, and when the session is gone, by ${how}`, async () => {
      const server = await serverFor({});
      const session = join(folder, `gone-${how}.pem`);
      await talk({ server, args: [...args, '-sess_out', session] });
      const [elsewhere] = await talk({ server, args: [...args, '-sess_in', session], name: 'ed25519.test' });
      assert.equal(elsewhere.summary.resumed, false);
      assert.equal(elsewhere.summary.refusal, 'policy_changed');
      server.server.sessions.flush();
      const [late] = await talk({ server, args: [...args, '-sess_in', session] });
      assert.equal(late.summary.resumed, false);
      assert.equal(late.summary.refusal, how === 'ticket' ? 'unknown_key' : undefined);
    });
  }

  test('resumes a ticket under the previous key after a turn of the ring, and gets no other in its place', async () => {
    const server = await serverFor({});
    const session = join(folder, 'turned.pem');
    await talk({ server, args: ['-sess_out', session] });
    server.server.sessions.rotate();
    const [{ summary }, text] = await talk({ server, args: ['-sess_in', session, '-msg'] });
    assert.equal(summary.resumed, true);
    assert.doesNotMatch(text, /<<< TLS 1.2, Handshake[^\n]*NewSessionTicket/);
  });

  test('a session of TLS 1.2 does not resume as TLS 1.3', async () => {
    const session = join(folder, 'older.pem');
    await talk({ args: ['-sess_out', session] });
    const connect = ['s_client', '-connect', `127.0.0.1:${main.port}`, '-servername', 'localhost', '-sess_in', session];
    const tool = new ToolProcess('openssl', [...connect, '-no_tls1_2']);
    await exchange(tool).catch(() => {});
    tool.end('Q\n');
    await tool.exited();
    assert.doesNotMatch(tool.text, /Reused/);
    if (/New, TLSv1.3/.test(tool.text)) {
      assert.equal(main.visit().summary.resumed, false);
    }
  });

  test('sends no session that could be resumed when they are off', async () => {
    const server = await serverFor({ sessions: { tickets: false } });
    const [, text] = await talk({ server });
    assert.doesNotMatch(text, /TLS session ticket:/);
    assert.match(text, /Session-ID: \n/);
  });

  test('refuses a client that wants to renegotiate with no_renegotiation', async () => {
    const tool = client(main, ['-msg']);
    try {
      await exchange(tool);
      const visit = main.visit();
      tool.write('R\n');
      // The alert is a warning, but this client gives up when it is refused.
      await tool.exited();
      assert.match(tool.text, /RENEGOTIATING/);
      assert.match(tool.text, /<<< TLS 1.2, Alert[^\n]*warning no_renegotiation/);
      await visit.closed;
    } finally {
      await tool.stop();
    }
  });

  test('renegotiates with a client where that is allowed, and carries data on', async () => {
    const server = await serverFor({ clientRenegotiations: 2 });
    await talk({
      server,
      inMiddle: async (tool, { socket }) => {
        for (let i = 0; i < 2; i++) {
          const done = new Promise((resolve) => socket.once('secure', resolve));
          tool.write('R\n');
          await done;
          await exchange(tool);
        }
      },
    });
  });

  test('asks a client to renegotiate, and carries data on under the new keys', async () => {
    await talk({
      inMiddle: async (tool, { socket }) => {
        assert.equal(await new Promise((resolve) => socket.renegotiate({}, resolve)), null);
        await exchange(tool);
      },
    });
  });

  test('tells a client that fell back from TLS 1.3 so', async () => {
    assert.match(await refused(main, ['-fallback_scsv']), /alert inappropriate fallback/);
    const server = await serverFor({ maxVersion: 'TLSv1.2' });
    const [{ summary }] = await talk({ server, args: ['-fallback_scsv'] });
    assert.equal(summary.version, 'TLSv1.2');
  });

  test('logs the same secret as the client', async () => {
    main.keyLog.length = 0;
    const path = join(folder, 'client12.keys');
    await talk({ args: ['-keylogfile', path] });
    const theirs = readFileSync(path, 'latin1')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.equal(theirs.length, 1);
    assert.deepEqual(
      main.keyLog.map((line) => line.trimEnd()),
      theirs,
    );
  });

  for (const args of [[], ['-no_ticket']]) {
    test(`exports the same keying material as the client ${args.join(' ')}`, async () => {
      const session = join(folder, `export${args.length}.pem`);
      const material = ['-keymatexport', 'EXPORTER-mayfly-test', '-keymatexportlen', '42', '-sess_out', session];
      const seen: string[] = [];
      for (const resume of [[], ['-sess_in', session]]) {
        let ours = '';
        const [{ summary }, text] = await talk({
          args: [...args, ...material, ...resume],
          inMiddle: async (_tool, { socket }) => {
            ours = socket.exportKeyingMaterial(42, 'EXPORTER-mayfly-test').toString('hex');
          },
        });
        assert.equal(summary.resumed, resume.length > 0);
        assert.equal(/Keying material: ([0-9A-F]+)/.exec(text)?.[1].toLowerCase(), ours);
        seen.push(ours);
      }
      assert.notEqual(seen[0], seen[1]);
    });
  }

  for (const args of [[], ['-max_send_frag', '512'], ['-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305']]) {
    test(`takes a megabyte and sends it back ${args.join(' ')}`, async () => {
      const echo = createServer(certificateFor('ecdsa-p256'), (socket: TLSSocket) => socket.pipe(socket));
      const port = await listen(echo);
      const sent = Buffer.from(someLine(1_000_000));
      const connect = ['-connect', `127.0.0.1:${port}`, '-servername', 'localhost', '-quiet', '-no_ign_eof'];
      const tool = new ToolProcess('openssl', ['s_client', ...connect, '-tls1_2', ...args]);
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
});
