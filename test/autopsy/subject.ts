/**
 * The process under examination: `node subject.js (mayfly | native) (short | full)`. It lives its connections, ends them
 * all, and then does nothing but obey.
 */

import { writeHeapSnapshot } from 'node:v8';
import type { Order, Report } from './protocol.ts';
import type { Scale } from './scale.ts';

const [, , engine, scale] = process.argv as unknown as [string, string, 'mayfly' | 'native', Scale];

const { live } =
  engine === 'mayfly' ? await import('./life-mayfly.ts') : await import('./life-native.ts');
const connections = await live(scale);

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
