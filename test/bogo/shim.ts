/**
 * The program that BoringSSL's test runner drives in the place of BoringSSL: docs/conformance.md says how.
 *
 *     exit code 0     everything was as the flags say
 *     exit code 1     not so; standard error says why: `TLS_ERR_… alert: text` for an error of the core
 *     exit code 89    a flag or a value that is not implemented; the runner then skips the test
 */

import { TLSError } from '../../src/errors.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { runExchange } from './exchange.ts';
import { parseArguments, type ShimArguments, Unimplemented } from './flags.ts';
import { ShimWorld } from './shim-options.ts';

try {
  process.exitCode = await main(parseArguments(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${describe(error)}\n`);
  process.exitCode = error instanceof Unimplemented ? 89 : 1;
}
// Timers of what a server remembers keep nothing alive, but a socket to a runner that hangs would.
process.exit();

async function main({ initial, resume, retry }: ShimArguments): Promise<number> {
  if (initial.has('is-handshaker-supported')) {
    process.stdout.write('No\n');
    return 0;
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
  return 0;
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
