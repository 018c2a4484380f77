/** `mayfly ring agent` as an operator runs it. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { snippetFor } from '../../src/cli/ring/agent/snippet.ts';
import type { AgentFlags } from '../../src/cli/ring/agent.ts';
import { ringCommand } from '../../src/cli/ring.ts';
import { createIdentityFiles, nodeProvider } from '../../src/node/fleet.ts';
import { certificateFiles, mainFile, mayfly, refusedHere, temporaryFolder } from '../cli/support.ts';
import { RedisServer } from '../fleet-redis/redis-server.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { memoryFolder, nginxConfig } from './support.ts';
import { fullSession, resumes } from './visits.ts';

const url = 'redis://127.0.0.1:1';

test('an agent keeps nginx’s keys, takes them away when it ends, and afterwards when it was killed', {
  ...skipUnless('nginx', 'redis-server'),
}, async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const home = temporaryFolder(t);
  const folder = join(memoryFolder(t), 'nginx');
  const port = await freePort();
  const config = join(home, 'nginx.conf');
  writeFileSync(config, nginxConfig(certificateFiles(home), home, folder, port));
  writeFileSync(join(home, 'a.identity'), createIdentityFiles(nodeProvider, 'web', ['a'])[0], { mode: 0o600 });
  const ofServer = [
    '--dangerously-allow-any-file-system',
    '--for',
    'nginx',
    '--folder',
    folder,
    '--pid-file',
    join(home, 'nginx.pid'),
    '--timeout',
    '2s',
  ];
  const ofFleet = [
    '--fleet',
    redis.url,
    '--identity',
    join(home, 'a.identity'),
    '--rotate',
    '12s',
    '--lifetime',
    '12s',
  ];
  const start = (...more: readonly string[]) => {
    const agent = new ToolProcess('node', [mainFile, 'ring', 'agent', ...ofServer, ...ofFleet, ...more, '--json']);
    t.after(() => agent.stop('SIGKILL'));
    return agent;
  };
  const SEALS = /^\{"event":"told".*"role":"sealing"/m;

  const first = start();
  await first.until(/^\{"event":"agent","for":"nginx"/m);
  const nginx = new ToolProcess('nginx', ['-p', home, '-e', 'stderr', '-c', config]);
  t.after(() => nginx.stop());
  await first.until(SEALS);
  const ticket = await fullSession(port, 'TLSv1.2');
  assert.equal(await resumes(port, 'TLSv1.2', ticket), true);

  // A process that is killed leaves everything: that is what ExecStopPost= is for.
  await first.stop('SIGKILL');
  assert.equal(await resumes(port, 'TLSv1.2', ticket), true);
  assert.ok(readdirSync(folder).some((name) => name.endsWith('.key')));
  const withdrawn = await mayfly(['ring', 'agent', ...ofServer, '--withdraw']);
  assert.equal(withdrawn.code, 0, withdrawn.stderr);
  assert.match(withdrawn.stdout, /^Keys are taken from the server and the files\.\n$/);
  assert.equal(await resumes(port, 'TLSv1.2', ticket), false);
  assert.deepEqual(readdirSync(folder), ['ticket-keys.conf']);

  const second = start('--reload', `test ! -e ${home}/broken && kill -HUP $(cat ${home}/nginx.pid)`);
  await second.until(SEALS);
  // The end comes when nginx cannot be told: the exit code says so.
  writeFileSync(join(home, 'broken'), '');
  second.signal('SIGTERM');
  assert.equal(await second.exited(), 31);
  assert.match(second.text, /^\{"event":"not_told","time":".*the reload command failed/m);
  assert.match(second.text, /^\{"event":"left","server":"failed"\}/m);
  assert.deepEqual(readdirSync(folder), ['ticket-keys.conf']);
});

describe('flags of an agent', () => {
  const agent = (args: readonly string[]) => refusedHere(ringCommand(), ['agent', ...args]);

  it('are held against each other', async (t) => {
    const folder = temporaryFolder(t);
    const identity = join(folder, 'a.identity');
    writeFileSync(identity, createIdentityFiles(nodeProvider, 'web', ['a'])[0], { mode: 0o600 });
    const fleet = ['--fleet', url, '--identity', identity, '--dangerously-allow-any-file-system'];
    const memory = join(memoryFolder(t), 'keys');
    const cases: [readonly string[], RegExp][] = [
      [['--for', 'nginx', ...fleet], /--folder is missing/],
      [['--for', 'nginx', '--folder', memory], /--fleet is missing/],
      [['--for', 'nginx', '--folder', memory, ...fleet, '--key-size', '64'], /--key-size: "64" is neither/],
      [['--for', 'envoy', '--folder', memory, ...fleet, '--key-size', '48'], /Envoy has 80 bytes, got 48/],
      [['--for', 'nginx', '--folder', memory, ...fleet, '--group', 'mail'], /--group: "mail" is not in --groups/],
      [['--for', 'nginx', '--folder', memory, ...fleet, '--owner', 'no such'], /--owner: this host has no "no such"/],
      [['--for', 'nginx', '--folder', memory, ...fleet, '--drain', '21h'], /at most 86400 s/],
      [['--for', 'haproxy', '--folder', memory, ...fleet, '--socket', '10.0.0.1:1'], /a port on loopback/],
      [['--for', 'envoy', '--folder', memory, ...fleet, '--secret-name', 'a"b'], /--secret-name/],
      [['--for', 'apache', ...fleet], /built with OpenSSL 3.*apachectl graceful/],
    ];
    for (const [args, what] of cases) {
      const refused = await agent(args);
      assert.equal(refused.code, 2, args.join(' '));
      assert.match(refused.line, what);
    }
  });

  it('name the server', async () => {
    const [none, unknown] = await Promise.all([mayfly(['ring', 'agent']), mayfly(['ring', 'agent', '--for', 'iis'])]);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /--for <product>/);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /nginx, haproxy, envoy, apache/);
  });

  it('must not let keys lie on a disk', async (t) => {
    const TMPFS = 0x01021994;
    const folder = temporaryFolder(t);
    if (statfsSync(folder).type === TMPFS) {
      t.skip('temporary files lie in memory here');
      return;
    }
    const refused = await agent(['--for', 'nginx', '--folder', join(folder, 'keys'), '--withdraw']);
    assert.equal(refused.code, 3);
    assert.ok(!existsSync(join(folder, 'keys')), 'what was made for it is gone');
    assert.match(
      refused.line,
      /key files go where nothing is ever written to a disk, such as .*mount -t (tmpfs|ramfs)/,
    );
  });

  it('tell what each server’s configuration needs', () => {
    const [nginx, haproxy, envoy, apache] = (['nginx', 'haproxy', 'envoy', 'apache'] as const).map((product) =>
      snippetFor({ folder: '/run/mayfly/x', socket: '/run/haproxy/admin.sock', secretName: 'tickets' } as AgentFlags, {
        product,
        keySize: 80,
        drain: 60_000,
        timeout: 1_000,
        ticketLifetime: 3_600_000,
      }),
    );
    assert.match(nginx, /^worker_shutdown_timeout 1m;$/m);
    assert.match(nginx, /^include \/run\/mayfly\/x\/ticket-keys\.conf;$/m);
    assert.match(haproxy, /tls-ticket-keys \/run\/mayfly\/x\/ticket-keys$/m);
    assert.match(haproxy, /^ {2}tune\.ssl\.lifetime 3600$/m);
    assert.match(haproxy, /^ {2}hard-stop-after 1m$/m);
    assert.match(envoy, /^ {6}path: \/run\/mayfly\/x\/ticket-keys\.json$/m);
    assert.match(apache, /no SSLSessionTicketKeyFile/);
  });
});
