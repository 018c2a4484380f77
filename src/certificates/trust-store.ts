/** Trust anchors, prepared once: found by name and ordered by key identifier. RFC 5280 §6.1.1 (d). */

import { sameBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { type ParsedCertificate, parseCertificate } from './certificate.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import { pemToDer } from './pem.ts';

export interface TrustStore {
  /** Tells stores apart within this process, for caches. */
  readonly id: number;
  readonly size: number;
  /** Anchors with this subject. */
  bySubject(subject: DistinguishedName): readonly ParsedCertificate[];
  /** The anchor that is byte for byte this certificate. */
  find(certificate: ParsedCertificate): ParsedCertificate | undefined;
}

export interface TrustStoreOptions {
  /** Leave out certificates that cannot be decoded, as in a system's bundle of hundreds. Default false. */
  readonly skipUnreadable?: boolean;
}

/**
 * From DER or PEM; a PEM text may hold several certificates. An anchor is not judged here but when a path ends in it.
 * @throws TLSError `TLS_ERR_CONFIG` when one cannot be read; the text says which
 */
export function createTrustStore(
  roots: readonly (Uint8Array | string)[],
  { skipUnreadable = false }: TrustStoreOptions = {},
): TrustStore {
  const anchors = new Map<string, ParsedCertificate[]>();
  let size = 0;
  for (const [i, root] of roots.entries()) {
    for (const certificate of parseRoot(root, i, skipUnreadable)) {
      const same = anchors.get(certificate.subject.key) ?? [];
      anchors.set(certificate.subject.key, same);
      if (!same.some((known) => sameBytes(known.raw, certificate.raw))) {
        same.push(certificate);
        size++;
      }
    }
  }
  const bySubject = (subject: DistinguishedName) => anchors.get(subject.key) ?? [];
  return {
    id: nextId++,
    size,
    bySubject,
    find: (certificate) => bySubject(certificate.subject).find((anchor) => sameBytes(anchor.raw, certificate.raw)),
  };
}

function parseRoot(root: Uint8Array | string, index: number, skipUnreadable: boolean): ParsedCertificate[] {
  const parsed: ParsedCertificate[] = [];
  try {
    for (const der of typeof root === 'string' ? pemToDer(root) : [root.slice()]) {
      const certificate = parseOrSkip(der, skipUnreadable);
      if (certificate !== undefined) {
        parsed.push(certificate);
      }
    }
    return parsed;
  } catch (error) {
    const detail = error instanceof TLSError ? error.message : String(error);
    throw new TLSError('TLS_ERR_CONFIG', `trusted certificate ${index + 1} cannot be read: ${detail}`, {
      cause: error,
    });
  }
}

function parseOrSkip(der: Uint8Array, skipUnreadable: boolean): ParsedCertificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (skipUnreadable && error instanceof TLSError) {
      return undefined;
    }
    throw error;
  }
}

let nextId = 1;
