/** No ticket is ever sealed under a key that nobody made: CVE-2020-13777. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
import { HOUR, sessionState, sessionState12 } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

describe('the key that seals', () => {
  it('is random from the first ticket on: none opens under a key of zeros', () => {
    const clock = new SimulatedClock();
    const keys = new LocalTicketKeys({ provider, clock, rotateEvery: HOUR, ticketLifetime: 2 * HOUR });
    const seen = new Set<string>();
    const steps = [() => {}, () => clock.advance(HOUR), () => keys.rotate(), () => keys.flush()];
    for (const step of steps) {
      step();
      const now = clock.now();
      const key = keys.sealingKey(now);
      assert(key);
      for (const secret of [key.secret, key.secret12]) {
        assert(secret);
        seen.add(toHex(secret.expose()));
      }
      for (const state of [sessionState({ issuedAt: now }), sessionState12({ issuedAt: now })]) {
        const ticket = sealTicket({ provider, key, state });
        assert.equal(openTicket({ provider, keys, ticket, now }).refusal, undefined);
        assert.equal(openTicket({ provider, keys: onlyZeros(key), ticket, now }).refusal, 'bad_ticket');
      }
    }
    assert.equal(seen.size, 2 * steps.length, 'a secret for each version, and new ones at each step');
    keys.close();
  });
});

/** What an attacker has who hopes that the keys were never made. */
function onlyZeros(key: TicketKey) {
  const zeros: TicketKey = {
    ...key,
    secret: Secret.copy('ticketKey', new Uint8Array(32)),
    secret12: Secret.copy('ticketKey', new Uint8Array(32)),
  };
  return { sealingKey: () => zeros, openingKey: () => zeros, status: () => [] };
}
