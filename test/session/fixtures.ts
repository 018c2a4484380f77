/** Sessions for the tests of this folder. */

import fc from 'fast-check';
import { Secret } from '../../src/bytes/secret.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import type { ClientSession, ClientSession12, ClientSession13 } from '../../src/session/client-session.ts';
import type { SessionState, SessionState12, SessionState13 } from '../../src/session/session-state.ts';

export const T0 = 1_800_000_000_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;

export function sessionState(changes: Partial<SessionState13> = {}): SessionState13 {
  const cipherSuite = changes.cipherSuite ?? 'TLS_AES_128_GCM_SHA256';
  return {
    version: 'TLSv1.3',
    cipherSuite,
    secret: pattern('resumptionPsk', cipherSuites[cipherSuite].hashLength),
    ticketAgeAdd: 0xdeadbeef,
    maxEarlyDataSize: 0,
    externalPskIdentity: NO_BYTES,
    ...state,
    ...changes,
  };
}

export function sessionState12(changes: Partial<SessionState12> = {}): SessionState12 {
  return {
    version: 'TLSv1.2',
    cipherSuite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    secret: pattern('masterSecret', 48),
    extendedMasterSecret: true,
    ...state,
    ticketLifetime: 3600,
    ...changes,
  };
}

export function clientSession(changes: Partial<ClientSession13> = {}): ClientSession13 {
  const cipherSuite = changes.cipherSuite ?? 'TLS_AES_256_GCM_SHA384';
  return {
    version: 'TLSv1.3',
    cipherSuite,
    ticket: new Uint8Array(200).fill(3),
    secret: pattern('resumptionPsk', cipherSuites[cipherSuite].hashLength),
    ticketAgeAdd: 42,
    maxEarlyDataSize: 16_384,
    externalPskFingerprint: NO_BYTES,
    ...session,
    ...changes,
  };
}

/** By session ID; `{ sessionId: NO_BYTES, ticket }` makes one by ticket. */
export function clientSession12(changes: Partial<ClientSession12> = {}): ClientSession12 {
  return {
    version: 'TLSv1.2',
    cipherSuite: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
    secret: pattern('masterSecret', 48),
    extendedMasterSecret: true,
    sessionId: new Uint8Array(32).fill(4),
    ticket: NO_BYTES,
    ...session,
    ...changes,
  };
}

export const NO_BYTES = new Uint8Array(0);

/** With the secret's bytes in the open, for `deepEqual`. */
export function plain<T extends { readonly secret: Secret }>(session: T): unknown {
  return { ...session, secret: session.secret.use((bytes) => Array.from(bytes)) };
}

function pattern(kind: string, length: number): Secret {
  return Secret.create(kind, length, (bytes) => bytes.set(bytes.map((_, i) => i + 1)));
}

const state = {
  issuedAt: T0,
  authenticatedAt: T0 - 1000,
  ticketLifetime: 7200,
  serverName: 'www.example.com',
  alpnProtocol: 'h2',
  policyHash: new Uint8Array(32).fill(7),
  peerCertificates: [] as Uint8Array[],
};

const session = {
  receivedAt: T0,
  ticketLifetime: 7200,
  authenticatedAt: T0,
  serverName: 'www.example.com',
  alpnProtocol: 'h2',
  peerCertificates: [new Uint8Array(700).fill(1), new Uint8Array(900).fill(2)],
};

const suite13 = fc.constantFrom(...(Object.keys(cipherSuites) as CipherSuiteName[]));
const suite12 = fc.constantFrom(...(Object.keys(cipherSuites12) as CipherSuite12Name[]));
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const lifetime = fc.integer({ min: 0, max: 604_800 });
const name = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255);
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const secret = (kind: string, length: number) => bytes(length).map((value) => Secret.copy(kind, value));
const common = {
  ticketLifetime: lifetime,
  authenticatedAt: time,
  serverName: name,
  alpnProtocol: name,
  peerCertificates: fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 5 }),
};
const commonState = { issuedAt: time, policyHash: bytes(32), ...common };
const own12 = {
  version: fc.constant('TLSv1.2' as const),
  cipherSuite: suite12,
  secret: secret('masterSecret', 48),
  extendedMasterSecret: fc.boolean(),
};

const anySessionState13: fc.Arbitrary<SessionState13> = suite13.chain((cipherSuite) =>
  fc.record({
    version: fc.constant('TLSv1.3' as const),
    cipherSuite: fc.constant(cipherSuite),
    secret: secret('resumptionPsk', cipherSuites[cipherSuite].hashLength),
    ticketAgeAdd: uint32,
    maxEarlyDataSize: uint32,
    externalPskIdentity: fc.uint8Array({ maxLength: 300 }),
    ...commonState,
  }),
);

const anySessionState12: fc.Arbitrary<SessionState12> = fc.record({ ...own12, ...commonState });

export const anySessionState: fc.Arbitrary<SessionState> = fc.oneof(anySessionState13, anySessionState12);

const anyClientSession13: fc.Arbitrary<ClientSession13> = suite13.chain((cipherSuite) =>
  fc.record({
    version: fc.constant('TLSv1.3' as const),
    cipherSuite: fc.constant(cipherSuite),
    secret: secret('resumptionPsk', cipherSuites[cipherSuite].hashLength),
    ticketAgeAdd: uint32,
    maxEarlyDataSize: uint32,
    externalPskFingerprint: fc.constantFrom(NO_BYTES, new Uint8Array(32).fill(5)),
    ticket: fc.uint8Array({ minLength: 1, maxLength: 400 }),
    receivedAt: time,
    ...common,
  }),
);

const byIdOrTicket = fc.oneof(
  fc.record({ sessionId: fc.uint8Array({ minLength: 1, maxLength: 32 }), ticket: fc.constant(NO_BYTES) }),
  fc.record({ sessionId: fc.constant(NO_BYTES), ticket: fc.uint8Array({ minLength: 1, maxLength: 400 }) }),
);

const anyClientSession12: fc.Arbitrary<ClientSession12> = byIdOrTicket.chain((handle) =>
  fc.record({ ...own12, receivedAt: time, ...common }).map((rest) => ({ ...rest, ...handle })),
);

export const anyClientSession: fc.Arbitrary<ClientSession> = fc.oneof(anyClientSession13, anyClientSession12);
