/**
 * Certificate path validation: is there a path from this leaf to a trusted root, every step of which holds?
 *
 *     leaf ← intermediate ← … ← anchor      (issuer's name, key and permission at each arrow)
 *
 * RFC 5280 §6.1; names by RFC 9525. Of revocation nothing is known but what the peer itself staples (`stapling`).
 */

import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { certificateText, type ParsedCertificate, parseCertificate } from './certificate.ts';
import { printable } from './distinguished-name.ts';
import { faultError, leafFault, ownFault, type Purpose } from './faults.ts';
import { checkStaple } from './ocsp-check.ts';
import { buildPath, type VerifyBudget } from './path-building.ts';
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
  readonly purpose: Purpose;
  /**
   * 'strict' also refuses certificates whose form a conforming CA would not have issued (missing key identifiers,
   * serial numbers, criticality: see `brokenForm`); 'tolerant' is for private CAs made by hand. Default 'strict'.
   */
  readonly form?: 'strict' | 'tolerant';
  /** OCSPResponse, DER: what was stapled to the leaf; absent for nothing. */
  readonly ocspResponse?: Uint8Array | undefined;
  /**
   * What is made of it. 'check': one that came must be the issuer's, fresh, and say that the leaf is good, and one must come
   * where the leaf says so itself (RFC 7633). 'require': one must come. 'judged': this is the chain of a session, whose
   * handshake was under one of the other two. Default: nothing, and a leaf for which that is not enough (its TLS feature
   * extension is critical) is refused.
   */
  readonly stapling?: 'check' | 'require' | 'judged' | undefined;
  readonly budget?: VerifyBudget;
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
 * Validates a chain as it was received, and what was stapled to it.
 * @throws TLSError `TLS_ERR_NO_CERTIFICATE`, `TLS_ERR_BAD_CERTIFICATE`, `TLS_ERR_UNSUPPORTED_CERTIFICATE`,
 * `TLS_ERR_CERTIFICATE_EXPIRED`, `TLS_ERR_UNKNOWN_CA`, `TLS_ERR_CERTIFICATE_NAME`; with `stapling`
 * `TLS_ERR_CERTIFICATE_REVOKED`, `TLS_ERR_BAD_STATUS`; the text names the certificate
 */
export function verifyCertificateChain(options: VerifyOptions): VerifiedChain {
  const verified = verifyPath(options);
  judgeStaple(verified, options);
  return verified;
}

/** The part of a verdict that depends on this one handshake, and is never kept. */
export function judgeStaple({ path }: VerifiedChain, { stapling, ocspResponse, now }: VerifyOptions): void {
  if (stapling === 'check' || stapling === 'require') {
    checkStaple({ path, ocspResponse, now, required: stapling === 'require' });
  }
}

/** The part that is the same for everybody who shows this chain; also where what is stapled is judged elsewhere. */
export function verifyPath(options: VerifyOptions): VerifiedChain {
  const { chain, roots, now, purpose, checkName = true } = options;
  if (chain.length === 0) {
    throw new TLSError('TLS_ERR_NO_CERTIFICATE', `the ${purpose} sent no certificate`);
  }
  if (chain.length > MAX_CHAIN) {
    throw new TLSError(
      'TLS_ERR_BAD_CERTIFICATE',
      `the ${purpose} sent ${chain.length} certificates, more than ${MAX_CHAIN}`,
    );
  }
  const leaf = parseCertificate(chain[0]);
  const trusted = roots.find(leaf);
  const strict = (options.form ?? 'strict') === 'strict' && trusted === undefined;
  const fault =
    ownFault(leaf, 'leaf', now, strict) ?? leafFault(leaf, { purpose, strict, judgesStaple: judgesStaple(options) });
  if (fault !== undefined) {
    throw faultError(leaf, fault);
  }
  const { budget = {} } = options;
  const path =
    trusted === undefined
      ? buildPath(leaf, { intermediates: chain.slice(1), roots, now, purpose, strict, budget })
      : [leaf];
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

/** Tells verdicts on paths apart; in which of its ways a staple is judged does not. */
export function judgesStaple({ stapling }: VerifyOptions): boolean {
  return stapling !== undefined;
}

/** Servers send two to five; a list of thousands would cost its decoding. */
const MAX_CHAIN = 32;
