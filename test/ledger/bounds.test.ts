import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { HeldElsewhere } from '../../src/bytes/held-elsewhere.ts';
import { Secret } from '../../src/bytes/secret.ts';
import {
  Account,
  newOwner,
  onAccountOf,
  publishBirth,
  type SecretOwner,
  secretBorn,
  secretEnded,
} from '../../src/ledger/channels.ts';
import { KeyLedger, type LedgerEntry } from '../../src/ledger/key-ledger.ts';
import { keyLedger, startKeyLedger, stopKeyLedger } from '../../src/ledger/process-ledger.ts';
import { collectGarbage } from '../support/collect.ts';
import { World } from '../support/connections.ts';
import { projectRoot } from '../support/project.ts';
import { nodes, outline } from './support.ts';

const world = new World();
after(() => world.close());

function withLedger(ledger: KeyLedger, body: (ledger: KeyLedger) => void): void {
  ledger.start();
  try {
    body(ledger);
  } finally {
    ledger.stop();
  }
}

describe('the ledger', () => {
  test('is silent where nobody asked for it: no secret is announced, and a socket has no tree', () => {
    assert.equal(secretBorn.hasSubscribers, false);
    assert.equal(keyLedger(), undefined);
    const link = world.connect();
    link.forget();
    const ledger = startKeyLedger();
    assert.equal(startKeyLedger({ maxEntries: 1 }), ledger, 'there is one in a process');
    assert.equal(ledger.tree(link.client.connection.owner), undefined, 'it knows nothing of what was before');
    stopKeyLedger();
    assert.equal(secretBorn.hasSubscribers, false);
  });

  test('costs nothing where nobody listens: each word to it stands behind a test of that, and objects for it are not made', () => {
    const words = /\b(publishBirth|publishEnd|noticeLoss|secretBorn\.publish|secretEnded\.publish)\(/;
    const source = join(projectRoot, 'src');
    let found = 0;
    for (const entry of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
      if (!entry.endsWith('.ts') || entry.startsWith('ledger')) {
        continue;
      }
      const lines = readFileSync(join(source, entry), 'utf8').split('\n');
      for (const [at, line] of lines.entries()) {
        if (words.test(line)) {
          found++;
          const before = lines.slice(Math.max(0, at - 5), at).join('\n');
          assert.match(before, /(secretBorn|secretEnded)\.hasSubscribers/, `${entry}:${at + 1}`);
        }
      }
    }
    assert.ok(found >= 7, `${found} places`);
    assert.equal(new Account('connection', 'client').noted, undefined);
    assert.equal(HeldElsewhere.begin('keyShare', 32), undefined);
  });

  test('forgets what has ended first, and never has more entries than it may', () => {
    withLedger(new KeyLedger({ maxEntries: 10 }), (ledger) => {
      const kept = Array.from({ length: 4 }, (_, i) => Secret.create(`kept ${i}`, 1, () => {}));
      for (let i = 0; i < 100; i++) {
        Secret.create(`spent ${i}`, 1, () => {}).erase();
        assert.ok(ledger.size <= 10);
      }
      const kinds = [...ledger.entries].map(({ kind }) => kind);
      assert.deepEqual(kinds.slice(0, 4), ['kept 0', 'kept 1', 'kept 2', 'kept 3']);
      assert.deepEqual(kinds.slice(4), ['spent 94', 'spent 95', 'spent 96', 'spent 97', 'spent 98', 'spent 99']);
      const living = Array.from({ length: 20 }, (_, i) => Secret.create(`living ${i}`, 1, () => {}));
      assert.equal(ledger.size, 10, 'a bound is a bound, also where all of them live');
      const [account] = ledger.accounts;
      assert.deepEqual([account.alive, account.ended, account.forgotten], [10, 0, 114]);
      for (const secret of [...kept, ...living]) {
        secret.erase();
      }
      assert.deepEqual(ledger.accounts[0], { owner: undefined, alive: 0, ended: 10, forgotten: 114 });
    });
  });

  test('keeps a connection that renews its keys again and again within its bound, its line of descent whole', () => {
    withLedger(new KeyLedger({ maxEntriesPerOwner: 60 }), (ledger) => {
      const other = world.connect();
      const before = nodes(ledger.tree(other.client.connection.owner)).length;
      const link = world.connect();
      for (let i = 0; i < 100; i++) {
        link.client.take(link.client.connection.updateKeys(true));
        link.deliver();
        // More KeyUpdates in a row than a peer would take.
        link.assertDataFlows();
      }
      const tree = ledger.tree(link.client.connection.owner);
      assert.ok(tree);
      assert.ok(tree.alive + tree.ended <= 60);
      assert.ok(tree.forgotten > 500);
      assert.deepEqual(
        tree.secrets.filter((root) => root.children.length > 0).length > 0,
        true,
        'what lives hangs together still',
      );
      const inForce = nodes(tree).filter(({ kind, endedAt }) => kind === 'aeadKey' && endedAt === undefined);
      assert.equal(inForce.length, 2);
      assert.equal(nodes(ledger.tree(other.client.connection.owner)).length, before, 'the other one lost nothing');
      link.forget();
      other.forget();
    });
  });

  test('keeps every line of descent through what it forgets', () => {
    const step = fc.record({
      parents: fc.array(fc.nat(60), { maxLength: 2 }),
      ends: fc.array(fc.nat(60), { maxLength: 3 }),
      owner: fc.nat(2),
    });
    const owners: (SecretOwner | undefined)[] = [undefined, newOwner('connection', 'client'), newOwner('ring')];
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 3, max: 20 }), (steps, maxEntries) => {
        withLedger(new KeyLedger({ maxEntries, maxEntriesPerOwner: Math.ceil(maxEntries / 2) }), (ledger) => {
          // IDs that no Secret of this process has.
          const base = 1_000_000_000;
          const ancestors: Set<number>[] = [];
          steps.forEach(({ parents, ends, owner }, i) => {
            const ids = [...new Set(parents.filter((parent) => parent < i))].map((parent) => base + parent);
            // A parent that is forgotten already when its child is born stays unknown.
            const known = ids.filter((id) => ledger.entry(id) !== undefined);
            ancestors.push(new Set(known.flatMap((id) => [id, ...ancestors[id - base]])));
            const [from = 0, last = 0] = ids;
            onAccountOf(owners[owner], () => publishBirth(base + i, 'made', 1, from, last));
            for (const end of ends.filter((end) => end <= i)) {
              secretEnded.publish({ id: base + end, kind: 'made', why: 'spent' });
            }
            assert.ok(ledger.size <= maxEntries);
          });
          const kept = new Map([...ledger.entries].map((entry) => [entry.id, entry]));
          const above = (entry: LedgerEntry): Set<number> =>
            new Set(entry.parents.flatMap((parent) => [parent.id, ...above(parent)]));
          for (const [id, entry] of kept) {
            const expected = [...ancestors[id - base]].filter((ancestor) => kept.has(ancestor));
            assert.deepEqual([...above(entry)].sort(), expected.sort());
          }
          const counts = ledger.accounts.reduce((sum, { alive, ended }) => sum + alive + ended, 0);
          assert.equal(counts, ledger.size);
        });
      }),
      { numRuns: 200 },
    );
  });

  test('tells of the first of a long line, though it forgot most steps between', () => {
    withLedger(new KeyLedger({ maxEntries: 8 }), (ledger) => {
      const first = Secret.create('first', 1, () => {});
      let last = first;
      for (let i = 0; i < 50; i++) {
        const next = last.clone(`step ${i}`);
        if (last !== first) {
          last.erase();
        }
        last = next;
      }
      const line: string[] = [];
      for (let entry = ledger.entry(last.id); entry !== undefined; entry = entry.parents.at(-1)) {
        line.push(entry.kind);
      }
      assert.equal(line.at(-1), 'first');
      assert.equal(line.length, 8);
      assert.equal(outline(ledger.tree(undefined)).length, 8);
      first.erase();
      last.erase();
    });
  });

  test('holds no secret alive, nor its bytes', async () => {
    const ledger = new KeyLedger().start();
    const watched = (() => {
      const secret = Secret.copy('lost', new Uint8Array(1000).fill(7));
      return { id: secret.id, secret: new WeakRef(secret), bytes: new WeakRef(secret.expose()) };
    })();
    // What a WeakRef was made of or asked for stays until the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    assert.equal(watched.secret.deref(), undefined);
    assert.equal(watched.bytes.deref(), undefined);
    assert.equal(ledger.entry(watched.id)?.kind, 'lost');
    // Nobody erased it: its end is told once the collector's own turn has come, for nothing is to count as alive for ever.
    while (ledger.entry(watched.id)?.endedAt === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      collectGarbage();
    }
    assert.equal(ledger.entry(watched.id)?.why, 'collected');
    ledger.stop();
  });

  test('tells the end of a connection that was dropped without a word, and of a key share with it', async () => {
    const ledger = new KeyLedger().start();
    const owners = (() => {
      const link = world.connect();
      const waiting = world.client().start();
      return [link.client, waiting].map(({ connection }) => connection.owner);
    })();
    const alive = () => owners.flatMap((owner) => ledger.entriesOf(owner)).filter((one) => one.endedAt === undefined);
    assert.ok(alive().some(({ kind }) => kind === 'keyShare') && alive().some(({ kind }) => kind === 'aeadKey'));
    while (alive().length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      collectGarbage();
    }
    const whys = owners.flatMap((owner) => ledger.entriesOf(owner)).map(({ why }) => why);
    assert.ok(whys.includes('collected'));
    ledger.stop();
  });

  test('takes no more room for a hundred thousand connections that never end than it may', () => {
    withLedger(new KeyLedger({ maxEntries: 500, maxEntriesPerOwner: 50 }), (ledger) => {
      // IDs that no Secret of this process has.
      let id = 2_000_000_000;
      for (let i = 0; i < 100_000; i++) {
        onAccountOf(newOwner('connection', 'server'), () => {
          publishBirth(++id, 'sharedSecret', 32, 0, 0);
          publishBirth(++id, 'handshakeSecret', 32, 0, id - 1);
        });
      }
      assert.equal(ledger.size, 500);
      assert.equal(ledger.accounts.length, 250, 'nor does it keep accounts of those that it forgot');
      assert.equal([...ledger.entries].filter(({ parents }) => parents.length === 1).length, 250);
    });
  });

  test('tells two secrets apart by their births alone: nothing in it depends on their bytes', () => {
    withLedger(new KeyLedger({ now: () => 5 }), (ledger) => {
      const told = (bytes: Uint8Array, kind: string) => {
        const secret = Secret.copy(kind, bytes);
        secret.erase();
        const {
          kind: named,
          length,
          parents,
          owner,
          bornAt,
          endedAt,
          why,
          uses,
        } = ledger.entry(secret.id) as LedgerEntry;
        return JSON.stringify({ named, length, parents, owner, bornAt, endedAt, why, uses });
      };
      const guess = new Uint8Array(16).fill(1);
      assert.equal(told(guess, 'sharedSecret'), told(new Uint8Array(16).fill(9), 'sharedSecret'));
      assert.equal(told(guess, 'externalPsk'), told(new Uint8Array(4), 'externalPsk'), 'nor, of a PSK, on its length');
      assert.notEqual(told(guess, 'sharedSecret'), told(new Uint8Array(4), 'sharedSecret'));
    });
  });
});
