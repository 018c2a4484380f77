/** `serve --policy` and `--policy-file`: the policy that the other flags leave, which go before it. */

import { createSecureContext } from '../../node/tls.ts';
import { parseGroups } from '../../node/tls-options.ts';
import { periodText } from '../../policy/period.ts';
import { type Policy, type PolicyOptions, resolvePolicy } from '../../policy/policy.ts';
import { type Weakening, weakenings } from '../../policy/weaker.ts';
import { parseDuration } from '../duration.ts';
import { flagProblem, messageOf, Problem } from '../problem.ts';
import { parseVersions, versionOptions } from '../versions.ts';
import { policyByName, policyFromFile } from './load.ts';

/** The flags that say what a policy says too. */
export interface PolicyBoundFlags {
  readonly policy?: string;
  readonly policyFile?: string;
  readonly tls: string;
  readonly rotate: string;
  readonly lifetime: string;
  readonly resumption: boolean;
  readonly earlyData?: boolean;
  readonly group?: string;
  readonly suite?: string;
}

export interface ServePolicy<F> {
  /** With the policy's values where none was given. */
  readonly flags: F;
  /** With the values of the flags that were given; undefined without a policy. */
  readonly options: PolicyOptions | undefined;
  /** Where flags protect less than the policy. */
  readonly weakened: readonly Weakening[];
  /** What holds in the end: with a policy or without. @throws Problem `usage` flags that are out of bounds */
  readonly inForce: () => Policy;
}

/**
 * @param isGiven whether a flag was given, and not just has its default
 * @throws Problem `usage`, `file`
 */
export function servePolicy<F extends PolicyBoundFlags>(flags: F, isGiven: (flag: keyof F) => boolean): ServePolicy<F> {
  const { policy: name, policyFile } = flags;
  if (name !== undefined && policyFile !== undefined) {
    throw new Problem('usage', '--policy and --policy-file exclude each other', 'A file can extend a policy by name.');
  }
  if (name === undefined && policyFile === undefined) {
    const before = given(flags, isGiven);
    // Also a flag that was not given has a value, which is the default policy's.
    const inForce = (): Policy => {
      const policy = resolve(given(flags, () => true));
      return { ...policy, name: nameOf('default', before) };
    };
    const [only] = narrowed(flags).versions ?? [];
    const tls = only === undefined ? flags.tls : only.replace('TLSv', '');
    return { flags: { ...flags, tls }, options: undefined, weakened: [], inForce };
  }
  const named = name === undefined ? policyFromFile(policyFile as string) : policyByName(name, '--policy');
  const options: PolicyOptions = { ...named, ...given(flags, isGiven) };
  const wanted = resolvePolicy(named);
  const actual = resolve(options);
  return {
    flags: {
      ...flags,
      tls: actual.versions.length === 2 ? 'both' : actual.versions[0].replace('TLSv', ''),
      rotate: periodText(actual.sealUntil),
      lifetime: periodText(actual.ticketLifetime),
      resumption: actual.tickets || actual.sessionIds,
      earlyData: actual.earlyData,
    },
    options,
    weakened: weakenings(wanted, actual),
    inForce: () => ({ ...actual, name: nameOf(wanted.name, given(flags, isGiven)) }),
  };
}

function nameOf(name: string, before: PolicyOptions): string {
  return Object.keys(before).length === 0 ? name : `${name}, with flags that go before it`;
}

function given<F extends PolicyBoundFlags>(flags: F, isGiven: (flag: keyof F) => boolean): PolicyOptions {
  return {
    ...(isGiven('tls') ? { versions: parseVersions(flags.tls) } : {}),
    ...narrowed(flags),
    ...(flags.group === undefined ? {} : { namedGroups: groupsOf(flags.group) }),
    ...(isGiven('rotate') ? { sealUntil: parseDuration(flags.rotate, '--rotate') / 1000 } : {}),
    ...(isGiven('lifetime') ? { ticketLifetime: parseDuration(flags.lifetime, '--lifetime') / 1000 } : {}),
    ...(flags.resumption ? {} : { tickets: false, sessionIds: false }),
    ...(flags.earlyData === true ? { earlyData: true, singleUse: true } : {}),
  };
}

/** Suites of TLS 1.3 alone rule out TLS 1.2. */
function narrowed({ tls, suite }: PolicyBoundFlags): Pick<PolicyOptions, 'versions'> {
  if (suite === undefined) {
    return {};
  }
  if (/(^|[,:])\s*(TLS_)?(DHE|EDH|kDHE|kEDH)[-_+:,]/i.test(`${suite},`)) {
    // Each costs a server some twenty times as much, and any client can ask for it.
    throw new Problem('usage', '--suite: suites with DHE are not served by this command', 'Name others, with ECDHE.');
  }
  try {
    const { versions } = createSecureContext({ ciphers: listOf(suite), ...versionOptions(parseVersions(tls)) });
    return versions.length === 1 ? { versions } : {};
  } catch (error) {
    throw flagProblem(error);
  }
}

function groupsOf(text: string): PolicyOptions['namedGroups'] {
  try {
    return parseGroups(listOf(text));
  } catch (error) {
    throw flagProblem(error);
  }
}

/** With commas, as flags have it; with colons, as options do. */
export function listOf(text: string): string {
  return text
    .split(/[,:]/)
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .join(':');
}

function resolve(options: PolicyOptions): Policy {
  try {
    return resolvePolicy(options);
  } catch (error) {
    const { namedGroups } = options;
    const isHybridAlone = Array.isArray(namedGroups) && namedGroups.every((group) => group === 'X25519MLKEM768');
    const hint = isHybridAlone ? 'Give --tls 1.3, or another --group too.' : undefined;
    throw new Problem('usage', `the flags do not go with the policy: ${messageOf(error)}`, hint, error);
  }
}
