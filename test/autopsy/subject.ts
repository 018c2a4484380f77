/**
 * The process under examination: `node subject.js ENGINE SCALE`. It lives its connections, ends them
 * all, and then does nothing but obey.
 */

import { writeHeapSnapshot } from 'node:v8';
import type { Crash } from './life-crash.ts';
import type { Order, Report } from './protocol.ts';
import type { Engine, Scale } from './scale.ts';

const [, , engine, scale] = process.argv as unknown as [string, string, Engine, Scale];

const crash = async (how: Crash) => (await import('./life-crash.ts')).liveAndCrash(how);
const lives: Readonly<Record<Engine, () => Promise<number>>> = {
  exit: () => crash('exit'),
  exception: () => crash('exception'),
  rejection: () => crash('rejection'),
  SIGTERM: () => crash('SIGTERM'),
  SIGINT: () => crash('SIGINT'),
  worker: () => crash('worker'),
  planted: async () => (await import('./life-planted.ts')).livePlanted(),
  mayfly: async () => {
    (await import('./key-shares.ts')).noteKeyShares();
    return (await import('./life-mayfly.ts')).live(scale);
  },
  'mayfly server': async () => (await import('./life-server.ts')).liveServer('mayfly'),
  'native server': async () => (await import('./life-server.ts')).liveServer('native'),
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
    case 'end':
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
