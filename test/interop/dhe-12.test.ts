/** DHE over the groups of RFC 7919 with OpenSSL and GnuTLS, both ways, full and resumed. GnuTLS negotiates the group. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { refuses } from '../support/refusals.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import {
  authority,
  authorityFile,
  type CallOptions,
  call,
  certificateFor,
  closing,
  file,
  folder,
  hangGuard,
  LineServer,
  only12,
  pemFiles,
  reversed,
  someLine,
  type Visit,
} from './support.ts';

const suites = [
  ['DHE-RSA-AES128-GCM-SHA256', 'TLS_DHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['DHE-RSA-AES256-GCM-SHA384', 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['DHE-RSA-CHACHA20-POLY1305', 'TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
] as const;
const names = suites.map(([name]) => name).join(':');
const pem = certificateFor('rsa');
const files = pemFiles('dhe', pem);

/** A line there and back, then `end`; the server's view of the visit. */
async function converse(tool: ToolProcess, server: LineServer, ending = 'Q\n', ready = ''): Promise<Visit> {
  try {
    // What gnutls-cli reads before its handshake is done is lost.
    await tool.until(ready);
    const line = someLine();
    tool.write(`${line}\n`);
    await tool.until(reversed(line));
    tool.end(ending);
    assert.equal(await tool.exited(), 0, tool.text);
    const visit = server.visit();
    assert.equal(await visit.closed, undefined);
    return visit;
  } finally {
    await tool.stop();
  }
}

describe('our server with DHE', hangGuard, () => {
  let server: LineServer;

  before(async () => {
    server = await LineServer.start({ ...pem, ciphers: `${names}:ECDHE-RSA-AES128-GCM-SHA256`, dhparam: 'auto' });
  });

  const openssl = (at: LineServer, args: readonly string[]) =>
    new ToolProcess('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${at.port}`, '-servername', 'localhost', '-tls1_2'],
      ...['-CAfile', authorityFile, '-verify_return_error', ...args],
    ]);

  for (const [openSslName, name] of suites) {
    for (const form of [[], ['-no_ticket']]) {
      test(
        `serves s_client with ${openSslName}, then resumes (${form[0] ?? 'ticket'})`,
        skipUnless('openssl'),
        async () => {
          const session = join(folder, `${openSslName}${form.length}.pem`);
          const args = [...form, '-cipher', openSslName];
          const visits: Visit[] = [];
          for (const file of ['-sess_out', '-sess_in']) {
            const tool = openssl(server, [...args, file, session]);
            visits.push(await converse(tool, server));
          }
          const [full, resumed] = visits.map((visit) => visit.summary);
          assert.equal(full.cipherSuite, name);
          assert.equal(full.namedGroup, 'ffdhe2048');
          assert.deepEqual([resumed.resumed, resumed.namedGroup], [true, undefined]);
        },
      );
    }
  }

  test('does not serve it where dhparam does not say so, whatever the list names', skipUnless('openssl'), async () => {
    const without = await LineServer.start({ ...pem, ciphers: `${names}:ECDHE-RSA-AES128-GCM-SHA256` });
    const tool = openssl(without, ['-cipher', names]);
    assert.notEqual(await tool.exited(), 0);
    await tool.stop();
    const other = openssl(without, []);
    const visit = await converse(other, without);
    assert.equal(visit.summary.cipherSuite, 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256');
  });

  test('options that leave nothing to serve, or bring a group of their own, are refused', () => {
    const error = refuses('TLS_ERR_CONFIG', () => createServer({ ...pem, ...only12, ciphers: names }));
    assert.match(error.message, /dhparam: 'auto'/);
    const dhparam = execFileSync(requireTool('openssl'), ['dhparam', '-check', '-dsaparam', '512'], { stdio: 'pipe' });
    for (const own of [dhparam, dhparam.toString(), true]) {
      const options = { ...pem, ciphers: names, dhparam: own as 'auto' };
      assert.match(refuses('TLS_ERR_NOT_SUPPORTED', () => createServer(options)).message, /RFC 7919/);
    }
    refuses('TLS_ERR_CONFIG', () => connect({ port: 1, minDHSize: 8193 }));
  });

  for (const [priority, group] of [
    ['+GROUP-FFDHE2048', 'ffdhe2048'],
    ['+GROUP-FFDHE3072', 'ffdhe3072'],
    ['+GROUP-FFDHE4096:+GROUP-FFDHE3072', 'ffdhe3072'],
  ]) {
    test(`agrees with gnutls-cli on ${group} of ${priority}`, skipUnless('gnutls-cli'), async () => {
      const visit = await converse(gnutls(priority), server, '', 'Simple Client Mode');
      assert.equal(visit.summary.namedGroup, group);
    });
  }

  test('has no group for a gnutls-cli that names only larger ones', skipUnless('gnutls-cli'), async () => {
    const tool = gnutls('+GROUP-FFDHE4096');
    assert.notEqual(await tool.exited(), 0);
    await tool.stop();
    assert.match(server.failures.map(String).join(), /no key exchange group/);
  });

  function gnutls(groups: string): ToolProcess {
    const priority = `NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:-GROUP-ALL:${groups}`;
    const trust = ['--x509cafile', authorityFile, '--sni-hostname', 'localhost', '--verify-hostname', 'localhost'];
    return new ToolProcess('gnutls-cli', [
      ...['--port', String(server.port), ...trust, '--priority', priority, '127.0.0.1'],
    ]);
  }
});

describe('our client with DHE', hangGuard, () => {
  const running: ToolProcess[] = [];
  after(() => Promise.all(running.map((tool) => tool.stop())));
  const visit = (options: CallOptions) => call({ ...only12, ca: authority, ...options });

  async function serve(args: readonly string[]): Promise<number> {
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', files.cert, '-key', files.key, '-tls1_2', '-rev', ...args],
    ]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    return Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]);
  }

  function parameters(group: string): string {
    const args = ['genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', `group:${group}`];
    return file(`${group}.pem`, execFileSync(requireTool('openssl'), args, { stdio: 'pipe' }));
  }

  for (const [ciphers, name] of suites) {
    test(`speaks ${ciphers} with s_server, and resumes by ticket`, skipUnless('openssl'), async () => {
      const port = await serve(['-dhparam', parameters('ffdhe2048')]);
      const first = await visit({ port, ciphers, tickets: 1 });
      assert.equal(first.summary.cipherSuite, name);
      assert.equal(first.summary.namedGroup, 'ffdhe2048');
      const { summary } = await visit({ port, ciphers, session: first.sessions[0] });
      assert.deepEqual([summary.resumed, summary.cipherSuite], [true, name]);
    });
  }

  test('takes ffdhe3072 as it stands and ffdhe4096 where minDHSize wants it', skipUnless('openssl'), async () => {
    let port = await serve(['-dhparam', parameters('ffdhe3072')]);
    const inMiddle = async (socket: TLSSocket) => {
      assert.deepEqual(socket.getEphemeralKeyInfo(), { type: 'DH', size: 3072 });
    };
    assert.equal((await visit({ port, ciphers: names, inMiddle })).summary.namedGroup, 'ffdhe3072');
    port = await serve(['-dhparam', parameters('ffdhe4096')]);
    assert.equal((await visit({ port, ciphers: names, minDHSize: 4096 })).summary.namedGroup, 'ffdhe4096');
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ciphers: names });
    await assert.rejects(failure(socket), { code: 'TLS_ERR_ILLEGAL_PARAMETER', alert: 'insufficient_security' });
  });

  test('refuses s_server’s own choice, a group of IKE, and one of 1024 bits', skipUnless('openssl'), async () => {
    const weak = file(
      '1024.pem',
      execFileSync(requireTool('openssl'), ['dhparam', '-dsaparam', '1024'], { stdio: 'pipe' }),
    );
    for (const args of [[], ['-dhparam', weak, '-cipher', `${names}:@SECLEVEL=0`]]) {
      const port = await serve(args);
      const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ciphers: names });
      await assert.rejects(failure(socket), { code: 'TLS_ERR_ILLEGAL_PARAMETER' });
    }
  });

  async function failure(socket: ReturnType<typeof connect>): Promise<void> {
    const error = await closing(socket);
    if (error !== undefined) {
      throw error;
    }
  }

  for (const group of ['FFDHE2048', 'FFDHE3072']) {
    test(
      `agrees with gnutls-serv on ${group}, of which only that is spoken there`,
      skipUnless('gnutls-serv'),
      async () => {
        const port = await freePort();
        const priority = `NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:-GROUP-ALL:+GROUP-${group}`;
        const tool = new ToolProcess('gnutls-serv', [
          ...['--port', String(port), '--echo', '--disable-client-cert', '--priority', priority],
          ...['--x509certfile', files.cert, '--x509keyfile', files.key],
        ]);
        running.push(tool);
        await tool.until(/IPv4.*done/);
        const { summary } = await visit({ port, ciphers: names, reply: (line) => line });
        assert.equal(summary.namedGroup, group.toLowerCase());
      },
    );
  }
});
