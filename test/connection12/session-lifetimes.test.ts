/** How long TLS 1.2 sessions live: by ID as the context says, and by ticket no longer than the key that opens it. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { ServerContext, SessionLifetimes } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { ClientSession12 } from '../../src/session/client-session.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import { sessionState12 } from '../session/fixtures.ts';
import { type Naming, World12 } from '../support/world12.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400;

let world: World12;
beforeEach(() => {
  world = new World12();
});
afterEach(() => world.close());

/** What becomes of a session after so many milliseconds: resumed, or why not. */
function after(
  ms: number,
  naming: Naming,
  context: ServerContext,
  session: ClientSession12 = world.session12(naming, {}, { context }),
): string {
  world.clock.advance(ms);
  // What the server says, whatever the client believes of its session's age.
  const offered = { ...session, receivedAt: world.clock.now(), ticketLifetime: 7200 };
  const link = world.connect12(naming, { session: offered }, { context });
  const { resumed = false, refusal } = link.server.summary ?? {};
  link.forget();
  session.secret.erase();
  return resumed ? 'resumed' : (refusal ?? 'not found');
}

describe('a session by ID', () => {
  const lasting = (cachedSessions: SessionLifetimes | undefined, changes: Partial<ServerContext> = {}) => ({
    ...world.byId,
    ...(cachedSessions === undefined ? {} : { cachedSessions }),
    ...changes,
  });

  test('lives for one hour where nothing is said, with tickets or without', () => {
    for (const changes of [{}, { tickets: world.context.tickets }]) {
      const context = lasting(undefined, changes);
      const byId = () => world.session12('id', { offerTickets12: false }, { context });
      assert.equal(after(HOUR - 1, 'id', context, byId()), 'resumed');
      assert.equal(after(HOUR, 'id', context, byId()), 'not found');
    }
  });

  test('lives for as long as cachedSessions says, to the millisecond, and tickets do not change that', () => {
    const lifetimes = { ticketLifetime: 60, handshakeValidity: DAY };
    const context = lasting(lifetimes);
    assert.equal(after(MINUTE - 1, 'id', context), 'resumed');
    assert.equal(after(MINUTE, 'id', context), 'not found');
    const both = lasting(lifetimes, { tickets: world.context.tickets });
    const byId = () => world.session12('id', { offerTickets12: false }, { context: both });
    assert.equal(after(MINUTE, 'id', both, byId()), 'not found');
  });

  test('lives no longer than the full handshake is valid', () => {
    const context = lasting({ ticketLifetime: 600, handshakeValidity: 90 });
    assert.equal(after(90_000 - 1, 'id', context), 'resumed');
    assert.equal(after(90_000, 'id', context), 'not found');
    const shortened = { ...context, cachedSessions: { ticketLifetime: 600, handshakeValidity: 30 } };
    const session = world.session12('id', {}, { context });
    assert.equal(after(31_000, 'id', shortened, session), 'expired_handshake', 'what the policy says now counts');
  });

  test('lives for an hour at most, unless the operator says otherwise', () => {
    const long = { ticketLifetime: 7200, handshakeValidity: DAY };
    assert.equal(after(HOUR, 'id', lasting(long)), 'not found');
    const cache = new SessionCache({ clock: world.clock, dangerouslyLongTls12Sessions: true });
    const dangerous = { ...long, dangerouslyLongTls12Sessions: true };
    assert.equal(after(2 * HOUR - 1, 'id', lasting(dangerous, { sessionCache: cache })), 'resumed');
    assert.equal(after(2 * HOUR, 'id', lasting(dangerous, { sessionCache: cache })), 'not found');
    cache.close();
  });
});

describe('a session by ticket', () => {
  test('is over when the ring has erased what opens it, though the same key opens TLS 1.3 tickets', () => {
    const key = world.keys.sealingKey(world.clock.now());
    assert(key);
    world.clock.advance(HOUR - 1);
    const session = world.session12('ticket');
    const session13 = (() => {
      const link = world.connect();
      const [first] = link.client.sessions;
      link.server.forget();
      link.client.connection.erase();
      return first;
    })();
    assert.equal(after(HOUR - 1, 'ticket', world.context, { ...session, secret: session.secret.clone() }), 'resumed');
    assert.equal(key.secret12.erased, false);
    assert.equal(after(2, 'ticket', world.context, session), 'unknown_key');
    assert.deepEqual([key.secret12.erased, key.secret.erased], [true, false]);
    const link = world.connect({ session: session13 });
    assert.equal(link.server.summary?.resumed, true);
    link.forget();
    session13.secret.erase();
  });

  test('under another key than that of its full handshake is resumed without a new ticket, and its client keeps the one it has', () => {
    world.clock.advance(MINUTE);
    const session = world.session12('ticket');
    const offer = () => ({ session: { ...session, secret: session.secret.clone() } });
    const same = world.connect12('ticket', offer());
    assert.deepEqual([same.server.summary?.resumed, same.client.sessions12.length], [true, 1]);
    const [renewed] = same.client.sessions12;
    assert.deepEqual(renewed.ticket.subarray(1, 17), session.ticket.subarray(1, 17), 'sealed by the same key');
    same.forget();
    world.clock.advance(HOUR - MINUTE);
    assert.notDeepEqual(world.keys.sealingKey(world.clock.now())?.name, session.ticket.subarray(1, 17));
    for (let times = 0; times < 2; times++) {
      const link = world.connect12('ticket', offer());
      assert.deepEqual([link.server.summary?.resumed, link.client.summary?.resumed], [true, true]);
      assert.equal(link.client.sessions12.length, 0);
      link.forget();
    }
    session.secret.erase();
  });

  test('is closed to who steals the ring two hours after its full handshake, however often it was resumed', () => {
    const now = () => world.clock.now();
    const firstKey = world.keys.sealingKey(now());
    assert(firstKey);
    world.clock.advance(20 * MINUTE);
    const session = world.session12('ticket');
    const tickets = [session.ticket];
    const begin = now();
    for (const at of [10, 30, 45, 59]) {
      world.clock.advance(begin + at * MINUTE - now());
      const link = world.connect12('ticket', { session: { ...session, secret: session.secret.clone() } });
      assert.equal(link.server.summary?.resumed, true);
      tickets.push(...link.client.sessions12.map(({ ticket }) => ticket));
      link.forget();
    }
    assert.equal(tickets.length, 3);
    // A thief keeps to no times: he opens with all that is left of every key.
    const opened = () =>
      tickets.filter((ticket) => {
        const { state } = openTicket({ provider: nodeProvider, keys: world.keys, ticket, now: begin });
        state?.secret.erase();
        return state !== undefined;
      }).length;
    world.clock.advance(firstKey.openUntil12 - 1 - now());
    assert.equal(opened(), 1, 'the others were made later than the thief pretends it is');
    world.clock.advance(1);
    assert(now() - begin <= 2 * HOUR && world.keys.status(now()).length > 1);
    assert.equal(opened(), 0, 'no key opens any ticket that was ever made for it');
    session.secret.erase();
  });

  test('whoever takes what is left of a key after that reads no TLS 1.2 ticket and no stored session', () => {
    const now = () => world.clock.now();
    const key = world.keys.sealingKey(now());
    assert(key);
    const bytes = key.secret12.expose();
    const ticket = sealTicket({ provider: nodeProvider, key, state: sessionState12({ issuedAt: now() }) });
    world.clock.advance(2 * HOUR);
    assert(
      bytes.every((byte) => byte === 0),
      'the memory itself is empty',
    );
    assert(world.keys.status(now()).some((left) => left.openUntil > now() && left.openUntil12 <= now()));
    // A thief who has all of the ring now, and sets his clock to when the ticket was made.
    const stolen = { ...key, secret12: key.secret.clone(), openUntil12: Number.POSITIVE_INFINITY };
    const keys = { sealingKey: () => stolen, openingKey: () => stolen, status: () => [] };
    assert.equal(openTicket({ provider: nodeProvider, keys, ticket, now: now() }).refusal, 'bad_ticket');
    stolen.secret12.erase();
  });
});
