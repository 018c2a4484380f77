/**
 * The process under examination: `node subject.js (mayfly | native | primitives) (short | full)`. It lives its connections, ends them
 * all, and then does nothing but obey.
 */

import { writeHeapSnapshot } from 'node:v8';
import type { Order, Report } from './protocol.ts';
import type { Engine, Scale } from './scale.ts';

const [, , engine, scale] = process.argv as unknown as [string, string, Engine, Scale];

const lives: Readonly<Record<Engine, () => Promise<number>>> = {
  mayfly: async () => (await import('./life-mayfly.ts')).live(scale),
  native: async () => (await import('./life-native.ts')).live(scale),
  primitives: async () => (await import('./life-primitives.ts')).livePrimitives(scale),
};
const connections = await lives[engine]();

function report(stage: Report['stage']): void {
  process.send?.({ stage, connections } satisfies Report);
}

process.on('message', (order: Order) => {
  switch (order.order) {
    case 'collect':
      void collect().then(() => report('collected'));
      break;
    case 'snapshot':
      writeHeapSnapshot(order.path);
      report('snapshot');
      break;
    default:
      process.exit(0);
  }
});
// What ends in a finalizer takes turns of the event loop.
setTimeout(() => report('done'), 50);

async function collect(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
