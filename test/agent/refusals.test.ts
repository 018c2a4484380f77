/** Servers that do not do as they are told, and paths that lead to somebody else. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { TLSError, type TLSErrorCode } from '../../src/errors.ts';
import type { PlannedKey } from '../../src/fleet/agent/key-plan.ts';
import { ApacheDriver } from '../../src/node/agent/apache.ts';
import { HaproxyDriver } from '../../src/node/agent/haproxy.ts';
import { KeyFolder } from '../../src/node/agent/key-folder.ts';
import { NginxDriver } from '../../src/node/agent/nginx.ts';
import { masterOf } from '../../src/node/agent/processes.ts';
import { ask, parseRuntimeAddress } from '../../src/node/agent/runtime-socket.ts';
import { systemClock as clock } from '../../src/node/clock.ts';
import { certificateFiles, sleep, temporaryFolder } from '../cli/support.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { anywhere, haproxyConfig, memoryFolder, nginxConfig } from './support.ts';
import { fullSession } from './visits.ts';

const onLinux = process.platform === 'linux' ? {} : { skip: 'the agent needs Linux' };

function refusal(what: RegExp, code: TLSErrorCode = 'TLS_ERR_SERVER_NOT_TOLD'): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TLSError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, what);
    return true;
  };
}

function sealing(size: number): PlannedKey {
  const secret = Secret.copy('ringWorkingKey', new Uint8Array(size).fill(5));
  return {
    id: '5'.repeat(16),
    role: 'sealing',
    fresh: true,
    secret,
    sealFrom: 0,
    sealUntil: 0,
    endsAt: Date.now() + 60_000,
  };
}

describe('nginx and its pid file', onLinux, () => {
  const nginx = (t: TestContext, pidFile: string, reload?: string) => {
    const folder = new KeyFolder({ path: join(memoryFolder(t), 'nginx'), ...anywhere });
    const driver = new NginxDriver({ folder, clock, pidFile, reload, timeout: 200, ticketLifetime: 60 });
    t.after(() => driver.close());
    driver.prepare();
    return { driver, folder };
  };

  it('is not signalled by a file that names another process, or that others may write', async (t) => {
    const pidFile = join(temporaryFolder(t), 'nginx.pid');
    const { driver, folder } = nginx(t, pidFile);
    assert.equal(await driver.apply([sealing(80)]), 'absent', 'no file, no server');
    assert.deepEqual(folder.names(), ['5555555555555555.key', 'ticket-keys.conf'].toSorted());
    for (const [content, what] of [
      [`${process.pid}\n`, /is not the master of the server/],
      ['1\n', /holds no process id/],
      ['0', /holds no process id/],
      ['-1', /holds no process id/],
      ['12x', /holds no process id/],
      ['9'.repeat(100), /a pid file has at most 64/],
    ] as const) {
      writeFileSync(pidFile, content);
      await assert.rejects(driver.apply([sealing(80)]), refusal(what), content);
    }
    writeFileSync(pidFile, '4194304\n');
    assert.equal(await driver.apply([sealing(80)]), 'absent', 'no such process');
    chmodSync(pidFile, 0o666);
    await assert.rejects(driver.apply([sealing(80)]), refusal(/can be written by others/));
    assert.throws(() => masterOf(temporaryFolder(t), /./), refusal(/cannot be read|a pid file has/));
  });

  it('that has a reload command fails with it, with its last words', async (t) => {
    const pidFile = join(temporaryFolder(t), 'nginx.pid');
    const failing = nginx(t, pidFile, "echo 'emerg: \u001b[31mno' >&2; exit 3").driver;
    await assert.rejects(failing.apply([sealing(80)]), refusal(/exit code 3: emerg: \?\[31mno$/));
    const hanging = nginx(t, pidFile, 'sleep 60; true').driver;
    await assert.rejects(hanging.apply([sealing(80)]), refusal(/was ended by SIGKILL/));
    const fine = nginx(t, pidFile, 'true').driver;
    assert.equal(await fine.apply([sealing(80)]), 'told');
  });

  it('takes the file of a key that has ended away, also when it cannot be told', async (t) => {
    const { driver, folder } = nginx(t, join(temporaryFolder(t), 'nginx.pid'), 'false');
    await assert.rejects(driver.apply([sealing(80)]), refusal(/exit code 1/));
    assert.ok(folder.has('5555555555555555.key'));
    await assert.rejects(driver.withdraw(), refusal(/exit code 1/));
    assert.deepEqual(folder.names(), ['ticket-keys.conf']);
  });
});

describe('the stats socket of HAProxy', onLinux, () => {
  it('is a path, or a port on loopback: keys travel there in clear', () => {
    assert.deepEqual(parseRuntimeAddress('/run/x.sock'), { path: '/run/x.sock' });
    assert.deepEqual(parseRuntimeAddress('[::1]:99'), { host: '::1', port: 99 });
    for (const text of ['10.0.0.1:99', 'example.com:99', 'x.sock', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:70000', '']) {
      assert.throws(() => parseRuntimeAddress(text), refusal(/absolute path or a port on loopback/, 'TLS_ERR_CONFIG'));
    }
  });

  it('must not lie where everybody can put theirs', async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 's.sock');
    const server = createServer((socket) => socket.end('hello\n'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
    assert.equal(new TextDecoder().decode(await ask({ path }, Buffer.from('x\n'), 1_000)), 'hello\n');
    chmodSync(folder, 0o777);
    await assert.rejects(ask({ path }, Buffer.from('x\n'), 1_000), refusal(/may be anybody's/));
    chmodSync(folder, 0o700);
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(ask({ path: join(folder, 'file') }, Buffer.from('x\n'), 1_000), refusal(/is no socket/));
  });

  it('is left when it refuses, is silent, hangs up or says too much', async (t) => {
    const folder = new KeyFolder({ path: join(memoryFolder(t), 'haproxy'), ...anywhere });
    const path = join(temporaryFolder(t), 's.sock');
    let answer: string | undefined = '';
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => void (answer === undefined || socket.end(answer)));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
    const driver = new HaproxyDriver({ folder, clock, socket: { path }, keySize: 80, timeout: 200 });
    t.after(() => driver.close());
    for (const [said, what] of [
      ['Permission denied\n', /knows none \(Permission denied\)/],
      ['', /knows none \(no word\)/],
      ['x'.repeat(70_000), /longer than 65536 bytes/],
      [undefined, /no answer within 0\.2 s/],
      ['# id secret\n0.0 AAAA\n', /keys of another size than 80 bytes/],
      [`# id secret\n${`0.0 ${'!'.repeat(108)}\n`.repeat(3)}`, /keys of another size/],
    ] as const) {
      answer = said;
      await assert.rejects(driver.apply([sealing(80)]), refusal(what), String(said).slice(0, 40));
    }
    // Whatever it says, a start would find the key.
    assert.ok(
      readFileSync(join(folder.path, 'ticket-keys'), 'latin1').startsWith(Buffer.alloc(80, 5).toString('base64')),
    );
    // Keys are taken, it says, and others are there.
    const other = Buffer.alloc(80, 6).toString('base64');
    answer = `# id secret\n0.0 ${other}\n0.1 ${other}\n0.2 ${other}\n${'TLS ticket key updated!\n'.repeat(3)}`;
    await assert.rejects(driver.apply([sealing(80)]), refusal(/holds others: does another program set them too/));
    answer = answer.replace('TLS ticket key updated!\n', '');
    await assert.rejects(driver.apply([sealing(80)]), refusal(/did not take a ticket key: TLS ticket key updated!$/));
  });

  it('tells what is wrong with a real one: keys of another size, another file', skipUnless('haproxy'), async (t) => {
    const memory = memoryFolder(t);
    const home = temporaryFolder(t);
    const { certPath, keyPath } = certificateFiles(home);
    const socket = join(home, 'stats.sock');
    const driverOf = (name: string, keySize: number) => {
      const folder = new KeyFolder({ path: join(memory, name), ...anywhere });
      const driver = new HaproxyDriver({ folder, clock, socket: { path: socket }, keySize, timeout: 2_000 });
      t.after(() => driver.close());
      driver.prepare();
      return driver;
    };
    const right = driverOf('right', 80);
    mkdirSync(join(home, 'h'));
    const config = join(home, 'h', 'haproxy.cfg');
    writeFileSync(
      config,
      haproxyConfig({ certPath, keyPath }, join(home, 'h'), socket, join(memory, 'right'), await freePort()),
    );
    const server = new ToolProcess('haproxy', ['-db', '-f', config]);
    t.after(() => server.stop());
    let told = await right.apply([sealing(80)]);
    for (let i = 0; told === 'absent' && i < 200; i++) {
      await sleep(20);
      told = await right.apply([sealing(80)]);
    }
    assert.equal(told, 'told', server.text);
    assert.equal(await right.isUpToDate(), true);
    await assert.rejects(
      driverOf('other', 80).apply([sealing(80)]),
      refusal(/no key file .*\/other\/.*it knows .*\/right\//),
    );
    await assert.rejects(
      driverOf('right', 48).apply([sealing(48)]),
      refusal(/another size than 48 bytes: reload it once/),
    );
  });
});

describe('keys of 48 bytes', () => {
  it('seal at HAProxy from its file, and at nginx', skipUnless('haproxy', 'nginx'), async (t) => {
    const memory = memoryFolder(t);
    const home = temporaryFolder(t);
    const pem = certificateFiles(home);
    const socket = join(home, 'stats.sock');
    const folderOf = (name: string) => new KeyFolder({ path: join(memory, name), ...anywhere });
    const haproxy = new HaproxyDriver({
      ...{ folder: folderOf('haproxy'), clock, socket: { path: socket }, keySize: 48, timeout: 2_000 },
    });
    const nginx = new NginxDriver({
      ...{ folder: folderOf('nginx'), clock, pidFile: join(home, 'nginx.pid'), timeout: 2_000, ticketLifetime: 60 },
    });
    const ports = [await freePort(), await freePort()];
    for (const driver of [haproxy, nginx]) {
      t.after(() => driver.close());
      driver.prepare();
      assert.equal(await driver.apply([sealing(48)]), 'absent');
    }
    mkdirSync(join(home, 'h'));
    const configs = [join(home, 'haproxy.cfg'), join(home, 'nginx.conf')];
    writeFileSync(configs[0], haproxyConfig(pem, join(home, 'h'), socket, join(memory, 'haproxy'), ports[0]));
    writeFileSync(configs[1], nginxConfig(pem, home, join(memory, 'nginx'), ports[1]));
    const servers = [
      new ToolProcess('haproxy', ['-db', '-f', configs[0]]),
      new ToolProcess('nginx', ['-p', home, '-e', 'stderr', '-c', configs[1]]),
    ];
    for (const server of servers) {
      t.after(() => server.stop());
    }
    for (const port of ports) {
      assert.ok((await eventually(() => fullSession(port, 'TLSv1.3'))).includes(Buffer.alloc(16, 5)));
    }
    assert.equal(await haproxy.isUpToDate(), true);
  });
});

/** A server that starts refuses connections at first. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await attempt();
    } catch (error) {
      if (i > 200) {
        throw error;
      }
      await sleep(20);
    }
  }
}

describe('Apache httpd', () => {
  it('is not driven by key files, and told what can be done instead', () => {
    assert.throws(
      () => new ApacheDriver({ clock, timeout: 1_000 }),
      refusal(
        /must not be used where httpd is built with OpenSSL 3.*--reload 'apachectl graceful'/,
        'TLS_ERR_NOT_SUPPORTED',
      ),
    );
  });

  it('is restarted gracefully with each key that seals, and given none', async (t) => {
    const log = join(temporaryFolder(t), 'log');
    const driver = new ApacheDriver({ clock, timeout: 2_000, reload: `echo graceful >> ${log}` });
    assert.equal(driver.select([sealing(16), { ...sealing(16), role: 'waiting' }]).length, 1);
    await driver.apply(driver.select([sealing(16)]));
    await driver.apply([]);
    await driver.apply(driver.select([sealing(16)]));
    assert.equal(readFileSync(log, 'utf8'), 'graceful\ngraceful\n');
    const failing = new ApacheDriver({ clock, timeout: 2_000, reload: 'exit 1' });
    await assert.rejects(failing.apply([sealing(16)]), refusal(/exit code 1/));
  });
});
