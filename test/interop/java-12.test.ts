/** Java's HttpsURLConnection, held to TLS 1.2, against our HTTPS server. Optional: never required of a machine. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createServer } from '../../src/node/https.ts';
import type { HandshakeSummary, TLSSocket } from '../../src/node/tls.ts';
import { run } from '../support/process.ts';
import { projectRoot } from '../support/project.ts';
import { toolPath } from '../support/tools.ts';
import { authorityFile, certificateFor, hangGuard, listen } from './support.ts';

const skip = toolPath('java') === undefined ? 'needs java (optional)' : false;

describe('Java to our HTTPS server, TLS 1.2', { ...hangGuard, skip }, () => {
  for (const [how, flag] of [
    ['ticket', '-Djdk.tls.client.enableSessionTicketExtension=true'],
    ['id', '-Djdk.tls.client.enableSessionTicketExtension=false'],
  ]) {
    test(`visits three times in one run, and resumes by ${how} from the second time on`, async (t) => {
      const bulk = Buffer.alloc(1_000_000, 'bulk');
      const seen: HandshakeSummary[] = [];
      const server = createServer(certificateFor('ecdsa-p256'), (_request, response) => {
        response.setHeader('Connection', 'close');
        response.end(bulk);
      });
      server.on('secureConnection', (socket: TLSSocket) => seen.push(socket.mayfly as HandshakeSummary));
      const port = await listen(server as never);
      const program = join(projectRoot, 'test', 'interop', 'Visit.java');
      const flags = ['-Xshare:auto', '-XX:TieredStopAtLevel=1', '-Djdk.tls.client.protocols=TLSv1.2', flag];
      const { code, text } = await run('java', [...flags, program, String(port), authorityFile, '3']);
      server.close();
      if (code !== 0 && /compiler|Could not find or load main class/.test(text)) {
        t.skip('this Java runs no source files');
        return;
      }
      assert.equal(code, 0, text);
      const { cipherSuite } = seen[0];
      assert.deepEqual(text.trim().split('\n').slice(-3), Array(3).fill(`200 TLSv1.2 ${cipherSuite} ${bulk.length}`));
      assert.deepEqual(
        seen.map(({ resumedBy }) => resumedBy),
        [undefined, how, how],
      );
      assert.ok(seen.every(({ extendedMasterSecret }) => extendedMasterSecret));
    });
  }
});
