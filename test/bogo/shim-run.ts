/** One run of the shim, apart from the process that it is: arguments in, what it prints and its exit code out. */

import { TLSError } from '../../src/errors.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { runExchange } from './exchange.ts';
import { parseArguments, type ShimArguments, Unimplemented } from './flags.ts';
import { ShimWorld } from './shim-options.ts';

export interface ShimOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runShim(args: readonly string[]): Promise<ShimOutcome> {
  try {
    return { code: 0, stdout: await main(parseArguments([...args])), stderr: '' };
  } catch (error) {
    return { code: error instanceof Unimplemented ? 89 : 1, stdout: '', stderr: `${describe(error)}\n` };
  }
}

/** @returns what is to be printed */
async function main({ initial, resume, retry }: ShimArguments): Promise<string> {
  if (initial.has('is-handshaker-supported')) {
    return 'No\n';
  }
  const world = new ShimWorld();
  const connections = 1 + (initial.number('resume-count') ?? 0);
  let session: ClientSession | undefined;
  for (let at = 0; at < connections; at++) {
    const settings = at === 0 ? initial : resume;
    if (at > 0 && session === undefined && !initial.has('server')) {
      throw new Error('there is no session to offer');
    }
    const next = await runExchange({ settings, retry, world, isResumption: at > 0, session });
    session?.secret.erase();
    session = next;
    world.advance(settings.number('resumption-delay') ?? 0);
  }
  return '';
}

function describe(error: unknown): string {
  if (error instanceof TLSError) {
    return `${error.code} ${error.alert ?? ''}: ${error.message}`;
  }
  if (error instanceof Unimplemented) {
    return `not implemented: ${error.message}`;
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
