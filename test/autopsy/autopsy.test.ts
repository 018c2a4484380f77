import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { documentedKinds } from '../ledger/documented-kinds.ts';
import { Examiner, type Find, searchFile } from './examiner.ts';
import { X25519_PUBLIC_KEY } from './key-shares.ts';
import { isLookedFor } from './kinds.ts';
import type { Crash } from './life-crash.ts';
import { isFromMlKemInJavaScript, isRemainder, tabulate } from './verdict.ts';

const skip = process.platform === 'linux' ? false : 'needs /proc/PID/mem';

/**
 * Of the ledger's: private keys are hunted (`npm run autopsy`), DHE takes an RSA key and so full scale, and the others hold
 * secrets that are told before (a welcome only where one member is later than the other).
 */
const NOT_TOLD = ['keyShare', 'preMasterSecret', 'cachedSession', 'welcome'];

function unexplained(finds: readonly Find[]) {
  return tabulate(finds.filter((find) => !isFromMlKemInJavaScript(find) && !isRemainder(find)));
}

// Each looks at a process of its own.
describe('the memory of another process', { skip, concurrency: 2 }, () => {
  test('is searched so that a secret is found however it is kept, and one that is erased is not', async () => {
    const examiner = await Examiner.start('planted', 'short');
    try {
      const told = [...examiner.testimony.secrets.values()];
      const { finds } = examiner.searchMemory(told);
      const found = new Set(finds.map(({ secret }) => secret.kind));
      assert.deepEqual(
        told.map(({ kind }) => kind).filter((kind) => !found.has(kind)),
        ['erased'],
      );
      assert.deepEqual(
        examiner.testimony.alive.map(({ kind }) => kind),
        ['alive'],
      );
    } finally {
      await examiner.end();
    }
  });

  test('holds no secret of connections, sessions and rings that have ended, and neither does its heap snapshot', async () => {
    const examiner = await Examiner.start('mayfly', 'short');
    const folder = mkdtempSync(join(tmpdir(), 'mayfly-autopsy-'));
    try {
      const { testimony } = examiner;
      const ended = testimony.ended.filter(isLookedFor);
      assert(ended.length > 1_000, `only ${ended.length} secrets were told`);
      // Keys for the next exchange on a curve, which nobody has used, are all that is left.
      assert.deepEqual([...new Set(testimony.alive.map(({ kind }) => kind))], ['ecPrivateKey']);
      const told = new Set([...testimony.secrets.values()].map(({ kind }) => kind));
      const missing = [...documentedKinds().keys()].filter((kind) => !told.has(kind) && !NOT_TOLD.includes(kind));
      assert.deepEqual(missing, []);
      assert(told.has(X25519_PUBLIC_KEY), 'the hunt has something to hunt');
      const { finds, searched } = examiner.searchMemory(ended);
      assert(searched > 10_000_000);
      assert.deepEqual(unexplained(finds), []);

      const snapshot = join(folder, 'heap.heapsnapshot');
      await examiner.heapSnapshot(snapshot);
      const inSnapshot = searchFile(snapshot, testimony.secrets.values());
      assert(inSnapshot.searched > 1_000_000);
      assert.deepEqual(tabulate(inSnapshot.finds.filter(({ secret }) => isLookedFor(secret))), []);
    } finally {
      rmSync(folder, { recursive: true, force: true });
      await examiner.end();
    }
  });

  const crashes: readonly Crash[] = ['exit', 'exception', 'rejection', 'SIGTERM', 'SIGINT', 'worker'];
  for (const crash of crashes) {
    test(`holds no secret any more once its 'exit' listeners have run: ${crash}`, async () => {
      const examiner = await Examiner.startCrash(crash);
      try {
        const { alive, ended } = examiner.testimony;
        assert.deepEqual(
          alive.map(({ kind }) => kind),
          [],
        );
        const kinds = new Set(ended.map(({ kind }) => kind));
        for (const kind of [
          'ticketKey',
          'epochSecret',
          'SERVER_TRAFFIC_SECRET',
          'masterSecret',
          'resumptionPsk',
          'aeadKey',
        ]) {
          assert(kinds.has(kind), `no ${kind} ever lived`);
        }
        if (crash === 'exception' || crash === 'worker') {
          assert.deepEqual(unexplained(examiner.searchMemory(ended.filter(isLookedFor)).finds), []);
        }
      } finally {
        examiner.kill();
      }
    });
  }
});
