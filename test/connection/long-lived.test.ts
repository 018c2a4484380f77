/** Connections that live for weeks: their keys are renewed by age and by volume, and the old ones are gone. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type { KeyRenewal } from '../../src/connection-options.ts';
import { type Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { World12 } from '../support/world12.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const world = new World();
const world12 = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
  world12.close();
});

function linkWith(client: KeyRenewal | undefined, server: KeyRenewal | undefined): Link {
  const link = world.connect({ keyRenewal: client }, { keyRenewal: server });
  link.deliver();
  return link;
}

function maintain(link: Link): void {
  link.client.take(link.client.connection.maintain());
  link.server.take(link.server.connection.maintain());
  link.deliver();
  link.client.assertFine();
  link.server.assertFine();
}

function trafficSecrets(): readonly string[] {
  return watch.alive.filter((kind) => kind.endsWith('_TRAFFIC_SECRET'));
}

describe('a key that is due by age', () => {
  test('is renewed by the next data, both ways, also when the peer has no policy of its own', () => {
    const link = linkWith({ afterMilliseconds: HOUR }, undefined);
    world.clock.advance(HOUR - 1);
    link.assertDataFlows();
    assert.deepEqual(link.client.keyUpdates, []);
    world.clock.advance(1);
    link.assertDataFlows();
    assert.deepEqual(link.client.keyUpdates, ['write 1']);
    world.clock.advance(HOUR / 4);
    link.assertDataFlows();
    assert.deepEqual(link.client.keyUpdates, ['write 1', 'write 2', 'read 1']);
    link.forget();
  });

  test('is renewed on a silent connection when the host sees to it, once, and then nothing moves', () => {
    const link = linkWith({ afterMilliseconds: HOUR }, undefined);
    world.clock.advance(1.25 * HOUR);
    maintain(link);
    assert.deepEqual([...link.client.keyUpdates].sort(), ['read 1', 'write 1']);
    for (let hour = 0; hour < 48; hour++) {
      world.clock.advance(HOUR);
      link.client.take(link.client.connection.maintain());
      assert.equal(link.client.flush().length, 0, 'a key that protected nothing has nothing to lose');
    }
    link.assertDataFlows();
    link.forget();
  });

  test('counts from the first data under it, not from its birth', () => {
    const link = linkWith({ afterMilliseconds: HOUR }, undefined);
    world.clock.advance(1.25 * HOUR);
    maintain(link);
    world.clock.advance(10 * HOUR);
    link.assertDataFlows();
    assert.equal(link.client.keyUpdates.length, 2, 'fresh when it was first used');
    world.clock.advance(1.25 * HOUR);
    link.assertDataFlows();
    assert.equal(link.client.keyUpdates.length, 4);
    link.forget();
  });

  test('is renewed also when the clock was set back', () => {
    const link = linkWith({ afterMilliseconds: HOUR }, undefined);
    world.clock.jump(-DAY);
    maintain(link);
    assert.deepEqual([...link.client.keyUpdates].sort(), ['read 1', 'write 1']);
    link.forget();
  });

  test('is not renewed where nobody asked for it', () => {
    const link = linkWith(undefined, undefined);
    world.clock.advance(30 * DAY);
    maintain(link);
    link.assertDataFlows();
    assert.deepEqual(link.client.keyUpdates, []);
    link.forget();
  });

  test('is left alone after close', () => {
    const link = linkWith({ afterMilliseconds: HOUR }, undefined);
    world.clock.advance(HOUR);
    link.client.connection.close();
    assert.deepEqual(link.client.connection.maintain(), []);
    link.forget();
  });
});

describe('a key that is due by volume', () => {
  const afterBytes = 2 ** 16;

  test('is renewed by its sender after the bytes that made it so', () => {
    const link = linkWith({ afterBytes }, undefined);
    const half = new Uint8Array(afterBytes / 2 - 16);
    for (let i = 0; i < 8; i++) {
      link.client.take(link.client.connection.send(half));
      link.deliver();
    }
    const renewals = link.server.keyUpdates.filter((update) => update.startsWith('read')).length;
    assert(renewals === 3 || renewals === 2, `${renewals} in about 8 × 32 KiB`);
    link.forget();
  });

  test('is asked for by its receiver', () => {
    const link = linkWith({ afterBytes }, undefined);
    for (let i = 0; i < 16; i++) {
      link.server.take(link.server.connection.send(new Uint8Array(16_384)));
      link.deliver();
    }
    assert(link.server.keyUpdates.filter((update) => update.startsWith('write')).length >= 3);
    link.forget();
  });
});

test('a connection of a month, idle for days and then busy, never holds a key that has protected data for over an hour', () => {
  const renewal = { afterMilliseconds: HOUR, afterBytes: 2 ** 20 };
  const link = linkWith(renewal, renewal);
  const secrets = trafficSecrets();
  const step = HOUR / 4;
  // When each direction's key first protected data that it could still open.
  const oldest: { up?: number; down?: number } = { up: world.now(), down: world.now() };
  const generations = { up: 0, down: 0 };
  let busyHours = 0;
  for (let quarter = 0; quarter < 30 * 24 * 4; quarter++) {
    world.clock.advance(step);
    const day = Math.floor(quarter / 96);
    const isBusy = day % 10 === 9 || (day % 10 === 3 && quarter % 7 === 0);
    if (isBusy) {
      link.assertDataFlows();
      busyHours += 1 / 4;
    }
    maintain(link);
    for (const [direction, end] of [
      ['up', link.server],
      ['down', link.client],
    ] as const) {
      const generation = end.keyUpdates.filter((update) => update.startsWith('read')).length;
      if (generation !== generations[direction]) {
        generations[direction] = generation;
        oldest[direction] = undefined;
      } else if (isBusy) {
        oldest[direction] ??= world.now();
      }
      const since = oldest[direction];
      assert(since === undefined || world.now() - since <= HOUR, `${direction} at quarter ${quarter}`);
    }
    assert.deepEqual(trafficSecrets(), secrets, 'two at each end, never an old one');
  }
  assert(generations.up >= busyHours / 2 && generations.up <= 2 * busyHours + 4, `${generations.up} in ${busyHours} h`);
  link.assertDataFlows();
  link.forget();
  assert.deepEqual(trafficSecrets(), []);
});

describe('TLS 1.2', () => {
  const aged = (keyRenewal: KeyRenewal, decline = false) => {
    const link = world12.connect12('id', decline ? { serverRenegotiations: 0 } : {}, { keyRenewal });
    world12.clock.advance(HOUR);
    link.server.take(link.server.connection.maintain());
    link.deliver();
    return link;
  };
  const renegotiations = (link: Link) => link.server.actions.filter(({ kind }) => kind === 'renegotiated').length;

  test('renews its keys by renegotiation where the host wants that', () => {
    const link = aged({ afterMilliseconds: HOUR, renegotiate12: true });
    assert.equal(renegotiations(link), 1);
    link.assertDataFlows();
    link.forget();
  });

  test('is left alone otherwise', () => {
    const link = aged({ afterMilliseconds: HOUR });
    assert.equal(renegotiations(link), 0);
    link.assertDataFlows();
    link.forget();
  });

  test('does not ask a peer again that has declined', () => {
    const link = aged({ afterMilliseconds: HOUR, renegotiate12: true }, true);
    assert.equal(renegotiations(link), 0);
    link.assertDataFlows();
    world12.clock.advance(HOUR);
    link.server.take(link.server.connection.maintain());
    assert.equal(link.server.flush().length, 0);
    link.forget();
  });
});

test('renewals so frequent that they would cost more than the data are refused', () => {
  for (const keyRenewal of [{ afterMilliseconds: 999 }, { afterBytes: 65_535 }, { afterBytes: Number.NaN }]) {
    assert.throws(() => world.client({ keyRenewal }), { code: 'TLS_ERR_CONFIG' });
    assert.throws(() => world.server({ keyRenewal }), { code: 'TLS_ERR_CONFIG' });
  }
});
