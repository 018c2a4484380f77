/** Our client against `openssl s_server`, in TLS 1.2. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authority,
  type CallOptions,
  certificateFor,
  closing,
  eventually,
  folder,
  hangGuard,
  type KeyType,
  keyTypes,
  only12,
  pemFiles,
  call as plainCall,
  someLine,
  suites12,
} from './support.ts';

const groups = { x25519: 'X25519', secp256r1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' } as const;
const call = (options: CallOptions) => plainCall({ ...only12, ...options });

describe('our client to openssl s_server, TLS 1.2', { ...hangGuard, ...skipUnless('openssl') }, () => {
  const pems = Object.fromEntries(
    (Object.keys(keyTypes) as KeyType[]).map((type) => [type, pemFiles(`${type}-12`, certificateFor(type))]),
  ) as Record<KeyType, { cert: string; key: string }>;
  const files = pems['ecdsa-p256'];
  const running: ToolProcess[] = [];
  const ports = new Map<string, number>();
  let main: number;

  /** Starts a server that lives up to the end of this file, and returns it with its port. */
  async function serve(args: readonly string[], { cert, key } = files): Promise<[number, ToolProcess]> {
    const version = args.includes('-no_tls1_3') ? [] : ['-tls1_2'];
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', cert, '-key', key, ...version, ...args],
    ]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    return [Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]), tool];
  }

  before(async () => {
    [main] = await serve(['-rev']);
    for (const type of Object.keys(keyTypes) as KeyType[]) {
      ports.set(type, (await serve(['-rev'], pems[type]))[0]);
    }
  });
  after(() => Promise.all(running.map((tool) => tool.stop())));

  for (const { name, openssl, keyType } of suites12) {
    for (const [which, ciphers] of [
      ['IANA', name],
      ['OpenSSL', openssl],
    ]) {
      test(`agrees on ${openssl} when it offers only that, by its name of ${which}, and resumes with it`, async () => {
        const port = ports.get(keyType) as number;
        const first = await call({ port, ciphers, tickets: 1 });
        assert.equal(first.summary.version, 'TLSv1.2');
        assert.equal(first.summary.cipherSuite, name);
        assert.equal(first.summary.extendedMasterSecret, true);
        assert.equal(first.clean, true);
        const { summary } = await call({ port, ciphers, session: first.sessions[0] });
        assert.equal(summary.resumed, true);
        assert.equal(summary.cipherSuite, name);
      });
    }
  }

  for (const group of Object.keys(groups)) {
    test(`agrees on ${group} when it offers only that`, async () => {
      const { summary } = await call({ port: ports.get('rsa') as number, groups: [group] });
      assert.equal(summary.namedGroup, group);
    });
  }

  for (const type of Object.keys(keyTypes) as KeyType[]) {
    test(`believes a server with a certificate of the key type ${type}`, async () => {
      const { summary } = await call({ port: ports.get(type) as number });
      // In TLS 1.2 the name of a scheme says nothing of the curve (RFC 8422 §5.1.3).
      const family = keyTypes[type].scheme.replace(/(_secp\d+r1)?_sha\d+$/, '');
      assert.match(String(summary.signatureScheme), new RegExp(`^${family}`));
      assert.equal(summary.peerCertificates.length, 1);
    });
  }

  for (const [wanted, scheme] of [
    ['RSA+SHA256', 'rsa_pkcs1_sha256'],
    ['RSA+SHA512', 'rsa_pkcs1_sha512'],
    ['RSA-PSS+SHA384', 'rsa_pss_rsae_sha384'],
  ]) {
    test(`believes a server that signs with ${scheme} alone`, async () => {
      const [port] = await serve(['-rev', '-sigalgs', wanted], pems.rsa);
      assert.equal((await call({ port })).summary.signatureScheme, scheme);
    });
  }

  test('falls to TLS 1.2 by itself when it offers both versions', async () => {
    const first = await plainCall({ port: main, tickets: 1 });
    assert.equal(first.summary.version, 'TLSv1.2');
    const second = await plainCall({ port: main, session: first.sessions[0] });
    assert.equal(second.summary.resumed, true);
    const [port] = await serve(['-rev', '-no_tls1_3']);
    assert.equal((await plainCall({ port })).summary.version, 'TLSv1.2');
  });

  test('agrees on a protocol that both speak', async () => {
    const [port] = await serve(['-rev', '-alpn', 'mayfly/1,h2']);
    assert.equal((await call({ port, ALPNProtocols: ['h2', 'mayfly/1'] })).summary.alpnProtocol, 'mayfly/1');
    assert.equal((await call({ port: main, ALPNProtocols: ['h2'] })).summary.alpnProtocol, '');
  });

  for (const [words, how, args, secureOptions] of [
    ['tickets', 'ticket', [], 0],
    ['session IDs of a server without tickets', 'id', ['-no_ticket'], 0],
    ['session IDs, as it asks for no ticket', 'id', [], constants.SSL_OP_NO_TICKET],
    ['session IDs with a prefix', 'id', ['-no_ticket', '-id_prefix', 'mayfly'], 0],
  ] as const) {
    test(`resumes with ${words}, twice over`, async () => {
      const [port] = await serve(['-rev', ...args]);
      const first = await call({ port, tickets: 1, secureOptions });
      assert.equal(first.summary.resumed, false);
      let session = first.sessions[0];
      for (let i = 0; i < 2; i++) {
        const { summary, sessions } = await call({ port, session, secureOptions });
        assert.equal(summary.resumed, true);
        assert.equal(summary.resumedBy, how);
        assert.equal(summary.namedGroup, undefined);
        assert.equal(summary.authenticatedAt, first.summary.authenticatedAt);
        assert.deepEqual(summary.peerCertificates, first.summary.peerCertificates);
        session = sessions[0] ?? session;
      }
    });
  }

  test('does a full handshake when the server does not know the session, by ticket and by ID', async () => {
    for (const secureOptions of [0, constants.SSL_OP_NO_TICKET]) {
      const { sessions } = await call({ port: main, tickets: 1, secureOptions });
      const [port] = await serve(['-rev']);
      const { summary } = await call({ port, session: sessions[0], secureOptions });
      assert.equal(summary.resumed, false);
      assert.equal(summary.refusal, 'by_peer');
    }
  });

  test('answers a request for a certificate with none, and is told by an alert where one is demanded', async () => {
    const [port, server] = await serve(['-rev', '-msg', '-verify', '1', '-CAfile', files.cert]);
    await call({ port });
    assert.match(server.text, />>> TLS 1.2, Handshake[^\n]*CertificateRequest/);
    assert.doesNotMatch(server.text, /<<< TLS 1.2, Handshake[^\n]*CertificateVerify/);
    const [strict] = await serve(['-rev', '-Verify', '1']);
    const socket = connect({ host: '127.0.0.1', port: strict, servername: 'localhost', ca: authority, ...only12 });
    assert.match(String((await closing(socket))?.message), /handshake_failure|certificate_required/);
  });

  /** A conversation through the server's standard input and output, which its -rev mode does not use. */
  async function talk(port: number, server: ToolProcess, options: object = {}) {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only12, ...options });
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

  test('renegotiates when the server asks, in full and abbreviated, and carries data on', async () => {
    const [port, server] = await serve(['-msg']);
    const { socket, closed, exchange } = await talk(port, server);
    for (let i = 0; i < 2; i++) {
      const done = once(socket, 'secure');
      server.write('r\n');
      await done;
      await exchange();
    }
    socket.end();
    assert.equal(await closed, undefined);
  });

  test('declines to renegotiate with no_renegotiation where it is told to', async () => {
    const [port, server] = await serve(['-msg']);
    const { socket } = await talk(port, server, { serverRenegotiations: 0 });
    server.write('r\n');
    await server.until(/<<< TLS 1.2, Alert[^\n]*warning no_renegotiation/);
    socket.destroy();
  });

  test('asks the server for a renegotiation, which carries data on or is declined', async () => {
    const [port, server] = await serve(['-msg', '-client_renegotiation']);
    const { socket, closed, exchange } = await talk(port, server);
    assert.equal(await new Promise((resolve) => socket.renegotiate({}, resolve)), null);
    await exchange();
    socket.end();
    assert.equal(await closed, undefined);
    const [deaf, other] = await serve(['-msg']);
    const second = await talk(deaf, other);
    const error = await new Promise<Error | null>((resolve) => second.socket.renegotiate({}, resolve));
    assert.match(String(error?.message), /no_renegotiation/);
    await second.exchange();
    second.socket.end();
    assert.equal(await second.closed, undefined);
  });

  for (const args of [[], ['-max_send_frag', '512']]) {
    test(`carries half a megabyte each way ${args.join(' ')}`, async () => {
      const [port, server] = await serve(args);
      const { socket, closed, exchange } = await talk(port, server);
      await exchange(500_000);
      socket.end();
      assert.equal(await closed, undefined);
    });
  }

  test('logs the same secret as the server', async () => {
    const path = join(folder, 'server12.keys');
    const [port, server] = await serve(['-rev', '-keylogfile', path]);
    const ours: string[] = [];
    await call({ port, keyLog: ours });
    await server.stop();
    const theirs = readFileSync(path, 'latin1')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.equal(ours.length, 1);
    assert.deepEqual(ours, theirs);
  });

  test('exports the same keying material as the server', async () => {
    const [port, server] = await serve(['-keymatexport', 'EXPORTER-mayfly-test', '-keymatexportlen', '42']);
    const { socket, closed } = await talk(port, server);
    const ours = socket.exportKeyingMaterial(42, 'EXPORTER-mayfly-test').toString('hex').toUpperCase();
    await server.until(`Keying material: ${ours}`);
    socket.end();
    assert.equal(await closed, undefined);
  });

  test('refuses a server with RSA key transport or CBC only, and one of an untrusted root', async () => {
    for (const [cipher, pem] of [
      ['AES128-GCM-SHA256', pems.rsa],
      ['ECDHE-ECDSA-AES128-SHA', files],
    ] as const) {
      const [port] = await serve(['-rev', '-cipher', cipher], pem);
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only12 });
      assert.match(String((await closing(socket))?.message), /handshake_failure/);
    }
    const socket = connect({ host: '127.0.0.1', port: main, servername: 'localhost', ...only12 });
    assert.equal(((await closing(socket)) as NodeJS.ErrnoException).code, 'TLS_ERR_UNKNOWN_CA');
  });
});
