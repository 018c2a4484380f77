/** What `serve --fleet`, `--workers` and `ring` refuse, each with one line and its exit code. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ringCommand } from '../../src/cli/ring.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { memberListText } from '../../src/fleet/member-list.ts';
import { createIdentityFiles, loadIdentity, nodeProvider } from '../../src/node/fleet.ts';
import { mainFile, mayfly, refusedHere, run, temporaryFolder } from '../cli/support.ts';

const url = 'redis://127.0.0.1:1';

describe('mayfly ring init', () => {
  test('makes a file of mode 0600 for each host, and writes over none', async (t) => {
    const folder = temporaryFolder(t);
    const paths = ['web1.identity', 'web2.identity'].map((name) => join(folder, name));
    const made = await mayfly(['ring', 'init', '--fleet-name', 'web', '--identity', ...paths, '--json']);
    assert.equal(made.code, 0, made.stderr);
    const event = JSON.parse(made.stdout);
    assert.deepEqual(event.members, [
      { name: 'web1', file: paths[0] },
      { name: 'web2', file: paths[1] },
    ]);
    const contents = paths.map((path) => JSON.parse(readFileSync(path, 'utf8')));
    assert.deepEqual(contents[0].members, contents[1].members);
    assert.notEqual(contents[0].seed, contents[1].seed);
    assert(paths.every((path) => (statSync(path).mode & 0o777) === 0o600));

    const third = join(folder, 'web3.identity');
    const again = await mayfly(['ring', 'init', '--fleet-name', 'web', '--identity', third, '--identity', paths[0]]);
    assert.equal(again.code, 3);
    assert.match(again.stderr, /web1\.identity is there already/);
    assert.throws(() => statSync(third), 'nothing is half made');
    assert.equal(JSON.parse(readFileSync(paths[0], 'utf8')).seed, contents[0].seed);
  });

  test('refuses names that are alike and a fleet without one', async (t) => {
    const folder = temporaryFolder(t);
    const refused = await refusedHere(ringCommand(), [
      ...['init', '--fleet-name', 'web', '--identity', join(folder, 'a.x'), join(folder, 'a.y')],
    ]);
    assert.equal(refused.code, 2);
    assert.match(refused.line, /names that differ/);
    const bare = await mayfly(['ring', 'init', '--identity', join(folder, 'a')]);
    assert.equal(bare.code, 2);
    assert.match(bare.stderr, /--fleet-name <name>/);
  });
});

describe('mayfly ring members', () => {
  test('makes a list with who comes and without who goes, and puts it into a host’s file', async (t) => {
    const folder = temporaryFolder(t);
    const [web1, web2, replaced, list] = ['web1', 'web2', 'new/web2', 'web.members'].map((name) => join(folder, name));
    for (const [i, text] of createIdentityFiles(nodeProvider, 'web', ['web1', 'web2']).entries()) {
      writeFileSync([web1, web2][i], text, { mode: 0o600 });
    }
    mkdirSync(join(folder, 'new'));
    const change = ['--remove', 'web2', '--add', replaced, '--write', list];
    const made = await mayfly(['ring', 'members', '--identity', web1, ...change, '--json']);
    assert.equal(made.code, 0, made.stderr);
    const before = loadIdentity(web1);
    chmodSync(web1, 0o400);
    const adopted = await mayfly(['ring', 'members', '--identity', web1, '--adopt', list, '--json']);
    assert.equal(adopted.code, 0, adopted.stderr);
    const told = JSON.parse(adopted.stdout);
    assert.equal(told.list, JSON.parse(made.stdout).list);
    assert.deepEqual(
      [...told.added, ...told.removed].map(({ name }: { name: string }) => name),
      ['web2', 'web2'],
    );
    assert.equal(statSync(web1).mode & 0o777, 0o400);
    assert.deepEqual(loadIdentity(web1).identity.publicKey, before.identity.publicKey);
    assert.deepEqual(loadIdentity(web1).members, loadIdentity(replaced).members);
    assert.notDeepEqual(loadIdentity(web1).members, before.members);
    assert(!readFileSync(list, 'utf8').includes('seed'));

    const text = readFileSync(web2, 'utf8');
    const cases: [readonly string[], number, RegExp][] = [
      [['--adopt', list], 1, /the identity of web2 is not on the list/],
      [['--adopt', web1], 2, /mayflyMembers: 1/],
      [['--adopt', list, '--write', 'x'], 2, /--adopt takes a list as it is/],
      [['--adopt', join(folder, 'none')], 3, /cannot read .*none/],
      [['--add', join(folder, 'web3')], 2, /--write is missing/],
      [['--add', join(folder, 'web1.x'), '--write', join(folder, 'x')], 2, /names that differ/],
      [['--remove', 'web9', '--write', join(folder, 'x')], 2, /nobody in the fleet is called "web9"/],
      [['--write', list], 3, /web\.members is there already/],
    ];
    for (const [args, code, line] of cases) {
      const refused = await refusedHere(ringCommand(), ['members', '--identity', web2, ...args]);
      assert.match(refused.line, line);
      assert.equal(refused.code, code, args.join(' '));
    }
    assert.equal(readFileSync(web2, 'utf8'), text);
    assert.deepEqual(readdirSync(folder).sort(), ['new', 'web.members', 'web1', 'web2'], 'nothing is half made');
  });
});

describe('mayfly ring members --adopt that is killed', () => {
  test('leaves the old file or the new one, and the next attempt finishes it and leaves nothing beside', async (t) => {
    const folder = temporaryFolder(t);
    const [identity, list, killer] = ['web1', 'web.members', 'killer.mjs'].map((name) => join(folder, name));
    const text = createIdentityFiles(nodeProvider, 'web', ['web1', 'web2'])[0];
    const file = loadIdentity(text);
    writeFileSync(list, memberListText({ fleetName: 'web', members: file.members.slice(0, 1) }));
    writeFileSync(killer, KILLER);
    const command = ['ring', 'members', '--identity', identity];
    const adoption = [mainFile, ...command, '--adopt', list];
    for (const step of ['writeFileSync', 'renameSync']) {
      writeFileSync(identity, text, { mode: 0o600 });
      const killed = await run(process.execPath, ['--import', killer, ...adoption], { env: { DIES_AT: step } });
      assert.equal(killed.code, null, killed.stderr);
      assert.equal(readFileSync(identity, 'utf8'), text);
      const left = readdirSync(folder).filter((name) => !['web1', 'web.members', 'killer.mjs'].includes(name));
      assert.equal(left.length, 1, 'it was killed between the steps');
      assert.equal(statSync(join(folder, left[0])).mode & 0o777, 0o600);
      assert.match((await mayfly(command)).stderr, new RegExp(`${left[0]} is left of an --adopt that was cut short`));

      const again = await run(process.execPath, adoption);
      assert.equal(again.code, 0, again.stderr);
      assert.equal(loadIdentity(identity).members.length, 1);
      assert.deepEqual(readdirSync(folder).sort(), ['killer.mjs', 'web.members', 'web1']);
    }
  });
});

describe('flags of a fleet', () => {
  function identityIn(folder: string): string {
    const path = join(folder, 'a.identity');
    writeFileSync(path, createIdentityFiles(nodeProvider, 'web', ['a'])[0], { mode: 0o600 });
    return path;
  }

  test('are held against each other', async (t) => {
    const identity = identityIn(temporaryFolder(t));
    const cases: [readonly string[], RegExp][] = [
      [['--fleet', url], /--identity is missing/],
      [['--fleet-name', 'web'], /--fleet is missing\. --fleet-name goes with it/],
      [['--fleet-ca', 'x.pem'], /--fleet is missing/],
      [['--fleet', url, '--identity', identity, '--no-resumption'], /--no-resumption has none/],
      [['--fleet', url, '--identity', identity, '--fleet-name', 'mail'], /of the fleet "web", not of "mail"/],
      [['--fleet', 'http://u:hunter2@x', '--identity', identity], /the store's URL cannot be read/],
      [['--fleet', url, '--identity', identity, '--rotate', '2s', '--lifetime', '4s'], /epochLength/],
      [['--workers', '0'], /--workers: "0" is not a number from 1 to 255/],
      [['--workers', 'many'], /--workers/],
      [['--workers', '2', '--rotate', '2s'], /--rotate: 2s is too short/],
    ];
    for (const [args, what] of cases) {
      const refused = await refusedHere(serveCommand(), args);
      assert.equal(refused.code, 2, args.join(' '));
      assert.match(refused.line, what);
      assert(!refused.line.includes('hunter2'));
    }
  });

  test('name an identity that nobody else can read', async (t) => {
    const identity = identityIn(temporaryFolder(t));
    chmodSync(identity, 0o640);
    for (const args of [
      ['serve', '--fleet', url, '--identity', identity],
      ['ring', 'status', '--fleet', url, '--identity', identity],
      ['ring', 'join', '--fleet', url, '--identity', identity],
    ]) {
      const refused = await refusedHere(args[0] === 'serve' ? serveCommand() : ringCommand(), args.slice(1));
      assert.equal(refused.code, 2, args.join(' '));
      assert.match(refused.line, /mode 0640/);
    }
    writeFileSync(identity, '{}', { mode: 0o600 });
    chmodSync(identity, 0o600);
    const refused = await refusedHere(ringCommand(), ['flush', '--fleet', url, '--identity', identity]);
    assert.equal(refused.code, 2);
    assert.match(refused.line, /an identity file cannot be read/);
  });

  test('may come by the environment; a store that is not there is told by its own exit code', async (t) => {
    const MAYFLY_IDENTITY = identityIn(temporaryFolder(t));
    const env = { MAYFLY_FLEET_URL: 'redis://:hunter2@127.0.0.1:1', MAYFLY_IDENTITY };
    const result = await mayfly(['ring', 'status'], env);
    assert.equal(result.code, 11, result.stderr);
    assert.match(result.stderr, /^mayfly: redis:\/\/127\.0\.0\.1:1: connection refused\. [^\n]+\n$/);
    for (const command of [['rotate'], ['flush'], ['evict', 'a']]) {
      const refused = await refusedHere(ringCommand(), [...command, '--fleet', url, '--identity', MAYFLY_IDENTITY]);
      assert.equal(refused.code, 11, command[0]);
    }
    const without = await refusedHere(ringCommand(), ['status', '--identity', MAYFLY_IDENTITY]);
    assert.equal(without.code, 2);
    assert.match(without.line, /--fleet is missing/);
  });
});

/** Loaded before the command: ends it as a crash does, in the middle of writing or right before a step. */
const KILLER = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const { DIES_AT } = process.env;
  const write = fs.writeFileSync;
  fs[DIES_AT] = (file, text) => {
    if (DIES_AT === 'writeFileSync') {
      write(file, text.slice(0, text.length / 2));
    }
    process.kill(process.pid, 'SIGKILL');
  };
  syncBuiltinESMExports();
`;
