/**
 * What a stapled OCSP response proves about the leaf of a verified chain: signed by the issuer, or by a responder that the
 * issuer itself appointed; about this certificate; fresh; and that it says 'good'.
 *
 *     leaf ← issuer ──signs──▶ response
 *                   ──signs──▶ responder (id-kp-OCSPSigning) ──signs──▶ response
 *
 * RFC 6960 §3.2, §4.2.2; RFC 7633 (certificates that must be stapled). The responder's own revocation is not checked: its
 * certificate is short-lived, or says that it need not be (RFC 6960 §4.2.2.2.1).
 */

import { sameBytes } from '../bytes/bytes.ts';
import { digestByOid, verifyCertificateSignature, weakSha1 } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import { certificateText, type ParsedCertificate, parseCertificate } from './certificate.ts';
import { ownFault } from './faults.ts';
import { type BasicOcspResponse, parseOcspResponse, type SingleResponse } from './ocsp.ts';
import { FEATURE_STATUS_REQUEST, keyPurposeOids } from './oids.ts';

export interface StapleOptions {
  /** The verified path: leaf first, trust anchor last. */
  readonly path: readonly ParsedCertificate[];
  /** OCSPResponse, DER; undefined when the server stapled none. */
  readonly ocspResponse: Uint8Array | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** A certificate without a staple is refused. Default: only one that says itself that it must have one. */
  readonly required?: boolean;
  /** Milliseconds that the responder's clock and ours may differ. Default 5 minutes. */
  readonly clockSkew?: number;
  /** Milliseconds since thisUpdate, whatever nextUpdate says. Default: as the responder says. */
  readonly maxAge?: number;
}

/**
 * Judges what was stapled to the leaf.
 * @throws TLSError `TLS_ERR_CERTIFICATE_REVOKED`; `TLS_ERR_BAD_STATUS` for all else that is wrong, and for nothing where
 * something must be
 */
export function checkStaple(options: StapleOptions): void {
  const { path, ocspResponse, required = false } = options;
  const [leaf, issuer] = path;
  const isDemanded = required || mustStaple(leaf);
  if (ocspResponse === undefined) {
    if (isDemanded) {
      const why = required ? 'one is required' : 'its certificate says that it must (RFC 7633)';
      throw bad(`the server stapled no OCSP response, but ${why}`);
    }
    return;
  }
  if (issuer === undefined) {
    // A leaf that is trusted as it is has nobody above it whose word would count for more.
    if (isDemanded) {
      throw bad(`the certificate ${certificateText(leaf)} has no issuer that could vouch for it`);
    }
    return;
  }
  const { status, basic } = parseOcspResponse(ocspResponse);
  if (basic === undefined) {
    throw bad(`the OCSP response is no answer: ${status}`);
  }
  checkSignature(basic, path, options.now);
  refuseFuture('produced', basic.producedAt, options);
  refuseCritical(basic.criticalExtensions);
  const about = basic.responses.filter((response) => isAbout(response, leaf, issuer));
  if (about.length === 0) {
    throw bad(`the OCSP response says nothing of the certificate ${certificateText(leaf)}`);
  }
  for (const response of about) {
    judge(response, leaf, options);
  }
}

/**
 * Whether the certificate says that it must not be believed without a staple (RFC 7633 §4). What its issuers say of this they
 * say of it: path validation sees that it repeats their features.
 */
export function mustStaple({ tlsFeatures }: ParsedCertificate): boolean {
  return tlsFeatures.includes(FEATURE_STATUS_REQUEST);
}

function judge(response: SingleResponse, leaf: ParsedCertificate, options: StapleOptions): void {
  refuseCritical(response.criticalExtensions);
  refuseFuture('true', response.thisUpdate, options);
  refuseStale(response, options);
  if (response.status === 'good') {
    return;
  }
  const text = certificateText(leaf);
  if (response.status === 'revoked') {
    const when = timeText(response.revokedAt);
    throw new TLSError('TLS_ERR_CERTIFICATE_REVOKED', `the certificate ${text} was revoked at ${when}`);
  }
  throw bad(`the issuer's OCSP responder does not know the certificate ${text}`);
}

/** Negated comparisons, so that NaN passes nothing. */
function refuseFuture(what: string, at: number, { now, clockSkew = DEFAULT_SKEW }: StapleOptions): void {
  if (!(at <= now + clockSkew)) {
    throw bad(
      `the OCSP response was ${what} at ${timeText(at)}, still to come: check the clock (it is ${timeText(now)})`,
    );
  }
}

/** Until when a response may be believed, in milliseconds since the epoch. */
export function freshUntil({ thisUpdate, nextUpdate }: SingleResponse): number {
  return nextUpdate ?? thisUpdate + AGE_WITHOUT_NEXT_UPDATE;
}

function refuseStale(response: SingleResponse, options: StapleOptions): void {
  const { thisUpdate, nextUpdate } = response;
  const { now, clockSkew = DEFAULT_SKEW, maxAge = Number.POSITIVE_INFINITY } = options;
  if (nextUpdate !== undefined && !(thisUpdate <= nextUpdate)) {
    throw bad(
      `the OCSP response ends before it begins: thisUpdate ${timeText(thisUpdate)}, nextUpdate ${timeText(nextUpdate)}`,
    );
  }
  const end = Math.min(freshUntil(response), thisUpdate + maxAge);
  if (!(now <= end + clockSkew)) {
    throw bad(`the OCSP response is out of date since ${timeText(end)} (it is now ${timeText(now)})`);
  }
}

function isAbout(response: SingleResponse, leaf: ParsedCertificate, issuer: ParsedCertificate): boolean {
  if (!sameBytes(response.serialNumber, leaf.serialNumber)) {
    return false;
  }
  const nameHash = digestByOid(response.hashAlgorithm, issuer.subject.der);
  const keyHash = digestByOid(response.hashAlgorithm, issuer.publicKey.key);
  return (
    nameHash !== undefined &&
    keyHash !== undefined &&
    sameBytes(nameHash, response.issuerNameHash) &&
    sameBytes(keyHash, response.issuerKeyHash)
  );
}

function checkSignature(basic: BasicOcspResponse, [leaf, issuer]: readonly ParsedCertificate[], now: number): void {
  const signer = isResponder(basic, issuer) ? issuer : delegate(basic, issuer, now);
  // A CA that gave its leaf id-kp-OCSPSigning beside serverAuth: whoever stole the key would vouch that it is not revoked.
  if (sameBytes(signer.publicKey.der, leaf.publicKey.der)) {
    throw bad(
      `the OCSP response is signed with the key of the certificate that it vouches for, ${certificateText(leaf)}`,
    );
  }
  const verified = verifyCertificateSignature({
    algorithmOid: basic.signatureAlgorithm.oid,
    algorithmParameters: basic.signatureAlgorithm.parameters,
    issuerSpki: signer.publicKey.der,
    tbs: basic.tbs,
    signature: basic.signature,
  });
  if (verified === 'unsupported') {
    throw bad('the OCSP response is signed with an algorithm or key that is not accepted');
  }
  if (!verified) {
    throw bad('the signature of the OCSP response does not verify');
  }
}

/** The responder that the issuer appointed: with a certificate of the issuer's own, and for this purpose alone. */
function delegate(basic: BasicOcspResponse, issuer: ParsedCertificate, now: number): ParsedCertificate {
  for (const der of basic.certificates) {
    const certificate = readCertificate(der);
    if (certificate === undefined || !isResponder(basic, certificate)) {
      continue;
    }
    const text = certificateText(certificate);
    if (certificate.issuer.key !== issuer.subject.key || !isSignedBy(certificate, issuer)) {
      throw bad(`the OCSP responder ${text} was not appointed by the issuer ${certificateText(issuer)}`);
    }
    if (certificate.extKeyUsage?.has(keyPurposeOids.ocspSigning) !== true) {
      throw bad(`the certificate ${text} is not for signing OCSP responses (id-kp-OCSPSigning)`);
    }
    // Who may issue certificates is not by that one who may vouch for those of his own issuer.
    if (certificate.basicConstraints?.ca === true) {
      throw bad(`the OCSP responder ${text} is a CA, and its issuer's word is not its own`);
    }
    if (certificate.keyUsage !== undefined && !certificate.keyUsage.has('digitalSignature')) {
      throw bad(`the certificate ${text} of the OCSP responder does not allow digitalSignature`);
    }
    const fault = ownFault(certificate, 'leaf', now, false);
    if (fault !== undefined) {
      throw bad(`the certificate ${text} of the OCSP responder is refused: ${fault.detail}`);
    }
    return certificate;
  }
  throw bad("the OCSP response is not by the certificate's issuer, nor does it bring a responder's certificate");
}

function isResponder({ responder }: BasicOcspResponse, certificate: ParsedCertificate): boolean {
  return responder.kind === 'name'
    ? responder.name.key === certificate.subject.key
    : sameBytes(responder.hash, weakSha1(certificate.publicKey.key));
}

function isSignedBy(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  const verified = verifyCertificateSignature({
    algorithmOid: certificate.signatureAlgorithm.oid,
    algorithmParameters: certificate.signatureAlgorithm.parameters,
    issuerSpki: issuer.publicKey.der,
    tbs: certificate.tbs,
    signature: certificate.signature,
  });
  return verified === true;
}

function readCertificate(der: Uint8Array): ParsedCertificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof TLSError) {
      return undefined;
    }
    throw error;
  }
}

function refuseCritical(oids: readonly string[]): void {
  if (oids.length > 0) {
    throw bad(`the OCSP response has a critical extension that is not known: ${oids[0]}`);
  }
}

function bad(detail: string): TLSError {
  return new TLSError('TLS_ERR_BAD_STATUS', detail);
}

function timeText(at: number | undefined): string {
  return at !== undefined && Number.isFinite(at) ? `${new Date(at).toISOString().slice(0, 19)}Z` : String(at);
}

/** Milliseconds. */
const DEFAULT_SKEW = 300_000;
/** Milliseconds: a response without nextUpdate is only as good as the word that there is always a newer one. */
const AGE_WITHOUT_NEXT_UPDATE = 86_400_000;
