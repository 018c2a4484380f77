/** Early data between Mayfly and others, both ways: OpenSSL and GnuTLS. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { connect, createServer, type Server, type TLSSocket } from '../../src/node/tls.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import {
  authority,
  authorityFile,
  certificateFor,
  eventually,
  file,
  folder,
  hangGuard,
  listen,
  pemFiles,
} from './support.ts';

const certificate = certificateFor('ecdsa-p256');
const LINE = 'an early line of some length\n';
const running: ToolProcess[] = [];
after(() => Promise.all(running.map((tool) => tool.stop())));

/** A server that answers early data early, and notes what became of it. */
class EarlyServer {
  readonly server: Server;
  readonly early: string[] = [];
  readonly late: string[] = [];
  port = 0;

  private constructor(groups?: string[]) {
    this.server = createServer({ ...certificate, sessions: { earlyData: true }, ...(groups ? { groups } : {}) });
    this.server.on('earlyConnection', (socket: TLSSocket) => {
      let text = '';
      socket.on('earlyData', (chunk: Buffer) => {
        text += chunk;
        if (text.endsWith('\n')) {
          this.early.push(text);
          socket.write(`early: ${text}`);
        }
      });
    });
    this.server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        this.late.push(String(chunk));
        socket.write(`late: ${chunk}`);
      });
    });
    after(() => this.stop());
  }

  static async start(groups?: string[]): Promise<EarlyServer> {
    const made = new EarlyServer(groups);
    made.port = await listen(made.server);
    return made;
  }

  stop(): void {
    for (const socket of this.server.secureSockets) {
      socket.destroy();
    }
    this.server.close();
  }
}

describe('openssl s_client to our server', { ...hangGuard, ...skipUnless('openssl') }, () => {
  async function talk(server: EarlyServer, args: readonly string[]): Promise<string> {
    const tool = new ToolProcess('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', '-tls1_3'],
      ...['-CAfile', authorityFile, '-verify_return_error', ...args],
    ]);
    running.push(tool);
    await tool.until(/Verify return code|Early data was|read R BLOCK/);
    tool.write('a late line\n');
    await tool.until('late: a late line');
    tool.end('Q\n');
    assert.equal(await tool.exited(), 0, tool.text);
    return tool.text;
  }

  for (const [words, args] of [
    ['', []],
    [' without middlebox compatibility', ['-no_middlebox']],
    [' with TLS_AES_256_GCM_SHA384', ['-ciphersuites', 'TLS_AES_256_GCM_SHA384']],
    [' with TLS_CHACHA20_POLY1305_SHA256', ['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256']],
  ] as const) {
    test(`takes its early data, and answers before its Finished${words}`, async () => {
      const server = await EarlyServer.start();
      const session = join(folder, `early${words.replaceAll(' ', '-')}.pem`);
      const data = file('early.txt', LINE);
      const first = await talk(server, [...args, '-sess_out', session]);
      assert.match(first, /Max Early Data: 16384/);
      const second = await talk(server, [...args, '-sess_in', session, '-early_data', data]);
      assert.match(second, /Early data was accepted/);
      assert.match(second, /early: an early line/);
      assert.deepEqual(server.early, [LINE]);
      assert.equal(server.server.counters.earlyData, 1);
      // The same ticket again: the session resumes, and its early data is not taken.
      const third = await talk(server, [...args, '-sess_in', session, '-early_data', data]);
      assert.match(third, /Early data was rejected/);
      assert.match(third, /Reused, TLSv1.3/);
      assert.deepEqual(server.early, [LINE]);
      assert.deepEqual(server.server.counters.earlyDataRefusals, { used_ticket: 1 });
    });
  }

  test('skips its early data after a HelloRetryRequest', async () => {
    const server = await EarlyServer.start(['secp384r1']);
    const session = join(folder, 'early-retried.pem');
    await talk(server, ['-sess_out', session, '-groups', 'P-384']);
    const data = file('early.txt', LINE);
    const text = await talk(server, ['-sess_in', session, '-early_data', data, '-groups', 'X25519:P-384']);
    assert.match(text, /Early data was rejected/);
    assert.deepEqual(server.early, []);
    assert.deepEqual(server.server.counters.earlyDataRefusals, { hello_retried: 1 });
  });
});

/** Our client: a visit for a session, then one with early data. */
async function visitTwice(port: number, early: string): Promise<{ socket: TLSSocket; rejected: string[] }> {
  const options = { host: '127.0.0.1', port, servername: 'localhost', ca: authority } as const;
  const first = connect(options);
  first.on('error', () => {});
  first.resume();
  const [session] = await once(first, 'session');
  first.destroy();
  await once(first, 'close');
  const socket = connect({ ...options, session, earlyData: Buffer.from(early) });
  const rejected: string[] = [];
  socket.on('error', () => {});
  socket.on('earlyDataRejected', (data: Buffer, why: string) => rejected.push(why, String(data)));
  await once(socket, 'secureConnect');
  return { socket, rejected };
}

describe('our client to openssl s_server', { ...hangGuard, ...skipUnless('openssl') }, () => {
  const files = pemFiles('early-server', certificate);

  async function serve(args: readonly string[]): Promise<[number, ToolProcess]> {
    const tool = new ToolProcess('openssl', [
      ...['s_server', '-accept', '127.0.0.1:0', '-cert', files.cert, '-key', files.key, '-tls1_3', ...args],
    ]);
    running.push(tool);
    await tool.until(/ACCEPT 127.0.0.1:\d+/);
    return [Number(/ACCEPT 127.0.0.1:(\d+)/.exec(tool.text)?.[1]), tool];
  }

  for (const [words, args] of [
    ['', ['-early_data']],
    [' without its protection from replays', ['-early_data', '-no_anti_replay']],
    [' with TLS_AES_256_GCM_SHA384', ['-early_data', '-ciphersuites', 'TLS_AES_256_GCM_SHA384']],
  ] as const) {
    test(`sends early data that it takes${words}`, async () => {
      const [port, tool] = await serve(args);
      const { socket, rejected } = await visitTwice(port, LINE);
      assert.deepEqual(rejected, []);
      assert.equal(socket.mayfly?.earlyData, 'taken');
      assert.equal(socket.mayfly?.resumed, true);
      // The data and what is said of it come by two ways, in no order.
      await tool.until('End of early data');
      await tool.until('an early line of some length');
      socket.write('a late line\n');
      await tool.until('a late line');
      socket.destroy();
    });
  }

  test('is told that a server without early data gave no leave', async () => {
    const [port] = await serve([]);
    const { socket, rejected } = await visitTwice(port, LINE);
    assert.deepEqual(rejected, ['not_sent', LINE]);
    socket.destroy();
  });

  test('goes on after a refusal: what it sent is skipped there, and comes back here', async () => {
    const [port, tool] = await serve(['-early_data', '-max_early_data', '20']);
    const longer = await visitTwice(port, LINE);
    assert.deepEqual(longer.rejected, ['not_sent', LINE], 'more than the ticket allows');
    longer.socket.destroy();
    // A ticket that another run made means nothing to this one.
    const [otherPort] = await serve(['-early_data']);
    const first = connect({ host: '127.0.0.1', port: otherPort, servername: 'localhost', ca: authority });
    first.on('error', () => {});
    first.resume();
    const [session] = await once(first, 'session');
    first.destroy();
    const socket = connect({
      ...{ host: '127.0.0.1', port, servername: 'localhost', ca: authority },
      ...{ session, earlyData: Buffer.from(LINE) },
    });
    socket.on('error', () => {});
    const [[, why]] = await Promise.all([once(socket, 'earlyDataRejected'), once(socket, 'secureConnect')]);
    assert.equal(why, 'refused');
    assert.equal(socket.mayfly?.resumed, false);
    socket.write('a late line\n');
    await tool.until('a late line');
    assert.doesNotMatch(tool.text, /an early line/);
    socket.destroy();
  });
});

describe('GnuTLS', { ...hangGuard, ...skipUnless('gnutls-cli', 'gnutls-serv') }, () => {
  const only13 = 'NORMAL:-VERS-ALL:+VERS-TLS1.3';

  test('gnutls-cli has its early data taken by our server', async () => {
    const server = await EarlyServer.start();
    const tool = new ToolProcess('gnutls-cli', [
      ...['--port', String(server.port), '--x509cafile', authorityFile, '--sni-hostname', 'localhost'],
      ...['--verify-hostname', 'localhost', '--priority', only13, '--resume'],
      ...[`--earlydata=${file('gnutls-early.txt', LINE)}`, '127.0.0.1'],
    ]);
    running.push(tool);
    await eventually('early data', () => server.early.length > 0);
    assert.deepEqual(server.early, [LINE]);
    await eventually('the end of the handshake', () => server.server.counters.earlyData === 1);
    tool.write('a late line\n');
    await tool.until('late: a late line');
    await tool.stop();
  });

  test('gnutls-serv takes the early data of our client', async () => {
    const { cert, key } = pemFiles('gnutls-early', certificate);
    const port = await freePort();
    const tool = new ToolProcess('gnutls-serv', [
      ...['--port', String(port), '--x509certfile', cert, '--x509keyfile', key, '--priority', only13],
      ...['--echo', '--disable-client-cert', '--earlydata'],
    ]);
    running.push(tool);
    await tool.until(/IPv4.*done/);
    const { socket, rejected } = await visitTwice(port, LINE);
    assert.deepEqual(rejected, []);
    assert.equal(socket.mayfly?.earlyData, 'taken');
    socket.destroy();
  });
});
