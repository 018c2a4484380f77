/** What goes beside a certificate, read and checked: stapled OCSP responses, certificate timestamps, ways to compress. */

import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { parseOcspResponse } from '../certificates/ocsp.ts';
import { checkStaple, freshUntil } from '../certificates/ocsp-check.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { CertificateCompression } from '../crypto/provider.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import { certificateSignatureScheme } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';

export interface CredentialOptions {
  /**
   * Ours, at a server: an OCSPResponse (DER) for the certificate, stapled for clients that ask; with several certificates a
   * list in their order. It is checked when it is read, as far as the chain holds its issuer, and no longer stapled once its
   * nextUpdate is past: have it renewed, with `setSecureContext`. See 'OCSPRequest' for responses by the hello.
   */
  readonly ocspResponse?: Uint8Array | readonly (Uint8Array | undefined)[];
  /**
   * Ours, at a server: SerializedSCTs (RFC 6962 §3.3) for clients that ask; with several certificates a list of lists in
   * their order. Certificates of the web's authorities hold theirs themselves, and need none here.
   */
  readonly signedCertificateTimestamps?: readonly Uint8Array[] | readonly (readonly Uint8Array[])[];
  /**
   * As in `node:tls`: how certificates are compressed in TLS 1.3 (RFC 8879), ours for peers that take it, and the peer's; best
   * first. Default: a server compresses its own for clients that ask; nothing compressed is taken.
   */
  readonly certificateCompression?: readonly CertificateCompression[];
}

/** What a `Credential` has beside its chain and key. */
export interface BesideChain {
  readonly ocspResponse?: Uint8Array;
  readonly signedCertificateTimestamps?: readonly Uint8Array[];
  readonly issuers: readonly Uint8Array[];
  readonly chainSchemes: readonly (SignatureScheme | undefined)[];
}

/** As in `node:tls`: what `certificateCompression` may name. */
export function getCertificateCompressionAlgorithms(): CertificateCompression[] {
  return [...nodeProvider.certificateCompressions];
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function readCompressions(names: unknown, with13: boolean): readonly CertificateCompression[] | undefined {
  if (names === undefined || names === null) {
    return undefined;
  }
  const known = nodeProvider.certificateCompressions;
  const isList = Array.isArray(names) && new Set(names).size === names.length;
  if (!isList || !names.every((name) => known.includes(name))) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `certificateCompression: expected a list of names among ${known.join(', ')}, each once, got ${JSON.stringify(names)}`,
    );
  }
  if (names.length > 0 && !with13) {
    throw new TLSError('TLS_ERR_CONFIG', 'certificateCompression: TLS 1.2 has none, and TLS 1.3 is ruled out');
  }
  return names as CertificateCompression[];
}

/**
 * For the certificate at `index` of `count`.
 * @throws TLSError `TLS_ERR_CONFIG` a response or a list that is not for this certificate
 */
export function readBesideChain(
  options: CredentialOptions,
  chain: readonly Uint8Array[],
  index: number,
  count: number,
): BesideChain {
  const parsed = chain.map(parseIfPossible).filter((certificate) => certificate !== undefined);
  const issuers = parsed.map(({ issuer }) => issuer.der);
  const chainSchemes = parsed
    .filter(({ selfIssued }) => !selfIssued)
    .map(({ signatureAlgorithm: { oid, parameters } }) => certificateSignatureScheme(oid, parameters));
  const timestamps = timestampsAt(options.signedCertificateTimestamps, index, count);
  const response = responseAt(options.ocspResponse, index, count);
  if (response === undefined) {
    return { issuers, chainSchemes, ...(timestamps === undefined ? {} : { signedCertificateTimestamps: timestamps }) };
  }
  const until = checkResponse(response, parsed);
  return {
    issuers,
    chainSchemes,
    ...(timestamps === undefined ? {} : { signedCertificateTimestamps: timestamps }),
    // A stale staple has clients refuse the certificate, which none at all seldom does.
    get ocspResponse() {
      return Date.now() <= until ? response : undefined;
    },
  };
}

function responseAt(given: CredentialOptions['ocspResponse'], index: number, count: number): Uint8Array | undefined {
  const list = given === undefined || given === null ? [] : Array.isArray(given) ? given : [given];
  if (list.length > count) {
    throw new TLSError('TLS_ERR_CONFIG', `ocspResponse: ${list.length} are given for ${count} certificates`);
  }
  const response = list[index];
  if (response !== undefined && !ArrayBuffer.isView(response)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      'ocspResponse: expected the bytes of an OCSPResponse (DER), or a list of them',
    );
  }
  return response === undefined ? undefined : new Uint8Array(response as Uint8Array);
}

function timestampsAt(
  given: CredentialOptions['signedCertificateTimestamps'],
  index: number,
  count: number,
): readonly Uint8Array[] | undefined {
  if (given === undefined || given === null) {
    return undefined;
  }
  const lists = given.some((entry) => Array.isArray(entry)) ? given : [given];
  if (lists.length > count) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `signedCertificateTimestamps: ${lists.length} lists for ${count} certificates`,
    );
  }
  const list = (lists[index] ?? []) as readonly Uint8Array[];
  if (!Array.isArray(list) || !list.every((entry) => ArrayBuffer.isView(entry) && fits(entry))) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      'signedCertificateTimestamps: expected SerializedSCTs, 1 to 65,535 bytes each',
    );
  }
  return list.length === 0 ? undefined : list.map((entry) => new Uint8Array(entry));
}

function fits({ byteLength }: ArrayBufferView): boolean {
  return byteLength >= 1 && byteLength <= 0xffff;
}

/** Until when it may be stapled, in milliseconds since the epoch. */
function checkResponse(response: Uint8Array, [leaf, issuer]: readonly ParsedCertificate[]): number {
  try {
    if (issuer !== undefined) {
      checkStaple({ path: [leaf, issuer], ocspResponse: response, now: Date.now() });
    }
    const { status, basic } = parseOcspResponse(response);
    if (basic === undefined) {
      throw new TLSError('TLS_ERR_BAD_STATUS', `it is no answer: ${status}`);
    }
    return Math.min(...basic.responses.map(freshUntil));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new TLSError('TLS_ERR_CONFIG', `ocspResponse: ${detail}`, { cause });
  }
}

/** What stands behind the leaf may be of a form that we cannot read, and clients can. */
function parseIfPossible(der: Uint8Array): ParsedCertificate | undefined {
  try {
    return parseCertificate(der);
  } catch {
    return undefined;
  }
}
