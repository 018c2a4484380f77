/**
 * Decoders for the extensions that path validation reads, one per extension. RFC 5280 §4.2.1, §4.2.2.1.
 *
 *     Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }
 */

import { contextTag, DerReader, TAG_BOOLEAN, TAG_INTEGER, TAG_OCTET_STRING, TAG_SEQUENCE } from './der.ts';
import { type GeneralName, readGeneralName } from './general-name.ts';
import { OID_ANY_POLICY } from './oids.ts';

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength: number | undefined;
}

/** DNS names are in lower case. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

export interface AuthorityKeyIdentifier {
  readonly keyIdentifier: Uint8Array | undefined;
}

export interface PolicyConstraints {
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
}

export interface PolicyMapping {
  readonly issuerPolicy: string;
  readonly subjectPolicy: string;
}

export interface AccessDescription {
  readonly method: string;
  readonly location: GeneralName;
}

export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'dataEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'cRLSign'
  | 'encipherOnly'
  | 'decipherOnly';

export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const body = sequence(value, 'basicConstraints');
  // An explicit FALSE is not DER, but some issuers write it and it cannot be misread.
  const ca = body.nextTag === TAG_BOOLEAN && body.boolean('cA');
  const pathLength = body.nextTag === TAG_INTEGER ? body.smallInteger('pathLenConstraint') : undefined;
  body.end();
  return { ca, pathLength };
}

export function readKeyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const outer = new DerReader(value, 'keyUsage');
  const { bytes } = outer.bitString('bits');
  outer.end();
  const usages = new Set<KeyUsage>();
  for (const [bit, usage] of KEY_USAGES.entries()) {
    if ((bytes[bit >> 3] & (0x80 >> (bit & 7))) !== 0) {
      usages.add(usage);
    }
  }
  if (usages.size === 0) {
    throw outer.malformed('bits', 'allows nothing (RFC 5280 §4.2.1.3)');
  }
  return usages;
}

export function readExtKeyUsage(value: Uint8Array): ReadonlySet<string> {
  const body = sequence(value, 'extKeyUsage');
  const purposes = new Set<string>();
  do {
    purposes.add(body.oid('keyPurposeId'));
  } while (!body.done);
  return purposes;
}

export function readSubjectAltName(value: Uint8Array): readonly GeneralName[] {
  const body = sequence(value, 'subjectAltName');
  const names: GeneralName[] = [];
  do {
    const name = readGeneralName(body, 'generalName');
    if (name.kind === 'ip' && name.value.length !== 4 && name.value.length !== 16) {
      throw body.malformed('iPAddress', `is ${name.value.length} bytes long, not 4 or 16`);
    }
    names.push(name);
  } while (!body.done);
  return names;
}

export function readNameConstraints(value: Uint8Array): NameConstraints {
  const body = sequence(value, 'nameConstraints');
  const permitted = body.nextTag === TAG_0 ? subtrees(body.enter(TAG_0, 'permittedSubtrees')) : [];
  const excluded = body.nextTag === TAG_1 ? subtrees(body.enter(TAG_1, 'excludedSubtrees')) : [];
  body.end();
  if (permitted.length === 0 && excluded.length === 0) {
    throw body.malformed('subtrees', 'neither permits nor excludes anything (RFC 5280 §4.2.1.10)');
  }
  return { permitted, excluded };
}

export function readSubjectKeyIdentifier(value: Uint8Array): Uint8Array {
  const outer = new DerReader(value, 'subjectKeyIdentifier');
  const identifier = outer.content(TAG_OCTET_STRING, 'keyIdentifier');
  outer.end();
  return identifier;
}

export function readAuthorityKeyIdentifier(value: Uint8Array): AuthorityKeyIdentifier {
  const body = sequence(value, 'authorityKeyIdentifier');
  const keyIdentifier =
    body.nextTag === contextTag(0, false) ? body.content(contextTag(0, false), 'keyIdentifier') : undefined;
  if (body.nextTag === TAG_1) {
    body.element('authorityCertIssuer');
  }
  if (body.nextTag === contextTag(2, false)) {
    body.integer('authorityCertSerialNumber', contextTag(2, false));
  }
  body.end();
  return { keyIdentifier };
}

export function readCertificatePolicies(value: Uint8Array): ReadonlySet<string> {
  const body = sequence(value, 'certificatePolicies');
  const policies = new Set<string>();
  do {
    const information = body.enter(TAG_SEQUENCE, 'policyInformation');
    const policy = information.oid('policyIdentifier');
    if (!information.done) {
      information.element('policyQualifiers', TAG_SEQUENCE);
    }
    information.end();
    if (policies.has(policy)) {
      throw body.malformed('policyIdentifier', `${policy} appears twice (RFC 5280 §4.2.1.4)`);
    }
    policies.add(policy);
  } while (!body.done);
  return policies;
}

export function readPolicyMappings(value: Uint8Array): readonly PolicyMapping[] {
  const body = sequence(value, 'policyMappings');
  const mappings: PolicyMapping[] = [];
  do {
    const pair = body.enter(TAG_SEQUENCE, 'mapping');
    const issuerPolicy = pair.oid('issuerDomainPolicy');
    const subjectPolicy = pair.oid('subjectDomainPolicy');
    pair.end();
    if (issuerPolicy === OID_ANY_POLICY || subjectPolicy === OID_ANY_POLICY) {
      throw body.malformed('mapping', 'maps anyPolicy (RFC 5280 §6.1.4 (a))');
    }
    mappings.push({ issuerPolicy, subjectPolicy });
  } while (!body.done);
  return mappings;
}

export function readPolicyConstraints(value: Uint8Array): PolicyConstraints {
  const body = sequence(value, 'policyConstraints');
  const requireExplicitPolicy = optionalCount(body, 0, 'requireExplicitPolicy');
  const inhibitPolicyMapping = optionalCount(body, 1, 'inhibitPolicyMapping');
  body.end();
  if (requireExplicitPolicy === undefined && inhibitPolicyMapping === undefined) {
    throw body.malformed('body', 'is empty (RFC 5280 §4.2.1.11)');
  }
  return { requireExplicitPolicy, inhibitPolicyMapping };
}

export function readInhibitAnyPolicy(value: Uint8Array): number {
  const outer = new DerReader(value, 'inhibitAnyPolicy');
  const skipCerts = outer.smallInteger('skipCerts');
  outer.end();
  return skipCerts;
}

export function readAuthorityInfoAccess(value: Uint8Array): readonly AccessDescription[] {
  const body = sequence(value, 'authorityInfoAccess');
  const descriptions: AccessDescription[] = [];
  do {
    const description = body.enter(TAG_SEQUENCE, 'accessDescription');
    const method = description.oid('accessMethod');
    const location = readGeneralName(description, 'accessLocation');
    description.end();
    descriptions.push({ method, location });
  } while (!body.done);
  return descriptions;
}

/** Extensions of TLS by number. RFC 7633 §4: Features ::= SEQUENCE OF INTEGER. */
export function readTlsFeatures(value: Uint8Array): readonly number[] {
  const body = sequence(value, 'tlsFeature');
  const features: number[] = [];
  while (!body.done) {
    features.push(body.smallInteger('feature'));
  }
  if (features.length > MAX_TLS_FEATURES) {
    throw body.malformed('features', `there are more than ${MAX_TLS_FEATURES}`);
  }
  return features;
}

/** GeneralSubtrees; `minimum` and `maximum` are never used (RFC 5280 §4.2.1.10), so anything there is refused. */
function subtrees(body: DerReader): readonly GeneralName[] {
  const bases: GeneralName[] = [];
  do {
    const subtree = body.enter(TAG_SEQUENCE, 'generalSubtree');
    const base = readGeneralName(subtree, 'base');
    subtree.end();
    // Once here, instead of once for every name that is compared.
    bases.push(base.kind === 'dns' ? { kind: 'dns', value: base.value.toLowerCase() } : base);
  } while (!body.done);
  return bases;
}

function sequence(value: Uint8Array, what: string): DerReader {
  const outer = new DerReader(value, what);
  const body = outer.enter(TAG_SEQUENCE, 'body');
  outer.end();
  return body;
}

function optionalCount(body: DerReader, number: number, field: string): number | undefined {
  const tag = contextTag(number, false);
  return body.nextTag === tag ? body.smallInteger(field, tag) : undefined;
}

const TAG_0 = contextTag(0, true);
const TAG_1 = contextTag(1, true);

const KEY_USAGES: readonly KeyUsage[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];
/** In use is one; each is looked for in the features of every certificate below. */
const MAX_TLS_FEATURES = 16;
