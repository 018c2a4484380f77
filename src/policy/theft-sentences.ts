/** What a theft opens, in words: one sentence for each thing, with the numbers of its figures. */

import { type Figures, figuresOf, GENERATOR_LIFE, type StolenSecret, trafficKeyAgeOf } from './explain.ts';
import { periodText } from './period.ts';
import type { Policy } from './policy.ts';

export function sentencesOf(secret: StolenSecret, figures: Figures, policy: Policy): readonly string[] {
  return TELLINGS[secret](figures, policy);
}

type Telling = (figures: Figures, policy: Policy) => readonly string[];

const TELLINGS: Readonly<Record<StolenSecret, Telling>> = {
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
  externalCache: (_, policy) =>
    policy.versions.includes('TLSv1.2')
      ? [
          'Opens nothing by itself: each session in it is sealed under the ticket keys. With those it opens as tickets do.',
          'Lets the thief make clients of TLS 1.2 do full handshakes, by emptying it, and nothing worse.',
        ]
      : ['Nothing is kept there: no TLS 1.2 sessions by ID.'],
  externalPsks: ({ past }, policy) =>
    policy.versions.includes('TLSv1.3')
      ? [
          past.tls13 > 0
            ? 'Opens all TLS 1.3 connections ever made with them without a key exchange (psk_ke), old and new.'
            : 'Opens nothing, old or new: each connection had a key exchange of its own, and no early data goes under them.',
          'Lets the thief be either end of connections with them until both ends give them up: no policy shortens that.',
        ]
      : ['There are none: they are of TLS 1.3.'],
  processMemory: (_, policy) => [
    ...openConnections(policy),
    ...memoryOfEnded(policy),
    `Foretells what the process takes for random for up to ${periodText(GENERATOR_LIFE)}: connections that begin then open, and ` +
      'so does what keys made then protect. Start a server anew that was broken into.',
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

function openConnections(policy: Policy): string[] {
  const { versions } = policy;
  const texts: string[] = [];
  if (versions.includes('TLSv1.3')) {
    const age = trafficKeyAgeOf(policy);
    const since = Number.isFinite(age)
      ? `what was sent since their last KeyUpdate, at most ${periodText(age)} before`
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
  const ring = figuresOf('ticketKeys', policy);
  const cache = figuresOf('sessionCache', policy);
  const oldest = Math.max(ring.past.tls12, cache.past.tls12);
  const next = Math.max(ring.future.tls12, cache.future.tls12);
  return [
    ...(oldest > 0
      ? [
          `Opens TLS 1.2 connections that had ended, of sessions that began at most ${periodText(oldest)} before, ` +
            `and those of such sessions that begin within ${periodText(next)} after.`,
        ]
      : []),
    ...(policy.versions.includes('TLSv1.3') && policy.pskModes.includes('psk_ke')
      ? [
          `Opens TLS 1.3 connections by psk_ke: with tickets of at most the last ${periodText(ring.past.tls13)}, with external PSKs all.`,
        ]
      : []),
    ...(ring.past.earlyData > 0 ? [`Opens early data of at most the last ${periodText(ring.past.earlyData)}.`] : []),
  ];
}
