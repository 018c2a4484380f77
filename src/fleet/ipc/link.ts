/**
 * How the processes and threads of one machine reach the ring's store in one of them: messages of plain JSON, that of a
 * caller to the host and the host's answer to it.
 *
 *     { mayflyRing: 1, caller, id, call, args } ─▶ host        { mayflyRing: 1, caller, id, result | error } ─▶ caller
 *     { mayflyRing: 1, news: true } ─▶ all
 *
 * Records travel in base64. They are as the store of a fleet would see them: no key is ever among them in clear.
 */

/** `process` in a worker, a worker in the primary, a channel between threads. Others may use it for messages of their own. */
export interface MessageLink {
  /** May throw when the other end is gone. */
  send(message: object): void;
  /** Returns what ends it. */
  listen(listener: (message: unknown) => void): () => void;
}

export interface CallMessage {
  readonly mayflyRing: 1;
  /** Tells callers on one link apart. */
  readonly caller: string;
  readonly id: number;
  readonly call: string;
  readonly args: readonly unknown[];
}

export interface AnswerMessage {
  readonly mayflyRing: 1;
  readonly caller: string;
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

export interface NewsMessage {
  readonly mayflyRing: 1;
  readonly news: true;
}

export function isRingMessage(message: unknown): message is CallMessage | AnswerMessage | NewsMessage {
  return typeof message === 'object' && message !== null && (message as { mayflyRing?: unknown }).mayflyRing === 1;
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

export function fromBase64(text: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(String(text), 'base64'));
}
