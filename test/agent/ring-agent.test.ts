/** An agent whose server is slow, or whose ring is silent. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createIdentityFiles } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import type { RingStore } from '../../src/fleet/store.ts';
import type { AgentEvent } from '../../src/node/agent/agent-events.ts';
import { KeyFolder } from '../../src/node/agent/key-folder.ts';
import { NginxDriver } from '../../src/node/agent/nginx.ts';
import { RingAgent } from '../../src/node/agent/ring-agent.ts';
import { nodeProvider, planFleet } from '../../src/node/fleet.ts';
import type { Clock } from '../../src/session/clock.ts';
import { sleep, temporaryFolder } from '../cli/support.ts';
import { anywhere, clockAtEpoch, EPOCH, LIFETIME, memoryFolder } from './support.ts';

const onLinux = process.platform === 'linux' ? {} : { skip: 'the agent needs Linux' };

async function until(what: string, met: () => boolean): Promise<void> {
  for (let i = 0; !met(); i++) {
    assert.ok(i < 1_000, `never: ${what}`);
    await sleep(10);
  }
}

describe('an agent', onLinux, () => {
  interface Options {
    readonly path: string;
    readonly reload: string;
    readonly store?: RingStore;
    readonly patience?: number;
    readonly clock?: Clock;
  }

  function agentOf(t: TestContext, options: Options) {
    const { clock = clockAtEpoch() } = options;
    const folder = new KeyFolder({ path: options.path, ...anywhere });
    const driver = new NginxDriver({
      ...{ folder, clock, reload: options.reload, timeout: 20_000, ticketLifetime: 2 },
      pidFile: join(temporaryFolder(t), 'none.pid'),
    });
    const events: AgentEvent[] = [];
    const told: Extract<AgentEvent, { kind: 'told' }>[] = [];
    const agent = new RingAgent({
      plan: planFleet({
        identity: createIdentityFiles(nodeProvider, 'web', ['a'])[0],
        rotate: EPOCH / 1000,
        ticketLifetime: LIFETIME / 1000,
      }),
      store: options.store ?? new MemoryStore(() => clock.now()),
      ...{ clock, driver, policy: 'default', drain: 200, patience: options.patience ?? 20_000 },
      onEvent(event) {
        events.push(event);
        if (event.kind === 'told') {
          told.push(event);
        }
      },
      onStoreError: () => {},
    });
    t.after(() => agent.close());
    return { agent, folder, events, told, keys: () => folder.names().filter((name) => name.endsWith('.key')) };
  }

  it('takes the files of keys that a flush has ended away while it still waits for a reload', async (t) => {
    const stop = join(temporaryFolder(t), 'stop');
    const path = join(memoryFolder(t), 'nginx');
    const { agent, told, keys } = agentOf(t, { path, reload: `while ! test -e ${stop}; do sleep 0.02; done` });
    await until('the first keys', () => keys().length > 0);
    const before = new Set(keys());
    await agent.flush();
    await until('they are gone', () => !keys().some((name) => before.has(name)));
    assert.equal(told.length, 0, 'the reload has not come back');
    writeFileSync(stop, '');
    const last = () => told.at(-1)?.keys.map(({ key }) => `${key}.key`) ?? [];
    await until(
      'keys of the new generation are told',
      () => last().length > 0 && !last().some((key) => before.has(key)),
    );
    assert.equal(await agent.close(), 'told');
  });

  it('that stood still tells that the server had a key beyond its end, and takes it away before it gives another', async (t) => {
    const running = clockAtEpoch();
    let stoodStill = 0;
    const clock = {
      ...running,
      now: () => running.now() + stoodStill,
      monotonic: () => running.monotonic() + stoodStill,
    };
    const { agent, events, told, keys } = agentOf(t, { path: join(memoryFolder(t), 'nginx'), reload: 'true', clock });
    const sealing = () => told.at(-1)?.keys.find(({ role }) => role === 'sealing')?.key;
    await until('it seals', () => sealing() !== undefined);
    const before = new Set(told.flatMap((event) => event.keys.map(({ key }) => key)));
    const overdue = () => events.filter((event) => 'alarm' in event && event.alarm === 'ended_key_in_server');
    assert.deepEqual(overdue(), []);
    const past = events.length;
    stoodStill = 60_000;
    await until('it seals again', () => sealing() !== undefined && !before.has(sealing() as string));
    assert.deepEqual(
      overdue().map(({ kind }) => kind),
      ['server_alarm', 'server_alarm_over'],
    );
    assert.deepEqual(
      events
        .slice(past)
        .flatMap((event) => (event.kind === 'told' ? [event.keys.length > 0] : []))
        .slice(0, 2),
      [false, true],
    );
    assert(!keys().some((name) => before.has(name.replace('.key', ''))));
    assert.deepEqual(agent.alarms, []);
  });

  it('lets keys that an agent before has left go on for as long as it is patient, and ends them then', async (t) => {
    const path = join(memoryFolder(t), 'nginx');
    const left = new KeyFolder({ path, ...anywhere });
    left.write('0123456789abcdef.key', Buffer.alloc(80, 1));
    left.write('ticket-keys.conf', Buffer.from('of before'), 0o444);
    left.close();
    const gone = () => Promise.reject(new Error('the store is away'));
    const store = new Proxy({} as RingStore, { get: (_, name) => (name === 'subscribe' ? () => () => {} : gone) });
    const { told, keys, folder } = agentOf(t, { path, reload: 'true', store, patience: 300 });
    assert.deepEqual(keys(), ['0123456789abcdef.key']);
    await until('patience ends', () => told.length > 0);
    assert.deepEqual(told[0].keys, []);
    assert.deepEqual(keys(), []);
    assert.ok(folder.has('ticket-keys.conf'));
  });
});
