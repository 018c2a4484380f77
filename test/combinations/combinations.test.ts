import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { sameBytes } from '../../src/bytes/bytes.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { Conversation, Dice, type Ends } from './conversation.ts';
import { CombinedWorld, clientFeatures, serverFeatures } from './features.ts';

const world = new CombinedWorld();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const ends = fc.record({ client: clientFeatures, server: serverFeatures });
/** Two connections, of which the second shares some of the features of the first. */
const pair = fc.record({
  first: ends,
  second: ends,
  keep: fc.constantFrom('both', 'both', 'server', 'client', 'neither'),
});
const tally = new Map<string, number>();

function count(what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}

function secondOf({ first, second, keep }: { first: Ends; second: Ends; keep: string }): Ends {
  return {
    client: keep === 'both' || keep === 'client' ? first.client : second.client,
    server: keep === 'both' || keep === 'server' ? first.server : second.server,
  };
}

/** Erases what a host was handed, and sees that nothing else is alive. */
function assertNothingLeft(talk: Conversation | undefined, kept: readonly ClientSession[] = []): void {
  for (const session of talk === undefined ? [] : sessionsOf(talk)) {
    if (!kept.includes(session)) {
      session.secret.erase();
    }
  }
  const left = watch.alive.filter((kind) => kind !== 'ticketKey' && kind !== 'cachedSession');
  assert.deepEqual(left, kept.map(({ secret }) => secret.kind).sort(), 'secrets left');
}

function sessionsOf({ client }: Conversation): ClientSession[] {
  return [...client.sessions, ...client.sessions12];
}

function assertTyped({ client, server }: Conversation): void {
  for (const { error } of [client, server]) {
    assert.notEqual(error?.code, 'TLS_ERR_INTERNAL', error?.stack);
  }
}

/** Runs it to its end; what it came to is the same for both ends. */
function finish(talk: Conversation, dice: Dice): boolean {
  talk.start();
  talk.run(dice);
  assertTyped(talk);
  assert.notEqual(talk.ended, 'half', `${talk.client.error?.stack} ${talk.server.error?.stack}`);
  if (talk.ended === 'failed') {
    count([talk.client.error?.code, talk.server.error?.code].join(' / '));
    return false;
  }
  talk.assertAgreed();
  talk.send('client', 300);
  talk.send('server', 20_000);
  talk.run(dice);
  // TLS 1.2 renews keys by renegotiation, of which few are allowed: where they do not suffice, the connection ends, and the
  // worn key may not even tell so.
  const { client, server } = talk.features;
  const mayEnd = talk.client.summary?.version === 'TLSv1.2' && (client.usageLimit ?? server.usageLimit) !== undefined;
  const { ended }: { ended: string } = talk;
  assert(mayEnd || ended === 'complete', talk.server.error?.stack);
  assertTyped(talk);
  talk.assertData(ended === 'complete');
  const { summary } = talk.client;
  count(
    `${summary?.version} ${summary?.resumed ? 'resumed' : 'full'} ${summary?.pskMode} ${summary?.authenticatedBy} early ${summary?.earlyData}`,
  );
  return true;
}

test('with any features at both ends, both complete and agree, or both fail by a name; nothing is left alive', () => {
  fc.assert(
    fc.property(pair, fc.nat(), (both, seed) => {
      watch.clear();
      const dice = new Dice(seed);
      const talk = Conversation.open(world, both.first);
      if (talk === undefined || !finish(talk, dice)) {
        assertNothingLeft(talk);
        return;
      }
      const [session] = sessionsOf(talk);
      talk.client.connection.erase();
      talk.server.connection.erase();
      assertNothingLeft(talk, session === undefined ? [] : [session]);
      if (session === undefined) {
        return;
      }
      world.clock.advance(1000);
      const again = Conversation.open(world, secondOf(both), session);
      if (again !== undefined) {
        finish(again, dice);
        assertSamePolicy(talk, again);
        again.client.connection.erase();
        again.server.connection.erase();
      }
      session.secret.erase();
      assertNothingLeft(again);
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
  if (process.env.TALLY) console.log([...tally].sort((a, b) => b[1] - a[1]));
});

/** What resumes was made under the policy that it resumes under. */
function assertSamePolicy(before: Conversation, now: Conversation): void {
  const [then, summary] = [before.server.summary, now.server.summary];
  if (summary?.resumed !== true || then === undefined) {
    return;
  }
  for (const name of [
    'version',
    'serverName',
    'alpnProtocol',
    'authenticatedBy',
    'externalPsk',
    'authenticatedAt',
  ] as const) {
    assert.deepEqual(summary[name], then[name], name);
  }
  assert.deepEqual(summary.peerCertificates, then.peerCertificates);
  assert.equal(now.context.clientAuthentication?.id, before.context.clientAuthentication?.id);
  const leaves = ({ context }: Conversation) => context.credentials.map(({ certificateChain: [leaf] }) => leaf);
  const [a, b] = [leaves(before), leaves(now)];
  assert(a.length === b.length && a.every((leaf, i) => sameBytes(leaf, b[i])), 'the same certificates');
}
