/** For programs that run over `node:tls` and over Mayfly at either end, and must see the same: Node's own is the witness. */

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';

export interface Ends<T> {
  readonly server: T;
  readonly client: T;
}

export type Programs<T> = Readonly<Record<string, (ends: Ends<T>) => Promise<unknown>>>;

export function compareAll<T>(programs: Programs<T>, node: T, ours: T): void {
  const combinations: readonly (readonly [string, Ends<T>])[] = [
    ['both ends', { server: ours, client: ours }],
    ['the server', { server: ours, client: node }],
    ['the client', { server: node, client: ours }],
  ];
  for (const [name, program] of Object.entries(programs)) {
    test(name, { timeout: 20_000 }, async (t) => {
      const expected = await program({ server: node, client: node });
      for (const [which, ends] of combinations) {
        await t.test(`with Mayfly at ${which}`, async () => {
          assert.deepEqual(await program(ends), expected);
        });
      }
    });
  }
}

/** Notes events in their order, with what they tell. */
export function log(into: unknown[], emitter: EventEmitter, who: string, ...names: string[]): void {
  for (const name of names) {
    emitter.on(name, (...args: unknown[]) => into.push([who, name, ...args.map(brief)]));
  }
}

export function brief(value: unknown): unknown {
  if (value instanceof Error) {
    return (value as NodeJS.ErrnoException).code ?? value.message;
  }
  if (value instanceof EventEmitter) {
    return value.constructor.name;
  }
  return Buffer.isBuffer(value) ? String(value) : value;
}

/** What it gives or throws. */
export function attempt(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return brief(error);
  }
}
