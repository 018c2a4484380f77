/** Where one policy protects less than another: what a server is told of whose options go before its policy. */

import { periodText } from './period.ts';
import type { Policy } from './policy.ts';

export interface Weakening {
  /** The policy's name for it. */
  readonly what: string;
  readonly policy: string;
  readonly instead: string;
}

/** All respects in which `actual` protects less than `policy`. */
export function weakenings(policy: Policy, actual: Policy): readonly Weakening[] {
  const found: Weakening[] = [];
  const note = (what: string, isWeaker: boolean, wanted: unknown, got: unknown) => {
    if (isWeaker) {
      found.push({ what, policy: String(wanted), instead: String(got) });
    }
  };
  const extra = actual.versions.filter((version) => !policy.versions.includes(version));
  note('versions', extra.length > 0, policy.versions.join(', '), actual.versions.join(', '));
  const wanted = policy.namedGroups;
  const groups = actual.namedGroups;
  const wider = wanted !== undefined && (groups === undefined || groups.some((group) => !wanted.includes(group)));
  note('namedGroups', wider, wanted?.join(', '), groups?.join(', ') ?? 'all');
  for (const name of LIFETIMES) {
    note(name, actual[name] > policy[name], periodText(policy[name]), periodText(actual[name]));
  }
  note(
    'usageLimit',
    most(actual.usageLimit) > most(policy.usageLimit),
    policy.usageLimit,
    actual.usageLimit ?? 'the suite’s',
  );
  note(
    'idleTimeout',
    orNever(actual.idleTimeout) > orNever(policy.idleTimeout),
    idleText(policy.idleTimeout),
    idleText(actual.idleTimeout),
  );
  const [old, now] = [policy.keyRenewal, actual.keyRenewal];
  note(
    'keyRenewal',
    most(now?.afterMilliseconds) > most(old?.afterMilliseconds) ||
      most(now?.afterBytes) > most(old?.afterBytes) ||
      (old?.renegotiate12 === true && now?.renegotiate12 !== true),
    renewalText(old),
    renewalText(now),
  );
  for (const name of OFF_BY_RIGHTS) {
    note(name, actual[name] && !policy[name], false, true);
  }
  note('singleUse', policy.singleUse && !actual.singleUse, true, false);
  const modes = actual.pskModes.filter((mode) => !policy.pskModes.includes(mode));
  note('pskModes', modes.length > 0, policy.pskModes.join(', '), actual.pskModes.join(', '));
  return found;
}

/** `ticketLifetime 2h (policy: 1h)`. */
export function weakeningText({ what, policy, instead }: Weakening): string {
  return `${what} ${instead} (policy: ${policy})`;
}

export function renewalText(renewal: Policy['keyRenewal']): string {
  if (renewal === undefined) {
    return 'at the usage limit';
  }
  const { afterMilliseconds, afterBytes, renegotiate12 } = renewal;
  const parts = [
    ...(afterMilliseconds === undefined ? [] : [periodText(afterMilliseconds)]),
    ...(afterBytes === undefined ? [] : [`${afterBytes.toLocaleString('en')} bytes`]),
  ];
  const in12 = renegotiate12 === true ? ', in TLS 1.2 by renegotiation' : ', TLS 1.3 only';
  return parts.length === 0 ? 'at the usage limit' : `after ${parts.join(' or ')}${in12}`;
}

function idleText(milliseconds: number): string {
  return milliseconds === 0 ? 'never' : periodText(milliseconds);
}

function most(value: number | undefined): number {
  return value ?? Number.POSITIVE_INFINITY;
}

function orNever(milliseconds: number): number {
  return milliseconds === 0 ? Number.POSITIVE_INFINITY : milliseconds;
}

const LIFETIMES = ['sealUntil', 'ticketLifetime', 'handshakeValidity'] as const;
const OFF_BY_RIGHTS = ['tickets', 'sessionIds', 'earlyData', 'dangerouslyLongTls12Sessions'] as const;
