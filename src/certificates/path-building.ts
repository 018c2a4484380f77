/**
 * Finds a valid path from a certificate to a trusted root by depth-first search: roots before intermediates, and those
 * with the wanted key identifier first. RFC 4158 §2.4; RFC 5280 §6.1.
 *
 * A peer decides what is searched, so every kind of work has a budget: a few dozen certificates that all could have
 * issued each other span more paths than can ever be walked.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { verifyCertificateSignature } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import { certificateText, type ParsedCertificate, parseReadable } from './certificate.ts';
import { nameText } from './distinguished-name.ts';
import { depthFault, type Fault, fault, faultError, issuerFault, ownFault, type Purpose } from './faults.ts';
import { type Budget, forbiddenByConstraints } from './name-constraints.ts';
import { policiesAreValid } from './policies.ts';
import type { Role } from './rules.ts';
import type { TrustStore } from './trust-store.ts';

/** Ceilings on the work that a hostile chain can cause. */
export interface VerifyBudget {
  /** Public-key operations. Default 64: a path of the web takes 2 or 3, some more where CAs are cross-signed. */
  readonly signatures?: number;
  /** Pairs of a name and a constraint, and policies. Default 250,000: some milliseconds. */
  readonly nameComparisons?: number;
  /** Candidates looked at while building. Default 2,000. */
  readonly steps?: number;
  /** Intermediates between leaf and anchor, not counting self-issued ones. Default 8. */
  readonly intermediates?: number;
}

export interface PathOptions {
  /** What the peer sent behind the leaf, DER, in any order. */
  readonly intermediates: readonly Uint8Array[];
  readonly roots: TrustStore;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly purpose: Purpose;
  readonly strict: boolean;
  readonly budget: VerifyBudget;
}

/** What a search keeps: its options, what is left of the budget, and the most telling failure so far. */
interface Search {
  readonly intermediates: readonly ParsedCertificate[];
  readonly roots: TrustStore;
  readonly now: number;
  readonly purpose: Purpose;
  readonly strict: boolean;
  readonly maxIntermediates: number;
  readonly comparisons: Budget;
  signatures: number;
  steps: number;
  /** Signature verdicts by certificate and issuer's key, so that no pair is computed twice. */
  readonly verdicts: Map<ParsedCertificate, Map<string, boolean | 'unsupported'>>;
  /** Likewise for what a candidate is by itself: thousands of constraints are not read once per path. */
  readonly ownFaults: Map<ParsedCertificate, Fault | undefined>;
  failure: { readonly error: TLSError; readonly rank: number } | undefined;
}

/**
 * A valid path, leaf first and anchor last. The leaf by itself was checked before.
 * @throws TLSError the most telling reason why there is none
 */
export function buildPath(leaf: ParsedCertificate, options: PathOptions): readonly ParsedCertificate[] {
  const { budget } = options;
  const search: Search = {
    intermediates: parseReadable(options.intermediates),
    roots: options.roots,
    now: options.now,
    purpose: options.purpose,
    strict: options.strict,
    maxIntermediates: budget.intermediates ?? 8,
    comparisons: { left: budget.nameComparisons ?? 250_000 },
    signatures: budget.signatures ?? 64,
    steps: budget.steps ?? 2_000,
    verdicts: new Map(),
    ownFaults: new Map(),
    failure: undefined,
  };
  const path = extend([leaf], search);
  if (path !== undefined) {
    return path;
  }
  throw search.failure?.error ?? unknownCa(leaf, search);
}

/** A valid path that begins with `path`, or undefined. Throws when the budget is spent. */
function extend(path: readonly ParsedCertificate[], search: Search): readonly ParsedCertificate[] | undefined {
  const subject = path[path.length - 1];
  const anchors = byKeyIdentifier(subject, search.roots.bySubject(subject.issuer));
  for (const anchor of anchors) {
    const whole = step(path, anchor, 'anchor', search);
    if (whole === undefined) {
      continue;
    }
    if (policiesAllow(whole, search)) {
      return whole;
    }
    note(
      search,
      RANK_ANCHOR,
      fault('TLS_ERR_BAD_CERTIFICATE', 'a CA above it demands a certificate policy that the path does not have'),
      path[0],
    );
  }
  // A path that returns to the same name and key only grows (RFC 4158 §2.4.2).
  const issuers = search.intermediates.filter(
    (candidate) => candidate.subject.key === subject.issuer.key && !path.some((below) => sameEntity(below, candidate)),
  );
  for (const issuer of byKeyIdentifier(subject, issuers)) {
    const longer = step(path, issuer, 'intermediate', search);
    const whole = longer === undefined ? undefined : extend(longer, search);
    if (whole !== undefined) {
      return whole;
    }
  }
  if (anchors.length === 0 && issuers.length === 0) {
    note(search, RANK_UNKNOWN, undefined, subject);
  }
  return undefined;
}

/** The path with `issuer` added, when it may have issued the last of `path`. */
function step(
  path: readonly ParsedCertificate[],
  issuer: ParsedCertificate,
  role: Role,
  search: Search,
): readonly ParsedCertificate[] | undefined {
  if (--search.steps < 0) {
    throw tooMuchWork(path[0], 'candidates');
  }
  const subject = path[path.length - 1];
  const rank = role === 'anchor' ? RANK_ANCHOR : RANK_INTERMEDIATE;
  const own =
    ownFaultOnce(issuer, role, search) ??
    issuerFault(issuer, path, search.purpose) ??
    depthFault(issuer, path, role, search.maxIntermediates);
  if (own !== undefined) {
    note(search, rank, own, issuer);
    return undefined;
  }
  const verdict = checkSignature(path, issuer, search);
  if (verdict !== true) {
    // Another CA of the same name is no forgery, only not the issuer.
    if (verdict === 'unsupported') {
      const oid = subject.signatureAlgorithm.oid;
      note(
        search,
        rank,
        fault('TLS_ERR_UNSUPPORTED_CERTIFICATE', `it is signed with an algorithm that is not accepted (${oid})`),
        subject,
      );
    } else if (keyIdentifierMatch(subject, issuer) !== 'no') {
      note(
        search,
        rank,
        fault('TLS_ERR_BAD_CERTIFICATE', `its signature by ${certificateText(issuer)} does not verify`),
        subject,
      );
    }
    return undefined;
  }
  return constraintsAllow(path, issuer, rank, search) ? [...path, issuer] : undefined;
}

function ownFaultOnce(issuer: ParsedCertificate, role: Role, search: Search): Fault | undefined {
  if (!search.ownFaults.has(issuer)) {
    search.ownFaults.set(issuer, ownFault(issuer, role, search.now, search.strict));
  }
  return search.ownFaults.get(issuer);
}

function policiesAllow(path: readonly ParsedCertificate[], search: Search): boolean {
  for (const { certificatePolicies, policyMappings } of path) {
    search.comparisons.left -= (certificatePolicies?.size ?? 0) + policyMappings.length;
  }
  if (search.comparisons.left < 0) {
    throw tooMuchWork(path[0], 'policies');
  }
  return policiesAreValid(path);
}

function constraintsAllow(
  path: readonly ParsedCertificate[],
  issuer: ParsedCertificate,
  rank: number,
  search: Search,
): boolean {
  if (issuer.nameConstraints === undefined) {
    return true;
  }
  for (const [i, below] of path.entries()) {
    // RFC 5280 §6.1.3 (b): self-issued certificates are exempt, except the last.
    if (i > 0 && below.selfIssued) {
      continue;
    }
    const why = forbiddenByConstraints(issuer.nameConstraints, below, search.comparisons);
    if (why === 'budget') {
      throw tooMuchWork(path[0], 'name constraints');
    }
    if (why !== undefined) {
      const detail = `${why} the name constraints of ${certificateText(issuer)} (RFC 5280 §4.2.1.10)`;
      note(search, rank, fault('TLS_ERR_BAD_CERTIFICATE', detail), below);
      return false;
    }
  }
  return true;
}

function checkSignature(
  path: readonly ParsedCertificate[],
  issuer: ParsedCertificate,
  search: Search,
): boolean | 'unsupported' {
  const subject = path[path.length - 1];
  const known = search.verdicts.get(subject) ?? new Map<string, boolean | 'unsupported'>();
  search.verdicts.set(subject, known);
  // Cross-certificates share a key: by the key and not by the certificate, a mesh of them costs far fewer operations.
  const { der } = issuer.publicKey;
  const key = Buffer.from(der.buffer, der.byteOffset, der.length).toString('latin1');
  const verdict = known.get(key);
  if (verdict !== undefined) {
    return verdict;
  }
  if (--search.signatures < 0) {
    throw tooMuchWork(path[0], 'signatures');
  }
  const fresh = verifyCertificateSignature({
    algorithmOid: subject.signatureAlgorithm.oid,
    algorithmParameters: subject.signatureAlgorithm.parameters,
    issuerSpki: der,
    tbs: subject.tbs,
    signature: subject.signature,
  });
  known.set(key, fresh);
  return fresh;
}

/** Candidates whose key identifier is the wanted one come first, those with another come last. */
function byKeyIdentifier(
  subject: ParsedCertificate,
  issuers: readonly ParsedCertificate[],
): readonly ParsedCertificate[] {
  if (issuers.length < 2) {
    return issuers;
  }
  const weight = { yes: 0, unknown: 1, no: 2 };
  return issuers.toSorted((a, b) => weight[keyIdentifierMatch(subject, a)] - weight[keyIdentifierMatch(subject, b)]);
}

function keyIdentifierMatch(subject: ParsedCertificate, issuer: ParsedCertificate): 'yes' | 'no' | 'unknown' {
  const wanted = subject.authorityKeyIdentifier?.keyIdentifier;
  if (wanted === undefined || issuer.subjectKeyIdentifier === undefined) {
    return 'unknown';
  }
  return sameBytes(wanted, issuer.subjectKeyIdentifier) ? 'yes' : 'no';
}

function sameEntity(a: ParsedCertificate, b: ParsedCertificate): boolean {
  return a.subject.key === b.subject.key && sameBytes(a.publicKey.der, b.publicKey.der);
}

/** Keeps the failure that lies closest to a trusted root: the others belong to paths that led nowhere anyway. */
function note(search: Search, rank: number, what: Fault | undefined, certificate: ParsedCertificate): void {
  if (search.failure === undefined || search.failure.rank < rank) {
    const error = what === undefined ? unknownCa(certificate, search) : faultError(certificate, what);
    search.failure = { error, rank };
  }
}

function unknownCa(certificate: ParsedCertificate, search: Search): TLSError {
  const advice = certificate.selfIssued
    ? 'it is self-signed and not among the trusted certificates'
    : `its issuer "${nameText(certificate.issuer)}" is not among the ${search.roots.size} trusted roots, and the ${search.purpose} sent no certificate that leads from it to one`;
  return new TLSError(
    'TLS_ERR_UNKNOWN_CA',
    `the certificate ${certificateText(certificate)} leads to no trusted root: ${advice}`,
  );
}

function tooMuchWork(leaf: ParsedCertificate, what: string): TLSError {
  return new TLSError(
    'TLS_ERR_BAD_CERTIFICATE',
    `the chain of ${certificateText(leaf)} takes too much work to validate (too many ${what})`,
  );
}

const RANK_UNKNOWN = 0;
const RANK_INTERMEDIATE = 1;
const RANK_ANCHOR = 2;
