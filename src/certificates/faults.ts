/** What can be wrong with one certificate in its place on a path, with the code and the words for it. RFC 5280 §6.1.3, §6.1.4. */

import { TLSError, type TLSErrorCode } from '../errors.ts';
import { certificateText, type ParsedCertificate } from './certificate.ts';
import { FEATURE_STATUS_REQUEST, keyPurposeOids } from './oids.ts';
import { brokenForm, brokenRule, isCritical, type Role, refusedKey } from './rules.ts';

export interface Fault {
  readonly code: TLSErrorCode;
  /** Goes on after "the certificate X is refused:". */
  readonly detail: string;
}

export type Purpose = 'server' | 'client';

/** What is wrong with a certificate by itself. */
export function ownFault(certificate: ParsedCertificate, role: Role, now: number, strict: boolean): Fault | undefined {
  const rule = brokenRule(certificate, role);
  if (rule !== undefined) {
    return fault('TLS_ERR_BAD_CERTIFICATE', rule);
  }
  // Validity has a resolution of seconds and includes both ends (RFC 5280 §4.1.2.5). Negated, so that NaN passes nothing.
  const second = Math.floor(now / 1000) * 1000;
  if (!(second <= certificate.notAfter)) {
    return fault(
      'TLS_ERR_CERTIFICATE_EXPIRED',
      `it expired at ${timeText(certificate.notAfter)}: renew it (it is now ${timeText(now)})`,
    );
  }
  if (!(second >= certificate.notBefore)) {
    return fault(
      'TLS_ERR_CERTIFICATE_EXPIRED',
      `it is not valid before ${timeText(certificate.notBefore)}: check the clock (it is now ${timeText(now)})`,
    );
  }
  const key = refusedKey(certificate);
  if (key !== undefined) {
    return fault('TLS_ERR_UNSUPPORTED_CERTIFICATE', key);
  }
  const form = strict ? brokenForm(certificate, role) : undefined;
  return form === undefined ? undefined : fault('TLS_ERR_BAD_CERTIFICATE', form);
}

export interface LeafOptions {
  readonly purpose: Purpose;
  readonly strict: boolean;
  /** What is stapled to the leaf is judged as well. */
  readonly judgesStaple: boolean;
}

/** What forbids `leaf` to be one end of a TLS connection. */
export function leafFault(leaf: ParsedCertificate, options: LeafOptions): Fault | undefined {
  const { purpose, strict, judgesStaple } = options;
  const { extKeyUsage, keyUsage, tlsFeatures } = leaf;
  // anyExtendedKeyUsage in a leaf says nothing about TLS; RFC 5280 §4.2.1.12 lets an application insist.
  const any = !strict && extKeyUsage?.has(keyPurposeOids.any);
  if (extKeyUsage !== undefined && !extKeyUsage.has(keyPurposeOids[purpose]) && !any) {
    return fault('TLS_ERR_BAD_CERTIFICATE', `its extKeyUsage does not allow ${PURPOSE_NAMES[purpose]}`);
  }
  if (keyUsage !== undefined && !keyUsage.has('digitalSignature')) {
    return fault('TLS_ERR_BAD_CERTIFICATE', 'its keyUsage does not allow digitalSignature (RFC 9846 §4.5.1.2)');
  }
  // Who cannot see to what a critical extension demands must refuse the certificate (RFC 5280 §4.2).
  const isSeenTo = judgesStaple && tlsFeatures.every((feature) => feature === FEATURE_STATUS_REQUEST);
  if (isCritical(leaf, 'tlsFeature') && !isSeenTo) {
    return fault(
      'TLS_ERR_BAD_CERTIFICATE',
      'its critical TLS feature extension demands what is not checked here (RFC 7633; see the option `stapling`)',
    );
  }
  return undefined;
}

/** What forbids `issuer` to stand above `path`. */
export function issuerFault(
  issuer: ParsedCertificate,
  path: readonly ParsedCertificate[],
  purpose: Purpose,
): Fault | undefined {
  const { extKeyUsage, basicConstraints, tlsFeatures } = issuer;
  if (extKeyUsage !== undefined && !extKeyUsage.has(keyPurposeOids[purpose]) && !extKeyUsage.has(keyPurposeOids.any)) {
    return fault('TLS_ERR_BAD_CERTIFICATE', `it is a CA whose extKeyUsage does not allow ${PURPOSE_NAMES[purpose]}`);
  }
  const below = countIntermediates(path);
  if (below > (basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY)) {
    return fault(
      'TLS_ERR_BAD_CERTIFICATE',
      `its path length constraint is ${basicConstraints?.pathLength}, but ${below} intermediates follow`,
    );
  }
  const { tlsFeatures: own } = path[path.length - 1];
  const missing = tlsFeatures.find((feature) => !own.includes(feature));
  if (missing !== undefined) {
    return fault(
      'TLS_ERR_BAD_CERTIFICATE',
      `it is a CA for certificates with the TLS feature ${missing}, which the one below it lacks (RFC 7633 §4.2.2)`,
    );
  }
  return undefined;
}

export function depthFault(
  issuer: ParsedCertificate,
  path: readonly ParsedCertificate[],
  role: Role,
  most: number,
): Fault | undefined {
  const deep = role === 'intermediate' && countIntermediates(path) + (issuer.selfIssued ? 0 : 1) > most;
  return deep
    ? fault('TLS_ERR_BAD_CERTIFICATE', `it is one of more than ${most} intermediates on one path`)
    : undefined;
}

export function faultError(certificate: ParsedCertificate, what: Fault): TLSError {
  return new TLSError(what.code, `the certificate ${certificateText(certificate)} is refused: ${what.detail}`);
}

export function fault(code: TLSErrorCode, detail: string): Fault {
  return { code, detail };
}

/** RFC 5280 §4.2.1.9: self-issued ones do not count, and the leaf never does. */
function countIntermediates(path: readonly ParsedCertificate[]): number {
  return path.reduce((count, certificate, i) => (i > 0 && !certificate.selfIssued ? count + 1 : count), 0);
}

function timeText(at: number): string {
  return Number.isFinite(at) ? new Date(at).toISOString().slice(0, 19).concat('Z') : String(at);
}

const PURPOSE_NAMES = { server: 'serverAuth', client: 'clientAuth' } as const;
