/**
 * Runs `mayfly` many times in one process: its main file anew for each command line, over modules that stay loaded. What it
 * prints and the code it ends with come back by message. For tests of what a command does; that it does so as a process of
 * its own, which starts and ends by itself, each command's tests show with `mayfly` at least once.
 */

import { join } from 'node:path';

export interface HostOrder {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface HostAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const mainFile = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');
const environment = { ...process.env };
let number = 0;

async function run({ args, env }: HostOrder): Promise<HostAnswer> {
  process.argv.splice(1, Number.POSITIVE_INFINITY, mainFile, ...args);
  process.env = { ...environment, ...env };
  process.exitCode = undefined;
  const out = capture(process.stdout);
  const err = capture(process.stderr);
  try {
    // Another query makes it another module, which runs once more.
    await import(`${mainFile}?${number++}`);
  } finally {
    out.restore();
    err.restore();
    process.stdout.removeAllListeners('error');
  }
  const code = Number(process.exitCode ?? 0);
  process.exitCode = 0;
  return { code, stdout: out.text(), stderr: err.text() };
}

function capture(stream: NodeJS.WriteStream): { text(): string; restore(): void } {
  const own = stream.write;
  let text = '';
  stream.write = ((chunk: string | Uint8Array, encoding?: unknown, callback?: unknown) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    const done = typeof encoding === 'function' ? encoding : callback;
    if (typeof done === 'function') {
      process.nextTick(done as () => void);
    }
    return true;
  }) as typeof stream.write;
  return {
    text: () => text,
    restore() {
      stream.write = own;
    },
  };
}

let last: Promise<unknown> = Promise.resolve();
process.on('message', (order: HostOrder) => {
  last = last.then(async () => process.send?.(await run(order)));
});
process.once('disconnect', () => process.exit(0));
