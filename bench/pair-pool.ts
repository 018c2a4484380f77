/**
 * The two pairs under measurement. Rows of one workload share their processes, so that the second one finds warm code;
 * another workload gets fresh ones.
 */

import type { BenchCertificate } from './certificate.ts';
import type { EngineName } from './engine.ts';
import { Pair } from './pair.ts';
import type { WorkloadName } from './workload.ts';

/** What runs as "ours" and as "node:tls". */
export interface Subjects {
  readonly ours: Ends;
  readonly nodeTls: Ends;
}

export interface Ends {
  readonly client: EngineName;
  readonly server: EngineName;
}

export type Key = keyof Subjects;
export const keys: readonly Key[] = ['ours', 'nodeTls'];

export class PairPool {
  readonly #subjects: Subjects;
  readonly #certificate: BenchCertificate;
  #workload: WorkloadName | undefined;
  #pairs: Record<Key, Pair> | undefined;

  constructor(subjects: Subjects, certificate: BenchCertificate) {
    this.#subjects = subjects;
    this.#certificate = certificate;
  }

  /** Both pairs for this workload; those of another one end. */
  async take(workload: WorkloadName): Promise<Record<Key, Pair>> {
    if (this.#pairs === undefined || this.#workload !== workload) {
      this.drop();
      this.#pairs = await this.#startBoth(workload);
      this.#workload = workload;
    }
    return this.#pairs;
  }

  /** A pair of its own, which the caller kills. */
  startOne(key: Key, workload: WorkloadName, nodeFlags?: readonly string[]): Promise<Pair> {
    return Pair.start({ ...this.#subjects[key], workload, certificate: this.#certificate, nodeFlags });
  }

  /** Ends both pairs: after a failure they are in no state to go on. */
  drop(): void {
    this.#pairs?.ours.kill();
    this.#pairs?.nodeTls.kill();
    this.#pairs = undefined;
  }

  async #startBoth(workload: WorkloadName): Promise<Record<Key, Pair>> {
    const [ours, nodeTls] = await Promise.allSettled(keys.map((key) => this.startOne(key, workload)));
    if (ours.status === 'fulfilled' && nodeTls.status === 'fulfilled') {
      return { ours: ours.value, nodeTls: nodeTls.value };
    }
    for (const started of [ours, nodeTls]) {
      if (started.status === 'fulfilled') {
        started.value.kill();
      }
    }
    throw ours.status === 'rejected' ? ours.reason : (nodeTls as PromiseRejectedResult).reason;
  }
}
