/** GnuTLS both ways: `gnutls-cli` to our server, and our client to `gnutls-serv`. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authorityFile,
  call,
  certificateFor,
  hangGuard,
  type KeyType,
  LineServer,
  pemFiles,
  reversed,
  someLine,
  type Visit,
} from './support.ts';

const only13 = 'NORMAL:-VERS-ALL:+VERS-TLS1.3';
const suites = {
  TLS_AES_128_GCM_SHA256: 'AES-128-GCM',
  TLS_AES_256_GCM_SHA384: 'AES-256-GCM',
  TLS_CHACHA20_POLY1305_SHA256: 'CHACHA20-POLY1305',
} as const;
const groups = { x25519: 'X25519', secp256r1: 'SECP256R1', secp384r1: 'SECP384R1', secp521r1: 'SECP521R1' } as const;
const keyTypesOfBoth: readonly KeyType[] = [
  'ecdsa-p256',
  'ecdsa-p384',
  'ecdsa-p521',
  'ed25519',
  'ed448',
  'rsa',
  'rsa-pss',
];

describe('gnutls-cli to our server', { ...hangGuard, ...skipUnless('gnutls-cli') }, () => {
  let main: LineServer;

  before(async () => {
    main = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['h2', 'http/1.1'] });
    for (const type of keyTypesOfBoth) {
      main.server.addContext(`${type}.test`, certificateFor(type, `${type}.test`));
    }
  });

  /** One run: a line each way, then a clean end. With `--resume` the first of two visits carries no data. */
  async function talk(
    args: readonly string[],
    { server = main, name = 'localhost', length = 2_000 } = {},
  ): Promise<[Visit[], string]> {
    const resumes = args.includes('--resume');
    const tool = new ToolProcess('gnutls-cli', [
      ...['--port', String(server.port), '--x509cafile', authorityFile, '--sni-hostname', name],
      ...[
        '--verify-hostname',
        name,
        ...(args.includes('--priority') ? [] : ['--priority', only13]),
        ...args,
        '127.0.0.1',
      ],
    ]);
    try {
      await tool.until('Simple Client Mode');
      const line = someLine(length);
      tool.write(`${line}\n`);
      await tool.until(reversed(line));
      tool.end();
      assert.equal(await tool.exited(), 0, tool.text);
      const visits = resumes ? [server.visit(), server.visit()] : [server.visit()];
      for (const visit of visits) {
        assert.equal(await visit.closed, undefined);
        assert.equal(visit.summary.version, 'TLSv1.3');
        assert.equal(visit.summary.serverName, name);
      }
      assert.match(tool.text, /The certificate is trusted/);
      return [visits, tool.text];
    } finally {
      await tool.stop();
    }
  }

  for (const [suite, cipher] of Object.entries(suites)) {
    test(`agrees on ${suite}, and resumes with it`, async () => {
      const priority = `${only13}:-CIPHER-ALL:+${cipher}`;
      const [[first, second], text] = await talk(['--priority', priority, '--resume']);
      for (const { summary } of [first, second]) {
        assert.equal(summary.cipherSuite, suite);
      }
      assert.equal(first.summary.resumed, false);
      assert.equal(second.summary.resumed, true);
      assert.equal(second.summary.pskMode, 'psk_dhe_ke');
      assert.match(text, /This is a resumed session/);
    });
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`agrees on ${group}`, async () => {
      const [[{ summary }], text] = await talk(['--priority', `${only13}:-GROUP-ALL:+GROUP-${name}`]);
      assert.equal(summary.namedGroup, group);
      assert.equal(summary.helloRetried, false);
      assert.match(text, new RegExp(`Description: .*ECDHE-${name}`));
    });
  }

  test('asks for another share by HelloRetryRequest, at a full handshake and at a resumption', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), groups: ['secp384r1'] });
    const priority = `${only13}:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP384R1`;
    const [visits] = await talk(['--priority', priority, '--single-key-share', '--resume'], { server });
    assert.deepEqual(
      visits.map(({ summary }) => [summary.helloRetried, summary.resumed, summary.namedGroup]),
      [
        [true, false, 'secp384r1'],
        [true, true, 'secp384r1'],
      ],
    );
  });

  for (const type of keyTypesOfBoth) {
    test(`proves itself with a certificate of the key type ${type}`, async () => {
      const [, text] = await talk([], { name: `${type}.test` });
      assert.match(text, new RegExp(`A server with ${type}`));
    });
  }

  test('agrees on a protocol and keeps to the client’s record size', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['h2', 'http/1.1'] });
    const long = someLine(20_000);
    server.server.on('secureConnection', (socket) => socket.write(`${long}\n`));
    // The program itself loses what does not fit into one record.
    const [[{ summary }], text] = await talk(['--alpn', 'http/1.1', '--recordsize', '512'], { server, length: 500 });
    assert.equal(summary.alpnProtocol, 'http/1.1');
    assert.match(text, /Application protocol: http\/1.1/);
    assert.ok(text.includes(long), 'all of 20 kB came through records of 512 bytes');
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

describe('our client to gnutls-serv', { ...hangGuard, ...skipUnless('gnutls-serv') }, () => {
  const files = pemFiles('gnutls', certificateFor('ecdsa-p256'));
  const running: ToolProcess[] = [];
  const echo = (line: string) => line;
  let main: number;

  async function serve(priority: string, args: readonly string[] = [], { cert, key } = files): Promise<number> {
    const port = await freePort();
    const tool = new ToolProcess('gnutls-serv', [
      ...['--echo', '--disable-client-cert', '--port', String(port), '--priority', priority],
      ...['--x509certfile', cert, '--x509keyfile', key, ...args],
    ]);
    running.push(tool);
    await tool.until(/IPv4.*done/);
    return port;
  }

  before(async () => {
    main = await serve(only13);
  });
  after(() => Promise.all(running.map((tool) => tool.stop())));

  for (const suite of Object.keys(suites)) {
    test(`agrees on ${suite}, and resumes with it twice over`, async () => {
      const first = await call({ port: main, reply: echo, ciphers: suite, tickets: 1 });
      assert.equal(first.summary.cipherSuite, suite);
      assert.equal(first.summary.resumed, false);
      const second = await call({ port: main, reply: echo, ciphers: suite, session: first.sessions[0], tickets: 1 });
      assert.equal(second.summary.resumed, true);
      const third = await call({ port: main, reply: echo, ciphers: suite, session: second.sessions[0] });
      assert.equal(third.summary.resumed, true);
      assert.equal(third.summary.cipherSuite, suite);
    });
  }

  for (const [group, name] of Object.entries(groups)) {
    test(`agrees on ${group} with a share for it, and by a HelloRetryRequest`, async () => {
      const port = await serve(`${only13}:-GROUP-ALL:+GROUP-${name}`);
      const direct = await call({ port, reply: echo, groups: [group] });
      assert.equal(direct.summary.namedGroup, group);
      assert.equal(direct.summary.helloRetried, false);
      const other = group === 'secp256r1' ? 'x25519' : 'secp256r1';
      const retried = await call({ port, reply: echo, groups: [other, group] });
      assert.equal(retried.summary.namedGroup, group);
      assert.equal(retried.summary.helloRetried, true);
    });
  }

  for (const type of ['ed25519', 'ed448', 'rsa', 'rsa-pss', 'ecdsa-p384'] as const) {
    test(`believes a server with a certificate of the key type ${type}`, async () => {
      const port = await serve(only13, [], pemFiles(`gnutls-${type}`, certificateFor(type)));
      const { summary } = await call({ port, reply: echo });
      assert.equal(summary.version, 'TLSv1.3');
      assert.equal(summary.peerCertificates.length, 1);
    });
  }

  test('keeps to the server’s record size, and agrees on a protocol', async () => {
    const port = await serve(only13, ['--recordsize', '512', '--alpn', 'mayfly/1']);
    const { summary } = await call({ port, reply: echo, ALPNProtocols: ['mayfly/1'] });
    assert.equal(summary.alpnProtocol, 'mayfly/1');
  });
});
