/** NSS's `tstclnt`, the TLS of Firefox, against our server. Optional: never required of a machine. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { run, ToolProcess } from '../support/process.ts';
import { toolPath } from '../support/tools.ts';
import {
  authorityFile,
  certificateFor,
  hangGuard,
  LineServer,
  reversed,
  someLine,
  subfolder,
  type Visit,
} from './support.ts';

const missing = ['tstclnt', 'certutil'].filter((name) => toolPath(name) === undefined);
const skip = missing.length > 0 ? `needs ${missing.join(', ')} (optional)` : false;

describe('NSS tstclnt to our server', { ...hangGuard, skip }, () => {
  let database: string;
  let main: LineServer;

  before(async () => {
    database = `sql:${subfolder('nss')}`;
    for (const args of [
      ['-N', '-d', database, '--empty-password'],
      ['-A', '-d', database, '-n', 'authority', '-t', 'C,,', '-i', authorityFile],
    ]) {
      const { code, text } = await run('certutil', args);
      assert.equal(code, 0, text);
    }
    main = await LineServer.start(certificateFor('ecdsa-p256'));
  });

  async function talk(
    args: readonly string[],
    { server = main, inMiddle }: { server?: LineServer; inMiddle?: (visit: Visit) => void } = {},
  ): Promise<[Visit, string]> {
    const tool = new ToolProcess('tstclnt', [
      ...[
        '-h',
        '127.0.0.1',
        '-a',
        'localhost',
        '-p',
        String(server.port),
        '-d',
        database,
        '-V',
        'tls1.3:tls1.3',
        '-v',
        ...args,
      ],
    ]);
    try {
      const line = someLine();
      tool.write(`${line}\n`);
      await tool.until(reversed(line));
      const visit = server.visit();
      await inMiddle?.(visit);
      // The program goes when both its input and the server have.
      visit.socket.end();
      tool.end();
      assert.equal(await tool.exited(), 0, tool.text);
      assert.equal(await visit.closed, undefined);
      assert.equal(visit.summary.version, 'TLSv1.3');
      return [visit, tool.text];
    } finally {
      await tool.stop();
    }
  }

  for (const [group, name] of [
    ['x25519', 'x25519'],
    ['secp256r1', 'P256'],
    ['secp384r1', 'P384'],
    ['secp521r1', 'P521'],
  ]) {
    test(`agrees on ${group}`, async () => {
      const [{ summary }] = await talk(['-I', name]);
      assert.equal(summary.namedGroup, group);
    });
  }

  for (const [suite, code] of [
    ['TLS_AES_128_GCM_SHA256', '1301'],
    ['TLS_AES_256_GCM_SHA384', '1302'],
    ['TLS_CHACHA20_POLY1305_SHA256', '1303'],
  ]) {
    test(`agrees on ${suite}`, async () => {
      const [{ summary }] = await talk(['-c', `:${code}`]);
      assert.equal(summary.cipherSuite, suite);
    });
  }

  test('asks for another share by HelloRetryRequest', async () => {
    const server = await LineServer.start({ ...certificateFor('ecdsa-p384'), groups: ['secp384r1'] });
    const [{ summary }] = await talk(['-I', 'x25519,P384'], { server });
    assert.equal(summary.helloRetried, true);
    assert.equal(summary.namedGroup, 'secp384r1');
  });

  test('exports the same keying material as the client', async () => {
    let ours = '';
    const inMiddle = ({ socket }: Visit) => {
      ours = socket.exportKeyingMaterial(32, 'EXPORTER-mayfly-test').toString('hex');
    };
    const [, text] = await talk(['-x', 'EXPORTER-mayfly-test:32'], { inMiddle });
    assert.ok(
      text
        .toLowerCase()
        .replaceAll(/\s|0x|:/g, '')
        .includes(ours),
      text,
    );
  });
});
