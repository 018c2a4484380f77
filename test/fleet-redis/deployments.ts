/** Redis as it is found in the field: with TLS and a password, behind sentinels, as a cluster. Each ends with its test. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localhost, trust } from '../node/support.ts';
import { freePort, run, ToolProcess } from '../support/process.ts';

/** With everything that has a meaning in URLs. */
export const PASSWORD = 'p@ss/w:rd?#%é';
export const SENTINEL_PASSWORD = 's@/%:?';
const login = `:${encodeURIComponent(PASSWORD)}`;

export interface Deployment {
  readonly url: string;
  /** The process that takes the writes. */
  readonly master: ToolProcess;
  stop(): Promise<void>;
}

export async function redisWithTls(): Promise<Deployment & { readonly wrongPassword: string }> {
  const folder = newFolder();
  const [port] = await freePorts(1);
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const master = redisServer(folder, [
    ...['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', '--requirepass', PASSWORD],
    ...['--tls-cert-file', file('cert.pem', localhost.certificatePem)],
    ...['--tls-key-file', file('key.pem', localhost.privateKeyPem)],
    ...['--tls-ca-cert-file', file('ca.pem', trust.ca)],
  ]);
  await master.until('Ready to accept connections');
  return {
    url: `rediss://${login}@localhost:${port}/3`,
    wrongPassword: `rediss://:wrong@localhost:${port}/3`,
    master,
    stop: ending(folder, [master]),
  };
}

/** A master, a replica and one sentinel, whose word is enough. */
export async function redisWithSentinel(): Promise<Deployment> {
  const folder = newFolder();
  const [masterPort, replicaPort, sentinelPort] = await freePorts(3);
  const both = ['--requirepass', PASSWORD, '--masterauth', PASSWORD, '--repl-diskless-sync-delay', '0'];
  const master = redisServer(folder, ['--port', String(masterPort), ...both]);
  await master.until('Ready to accept connections');
  const replica = redisServer(folder, [
    ...['--port', String(replicaPort), '--replicaof', '127.0.0.1', String(masterPort), ...both],
  ]);
  await replica.until(/MASTER <-> REPLICA sync: Finished|Successful partial resync/);
  const configuration = join(folder, 'sentinel.conf');
  writeFileSync(
    configuration,
    [
      `port ${sentinelPort}`,
      'bind 127.0.0.1',
      `requirepass ${quoted(SENTINEL_PASSWORD)}`,
      `sentinel monitor mine 127.0.0.1 ${masterPort} 1`,
      `sentinel auth-pass mine ${quoted(PASSWORD)}`,
      'sentinel down-after-milliseconds mine 300',
      'sentinel failover-timeout mine 3000',
    ].join('\n'),
  );
  const sentinel = new ToolProcess('redis-server', [configuration, '--sentinel']);
  await sentinel.until('+slave');
  // Its own times are for networks: and where a busy machine halts it for two seconds it would do nothing for thirty.
  const times = ['info-period', '200', 'ping-period', '100', 'tilt-trigger', '60000'];
  const env = { REDISCLI_AUTH: SENTINEL_PASSWORD };
  const told = await run('redis-cli', ['-p', String(sentinelPort), 'SENTINEL', 'DEBUG', ...times], { env });
  assert.match(told.text, /OK/);
  return {
    url: `redis+sentinel://${login}@127.0.0.1:${sentinelPort}/mine?sentinelPassword=${encodeURIComponent(SENTINEL_PASSWORD)}`,
    master,
    stop: ending(folder, [sentinel, replica, master]),
  };
}

export async function redisCluster(): Promise<Deployment> {
  const folder = newFolder();
  const ports = await freePorts(6);
  const addresses = ports.slice(0, 3).map((port) => `127.0.0.1:${port}`);
  const nodes = addresses.map((_, index) => {
    const own = join(folder, String(index));
    mkdirSync(own);
    return redisServer(own, [
      ...['--port', String(ports[index]), '--cluster-enabled', 'yes', '--cluster-port', String(ports[index + 3])],
      ...['--requirepass', PASSWORD],
    ]);
  });
  await Promise.all(nodes.map((node) => node.until('Ready to accept connections')));
  const env = { REDISCLI_AUTH: PASSWORD };
  const made = await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'], { env });
  assert.equal(made.code, 0, made.text);
  await Promise.all(nodes.map((node) => node.until('Cluster state changed: ok')));
  return { url: `redis+cluster://${login}@${addresses.join(',')}`, master: nodes[0], stop: ending(folder, nodes) };
}

function redisServer(folder: string, args: readonly string[]): ToolProcess {
  return new ToolProcess('redis-server', ['--bind', '127.0.0.1', '--save', '', '--dir', folder, ...args]);
}

function ending(folder: string, processes: readonly ToolProcess[]): () => Promise<void> {
  return async () => {
    await Promise.all(processes.map((one) => one.stop('SIGKILL')));
    rmSync(folder, { recursive: true, force: true });
  };
}

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'mayfly-redis-'));
}

/** One after the other: each is closed again before the next is asked for, so they are made sure to differ. */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    ports.add(await freePort());
  }
  return [...ports];
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
