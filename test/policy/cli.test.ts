/** `mayfly policy`, and `mayfly serve` under a policy. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { servePolicy } from '../../src/cli/policy/serve-policy.ts';
import { policyCommand } from '../../src/cli/policy.ts';
import { serveCommand } from '../../src/cli/serve.ts';
import { explainPolicy } from '../../src/policy/explain.ts';
import { resolvePolicy } from '../../src/policy/policy.ts';
import { mayfly, mayflyHosted, refusedHere, serve, temporaryFolder } from '../cli/support.ts';
import { projectRoot } from '../support/project.ts';

test('mayfly policy prints the presets side by side, and --explain what docs/policy.md shows', async () => {
  const [all, explained] = await Promise.all([mayfly(['policy']), mayfly(['policy', 'default', '--explain'])]);
  assert.equal(all.code, 0, all.stderr);
  const page = readFileSync(join(projectRoot, 'docs', 'policy.md'), 'utf8');
  const table = all.stdout.split('\n\n')[0];
  assert(page.includes(table), `docs/policy.md does not have, word for word:\n${table}`);
  const telling = explained.stdout.slice(explained.stdout.indexOf('default: what is opened')).trimEnd();
  assert(page.includes(telling), `docs/policy.md does not have, word for word:\n${telling}`);
});

test('mayfly policy reads a file, and its JSON has the numbers behind the words', async (t) => {
  const file = join(temporaryFolder(t), 'ours.json');
  writeFileSync(file, JSON.stringify({ extends: 'default', name: 'ours', sealUntil: '10m', keyRenewal: false }));
  const { code, stdout } = await mayfly(['policy', file, '--explain', '--json']);
  assert.equal(code, 0);
  const told = JSON.parse(stdout);
  assert.equal(told.name, 'ours');
  assert.equal(told.sealUntil, 600_000);
  const expected = explainPolicy(resolvePolicy({ sealUntil: '10m', keyRenewal: false }));
  assert.equal(told.thefts[1].past.tls12, expected[1].past.tls12);
  assert.equal(told.thefts[1].past.tls12, 20 * 60_000);
  const memory = told.thefts.find(({ secret }: { secret: string }) => secret === 'processMemory');
  assert.equal(memory.past.tls12, 'unbounded');
  assert.deepEqual(memory.future.openConnections, true);
});

test('mayfly policy and serve refuse what is no policy, with codes 2 and 3', async (t) => {
  const folder = temporaryFolder(t);
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const files: readonly (readonly [string, RegExp, number])[] = [
    [write('text.json', 'strict'), /is not JSON/, 2],
    [write('list.json', '[]'), /is not a policy/, 2],
    [write('long.json', ' '.repeat(70_000)), /more than 65536 bytes/, 2],
    [write('wrong.json', '{"sealUntill": "1h"}'), /there is no "sealUntill"/, 2],
    [write('days.json', '{"sealUntil": "2d"}'), /sealing period/, 2],
    [join(folder, 'missing.json'), /does not exist/, 3],
    [folder, /it is a folder/, 3],
  ];
  for (const [path, pattern, expected] of files) {
    for (const { code, line } of [
      await refusedHere(policyCommand(), [path]),
      await refusedHere(serveCommand(), ['--policy-file', path]),
    ]) {
      assert.equal(code, expected, line);
      assert.match(line, pattern);
    }
  }
  const named = await refusedHere(serveCommand(), ['--policy', 'lax']);
  assert.match(named.line, /--policy: "lax" is not a policy. There are strict, default, compatible/);
  const both = await refusedHere(serveCommand(), ['--policy', 'strict', '--policy-file', files[0][0]]);
  assert.match(both.line, /exclude each other/);
  const never = await refusedHere(serveCommand(), ['--policy', 'strict', '--tls', '1.2']);
  assert.match(never.line, /flags do not go with the policy.*X25519MLKEM768/);
  assert.equal(never.code, 2);
});

test('flags that are given go before the policy of serve, and what they weaken is listed', () => {
  const defaults = { tls: 'both', rotate: '1h', lifetime: '2h', resumption: true } as const;
  const strict = servePolicy({ ...defaults, policy: 'strict' }, () => false);
  assert.deepEqual(
    [strict.flags.tls, strict.flags.rotate, strict.flags.lifetime, strict.flags.resumption],
    ['1.3', '15m', '1h', true],
  );
  assert.deepEqual(strict.weakened, []);
  const own = servePolicy({ ...defaults, policy: 'strict', rotate: '30m', lifetime: '20m', earlyData: true }, (flag) =>
    ['rotate', 'lifetime'].includes(flag),
  );
  assert.deepEqual([own.flags.rotate, own.flags.lifetime], ['30m', '20m']);
  assert.deepEqual(
    own.weakened.map(({ what }) => what),
    ['sealUntil', 'earlyData'],
  );
  assert.equal(own.options?.sealUntil, 1800);
  const none = servePolicy({ ...defaults, resumption: false, policy: 'default' }, () => false);
  assert.deepEqual([none.flags.resumption, none.options?.tickets, none.options?.sessionIds], [false, false, false]);
  const { inForce, ...without } = servePolicy(defaults, () => true);
  assert.deepEqual(without, { flags: defaults, options: undefined, weakened: [] });
  assert.deepEqual(
    { ...inForce(), name: 'default' },
    resolvePolicy('default'),
    'the flags’ own values are those of the default',
  );
  const unnamed = servePolicy({ ...defaults, rotate: '30m', tls: '1.2' }, (flag) => flag === 'rotate');
  const { name, sealUntil } = unnamed.inForce();
  assert.deepEqual([name, sealUntil], ['default, with flags that go before it', 1_800_000]);
  assert.equal(strict.inForce().name, 'strict');
});

test('serve --policy strict speaks TLS 1.3 with the hybrid alone, and warns of a flag that is weaker', async (t) => {
  const serving = await serve(t, ['--policy', 'strict', '--rotate', '20m', '--no-status']);
  const listening = await serving.until('listening');
  assert.deepEqual(listening.versions, ['TLSv1.3']);
  assert.deepEqual({ ...(listening.ring as object) }.constructor, Object);
  const ring = listening.ring as { rotateSeconds: number; lifetimeSeconds: number };
  assert.deepEqual([ring.rotateSeconds, ring.lifetimeSeconds], [1200, 3600]);
  const warning = await serving.until('warning');
  assert.match(String(warning.message), /sealUntil 20m \(policy: 15m\)/);
  const to = `localhost:${serving.port}`;
  const [hybrid, old, classical] = await Promise.all([
    mayflyHosted(['connect', to, '--ca', serving.ca, '--json']),
    mayflyHosted(['connect', to, '--ca', serving.ca, '--tls', '1.2']),
    mayflyHosted(['connect', to, '--ca', serving.ca, '--group', 'x25519']),
  ]);
  assert.equal(hybrid.code, 0, hybrid.stderr);
  assert.match(hybrid.stdout, /X25519MLKEM768/);
  assert.notEqual(old.code, 0);
  assert.notEqual(classical.code, 0);
  assert.equal(await serving.stop(), 0);
});
