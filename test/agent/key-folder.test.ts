/** Where key files may lie, how they are written, and what Envoy is given in them. */

import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { TLSError } from '../../src/errors.ts';
import type { PlannedKey } from '../../src/fleet/agent/key-plan.ts';
import { EnvoyDriver } from '../../src/node/agent/envoy.ts';
import { KeyFolder } from '../../src/node/agent/key-folder.ts';
import { judgeMount, parseMount, systemView } from '../../src/node/agent/memory-mount.ts';
import { systemClock } from '../../src/node/clock.ts';
import { temporaryFolder } from '../cli/support.ts';
import { anywhere, memoryFolder } from './support.ts';

const onLinux = process.platform === 'linux' ? {} : { skip: 'the agent needs Linux' };
const NO_SWAP = 'Filename\tType\tSize\tUsed\tPriority\n';
const SWAP = `${NO_SWAP}/dev/sda2 partition 999 0 -2\n`;

function refusal(what: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TLSError);
    assert.equal(error.code, 'TLS_ERR_KEY_FOLDER');
    assert.match(error.message, what);
    return true;
  };
}

describe('the mount of key files', () => {
  const judge = (line: string, swaps = NO_SWAP, kernel = '6.8.0') => {
    const mount = parseMount(line);
    assert.ok(mount !== undefined);
    return judgeMount('/run/k', mount, { mountinfo: '', swaps, kernel });
  };
  const tmpfs = (options: string) => `36 35 0:39 / /run/k rw,relatime shared:1 - tmpfs tmpfs ${options}`;

  it('is memory on ramfs, and on tmpfs with noswap', () => {
    assert.equal(judge(tmpfs('rw,size=1024k,noswap'), SWAP).verdict, 'memory');
    assert.equal(judge('36 35 0:39 / /run/k rw - ramfs ramfs rw', SWAP).verdict, 'memory');
  });

  it('is good without noswap only as long as there is no swap', () => {
    assert.equal(judge(tmpfs('rw,size=1024k')).verdict, 'unless_swap');
    const refused = judge(tmpfs('rw,size=1024k'), SWAP);
    assert.ok(refused.verdict === 'refused');
    assert.match(refused.why, /mkdir -p \/run\/k && mount -t tmpfs -o noswap,size=1m,mode=0700 tmpfs \/run\/k$/);
  });

  it('is refused on what is written to a disk, with the command for what this kernel has', () => {
    for (const type of ['ext4', 'overlay', 'xfs', 'hugetlbfs', 'tmpfss']) {
      const refused = judge(`27 1 254:0 / / rw,relatime - ${type} /dev/vda rw,noswap`);
      assert.ok(refused.verdict === 'refused', type);
      assert.match(refused.why, /mount -t tmpfs -o noswap/);
    }
    const old = judge('27 1 254:0 / / rw - ext4 /dev/vda rw', NO_SWAP, '6.1.0-18-amd64');
    assert.ok(old.verdict === 'refused');
    assert.match(old.why, /mount -t ramfs -o mode=0700 ramfs \/run\/k, since Linux 6\.1\.0-18-amd64 has no noswap/);
  });
});

describe('a folder of key files', onLinux, () => {
  const open = (t: TestContext, path: string, more: object = anywhere) => {
    const folder = new KeyFolder({ path, ...more });
    t.after(() => folder.close());
    return folder;
  };

  it('on a disk is refused, and allowed only by an option that says how bad it is', (t) => {
    const path = join(temporaryFolder(t), 'keys');
    const onDisk = () => {
      const view = systemView();
      return { ...view, mountinfo: view.mountinfo.replace(/ - \w+ /g, ' - ext4 ') };
    };
    assert.throws(() => new KeyFolder({ path, system: onDisk }), refusal(/lies on ext4 .* mount -t /));
    const allowed = open(t, path, { system: onDisk, dangerouslyAllowAnyFileSystem: true });
    assert.equal(allowed.judgement.verdict, 'refused');
    const blind = () => ({ ...systemView(), mountinfo: '' });
    assert.throws(() => new KeyFolder({ path, system: blind }), refusal(/does not tell/));
  });

  it('tells when swap is turned on beneath it', (t) => {
    const path = join(memoryFolder(t), 'keys');
    let swaps = NO_SWAP;
    const view = () => ({ ...systemView(), mountinfo: systemView().mountinfo.replaceAll(',noswap', ''), swaps });
    const folder = open(t, path, { system: view });
    assert.equal(folder.maySwap, false);
    swaps = SWAP;
    assert.equal(folder.maySwap, true);
    assert.throws(() => new KeyFolder({ path, system: view }), refusal(/lists active swap/));
  });

  it('must not be reached by a forged path', (t) => {
    const memory = memoryFolder(t);
    mkdirSync(join(memory, 'real'));
    symlinkSync(join(memory, 'real'), join(memory, 'link'));
    writeFileSync(join(memory, 'file'), '');
    assert.throws(() => new KeyFolder({ path: join(memory, 'link') }), refusal(/symbolic link/));
    assert.throws(() => new KeyFolder({ path: join(memory, 'file') }), refusal(/cannot open/));
    assert.throws(() => new KeyFolder({ path: join(memory, 'not', 'there') }), refusal(/cannot make/));
    for (const path of [
      'keys',
      '/run/../etc',
      '/run/k;x',
      '/run/a b',
      '/run/k\n',
      '/run/k/',
      '/',
      '//run',
      '/run/$k',
    ]) {
      assert.throws(() => new KeyFolder({ path }), refusal(/absolute path/), path);
    }
  });

  it('must not be writable by others, nor any folder above it', (t) => {
    const memory = memoryFolder(t);
    const path = join(memory, 'above', 'keys');
    mkdirSync(join(memory, 'above'));
    mkdirSync(path, { mode: 0o700 });
    for (const mode of [0o770, 0o707, 0o777, 0o1777]) {
      chmodSync(path, mode);
      assert.throws(() => new KeyFolder({ path }), refusal(/can be written by others .* choose ticket keys/));
    }
    chmodSync(path, 0o700);
    chmodSync(join(memory, 'above'), 0o777);
    assert.throws(() => new KeyFolder({ path }), refusal(/put another folder in the place/));
    chmodSync(join(memory, 'above'), 0o1777);
    open(t, path);
  });

  it('has files of mode 0400, put in their place whole, and overwritten when they go', (t) => {
    const path = join(memoryFolder(t), 'keys');
    const folder = open(t, path);
    const first = Buffer.alloc(80, 1);
    folder.write('a.key', first);
    assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.equal(statSync(join(path, 'a.key')).mode & 0o7777, 0o400);
    // Who has it open sees neither the old key any more, nor zeros, which would be a key that everybody knows.
    const reader = openSync(join(path, 'a.key'), 'r');
    t.after(() => closeSync(reader));
    const seen = () => {
      const bytes = Buffer.alloc(100);
      return bytes.subarray(0, readSync(reader, bytes, 0, 100, 0));
    };
    assert.deepEqual(seen(), first);
    folder.write('a.key', Buffer.alloc(80, 2));
    assert.equal(seen().length, 80);
    assert.equal(seen().indexOf(Buffer.alloc(4, 1)), -1);
    assert.equal(seen().indexOf(Buffer.alloc(4, 0)), -1);
    assert.deepEqual(readFileSync(join(path, 'a.key')), Buffer.alloc(80, 2));
    folder.remove('a.key');
    folder.remove('a.key');
    assert.deepEqual(readdirSync(path), []);
  });

  it('does not follow a link that lies where a file is to be, and says when it cannot write', (t) => {
    const memory = memoryFolder(t);
    const path = join(memory, 'keys');
    const folder = open(t, path);
    const victim = join(memory, 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, join(path, '.a.key.new'));
    assert.throws(() => folder.write('a.key', Buffer.alloc(80)), refusal(/cannot (write|remove)/));
    assert.equal(readFileSync(victim, 'utf8'), 'untouched');
    mkdirSync(join(path, 'b.key'));
    assert.throws(() => folder.write('b.key', Buffer.alloc(80)), refusal(/cannot write .*b\.key/));
    assert.ok(!existsSync(join(path, '.b.key.new')), 'nothing is half made');
  });
});

describe('Envoy', onLinux, () => {
  const key = (id: string, role: PlannedKey['role'], fill: number): PlannedKey => ({
    ...{ id: id.repeat(16), role, fresh: true, sealFrom: 0, sealUntil: 0, endsAt: 0 },
    secret: Secret.copy('ringWorkingKey', new Uint8Array(80).fill(fill)),
  });

  it('is given 80 bytes for each key, and a list that is replaced and differs with each change', async (t) => {
    const path = join(memoryFolder(t), 'envoy');
    const driver = new EnvoyDriver({
      folder: new KeyFolder({ path, ...anywhere }),
      clock: systemClock,
      secretName: 'tickets',
    });
    t.after(() => driver.close());
    const list = join(path, 'ticket-keys.json');
    const listed = (): string[] =>
      JSON.parse(readFileSync(list, 'utf8')).resources[0].session_ticket_keys.keys.map(
        ({ filename }: { filename: string }) => filename,
      );
    const leftover = join(path, `.${'c'.repeat(16)}.key.new`);
    writeFileSync(leftover, 'of an agent that was killed while it wrote this');
    driver.prepare();
    assert.ok(!existsSync(leftover));
    const [throwaway] = listed();
    assert.equal(statSync(throwaway).size, 80, 'it is there before the ring has sent a key');
    const before = statSync(list).ino;

    assert.equal(await driver.apply([key('a', 'sealing', 1), key('b', 'waiting', 2)]), 'told');
    assert.notEqual(statSync(list).ino, before, 'replaced by a rename');
    assert.deepEqual(listed(), [join(path, `${'a'.repeat(16)}.key`), join(path, `${'b'.repeat(16)}.key`)]);
    assert.deepEqual(readFileSync(listed()[0]), Buffer.alloc(80, 1));
    assert.deepEqual(readFileSync(listed()[1]), Buffer.alloc(80, 2));
    assert.ok(!existsSync(throwaway));

    await driver.apply([key('b', 'sealing', 2), key('a', 'opening', 1)]);
    assert.equal(listed()[0], join(path, `${'b'.repeat(16)}.key`), 'the first seals');
    await driver.withdraw();
    assert.equal(readdirSync(path).length, 2);
    assert.ok(![1, 2].some((fill) => readFileSync(listed()[0]).equals(Buffer.alloc(80, fill))));
  });
});
