/**
 * `npm run example:fleet`: a fleet on one machine. Redis, three servers that share one ring of ticket keys, a balancer that
 * takes turns, and clients whose sessions resume wherever they come to. Then Redis and a server are killed.
 *
 * Exit codes: 0 at the end, 2 a wrong flag, 3 no Redis on this machine, 1 anything else.
 */

import { Command, Option } from 'commander';
import pc from 'picocolors';
import { formatDuration, parseDuration } from '../../src/cli/duration.ts';
import { exitCode } from '../../src/cli/exit-codes.ts';
import { createOutput, reportProblem } from '../../src/cli/output.ts';
import { Problem, toProblem } from '../../src/cli/problem.ts';
import { Balancer } from './balancer.ts';
import { type Board, jsonBoard, textBoard } from './board.ts';
import { Clients } from './clients.ts';
import { Scene } from './scene.ts';
import { tour } from './tour.ts';
import { look, type Sight } from './watch.ts';

interface Flags {
  readonly rotate: string;
  readonly for?: string;
  readonly clients: string;
  readonly tour: boolean;
  readonly json?: boolean;
}

const flags = new Command('example:fleet')
  .description('a Redis, three servers with one ring of ticket keys, a balancer and clients, on this machine')
  .option('--rotate <duration>', 'how long a ticket key seals: 6s or more', '20s')
  .option('--for <duration>', 'end after this time (default: with Ctrl-C)')
  .addOption(new Option('--clients <n>', 'how many come again and again').default('9'))
  .option('--no-tour', 'kill nothing')
  .option('--json', 'one JSON object per line instead of a table')
  .parse()
  .opts<Flags>();

async function main(): Promise<void> {
  const epochLength = parseDuration(flags.rotate, '--rotate');
  const limit = flags.for === undefined ? undefined : parseDuration(flags.for, '--for');
  const count = Number(flags.clients);
  if (epochLength < 6_000 || epochLength > 3_600_000) {
    throw new Problem('usage', '--rotate: from 6s to 1h here');
  }
  if (!Number.isInteger(count) || count < 3 || count > 300) {
    throw new Problem('usage', '--clients: a whole number from 3 to 300');
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stop.abort();
      // Again: at once.
      process.once(signal, () => process.exit(exitCode('interrupted')));
    });
  }
  const out = createOutput(flags.json === true);
  const lifetime = formatDuration(2 * epochLength);
  const scene = await Scene.open({ names: ['web1', 'web2', 'web3'], rotate: flags.rotate, lifetime });
  const balancer = await Balancer.open(scene.hosts.map(({ port }) => port));
  const url = `https://localhost:${balancer.port}`;
  out.event('up', {
    url,
    redis: scene.redisUrl,
    folder: scene.folder,
    hosts: scene.hosts.map(({ name, statusUrl }) => ({ name, statusUrl })),
  });
  const head = [
    '',
    `  ${pc.bold(pc.green('A fleet'))} of three on ${pc.cyan(url)}, through ${scene.redisName} on ${scene.redisUrl}`,
    `  Tickets: a new key every ${flags.rotate}, good for ${lifetime}. Ctrl-C ends it.`,
    `  ${pc.dim(scene.statusCommand)}`,
  ];
  const board =
    flags.json === true ? jsonBoard((text) => process.stdout.write(text)) : textBoard(scene, head, process.stdout);
  const clients = new Clients({ balancer, servers: scene.hosts.length, clients: count, ca: scene.ca });
  if (limit !== undefined) {
    setTimeout(() => stop.abort(), limit);
  }
  try {
    await run({ scene, clients, board, epochLength, signal: stop.signal });
  } finally {
    clients.stop();
    balancer.close();
    await scene.close();
    const { failed, full, resumed } = clients.tally();
    const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
    out.event('ended', { full: sum(full), resumed: sum(resumed), failed });
    out.say('');
    out.say('  Ended; nothing is left behind.');
  }
}

interface Running {
  readonly scene: Scene;
  readonly clients: Clients;
  readonly board: Board;
  readonly epochLength: number;
  readonly signal: AbortSignal;
}

async function run({ scene, clients, board, epochLength, signal }: Running): Promise<void> {
  const waiting = new Set<(sight: Sight) => void>();
  const until = (met: (sight: Sight) => boolean) =>
    new Promise<Sight>((resolve) => {
      const hear = (sight: Sight): void => {
        if (met(sight)) {
          waiting.delete(hear);
          resolve(sight);
        }
      };
      waiting.add(hear);
    });
  let failure: unknown;
  if (flags.tour) {
    tour({ scene, until, say: (step, text) => board.tell(step, text) }).catch((error: unknown) => {
      failure = error;
    });
  }
  let sight: Sight | undefined;
  while (!signal.aborted) {
    sight = await look(scene, clients, epochLength, sight);
    board.show(sight);
    for (const hear of [...waiting]) {
      hear(sight);
    }
    if (failure !== undefined) {
      throw failure;
    }
    await pause(flags.json === true ? LOOK_INTERVAL / 4 : LOOK_INTERVAL, signal);
  }
  board.show(await look(scene, clients, epochLength, sight), true);
}

/** Ends early upon the signal. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Milliseconds. */
const LOOK_INTERVAL = 1_000;

try {
  await main();
  process.exit(0);
} catch (error) {
  const problem = toProblem(error);
  reportProblem(problem, flags.json === true);
  process.exit(exitCode(problem.exit));
}
