/** What is counted of the upstream server, for the status page and the metrics. Nothing of it is kept where nobody looks. */

import { CounterByLabel } from '../../../ledger/metrics.ts';

/** Whose doing it was that an answer or a request broke off. */
export type BrokenBy = 'upstream' | 'client_left' | 'client_stalled' | 'client_slow';

export interface UpstreamStatus {
  /** Connections, in use or not, that there may be. */
  readonly limit: number;
  /** Those of upgraded requests with them. */
  readonly busy: number;
  readonly idle: number;
  /** WebSockets. */
  readonly upgraded: number;
  /** Requests in the queue, and how many may be. */
  readonly waiting: number;
  readonly waitingLimit: number;
  /** Bytes of answers that wait for their clients, and how many may. */
  readonly held: number;
  readonly heldLimit: number;
  readonly broken: Readonly<Record<string, number>>;
  /** Of `FIRST_BYTE_BOUNDS`, each without those below; the last is of all that took longer. */
  readonly firstByte: Readonly<Record<string, number>>;
  /** Seconds, of all together. */
  readonly firstByteSum: number;
}

export class UpstreamBooks {
  upgraded = 0;
  readonly #broken = new CounterByLabel();
  readonly #firstByte: number[] = new Array(FIRST_BYTE_BOUNDS.length + 1).fill(0);
  #firstByteSum = 0;

  brokenBy(who: BrokenBy): void {
    this.#broken.add(who);
  }

  /** The head of an answer came so many milliseconds after its request was sent. */
  answered(after: number): void {
    const seconds = after / 1000;
    const at = FIRST_BYTE_BOUNDS.findIndex((bound) => seconds <= bound);
    this.#firstByte[at < 0 ? FIRST_BYTE_BOUNDS.length : at]++;
    this.#firstByteSum += seconds;
  }

  status(): Pick<UpstreamStatus, 'upgraded' | 'broken' | 'firstByte' | 'firstByteSum'> {
    return {
      upgraded: this.upgraded,
      broken: this.#broken.toJSON(),
      firstByte: Object.fromEntries([...FIRST_BYTE_BOUNDS, '+Inf'].map((bound, i) => [bound, this.#firstByte[i]])),
      firstByteSum: this.#firstByteSum,
    };
  }
}

/** Seconds. */
export const FIRST_BYTE_BOUNDS: readonly number[] = [0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 120];
