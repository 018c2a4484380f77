/** Tickets: sealing, opening, and every way to be refused. */

import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { decodeSessionState, encodeSessionState, type SessionState } from '../../src/session/session-state.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import type { TicketKey, TicketKeySource } from '../../src/session/ticket-key.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { HOUR, MINUTE, NO_BYTES, plain, sessionState, sessionState12, T0 } from './fixtures.ts';
import { SimulatedClock } from './simulated-clock.ts';

function ticketKey(): TicketKey {
  return {
    name: new Uint8Array(16).fill(9),
    secret: Secret.copy('ticketKey', new Uint8Array(32).fill(5)),
    secret12: Secret.copy('ticketKey', new Uint8Array(32).fill(6)),
    createdAt: T0,
    sealFrom: T0,
    sealUntil: T0 + HOUR,
    openUntil: T0 + 3 * HOUR,
    openUntil12: T0 + 2 * HOUR,
  };
}

/** One block of HKDF-Expand with SHA-256 (RFC 5869 §2.3). */
function hkdfExpand(prk: Uint8Array, info: Uint8Array): Uint8Array {
  return createHmac('sha256', prk).update(info).update('\x01').digest();
}

/** Gives out its key whatever the name and the time: what is left are the ticket's own checks. */
function careless(key: TicketKey): TicketKeySource {
  return { sealingKey: () => key, openingKey: () => key, status: () => [] };
}

function localKeys(clock: SimulatedClock): LocalTicketKeys {
  return new LocalTicketKeys({ provider, clock, rotateEvery: HOUR, ticketLifetime: 2 * HOUR });
}

function sealWith(keys: TicketKeySource, now: number): Uint8Array {
  const key = keys.sealingKey(now);
  assert(key);
  return sealTicket({ provider, key, state: sessionState({ issuedAt: now }) });
}

function flippedFormat(ticket: Uint8Array): Uint8Array {
  const other = new Uint8Array(ticket);
  other[0] ^= 3;
  return other;
}

describe('ticket', () => {
  const key = ticketKey();
  const keys = careless(key);

  it('opening gives back the state that was sealed', () => {
    for (const cipherSuite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const) {
      const state = sessionState({ cipherSuite });
      const opened = openTicket({ provider, keys, ticket: sealTicket({ provider, key, state }), now: T0 + 1 });
      assert(opened.state);
      assert.deepEqual(plain(opened.state), plain(state));
    }
  });

  it('a TLS 1.2 session goes into a ticket with its master secret and the client’s certificates', () => {
    const states = [
      sessionState12(),
      sessionState12({ extendedMasterSecret: false, cipherSuite: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384' }),
      sessionState12({ peerCertificates: [new Uint8Array(5000).fill(1), new Uint8Array(5000).fill(2)] }),
    ];
    for (const state of states) {
      const opened = openTicket({ provider, keys, ticket: sealTicket({ provider, key, state }), now: T0 + 1 });
      assert(opened.state);
      assert.deepEqual(plain(opened.state), plain(state));
    }
  });

  it('a ticket that is bound to something opens only together with it', () => {
    const boundTo = new Uint8Array([1, 2, 3]);
    const bound = sealTicket({ provider, key, state: sessionState12(), boundTo });
    const free = sealTicket({ provider, key, state: sessionState12() });
    assert(openTicket({ provider, keys, ticket: bound, boundTo, now: T0 }).state);
    assert(openTicket({ provider, keys, ticket: free, boundTo: NO_BYTES, now: T0 }).state);
    for (const [ticket, wrong] of [
      [bound, undefined],
      [bound, boundTo.subarray(1)],
      [bound, new Uint8Array([1, 2, 4])],
      [free, boundTo],
    ] as const) {
      assert.equal(openTicket({ provider, keys, ticket, boundTo: wrong, now: T0 }).refusal, 'bad_ticket');
    }
  });

  it('a flipped bit at any position is refused', () => {
    const ticket = sealTicket({ provider, key, state: sessionState() });
    for (let bit = 0; bit < ticket.length * 8; bit++) {
      const tampered = new Uint8Array(ticket);
      tampered[bit >> 3] ^= 1 << (bit & 7);
      assert.equal(openTicket({ provider, keys, ticket: tampered, now: T0 }).refusal, 'bad_ticket', `bit ${bit}`);
    }
  });

  it('every truncation, an extension, and a flood of bytes are refused', () => {
    const ticket = sealTicket({ provider, key, state: sessionState() });
    for (let length = 0; length < ticket.length; length++) {
      const refusal = openTicket({ provider, keys, ticket: ticket.subarray(0, length), now: T0 }).refusal;
      assert.equal(refusal, 'bad_ticket', `${length} bytes`);
    }
    for (const extra of [1, 32, 65_000]) {
      const longer = new Uint8Array(ticket.length + extra);
      longer.set(ticket);
      assert.equal(openTicket({ provider, keys, ticket: longer, now: T0 }).refusal, 'bad_ticket');
    }
  });

  it('a ticket under another secret of the same name is refused', () => {
    const other = { ...key, secret: Secret.copy('ticketKey', new Uint8Array(32).fill(6)) };
    const ticket = sealTicket({ provider, key: other, state: sessionState() });
    assert.equal(openTicket({ provider, keys, ticket, now: T0 }).refusal, 'bad_ticket');
  });

  it('two tickets of one state have nothing in common but format and key name', () => {
    const [a, b] = [1, 2].map(() => sealTicket({ provider, key, state: sessionState() }));
    assert.deepEqual(a.subarray(0, 17), b.subarray(0, 17));
    for (let at = 17; at + 16 <= a.length; at += 16) {
      assert.notDeepEqual(a.subarray(at, at + 16), b.subarray(at, at + 16));
    }
  });

  it('the same salt gives the same ticket, so that a handshake can be replayed from a seed', () => {
    const random = (bytes: Uint8Array): void => void bytes.fill(0x55);
    const [a, b] = [1, 2].map(() => sealTicket({ provider, key, state: sessionState(), random }));
    assert.deepEqual(a, b);
  });

  it('the key and the nonce are those of the written formula', () => {
    const state = sessionState();
    const ticket = sealTicket({ provider, key, state });
    const salt = ticket.subarray(17, 49);
    const ticketKeyBytes = new Uint8Array(
      hkdfExpand(key.secret.expose(), Buffer.concat([Buffer.from('mayfly ticket'), salt])),
    );
    const decipher = createDecipheriv('aes-256-gcm', ticketKeyBytes, salt.subarray(0, 12));
    decipher.setAAD(ticket.subarray(0, 49)).setAuthTag(ticket.subarray(-16));
    const plaintext = Buffer.concat([decipher.update(ticket.subarray(49, -16)), decipher.final()]);
    assert.deepEqual(plain(decodeSessionState(plaintext)), plain(state));
  });

  it('server names of similar length give tickets of the same length, below 300 bytes', () => {
    const lengths = new Set<number>();
    for (let length = 0; length <= 80; length++) {
      lengths.add(sealTicket({ provider, key, state: sessionState({ serverName: 'n'.repeat(length) }) }).length);
    }
    assert(lengths.size <= 4, `${lengths.size} lengths`);
    assert(Math.max(...lengths) < 300);
    const names = ['a.io', 'example.com', 'www.example.com'];
    const typical = new Set(
      names.map((serverName) => sealTicket({ provider, key, state: sessionState({ serverName }) }).length),
    );
    assert.equal(typical.size, 1);
  });

  it('the longest state that can be encoded still makes a ticket that opens', () => {
    const name = 'n'.repeat(255);
    const peerCertificates = [new Uint8Array(12_286).fill(1)];
    const names = { serverName: name, alpnProtocol: name };
    const state = sessionState({ cipherSuite: 'TLS_AES_256_GCM_SHA384', peerCertificates, ...names });
    assert(openTicket({ provider, keys, ticket: sealTicket({ provider, key, state }), now: T0 }).state);
  });

  it('a ticket is refused once its lifetime is over, to the millisecond', () => {
    const ticket = sealTicket({ provider, key, state: sessionState({ ticketLifetime: 60 }) });
    assert(openTicket({ provider, keys, ticket, now: T0 + 59_999 }).state);
    assert.equal(openTicket({ provider, keys, ticket, now: T0 + 60_000 }).refusal, 'expired_ticket');
  });

  it('a ticket from the future beyond the skew of clocks is refused', () => {
    const ticket = sealTicket({ provider, key, state: sessionState() });
    assert(openTicket({ provider, keys, ticket, now: T0 - 60_000 }).state);
    assert.equal(openTicket({ provider, keys, ticket, now: T0 - 60_001 }).refusal, 'expired_ticket');
  });

  it('a source that gives out a key past its openUntil is not believed', () => {
    const ticket = sealTicket({ provider, key, state: sessionState({ ticketLifetime: 80_000 }) });
    assert.equal(openTicket({ provider, keys, ticket, now: key.openUntil }).refusal, 'expired_ticket');
    const ticket12 = sealTicket({ provider, key, state: sessionState12({ ticketLifetime: 80_000 }) });
    assert(openTicket({ provider, keys, ticket: ticket12, now: key.openUntil12 - 1 }).state);
    assert.equal(openTicket({ provider, keys, ticket: ticket12, now: key.openUntil12 }).refusal, 'expired_ticket');
  });

  it('a ticket of one version does not open as one of the other', () => {
    for (const state of [sessionState(), sessionState12()]) {
      const ticket = flippedFormat(sealTicket({ provider, key, state }));
      assert.equal(openTicket({ provider, keys, ticket, now: T0 }).refusal, 'bad_ticket');
    }
  });

  it('a session of one version inside a ticket of the other is refused, authentic or not', () => {
    const header = sealTicket({ provider, key, state: sessionState12() }).subarray(0, 49);
    const info = Buffer.concat([Buffer.from('mayfly ticket'), header.subarray(17)]);
    const cipher = createCipheriv('aes-256-gcm', hkdfExpand(key.secret12.expose(), info), header.subarray(17, 29));
    cipher.setAAD(header);
    const sealed = (state: SessionState) => {
      const body = [cipher.update(encodeSessionState(state, 32).expose()), cipher.final()];
      return Buffer.concat([header, ...body, cipher.getAuthTag()]);
    };
    const { refusal } = openTicket({ provider, keys, ticket: sealed(sessionState()), now: T0 });
    assert.equal(refusal, 'bad_ticket');
  });

  it('the plaintext of an opened ticket is erased', () => {
    const plaintexts: Uint8Array[] = [];
    const spying = {
      ...provider,
      aead: (...args: Parameters<typeof provider.aead>) => {
        const aead = provider.aead(...args);
        return {
          seal: aead.seal.bind(aead),
          erase: aead.erase.bind(aead),
          open: (...parts: Parameters<typeof aead.open>) => {
            const plaintext = aead.open(...parts);
            if (plaintext !== undefined) {
              plaintexts.push(plaintext);
            }
            return plaintext;
          },
        };
      },
    };
    assert(
      openTicket({ provider: spying, keys, ticket: sealTicket({ provider, key, state: sessionState() }), now: T0 })
        .state,
    );
    assert.equal(plaintexts.length, 1);
    assert(plaintexts[0].every((byte) => byte === 0));
  });

  it('the derived keys are erased after sealing and opening', () => {
    const derived: Uint8Array[] = [];
    const spying = {
      ...provider,
      hmacOfRandomKey: (...args: Parameters<typeof provider.hmac>) => {
        const value = provider.hmacOfRandomKey(...args);
        derived.push(value);
        return value;
      },
    };
    const ticket = sealTicket({ provider: spying, key, state: sessionState() });
    assert(openTicket({ provider: spying, keys, ticket, now: T0 }).state);
    assert.equal(derived.length, 2);
    assert(derived.every((bytes) => bytes.every((byte) => byte === 0)));
  });
});

describe('ticket under the keys of this process', () => {
  it('a ticket sealed under the previous key opens until that key’s openUntil and not after', () => {
    const clock = new SimulatedClock();
    const keys = localKeys(clock);
    clock.advance(HOUR - 1);
    const old = keys.sealingKey(clock.now());
    assert(old);
    const ticket = sealTicket({
      provider,
      key: old,
      state: sessionState({ issuedAt: clock.now(), ticketLifetime: 82_800 }),
    });
    clock.advance(1);
    assert.notEqual(keys.sealingKey(clock.now()), old);
    clock.advance(2 * HOUR - 1);
    assert(openTicket({ provider, keys, ticket, now: clock.now() }).state);
    assert.equal(old.secret.erased, false);
    clock.advance(1);
    assert.equal(old.secret.erased, true);
    assert.equal(openTicket({ provider, keys, ticket, now: clock.now() }).refusal, 'unknown_key');
    keys.close();
  });

  it('a TLS 1.2 ticket opens for one sealing period after its key’s last seal, then its secret is gone; 1.3’s go on', () => {
    const clock = new SimulatedClock();
    const watch = new SecretWatch();
    const living = () => watch.alive.filter((kind) => kind.startsWith('ticketKey')).length;
    const keys = localKeys(clock);
    const key = keys.sealingKey(clock.now());
    assert(key);
    const bytes = key.secret12.expose();
    clock.advance(HOUR - 1);
    const times = { issuedAt: clock.now(), ticketLifetime: 82_800 };
    const ticket = sealTicket({ provider, key, state: sessionState(times) });
    const ticket12 = sealTicket({ provider, key, state: sessionState12(times) });
    clock.advance(HOUR);
    const opened = openTicket({ provider, keys, ticket: ticket12, now: clock.now() }).state;
    assert(opened);
    opened.secret.erase();
    assert.equal(living(), 4);
    clock.advance(1);
    // By the timer alone, before anyone asks.
    assert.equal(key.secret12.erased, true);
    assert(bytes.every((byte) => byte === 0));
    assert.equal(living(), 5, 'a third key has come with two secrets, and one of the first has gone');
    assert.equal(openTicket({ provider, keys, ticket: ticket12, now: clock.now() }).refusal, 'unknown_key');
    assert(openTicket({ provider, keys, ticket, now: clock.now() }).state);
    clock.advance(HOUR);
    assert.equal(key.secret.erased, true);
    keys.close();
    assert.equal(living(), 0);
    watch.stop();
  });

  it('flush kills every outstanding ticket and seals under a new key', () => {
    const clock = new SimulatedClock();
    const keys = localKeys(clock);
    const before = sealWith(keys, clock.now());
    keys.flush();
    assert.equal(openTicket({ provider, keys, ticket: before, now: clock.now() }).refusal, 'unknown_key');
    assert(openTicket({ provider, keys, ticket: sealWith(keys, clock.now()), now: clock.now() }).state);
    keys.close();
  });

  it('after close nothing seals and nothing opens', () => {
    const clock = new SimulatedClock();
    const keys = localKeys(clock);
    const ticket = sealWith(keys, clock.now());
    keys.close();
    assert.equal(keys.sealingKey(clock.now()), undefined);
    assert.equal(openTicket({ provider, keys, ticket, now: clock.now() }).refusal, 'unknown_key');
  });

  it('tickets are counted with the key that sealed and opened them', () => {
    const clock = new SimulatedClock();
    const keys = localKeys(clock);
    const ticket = sealWith(keys, clock.now());
    sealWith(keys, clock.now());
    keys.rotate();
    sealWith(keys, clock.now());
    clock.advance(MINUTE);
    assert(openTicket({ provider, keys, ticket, now: clock.now() }).state);
    const tampered = new Uint8Array(ticket);
    tampered[ticket.length - 1] ^= 1;
    assert.equal(openTicket({ provider, keys, ticket: tampered, now: clock.now() }).refusal, 'bad_ticket');
    const counts = keys.status().map((key) => [key.state, key.ticketsSealed, key.ticketsOpened]);
    assert.deepEqual(counts, [
      ['opening', 2, 1],
      ['sealing', 1, 0],
    ]);
    keys.close();
  });
});
