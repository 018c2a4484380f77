/** Trust anchors, prepared once: found by name and ordered by key identifier. RFC 5280 §6.1.1 (d). */

import { sameBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import { type ParsedCertificate, parseCertificate, readSubject } from './certificate.ts';
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
  /**
   * For a system's bundle of hundreds: what cannot be decoded is left out instead of refused, and each root is decoded
   * in full only when a path comes to it, which saves most of the time. Default false.
   */
  readonly lenient?: boolean;
}

/** `certificate` is undefined until it is needed and null when it cannot be decoded. */
interface Anchor {
  readonly der: Uint8Array;
  certificate: ParsedCertificate | null | undefined;
}

/**
 * From DER or PEM; a PEM text may hold several certificates. An anchor is not judged here but when a path ends in it.
 * @throws TLSError `TLS_ERR_CONFIG` when one cannot be read; the text says which
 */
export function createTrustStore(
  roots: readonly (Uint8Array | string)[],
  { lenient = false }: TrustStoreOptions = {},
): TrustStore {
  const anchors = new Map<string, Anchor[]>();
  let size = 0;
  for (const [i, root] of roots.entries()) {
    for (const { key, anchor } of readRoot(root, i, lenient)) {
      const same = anchors.get(key) ?? [];
      anchors.set(key, same);
      if (!same.some((known) => sameBytes(known.der, anchor.der))) {
        same.push(anchor);
        size++;
      }
    }
  }
  const bySubject = ({ key }: DistinguishedName) => decodeAll(anchors.get(key) ?? []);
  return {
    id: nextId++,
    size,
    bySubject,
    find: (certificate) => bySubject(certificate.subject).find((anchor) => sameBytes(anchor.raw, certificate.raw)),
  };
}

function readRoot(root: Uint8Array | string, index: number, lenient: boolean): { key: string; anchor: Anchor }[] {
  try {
    const read: { key: string; anchor: Anchor }[] = [];
    for (const der of typeof root === 'string' ? pemToDer(root) : [root.slice()]) {
      const certificate = lenient ? undefined : parseCertificate(der);
      const subject = certificate?.subject ?? subjectOrNothing(der);
      if (subject !== undefined) {
        read.push({ key: subject.key, anchor: { der, certificate } });
      }
    }
    return read;
  } catch (error) {
    const detail = error instanceof TLSError ? error.message : String(error);
    throw new TLSError('TLS_ERR_CONFIG', `trusted certificate ${index + 1} cannot be read: ${detail}`, {
      cause: error,
    });
  }
}

function decodeAll(anchors: readonly Anchor[]): readonly ParsedCertificate[] {
  const decoded: ParsedCertificate[] = [];
  for (const anchor of anchors) {
    if (anchor.certificate === undefined) {
      anchor.certificate = orNothing(() => parseCertificate(anchor.der)) ?? null;
    }
    if (anchor.certificate !== null) {
      decoded.push(anchor.certificate);
    }
  }
  return decoded;
}

function subjectOrNothing(der: Uint8Array): DistinguishedName | undefined {
  return orNothing(() => readSubject(der));
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof TLSError) {
      return undefined;
    }
    throw error;
  }
}

let nextId = 1;
