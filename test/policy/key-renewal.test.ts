/** Keys that are renewed by their age on real sockets, also where nothing moves. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { forgetKeys, type KeyHolder, keepKeysYoung, watchedSockets } from '../../src/node/key-renewal.ts';
import * as mayfly from '../../src/node/tls.ts';
import { closed, listen, only, serverOptions, trust } from '../node/support.ts';

const YOUNG = { afterMilliseconds: 1000 };

/** A connection on which one byte went each way. */
async function pair(t: TestContext, server: mayfly.TlsOptions, client: mayfly.ConnectionOptions = {}) {
  const accepting = mayfly.createServer({ ...serverOptions, ...server });
  const port = await listen(accepting);
  const socket = mayfly.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...client });
  const [accepted]: mayfly.TLSSocket[] = await once(accepting, 'secureConnection');
  t.after(async () => {
    socket.destroy();
    accepted.destroy();
    await closed(accepting);
  });
  accepted.on('error', () => {});
  await exchange(socket, accepted);
  return { server: accepting, socket, accepted };
}

async function exchange(a: mayfly.TLSSocket, b: mayfly.TLSSocket): Promise<void> {
  a.write('x');
  await once(b, 'data');
  b.write('y');
  await once(a, 'data');
}

/** Looks until it is so; a test that waits in vain is ended by the runner. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('keys of a connection', () => {
  it('are renewed by a server when they are old, once, and what follows arrives', async (t) => {
    const { server, socket, accepted } = await pair(t, { keyRenewal: YOUNG }, { keyRenewal: false });
    assert.equal(server.counters.keyUpdates, 0);
    // Its own, and the client’s, which it asks for a quarter later: together where the timer is late.
    await until(() => server.counters.keyUpdates >= 2);
    await exchange(socket, accepted);
    assert.equal(socket.destroyed, false);
    assert.equal(accepted.destroyed, false);
  });

  it('are renewed by a client in the same way', async (t) => {
    const { server, socket, accepted } = await pair(t, { keyRenewal: false }, { keyRenewal: YOUNG });
    await until(() => server.counters.keyUpdates >= 1);
    await exchange(socket, accepted);
  });

  it('of TLS 1.2 are left alone, unless the policy has them renegotiated', async (t) => {
    const before = watchedSockets();
    await pair(t, { ...only('TLSv1.2'), keyRenewal: YOUNG }, { keyRenewal: YOUNG });
    assert.equal(watchedSockets(), before);
    const renewing = { afterMilliseconds: 1000, renegotiate12: true };
    const renegotiating = await pair(t, { ...only('TLSv1.2'), policy: { keyRenewal: renewing } });
    assert.equal(watchedSockets(), before + 1);
    const finished = renegotiating.accepted.getFinished();
    await until(() => !renegotiating.accepted.getFinished()?.equals(finished as Buffer));
    await exchange(renegotiating.socket, renegotiating.accepted);
  });

  it('are watched from the end of the handshake to the end of the connection', async (t) => {
    const before = watchedSockets();
    const { socket, accepted } = await pair(t, {}, {});
    assert.equal(watchedSockets(), before + 2, 'by default both ends do');
    socket.destroy();
    await Promise.all([once(socket, 'close'), accepted.destroyed || once(accepted, 'close')]);
    assert.equal(watchedSockets(), before);
    const off = await pair(t, { keyRenewal: false }, { keyRenewal: { afterBytes: 2 ** 20 } });
    assert.equal(watchedSockets(), before);
    off.socket.destroy();
  });
});

describe('the timer of key renewal', () => {
  it('is one for all, keeps pace with the shortest period, and ends with the last of them', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'setImmediate'] });
    const looks = new Map<string, number>();
    const holder = (name: string): KeyHolder => ({ maintainKeys: () => looks.set(name, (looks.get(name) ?? 0) + 1) });
    const [slow, fast] = [holder('slow'), holder('fast')];
    const before = watchedSockets();
    const slowly = keepKeysYoung(slow, { afterMilliseconds: 3_600_000 }, 'TLSv1.3');
    t.mock.timers.tick(899_999);
    assert.equal(looks.get('slow'), undefined);
    t.mock.timers.tick(1);
    assert.equal(looks.get('slow'), 1);
    const often = keepKeysYoung(fast, { afterMilliseconds: 1000 }, 'TLSv1.3');
    t.mock.timers.tick(250);
    assert.deepEqual([looks.get('fast'), looks.get('slow')], [1, 2]);
    forgetKeys(often);
    forgetKeys(slowly);
    forgetKeys(slowly);
    t.mock.timers.tick(10_000_000);
    assert.deepEqual([looks.get('fast'), looks.get('slow')], [1, 2]);
    keepKeysYoung(slow, { afterBytes: 2 ** 20 }, 'TLSv1.3');
    keepKeysYoung(slow, undefined, 'TLSv1.3');
    keepKeysYoung(slow, { afterMilliseconds: 1000 }, 'TLSv1.2');
    assert.equal(watchedSockets(), before);
  });

  it('reaches every one of very many sockets, some at a time', async () => {
    let reached = 0;
    const many = Array.from({ length: 2_500 }, (): KeyHolder => ({ maintainKeys: () => reached++ }));
    const places = many.map((one) => keepKeysYoung(one, { afterMilliseconds: 40 }, 'TLSv1.3'));
    await until(() => reached >= many.length);
    places.forEach(forgetKeys);
    assert.equal(watchedSockets(), 0);
  });
});
