/** `mayfly ring agent`: a member of the ring that keeps another server's ticket keys, until a signal comes. */

import pc from 'picocolors';
import { products } from '../../../fleet/agent/products.ts';
import { connectRedis } from '../../../fleet/redis/connection.ts';
import { RedisStore } from '../../../fleet/redis/redis-store.ts';
import type { AgentEvent } from '../../../node/agent/agent-events.ts';
import type { Told } from '../../../node/agent/driver.ts';
import { RingAgent } from '../../../node/agent/ring-agent.ts';
import { systemClock } from '../../../node/clock.ts';
import { planFleet } from '../../../node/fleet.ts';
import { exitCode } from '../../exit-codes.ts';
import { createOutput, type Output } from '../../output.ts';
import { Problem } from '../../problem.ts';
import { StoreErrors } from '../../store-errors.ts';
import { fleetFlags } from '../access.ts';
import type { AgentFlags } from '../agent.ts';
import { driverFor, type Setup, setupOf } from './setup.ts';
import { snippetFor } from './snippet.ts';
import { agentEventText } from './words.ts';

/** @throws Problem `usage`; TLSError `TLS_ERR_CONFIG`, `TLS_ERR_KEY_FOLDER`, `TLS_ERR_NOT_SUPPORTED` */
export async function agent(flags: AgentFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const setup = setupOf(flags);
  if (flags.snippet === true) {
    const text = snippetFor(flags, setup);
    output.event('snippet', { for: setup.product, text });
    output.say(text);
    return;
  }
  if (flags.withdraw === true) {
    await withdraw(flags, setup, output);
    return;
  }
  run(flags, setup, output);
}

/** Also when the agent before was killed. */
async function withdraw(flags: AgentFlags, setup: Setup, output: Output): Promise<void> {
  const { driver } = driverFor(flags, setup);
  try {
    tellEnd(await driver.withdraw(), output);
  } finally {
    driver.close();
  }
}

function run(flags: AgentFlags, setup: Setup, output: Output): void {
  const { url, ca, ...options } = fleetFlags(flags);
  const plan = planFleet(options);
  if (!plan.configuration.policies.includes(flags.group)) {
    throw new Problem(
      'usage',
      `--group: ${JSON.stringify(flags.group)} is not in --groups (${plan.configuration.policies.join(', ')})`,
      'All members of the ring must be given the same --groups.',
    );
  }
  const { driver, folder } = driverFor(flags, setup);
  for (const line of notesOn(setup, plan.configuration.epochLength, flags)) {
    output.warn(line);
  }
  if (folder !== undefined && folder.judgement.verdict !== 'memory') {
    output.warn(folder.judgement.verdict === 'refused' ? folder.judgement.why : folder.judgement.note);
  }
  let leaving = false;
  const storeErrors = new StoreErrors();
  const storeFailed = (error: unknown): void => {
    const told = leaving ? undefined : storeErrors.add(error, performance.now());
    if (told !== undefined) {
      output.warn(`the store: ${told}`);
    }
  };
  const redis = connectRedis({ url, ca, onError: storeFailed });
  const join = () =>
    new RingAgent({
      plan,
      store: new RedisStore(redis, plan.ringId),
      clock: systemClock,
      driver,
      policy: flags.group,
      keySize: setup.keySize,
      tls13Only: flags.tls13Only,
      drain: setup.drain,
      patience: setup.timeout,
      onEvent(event) {
        if (leaving && (event.kind === 'alarm_over' || event.kind === 'key_ended')) {
          return;
        }
        tell(event, output);
      },
      onStoreError: storeFailed,
    });
  let member: RingAgent;
  try {
    member = join();
  } catch (error) {
    redis.close();
    driver.close();
    throw error;
  }
  const { ringId, fleetName, member: id } = member.status();
  output.event('agent', { for: setup.product, fleetName, ringId, member: id, folder: folder?.path, pid: process.pid });
  const title = products[setup.product].title;
  output.say(`Driving ${title} as ${id} of ${JSON.stringify(fleetName)}. Ctrl-C takes its keys away and leaves.`);
  // Nothing else keeps the process alive while the store is away.
  const awake = setInterval(() => {}, 60_000);
  const end = (): void => {
    if (leaving) {
      process.exit(exitCode('interrupted'));
    }
    leaving = true;
    void member.close({ leaveKeys: flags.leaveKeys }).then((told) => {
      clearInterval(awake);
      redis.close();
      tellEnd(told, output);
      process.exit();
    });
  };
  // Also of a terminal that goes away: an end without a word would leave the keys.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, end);
  }
}

/** What an operator may not expect of the server. */
function notesOn({ product, ticketLifetime }: Setup, epochLength: number, flags: AgentFlags): readonly string[] {
  if (product === 'haproxy' && ticketLifetime > epochLength) {
    return ['HAProxy has room for one key that only opens: its tickets end an epoch after their key has sealed'];
  }
  return product === 'apache' && flags.folder !== undefined
    ? ['Apache httpd is given no key: --folder is not used']
    : [];
}

function tell(event: AgentEvent, output: Output): void {
  const { kind, ...fields } = event;
  output.event(kind, { time: new Date().toISOString(), ...fields });
  output.say(`${pc.dim(new Date().toISOString().slice(11, 19))}  ${agentEventText(event)}`);
}

function tellEnd(told: Told | 'left' | 'failed', output: Output): void {
  const words: Record<typeof told, string> = {
    told: 'Keys are taken from the server and the files.',
    absent: 'Keys are taken from the files; the server does not run.',
    left: 'Left. The server goes on with the keys it has, until another agent or a restart ends them.',
    failed:
      'Keys are taken from the files, but the server could not be told and goes on with those it has: restart it.',
  };
  output.event('left', { server: told });
  output.say(words[told]);
  process.exitCode = exitCode(told === 'failed' ? 'server_not_told' : 'ok');
}
