import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { decodeClientSession, encodeClientSession } from '../../src/session/client-session.ts';
import { projectRoot } from '../support/project.ts';
import { mayfly, type Serving, serve, sleep, status, temporaryFolder } from './support.ts';

interface Told {
  readonly resumed: boolean;
  readonly session: { readonly offered: boolean; readonly reason: string | null };
}

async function visit(serving: Serving, sessionFile: string): Promise<Told> {
  const args = ['connect', `localhost:${serving.port}`, '--ca', serving.ca, '--session', sessionFile, '--json'];
  const { stdout, code, stderr } = await mayfly(args);
  assert.equal(code, 0, stdout + stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Told;
}

/** Waits until the ring tells what is asked for; the clock decides when, so nothing here measures time. */
async function ringShows(serving: Serving, what: (keys: Map<string, string>) => boolean): Promise<void> {
  for (;;) {
    const { ring } = await status(serving);
    if (what(new Map(ring.keys.map((key) => [key.name, key.state])))) {
      return;
    }
    await sleep(40);
  }
}

test('a ticket resumes while its key seals, while it only opens, and not once it is erased', async (t) => {
  const serving = await serve(t, ['--root', join(projectRoot, 'demo'), '--rotate', '3s', '--lifetime', '4s']);
  const folder = temporaryFolder(t);
  const file = join(folder, 'session');
  // A fresh key, so that the visits fall into its time of sealing.
  const { ring } = await status(serving);
  const early = new Set(ring.keys.map(({ name }) => name));
  await ringShows(serving, (keys) => [...keys].some(([name, state]) => state === 'sealing' && !early.has(name)));
  const key = [...(await status(serving)).ring.keys].find(({ state }) => state === 'sealing')?.name ?? '';

  const first = await visit(serving, file);
  assert.equal(first.resumed, false);
  const file1 = readFileSync(file);

  // Sealed under the key before: it only opens now.
  await ringShows(serving, (keys) => keys.get(key) === 'opening');
  const second = await visit(serving, file);
  assert.equal(second.resumed, true, second.session.reason ?? '');

  // The key is gone, and with it the ticket. A client keeps to a ticket's lifetime by itself; this one forgets it.
  await ringShows(serving, (keys) => !keys.has(key));
  const socket = connect({
    host: 'localhost',
    port: serving.port,
    ca: readFileSync(serving.ca),
    ALPNProtocols: ['h2', 'http/1.1'],
    session: withLongerLifetime(oldSession(file1)),
  });
  t.after(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.on('error', reject);
  });
  assert.equal(socket.isSessionReused(), false);
  assert.equal(socket.mayfly?.refusal, 'by_peer');
  const after = await status(serving);
  assert.deepEqual([after.handshakes.full, after.handshakes.resumed], [2, 1]);
  assert.deepEqual(after.resumptionRefusals, { unknown_key: 1 });
});

/** The newest session of a session file, which ends with it. */
function oldSession(file: Uint8Array): Uint8Array {
  const bytes = Buffer.from(file);
  let at = bytes.indexOf('\n', bytes.indexOf('\n') + 1) + 1;
  let last: Uint8Array = bytes.subarray(0, 0);
  while (at < bytes.length) {
    const length = bytes.readUInt32BE(at);
    last = bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return last;
}

function withLongerLifetime(encoded: Uint8Array): Uint8Array {
  const session = decodeClientSession(encoded);
  return encodeClientSession({ ...session, ticketLifetime: 3600 }).use((bytes) => bytes.slice());
}
