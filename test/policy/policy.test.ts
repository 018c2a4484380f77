/** Policies: what they hold, what they refuse, and where one is weaker than another. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePeriod, periodText } from '../../src/policy/period.ts';
import { type PolicyName, type PolicyOptions, presets, resolvePolicy } from '../../src/policy/policy.ts';
import { weakenings, weakeningText } from '../../src/policy/weaker.ts';

const HOUR = 3_600_000;
const names = Object.keys(presets) as PolicyName[];

describe('a policy', () => {
  it('has the five lifetimes, of which openUntil follows from two', () => {
    const { sealUntil, openUntil, ticketLifetime, handshakeValidity, usageLimit, openUntil12 } = resolvePolicy();
    assert.deepEqual(
      { sealUntil, openUntil, ticketLifetime, handshakeValidity, usageLimit, openUntil12 },
      {
        sealUntil: HOUR,
        openUntil: 3 * HOUR,
        ticketLifetime: 2 * HOUR,
        handshakeValidity: 24 * HOUR,
        usageLimit: undefined,
        openUntil12: 2 * HOUR,
      },
    );
    assert.deepEqual(resolvePolicy({ extends: 'default', name: 'default' }), resolvePolicy('default'));
  });

  it('by the name strict speaks TLS 1.3 with a hybrid key exchange only, and renews keys early', () => {
    const strict = resolvePolicy('strict');
    assert.deepEqual(strict.versions, ['TLSv1.3']);
    assert.deepEqual(strict.namedGroups, ['X25519MLKEM768']);
    assert.deepEqual(strict.pskModes, ['psk_dhe_ke']);
    assert.deepEqual(strict.keyRenewal, { afterMilliseconds: 600_000, afterBytes: 2 ** 30 });
    assert.equal(strict.earlyData, false);
  });

  it('named strict is nowhere weaker than default, and default nowhere weaker than compatible', () => {
    assert.deepEqual(weakenings(resolvePolicy('default'), resolvePolicy('strict')), []);
    assert.deepEqual(weakenings(resolvePolicy('compatible'), resolvePolicy('default')), []);
    for (const name of names) {
      assert.deepEqual(weakenings(resolvePolicy(name), resolvePolicy(name)), []);
    }
  });

  it('made of options takes the rest from the preset it names', () => {
    const own = resolvePolicy({ extends: 'strict', ticketLifetime: '30m', idleTimeout: 0 });
    assert.equal(own.name, 'custom');
    assert.equal(own.ticketLifetime, HOUR / 2);
    assert.equal(own.idleTimeout, 0);
    assert.equal(own.sealUntil, HOUR / 4);
    assert.equal(resolvePolicy({ ticketLifetime: 90 }).ticketLifetime, 90_000, 'seconds');
    assert.equal(resolvePolicy({ name: 'ours' }).name, 'ours');
  });

  it('refuses what the house does not allow, and names that it does not know', () => {
    const refused: unknown[] = [
      'lax',
      null,
      [],
      7,
      { extends: 'lax' },
      { sealUntill: '1h' },
      { openUntil: '3h' },
      { sealUntil: '7h' },
      { sealUntil: 'soon' },
      { sealUntil: '6h', ticketLifetime: '19h' },
      { ticketLifetime: '24h' },
      { handshakeValidity: '8d' },
      { usageLimit: 7 },
      { idleTimeout: '25d' },
      { idleTimeout: -1 },
      { keyRenewal: { afterMilliseconds: 999 } },
      { keyRenewal: { afterBytes: 1000 } },
      { keyRenewal: { afterHours: 1 } },
      { keyRenewal: true },
      { versions: [] },
      { versions: ['TLSv1.1'] },
      { versions: 'TLSv1.3' },
      { namedGroups: [] },
      { namedGroups: ['x448'] },
      { namedGroups: ['X25519MLKEM768'] },
      { tickets: 1 },
      { ticketsPerConnection: 33 },
      { maxTickets: 1.5 },
      { maxSessions: 0 },
      { maxSessionBytes: 10 },
      { dangerouslyAllowPskKe: true },
    ];
    for (const given of refused) {
      assert.throws(() => resolvePolicy(given as PolicyOptions), { code: 'TLS_ERR_CONFIG' }, JSON.stringify(given));
    }
    assert.throws(() => resolvePolicy({ openUntil: '3h' } as PolicyOptions), /sealUntil \+ ticketLifetime/);
  });

  it('is compared in every respect: each single step down is noticed', () => {
    const steps: [PolicyOptions, string][] = [
      [{ versions: ['TLSv1.2', 'TLSv1.3'], namedGroups: 'all' }, 'versions namedGroups'],
      [{ namedGroups: ['X25519MLKEM768', 'x25519'] }, 'namedGroups'],
      [{ sealUntil: '16m' }, 'sealUntil'],
      [{ ticketLifetime: '61m' }, 'ticketLifetime'],
      [{ handshakeValidity: '13h' }, 'handshakeValidity'],
      [{ idleTimeout: 0 }, 'idleTimeout'],
      [{ idleTimeout: '3m' }, 'idleTimeout'],
      [{ keyRenewal: false }, 'keyRenewal'],
      [{ keyRenewal: { afterMilliseconds: 600_000 } }, 'keyRenewal'],
      [{ sessionIds: true }, 'sessionIds'],
      [{ earlyData: true }, 'earlyData'],
      [{ dangerouslyLongTls12Sessions: true }, 'dangerouslyLongTls12Sessions'],
      [{ dangerouslyAllowPskKe: 'fallback' }, 'pskModes'],
      [{ usageLimit: 1000 }, ''],
      [{ singleUse: true, tickets: false, sealUntil: '5m' }, ''],
    ];
    for (const [options, expected] of steps) {
      const found = weakenings(resolvePolicy('strict'), resolvePolicy({ extends: 'strict', ...options }));
      assert.equal(found.map(({ what }) => what).join(' '), expected);
    }
    const limited = resolvePolicy({ usageLimit: 1000, singleUse: true, tickets: false });
    const usual = weakenings(limited, resolvePolicy());
    assert.deepEqual(
      usual.map(({ what }) => what),
      ['usageLimit', 'tickets', 'singleUse'],
    );
    assert.equal(weakeningText(usual[0]), 'usageLimit the suite’s (policy: 1000)');
  });
});

describe('lengths of time', () => {
  it('are written shortest and read back', () => {
    for (const [ms, text] of [
      [250, '250ms'],
      [90_000, '1m30s'],
      [HOUR, '1h'],
      [25.5 * HOUR, '1d1h30m'],
    ] as const) {
      assert.equal(periodText(ms), text);
    }
    assert.equal(parsePeriod('x', '90s'), 90_000);
    assert.throws(() => parsePeriod('x', '1h30m'), { code: 'TLS_ERR_CONFIG' });
  });
});
