/**
 * The cast under measurement. Rows of one workload share it, so that the second one finds warm code; another workload gets
 * a fresh one.
 */

import { Cast, type CastOptions, partiesOf } from './cast.ts';
import type { Party } from './messages.ts';
import type { WorkloadName } from './workload.ts';

export class CastPool {
  readonly #options: Pick<CastOptions, 'engines' | 'certificate'>;
  #workload: WorkloadName | undefined;
  #cast: Cast | undefined;

  constructor(options: Pick<CastOptions, 'engines' | 'certificate'>) {
    this.#options = options;
  }

  async take(workload: WorkloadName): Promise<Cast> {
    if (this.#cast === undefined || this.#workload !== workload) {
      this.drop();
      this.#cast = await Cast.start({ ...this.#options, workload });
      this.#workload = workload;
    }
    return this.#cast;
  }

  /** Who takes part. */
  get parties(): readonly Party[] {
    return partiesOf(this.#options.engines);
  }

  /** One of its own, which the caller kills. */
  startApart(options: Omit<CastOptions, 'engines' | 'certificate'>): Promise<Cast> {
    return Cast.start({ ...this.#options, ...options });
  }

  /** Ends the cast: after a failure it is in no state to go on. */
  drop(): void {
    this.#cast?.kill();
    this.#cast = undefined;
  }
}
