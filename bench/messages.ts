/** What the bench and its worker processes say to each other over IPC. */

import type { BenchCertificate } from './certificate.ts';
import type { EngineName } from './engine.ts';
import type { WorkloadName, WorkloadOptions } from './workload.ts';

export type Role = 'client' | 'server';

/** First message to a worker. */
export interface Start {
  readonly kind: 'start';
  readonly role: Role;
  readonly engine: EngineName;
  readonly workload: WorkloadName;
  readonly certificate: BenchCertificate;
  /** The server's port; for a client. */
  readonly port: number;
}

export type Request =
  /** Client: work for `ms` milliseconds. */
  | { readonly kind: 'drive'; readonly id: number; readonly ms: number; readonly options: WorkloadOptions }
  | { readonly kind: 'usage'; readonly id: number }
  | { readonly kind: 'memory'; readonly id: number }
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
