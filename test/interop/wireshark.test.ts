/** Wireshark's reader as a witness: with our key log it decrypts what we sent, and without it nothing. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CapturingRelay } from '../support/capture.ts';
import { run } from '../support/process.ts';
import { toolPath } from '../support/tools.ts';
import { call, certificateFor, file, hangGuard, LineServer } from './support.ts';

const skip = toolPath('tshark') === undefined ? 'needs tshark (optional)' : false;

describe('tshark on captures of our connections', { ...hangGuard, skip }, () => {
  for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    test(`decrypts ${suite}, full and resumed, also after the keys were renewed`, async () => {
      const server = await LineServer.start(certificateFor('ecdsa-p256'));
      server.logKeys();
      let session: Buffer | undefined;
      for (const resumed of [false, true]) {
        const relay = await CapturingRelay.start(server.port);
        const keyLog: string[] = [];
        const said: string[] = [];
        server.keyLog.length = 0;
        const { summary, sessions } = await call({
          ...{ port: relay.port, ciphers: suite, groups: ['x25519'], keyLog, tickets: 1, session },
          reply: (line) => {
            said.push(line, [...line].reverse().join(''));
            return said.at(-1) as string;
          },
          inMiddle: async (socket, exchange) => {
            socket.updateKeys(true);
            await exchange();
            await exchange();
          },
        });
        relay.stop();
        session = sessions[0];
        assert.equal(summary.resumed, resumed);
        assert.equal(summary.cipherSuite, suite);
        assert.deepEqual([...keyLog].sort(), server.keyLog.map((line) => line.trimEnd()).sort());

        const capture = file(`${suite}-${resumed}.pcap`, relay.pcap());
        const keys = file(`${suite}-${resumed}.keys`, `${keyLog.join('\n')}\n`);
        const opened = await follow(capture, ['-o', `tls.keylog_file:${keys}`]);
        assert.equal(said.length, 6);
        for (const line of said) {
          assert.ok(opened.includes(line), 'each line is there, in clear');
        }
        const shut = await follow(capture, []);
        assert.ok(!shut.includes(said[0]));
      }
    });
  }
});

/** The stream of plaintext that tshark finds, with line ends taken out. */
async function follow(capture: string, options: readonly string[]): Promise<string> {
  const { code, text } = await run('tshark', ['-r', capture, '-q', ...options, '-z', 'follow,tls,raw,0']);
  assert.equal(code, 0, text);
  const hex = text.split('\n').filter((line) => /^\t?[0-9a-f]+$/.test(line));
  return Buffer.from(hex.map((line) => line.trim()).join(''), 'hex').toString('latin1');
}
