/**
 * Certificate policies. The caller accepts any policy, so the only question is whether a CA on the path demands an
 * explicit policy and none is valid for the whole path.
 *
 * RFC 5280 §6.1.2 to §6.1.5, on sets per level instead of a tree: a tree grows exponentially under hostile mappings
 * (CVE-2023-0464); as in RFC 9618 §3, a level needs no more than the set of policies it expects.
 */

import type { ParsedCertificate } from './certificate.ts';
import { OID_ANY_POLICY } from './oids.ts';

/** Path: leaf first, trust anchor last. True when RFC 5280 §6.1.5 (g) holds. */
export function policiesAreValid(path: readonly ParsedCertificate[]): boolean {
  const anchor = path[path.length - 1];
  const length = path.length - 1;
  let explicitPolicy = length + 1;
  let inhibitAnyPolicy = length + 1;
  let policyMapping = length + 1;
  /** What the next certificate may assert; `any` stands for anyPolicy, an empty set without it for a dead tree. */
  let expected: ReadonlySet<string> = new Set();
  let any = true;

  // RFC 5937 §3.2: an anchor's own constraints set the initial values.
  explicitPolicy = Math.min(explicitPolicy, anchor.policyConstraints?.requireExplicitPolicy ?? explicitPolicy);
  policyMapping = Math.min(policyMapping, anchor.policyConstraints?.inhibitPolicyMapping ?? policyMapping);
  inhibitAnyPolicy = Math.min(inhibitAnyPolicy, anchor.inhibitAnyPolicy ?? inhibitAnyPolicy);

  for (let i = length - 1; i >= 0; i--) {
    const certificate = path[i];
    const last = i === 0;
    const asserted = certificate.certificatePolicies ?? NONE;
    const anyAsserted = asserted.has(OID_ANY_POLICY) && (inhibitAnyPolicy > 0 || (!last && certificate.selfIssued));

    const valid = new Set<string>();
    for (const policy of asserted) {
      if (policy !== OID_ANY_POLICY && (any || expected.has(policy))) {
        valid.add(policy);
      }
    }
    if (anyAsserted) {
      for (const policy of expected) {
        valid.add(policy);
      }
    }
    any &&= anyAsserted;
    if (explicitPolicy === 0 && valid.size === 0 && !any) {
      return false;
    }
    if (last) {
      const required = certificate.policyConstraints?.requireExplicitPolicy === 0;
      return valid.size > 0 || any || (Math.max(0, explicitPolicy - 1) > 0 && !required);
    }
    expected = mapped(valid, any, certificate, policyMapping > 0);
    if (!certificate.selfIssued) {
      explicitPolicy = Math.max(0, explicitPolicy - 1);
      policyMapping = Math.max(0, policyMapping - 1);
      inhibitAnyPolicy = Math.max(0, inhibitAnyPolicy - 1);
    }
    explicitPolicy = Math.min(explicitPolicy, certificate.policyConstraints?.requireExplicitPolicy ?? explicitPolicy);
    policyMapping = Math.min(policyMapping, certificate.policyConstraints?.inhibitPolicyMapping ?? policyMapping);
    inhibitAnyPolicy = Math.min(inhibitAnyPolicy, certificate.inhibitAnyPolicy ?? inhibitAnyPolicy);
  }
  // The anchor alone: there is nothing to constrain.
  return true;
}

/** RFC 5280 §6.1.4 (b). */
function mapped(
  valid: ReadonlySet<string>,
  any: boolean,
  certificate: ParsedCertificate,
  mappingAllowed: boolean,
): ReadonlySet<string> {
  if (certificate.policyMappings.length === 0) {
    return valid;
  }
  const expected = new Set(valid);
  for (const { issuerPolicy } of certificate.policyMappings) {
    expected.delete(issuerPolicy);
  }
  if (mappingAllowed) {
    for (const { issuerPolicy, subjectPolicy } of certificate.policyMappings) {
      if (any || valid.has(issuerPolicy)) {
        expected.add(subjectPolicy);
      }
    }
  }
  return expected;
}

const NONE: ReadonlySet<string> = new Set();
