/** Two hosts on one machine: nginx and HAProxy of their own, folders in memory, and agents in one ring. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { createIdentityFiles } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import type { AgentEvent } from '../../src/node/agent/agent-events.ts';
import type { ServerDriver } from '../../src/node/agent/driver.ts';
import { HaproxyDriver } from '../../src/node/agent/haproxy.ts';
import { KeyFolder } from '../../src/node/agent/key-folder.ts';
import { NginxDriver } from '../../src/node/agent/nginx.ts';
import { RingAgent } from '../../src/node/agent/ring-agent.ts';
import { systemClock } from '../../src/node/clock.ts';
import { planFleet } from '../../src/node/fleet.ts';
import type { Clock } from '../../src/session/clock.ts';
import { certificateFiles, type Owner } from '../cli/support.ts';
import { freePort, ToolProcess } from '../support/process.ts';

export const EPOCH = 6_000;
export const LIFETIME = 3_000;

/** For tests of other things than where keys may lie: a machine may have swap and let nobody mount. */
export const anywhere = { dangerouslyAllowAnyFileSystem: true } as const;

/**
 * A folder in memory: a tmpfs of its own with noswap where mounting is allowed, else one in /dev/shm, which will do where
 * there is no swap.
 */
export function memoryFolder(owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-keys-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'noswap,size=1m,mode=0700', 'tmpfs', folder], { stdio: 'ignore' });
    owner.after(() => {
      // Lazily: a server that still ends may have it open.
      execFileSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true, force: true });
    });
    return folder;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    const shared = mkdtempSync('/dev/shm/mayfly-keys-');
    owner.after(() => rmSync(shared, { recursive: true, force: true }));
    return shared;
  }
}

/** A clock on which an epoch begins now. */
export function clockAtEpoch(): Clock {
  const shift = EPOCH - (Date.now() % EPOCH);
  return { ...systemClock, now: () => Date.now() + shift };
}

/** An agent, what it told, and a way to wait for more. */
export class Host {
  readonly name: string;
  readonly agent: RingAgent;
  readonly driver: ServerDriver;
  readonly folder: string;
  readonly port: number;
  readonly events: AgentEvent[] = [];
  readonly #watchers = new Set<() => void>();

  constructor(world: World, name: string, driver: ServerDriver, folder: string, port: number) {
    this.name = name;
    this.driver = driver;
    this.folder = folder;
    this.port = port;
    this.agent = new RingAgent({
      plan: planFleet({ identity: world.nextIdentity(), rotate: EPOCH / 1000, ticketLifetime: LIFETIME / 1000 }),
      store: world.store,
      clock: world.clock,
      driver,
      policy: 'default',
      drain: 200,
      patience: 5_000,
      onEvent: (event) => {
        this.events.push(event);
        for (const watcher of [...this.#watchers]) {
          watcher();
        }
      },
    });
  }

  /** Resolves once `met` holds, which is looked at with each event. */
  async until(what: string, met: () => boolean): Promise<void> {
    let watcher = () => {};
    await new Promise<void>((resolve, reject) => {
      const guard = setTimeout(() => reject(new Error(`${this.name} never: ${what}: ${this.#story()}`)), 20_000);
      watcher = () => {
        if (met()) {
          clearTimeout(guard);
          resolve();
        }
      };
      this.#watchers.add(watcher);
      watcher();
    });
    this.#watchers.delete(watcher);
  }

  /** What the server has now, as the agent told last. */
  get keys(): readonly { readonly key: string; readonly role: string }[] {
    return this.events.findLast((event) => event.kind === 'told')?.keys ?? [];
  }

  get sealing(): string | undefined {
    return this.keys.find(({ role }) => role === 'sealing')?.key;
  }

  #story(): string {
    return this.events.map((event) => JSON.stringify(event)).join('\n');
  }
}

export class World {
  readonly clock = clockAtEpoch();
  readonly store = new MemoryStore(() => this.clock.now());
  readonly folder: string;
  readonly keys: string;
  readonly certPath: string;
  readonly keyPath: string;
  readonly #identities = [...createIdentityFiles(nodeProvider, 'web', ['a', 'b', 'c', 'd'])];
  readonly #owner: Owner;

  constructor(owner: Owner) {
    this.#owner = owner;
    this.folder = mkdtempSync(join(tmpdir(), 'mayfly-agent-'));
    owner.after(() => rmSync(this.folder, { recursive: true, force: true }));
    this.keys = memoryFolder(owner);
    const { certPath, keyPath } = certificateFiles(this.folder);
    this.certPath = certPath;
    this.keyPath = keyPath;
  }

  nextIdentity(): string {
    return this.#identities.shift() as string;
  }

  async nginx(name: string): Promise<{ host: Host; config: string; server: ToolProcess }> {
    const folder = join(this.keys, name);
    const home = join(this.folder, name);
    const port = await freePort();
    mkdirSync(home);
    const driver = new NginxDriver({
      folder: new KeyFolder({ path: folder, ...anywhere }),
      clock: this.clock,
      pidFile: join(home, 'nginx.pid'),
      timeout: 3_000,
      ticketLifetime: LIFETIME / 1000,
    });
    // First the agent, so that the files are there when the server starts.
    const host = new Host(this, name, driver, folder, port);
    this.#owner.after(() => host.agent.close());
    const config = join(home, 'nginx.conf');
    writeFileSync(config, nginxConfig(this, home, folder, port));
    const server = new ToolProcess('nginx', ['-p', home, '-e', 'stderr', '-c', config]);
    this.#owner.after(() => server.stop());
    return { host, config, server };
  }

  async haproxy(name: string): Promise<{ host: Host; start: () => ToolProcess; socket: string }> {
    const folder = join(this.keys, name);
    const home = join(this.folder, name);
    const port = await freePort();
    mkdirSync(home, { mode: 0o700 });
    const socket = join(home, 'stats.sock');
    const driver = new HaproxyDriver({
      folder: new KeyFolder({ path: folder, ...anywhere }),
      clock: this.clock,
      socket: { path: socket },
      keySize: 80,
      timeout: 2_000,
    });
    const host = new Host(this, name, driver, folder, port);
    this.#owner.after(() => host.agent.close());
    const config = join(home, 'haproxy.cfg');
    writeFileSync(config, haproxyConfig(this, home, socket, folder, port));
    return {
      host,
      socket,
      start: () => {
        const server = new ToolProcess('haproxy', ['-db', '-f', config]);
        this.#owner.after(() => server.stop());
        return server;
      },
    };
  }
}

/** The timeout in the server: tickets are to die with their keys, not by their age. */
export function nginxConfig(
  { certPath, keyPath }: Pick<World, 'certPath' | 'keyPath'>,
  home: string,
  folder: string,
  port: number,
): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${home};`);
  return `daemon off;
pid ${home}/nginx.pid;
worker_processes 1;
worker_shutdown_timeout 30s;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.join(' ')}
  include ${folder}/ticket-keys.conf;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certPath};
    ssl_certificate_key ${keyPath};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_timeout 5m;
    return 200 "hello\\n";
  }
}
`;
}

export function haproxyConfig(
  { certPath, keyPath }: Pick<World, 'certPath' | 'keyPath'>,
  home: string,
  socket: string,
  folder: string,
  port: number,
) {
  const pem = join(home, 'both.pem');
  execFileSync('sh', ['-c', `cat ${certPath} ${keyPath} > ${pem}`]);
  chmodSync(pem, 0o600);
  return `global
  stats socket ${socket} mode 600 level admin
  hard-stop-after 200ms
  nbthread 2
  tune.ssl.lifetime 300
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:${port} ssl crt ${pem} tls-ticket-keys ${folder}/ticket-keys
  http-request return status 200 content-type text/plain string hello
`;
}
