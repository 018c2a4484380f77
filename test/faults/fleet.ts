/** Server processes behind HAProxy in TCP mode: each site has a port of its own there, and its connections take turns. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { createIdentityFiles } from '../../src/fleet/identity.ts';
import { localhost } from '../node/support.ts';
import { freePort, ToolProcess } from '../support/process.ts';
import { delay } from './load.ts';
import type { ProcessStatus, SiteOptions } from './server.ts';

const SERVER = join(fileURLToPath(new URL('.', import.meta.url)), 'server.js');
const PROCESSES = 2;

export interface Site {
  readonly name: string;
  /** URL of its Redis. */
  readonly redis: string;
}

export class ServerFleet {
  /** Of each site at the balancer. */
  readonly ports = new Map<string, number>();
  readonly #options: readonly (readonly SiteOptions[])[];
  readonly #processes: ServerProcess[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'mayfly-faults-'));
  #balancer!: ToolProcess;

  private constructor(options: readonly (readonly SiteOptions[])[]) {
    this.#options = options;
    this.#processes = options.map((sites) => new ServerProcess(sites));
  }

  /** @param epochLength milliseconds */
  static async start(sites: readonly Site[], epochLength: number): Promise<ServerFleet> {
    const options: SiteOptions[][] = Array.from({ length: PROCESSES }, () => []);
    for (const { name, redis } of sites) {
      const identities = createIdentityFiles(nodeProvider, name, ['server 1', 'server 2']);
      for (const [index, identity] of identities.entries()) {
        options[index].push({ name, redis, identity, epochLength, port: await freePort() });
      }
    }
    const fleet = new ServerFleet(options);
    await Promise.all(fleet.#processes.map((one) => one.serving()));
    await fleet.#balance();
    return fleet;
  }

  /** What each process says of the site. */
  async status(site: string): Promise<readonly ProcessStatus[string][]> {
    const all = await Promise.all(this.#processes.map((one) => one.status()));
    return all.map((status) => status[site]);
  }

  /** Waits until it is so of all processes; no assertion on speed. */
  async until(site: string, what: string, met: (status: ProcessStatus[string]) => boolean): Promise<void> {
    for (let attempt = 0; !(await this.status(site)).every(met); attempt++) {
      assert(attempt < 300, `${site}: waited in vain: ${what}\n${JSON.stringify(await this.status(site))}`);
      await delay(200);
    }
  }

  /** The process ends as in a crash. */
  async kill(index: number): Promise<void> {
    await this.#processes[index].stop('SIGKILL');
  }

  async startAnew(index: number): Promise<void> {
    this.#processes[index] = new ServerProcess(this.#options[index]);
    await this.#processes[index].serving();
  }

  async stop(): Promise<void> {
    await this.#balancer.stop('SIGKILL');
    await Promise.all(this.#processes.map((one) => one.stop('SIGTERM')));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #balance(): Promise<void> {
    const lines = [
      'defaults',
      '  mode tcp',
      '  balance roundrobin',
      '  timeout connect 5s',
      '  timeout client 60s',
      '  timeout server 60s',
      '  retries 3',
      '  option redispatch 1',
    ];
    for (const [number, { name }] of this.#options[0].entries()) {
      const port = await freePort();
      this.ports.set(name, port);
      lines.push(`listen site${number}`, `  bind 127.0.0.1:${port}`);
      lines.push(...this.#options.map((sites, index) => `  server s${index} 127.0.0.1:${sites[number].port}`));
    }
    const file = join(this.#folder, 'haproxy.cfg');
    writeFileSync(file, `${lines.join('\n')}\n`);
    this.#balancer = new ToolProcess('haproxy', ['-V', '-db', '-f', file]);
    await this.#balancer.until(/started|Available polling/);
  }
}

class ServerProcess {
  readonly #process: ToolProcess;
  readonly #sites: readonly SiteOptions[];
  #asked = 0;

  constructor(sites: readonly SiteOptions[]) {
    this.#sites = sites;
    const { certificatePem: CERT, privateKeyPem: KEY } = localhost;
    this.#process = new ToolProcess('node', [SERVER], { env: { SITES: JSON.stringify(sites), CERT, KEY } });
  }

  serving(): Promise<void> {
    return this.#process.until(() => this.#sites.every(({ name }) => this.#process.text.includes(`serving ${name}\n`)));
  }

  async status(): Promise<ProcessStatus> {
    const order = `status-${++this.#asked}`;
    this.#process.write(`${order}\n`);
    // What it said before is long after a while, and there is nothing to be found in it.
    const asked = this.#process.bytes.length;
    const answer = new RegExp(`${order} (.*)\n`);
    const said = () => this.#process.bytes.subarray(asked).toString('utf8');
    await this.#process.until(() => answer.test(said()));
    return JSON.parse((answer.exec(said()) as RegExpExecArray)[1]) as ProcessStatus;
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    await this.#process.stop(signal);
  }
}
