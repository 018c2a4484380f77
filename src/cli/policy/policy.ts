/** `mayfly policy`: the values of a policy, and what it means to whoever steals a secret. */

import { explainPolicy, type StolenSecret, type TheftReport } from '../../policy/explain.ts';
import { periodText } from '../../policy/period.ts';
import { type Policy, resolvePolicy } from '../../policy/policy.ts';
import { renewalText } from '../../policy/weaker.ts';
import { bytesText, table } from '../limits/words.ts';
import { createOutput } from '../output.ts';
import type { PolicyFlags } from '../policy.ts';
import { paragraph, tableWidth } from '../terminal.ts';
import { isPolicyName, policyByName, policyFromFile, policyNames } from './load.ts';

/** @throws Problem `usage`, `file` */
export function tellPolicy(named: string | undefined, flags: PolicyFlags): void {
  const output = createOutput(flags.json === true);
  const policies = named === undefined ? policyNames.map(resolvePolicy) : [loadPolicy(named)];
  for (const line of sideBySide(policies)) {
    output.say(line);
  }
  for (const policy of policies) {
    const reports = flags.explain === true ? explainPolicy(policy) : undefined;
    output.event('policy', { ...policy, usageLimit: policy.usageLimit ?? null, ...thefts(reports) });
    for (const line of reports === undefined ? [] : explanation(policy, reports)) {
      output.say(line);
    }
  }
  if (flags.explain !== true) {
    output.say();
    output.say(`What that means to a thief: mayfly policy ${named ?? 'NAME'} --explain`);
  }
}

/** One after the other where the terminal is too narrow. */
function sideBySide(policies: readonly Policy[]): string[] {
  const lines = table(columns(policies));
  const isNarrow = Math.max(...lines.map((line) => line.length)) > tableWidth();
  return isNarrow && policies.length > 1
    ? policies.flatMap((policy, i) => [...(i === 0 ? [] : ['']), ...table(columns([policy]))])
    : lines;
}

function loadPolicy(named: string): Policy {
  return resolvePolicy(isPolicyName(named) ? policyByName(named, 'policy') : policyFromFile(named));
}

function columns(policies: readonly Policy[]): string[][] {
  const rows: [string, (policy: Policy) => string][] = [
    ['versions', ({ versions }) => versions.map((version) => version.replace('TLSv', '')).join(', ')],
    ['key exchange', ({ namedGroups }) => namedGroups?.join(', ') ?? 'all (ephemeral, hybrid first)'],
    ['PSK modes', ({ pskModes }) => pskModes.join(', ')],
    ['sealUntil', ({ sealUntil }) => periodText(sealUntil)],
    ['openUntil', (policy) => with12(policy, policy.openUntil, policy.openUntil12)],
    ['ticketLifetime', ({ ticketLifetime }) => periodText(ticketLifetime)],
    ['handshakeValidity', (policy) => with12(policy, policy.handshakeValidity, policy.sessionLife12)],
    [
      'usageLimit',
      ({ usageLimit }) => (usageLimit === undefined ? 'the suite’s (mayfly limits)' : `${usageLimit} records`),
    ],
    ['keyRenewal', ({ keyRenewal }) => renewalText(keyRenewal)],
    ['idleTimeout', ({ idleTimeout }) => (idleTimeout === 0 ? 'never' : periodText(idleTimeout))],
    ['tickets', ticketsText],
    ['singleUse', ({ singleUse }) => (singleUse ? 'yes' : 'no')],
    ['sessions by ID', sessionsText],
    ['early data', ({ earlyData }) => (earlyData ? 'taken' : 'refused')],
  ];
  return [
    ['policy', ...policies.map(({ name }) => name)],
    ...rows.map(([name, tell]) => [name, ...policies.map(tell)]),
  ];
}

function with12({ versions }: Policy, all: number, of12: number): string {
  return versions.includes('TLSv1.2') ? `${periodText(all)}, of TLS 1.2 ${periodText(of12)}` : periodText(all);
}

function ticketsText({ tickets, ticketsPerConnection, ticketsPerResumption, maxTickets }: Policy): string {
  return tickets ? `${ticketsPerConnection}, resumed ${ticketsPerResumption}, asked for ${maxTickets}` : 'none';
}

function sessionsText({ sessionIds, versions, maxSessions, maxSessionBytes, cachedLife12 }: Policy): string {
  return sessionIds && versions.includes('TLSv1.2')
    ? `${maxSessions.toLocaleString('en')}, ${bytesText(BigInt(maxSessionBytes))}, for ${periodText(cachedLife12)}`
    : 'none';
}

function explanation({ name }: Policy, reports: readonly TheftReport[]): string[] {
  return [
    '',
    `${name}: what is opened by whoever has recorded all traffic, and steals`,
    ...reports.flatMap(({ secret, sentences }) => [
      '',
      `  ${TITLES[secret]}`,
      ...sentences.flatMap((sentence) => paragraph(sentence, '    - ', EXPLANATION_WIDTH)),
    ]),
  ];
}

/** A length of time that no policy bounds has no number in JSON. */
function thefts(reports: readonly TheftReport[] | undefined): Record<string, unknown> {
  if (reports === undefined) {
    return {};
  }
  const text = JSON.stringify(reports, (_, value) => (value === Number.POSITIVE_INFINITY ? 'unbounded' : value));
  return { thefts: JSON.parse(text) };
}

/** Columns: shorter lines than elsewhere, as there is much to read. */
const EXPLANATION_WIDTH = 106;
const TITLES: Readonly<Record<StolenSecret, string>> = {
  certificateKey: 'the certificate’s key',
  ticketKeys: 'the ticket keys of that moment',
  sessionCache: 'the sessions kept by ID',
  externalCache: 'a cache of sessions outside, with its whole history',
  externalPsks: 'external PSKs',
  processMemory: 'the whole memory of the process',
  fleetStore: 'the fleet’s store, with its whole history',
  identityFiles: 'the identity and configuration of a fleet’s member',
};
