/** The way of `mayfly ring` to a fleet’s store: flags read, connection made, everything in it looked at and verified. */

import { nodeProvider } from '../../crypto/node-provider.ts';
import { FIRST_GENERATION, type Generation, isEvicted, mergeGenerations } from '../../fleet/generation.ts';
import { type MemberContext, memberContext } from '../../fleet/member-context.ts';
import type { RecordRefusal } from '../../fleet/records/refusal.ts';
import { describeRedisUrl } from '../../fleet/redis/address.ts';
import { connectRedis, type RedisConnection } from '../../fleet/redis/connection.ts';
import { RedisStore } from '../../fleet/redis/redis-store.ts';
import { type Visit, VisitReader } from '../../fleet/visit.ts';
import { systemClock } from '../../node/clock.ts';
import { type FleetPlan, planFleet } from '../../node/fleet.ts';
import { momentOf } from '../../session/clock.ts';
import { parseDuration } from '../duration.ts';
import { connectionProblem, Problem } from '../problem.ts';
import type { RingFlags } from '../ring.ts';
import { readCa } from '../trusted-file.ts';

export interface RingSight {
  readonly visit: Visit;
  readonly generation: Generation;
  readonly refusals: Readonly<Partial<Record<RecordRefusal, number>>>;
}

export interface RingAccess {
  readonly plan: FleetPlan;
  readonly context: MemberContext;
  readonly store: RedisStore;
  /** For people: without a password. */
  readonly where: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** @throws Problem the store does not answer */
  look(): Promise<RingSight>;
  close(): void;
}

/** The options of every command that belongs to a fleet. @throws Problem `usage`; TLSError `TLS_ERR_CONFIG` */
export function fleetFlags(flags: RingFlags) {
  const { fleet: url, identity, fleetName } = flags;
  if (url === undefined) {
    throw new Problem('usage', '--fleet is missing', 'Give the URL of the store, or set MAYFLY_FLEET_URL.');
  }
  if (identity === undefined) {
    throw new Problem('usage', '--identity is missing', 'Give a file of mayfly ring init, or set MAYFLY_IDENTITY.');
  }
  return {
    url,
    identity,
    fleetName,
    rotate: parseDuration(flags.rotate, '--rotate') / 1000,
    ticketLifetime: parseDuration(flags.lifetime, '--lifetime') / 1000,
    ...(flags.groups === undefined ? {} : { policies: flags.groups.split(',') }),
    ...(flags.fleetCa === undefined ? {} : { ca: readCa(flags.fleetCa) }),
  };
}

/** @throws Problem `usage`, and what keeps the store from answering */
export async function openAccess(flags: RingFlags): Promise<RingAccess> {
  const options = fleetFlags(flags);
  const timeout = parseDuration(flags.timeout, '--timeout');
  const plan = planFleet(options);
  const { configuration, file, ringId } = plan;
  const where = describeRedisUrl(options.url);
  let lastError: unknown;
  const redis = connectRedis({
    url: options.url,
    ca: options.ca,
    onError: (error) => {
      lastError = error;
    },
  });
  try {
    await answering(redis, where, timeout, () => lastError);
  } catch (error) {
    redis.close();
    throw error;
  }
  const store = new RedisStore(redis, ringId);
  const context = memberContext({ provider: nodeProvider, configuration, identity: file.identity, uses: [] });
  return {
    plan,
    context,
    store,
    where,
    timeout,
    close: () => redis.close(),
    async look() {
      const began = momentOf(systemClock);
      try {
        const [time, members, epochs, orders] = await Promise.all([
          store.time(),
          store.listMembers(),
          store.listEpochs(),
          store.listOrders(),
        ]);
        return sightOf(context, began, { time, members, epochs, orders, welcomes: [] });
      } catch (error) {
        throw connectionProblem(where, lastError ?? error);
      }
    },
  };
}

function sightOf(
  context: MemberContext,
  began: Parameters<VisitReader['read']>[1],
  view: Parameters<VisitReader['read']>[2],
): RingSight {
  const refusals: Partial<Record<RecordRefusal, number>> = {};
  const reader = new VisitReader(context, (why) => {
    refusals[why] = (refusals[why] ?? 0) + 1;
  });
  const visit = reader.read(momentOf(systemClock), began, view);
  let generation = FIRST_GENERATION;
  for (const record of [...visit.orders, ...visit.epochs]) {
    if (!isEvicted(generation, record.memberId)) {
      generation = mergeGenerations(generation, record.generation);
    }
  }
  return { visit, generation, refusals };
}

/** Until a command comes back. What can be fixed only by its operator is told at once. */
async function answering(
  redis: RedisConnection,
  where: string,
  timeout: number,
  lastError: () => unknown,
): Promise<void> {
  const end = Date.now() + timeout;
  for (;;) {
    try {
      await redis.command('x', ['TIME']);
      return;
    } catch (error) {
      const why = lastError() ?? error;
      const isFinal = /^(NOAUTH|WRONGPASS|NOPERM|DENIED)/.test((why as Error).message ?? '');
      if (lastError() !== undefined || isFinal || Date.now() > end) {
        throw connectionProblem(where, why);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

/** Milliseconds. */
const RETRY = 50;
