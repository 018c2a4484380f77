import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../cli/support.ts';
import { projectRoot } from '../support/project.ts';

const [, unit] =
  /```ini\n(\[Unit\][\s\S]*?)```/.exec(readFileSync(join(projectRoot, 'docs', 'deploy.md'), 'utf8')) ?? [];
const analyze = spawnSync('systemd-analyze', ['--version']);

test('the unit in docs/deploy.md keeps memory off the disks and lets requests finish', () => {
  assert(unit !== undefined);
  for (const line of [
    'LimitCORE=0',
    'CoredumpFilter=0x0',
    'MemorySwapMax=0',
    'KillSignal=SIGTERM',
    'NoNewPrivileges=yes',
  ]) {
    assert(unit.split('\n').includes(line), line);
  }
  const [, seconds] = /TimeoutStopSec=(\d+)/.exec(unit) ?? [];
  // `mayfly serve` takes ten.
  assert(Number(seconds) > 10);
  assert(!/^MemoryDenyWriteExecute=yes/m.test(unit), 'V8 could not compile');
});

test('systemd has nothing to say against that unit', { skip: analyze.error && 'systemd is not installed' }, (t) => {
  assert(unit !== undefined);
  const path = join(temporaryFolder(t), 'mayfly.service');
  // It looks whether the program is there.
  writeFileSync(path, unit.replace('/usr/bin/mayfly', process.execPath));
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
  const said = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('mayfly.service'));
  assert.deepEqual(said, []);
  assert.equal(status, 0, stderr);
});
