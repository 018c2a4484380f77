/** What the bench and its worker processes say to each other over IPC. */

import type { BenchCertificate } from './certificate.ts';
import type { EngineName, PinName } from './engine.ts';
import type { WorkloadName, WorkloadOptions } from './workload.ts';

export type Role = 'client' | 'server';

/** Who is measured: ours, and what it is held against. */
export type Subject = 'ours' | 'nodeTls';

/** Who has a client and a server: the subjects, and what no implementation can be faster than (see `floor/kinds.ts`). */
export type Party = Subject | 'floor';

/** First message to a worker. */
export interface Start {
  readonly kind: 'start';
  readonly role: Role;
  readonly engine: EngineName;
  readonly workload: WorkloadName;
  readonly certificate: BenchCertificate;
  /** Where each party's server listens; for a client. */
  readonly ports: Readonly<Partial<Record<Party, number>>>;
}

/** One stretch of a client's work. */
export interface Errand {
  /** Whose server to talk to. */
  readonly to: Party;
  readonly pin: PinName;
  /** `ca` on each connect, as most code has it, instead of one context for all. */
  readonly usual: boolean;
  readonly options: WorkloadOptions;
}

export type Request =
  /** Client: work for `ms` milliseconds. */
  | { readonly kind: 'drive'; readonly id: number; readonly ms: number; readonly errand: Errand }
  | { readonly kind: 'usage'; readonly id: number }
  | { readonly kind: 'memory'; readonly id: number }
  /** Delay of the event loop since the last time it was asked for. */
  | { readonly kind: 'delay'; readonly id: number }
  | { readonly kind: 'startProfile'; readonly id: number }
  | { readonly kind: 'stopProfile'; readonly id: number; readonly path: string };

export type Reply =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };

/** Bytes, after collections. */
export interface MemoryUse {
  readonly rss: number;
  /** V8's heap, and what hangs on it outside. */
  readonly heap: number;
}

/** Milliseconds by which the event loop came late. */
export interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}
