/**
 * What a policy means to a thief: what each secret, stolen at one moment, opens of what was recorded before, and of what is
 * recorded afterwards. Everything is computed from the policy's numbers. With
 *
 *     S = sealUntil   T = ticketLifetime   T12 = min(T, S)   V = handshakeValidity   L12 = min(S, V)   C12 = min(T12, V, 1 h)
 *
 * (with `dangerouslyLongTls12Sessions` T12 = T, L12 = V, C12 = min(T, V)):
 *
 *     TLS 1.2  all tickets of a session that began at a are sealed under the key of then, which opens until a + S + T12
 *              ring stolen at t: sessions that began after t - (S + T12), and their connections until t + S + L12
 *              (with `dangerouslyLongTls12Sessions` later keys seal it again while i < a + L12: after t - (S + T12 + L12))
 *              cache stolen at t: sessions that began after t - C12, and their connections until t + C12
 *     TLS 1.3  a ticket holds a PSK, which by itself opens no connection that had a key exchange of its own (psk_dhe_ke);
 *              early data and psk_ke have none: those recorded after t - (S + T), with tickets of keys that were there at t
 *     process  traffic keys of open connections: TLS 1.3 since the last KeyUpdate, TLS 1.2 since they began
 *
 * RFC 9846 §2.3, §4.7.3, Appendix F.1; RFC 5077 §5; docs/policy.md.
 */

import { READ_SLACK } from '../handshake/key-wear.ts';
import type { Policy } from './policy.ts';
import { sentencesOf } from './theft-sentences.ts';

export type StolenSecret =
  /** The private key of the server's certificate. */
  | 'certificateKey'
  /** All secrets of the ring of ticket keys, and nothing else. */
  | 'ticketKeys'
  /** The TLS 1.2 sessions kept by ID, and nothing else. */
  | 'sessionCache'
  /** A cache of sessions outside the process (`sessions.cache`), with all that was ever in it, and nothing else. */
  | 'externalCache'
  /** External PSKs, from wherever they are kept. */
  | 'externalPsks'
  /** The whole memory of the process, once. */
  | 'processMemory'
  /** The store over which a fleet shares its ring: a dump, and everything that was ever written to it. */
  | 'fleetStore'
  /** The files of a member of a fleet: its identity and configuration. */
  | 'identityFiles';

/**
 * What a theft at one moment opens. Milliseconds before or after it; 0: nothing; Infinity: no bound follows from the policy.
 * Recordings are opened without touching a connection; posing takes part in one.
 */
export interface TheftReport {
  readonly secret: StolenSecret;
  readonly past: {
    /** How long before the theft the oldest TLS 1.2 session that opens may have begun, by its full handshake. */
    readonly tls12: number;
    /** How old the oldest application data of TLS 1.3 that opens may be, early data left out. */
    readonly tls13: number;
    /** The same of early data. */
    readonly earlyData: number;
  };
  readonly future: {
    /** How long after the theft connections may begin that open. */
    readonly tls12: number;
    readonly tls13: number;
    readonly earlyData: number;
    /** Connections that are open at the moment of the theft go on to be read until they end. */
    readonly openConnections: boolean;
  };
  readonly pose: {
    /** How long after the theft the thief can be the server to clients. */
    readonly asServer: number;
    /** How long after the theft the thief can be a client that the server knows from before, with its certificate. */
    readonly asClient: number;
  };
  /** The same in words, one sentence each. */
  readonly sentences: readonly string[];
}

/** One report for each kind of secret. */
export function explainPolicy(policy: Policy): readonly TheftReport[] {
  return SECRETS.map((secret) => explainTheft(policy, secret));
}

export function explainTheft(policy: Policy, secret: StolenSecret): TheftReport {
  const figures = figuresOf(secret, policy);
  return { secret, ...figures, sentences: sentencesOf(secret, figures, policy) };
}

export type Figures = Pick<TheftReport, 'past' | 'future' | 'pose'>;

/** Milliseconds: age of the oldest data that the traffic keys of an open TLS 1.3 connection open. */
export function trafficKeyAgeOf(policy: Policy): number {
  return numbersOf(policy).trafficKeyAge;
}

export function figuresOf(secret: StolenSecret, policy: Policy): Figures {
  return FIGURES[secret](numbersOf(policy));
}

interface Numbers {
  /** TLS 1.2 is spoken. */
  readonly has12: boolean;
  readonly has13: boolean;
  /** A PSK alone may protect a connection. */
  readonly pskKe: boolean;
  readonly ring: Figures;
  readonly cache: Figures;
  /** Age of the data that the traffic keys of open TLS 1.3 connections open. */
  readonly trafficKeyAge: number;
}

function numbersOf(policy: Policy): Numbers {
  const { sealUntil, openUntil, openUntil12, sessionLife12, cachedLife12, handshakeValidity, keyRenewal } = policy;
  const has12 = policy.versions.includes('TLSv1.2');
  const has13 = policy.versions.includes('TLSv1.3');
  const tickets12 = has12 && policy.tickets;
  const tickets13 = has13 && policy.tickets;
  const pskKe = has13 && policy.pskModes.includes('psk_ke');
  const earlyData = tickets13 && policy.earlyData;
  const cached = has12 && policy.sessionIds;
  // How long after its full handshake a session's ticket may be sealed under a further key.
  const resealed12 = policy.dangerouslyLongTls12Sessions ? sessionLife12 : 0;
  const ring: Figures = {
    past: {
      tls12: tickets12 ? openUntil12 + resealed12 : 0,
      tls13: pskKe && tickets13 ? openUntil : 0,
      earlyData: earlyData ? openUntil : 0,
    },
    future: {
      tls12: tickets12 ? sealUntil + sessionLife12 : 0,
      tls13: pskKe && tickets13 ? openUntil : 0,
      earlyData: earlyData ? openUntil : 0,
      openConnections: false,
    },
    pose: {
      asServer: policy.tickets ? openUntil : 0,
      // He makes a ticket at the last moment, and what it brings him is the server's own.
      asClient: policy.tickets ? openUntil + handshakeValidity : 0,
    },
  };
  const cache: Figures = {
    past: { tls12: cached ? cachedLife12 : 0, tls13: 0, earlyData: 0 },
    future: { tls12: cached ? cachedLife12 : 0, tls13: 0, earlyData: 0, openConnections: false },
    pose: { asServer: cached ? cachedLife12 : 0, asClient: cached ? cachedLife12 : 0 },
  };
  const age = keyRenewal?.afterMilliseconds;
  // The peer renews its key when we ask, a quarter later, and the timer looks four times in that period.
  const trafficKeyAge = has13 ? (age === undefined ? Number.POSITIVE_INFINITY : age * (READ_SLACK + TIMER_SLACK)) : 0;
  return { has12, has13, pskKe, ring, cache, trafficKeyAge };
}

const FIGURES: Readonly<Record<StolenSecret, (numbers: Numbers) => Figures>> = {
  certificateKey: () => ({ ...NOTHING, pose: { asServer: Number.POSITIVE_INFINITY, asClient: 0 } }),
  ticketKeys: ({ ring }) => ring,
  sessionCache: ({ cache }) => cache,
  // Sealed under the ring's keys, as tickets are.
  externalCache: () => NOTHING,
  // They live until they are taken out of the configuration at both ends. Early data is not taken under them.
  externalPsks: ({ has13, pskKe }) => {
    const withoutExchange = pskKe ? Number.POSITIVE_INFINITY : 0;
    const spoken = has13 ? Number.POSITIVE_INFINITY : 0;
    return {
      past: { ...NOTHING.past, tls13: withoutExchange },
      future: { ...NOTHING.future, tls13: withoutExchange },
      pose: { asServer: spoken, asClient: spoken },
    };
  },
  processMemory: ({ has12, has13, pskKe, ring, cache, trafficKeyAge }) => ({
    past: {
      tls12: has12 ? Number.POSITIVE_INFINITY : 0,
      // External PSKs are in the memory too.
      tls13: pskKe ? Number.POSITIVE_INFINITY : trafficKeyAge,
      earlyData: ring.past.earlyData,
    },
    future: {
      tls12: has12 ? Math.max(ring.future.tls12, cache.future.tls12) + GENERATOR_LIFE : 0,
      tls13: pskKe ? Number.POSITIVE_INFINITY : has13 ? GENERATOR_LIFE : 0,
      earlyData: ring.future.earlyData > 0 ? ring.future.earlyData + GENERATOR_LIFE : 0,
      openConnections: true,
    },
    pose: { asServer: Number.POSITIVE_INFINITY, asClient: Math.max(ring.pose.asClient, cache.pose.asClient) },
  }),
  fleetStore: () => NOTHING,
  // A member from then on: the ring's keys of each new epoch come to him, until the others strike him off their list.
  identityFiles: ({ ring }) => ({
    past: NOTHING.past,
    future: {
      tls12: forEver(ring.future.tls12),
      tls13: forEver(ring.future.tls13),
      earlyData: forEver(ring.future.earlyData),
      openConnections: false,
    },
    pose: { asServer: forEver(ring.pose.asServer), asClient: forEver(ring.pose.asClient) },
  }),
};

function forEver(figure: number): number {
  return figure > 0 ? Number.POSITIVE_INFINITY : 0;
}

const NOTHING: Figures = {
  past: { tls12: 0, tls13: 0, earlyData: 0 },
  future: { tls12: 0, tls13: 0, earlyData: 0, openConnections: false },
  pose: { asServer: 0, asClient: 0 },
};
/**
 * How long what is random may follow from what was in the memory: OpenSSL takes fresh bytes from the system at least once an
 * hour, and hands them down to a thread's own generator at least every seven minutes.
 */
export const GENERATOR_LIFE = 67 * 60_000;
/** The timer of key renewal looks so often in one period: see node/key-renewal.ts. */
const TIMER_SLACK = 0.25;
export const SECRETS: readonly StolenSecret[] = [
  'certificateKey',
  'ticketKeys',
  'sessionCache',
  'externalCache',
  'externalPsks',
  'processMemory',
  'fleetStore',
  'identityFiles',
];
