/** What foreign servers are given: which keys, in which form, in which order. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { TLSError } from '../../src/errors.ts';
import { base64Length, readBase64, writeBase64 } from '../../src/fleet/agent/base64.ts';
import { envoySecret, nginxInclude } from '../../src/fleet/agent/forms.ts';
import { shifts, type Triple } from '../../src/fleet/agent/haproxy-shifts.ts';
import { AgentKeys } from '../../src/fleet/agent/key-plan.ts';
import { targetOf } from '../../src/fleet/agent/products.ts';
import { ringConfiguration } from '../../src/fleet/configuration.ts';
import { HeldKey } from '../../src/fleet/held-key.ts';
import { HeldKeys } from '../../src/fleet/held-keys.ts';
import type { Moment } from '../../src/session/clock.ts';

describe('base64 of keys', () => {
  it('is that of everyone else, both ways, for every byte and length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = new Uint8Array(base64Length(bytes.length));
        writeBase64(bytes, text, 0);
        assert.equal(Buffer.from(text).toString('latin1'), Buffer.from(bytes).toString('base64'));
        const back = new Uint8Array(bytes.length);
        assert.ok(readBase64(text, back));
        assert.deepEqual(back, bytes);
      }),
    );
  });

  it('refuses every character that is none of it, and other lengths', () => {
    const known = new Set(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'));
    for (let code = 0; code < 256; code++) {
      assert.equal(readBase64(Uint8Array.of(code, 65, 65, 65), new Uint8Array(3)), known.has(code), String(code));
    }
    assert.equal(readBase64(Buffer.from('AAAA'), new Uint8Array(2)), false);
    assert.equal(readBase64(Buffer.from('AAA'), new Uint8Array(3)), false);
  });
});

describe('shifts of HAProxy', () => {
  const same = (a: string, b: string) => a === b;
  const key = fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e');

  it('lead from any three keys to those wanted, by three sets at most, and by one at the turn of an epoch', () => {
    fc.assert(
      fc.property(
        fc.option(fc.tuple(key, key, key), { nil: undefined }),
        fc.record({ opens: fc.option(key, { nil: undefined }), seals: key, next: fc.option(key, { nil: undefined }) }),
        (held, wanted) => {
          const { sets, result } = shifts<string>(held, wanted, same);
          const after = [...(held ?? ['?', '?', '?']), ...sets].slice(-3);
          assert.deepEqual(after, [...result]);
          assert.ok(sets.length <= 3);
          assert.equal(result[1], wanted.seals);
          const named = [wanted.opens, wanted.seals, wanted.next].filter((one) => one !== undefined);
          assert.ok(
            named.every((one) => result.includes(one)),
            'nothing that is wanted is missing',
          );
          assert.ok(
            result.every((one) => named.includes(one)),
            'nothing else is there',
          );
          assert.deepEqual(shifts(result as Triple<string>, wanted, same).sets, []);
        },
      ),
    );
    const turn = shifts<string>(['e0', 'e1', 'e2'], { opens: 'e1', seals: 'e2', next: 'e3' }, same);
    assert.deepEqual(turn.sets, ['e3']);
  });
});

describe('what a server is told to hold', () => {
  const HOUR = 3_600_000;
  const configuration = ringConfiguration({ fleetName: 'web', allowList: [new Uint8Array(32)] });
  const use = { policy: 'default', target: 'nginx-80' } as const;
  const at = (ms: number): Moment => ({ wall: 1_000 * HOUR + ms, monotonic: ms });

  /** Received at the beginning of epoch 1000. */
  function held(epoch: number, fill: number): HeldKey {
    const sealFrom = epoch * HOUR;
    const sealUntil = sealFrom + HOUR;
    return new HeldKey(
      { provider: nodeProvider, configuration, uses: [use] },
      {
        secret: Secret.copy('epochSecret', new Uint8Array(32).fill(fill)),
        epoch,
        rotation: 0,
        generation: 0,
        times: { createdAt: sealFrom - HOUR / 2, sealFrom, sealUntil, destroyAt: sealUntil + 2 * HOUR },
        anchor: { moment: at(0), ring: 1_000 * HOUR },
        age: HOUR / 2,
        distrustStore: false,
      },
    );
  }

  function keysOver(keys: readonly HeldKey[], tls13Only: boolean): AgentKeys {
    const member = {
      sealingKey: (now: Moment) => keys.find((one) => one.state(now) === 'sealing'),
      openingKeys: (now: Moment) => keys.filter((one) => one.state(now) !== 'ended'),
    };
    return new AgentKeys({ member, configuration, use, tls13Only });
  }

  const roles = (keys: AgentKeys, now: Moment, of: readonly HeldKey[]) =>
    keys.plan(now).map(({ id, role }) => `${of.findIndex((one) => one.id.startsWith(id))} ${role}`);

  it('seals in turn; what sealed last opens, for as long as tickets of TLS 1.2 do, or of TLS 1.3', () => {
    for (const tls13Only of [false, true]) {
      const all = [held(1_000, 1), held(1_001, 2), held(1_002, 3)];
      const keys = keysOver(all, tls13Only);
      assert.deepEqual(roles(keys, at(0), all), ['0 sealing', '1 waiting', '2 waiting']);
      assert.deepEqual(roles(keys, at(HOUR), all), ['1 sealing', '2 waiting', '0 opening']);
      const later = roles(keys, at(2 * HOUR), all);
      assert.deepEqual(later, tls13Only ? ['2 sealing', '1 opening', '0 opening'] : ['2 sealing', '1 opening']);
      assert.equal(all[0].workingSecret('default', 'nginx-80')?.erased, !tls13Only, 'erased here when it ends there');
    }
  });

  it('is nothing while no key seals: a server cannot only open', () => {
    const all = [held(1_000, 1)];
    assert.deepEqual(keysOver(all, false).plan(at(HOUR)), []);
  });

  it('ends keys that end together with others only once, and none later than the ring', () => {
    const all = [held(1_000, 1), held(1_001, 2), held(1_002, 3)];
    const keys = keysOver(all, false);
    keys.plan(at(0));
    const plan = keys.plan(at(2 * HOUR - 150));
    assert.ok(!plan.some(({ id }) => all[0].id.startsWith(id)));
    for (const { endsAt, sealUntil } of plan) {
      assert.equal(endsAt - sealUntil, HOUR);
    }
    assert.ok(keys.nextEnd(plan, at(2 * HOUR - 150)) <= HOUR + 150);
  });

  it('has of ratcheted keys the next one and those of members that missed one, however many the ring holds', () => {
    const all = [held(1_000, 1)];
    let chain = all[0];
    for (let i = 0; i < 10; i++) {
      chain = chain.successor(at(i * HOUR)) as HeldKey;
      all.push(chain);
    }
    const fresh = held(1_001, 2);
    all.push(fresh);
    const keys = keysOver(all, false);
    assert.deepEqual(roles(keys, at(0), all), [
      '0 sealing',
      '11 waiting',
      ...all.slice(1, 11).map((_, i) => `${i + 1} waiting`),
    ]);
    // From now on another root seals.
    const member = {
      sealingKey: () => fresh,
      openingKeys: (now: Moment) => all.filter((one) => one.state(now) !== 'ended'),
    };
    const after = new AgentKeys({ member, configuration, use, tls13Only: false });
    assert.deepEqual(roles(after, at(HOUR), all), ['11 sealing', '0 opening', '1 opening']);
  });

  it('is the same six keys after a day of epochs as after the second', () => {
    const ring = new HeldKeys();
    const member = {
      sealingKey: (now: Moment) => ring.sealing(now, () => true),
      openingKeys: (now: Moment) => [...ring.all].filter((one) => one.state(now) !== 'ended'),
    };
    const keys = new AgentKeys({ member, configuration, use, tls13Only: false });
    for (let i = 0; i <= 20; i++) {
      ring.add(held(1_000 + i, i));
      ring.add(held(1_001 + i, i + 1));
      ring.advance(at(i * HOUR));
      const plan = keys.plan(at(i * HOUR)).map(({ role, fresh }) => `${role}${fresh ? '' : ' ratcheted'}`);
      const before = ['opening', 'opening ratcheted', 'opening ratcheted'];
      const expected = ['sealing', 'waiting', 'waiting ratcheted', ...before];
      assert.deepEqual(plan, i < 2 ? plan : expected, `epoch ${i}`);
      assert.equal(plan.includes('opening'), i > 0, 'what sealed before opens');
    }
    assert.ok(ring.size > 16, 'the ring itself holds many more');
  });

  it('is sixteen keys at most', () => {
    const all = [held(1_000, 1), ...Array.from({ length: 30 }, (_, i) => held(1_001, 2 + i))];
    assert.equal(keysOver(all, false).plan(at(0)).length, 16);
  });

  it('has a target for each product and size, and refuses other sizes', () => {
    assert.equal(targetOf('nginx'), 'nginx-80');
    assert.equal(targetOf('nginx', 48), 'nginx-48');
    assert.equal(targetOf('haproxy', 48), 'haproxy-48');
    assert.equal(targetOf('envoy'), 'envoy-80');
    for (const [product, size] of [
      ['envoy', 48],
      ['nginx', 64],
      ['apache', 48],
    ] as const) {
      assert.throws(
        () => targetOf(product, size),
        (error) => error instanceof TLSError && error.code === 'TLS_ERR_CONFIG',
      );
    }
  });
});

describe('texts for servers', () => {
  const key = (id: string, role: 'sealing' | 'waiting' | 'opening') => ({
    ...{ id, role, fresh: true, sealFrom: 0, sealUntil: 3_600_000, endsAt: 7_200_000 },
    secret: Secret.copy('ringWorkingKey', new Uint8Array(80).fill(9)),
  });

  it('list the sealing key first, say of each what it is, and hold no key', () => {
    const text = nginxInclude('/run/k', [key('a', 'sealing'), key('b', 'waiting'), key('c', 'opening')], 3600);
    assert.deepEqual(text.split('\n').slice(1, -1), [
      'ssl_session_tickets on;',
      'ssl_session_timeout 3600s;',
      'ssl_session_ticket_key /run/k/a.key; # current: seals until 1970-01-01T01:00:00Z, opens until 1970-01-01T02:00:00Z',
      'ssl_session_ticket_key /run/k/b.key; # next: seals from 1970-01-01T00:00:00Z',
      'ssl_session_ticket_key /run/k/c.key; # previous: opens until 1970-01-01T02:00:00Z',
    ]);
    const ratcheted = nginxInclude('/run/k', [{ ...key('d', 'waiting'), fresh: false }], 3600);
    assert.match(ratcheted, /# next, if no fresh key comes: seals from /);
    assert.match(nginxInclude('/run/k', [], 3600), /\nssl_session_tickets off;\n$/);
    const secret = JSON.parse(envoySecret('/run/k', 'tickets', [{ id: 'a' }, { id: 'b' }]));
    assert.deepEqual(secret.resources[0].session_ticket_keys.keys, [
      { filename: '/run/k/a.key' },
      { filename: '/run/k/b.key' },
    ]);
    assert.equal(secret.resources[0].name, 'tickets');
  });
});
