/**
 * Small writes of one turn of the event loop on their way into one record: a single one as it came, more of them, and text,
 * copied into a stage.
 */

import { Stage, type TextEncoding } from './stage.ts';

export type WriteCallback = (error?: Error | null) => void;

export class Gathered {
  #first: Uint8Array | undefined;
  #stage: Stage | undefined;
  #callbacks: WriteCallback[] | undefined;

  get length(): number {
    return this.#first?.length ?? this.#stage?.length ?? 0;
  }

  /** False when there is no room. */
  add(chunk: Uint8Array): boolean {
    if (this.#stage !== undefined) {
      return this.#stage.add(chunk);
    }
    if (this.#first === undefined) {
      this.#first = chunk;
      return true;
    }
    return this.#staged()?.add(chunk) ?? false;
  }

  /** The same for text; it must be shorter than a stage. */
  addText(text: string, encoding: TextEncoding): boolean {
    this.#stage ??= this.#first === undefined ? new Stage() : this.#staged();
    return this.#stage?.addText(text, encoding) ?? false;
  }

  /** Keeps nothing that is the caller's: whose write is called back may use its memory for the next. */
  own(): void {
    if (this.#first !== undefined) {
      this.#staged();
    }
  }

  /** Somebody waits to be called. */
  get awaited(): boolean {
    return this.#callbacks !== undefined;
  }

  /** To be called once it is sealed. */
  whenSealed(callback: WriteCallback): void {
    if (this.#callbacks === undefined) {
      this.#callbacks = [callback];
    } else {
      this.#callbacks.push(callback);
    }
  }

  /** All of it; valid until `clear`. */
  bytes(): Uint8Array {
    return this.#first ?? this.#stage?.bytes() ?? EMPTY;
  }

  /** Nothing of it is left; its callbacks come at the next tick. */
  clear(error?: Error): void {
    this.#stage?.clear();
    this.#stage = undefined;
    this.#first = undefined;
    const callbacks = this.#callbacks;
    if (callbacks !== undefined) {
      this.#callbacks = undefined;
      process.nextTick(callAll, callbacks, error);
    }
  }

  /** Undefined when what came first is too long for one. */
  #staged(): Stage | undefined {
    const stage = new Stage();
    if (!stage.add(this.#first as Uint8Array)) {
      stage.clear();
      return undefined;
    }
    this.#first = undefined;
    this.#stage = stage;
    return stage;
  }
}

function callAll(callbacks: readonly WriteCallback[], error: Error | undefined): void {
  for (let i = 0; i < callbacks.length; i++) {
    try {
      callbacks[i](error);
    } catch (thrown) {
      // It goes its way, and the rest still hear.
      process.nextTick(callAll, callbacks.slice(i + 1), error);
      throw thrown;
    }
  }
}

const EMPTY = new Uint8Array(0);
