/** Whom an end trusts: prepared stores of root certificates, Node's own roots by default, and verdicts on chains. */

import { readFileSync } from 'node:fs';
import * as nodeTls from 'node:tls';
import { createChainCache } from '../certificates/chain-cache.ts';
import { createTrustStore, type TrustStore } from '../certificates/trust-store.ts';
import type { VerifiedChain, VerifyOptions } from '../certificates/verify.ts';
import { TLSError } from '../errors.ts';

export type CaOption = string | Uint8Array | readonly (string | Uint8Array)[];

export interface Trust {
  readonly roots: TrustStore;
  /** Private CAs are often made by hand: their certificates' form is judged more mildly than their content. */
  readonly form: 'strict' | 'tolerant';
  /** Node's own roots. */
  readonly isDefault: boolean;
  /** What `roots` was made of, PEM or DER. */
  readonly sources: readonly (string | Uint8Array)[];
}

/**
 * The trust that a `ca` option stands for. The same option gives the same store, so that a connect with `ca` parses
 * nothing anew.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function trustFor(ca: CaOption | undefined | null): Trust {
  if (ca === undefined || ca === null) {
    // Node gives the same list until `setDefaultCACertificates` changes it; older Nodes have a fixed one.
    const sources = nodeRoots?.('default') ?? defaultTrust?.sources ?? bundledRoots();
    if (defaultTrust?.sources !== sources) {
      defaultTrust = { roots: createTrustStore(sources), form: 'strict', isDefault: true, sources };
    }
    return defaultTrust;
  }
  const roots = (Array.isArray(ca) ? ca : [ca]).map(asRoot);
  const key = roots.map((root) => (typeof root === 'string' ? root : Buffer.from(root).toString('base64'))).join('\n');
  const known = stores.get(key);
  if (known !== undefined) {
    return known;
  }
  const trust: Trust = { roots: createTrustStore(roots), form: 'tolerant', isDefault: false, sources: roots };
  if (stores.size >= MAX_STORES) {
    stores.delete(stores.keys().next().value as string);
  }
  stores.set(key, trust);
  return trust;
}

/**
 * @throws TLSError the reason why the chain is not trusted
 */
export function verifyServerChain(
  trust: Trust,
  chain: readonly Uint8Array[],
  serverName: string,
  checkName: boolean,
  { stapling, ocspResponse }: Pick<VerifyOptions, 'stapling' | 'ocspResponse'> = {},
): VerifiedChain {
  return verdicts.verify({
    chain,
    roots: trust.roots,
    serverName,
    checkName,
    now: Date.now(),
    purpose: 'server',
    form: trust.form,
    stapling,
    ocspResponse,
  });
}

/**
 * For TLS clients: names are not looked at, the extended key usage is.
 * @throws TLSError the reason why the chain is not trusted
 */
export function verifyClientChain(trust: Trust, chain: readonly Uint8Array[]): VerifiedChain {
  return verdicts.verify({
    chain,
    roots: trust.roots,
    serverName: '',
    checkName: false,
    now: Date.now(),
    purpose: 'client',
    form: trust.form,
  });
}

/** PEM text stays text, whatever it came in; anything else is DER. */
function asRoot(root: string | Uint8Array): string | Uint8Array {
  if (typeof root === 'string') {
    return root;
  }
  if (!ArrayBuffer.isView(root)) {
    throw new TLSError('TLS_ERR_CONFIG', 'ca: expected PEM text or bytes, or an array of them');
  }
  const looksLikeDer = root[0] === DER_SEQUENCE && root[1] >= 0x80;
  return looksLikeDer
    ? new Uint8Array(root)
    : Buffer.from(root.buffer, root.byteOffset, root.byteLength).toString('latin1');
}

function bundledRoots(): string[] {
  const roots = [...nodeTls.rootCertificates];
  const extra = process.env.NODE_EXTRA_CA_CERTS;
  if (extra) {
    roots.push(readExtraRoots(extra));
  }
  return roots;
}

function readExtraRoots(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (cause) {
    throw new TLSError('TLS_ERR_CONFIG', `NODE_EXTRA_CA_CERTS: ${path} cannot be read`, { cause });
  }
}

const { getCACertificates: nodeRoots } = nodeTls as { getCACertificates?: (type: 'default') => readonly string[] };
let defaultTrust: Trust | undefined;
const verdicts = createChainCache();
/** By the certificates themselves; a few, since each may hold hundreds of roots. */
const stores = new Map<string, Trust>();
const MAX_STORES = 16;
const DER_SEQUENCE = 0x30;
