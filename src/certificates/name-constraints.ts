/**
 * Name constraints: which names the certificates below a CA may hold. RFC 5280 §4.2.1.10, §6.1.4 (g).
 *
 * The intersection of the permitted subtrees of a whole path and the union of the excluded ones need not be kept:
 * a name lies in the intersection exactly when each constraint on its own allows it, so each CA's constraints are
 * checked against every certificate below it.
 */

import type { ParsedCertificate } from './certificate.ts';
import { attributeValues, isWithinSubtree } from './distinguished-name.ts';
import type { NameConstraints } from './extensions.ts';
import type { GeneralName } from './general-name.ts';
import { OID_EMAIL_ADDRESS } from './oids.ts';
import { isDnsName } from './server-name.ts';

type List = 'permitted' | 'excluded';
type Judgement = 'within' | 'outside' | 'unknown';

interface DnsPattern {
  readonly wildcard: boolean;
  /** Lower case, without the wildcard; undefined when it is no DNS name. */
  readonly base: string | undefined;
}

/** Counts work down; whoever runs out stops. */
export interface Budget {
  left: number;
}

/**
 * Why `constraints` forbid `certificate`, or undefined when they allow it. Each pair of name and subtree costs one of
 * `budget`, and one more for each part of a directoryName; the answer 'budget' means that it ran out (2,000 names under
 * 2,000 constraints are an attack).
 */
export function forbiddenByConstraints(
  constraints: NameConstraints,
  certificate: ParsedCertificate,
  budget: Budget,
): string | undefined {
  const cost = 1 + costOf(constraints.excluded) + costOf(constraints.permitted);
  for (const name of constrainedNames(certificate)) {
    budget.left -= cost;
    if (budget.left < 0) {
      return 'budget';
    }
    const dns = name.kind === 'dns' ? prepareDns(name.value) : undefined;
    for (const subtree of constraints.excluded) {
      if (sameForm(subtree, name) && isWithin(name, dns, subtree, 'excluded') !== 'outside') {
        return `its name ${kindText(name)} is excluded by (or cannot be judged by)`;
      }
    }
    let restricted = false;
    let allowed = false;
    for (const subtree of constraints.permitted) {
      if (sameForm(subtree, name)) {
        restricted = true;
        allowed ||= isWithin(name, dns, subtree, 'permitted') === 'within';
      }
    }
    if (restricted && !allowed) {
      return `its name ${kindText(name)} is not among those permitted by`;
    }
  }
  return undefined;
}

/** Why the constraints themselves are malformed, or undefined. */
export function malformedConstraints(constraints: NameConstraints): string | undefined {
  for (const subtree of [...constraints.permitted, ...constraints.excluded]) {
    if (subtree.kind === 'ip' && !isNetwork(subtree.value)) {
      return 'an iPAddress is not an address with a contiguous mask';
    }
    if (subtree.kind === 'dns' && subtree.value !== '' && !isDnsName(subtree.value)) {
      return `"${subtree.value.slice(0, 100)}" is not a DNS name`;
    }
    if (subtree.kind === 'email' && !isEmailConstraint(subtree.value)) {
      return `"${subtree.value.slice(0, 100)}" is neither a mailbox, a host nor a domain`;
    }
  }
  return undefined;
}

function costOf(subtrees: readonly GeneralName[]): number {
  return subtrees.reduce((sum, base) => sum + 1 + (base.kind === 'directory' ? base.value.rdnKeys.length : 0), 0);
}

/** All names that constraints bind: the alternative names, the subject, and mail addresses within it. */
function* constrainedNames(certificate: ParsedCertificate): Generator<GeneralName> {
  yield* certificate.subjectAltName;
  if (certificate.subject.rdns.length > 0) {
    yield { kind: 'directory', value: certificate.subject };
    for (const value of attributeValues(certificate.subject, OID_EMAIL_ADDRESS)) {
      yield { kind: 'email', value };
    }
  }
}

function sameForm(subtree: GeneralName, name: GeneralName): boolean {
  if (subtree.kind === 'other') {
    return name.kind === 'other' && name.tag === subtree.tag;
  }
  return subtree.kind === name.kind;
}

/** 'unknown' for names that cannot be judged: then neither being permitted nor not being excluded is proven. */
function isWithin(name: GeneralName, dns: DnsPattern | undefined, subtree: GeneralName, list: List): Judgement {
  if (dns !== undefined && subtree.kind === 'dns') {
    return dnsWithin(dns, subtree.value, list);
  }
  if (name.kind === 'ip' && subtree.kind === 'ip') {
    return decided(ipWithin(name.value, subtree.value));
  }
  if (name.kind === 'directory' && subtree.kind === 'directory') {
    return decided(isWithinSubtree(name.value, subtree.value));
  }
  if (name.kind === 'email' && subtree.kind === 'email') {
    return emailWithin(name.value, subtree.value);
  }
  // URIs and the rest: RFC 5280 §4.2.1.10 demands to process such a constraint or to refuse the certificate.
  return 'unknown';
}

/** Decided once per name: it is compared with each of many subtrees. */
function prepareDns(value: string): DnsPattern {
  const wildcard = value.startsWith('*.');
  const base = (wildcard ? value.slice(2) : value).toLowerCase();
  return { wildcard, base: isDnsName(base) ? base : undefined };
}

function dnsWithin({ wildcard, base }: DnsPattern, subtree: string, list: List): Judgement {
  if (base === undefined) {
    return 'unknown';
  }
  if (subtree === '' || base === subtree || (base.endsWith(subtree) && base.at(-subtree.length - 1) === '.')) {
    return 'within';
  }
  // `*.example.com` also stands for `bar.example.com`, so excluding the latter must exclude the former.
  const covers = wildcard && list === 'excluded' && subtree.slice(subtree.indexOf('.') + 1) === base;
  return decided(covers);
}

function ipWithin(address: Uint8Array, network: Uint8Array): boolean {
  const size = address.length;
  if (network.length !== 2 * size) {
    return false;
  }
  for (let i = 0; i < size; i++) {
    if (((address[i] ^ network[i]) & network[size + i]) !== 0) {
      return false;
    }
  }
  return true;
}

function emailWithin(mailbox: string, subtree: string): Judgement {
  const at = mailbox.indexOf('@');
  const local = mailbox.slice(0, at);
  const host = mailbox.slice(at + 1).toLowerCase();
  if (at < 1 || !isDnsName(host)) {
    return 'unknown';
  }
  const constraintAt = subtree.indexOf('@');
  const domain = subtree.slice(constraintAt + 1).toLowerCase();
  if (constraintAt >= 0) {
    // The local part is compared exactly: only the host decides whether case matters there.
    return decided(local === subtree.slice(0, constraintAt) && host === domain);
  }
  return decided(domain.startsWith('.') ? host.endsWith(domain) : host === domain);
}

function isEmailConstraint(text: string): boolean {
  const at = text.indexOf('@');
  const host = text.slice(at + 1);
  if (at >= 0) {
    return at > 0 && isDnsName(host);
  }
  return isDnsName(host.startsWith('.') ? host.slice(1) : host);
}

function isNetwork(value: Uint8Array): boolean {
  if (value.length !== 8 && value.length !== 32) {
    return false;
  }
  let ended = false;
  for (const byte of value.subarray(value.length / 2)) {
    if (ended ? byte !== 0 : !CONTIGUOUS_BYTES.has(byte)) {
      return false;
    }
    ended ||= byte !== 0xff;
  }
  return true;
}

function decided(inside: boolean): Judgement {
  return inside ? 'within' : 'outside';
}

function kindText(name: GeneralName): string {
  switch (name.kind) {
    case 'dns':
    case 'email':
    case 'uri':
      return `"${name.value.slice(0, 100)}"`;
    case 'ip':
      return '(an IP address)';
    case 'directory':
      return '(its subject or a directoryName)';
    default:
      return '(of a form that is not understood)';
  }
}

const CONTIGUOUS_BYTES = new Set([0x00, 0x80, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xfe, 0xff]);
