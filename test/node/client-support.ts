/** Certification authorities for clients, and certificates of theirs. */

import type { KeyObject } from 'node:crypto';
import { randomBytes } from 'node:crypto';
import { keyPurposeOids } from '../../src/certificates/oids.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import { type Authority, DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { now } from './support.ts';

const validity = { notBefore: now - DAY, notAfter: now + 30 * DAY };

export function clientAuthority(subject: string): Authority & { readonly pem: string } {
  const root = makeRoot({ subject, ...validity });
  return { ...root, pem: derToPem(root.der) };
}

export const clientCa = clientAuthority('Clients');
export const otherClientCa = clientAuthority('Other clients');

interface ClientSpec {
  readonly issuer?: Authority;
  readonly notAfter?: number;
  readonly extKeyUsage?: readonly string[] | null;
  /** Instead of a key on P-256. */
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

export interface ClientPem {
  readonly cert: string;
  readonly key: string;
}

export function clientCertificate(
  subject: string,
  { issuer = clientCa, extKeyUsage = [keyPurposeOids.client], keys, ...rest }: ClientSpec = {},
): ClientPem {
  const leaf = makeLeaf(issuer, {
    subject,
    names: undefined,
    extKeyUsage,
    serial: Uint8Array.of(0x4d, ...randomBytes(8)),
    ...(keys === undefined ? {} : { spki: new Uint8Array(keys.publicKey.export({ type: 'spki', format: 'der' })) }),
    ...validity,
    ...rest,
  });
  const key = keys === undefined ? leaf.key.privateKeyPem : keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
  return { cert: derToPem(leaf.der), key: key as string };
}

export const alice = clientCertificate('alice');
export const bob = clientCertificate('bob');
/** Of an authority that no server here trusts unless it says so. */
export const mallory = clientCertificate('mallory', { issuer: otherClientCa });
