/** What the workers of `--work` find, per operation and of both ends together. */

export interface ScenarioMemory {
  readonly name: string;
  /** Allocated on V8's heap. */
  readonly heapBytes: number;
  /** Allocated outside of it for ArrayBuffers and the like, less what was given back at once. */
  readonly externalBytes: number;
  /** Allocations on V8's heap; absent where they are too many to be noted. */
  readonly objects?: number;
}

export interface ScenarioCalls {
  readonly name: string;
  /** Calls of the cryptographic provider, by name. */
  readonly provider: Calls;
  /** Calls of `node:crypto`, by name. */
  readonly native: Calls;
  /** Actions by kind; empty for scenarios over sockets. */
  readonly actions: Calls;
  /** As long as signatures are: ECDSA's vary by two bytes. */
  readonly wireBytes: number;
}

export type Calls = Readonly<Record<string, number>>;

export interface ScenarioTime {
  readonly name: string;
  /** CPU time, the quickest batch. */
  readonly micros: number;
}

export interface ScenarioWork extends ScenarioMemory, ScenarioCalls {
  readonly micros?: number;
  /** User-space instructions of an interpreter that compiles nothing, under valgrind. */
  readonly instructions?: number;
}

/** What `--work --json` prints; `bench/baseline.json` holds one for each major version of Node. */
export interface WorkReport {
  readonly node: string;
  readonly scenarios: readonly ScenarioWork[];
}
