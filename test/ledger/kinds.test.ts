/** That every secret has an entry: what is born in all that Mayfly does, against the table in docs/ledger.md. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { projectRoot } from '../support/project.ts';
import { documentedKinds } from './documented-kinds.ts';
import { bornIn } from './everything.ts';

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : entry.name.endsWith('.ts') ? [path] : [];
  });
}

describe('the kinds of secrets', () => {
  test('in docs/ledger.md are those that are born when everything is done that Mayfly can do, and no others', async () => {
    const born = await bornIn();
    assert.deepEqual([...documentedKinds().keys()].sort(), [...new Set(born.map(({ kind }) => kind))].sort());
  });

  test('descend from one another as that table says', async () => {
    const born = await bornIn();
    const kindOf = new Map(born.map(({ id, kind }) => [id, kind]));
    const seen = new Map<string, Set<string>>();
    for (const { kind, parents } of born) {
      const known = seen.get(kind) ?? new Set();
      seen.set(kind, known);
      for (const parent of parents.length === 0 ? [''] : parents.map((id) => kindOf.get(id) ?? `unknown ${id}`)) {
        known.add(parent);
      }
    }
    const asText = (entries: Iterable<[string, Iterable<string>]>) =>
      [...entries].map(([kind, parents]) => `${kind} from ${[...parents].sort().join(', ')}`).sort();
    assert.deepEqual(
      asText([...seen]),
      asText([...documentedKinds()].map(([kind, { parents }]): [string, Iterable<string>] => [kind, parents])),
    );
  });

  test('have room for all that node:crypto makes and takes: each place in src that hands it a key is known', () => {
    const takesKeys =
      /\b(generateKeyPairSync|createECDH|createPrivateKey|readPrivateKey|diffieHellman|createHmac|createCipheriv|createDecipheriv|setTicketKeys|onticketkeycallback|encapsulate|decapsulate)\b(?=\(| =)/;
    const folders = ['crypto', join('node', 'native')].map((folder) => join(projectRoot, 'src', folder));
    const found = folders.flatMap(sources).flatMap((path) => {
      const lines = readFileSync(path, 'utf8').split('\n');
      return lines.some((line) => takesKeys.test(line)) ? [relative(projectRoot, path)] : [];
    });
    assert.deepEqual(found.sort(), [...HOLDERS.keys()].sort());
    const kinds = documentedKinds();
    for (const [path, holders] of HOLDERS) {
      for (const kind of holders) {
        assert.ok(kinds.has(kind), `${path}: ${kind}`);
      }
    }
  });
});

/** What the ledger calls the keys there; none: a certificate's, which is its owner's, or no keys but public ones. */
const HOLDERS = new Map<string, readonly string[]>([
  ['src/crypto/aead.ts', ['aeadKey']],
  ['src/crypto/capabilities.ts', []],
  ['src/crypto/dhe-exchange.ts', ['keyShare', 'preMasterSecret']],
  ['src/crypto/ec-curves.ts', ['keyShare']],
  ['src/crypto/hashing.ts', []],
  ['src/crypto/header-protection.ts', ['headerProtectionKey']],
  ['src/crypto/key-shares.ts', ['keyShare', 'sharedSecret']],
  ['src/crypto/keys.ts', []],
  ['src/crypto/ml-kem.ts', ['keyShare']],
  ['src/crypto/private-key.ts', []],
  ['src/crypto/provider.ts', []],
  ['src/crypto/x25519.ts', ['keyShare']],
  ['src/crypto/x509.ts', []],
  ['src/node/native/manage-tickets.ts', ['openSslTicketKey']],
  ['src/node/native/ticket-callback.ts', ['openSslTicketKey']],
]);
