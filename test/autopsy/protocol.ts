/** What the examiner says to the process that it examines, and what that answers: never a byte of a secret. */

export type Order =
  /** Collect garbage and report again. */
  | { readonly order: 'collect' }
  /** Write a heap snapshot to this file. */
  | { readonly order: 'snapshot'; readonly path: string }
  | { readonly order: 'end' };

export interface Report {
  readonly stage: 'done' | 'collected' | 'snapshot';
  /** Connections made. */
  readonly connections: number;
}
