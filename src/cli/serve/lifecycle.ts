/** What `serve` does around its server, be it one process or several: the status page, warnings, the end by a signal. */

import { isLoopback } from '../address.ts';
import { exitCode } from '../exit-codes.ts';
import type { Output } from '../output.ts';
import { openStatusServer, type StatusServer, type StatusTakers } from '../status/server.ts';
import type { ServerCredentials } from './credentials.ts';
import type { ServePlan } from './plan.ts';

/** Milliseconds for running requests to finish after SIGTERM. */
export const DRAIN_PATIENCE = 10_000;

/** Undefined with --no-status. @throws Problem `usage`, `port_busy`, `cannot_listen` */
export async function openStatus(
  { statusAddress, flags }: ServePlan,
  takers: StatusTakers,
): Promise<StatusServer | undefined> {
  return statusAddress === undefined
    ? undefined
    : openStatusServer(statusAddress, takers, flags.unsafePublicStatus === true);
}

export function warnBefore({ flags }: ServePlan, output: Output): void {
  if (flags.earlyData === true) {
    output.warn('early data is taken: such requests can be replayed, and are not forward secret');
  }
  if (flags.dangerouslyAllowLegacyMasterSecret === true) {
    output.warn(
      'clients of TLS 1.2 without extended master secret are let in: who stands between can tie their sessions to his own (the triple handshake), and no client certificate or channel binding proves anything with them',
    );
  }
}

export function warnAfter({ address, fleet }: ServePlan, credentials: ServerCredentials, output: Output): void {
  if (credentials.development === undefined) {
    return;
  }
  if (!isLoopback(address.host)) {
    output.warn(
      `the certificate is for ${credentials.leaf.names.join(', ')} only: give one for other names with --cert`,
    );
  }
  if (fleet !== undefined) {
    output.warn('sessions resume only where the certificate is the same: give one to all hosts with --cert and --key');
  }
}

export interface Drain {
  readonly output: Output;
  /** Number of open connections. */
  open(): number;
  /** Lets running requests finish, and closes everything. Resolves with the number of connections that were cut off. */
  drain(): Promise<number>;
}

export function drainOnSignal({ output, open, drain }: Drain): void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals++;
    if (signals > 1) {
      process.exit(exitCode('interrupted'));
    }
    const count = open();
    const drained = drain();
    output.say(`${signal}: no new connections; ${count} open. Again to end at once.`);
    output.event('draining', { signal, open: count });
    drained.then((cut) => {
      output.say(cut === 0 ? 'All done. Ticket keys erased.' : `${cut} cut off after 10s. Ticket keys erased.`);
      output.event('stopped', { cut });
      // Nothing of ours is left open, but a user's --upstream may hold a socket.
      process.exit(exitCode('ok'));
    });
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}
