/** Sessions for the tests of this folder. */

import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import type { SessionState } from '../../src/session/session-state.ts';

export const T0 = 1_800_000_000_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;

export function sessionState(changes: Partial<SessionState> = {}): SessionState {
  const cipherSuite = changes.cipherSuite ?? 'TLS_AES_128_GCM_SHA256';
  return {
    version: 'TLSv1.3',
    cipherSuite,
    secret: pattern(cipherSuites[cipherSuite].hashLength),
    issuedAt: T0,
    authenticatedAt: T0 - 1000,
    ticketLifetime: 7200,
    ticketAgeAdd: 0xdeadbeef,
    serverName: 'www.example.com',
    alpnProtocol: 'h2',
    policyHash: new Uint8Array(32).fill(7),
    ...changes,
  };
}

export function clientSession(changes: Partial<ClientSession> = {}): ClientSession {
  const cipherSuite = changes.cipherSuite ?? 'TLS_AES_256_GCM_SHA384';
  return {
    version: 'TLSv1.3',
    cipherSuite,
    ticket: new Uint8Array(200).fill(3),
    secret: pattern(cipherSuites[cipherSuite].hashLength),
    receivedAt: T0,
    ticketLifetime: 7200,
    ticketAgeAdd: 42,
    authenticatedAt: T0,
    serverName: 'www.example.com',
    alpnProtocol: 'h2',
    peerCertificates: [new Uint8Array(700).fill(1), new Uint8Array(900).fill(2)],
    ...changes,
  };
}

/** With the secret's bytes in the open, for `deepEqual`. */
export function plain<T extends { readonly secret: Secret }>(session: T): unknown {
  return { ...session, secret: session.secret.use((bytes) => Array.from(bytes)) };
}

function pattern(length: number): Secret {
  return Secret.create('resumptionPsk', length, (bytes) => bytes.set(bytes.map((_, i) => i + 1)));
}

const suite = fc.constantFrom(...(Object.keys(cipherSuites) as CipherSuiteName[]));
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const lifetime = fc.integer({ min: 0, max: 604_800 });
const name = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255);
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const common = {
  ticketLifetime: lifetime,
  ticketAgeAdd: uint32,
  authenticatedAt: time,
  serverName: name,
  alpnProtocol: name,
};

export const anySessionState: fc.Arbitrary<SessionState> = suite.chain((cipherSuite) =>
  fc.record({
    version: fc.constant('TLSv1.3' as const),
    cipherSuite: fc.constant(cipherSuite),
    secret: bytes(cipherSuites[cipherSuite].hashLength).map((psk) => Secret.copy('resumptionPsk', psk)),
    issuedAt: time,
    policyHash: bytes(32),
    ...common,
  }),
);

export const anyClientSession: fc.Arbitrary<ClientSession> = suite.chain((cipherSuite) =>
  fc.record({
    version: fc.constant('TLSv1.3' as const),
    cipherSuite: fc.constant(cipherSuite),
    secret: bytes(cipherSuites[cipherSuite].hashLength).map((psk) => Secret.copy('resumptionPsk', psk)),
    ticket: fc.uint8Array({ minLength: 1, maxLength: 400 }),
    receivedAt: time,
    peerCertificates: fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 5 }),
    ...common,
  }),
);
