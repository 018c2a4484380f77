/** Imports point one way, and the outside world is let in at few doors. The order is that of docs/architecture.md. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { importsOf, sourceFiles } from './sources.ts';

/** From the bottom up. A module may import from its own folder and from lower rows, never from its row's neighbours. */
const LAYERS: readonly (readonly string[])[] = [
  ['alerts', 'ledger/channels'],
  ['errors'],
  ['bytes', 'ledger'],
  ['crypto'],
  ['record', 'messages'],
  ['keys'],
  ['session', 'certificates'],
  ['handshake'],
  ['connection', 'quic'],
  ['fleet', 'policy'],
  ['node', 'index'],
  ['limits'],
  ['cli'],
];

/**
 * What goes into a connection and what comes out, as types without code: from `session` upwards everyone may name them,
 * and they name types of `session` and below. Only `import type` either way, so nothing of it exists at run time.
 */
const CONTRACTS = ['actions', 'connection-options'];
const CONTRACT_HEIGHT = heightOf('session') as number;

/** The core takes these of src/crypto and nothing else: the provider comes in through the options. */
const CRYPTO_NAMES = ['provider', 'suites', 'suites12', 'groups', 'dhe-groups', 'signatures'].map(
  (name) => `src/crypto/${name}.ts`,
);
const CORE = [
  'bytes',
  'record',
  'messages',
  'keys',
  'session',
  'handshake',
  'connection',
  'quic',
  'fleet',
  ...CONTRACTS,
];

/** The fleet stands beside the connection: it implements what `session` declares, and knows nothing of TLS. */
const FLEET_USES = ['errors', 'ledger', 'ledger/channels', 'bytes', 'crypto', 'keys', 'session', 'fleet'];
const FLEET_USERS = ['fleet', 'node', 'cli'];

/** Modules of Node that only these may import; `types` may also be named by those who handle what they are given. */
const DOORS: readonly { modules: readonly string[]; owner: string; types: readonly string[] }[] = [
  { modules: ['node:crypto', 'node:zlib'], owner: 'crypto', types: [] },
  { modules: ['node:net', 'node:tls', 'node:http', 'node:https', 'node:http2'], owner: 'node', types: ['cli'] },
];

/** npm packages by the folder that may import them; elsewhere in the core there are none. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  crypto: ['@noble/post-quantum'],
  fleet: ['@redis/client'],
};

const NO_DEPENDENCY = new Set([...CORE, 'errors', 'alerts', 'ledger', 'ledger/channels', 'crypto', 'certificates']);

const files = sourceFiles('src');

function moduleOf(file: string): string {
  const inside = file.replace(/^src\//, '').replace(/\.ts$/, '');
  return LAYERS.flat().includes(inside) ? inside : inside.split('/')[0];
}

function heightOf(module: string): number | undefined {
  const height = LAYERS.findIndex((row) => row.includes(module));
  return height === -1 ? undefined : height;
}

describe('imports', () => {
  it('are found in every form in which they are written', () => {
    assert.ok(files.length > 50);
    const connection = importsOf('src/connection.ts');
    assert.ok(connection.some(({ file, typeOnly }) => file === 'src/actions.ts' && typeOnly));
    assert.ok(connection.some(({ file, typeOnly }) => file === 'src/handshake/runner.ts' && !typeOnly));
    assert.ok(importsOf('src/index.ts').some(({ file }) => file === 'src/errors.ts'));
    assert.ok(importsOf('src/crypto/aead.ts').some(({ specifier }) => specifier === 'node:crypto'));
  });

  it('every module has a place in the order', () => {
    const unplaced = files
      .map(moduleOf)
      .filter((module) => heightOf(module) === undefined && !CONTRACTS.includes(module));
    assert.deepEqual([...new Set(unplaced)], [], 'give it a row in LAYERS');
  });

  it('point one way', () => {
    const wrong: string[] = [];
    for (const from of files) {
      for (const { file: to, typeOnly } of importsOf(from)) {
        if (to !== undefined && !isAllowed(from, to, typeOnly)) {
          wrong.push(`${from} must not import ${to}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('are judged by the rule that the order means', () => {
    const allowed: [string, string, boolean][] = [
      ['src/record/a.ts', 'src/record/b.ts', false],
      ['src/record/a.ts', 'src/bytes/b.ts', false],
      ['src/session/a.ts', 'src/actions.ts', true],
      ['src/actions.ts', 'src/session/b.ts', true],
      ['src/cli/a.ts', 'src/node/b.ts', false],
      ['src/fleet/a.ts', 'src/session/b.ts', false],
      ['src/node/a.ts', 'src/fleet/b.ts', false],
      ['src/bytes/secret.ts', 'src/ledger/channels.ts', false],
    ];
    const refused: [string, string, boolean][] = [
      ['src/bytes/a.ts', 'src/record/b.ts', false],
      ['src/bytes/a.ts', 'src/record/b.ts', true],
      ['src/record/a.ts', 'src/messages/b.ts', false],
      ['src/session/a.ts', 'src/certificates/b.ts', false],
      ['src/session/a.ts', 'src/actions.ts', false],
      ['src/keys/a.ts', 'src/actions.ts', true],
      ['src/actions.ts', 'src/handshake/b.ts', true],
      ['src/actions.ts', 'src/session/b.ts', false],
      ['src/connection.ts', 'src/node/b.ts', true],
      ['src/bytes/secret.ts', 'src/ledger/metrics.ts', false],
      ['src/node/a.ts', 'src/cli/b.ts', true],
      ['src/fleet/a.ts', 'src/handshake/b.ts', true],
      ['src/fleet/a.ts', 'src/certificates/b.ts', false],
      ['src/fleet/a.ts', 'src/node/b.ts', false],
      ['src/index.ts', 'src/fleet/b.ts', false],
      ['src/node/a.ts', 'src/index.ts', true],
    ];
    for (const [from, to, typeOnly] of allowed) {
      assert.equal(isAllowed(from, to, typeOnly), true, `${from} may import ${to}`);
    }
    for (const [from, to, typeOnly] of refused) {
      assert.equal(isAllowed(from, to, typeOnly), false, `${from} must not import ${to}`);
    }
  });

  it('of the core take only names and the provider interface from src/crypto', () => {
    const wrong: string[] = [];
    for (const from of files.filter((file) => CORE.includes(moduleOf(file)))) {
      for (const { file: to } of importsOf(from)) {
        if (to?.startsWith('src/crypto/') && !CRYPTO_NAMES.includes(to)) {
          wrong.push(`${from} must not import ${to}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("of Node's cryptography and networking go through one folder each", () => {
    const wrong: string[] = [];
    for (const from of files) {
      for (const { specifier, typeOnly } of importsOf(from)) {
        const name = specifier.startsWith('node:') ? specifier : `node:${specifier}`;
        const door = DOORS.find(({ modules }) => modules.includes(name));
        const module = moduleOf(from);
        if (door !== undefined && module !== door.owner && !(typeOnly && door.types.includes(module))) {
          wrong.push(`${from} must not import ${specifier}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('of npm packages stay out of the core, but for those in the list', () => {
    const wrong: string[] = [];
    for (const from of files.filter((file) => NO_DEPENDENCY.has(moduleOf(file)))) {
      for (const { specifier, file: to } of importsOf(from)) {
        const isPackage = to === undefined && !specifier.startsWith('node:');
        const allowed = PACKAGES[moduleOf(from)] ?? [];
        if (isPackage && !allowed.some((name) => specifier === name || specifier.startsWith(`${name}/`))) {
          wrong.push(`${from} must not import ${specifier}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('name files with their extension, inside src', () => {
    const wrong: string[] = [];
    for (const from of files) {
      for (const { file: to } of importsOf(from)) {
        if (to !== undefined && !files.includes(to)) {
          wrong.push(`${from} imports ${to}, which is no source file`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });
});

function isAllowed(from: string, to: string, typeOnly: boolean): boolean {
  const [user, used] = [moduleOf(from), moduleOf(to)];
  if ((user === 'fleet' && !FLEET_USES.includes(used)) || (used === 'fleet' && !FLEET_USERS.includes(user))) {
    return false;
  }
  if (CONTRACTS.includes(user)) {
    return typeOnly && (CONTRACTS.includes(used) || (heightOf(used) ?? Number.POSITIVE_INFINITY) <= CONTRACT_HEIGHT);
  }
  if (CONTRACTS.includes(used)) {
    return typeOnly && (heightOf(user) ?? -1) >= CONTRACT_HEIGHT;
  }
  const [a, b] = [heightOf(user), heightOf(used)];
  return user === used || (a !== undefined && b !== undefined && b < a);
}
