/** A Redis and three servers on this machine, with all files in one folder that is gone afterwards. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../bench/free-port.ts';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { packageRoot } from '../../src/cli/package-root.ts';
import { Problem } from '../../src/cli/problem.ts';
import type { StatusSnapshot } from '../../src/cli/status/snapshot.ts';
import { findProgram, Program } from './program.ts';

export interface SceneOptions {
  readonly names: readonly string[];
  /** As on the command line, e.g. `20s`. */
  readonly rotate: string;
  readonly lifetime: string;
}

/** One host of the fleet: here a process. */
export interface Host {
  readonly name: string;
  readonly port: number;
  readonly statusUrl: string;
  readonly isUp: boolean;
}

interface Running extends Host {
  readonly program: Program;
}

export class Scene {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'mayfly-example-'));
  readonly redisUrl: string;
  readonly redisName: string;
  readonly #options: SceneOptions;
  readonly #redisCommand: string;
  readonly #redisPort: number;
  #redis: Program | undefined;
  #hosts: readonly Running[] = [];

  private constructor(options: SceneOptions, redisCommand: string, redisPort: number) {
    this.#options = options;
    this.#redisCommand = redisCommand;
    this.#redisPort = redisPort;
    this.redisUrl = `redis://127.0.0.1:${redisPort}`;
    this.redisName = redisCommand.endsWith('valkey-server') ? 'Valkey' : 'Redis';
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** @throws Problem this machine has no Redis */
  static async open(options: SceneOptions): Promise<Scene> {
    const redis = findProgram('redis-server', 'valkey-server');
    if (redis === undefined) {
      throw new Problem(
        'file',
        'this example needs redis-server or valkey-server, and neither is in PATH',
        'On Debian and Ubuntu: sudo apt-get install redis-server (or valkey).',
      );
    }
    const scene = new Scene(options, redis, await freePort());
    await scene.startRedis();
    await scene.#makeFiles();
    const { names } = options;
    const ports = await Promise.all(names.map(() => freePort()));
    scene.#hosts = await Promise.all(names.map((name, index) => scene.#serve(name, ports[index])));
    return scene;
  }

  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  get isRedisUp(): boolean {
    return this.#redis !== undefined;
  }

  /** PEM. */
  get ca(): string {
    return readFileSync(this.#path('ca.pem'), 'utf8');
  }

  /** What another terminal can be told to look at the ring with. */
  get statusCommand(): string {
    const { names, rotate, lifetime } = this.#options;
    const identity = this.#path(`${names[0]}.identity`);
    return `node ${relative(process.cwd(), mayfly)} ring status --fleet ${this.redisUrl} --identity ${identity} --rotate ${rotate} --lifetime ${lifetime}`;
  }

  async startRedis(): Promise<void> {
    const program = new Program(this.redisName, this.#redisCommand, [
      ...['--port', String(this.#redisPort), '--bind', '127.0.0.1', '--dir', this.folder],
      // Nothing in it is worth a disk: whoever loses it all writes it again.
      ...['--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'],
    ]);
    await program.until((line) => (line.includes('Ready to accept connections') ? true : undefined));
    this.#redis = program;
  }

  /** As a crash does. */
  async killRedis(): Promise<void> {
    const redis = this.#redis;
    this.#redis = undefined;
    await redis?.kill('SIGKILL');
  }

  async startHost(index: number): Promise<void> {
    const { name, port } = this.#hosts[index];
    this.#put(index, await this.#serve(name, port));
  }

  /** As a crash does. */
  async killHost(index: number): Promise<void> {
    const host = this.#hosts[index];
    this.#put(index, { ...host, isUp: false });
    await host.program.kill('SIGKILL');
  }

  /** What its status page tells; undefined while it is away. */
  async status(index: number): Promise<StatusSnapshot | undefined> {
    const { isUp, statusUrl } = this.#hosts[index];
    if (!isUp) {
      return undefined;
    }
    try {
      const response = await fetch(`${statusUrl}/status.json`, { signal: AbortSignal.timeout(2_000) });
      return (await response.json()) as StatusSnapshot;
    } catch {
      return undefined;
    }
  }

  /** Ends all, and removes what was made. */
  async close(): Promise<void> {
    const ended = this.#hosts.filter(({ isUp }) => isUp).map(({ program }) => program.kill('SIGTERM'));
    const late = setTimeout(() => {
      for (const { program } of this.#hosts) {
        void program.kill('SIGKILL');
      }
    }, PATIENCE);
    await Promise.all(ended);
    clearTimeout(late);
    await this.killRedis();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #put(index: number, host: Running): void {
    this.#hosts = this.#hosts.map((one, i) => (i === index ? host : one));
  }

  /** The identities, and one certificate for all: a session resumes only under the certificate that it was made with. */
  async #makeFiles(): Promise<void> {
    const now = Date.now();
    const ca = createDevelopmentCa({ now });
    const leaf = issueServerCertificate({ ca, names: ['localhost', '127.0.0.1'], now, days: 2 });
    writeFileSync(this.#path('ca.pem'), ca.certificatePem);
    writeFileSync(this.#path('cert.pem'), leaf.certificatePem);
    writeFileSync(this.#path('key.pem'), leaf.privateKeyPem, { mode: 0o600 });
    const files = this.#options.names.map((name) => this.#path(`${name}.identity`));
    const args = [mayfly, 'ring', 'init', '--fleet-name', 'example', '--identity', ...files];
    await promisify(execFile)(process.execPath, args);
  }

  async #serve(name: string, port: number): Promise<Running> {
    const { rotate, lifetime } = this.#options;
    const args = [
      ...['serve', '--json', '--listen', `127.0.0.1:${port}`, '--status', '127.0.0.1:0'],
      ...['--root', join(packageRoot, 'demo'), '--cert', this.#path('cert.pem'), '--key', this.#path('key.pem')],
      ...['--fleet', this.redisUrl, '--fleet-name', 'example', '--identity', this.#path(`${name}.identity`)],
      ...['--rotate', rotate, '--lifetime', lifetime],
    ];
    const program = new Program(name, process.execPath, [mayfly, ...args], { XDG_STATE_HOME: this.folder });
    const { status } = await program.until((line) =>
      line.includes('"event":"listening"') ? JSON.parse(line) : undefined,
    );
    return { name, port, statusUrl: status, isUp: true, program };
  }

  #path(name: string): string {
    return join(this.folder, name);
  }
}

/** The command, compiled. */
const mayfly = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
/** Milliseconds for servers to end by themselves. */
const PATIENCE = 3_000;
