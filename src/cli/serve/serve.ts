/** `mayfly serve`: an HTTPS server for a folder, or a reverse proxy that ends TLS, with a ring of ticket keys. */

import cluster from 'node:cluster';
import { type Weakening, weakeningText } from '../../policy/weaker.ts';
import { createOutput } from '../output.ts';
import type { ServeFlags } from '../serve.ts';
import { type LedgerQuery, takeLedger } from '../status/ledger-view.ts';
import { takeSnapshot } from '../status/snapshot.ts';
import { announce } from './announce.ts';
import { fleetSessions, openEngine } from './engine.ts';
import { DRAIN_PATIENCE, drainOnSignal, openStatus, warnAfter, warnBefore } from './lifecycle.ts';
import { loadRenewable, renewFiles } from './load.ts';
import { planServing } from './plan.ts';

/** Serves until a signal ends it. */
export async function serve(flags: ServeFlags, weakened: readonly Weakening[] = []): Promise<void> {
  const output = createOutput(flags.json === true);
  // All that can be wrong is found before anything is opened.
  const plan = await planServing(flags);
  // Workers and the ring that they share are loaded where there are any.
  if (cluster.isWorker && (await import('./workers/primary.ts')).isServeWorker()) {
    const { serveAsWorker } = await import('./workers/worker.ts');
    await serveAsWorker(plan, output);
    return;
  }
  for (const one of weakened) {
    output.warn(`a flag goes before the policy and protects less: ${weakeningText(one)}`);
  }
  const renewable = loadRenewable(plan, output);
  const { credentials } = renewable;
  const startedAt = Date.now();
  if (plan.workers !== undefined) {
    const { serveByWorkers } = await import('./workers/primary.ts');
    await serveByWorkers({ plan, renewable, output, startedAt });
    return;
  }
  const shared = await fleetSessions(plan, output);
  const engine = await openEngine({ plan, renewable, output, shared, startedAt }).catch(async (error: unknown) => {
    await shared?.close();
    throw error;
  });
  const { site, source } = engine;
  const takers = {
    status: () => takeSnapshot(source),
    ledger: (query: LedgerQuery) => takeLedger(site.connections, query),
  };
  const status = await openStatus(plan, takers).catch(async (error: unknown) => {
    await site.drain(0);
    await engine.close();
    throw error;
  });
  const endRenewal = renewFiles(plan, renewable, output, (renewed) => engine.renew(renewed));
  warnBefore(plan, output);
  const { addresses } = site;
  const policy = flags.policyInForce?.();
  announce({ output, facts: source, policy, ...renewable, addresses, status });
  warnAfter(plan, credentials, output);
  drainOnSignal({
    output,
    open: () => site.connections.openCount,
    async drain() {
      const cut = await site.drain(DRAIN_PATIENCE);
      status?.close();
      endRenewal();
      await engine.close();
      return cut;
    },
  });
}
