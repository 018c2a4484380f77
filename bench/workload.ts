/** Workload: what a server does with each connection, and what a client drives against it. */

import type { EngineSocket } from './engine.ts';

/**
 * `handshake12` and `handshake12id` are handshakes over TLS 1.2, with sessions by ticket and by ID; `crowd` is handshakes
 * while many connections are open.
 */
export type WorkloadName = 'handshake' | 'handshake12' | 'handshake12id' | 'transfer' | 'pingpong' | 'idle' | 'crowd';

/** Numbers and switches, so that they travel as JSON. */
export type WorkloadOptions = Readonly<Record<string, number | boolean>>;

/** One measured stretch of a client's work. */
export interface Sample {
  /** Units done within the window. */
  readonly count: number;
  /** Length of the window. */
  readonly seconds: number;
  /** Units done in all, with those that were in flight when the window closed: what CPU time is divided by. */
  readonly total: number;
  /** CPU time of the client's process over all of it. */
  readonly cpuMicros: number;
  /** Of each unit, where that is what is measured. */
  readonly latency?: Latency;
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface Workload {
  serve(socket: EngineSocket): void;
  /** Makes the client's side once per process; it may keep connections from one call to the next. */
  createDriver(connect: (options?: Record<string, unknown>) => EngineSocket): Driver;
}

export type Driver = (ms: number, options: WorkloadOptions) => Promise<Omit<Sample, 'cpuMicros'>>;
