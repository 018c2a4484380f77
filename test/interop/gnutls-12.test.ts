/** GnuTLS both ways in TLS 1.2: `gnutls-cli` to our server, and our client to `gnutls-serv`. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authority,
  authorityFile,
  type CallOptions,
  certificateFor,
  closing,
  hangGuard,
  type KeyType,
  keyTypes,
  LineServer,
  only12,
  pemFiles,
  call as plainCall,
  reversed,
  someLine,
  suites12,
  type Visit,
} from './support.ts';

const priority12 = 'NORMAL:-VERS-ALL:+VERS-TLS1.2';
const ciphers: Readonly<Record<string, string>> = {
  AES_128_GCM_SHA256: 'AES-128-GCM',
  AES_256_GCM_SHA384: 'AES-256-GCM',
  CHACHA20_POLY1305_SHA256: 'CHACHA20-POLY1305',
};
const groups = { x25519: 'X25519', secp256r1: 'SECP256R1', secp384r1: 'SECP384R1', secp521r1: 'SECP521R1' } as const;
/** It signs and verifies with Ed448 in TLS 1.3 alone. */
const keyTypesOfBoth = (Object.keys(keyTypes) as KeyType[]).filter((type) => type !== 'ed448');

function priorityOf(suite: string): string {
  const [, authentication, cipher] = /^TLS_ECDHE_(RSA|ECDSA)_WITH_(.*)$/.exec(suite) as RegExpExecArray;
  return `${priority12}:-CIPHER-ALL:+${ciphers[cipher]}:-KX-ALL:+ECDHE-${authentication}`;
}

describe('gnutls-cli to our server, TLS 1.2', { ...hangGuard, ...skipUnless('gnutls-cli') }, () => {
  let main: LineServer;

  before(async () => {
    main = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['h2', 'http/1.1'] });
    for (const type of keyTypesOfBoth) {
      main.server.addContext(`${type}.test`, certificateFor(type, `${type}.test`));
    }
  });

  function client(args: readonly string[], { server = main, name = 'localhost' } = {}): ToolProcess {
    const names = ['--sni-hostname', name, '--verify-hostname', name];
    const priority = args.includes('--priority') ? [] : ['--priority', priority12];
    const trust = ['--x509cafile', authorityFile];
    return new ToolProcess('gnutls-cli', [
      ...['--port', String(server.port), ...trust, ...names, ...priority, ...args, '127.0.0.1'],
    ]);
  }

  /** One run: a line each way, then a clean end. With `--resume` the first of two visits carries no data. */
  async function talk(
    args: readonly string[],
    { server = main, name = 'localhost', length = 2_000 } = {},
  ): Promise<[Visit[], string]> {
    const tool = client(args, { server, name });
    try {
      await tool.until('Simple Client Mode');
      const line = someLine(length);
      tool.write(`${line}\n`);
      await tool.until(reversed(line));
      tool.end();
      assert.equal(await tool.exited(), 0, tool.text);
      const visits = args.includes('--resume') ? [server.visit(), server.visit()] : [server.visit()];
      for (const visit of visits) {
        assert.equal(await visit.closed, undefined);
        assert.equal(visit.summary.version, 'TLSv1.2');
        assert.equal(visit.summary.serverName, name);
      }
      assert.match(tool.text, /The certificate is trusted/);
      return [visits, tool.text];
    } finally {
      await tool.stop();
    }
  }

  for (const [how, more] of [
    ['ticket', ''],
    ['id', ':%NO_TICKETS'],
  ] as const) {
    for (const { name: suite, keyType } of suites12) {
      test(`agrees on ${suite}, and resumes with it by ${how}`, async () => {
        const args = ['--priority', `${priorityOf(suite)}${more}`, '--resume'];
        const [[first, second], text] = await talk(args, { name: `${keyType}.test` });
        for (const { summary } of [first, second]) {
          assert.equal(summary.cipherSuite, suite);
          assert.equal(summary.extendedMasterSecret, true);
        }
        assert.equal(first.summary.resumed, false);
        assert.equal(second.summary.resumed, true);
        assert.equal(second.summary.resumedBy, how);
        assert.match(text, /This is a resumed session/);
      });
    }
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`agrees on ${group}`, async () => {
      const [[{ summary }]] = await talk(['--priority', `${priority12}:-GROUP-ALL:+GROUP-${name}`], {
        name: 'rsa.test',
      });
      assert.equal(summary.namedGroup, group);
    });
  }

  for (const type of keyTypesOfBoth) {
    test(`proves itself with a certificate of the key type ${type}`, async () => {
      const [, text] = await talk([], { name: `${type}.test` });
      assert.match(text, new RegExp(`A server with ${type}`));
    });
  }

  test('agrees on a protocol, and carries more than a record', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['h2', 'http/1.1'] });
    const long = someLine(20_000);
    server.server.on('secureConnection', (socket) => socket.write(`${long}\n`));
    const [[{ summary }], text] = await talk(['--alpn', 'http/1.1', '--recordsize', '512'], { server, length: 500 });
    assert.equal(summary.alpnProtocol, 'http/1.1');
    assert.ok(text.includes(long), 'all of 20 kB came');
  });

  test('renegotiates with a client that wants to where that is allowed', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), clientRenegotiations: 1 });
    await talk(['--rehandshake'], { server });
  });

  test('refuses a client without extended master secret, and takes it where that is allowed', async () => {
    const legacy = ['--priority', `${priority12}:%NO_SESSION_HASH`];
    const tool = client(legacy);
    assert.notEqual(await tool.exited(), 0);
    assert.match(tool.text, /alert.*Handshake failed/i);
    assert.equal((main.failures.pop() as NodeJS.ErrnoException).code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    const options = { ...certificateFor('ecdsa-p256'), allowLegacyMasterSecret: true };
    const server = await LineServer.start(options);
    const [visits] = await talk([...legacy, '--resume'], { server });
    assert.deepEqual(
      visits.map(({ summary }) => [summary.extendedMasterSecret, summary.resumed]),
      [
        [false, false],
        [false, true],
      ],
    );
  });

  test('exports the same keying material as the client', async () => {
    const args = ['--keymatexport', 'EXPORTER-mayfly-test', '--keymatexportsize', '32'];
    const server = await LineServer.start(certificateFor('ecdsa-p256'));
    let ours = '';
    server.server.on('secureConnection', (socket) => {
      ours = socket.exportKeyingMaterial(32, 'EXPORTER-mayfly-test').toString('hex');
    });
    const [, text] = await talk(args, { server });
    assert.equal(/Key material: ([0-9a-f]+)/.exec(text)?.[1], ours);
  });
});

describe('our client to gnutls-serv, TLS 1.2', { ...hangGuard, ...skipUnless('gnutls-serv') }, () => {
  const running: ToolProcess[] = [];
  const ports = new Map<KeyType, number>();
  const call = (options: CallOptions) => plainCall({ ...only12, reply: (line: string) => line, ...options });

  async function serve(type: KeyType, priority = priority12, args: readonly string[] = []): Promise<number> {
    const port = await freePort();
    const { cert, key } = pemFiles(`gnutls12-${type}`, certificateFor(type));
    const tool = new ToolProcess('gnutls-serv', [
      ...['--echo', '--disable-client-cert', '--port', String(port), '--priority', priority],
      ...['--x509certfile', cert, '--x509keyfile', key, ...args],
    ]);
    running.push(tool);
    await tool.until(/IPv4.*done/);
    return port;
  }

  before(async () => {
    for (const type of keyTypesOfBoth) {
      ports.set(type, await serve(type));
    }
  });
  after(() => Promise.all(running.map((tool) => tool.stop())));

  for (const [how, secureOptions] of [
    ['ticket', 0],
    ['id', constants.SSL_OP_NO_TICKET],
  ] as const) {
    for (const { name: suite, keyType } of suites12) {
      test(`agrees on ${suite}, and resumes with it by ${how}, twice over`, async () => {
        const options = { port: ports.get(keyType) as number, ciphers: suite, secureOptions };
        const first = await call({ ...options, tickets: 1 });
        assert.equal(first.summary.cipherSuite, suite);
        assert.equal(first.summary.resumed, false);
        let session = first.sessions[0];
        for (let i = 0; i < 2; i++) {
          const { summary, sessions } = await call({ ...options, session });
          assert.equal(summary.resumed, true);
          assert.equal(summary.resumedBy, how);
          session = sessions[0] ?? session;
        }
      });
    }
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`agrees on ${group}`, async () => {
      const port = await serve('rsa', `${priority12}:-GROUP-ALL:+GROUP-${name}`);
      assert.equal((await call({ port })).summary.namedGroup, group);
    });
  }

  for (const type of keyTypesOfBoth) {
    test(`believes a server with a certificate of the key type ${type}`, async () => {
      const { summary } = await call({ port: ports.get(type) as number });
      assert.equal(summary.version, 'TLSv1.2');
      assert.equal(summary.peerCertificates.length, 1);
    });
  }

  test('refuses a server without secure renegotiation', async () => {
    const port = await serve('ecdsa-p256', `${priority12}:%DISABLE_SAFE_RENEGOTIATION`);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only12 });
    const error = (await closing(socket)) as NodeJS.ErrnoException;
    assert.equal(error.code, 'TLS_ERR_INSECURE_RENEGOTIATION');
  });

  test('refuses a server without extended master secret, and takes it where that is allowed', async () => {
    const port = await serve('ecdsa-p256', `${priority12}:%NO_SESSION_HASH`);
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only12 });
    const error = (await closing(socket)) as NodeJS.ErrnoException;
    assert.equal(error.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    const first = await call({ port, allowLegacyMasterSecret: true, tickets: 1 });
    assert.equal(first.summary.extendedMasterSecret, false);
    const session = first.sessions[0];
    const second = await call({ port, allowLegacyMasterSecret: true, session });
    assert.deepEqual([second.summary.resumed, second.summary.extendedMasterSecret], [true, false]);
    const strict = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only12, session });
    assert.equal(((await closing(strict)) as NodeJS.ErrnoException).code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
  });

  test('agrees on a protocol, with small records', async () => {
    const port = await serve('ecdsa-p256', priority12, ['--recordsize', '512', '--alpn', 'mayfly/1']);
    assert.equal((await call({ port, ALPNProtocols: ['mayfly/1'] })).summary.alpnProtocol, 'mayfly/1');
  });
});
