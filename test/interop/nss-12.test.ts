/** NSS's `tstclnt`, the TLS of Firefox, against our server in TLS 1.2. Optional: never required of a machine. */

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { run, ToolProcess } from '../support/process.ts';
import { toolPath } from '../support/tools.ts';
import { trustingDatabase } from './site.ts';
import {
  certificateFor,
  eventually,
  hangGuard,
  type KeyType,
  LineServer,
  reversed,
  someLine,
  subfolder,
  suites12,
  type Visit,
} from './support.ts';

const missing = ['tstclnt', 'certutil'].filter((name) => toolPath(name) === undefined);
const skip = missing.length > 0 ? `needs ${missing.join(', ')} (optional)` : false;
const codes: Readonly<Record<string, string>> = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': 'c02b',
  'ECDHE-ECDSA-AES256-GCM-SHA384': 'c02c',
  'ECDHE-ECDSA-CHACHA20-POLY1305': 'cca9',
  'ECDHE-RSA-AES128-GCM-SHA256': 'c02f',
  'ECDHE-RSA-AES256-GCM-SHA384': 'c030',
  'ECDHE-RSA-CHACHA20-POLY1305': 'cca8',
};

describe('NSS tstclnt to our server, TLS 1.2', { ...hangGuard, skip }, () => {
  let database: string;
  let main: LineServer;

  before(async () => {
    const path = subfolder('nss12');
    await trustingDatabase(path);
    database = `sql:${path}`;
    main = await LineServer.start({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['http/1.1'] });
    for (const type of ['rsa', 'ecdsa-p384', 'ecdsa-p521'] as KeyType[]) {
      main.server.addContext(`${type}.test`, certificateFor(type, `${type}.test`));
    }
  });

  function args(server: LineServer, name: string, more: readonly string[]): string[] {
    const where = ['-h', '127.0.0.1', '-a', name, '-p', String(server.port), '-d', database];
    // It wants an RSA certificate to be good for key transport, which ours is not meant to be: its verdict is passed over.
    const override = name === 'rsa.test' ? ['-o'] : [];
    return [...where, '-V', 'tls1.2:tls1.2', '-G', '-v', ...override, ...more];
  }

  async function talk(
    more: readonly string[],
    { server = main, name = 'localhost', inMiddle = (_visit: Visit): void => {} } = {},
  ): Promise<[Visit, string]> {
    const tool = new ToolProcess('tstclnt', args(server, name, more));
    try {
      const line = someLine();
      tool.write(`${line}\n`);
      await tool.until(reversed(line));
      const visit = server.visit();
      inMiddle(visit);
      // The program goes when both its input and the server have.
      visit.socket.end();
      tool.end();
      assert.equal(await tool.exited(), 0, tool.text);
      assert.equal(await visit.closed, undefined);
      assert.equal(visit.summary.version, 'TLSv1.2');
      assert.equal(visit.summary.extendedMasterSecret, true);
      return [visit, tool.text];
    } finally {
      await tool.stop();
    }
  }

  for (const { name: suite, openssl, keyType } of suites12) {
    test(`agrees on ${suite}`, async () => {
      const name = keyType === 'rsa' ? 'rsa.test' : 'localhost';
      const [{ summary }] = await talk(['-c', `:${codes[openssl]}`], { name });
      assert.equal(summary.cipherSuite, suite);
    });
  }

  for (const [group, name] of [
    ['x25519', 'x25519'],
    ['secp256r1', 'P256'],
    ['secp384r1', 'P384'],
    ['secp521r1', 'P521'],
  ]) {
    test(`agrees on ${group}`, async () => {
      const [{ summary }] = await talk(['-I', name], { name: 'rsa.test' });
      assert.equal(summary.namedGroup, group);
    });
  }

  for (const scheme of ['rsa_pkcs1_sha256', 'rsa_pkcs1_sha512', 'rsa_pss_rsae_sha256']) {
    test(`believes a signature by ${scheme} when it takes no other for RSA`, async () => {
      const [{ summary }] = await talk(['-J', `${scheme},ecdsa_secp256r1_sha256`], { name: 'rsa.test' });
      assert.equal(summary.signatureScheme, scheme);
    });
  }

  for (const type of ['ecdsa-p384', 'ecdsa-p521'] as const) {
    test(`believes a certificate of the key type ${type}`, async () => {
      await talk([], { name: `${type}.test` });
    });
  }

  for (const [how, flags] of [
    ['ticket', ['-u']],
    ['id', []],
  ] as const) {
    test(`resumes by ${how} when it connects again`, async () => {
      const server = await LineServer.start(certificateFor('ecdsa-p256'));
      const { code, text } = await run('tstclnt', args(server, 'localhost', ['-O', '-Q', '-L', '3', ...flags]));
      assert.equal(code, 0, text);
      await eventually('three handshakes', () => server.server.counters.full + server.server.counters.resumed === 3);
      const seen = [server.visit(), server.visit(), server.visit()].map(({ summary }) => summary.resumedBy);
      assert.deepEqual(seen, [undefined, how, how]);
    });
  }

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
