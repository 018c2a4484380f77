/** The policy hash, the check of an opened session, and how many tickets are sent for how long. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TicketPolicy } from '../../src/connection-options.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { clientAuthenticationId, createPolicyHasher, policyHash } from '../../src/session/policy-hash.ts';
import {
  type CheckSession12Options,
  type CheckSessionOptions,
  checkSession,
  checkSession12,
} from '../../src/session/session-check.ts';
import {
  checkTicketPolicy,
  remainingLifetime,
  renewsTicket12,
  ticketsToSend,
} from '../../src/session/ticket-issuance.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
import { HOUR, MINUTE, sessionState, sessionState12, T0 } from './fixtures.ts';

const leaf = new Uint8Array(500).fill(1);
const policy = {
  provider,
  serverName: 'a.example',
  alpnProtocol: 'h2',
  certificateChain: [leaf],
  clientAuthentication: 'none',
};

describe('policy hash', () => {
  it('differs when any part differs', () => {
    const variants = [
      policy,
      { ...policy, serverName: 'b.example' },
      { ...policy, serverName: '' },
      { ...policy, alpnProtocol: 'http/1.1' },
      { ...policy, certificateChain: [leaf.subarray(1)] },
      { ...policy, certificateChain: [] },
      { ...policy, clientAuthentication: 'required:1234' },
      { ...policy, extra: new Uint8Array([1]) },
      { ...policy, version: 'TLSv1.2' as const },
      // The same bytes, divided otherwise.
      { ...policy, serverName: 'a.exampleh', alpnProtocol: '2' },
      { ...policy, serverName: 'a.example\0h2', alpnProtocol: '' },
      { ...policy, clientAuthentication: 'none\0', extra: new Uint8Array([0]) },
    ];
    const hashes = variants.map((options) => Buffer.from(policyHash(options)).toString('hex'));
    assert.equal(new Set(hashes).size, variants.length);
    assert(hashes.every((hash) => hash.length === 64));
  });

  it('is the same for the rest of the chain and the case of the server name', () => {
    assert.deepEqual(policyHash({ ...policy, certificateChain: [leaf, new Uint8Array(9)] }), policyHash(policy));
    assert.deepEqual(policyHash({ ...policy, serverName: 'A.Example' }), policyHash(policy));
  });

  it('a prepared hasher gives what policyHash gives, before and after it remembers', () => {
    const hasher = createPolicyHasher({ provider, certificateChains: [[leaf]], clientAuthentication: 'none' });
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(hasher('a.example', 'h2'), policyHash(policy));
      assert.deepEqual(hasher('', 'h2'), policyHash({ ...policy, serverName: '' }));
    }
    for (let i = 0; i < 1000; i++) {
      hasher(`n${i}.example`, 'h2');
    }
    assert.deepEqual(hasher('n999.example', 'h2'), policyHash({ ...policy, serverName: 'n999.example' }));
  });

  it('a prepared hasher keeps the versions apart, also once it remembers', () => {
    const hasher = createPolicyHasher({ provider, certificateChains: [[leaf]], clientAuthentication: 'none' });
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(hasher('a.example', 'h2', 'TLSv1.2'), policyHash({ ...policy, version: 'TLSv1.2' }));
      assert.deepEqual(hasher('a.example', 'h2', 'TLSv1.3'), policyHash(policy));
    }
  });

  it('the text of a client authentication differs when a verdict could', () => {
    const caHash = new Uint8Array(32).fill(1);
    const variants = [
      { requestCert: false, rejectUnauthorized: true, caHash },
      { requestCert: true, rejectUnauthorized: true, caHash },
      { requestCert: true, rejectUnauthorized: false, caHash },
      { requestCert: true, rejectUnauthorized: true, caHash: new Uint8Array(32).fill(0x10) },
    ];
    assert.equal(new Set(variants.map(clientAuthenticationId)).size, variants.length);
    assert.equal(clientAuthenticationId(variants[0]), 'none');
    assert.equal(clientAuthenticationId({ ...variants[0], rejectUnauthorized: false }), 'none');
    assert.throws(() => clientAuthenticationId({ ...variants[1], caHash: caHash.subarray(1) }), {
      code: 'TLS_ERR_CONFIG',
    });
  });
});

describe('session check', () => {
  const good: CheckSessionOptions = {
    state: sessionState(),
    now: T0 + HOUR,
    handshakeValidity: 86_400,
    policyHash: new Uint8Array(32).fill(7),
    cipherSuite: 'TLS_CHACHA20_POLY1305_SHA256',
  };

  it('accepts a session of the same policy and hash, also under another suite', () => {
    assert.equal(checkSession(good), undefined);
  });

  it('refuses once the full handshake at the head of the chain is too old', () => {
    const state = sessionState({ authenticatedAt: T0 - 23 * HOUR });
    assert.equal(checkSession({ ...good, state, now: T0 + HOUR - 1 }), undefined);
    assert.equal(checkSession({ ...good, state }), 'expired_handshake');
  });

  it('refuses a handshake from the future: the clock was set back and its age is unknown', () => {
    const state = sessionState({ authenticatedAt: T0 + 10 * HOUR, issuedAt: T0 + 10 * HOUR });
    assert.equal(checkSession({ ...good, state }), 'expired_handshake');
  });

  it('refuses a ticket past its lifetime, another policy, and a suite of another hash', () => {
    assert.equal(checkSession({ ...good, now: T0 + 2 * HOUR }), 'expired_ticket');
    assert.equal(checkSession({ ...good, policyHash: new Uint8Array(32).fill(8) }), 'policy_changed');
    assert.equal(checkSession({ ...good, cipherSuite: 'TLS_AES_256_GCM_SHA384' }), 'suite_changed');
  });
});

describe('session check, TLS 1.2', () => {
  const suite = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';
  const good: CheckSession12Options = {
    state: sessionState12(),
    now: T0 + HOUR / 2,
    handshakeValidity: 86_400,
    policyHash: new Uint8Array(32).fill(7),
    cipherSuites: ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', suite],
    extendedMasterSecret: true,
  };

  it('accepts a session of the same policy whose suite is offered and allowed', () => {
    assert.equal(checkSession12(good), undefined);
  });

  it('a session of one version never resumes as the other', () => {
    assert.equal(checkSession12({ ...good, state: sessionState() }), 'version_changed');
    const { policyHash, now, handshakeValidity, state } = good;
    const asTls13 = { state, policyHash, now, handshakeValidity, obfuscatedTicketAge: 0 };
    assert.equal(checkSession({ ...asTls13, cipherSuite: 'TLS_AES_128_GCM_SHA256' }), 'version_changed');
  });

  it('refuses what is over, another policy, and another suite even of the same hash', () => {
    assert.equal(checkSession12({ ...good, now: T0 + HOUR }), 'expired_ticket');
    assert.equal(checkSession12({ ...good, handshakeValidity: 60 }), 'expired_handshake');
    const fromTheFuture = sessionState12({ authenticatedAt: T0 + 2 * HOUR, issuedAt: T0 + 2 * HOUR });
    assert.equal(checkSession12({ ...good, state: fromTheFuture }), 'expired_handshake');
    assert.equal(checkSession12({ ...good, policyHash: new Uint8Array(32).fill(8) }), 'policy_changed');
    assert.equal(checkSession12({ ...good, cipherSuites: good.cipherSuites.slice(0, 1) }), 'suite_changed');
    assert.equal(checkSession12({ ...good, cipherSuites: [] }), 'suite_changed');
  });

  it('ends the handshake when a session with extended master secret is offered without', () => {
    const without = { ...good, extendedMasterSecret: false, allowLegacyMasterSecret: true };
    const refusal = { code: 'TLS_ERR_EXTENDED_MASTER_SECRET', alert: 'handshake_failure' };
    assert.throws(() => checkSession12(without), refusal);
    assert.throws(() => checkSession12({ ...without, allowLegacyMasterSecret: false }), refusal);
    // What would not be resumed anyway leads to a full handshake.
    assert.equal(checkSession12({ ...without, policyHash: new Uint8Array(32) }), 'policy_changed');
  });

  it('a session without extended master secret leads to a full handshake, unless both lack it and that is allowed', () => {
    const legacy = { ...good, state: sessionState12({ extendedMasterSecret: false }) };
    assert.equal(checkSession12(legacy), 'legacy_master_secret');
    assert.equal(checkSession12({ ...legacy, allowLegacyMasterSecret: true }), 'legacy_master_secret');
    assert.equal(checkSession12({ ...legacy, extendedMasterSecret: false }), 'legacy_master_secret');
    const allowed = { ...legacy, extendedMasterSecret: false, allowLegacyMasterSecret: true };
    assert.equal(checkSession12(allowed), undefined);
  });
});

describe('ticket issuance', () => {
  const tickets: TicketPolicy = {
    keys: { sealingKey: () => undefined, openingKey: () => undefined, status: () => [] },
    ticketsPerConnection: 2,
    ticketsPerResumption: 1,
    maxTickets: 8,
    ticketLifetime: 7200,
    handshakeValidity: 86_400,
  };

  it('a client that asks for nothing gets the policy’s number', () => {
    assert.equal(ticketsToSend(tickets, undefined, false), 2);
    assert.equal(ticketsToSend(tickets, undefined, true), 1);
  });

  it('a client that asks gets what it asks for, down to none and up to the cap', () => {
    assert.equal(ticketsToSend(tickets, { newSession: 4, resumption: 0 }, false), 4);
    assert.equal(ticketsToSend(tickets, { newSession: 4, resumption: 0 }, true), 0);
    assert.equal(ticketsToSend(tickets, { newSession: 255, resumption: 255 }, true), 8);
  });

  it('a ticket outlives neither the policy, the handshake’s validity, nor its key', () => {
    assert.equal(remainingLifetime(tickets, T0, T0), 7200);
    assert.equal(remainingLifetime(tickets, T0, T0 + 23 * HOUR), 3600);
    assert.equal(remainingLifetime(tickets, T0, T0 + 23 * HOUR + 1), 3599);
    assert.equal(remainingLifetime(tickets, T0, T0 + 25 * HOUR), 0);
    const key = { sealFrom: T0 - HOUR, sealUntil: T0, openUntil: T0 + 90_500, openUntil12: T0 + 500 };
    assert.equal(remainingLifetime(tickets, T0, T0, key), 90);
    assert.equal(remainingLifetime(tickets, T0, T0, { ...key, openUntil: T0 - 1 }), 0);
    assert.equal(remainingLifetime({ ...tickets, ticketLifetime: 60_000, handshakeValidity: 100 }, T0 + HOUR, T0), 100);
  });

  it('a TLS 1.2 ticket outlives not what the ring gives it, counted from the full handshake: a renewal adds nothing', () => {
    const keyOf = (sealUntil: number, ticketLifetime12: number) => ({
      sealUntil,
      openUntil: sealUntil + 2 * HOUR,
      openUntil12: sealUntil + ticketLifetime12,
    });
    const key = keyOf(T0 + HOUR / 2, HOUR);
    const lifetime = (
      sinceHandshake: number,
      changes: Partial<TicketPolicy> = {},
      ring: typeof key | undefined = key,
    ) => remainingLifetime({ ...tickets, ...changes }, T0 - sinceHandshake, T0, ring, 'TLSv1.2');
    assert.equal(lifetime(0), 3600);
    assert.equal(lifetime(MINUTE), 3540);
    assert.equal(lifetime(HOUR - 1000), 1);
    assert.equal(lifetime(HOUR - 999), 0);
    assert.equal(lifetime(HOUR), 0);
    assert.equal(lifetime(-HOUR), 3600);
    assert.equal(lifetime(0, {}, keyOf(T0 + MINUTE, 10 * MINUTE)), 600);
    assert.equal(lifetime(0, {}, keyOf(T0 + HOUR, 6 * HOUR)), 7200);
    assert.equal(lifetime(0, { ticketLifetime: 60 }), 60);
    assert.equal(lifetime(0, { handshakeValidity: 90 }), 90);
    assert.equal(lifetime(0, {}, keyOf(T0 + 30_000 - HOUR, HOUR)), 30);
  });

  it('a TLS 1.2 ticket is renewed by the key that opened it, and by no other', () => {
    const name = (byte: number) => new Uint8Array(16).fill(byte);
    const sealing = (byte: number | undefined, dangerouslyLongTls12Sessions = false) => ({
      keys: {
        sealingKey: () => (byte === undefined ? undefined : ({ name: name(byte) } as TicketKey)),
        openingKey: () => undefined,
        status: () => [],
      },
      dangerouslyLongTls12Sessions,
    });
    assert.equal(renewsTicket12(sealing(1), { name: name(1) }, T0), true);
    assert.equal(renewsTicket12(sealing(2), { name: name(1) }, T0), false);
    assert.equal(renewsTicket12(sealing(undefined), { name: name(1) }, T0), false);
    assert.equal(renewsTicket12(sealing(2, true), { name: name(1) }, T0), true);
    assert.equal(renewsTicket12(sealing(undefined, true), { name: name(1) }, T0), false);
  });

  it('a cached TLS 1.2 session, which no key seals, lives for an hour at most', () => {
    assert.equal(remainingLifetime(tickets, T0, T0, undefined, 'TLSv1.2'), 3600);
    assert.equal(remainingLifetime(tickets, T0 - HOUR, T0, undefined, 'TLSv1.2'), 0);
    assert.equal(remainingLifetime(tickets, T0, T0, undefined, 'TLSv1.3'), 7200);
  });

  it('TLS 1.2 sessions live as long as TLS 1.3’s where the operator says so', () => {
    const long = { ...tickets, dangerouslyLongTls12Sessions: true };
    const openUntil = T0 + 3 * HOUR;
    const key = { sealFrom: T0, sealUntil: T0 + HOUR, openUntil, openUntil12: openUntil };
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      assert.equal(remainingLifetime(long, T0 - 5 * HOUR, T0, key, version), 7200);
      assert.equal(remainingLifetime(long, T0 - 23 * HOUR, T0, key, version), 3600);
    }
  });

  it('a policy out of bounds is refused', () => {
    assert.doesNotThrow(() => checkTicketPolicy(tickets));
    for (const wrong of [
      { ticketsPerConnection: -1 },
      { ticketsPerResumption: 1.5 },
      { maxTickets: 1000 },
      { ticketLifetime: 0 },
      { ticketLifetime: 82_801 },
      { handshakeValidity: 0 },
      { handshakeValidity: 604_801 },
    ]) {
      assert.throws(() => checkTicketPolicy({ ...tickets, ...wrong }), { code: 'TLS_ERR_CONFIG' });
    }
  });
});
