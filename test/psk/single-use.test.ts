import assert from 'node:assert/strict';
import { after, beforeEach, describe, it, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerContext, TicketPolicy } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { externalPskTable } from '../../src/session/external-psk.ts';
import {
  LocalSingleUseRegister,
  type SingleUseRegister,
  type TicketClaim,
  ticketId,
} from '../../src/session/single-use-register.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { type Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { end, externalPsk } from './support.ts';

const HOUR = 3_600_000;
const watch = new SecretWatch();
let world = new World();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new World();
});
after(() => {
  watch.stop();
  world.close();
});

function singleUse(register: SingleUseRegister | 'ask', changes: Partial<ServerContext> = {}): ServerContext {
  const tickets = world.context.tickets as TicketPolicy;
  return { ...world.context, ...changes, tickets: { ...tickets, singleUse: register } };
}

function connect(context: ServerContext, options: Partial<ClientOptions> = {}): Link {
  return end(world.connect(options, { context }));
}

describe('a ticket that resumes once', () => {
  test('resumes once: the second time a full handshake follows', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock });
    const context = singleUse(register);
    const [session, other] = connect(context).client.sessions;
    assert.equal(connect(context, { session }).server.summary?.resumed, true);
    for (let i = 0; i < 3; i++) {
      const again = connect(context, { session });
      assert.equal(again.server.summary?.resumed, false);
      assert.equal(again.server.summary?.refusal, 'used_ticket');
      assert.equal(again.client.summary?.refusal, 'by_peer');
      assert.notEqual(again.server.summary?.signatureScheme, undefined, 'the server shows its certificate');
    }
    assert.equal(connect(context, { session: other }).server.summary?.resumed, true);
    assert.deepEqual(register.stats(), { entries: 2, fresh: 2, used: 3, full: 0 });
    register.close();
  });

  test('is not used up by a hello whose binder does not verify', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock });
    const context = singleUse(register);
    const [session] = connect(context).client.sessions;
    const stolen = world.pair({ session }, { context });
    stolen.toServer = (bytes) => {
      const changed = new Uint8Array(bytes);
      changed[changed.length - 1] ^= 1;
      return changed;
    };
    assert.equal(end(stolen.run()).server.error?.code, 'TLS_ERR_BAD_BINDER');
    assert.equal(register.stats().entries, 0);
    assert.equal(connect(context, { session }).server.summary?.resumed, true);
    register.close();
  });

  test('does not resume when the register is full, or closed', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock, maxEntries: 1 });
    const context = singleUse(register);
    const { sessions } = connect(context).client;
    assert.equal(connect(context, { session: sessions[0] }).server.summary?.resumed, true);
    for (let i = 0; i < 2; i++) {
      const link = connect(context, { session: sessions[1] });
      assert.equal(link.server.summary?.resumed, false);
      assert.equal(link.server.summary?.refusal, 'register_full');
    }
    assert.equal(connect(context, { session: sessions[0] }).server.summary?.refusal, 'used_ticket');
    register.close();
    assert.equal(connect(context, { session: sessions[1] }).server.summary?.refusal, 'register_full');
  });

  test('is claimed by asking the host, once per handshake, with the time of its end', () => {
    const context = singleUse('ask');
    const [session] = connect(context).client.sessions;
    const issuedAt = world.now();
    world.clock.advance(5000);
    const claims: [string, number][] = [];
    for (const answer of ['fresh', 'used', 'full'] as const) {
      for (const retried of [false, true]) {
        const link = world.pair(
          { session, ...(retried ? { keyShares: ['secp256r1'] } : {}) },
          { context, ...(retried ? { namedGroups: ['x25519'] } : {}) },
        );
        link.server.hold = ['claimTicket'];
        link.server.claim = (id, expiresAt): TicketClaim => {
          claims.push([Buffer.from(id).toString('hex'), expiresAt]);
          return answer;
        };
        link.run();
        assert.equal(link.server.connection.state, 'AwaitTicketClaim');
        assert.equal(link.server.actions.filter(({ kind }) => kind === 'send').length, retried ? 1 : 0);
        link.server.answer();
        end(link.deliver());
        assert.equal(link.server.summary?.resumed, answer === 'fresh');
        assert.equal(link.server.summary?.helloRetried, retried);
      }
    }
    assert.equal(new Set(claims.map(String)).size, 1, 'one ticket has one ID, in every handshake');
    assert.equal(claims.length, 6);
    assert.equal(claims[0][0].length, 32);
    assert.equal(claims[0][1], issuedAt + 7_200_000);
    session.secret.erase();
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'resumptionPsk'),
      [],
    );
  });

  test('that was used before leaves room for an external PSK behind it', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock });
    const psk = externalPsk('beside');
    const context = singleUse(register, { credentials: [], externalPsks: externalPskTable([psk]) });
    const [session] = connect(context, { externalPsks: [psk] }).client.sessions;
    assert.equal(connect(context, { session, externalPsks: [psk] }).server.summary?.resumed, true);
    const again = connect(context, { session, externalPsks: [psk] });
    assert.equal(again.server.summary?.resumed, false);
    assert.equal(again.server.summary?.authenticatedBy, 'externalPsk');
    assert.equal(again.server.summary?.refusal, 'used_ticket');
    register.close();
  });

  test('that was used before does not hold the suite: the server takes the one that it likes best', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock });
    const context = singleUse(register);
    const [session] = connect(context).client.sessions;
    const options = { session, cipherSuites: ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256'] } as const;
    const link = () => end(world.connect(options, { context, cipherSuites: options.cipherSuites }));
    assert.equal(link().server.summary?.cipherSuite, 'TLS_AES_128_GCM_SHA256');
    assert.equal(link().server.summary?.cipherSuite, 'TLS_AES_256_GCM_SHA384');
    register.close();
  });
});

describe('register of used tickets', () => {
  const id = (n: number) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(12, n);
    return bytes;
  };

  it('answers fresh once for each ticket, until its end', () => {
    const clock = new SimulatedClock();
    const register = new LocalSingleUseRegister({ clock });
    const end = clock.now() + HOUR;
    assert.equal(register.claim(id(1), end), 'fresh');
    assert.equal(register.claim(id(2), end), 'fresh');
    for (let minute = 0; minute < 59; minute++) {
      assert.equal(register.claim(id(1), end), 'used');
      clock.advance(60_000);
    }
    assert.equal(register.stats().entries, 2);
    clock.advance(3 * 60_000);
    assert.equal(register.stats().entries, 0);
    assert.equal(clock.timers, 0, 'an empty register needs no timer');
    register.close();
  });

  it('makes room by what has ended, and never by what has not', () => {
    const clock = new SimulatedClock();
    const register = new LocalSingleUseRegister({ clock, maxEntries: 3 });
    assert.equal(register.claim(id(1), clock.now() + 60_000), 'fresh');
    assert.equal(register.claim(id(2), clock.now() + HOUR), 'fresh');
    assert.equal(register.claim(id(3), clock.now() + HOUR), 'fresh');
    assert.equal(register.claim(id(4), clock.now() + HOUR), 'full');
    clock.advance(120_000);
    assert.equal(register.claim(id(4), clock.now() + HOUR), 'fresh');
    assert.equal(register.claim(id(5), clock.now() + HOUR), 'full');
    assert.deepEqual(register.stats(), { entries: 3, fresh: 4, used: 0, full: 2 });
    register.close();
  });

  it('remembers through a wall clock that is set forward and back, and ends when both clocks say so', () => {
    const clock = new SimulatedClock();
    const register = new LocalSingleUseRegister({ clock });
    const end = clock.now() + HOUR;
    register.claim(id(1), end);
    clock.jump(2 * HOUR);
    clock.advance(120_000);
    clock.jump(-2 * HOUR);
    assert.equal(register.claim(id(1), end), 'used', 'on the monotonic clock it has not ended');
    for (let hour = 0; hour < 23; hour++) {
      clock.jump(-HOUR);
      clock.advance(HOUR);
      assert.equal(register.claim(id(1), end), 'used', 'on the wall clock it has not ended');
    }
    clock.advance(2 * HOUR);
    assert.equal(register.stats().entries, 0, 'no ticket key is so old');
    register.close();
  });

  it('cannot tell of what it has forgotten, once the wall clock is set back', () => {
    const clock = new SimulatedClock();
    const register = new LocalSingleUseRegister({ clock });
    const end = clock.now() + HOUR;
    assert.equal(register.claim(id(1), end), 'fresh');
    clock.advance(HOUR + 120_000);
    assert.equal(register.stats().entries, 0);
    clock.jump(-HOUR);
    assert.equal(register.claim(id(1), end), 'full');
    assert.equal(register.claim(id(2), clock.now() + 2 * HOUR), 'fresh', 'what ends later was never forgotten');
    clock.jump(-24 * HOUR);
    assert.equal(register.claim(id(3), clock.now() + HOUR), 'full');
    clock.advance(24 * HOUR);
    clock.jump(-24 * HOUR);
    assert.equal(register.claim(id(3), clock.now() + HOUR), 'fresh', 'the keys of all that was forgotten are gone');
    register.close();
  });

  it('refuses what would never end', () => {
    const register = new LocalSingleUseRegister({ clock: new SimulatedClock() });
    assert.equal(register.claim(id(1), Number.POSITIVE_INFINITY), 'full');
    assert.equal(register.claim(id(1), Number.NaN), 'full');
    assert.equal(register.claim(id(1), new SimulatedClock().now() + 48 * HOUR), 'full');
    register.close();
  });

  it('takes a number of entries within its bounds', () => {
    for (const maxEntries of [0, 1.5, 10_000_001, Number.NaN]) {
      assert.throws(() => new LocalSingleUseRegister({ clock: new SimulatedClock(), maxEntries }), {
        code: 'TLS_ERR_CONFIG',
      });
    }
  });

  it("an ID tells nothing of its ticket without the ring's key, and differs by ticket and key", () => {
    const key = world.keys.sealingKey(world.now());
    assert(key !== undefined);
    const other = new World();
    const otherKey = other.keys.sealingKey(other.now());
    assert(otherKey !== undefined);
    const ids = [
      ticketId(nodeProvider, key, utf8('ticket')),
      ticketId(nodeProvider, key, utf8('ticket.')),
      ticketId(nodeProvider, otherKey, utf8('ticket')),
    ].map((bytes) => Buffer.from(bytes).toString('hex'));
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual(ticketId(nodeProvider, key, utf8('ticket')), ticketId(nodeProvider, key, utf8('ticket')));
    other.close();
  });
});
