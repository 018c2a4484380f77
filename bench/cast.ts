/**
 * Cast: a client and a server of each subject, each in a process of its own. Any client may be sent to any server: the two
 * of one subject together are the row's figure, and each end alone is measured against the other subject's peer, the same
 * one for both. The floor's two may be there as well, and speak to each other alone.
 */

import type { BenchCertificate } from './certificate.ts';
import type { EngineName } from './engine.ts';
import type { Errand, LoopDelay, MemoryUse, Party, Role, Subject } from './messages.ts';
import { PATIENCE_MS, WorkerProcess } from './worker-process.ts';
import type { Sample, WorkloadName } from './workload.ts';

/** Which implementation is run as which subject, and whether the floor is. */
export type Engines = Readonly<Record<Subject, EngineName> & { floor?: 'floor' }>;

export const subjects: readonly Subject[] = ['ours', 'nodeTls'];

/** The subjects, and the floor where it takes part. */
export function partiesOf(engines: Engines): readonly Party[] {
  return engines.floor === undefined ? subjects : [...subjects, 'floor'];
}

/** Who talks to whom. */
export interface Match {
  readonly client: Party;
  readonly server: Party;
}

/** A sample with the CPU time that the server spent on it. */
export interface PairSample extends Sample {
  readonly serverCpuMicros: number;
}

export interface CastOptions {
  readonly engines: Engines;
  readonly workload: WorkloadName;
  readonly certificate: BenchCertificate;
  /** Only this party's two. */
  readonly only?: Party;
  /** Flags for the workers' Node. */
  readonly nodeFlags?: readonly string[];
}

type Workers = Partial<Record<Party, WorkerProcess>>;

export class Cast {
  readonly #clients: Workers = {};
  readonly #servers: Workers = {};

  static async start(options: CastOptions): Promise<Cast> {
    const cast = new Cast();
    try {
      await cast.#start(options);
      return cast;
    } catch (error) {
      cast.kill();
      throw error;
    }
  }

  async #start({ engines, workload, certificate, only, nodeFlags }: CastOptions): Promise<void> {
    const wanted = only === undefined ? partiesOf(engines) : [only];
    const ports: Partial<Record<Party, number>> = {};
    const serve = async (party: Party): Promise<void> => {
      const server = new WorkerProcess('server', engines[party] ?? 'floor', nodeFlags);
      this.#servers[party] = server;
      ports[party] = await server.start({ workload, certificate, ports: {} });
    };
    await settleAll(wanted.map(serve));
    const open = async (party: Party): Promise<void> => {
      const client = new WorkerProcess('client', engines[party] ?? 'floor', nodeFlags);
      this.#clients[party] = client;
      await client.start({ workload, certificate, ports });
    };
    await settleAll(wanted.map(open));
  }

  /** Lets a client work for `ms` milliseconds. Rejects when either end crashes or the client meets an error. */
  async drive(match: Match, ms: number, errand: Omit<Errand, 'to'>): Promise<PairSample> {
    const client = this.#worker('client', match.client);
    const server = this.#worker('server', match.server);
    const before = (await server.ask({ kind: 'usage' })) as number;
    const sample = (await Promise.race([
      client.ask({ kind: 'drive', ms, errand: { ...errand, to: match.server } }, ms + PATIENCE_MS),
      server.crashed,
    ])) as Sample;
    const after = (await server.ask({ kind: 'usage' })) as number;
    return { ...sample, serverCpuMicros: after - before };
  }

  async memory(party: Party): Promise<{ client: MemoryUse; server: MemoryUse }> {
    const [client, server] = await Promise.all([
      this.#worker('client', party).ask({ kind: 'memory' }),
      this.#worker('server', party).ask({ kind: 'memory' }),
    ]);
    return { client: client as MemoryUse, server: server as MemoryUse };
  }

  /** Of the server's event loop, since the last time it was asked for. */
  async delay(subject: Subject): Promise<LoopDelay> {
    return (await this.#worker('server', subject).ask({ kind: 'delay' })) as LoopDelay;
  }

  async startProfile(subject: Subject): Promise<void> {
    await Promise.all(roles.map((role) => this.#worker(role, subject).ask({ kind: 'startProfile' })));
  }

  async stopProfile(subject: Subject, paths: Readonly<Record<Role, string>>): Promise<void> {
    await Promise.all(roles.map((role) => this.#worker(role, subject).ask({ kind: 'stopProfile', path: paths[role] })));
  }

  kill(): void {
    for (const worker of [...Object.values(this.#clients), ...Object.values(this.#servers)]) {
      worker.kill();
    }
  }

  #worker(role: Role, party: Party): WorkerProcess {
    const worker = (role === 'client' ? this.#clients : this.#servers)[party];
    if (worker === undefined) {
      throw new Error(`no ${role} of ${party} was started`);
    }
    return worker;
  }
}

/** As Promise.all, but waits for all of them: what is still being started can then be ended. */
async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') {
      throw result.reason;
    }
  }
}

const roles: readonly Role[] = ['client', 'server'];
