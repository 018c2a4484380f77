/**
 * Certificate path validation: is there a path from this leaf to a trusted root, every step of which holds?
 *
 *     leaf ← intermediate ← … ← anchor      (issuer's name, key and permission at each arrow)
 *
 * RFC 5280 §6.1, with path building by depth-first search (RFC 4158 §2.4). A peer decides what is searched, so every
 * kind of work has a budget: a few dozen certificates that all could have issued each other span more paths than can
 * ever be walked. Revocation is not checked here.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { verifyCertificateSignature } from '../crypto/x509.ts';
import { TLSError, type TLSErrorCode } from '../errors.ts';
import { certificateText, type ParsedCertificate, parseCertificate } from './certificate.ts';
import { nameText, printable } from './distinguished-name.ts';
import { type Budget, forbiddenByConstraints } from './name-constraints.ts';
import { keyPurposeOids } from './oids.ts';
import { policiesAreValid } from './policies.ts';
import { brokenForm, brokenRule, type Role, refusedKey } from './rules.ts';
import { alternativeNamesText, matchesServerName } from './server-name.ts';
import type { TrustStore } from './trust-store.ts';

export interface VerifyOptions {
  /** DER, leaf first, the rest in any order. */
  readonly chain: readonly Uint8Array[];
  readonly roots: TrustStore;
  /** A DNS name or an IP address. */
  readonly serverName: string;
  /** False leaves the name unchecked. Default true. */
  readonly checkName?: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly purpose: 'server' | 'client';
  /**
   * 'strict' also refuses certificates whose form a conforming CA would not have issued (missing key identifiers,
   * serial numbers, criticality: see `brokenForm`); 'tolerant' is for private CAs made by hand. Default 'strict'.
   */
  readonly form?: 'strict' | 'tolerant';
  readonly budget?: VerifyBudget;
}

/** Ceilings on the work that a hostile chain can cause. */
export interface VerifyBudget {
  /** Public-key operations. Default 64: a path of the web takes 2 or 3, some more where CAs are cross-signed. */
  readonly signatures?: number;
  /** Pairs of a name and a constraint. Default 250,000: some milliseconds. */
  readonly nameComparisons?: number;
  /** Candidates looked at while building. Default 2,000. */
  readonly steps?: number;
  /** Intermediates between leaf and anchor, not counting self-issued ones. Default 8. */
  readonly intermediates?: number;
}

export interface VerifiedChain {
  /** Leaf first, trust anchor last. */
  readonly path: readonly ParsedCertificate[];
  /** Milliseconds since the epoch: the first end of validity on the path. */
  readonly notAfter: number;
  /** The leaf's key. */
  readonly publicKey: PublicKey;
}

/**
 * Validates a chain as it was received.
 * @throws TLSError `TLS_ERR_NO_CERTIFICATE`, `TLS_ERR_BAD_CERTIFICATE`, `TLS_ERR_UNSUPPORTED_CERTIFICATE`,
 * `TLS_ERR_CERTIFICATE_EXPIRED`, `TLS_ERR_UNKNOWN_CA`, `TLS_ERR_CERTIFICATE_NAME`; the text names the certificate
 */
export function verifyCertificateChain(options: VerifyOptions): VerifiedChain {
  const { chain, roots, now, purpose, checkName = true } = options;
  if (chain.length === 0) {
    throw new TLSError('TLS_ERR_NO_CERTIFICATE', `the ${purpose} sent no certificate`);
  }
  if (chain.length > MAX_CHAIN) {
    throw new TLSError('TLS_ERR_BAD_CERTIFICATE', `the ${purpose} sent ${chain.length} certificates, more than ${MAX_CHAIN}`);
  }
  const leaf = parseCertificate(chain[0]);
  const trusted = roots.find(leaf);
  const strict = (options.form ?? 'strict') === 'strict' && trusted === undefined;
  throwFault(leaf, ownFault(leaf, 'leaf', now, strict) ?? leafFault(leaf, purpose, strict));

  const path = trusted === undefined ? buildPath(leaf, options, strict) : [leaf];
  if (checkName && !matchesServerName(leaf, options.serverName)) {
    throw new TLSError(
      'TLS_ERR_CERTIFICATE_NAME',
      `the certificate ${certificateText(leaf)} is not for "${printable(options.serverName)}", it is for ${alternativeNamesText(leaf)}`,
    );
  }
  return {
    path,
    notAfter: Math.min(...path.map((certificate) => certificate.notAfter)),
    publicKey: nodeProvider.importPublicKey(leaf.publicKey.der),
  };
}

interface Fault {
  readonly code: TLSErrorCode;
  readonly detail: string;
}

/** What a search keeps: its options, what is left of the budget, and the most telling failure so far. */
interface Search {
  readonly intermediates: readonly ParsedCertificate[];
  readonly roots: TrustStore;
  readonly now: number;
  readonly purpose: 'server' | 'client';
  readonly strict: boolean;
  readonly maxIntermediates: number;
  readonly comparisons: Budget;
  signatures: number;
  steps: number;
  /** Signature verdicts by certificate and key, so that no pair is computed twice. */
  readonly verdicts: Map<ParsedCertificate, Map<ParsedCertificate, boolean | 'unsupported'>>;
  failure: { readonly error: TLSError; readonly rank: number } | undefined;
}

function buildPath(leaf: ParsedCertificate, options: VerifyOptions, strict: boolean): readonly ParsedCertificate[] {
  const { budget = {} } = options;
  const search: Search = {
    intermediates: parseIntermediates(options.chain),
    roots: options.roots,
    now: options.now,
    purpose: options.purpose,
    strict,
    maxIntermediates: budget.intermediates ?? 8,
    comparisons: { left: budget.nameComparisons ?? 250_000 },
    signatures: budget.signatures ?? 64,
    steps: budget.steps ?? 2_000,
    verdicts: new Map(),
    failure: undefined,
  };
  const path = extend([leaf], search);
  if (path !== undefined) {
    return path;
  }
  throw search.failure?.error ?? unknownCa(leaf, search);
}

/** Those that cannot be decoded cannot be on a path, and must not spoil a path that does without them. */
function parseIntermediates(chain: readonly Uint8Array[]): ParsedCertificate[] {
  const parsed: ParsedCertificate[] = [];
  for (const der of chain.slice(1)) {
    try {
      parsed.push(parseCertificate(der));
    } catch (error) {
      if (!(error instanceof TLSError)) {
        throw error;
      }
    }
  }
  return parsed;
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
    if (policiesAreValid(whole)) {
      return whole;
    }
    note(search, RANK_ANCHOR, fault('TLS_ERR_BAD_CERTIFICATE', 'a CA above it demands a certificate policy that the path does not have'), path[0]);
  }
  const issuers = search.intermediates.filter((candidate) => candidate.subject.key === subject.issuer.key);
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
  // A path that returns to the same name and key only grows (RFC 4158 §2.4.2).
  if (path.some((below) => sameEntity(below, issuer))) {
    return undefined;
  }
  const subject = path[path.length - 1];
  const rank = role === 'anchor' ? RANK_ANCHOR : RANK_INTERMEDIATE;
  const own =
    ownFault(issuer, role, search.now, search.strict) ??
    issuerFault(issuer, path, search.purpose) ??
    depthFault(issuer, path, role, search.maxIntermediates);
  if (own !== undefined) {
    note(search, rank, own, issuer);
    return undefined;
  }
  const verdict = checkSignature(subject, issuer, search);
  if (verdict !== true) {
    // Another CA of the same name is no forgery, only not the issuer.
    if (verdict === 'unsupported') {
      const oid = subject.signatureAlgorithm.oid;
      note(search, rank, fault('TLS_ERR_UNSUPPORTED_CERTIFICATE', `it is signed with an algorithm that is not accepted (${oid})`), subject);
    } else if (keyIdentifierMatch(subject, issuer) !== 'no') {
      note(search, rank, fault('TLS_ERR_BAD_CERTIFICATE', `its signature by ${certificateText(issuer)} does not verify`), subject);
    }
    return undefined;
  }
  return constraintsAllow(path, issuer, rank, search) ? [...path, issuer] : undefined;
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

function checkSignature(subject: ParsedCertificate, issuer: ParsedCertificate, search: Search): boolean | 'unsupported' {
  let known = search.verdicts.get(subject);
  if (known === undefined) {
    known = new Map();
    search.verdicts.set(subject, known);
  }
  const verdict = known.get(issuer);
  if (verdict !== undefined) {
    return verdict;
  }
  if (--search.signatures < 0) {
    throw tooMuchWork(subject, 'signatures');
  }
  const fresh = verifyCertificateSignature({
    algorithmOid: subject.signatureAlgorithm.oid,
    algorithmParameters: subject.signatureAlgorithm.parameters,
    issuerSpki: issuer.publicKey.der,
    tbs: subject.tbs,
    signature: subject.signature,
  });
  known.set(issuer, fresh);
  return fresh;
}

/** What is wrong with a certificate by itself. */
function ownFault(certificate: ParsedCertificate, role: Role, now: number, strict: boolean): Fault | undefined {
  const rule = brokenRule(certificate, role);
  if (rule !== undefined) {
    return fault('TLS_ERR_BAD_CERTIFICATE', rule);
  }
  // Validity has a resolution of seconds and includes both ends (RFC 5280 §4.1.2.5).
  const second = Math.floor(now / 1000) * 1000;
  if (second > certificate.notAfter) {
    return fault('TLS_ERR_CERTIFICATE_EXPIRED', `it expired at ${timeText(certificate.notAfter)}: renew it (it is now ${timeText(now)})`);
  }
  if (second < certificate.notBefore) {
    return fault('TLS_ERR_CERTIFICATE_EXPIRED', `it is not valid before ${timeText(certificate.notBefore)}: check the clock (it is now ${timeText(now)})`);
  }
  const key = refusedKey(certificate);
  if (key !== undefined) {
    return fault('TLS_ERR_UNSUPPORTED_CERTIFICATE', key);
  }
  const form = strict ? brokenForm(certificate, role) : undefined;
  return form === undefined ? undefined : fault('TLS_ERR_BAD_CERTIFICATE', form);
}

function leafFault(leaf: ParsedCertificate, purpose: 'server' | 'client', strict: boolean): Fault | undefined {
  const { extKeyUsage, keyUsage } = leaf;
  // anyExtendedKeyUsage in a leaf says nothing about TLS; RFC 5280 §4.2.1.12 lets an application insist.
  const any = !strict && extKeyUsage?.has(keyPurposeOids.any);
  if (extKeyUsage !== undefined && !extKeyUsage.has(keyPurposeOids[purpose]) && !any) {
    return fault('TLS_ERR_BAD_CERTIFICATE', `its extKeyUsage does not allow ${PURPOSE_NAMES[purpose]}`);
  }
  // A CA in the leaf's place signs the handshake by the key that signs certificates, as its keyUsage may say.
  if (keyUsage !== undefined && !keyUsage.has('digitalSignature') && !keyUsage.has('keyCertSign')) {
    return fault('TLS_ERR_BAD_CERTIFICATE', 'its keyUsage does not allow digitalSignature (RFC 9846 §4.5.1.2)');
  }
  return undefined;
}

/** What forbids `issuer` to stand above `path`. */
function issuerFault(
  issuer: ParsedCertificate,
  path: readonly ParsedCertificate[],
  purpose: 'server' | 'client',
): Fault | undefined {
  const { extKeyUsage, basicConstraints } = issuer;
  if (extKeyUsage !== undefined && !extKeyUsage.has(keyPurposeOids[purpose]) && !extKeyUsage.has(keyPurposeOids.any)) {
    return fault('TLS_ERR_BAD_CERTIFICATE', `it is a CA whose extKeyUsage does not allow ${PURPOSE_NAMES[purpose]}`);
  }
  const below = countIntermediates(path);
  if (below > (basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY)) {
    return fault('TLS_ERR_BAD_CERTIFICATE', `its path length constraint is ${basicConstraints?.pathLength}, but ${below} intermediates follow`);
  }
  return undefined;
}

function depthFault(issuer: ParsedCertificate, path: readonly ParsedCertificate[], role: Role, most: number): Fault | undefined {
  const deep = role === 'intermediate' && countIntermediates(path) + (issuer.selfIssued ? 0 : 1) > most;
  return deep ? fault('TLS_ERR_BAD_CERTIFICATE', `it is one of more than ${most} intermediates on one path`) : undefined;
}

/** RFC 5280 §4.2.1.9: self-issued ones do not count, and the leaf never does. */
function countIntermediates(path: readonly ParsedCertificate[]): number {
  return path.reduce((count, certificate, i) => (i > 0 && !certificate.selfIssued ? count + 1 : count), 0);
}

/** Candidates whose key identifier is the wanted one come first, those with another come last. */
function byKeyIdentifier(subject: ParsedCertificate, issuers: readonly ParsedCertificate[]): readonly ParsedCertificate[] {
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

function throwFault(certificate: ParsedCertificate, what: Fault | undefined): void {
  if (what !== undefined) {
    throw faultError(certificate, what);
  }
}

function faultError(certificate: ParsedCertificate, what: Fault): TLSError {
  return new TLSError(what.code, `the certificate ${certificateText(certificate)} is refused: ${what.detail}`);
}

function fault(code: TLSErrorCode, detail: string): Fault {
  return { code, detail };
}

function unknownCa(certificate: ParsedCertificate, search: Search): TLSError {
  const advice = certificate.selfIssued
    ? 'it is self-signed and not among the trusted certificates'
    : `its issuer "${nameText(certificate.issuer)}" is neither trusted (${search.roots.size} roots) nor was it sent by the ${search.purpose}`;
  return new TLSError('TLS_ERR_UNKNOWN_CA', `the certificate ${certificateText(certificate)} leads to no trusted root: ${advice}`);
}

function tooMuchWork(leaf: ParsedCertificate, what: string): TLSError {
  return new TLSError('TLS_ERR_BAD_CERTIFICATE', `the chain of ${certificateText(leaf)} takes too much work to validate (too many ${what})`);
}

function timeText(at: number): string {
  return Number.isFinite(at) ? new Date(at).toISOString().slice(0, 19).concat('Z') : String(at);
}

const PURPOSE_NAMES = { server: 'serverAuth', client: 'clientAuth' } as const;
const RANK_UNKNOWN = 0;
const RANK_INTERMEDIATE = 1;
const RANK_ANCHOR = 2;
/** Servers send two to five; a list of thousands would cost its decoding. */
const MAX_CHAIN = 32;
