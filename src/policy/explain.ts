/**
 * What a policy means to a thief: what each secret, stolen at one moment, opens of what was recorded before, and of what is
 * recorded afterwards. Everything is computed from the policy's numbers. With
 *
 *     S = sealUntil   T = ticketLifetime   T12 = min(T, S)   V = handshakeValidity   L12 = min(S, V)   C12 = min(T12, V, 1 h)
 *
 * (with `dangerouslyLongTls12Sessions` T12 = T, L12 = V, C12 = min(T, V)):
 *
 *     TLS 1.2  a ticket sealed at i opens with the ring at t while t < i + S + T12; its session began at a > i - L12
 *              ring stolen at t: sessions that began after t - (S + T12 + L12), and their connections until t + S + L12
 *              cache stolen at t: sessions that began after t - C12, and their connections until t + C12
 *     TLS 1.3  a ticket holds a PSK, which by itself opens no connection that had a key exchange of its own (psk_dhe_ke);
 *              early data and psk_ke have none: those recorded after t - (S + T), with tickets of keys that were there at t
 *     process  traffic keys of open connections: TLS 1.3 since the last KeyUpdate, TLS 1.2 since they began
 *
 * RFC 9846 §2.3, §4.7.3, Appendix F.1; RFC 5077 §5; docs/policy.md.
 */

import { READ_SLACK } from '../handshake/key-wear.ts';
import { periodText } from './period.ts';
import type { Policy } from './policy.ts';

export type StolenSecret =
  /** The private key of the server's certificate. */
  | 'certificateKey'
  /** All secrets of the ring of ticket keys, and nothing else. */
  | 'ticketKeys'
  /** The TLS 1.2 sessions kept by ID, and nothing else. */
  | 'sessionCache'
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
  const figures = FIGURES[secret](numbersOf(policy));
  return { secret, ...figures, sentences: SENTENCES[secret](figures, policy) };
}

type Figures = Pick<TheftReport, 'past' | 'future' | 'pose'>;

interface Numbers {
  /** TLS 1.2 is spoken. */
  readonly has12: boolean;
  readonly has13: boolean;
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
  const pskKe = tickets13 && policy.pskModes.includes('psk_ke');
  const earlyData = tickets13 && policy.earlyData;
  const cached = has12 && policy.sessionIds;
  const ring: Figures = {
    past: {
      tls12: tickets12 ? openUntil12 + sessionLife12 : 0,
      tls13: pskKe ? openUntil : 0,
      earlyData: earlyData ? openUntil : 0,
    },
    future: {
      tls12: tickets12 ? sealUntil + sessionLife12 : 0,
      tls13: pskKe ? openUntil : 0,
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
  return { has12, has13, ring, cache, trafficKeyAge };
}

const FIGURES: Readonly<Record<StolenSecret, (numbers: Numbers) => Figures>> = {
  certificateKey: () => ({ ...NOTHING, pose: { asServer: Number.POSITIVE_INFINITY, asClient: 0 } }),
  ticketKeys: ({ ring }) => ring,
  sessionCache: ({ cache }) => cache,
  processMemory: ({ has12, ring, cache, trafficKeyAge }) => ({
    past: {
      tls12: has12 ? Number.POSITIVE_INFINITY : 0,
      tls13: Math.max(trafficKeyAge, ring.past.tls13),
      earlyData: ring.past.earlyData,
    },
    future: {
      ...ring.future,
      tls12: Math.max(ring.future.tls12, cache.future.tls12),
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

type Telling = (figures: Figures, policy: Policy) => readonly string[];

const SENTENCES: Readonly<Record<StolenSecret, Telling>> = {
  certificateKey: () => [
    'Opens no recording, old or new: every key exchange is ephemeral, and this key only signs.',
    'Lets the thief be the server to new clients until the certificate is revoked or ends: no policy shortens that.',
  ],
  ticketKeys: (figures, policy) =>
    policy.tickets
      ? [...pastOf(figures, 'that were given a ticket, resumed or not'), ...futureOf(figures), ...poseOf(figures)]
      : ['There are none: no tickets are made.'],
  sessionCache: (figures) =>
    figures.past.tls12 === 0
      ? ['Nothing is kept there: no TLS 1.2 sessions by ID.']
      : [...pastOf(figures, 'that were kept under an ID'), ...futureOf(figures), ...poseOf(figures)],
  processMemory: (figures, policy) => [
    ...openConnections(figures, policy),
    ...memoryOfEnded(policy),
    'Lets the thief be the server until the certificate is revoked or ends, as its key is in the memory too.',
  ],
  fleetStore: () => [
    'Opens nothing, old or new: the store sees only what members sealed for each other, to keys that they have erased.',
  ],
  identityFiles: (figures, policy) => [
    'Opens nothing of the past: an identity only signs, and the keys that opened the ring’s records are erased.',
    ...(policy.tickets
      ? [
          'Lets the thief take part in the ring from then on, with what ticket keys of the time are worth ' +
            `(${figures.future.tls12 > 0 ? 'TLS 1.2 sessions with tickets open; ' : ''}posing to clients that resume), until he is struck off the list of members.`,
        ]
      : []),
  ],
};

function pastOf({ past }: Figures, which: string): string[] {
  return [
    past.tls12 > 0
      ? `Opens TLS 1.2 connections of sessions that began at most ${periodText(past.tls12)} before, ${which}.`
      : 'Opens nothing of TLS 1.2.',
    past.tls13 > 0
      ? `Opens TLS 1.3 connections of at most the last ${periodText(past.tls13)} that were resumed without a key exchange (psk_ke).`
      : 'Opens nothing of TLS 1.3: each connection, resumed or not, had a key exchange of its own.',
    ...(past.earlyData > 0 ? [`Opens early data of at most the last ${periodText(past.earlyData)}.`] : []),
  ];
}

function futureOf({ future }: Figures): string[] {
  const parts = [
    ...(future.tls12 > 0
      ? [`TLS 1.2 connections of such sessions that begin within ${periodText(future.tls12)} after`]
      : []),
    ...(future.tls13 > 0 ? [`TLS 1.3 connections by psk_ke within ${periodText(future.tls13)} after`] : []),
    ...(future.earlyData > 0 ? [`early data within ${periodText(future.earlyData)} after`] : []),
  ];
  return parts.length === 0 ? ['Opens no connection that begins after.'] : [`Goes on to open ${parts.join(', and ')}.`];
}

function poseOf({ pose }: Figures): string[] {
  return pose.asServer === 0
    ? []
    : [
        `Lets the thief be the server to clients that resume, for ${periodText(pose.asServer)} after, and be such a client, ` +
          `with its certificate, for ${periodText(pose.asClient)}.`,
      ];
}

function openConnections({ past }: Figures, { versions }: Policy): string[] {
  const texts: string[] = [];
  if (versions.includes('TLSv1.3')) {
    const since = Number.isFinite(past.tls13)
      ? `what was sent since their last KeyUpdate, at most ${periodText(past.tls13)} before`
      : 'all that was sent since they began, or since a KeyUpdate at the usage limit';
    texts.push(
      `Opens of TLS 1.3 connections that are open then ${since}, and all that follows until they end; nothing of those that had ended.`,
    );
  }
  if (versions.includes('TLSv1.2')) {
    texts.push(
      'Opens all of TLS 1.2 connections that are open then, from their beginning to their end, and of all others in their sessions.',
    );
  }
  return texts;
}

function memoryOfEnded(policy: Policy): string[] {
  const ring = explainTheft(policy, 'ticketKeys');
  const cache = explainTheft(policy, 'sessionCache');
  const oldest = Math.max(ring.past.tls12, cache.past.tls12);
  const next = Math.max(ring.future.tls12, cache.future.tls12);
  return [
    ...(oldest > 0
      ? [
          `Opens TLS 1.2 connections that had ended, of sessions that began at most ${periodText(oldest)} before, ` +
            `and those of such sessions that begin within ${periodText(next)} after.`,
        ]
      : []),
    ...(ring.past.tls13 > 0
      ? [`Opens TLS 1.3 connections by psk_ke of at most the last ${periodText(ring.past.tls13)}.`]
      : []),
    ...(ring.past.earlyData > 0 ? [`Opens early data of at most the last ${periodText(ring.past.earlyData)}.`] : []),
  ];
}

function forEver(figure: number): number {
  return figure > 0 ? Number.POSITIVE_INFINITY : 0;
}

const NOTHING: Figures = {
  past: { tls12: 0, tls13: 0, earlyData: 0 },
  future: { tls12: 0, tls13: 0, earlyData: 0, openConnections: false },
  pose: { asServer: 0, asClient: 0 },
};
/** The timer of key renewal looks so often in one period: see node/key-renewal.ts. */
const TIMER_SLACK = 0.25;
export const SECRETS: readonly StolenSecret[] = [
  'certificateKey',
  'ticketKeys',
  'sessionCache',
  'processMemory',
  'fleetStore',
  'identityFiles',
];
