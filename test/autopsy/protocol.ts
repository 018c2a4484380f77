/** What the examiner says to the process that it examines, and what that answers: never a byte of a connection's secrets. */

export type Order =
  /** A server's certificate and its key, PEM. */
  | { readonly order: 'serve'; readonly cert: string; readonly key: string }
  /** The server is to close. */
  | { readonly order: 'close' }
  /** Collect garbage and report again. */
  | { readonly order: 'collect' }
  /** Write a heap snapshot to this file. */
  | { readonly order: 'snapshot'; readonly path: string }
  | { readonly order: 'end' };

export interface Report {
  readonly stage: 'serving' | 'done' | 'collected' | 'snapshot';
  /** Connections made. */
  readonly connections: number;
  /** When serving. */
  readonly port?: number;
}
