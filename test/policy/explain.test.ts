/**
 * What a policy is said to mean for a thief, held against a simulation: a server with real ticket keys, tickets and a real
 * cache, on simulated clocks, whose secrets are stolen at some moment.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { explainPolicy, explainTheft, SECRETS, type TheftReport } from '../../src/policy/explain.ts';
import { type Policy, type PolicyOptions, presets, resolvePolicy } from '../../src/policy/policy.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import type { SessionState } from '../../src/session/session-state.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import { remainingLifetime, renewsTicket12 } from '../../src/session/ticket-issuance.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
import { sessionState, sessionState12 } from '../session/fixtures.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;

/** A session of TLS 1.2, or a chain of resumptions of TLS 1.3, as whoever records sees it. */
interface Recorded {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  /** Its full handshake. */
  readonly began: number;
  readonly form: 'ticket' | 'id';
  readonly sessionId: Uint8Array;
  readonly tickets: { readonly bytes: Uint8Array; readonly issued: number; readonly lifetime: number }[];
  /** When its connections began. */
  readonly connections: number[];
}

/** A server under a policy, as far as its sessions go: issuing and looking up are the very functions of the handshake. */
class Server {
  readonly clock = new SimulatedClock();
  readonly recorded: Recorded[] = [];
  readonly keys: LocalTicketKeys;
  readonly #keysSeen = new Set<TicketKey>();
  readonly #cache: SessionCache;
  readonly #policy: Policy;

  constructor(policy: Policy) {
    const { clock } = this;
    const { dangerouslyLongTls12Sessions } = policy;
    this.#policy = policy;
    this.keys = new LocalTicketKeys({
      provider,
      clock,
      rotateEvery: policy.sealUntil,
      ticketLifetime: policy.ticketLifetime,
      dangerouslyLongTls12Sessions,
    });
    const ticketLifetime = Math.floor(policy.ticketLifetime / SECOND);
    this.#cache = new SessionCache({ clock, ticketLifetime, dangerouslyLongTls12Sessions });
  }

  fullHandshake(version: Recorded['version'], form: Recorded['form']): void {
    const now = this.clock.now();
    const sessionId = new Uint8Array(32);
    provider.random(sessionId);
    const one: Recorded = { version, began: now, form, sessionId, tickets: [], connections: [now] };
    this.recorded.push(one);
    if (form === 'ticket') {
      this.#issue(one);
      return;
    }
    const lifetimes = { ...this.#lifetimes, ticketLifetime: this.#cachedLifetime };
    const ticketLifetime = remainingLifetime(lifetimes, now, now, undefined, 'TLSv1.2');
    if (ticketLifetime > 0) {
      this.#cache.set(sessionId, this.#state(one, ticketLifetime));
    }
  }

  /** The client comes back with what it has; false where a full handshake would follow. */
  resume(one: Recorded): boolean {
    const now = this.clock.now();
    const valid = now - one.began < this.#policy.handshakeValidity;
    if (one.form === 'id') {
      const found = this.#cache.get(one.sessionId, now);
      found?.secret.erase();
      if (found === undefined || !valid) {
        return false;
      }
      one.connections.push(now);
      return true;
    }
    const ticket = one.tickets.at(-1);
    const opened = ticket && openTicket({ provider, keys: this.keys, ticket: ticket.bytes, now });
    opened?.state?.secret.erase();
    if (opened?.state === undefined || !valid) {
      return false;
    }
    one.connections.push(now);
    const { dangerouslyLongTls12Sessions } = this.#policy;
    const renewal = { keys: this.keys, dangerouslyLongTls12Sessions };
    if (one.version === 'TLSv1.3' || renewsTicket12(renewal, opened.key, now)) {
      this.#issue(one);
    }
    return true;
  }

  /** Copies of what is there now. */
  steal(): { openedBy: (one: Recorded) => { any: boolean; tickets13: number[] }; inCache: (one: Recorded) => boolean } {
    this.keys.status();
    const copies = [...this.#keysSeen].map((key) => ({
      key,
      secret: copyOf(key.secret),
      secret12: copyOf(key.secret12),
    }));
    const cached = new Set(this.recorded.filter((one) => this.#isCached(one)));
    const open = (bytes: Uint8Array, at: number): boolean =>
      copies.some(({ key, secret, secret12 }) => {
        // The thief keeps to no times but those of the ticket itself.
        const thiefs = { ...key, secret, secret12, openUntil: Infinity, openUntil12: Infinity };
        const keys = { sealingKey: () => undefined, openingKey: () => thiefs, status: () => [] };
        const opened = openTicket({ provider, keys, ticket: bytes, now: at });
        opened.state?.secret.erase();
        return opened.state !== undefined;
      });
    return {
      openedBy: (one) => {
        const opened = one.tickets.filter(({ bytes, issued }) => open(bytes, issued));
        return { any: opened.length > 0, tickets13: opened.map(({ issued }) => issued) };
      },
      inCache: (one) => cached.has(one),
    };
  }

  #isCached(one: Recorded): boolean {
    const state = one.form === 'id' ? this.#cache.get(one.sessionId, this.clock.now()) : undefined;
    state?.secret.erase();
    return state !== undefined;
  }

  #issue(one: Recorded): void {
    const now = this.clock.now();
    const key = this.keys.sealingKey(now);
    assert(key);
    this.#keysSeen.add(key);
    const lifetime = remainingLifetime(this.#lifetimes, one.began, now, key, one.version);
    if (lifetime > 0) {
      const state = this.#state(one, lifetime);
      one.tickets.push({ bytes: sealTicket({ provider, key, state }), issued: now, lifetime });
    }
  }

  #state(one: Recorded, ticketLifetime: number): SessionState {
    const times = { issuedAt: this.clock.now(), authenticatedAt: one.began, ticketLifetime };
    return one.version === 'TLSv1.2' ? sessionState12(times) : sessionState(times);
  }

  get #lifetimes() {
    const { ticketLifetime, handshakeValidity, dangerouslyLongTls12Sessions } = this.#policy;
    return {
      ticketLifetime: Math.floor(ticketLifetime / SECOND),
      handshakeValidity: Math.floor(handshakeValidity / SECOND),
      dangerouslyLongTls12Sessions,
    };
  }

  get #cachedLifetime(): number {
    const { ticketLifetime, sealUntil, dangerouslyLongTls12Sessions } = this.#policy;
    return Math.floor((dangerouslyLongTls12Sessions ? ticketLifetime : Math.min(ticketLifetime, sealUntil)) / SECOND);
  }
}

/** Undefined where there is nothing to steal any more: opens nothing. */
function copyOf(secret: Secret): Secret {
  return secret.erased ? Secret.create('ticketKey', 32, () => {}) : Secret.copy('ticketKey', secret.expose());
}

const seconds = (min: number, max: number) => fc.integer({ min, max }).map((count) => count * SECOND);
const lifetimes = fc
  .record({
    sealUntil: seconds(60, 6 * 3600),
    ticketLifetime: seconds(60, 18 * 3600),
    handshakeValidity: seconds(60, 2 * 86_400),
    dangerouslyLongTls12Sessions: fc.boolean(),
  })
  .filter(({ sealUntil, ticketLifetime }) => ticketLifetime / sealUntil < 100);

function policyOf(
  values: { sealUntil: number; ticketLifetime: number; handshakeValidity: number },
  rest: PolicyOptions = {},
) {
  const { sealUntil, ticketLifetime, handshakeValidity, ...others } = values;
  return resolvePolicy({
    sealUntil: sealUntil / SECOND,
    ticketLifetime: ticketLifetime / SECOND,
    handshakeValidity: handshakeValidity / SECOND,
    ...others,
    ...rest,
  });
}

const step = fc.record({
  /** Of one of the policy's times. */
  wait: fc.double({ min: 0, max: 0.4, noNaN: true }),
  what: fc.constantFrom('full12', 'full13', 'fullById', 'resume', 'resume', 'resume', 'resume', 'steal'),
  which: fc.nat(),
});

describe('what is said of a theft', () => {
  it('bounds what a simulated theft opens, whatever the policy and whenever it happens', () => {
    let opened12 = 0;
    let openedLater = 0;
    let openedCache = 0;
    fc.assert(
      fc.property(
        lifetimes,
        fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
        fc.nat(3),
        (values, steps, scale) => {
          const policy = policyOf(values, { dangerouslyAllowPskKe: 'fallback', earlyData: true });
          const server = new Server(policy);
          const shortest = Math.min(policy.sealUntil, policy.ticketLifetime, policy.handshakeValidity);
          const unit = [policy.sealUntil, policy.ticketLifetime, shortest, shortest / 2][scale];
          const thefts: { at: number; stolen: ReturnType<Server['steal']> }[] = [];
          for (const { wait, what, which } of steps) {
            server.clock.advance(Math.floor(wait * unit));
            if (what === 'steal') {
              thefts.push({ at: server.clock.now(), stolen: server.steal() });
            } else if (what === 'resume') {
              const open = server.recorded.filter((_, index) => (which + index) % 3 !== 0);
              for (const one of open) {
                server.resume(one);
              }
            } else {
              server.fullHandshake(what === 'full13' ? 'TLSv1.3' : 'TLSv1.2', what === 'fullById' ? 'id' : 'ticket');
            }
          }
          thefts.push({ at: server.clock.now(), stolen: server.steal() });
          const ring = explainTheft(policy, 'ticketKeys');
          const cache = explainTheft(policy, 'sessionCache');
          for (const { at, stolen } of thefts) {
            for (const one of server.recorded) {
              const { any, tickets13 } = stolen.openedBy(one);
              const latest = Math.max(...one.connections);
              if (one.version === 'TLSv1.3') {
                for (const issued of tickets13) {
                  assert(at - issued <= ring.past.tls13 && issued - at <= ring.future.tls13, 'psk_ke');
                  assert(at - issued <= ring.past.earlyData, 'early data');
                }
                continue;
              }
              if (any) {
                assert(at - one.began <= ring.past.tls12, `a session of ${at - one.began} ms before`);
                assert(latest - at <= ring.future.tls12, `a connection ${latest - at} ms after`);
                opened12 += one.began < at ? 1 : 0;
                openedLater += latest > at ? 1 : 0;
              }
              if (stolen.inCache(one)) {
                assert(at - one.began <= cache.past.tls12, `kept for ${at - one.began} ms`);
                assert(latest - at <= cache.future.tls12);
                openedCache++;
              }
            }
          }
        },
      ),
      { numRuns: 120 },
    );
    assert(opened12 > 100 && openedLater > 20 && openedCache > 20, 'the thief opened enough for this to say something');
  });

  it('is no larger than need be: the worst moment comes within two seconds of the bound for TLS 1.2', () => {
    const policy = resolvePolicy({ sealUntil: '1h', ticketLifetime: '2h' });
    const server = new Server(policy);
    const bound = explainTheft(policy, 'ticketKeys').past.tls12;
    assert.equal(bound, 2 * HOUR);
    // A full handshake in the first moments of a key, and a resumption in those of the next.
    server.clock.advance(SECOND);
    server.fullHandshake('TLSv1.2', 'ticket');
    const [one] = server.recorded;
    server.clock.advance(HOUR - SECOND);
    assert(server.resume(one), 'under the second key, in its first moment');
    server.clock.advance(HOUR - 1);
    const at = server.clock.now();
    assert(server.steal().openedBy(one).any);
    assert(bound - (at - one.began) <= 2 * SECOND, `${at - one.began} of ${bound}`);
    server.clock.advance(1);
    assert(!server.steal().openedBy(one).any, 'erased on time');
  });

  it('grows with every lifetime, and with nothing shrinks', () => {
    const longer = fc.record({
      sealUntil: seconds(0, 3600),
      ticketLifetime: seconds(0, 3600),
      handshakeValidity: seconds(0, 86_400),
    });
    const renewal = fc.integer({ min: 1000, max: 86_400_000 });
    const flags = fc.record({
      earlyData: fc.boolean(),
      dangerouslyAllowPskKe: fc.constantFrom('fallback' as const, 'prefer' as const, false as const),
      tickets: fc.boolean(),
      sessionIds: fc.boolean(),
    });
    fc.assert(
      fc.property(lifetimes, longer, renewal, renewal, flags, (values, more, age, laterBy, rest) => {
        const longerValues = {
          ...values,
          sealUntil: Math.min(values.sealUntil + more.sealUntil, 6 * HOUR),
          ticketLifetime: Math.min(values.ticketLifetime + more.ticketLifetime, 18 * HOUR),
          handshakeValidity: values.handshakeValidity + more.handshakeValidity,
        };
        fc.pre(longerValues.ticketLifetime / longerValues.sealUntil < 100);
        const less = explainPolicy(policyOf(values, { ...rest, keyRenewal: { afterMilliseconds: age } }));
        const most = explainPolicy(
          policyOf(longerValues, { ...rest, keyRenewal: { afterMilliseconds: age + laterBy } }),
        );
        for (const [index, report] of less.entries()) {
          for (const [name, figure] of figuresOf(report)) {
            const other = figuresOf(most[index]).find(([same]) => same === name)?.[1] as number;
            assert(figure <= other, `${report.secret} ${name}: ${figure} and ${other}`);
          }
        }
      }),
    );
  });

  it('is nothing of the past for what lives long: certificate key, store, identity', () => {
    fc.assert(
      fc.property(lifetimes, (values) => {
        const policy = policyOf(values, { earlyData: true, dangerouslyAllowPskKe: 'prefer' });
        for (const secret of ['certificateKey', 'externalCache', 'fleetStore', 'identityFiles'] as const) {
          assert.deepEqual(explainTheft(policy, secret).past, { tls12: 0, tls13: 0, earlyData: 0 });
        }
      }),
    );
  });

  it('is told in words that carry the same numbers', () => {
    const texts = (policy: Policy, secret: (typeof SECRETS)[number]) =>
      explainTheft(policy, secret).sentences.join(' ');
    const usual = resolvePolicy('default');
    assert.match(texts(usual, 'ticketKeys'), /TLS 1\.2 connections of sessions that began at most 2h before/);
    assert.match(texts(usual, 'ticketKeys'), /nothing of TLS 1\.3/);
    assert.match(texts(usual, 'ticketKeys'), /within 2h after/);
    assert.match(texts(usual, 'sessionCache'), /at most 1h before/);
    assert.match(texts(usual, 'processMemory'), /since their last KeyUpdate, at most 1h30m before/);
    const strict = resolvePolicy('strict');
    for (const secret of SECRETS) {
      assert.doesNotMatch(texts(strict, secret), /TLS 1\.2 (connections|sessions) (of|that)/, secret);
    }
    assert.match(texts(strict, 'processMemory'), /at most 15m before/);
    assert.match(texts(resolvePolicy({ keyRenewal: false }), 'processMemory'), /since they began/);
    assert.match(
      texts(resolvePolicy({ earlyData: true, sealUntil: '10m', ticketLifetime: '20m' }), 'ticketKeys'),
      /early data of at most the last 30m/,
    );
    assert.match(texts(resolvePolicy({ dangerouslyAllowPskKe: 'prefer' }), 'ticketKeys'), /last 3h .*psk_ke/);
    assert.match(texts(resolvePolicy({ dangerouslyAllowPskKe: 'prefer' }), 'externalPsks'), /Opens all .*psk_ke/);
    assert.match(texts(usual, 'externalPsks'), /Opens nothing, old or new/);
    assert.match(texts(usual, 'externalCache'), /Opens nothing by itself/);
    assert.match(texts(strict, 'externalCache'), /Nothing is kept there/);
    assert.match(texts(usual, 'processMemory'), /takes for random for up to 1h7m/);
    assert.match(texts(resolvePolicy({ tickets: false }), 'ticketKeys'), /no tickets are made/);
    assert.match(texts(resolvePolicy({ sessionIds: false }), 'sessionCache'), /Nothing is kept/);
  });

  it('of strict: no resumption opens anything that was or will be recorded', () => {
    for (const secret of ['ticketKeys', 'sessionCache', 'externalCache', 'externalPsks'] as const) {
      const { past, future } = explainTheft(resolvePolicy('strict'), secret);
      assert.deepEqual(past, { tls12: 0, tls13: 0, earlyData: 0 });
      assert.deepEqual(future, { tls12: 0, tls13: 0, earlyData: 0, openConnections: false });
    }
    assert.deepEqual(presets.strict.versions, ['TLSv1.3']);
  });
});

function figuresOf({ past, future, pose }: TheftReport): [string, number][] {
  const { openConnections: _, ...later } = future;
  return [
    ...Object.entries(past).map(([name, value]): [string, number] => [`past.${name}`, value]),
    ...Object.entries(later).map(([name, value]): [string, number] => [`future.${name}`, value]),
    ...Object.entries(pose).map(([name, value]): [string, number] => [`pose.${name}`, value]),
  ];
}
