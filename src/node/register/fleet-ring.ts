/** The one ring of a process under `mayfly/register` in a fleet: joined while there are servers, so that it keeps no process alive. */

import cluster from 'node:cluster';
import { isMainThread } from 'node:worker_threads';
import { describeRedisUrl } from '../../fleet/redis/address.ts';
import { type Fleet, joinFleet, planFleet } from '../fleet.ts';
import type { ProcessRing } from './process-ring.ts';
import type { RegisterSettings } from './settings.ts';

/** @throws TLSError `TLS_ERR_CONFIG` */
export function fleetProcessRing(settings: NonNullable<RegisterSettings['fleet']>): ProcessRing {
  planFleet(settings);
  describeRedisUrl(settings.url);
  // How many workers a program has is its own affair: only when it is told can a copied identity be noticed.
  const processes = settings.processes ?? (cluster.isWorker || !isMainThread ? 255 : 1);
  let fleet: Fleet | undefined;
  return {
    keys: {
      sealingKey: (now) => fleet?.sealingKey(now),
      openingKey: (name, now) => fleet?.openingKey(name, now),
      status: (now) => fleet?.status(now) ?? [],
    },
    cache: {
      get: (sessionId) => fleet?.sessionCache.get(sessionId),
      set: (sessionId, value, lifetime) => fleet?.sessionCache.set(sessionId, value, lifetime),
      delete: (sessionId) => fleet?.sessionCache.delete(sessionId),
    },
    open() {
      fleet ??= joinFleet({
        ...settings,
        processes,
        onAlarm(alarm, holds) {
          if (holds) {
            process.emitWarning(`the ring of ${JSON.stringify(settings.fleetName ?? 'the fleet')}: ${alarm}`, {
              type: 'MayflyWarning',
              code: 'MAYFLY_RING_ALARM',
            });
          }
        },
      });
    },
    close() {
      void fleet?.close();
      fleet = undefined;
    },
  };
}
