import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { decodeClientSession, encodeClientSession } from '../../src/session/client-session.ts';
import { projectRoot } from '../support/project.ts';
import { type Serving, serve, sleep, status } from './support.ts';

/** Seconds. */
const LIFETIME = 4;

interface Visit {
  readonly socket: TLSSocket;
  /** The session of the first ticket. */
  readonly session: Uint8Array;
}

async function visit(t: TestContext, serving: Serving, session?: Uint8Array): Promise<Visit> {
  const { port } = serving;
  const socket = connect({ host: 'localhost', port, ca: readFileSync(serving.ca), ...(session && { session }) });
  t.after(() => socket.destroy());
  const first = new Promise<Uint8Array>((resolve, reject) => {
    socket.once('session', resolve);
    socket.on('error', reject);
  });
  return { session: await first, socket };
}

/** Waits until the ring tells what is asked for; the clock decides when, so nothing here measures time. */
async function ringShows(serving: Serving, what: (keys: Map<string, string>) => boolean): Promise<void> {
  for (;;) {
    const { ring } = await status(serving);
    if (what(new Map(ring.keys.map((key) => [key.name, key.state])))) {
      return;
    }
    await sleep(30);
  }
}

test('a ticket resumes while its key seals, while it only opens, and not once it is erased', async (t) => {
  for (let attempt = 0; attempt < 8; attempt++) {
    if (await wasInTime(t)) {
      return;
    }
  }
  assert.fail('the ring turned faster than the clients came and went, each time');
});

/** False if the ring has turned meanwhile, as it may on a busy machine: then it begins anew, with another server. */
async function wasInTime(t: TestContext): Promise<boolean> {
  const serving = await serve(t, ['--root', join(projectRoot, 'demo'), '--rotate', '2s', '--lifetime', `${LIFETIME}s`]);
  // A fresh key, so that the first visits fall into its time of sealing.
  const early = new Set((await status(serving)).ring.keys.map(({ name }) => name));
  await ringShows(serving, (keys) => [...keys].some(([name, state]) => state === 'sealing' && !early.has(name)));
  const begin = Date.now();
  const key = (await status(serving)).ring.keys.find(({ state }) => state === 'sealing')?.name ?? '';
  const state = async () => (await status(serving)).ring.keys.find(({ name }) => name === key)?.state;

  const first = await visit(t, serving);
  const second = await visit(t, serving, first.session);
  if ((await state()) !== 'sealing') {
    return false;
  }
  assert.equal(first.socket.isSessionReused(), false);
  assert.equal(second.socket.isSessionReused(), true);

  // Sealed under the key before: it only opens now.
  await ringShows(serving, (keys) => keys.get(key) !== 'sealing');
  const third = await visit(t, serving, second.session);
  if ((await state()) !== 'opening' || Date.now() - begin > 900 * LIFETIME) {
    return false;
  }
  assert.equal(third.socket.isSessionReused(), true);

  // The key is gone, and with it the ticket. A client keeps to a ticket's lifetime by itself; this one forgets it.
  await ringShows(serving, (keys) => !keys.has(key));
  const last = await visit(t, serving, withLongerLifetime(first.session));
  assert.equal(last.socket.isSessionReused(), false);
  assert.equal(last.socket.mayfly?.refusal, 'by_peer');
  const after = await status(serving);
  assert.deepEqual([after.handshakes.full, after.handshakes.resumed], [2, 2]);
  assert.deepEqual(after.resumptionRefusals, { unknown_key: 1 });
  return true;
}

function withLongerLifetime(encoded: Uint8Array): Uint8Array {
  const session = decodeClientSession(encoded);
  return encodeClientSession({ ...session, ticketLifetime: 3600 }).use((bytes) => bytes.slice());
}
