/** One of several processes that serve together: it does what its primary says, and tells it how things stand. */

import cluster from 'node:cluster';
import { setTimeout } from 'node:timers/promises';
import { machineRing } from '../../../node/fleet.ts';
import { exitCode } from '../../exit-codes.ts';
import type { Output } from '../../output.ts';
import { toProblem } from '../../problem.ts';
import { type LedgerQuery, takeLedger } from '../../status/ledger-view.ts';
import { takeSnapshot } from '../../status/snapshot.ts';
import type { ServerCredentials } from '../credentials.ts';
import { type Engine, fleetSessions, openEngine, type SharedSessions } from '../engine.ts';
import { DRAIN_PATIENCE } from '../lifecycle.ts';
import type { ServePlan } from '../plan.ts';
import type { Renewable } from '../renewal.ts';
import { Line } from './line.ts';
import { sharedByPrimary } from './shared.ts';

/** Renewable, as it travels: JSON has no bytes. */
export interface RenewableMessage extends Omit<Renewable, 'credentials'> {
  readonly credentials: CredentialsMessage;
}

interface CredentialsMessage extends Omit<ServerCredentials, 'ocspResponse' | 'others'> {
  readonly ocspResponse?: string;
  readonly others?: readonly CredentialsMessage[];
}

/** What the primary tells a worker first. */
export interface StartMessage {
  readonly renewable: RenewableMessage;
  readonly startedAt: number;
}

export async function serveAsWorker(plan: ServePlan, output: Output): Promise<void> {
  const id = cluster.worker?.id ?? 0;
  const startedAt = Date.now();
  let engine: Engine | undefined;
  let leaving: Promise<number> | undefined;

  const drain = (): Promise<number> => {
    leaving ??= (async () => {
      const cut = (await engine?.site.drain(DRAIN_PATIENCE)) ?? 0;
      await engine?.close();
      return cut;
    })();
    return leaving;
  };
  /** Its last words are its last figures, so that the sums stay whole. */
  const leave = async (): Promise<never> => {
    const cut = await drain();
    const snapshot = engine && takeSnapshot(engine.source);
    await line.ask('leaving', { cut, snapshot }).catch(() => {});
    process.exit(exitCode('ok'));
  };
  const line = new Line(
    {
      send: (message) => process.send?.(message, undefined, undefined, () => {}),
      listen: (listener) => process.on('message', listener),
    },
    {
      status: () => engine && takeSnapshot(engine.source),
      ledger: (query: LedgerQuery) => engine && takeLedger(engine.site.connections, query),
      renew: (message: RenewableMessage) => engine?.renew(renewableOf(message)),
      drain: () => void leave(),
    },
  );
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      signals++;
      if (signals > 1) {
        process.exit(exitCode('interrupted'));
      }
      void leave();
    });
  }
  // Files are the primary's affair, and a signal to the whole group must not end its workers.
  process.on('SIGHUP', () => {});
  process.on('disconnect', () => void leave());
  // What cannot be told to a primary that is gone; that it is gone is heard by 'disconnect'.
  cluster.worker?.on('error', () => {});

  try {
    const start = (await line.ask('hello', {}, START_PATIENCE)) as StartMessage;
    const mine = ofWorker(output, id);
    const shared = plan.ring.enabled
      ? ((await fleetSessions(plan, mine, id)) ?? (await machineSessions(plan, line)))
      : undefined;
    engine = await openEngine({ plan, renewable: renewableOf(start.renewable), output: mine, shared, startedAt });
    await line.ask('up', { addresses: engine.site.addresses, pid: process.pid }, START_PATIENCE);
  } catch (error) {
    const { exit, message, hint } = toProblem(error);
    await line.ask('failed', { exit, message, hint }, START_PATIENCE).catch(() => {});
    process.exit(exitCode(exit));
  }
}

export function messageOf({ credentials, clients }: Renewable): RenewableMessage {
  return { clients, credentials: inText(credentials) };
}

function renewableOf({ credentials, clients }: RenewableMessage): Renewable {
  return { clients, credentials: inBytes(credentials) };
}

function inText({ ocspResponse, others, ...rest }: ServerCredentials): CredentialsMessage {
  const staple = ocspResponse && Buffer.from(ocspResponse).toString('base64');
  return {
    ...rest,
    ...(staple === undefined ? {} : { ocspResponse: staple }),
    ...(others === undefined ? {} : { others: others.map(inText) }),
  };
}

function inBytes({ ocspResponse, others, ...rest }: CredentialsMessage): ServerCredentials {
  const staple = ocspResponse === undefined ? undefined : new Uint8Array(Buffer.from(ocspResponse, 'base64'));
  return {
    ...rest,
    ...(staple === undefined ? {} : { ocspResponse: staple }),
    ...(others === undefined ? {} : { others: others.map(inBytes) }),
  };
}

async function machineSessions({ ring }: ServePlan, line: Line): Promise<SharedSessions> {
  const machine = machineRing();
  // Without a key the first clients would get no tickets; but it is better to serve them without than to keep them waiting.
  await Promise.race([machine.ready, setTimeout(FIRST_KEY_PATIENCE, undefined, { ref: false })]);
  const { cache, register } = sharedByPrimary(line);
  return {
    options: { keys: machine, cache, rotate: ring.rotate / 1000, ticketLifetime: ring.lifetime / 1000 },
    register,
    ringStatus: () => machine.ringStatus(),
    close: () => machine.close(),
  };
}

/** Its events say whose they are; what all workers would say alike is said by the first. */
function ofWorker(output: Output, id: number): Output {
  return {
    ...output,
    event: (event, fields) => output.event(event, { ...fields, worker: id }),
    warn: (line) => (id === 1 ? output.warn(line) : undefined),
  };
}

const START_PATIENCE = 10_000;
/** Milliseconds: it takes a third of a second. */
const FIRST_KEY_PATIENCE = 2_000;
