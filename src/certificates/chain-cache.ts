/**
 * A bounded cache of verdicts: the same chain for the same name under the same roots is validated once in a while
 * instead of on every connection. The signature over the handshake is another matter and is never cached.
 *
 * Compared byte for byte, without a hash. Only success is kept: a failure may end (a clock is set, a root is added),
 * and keeping failures would let anyone fill the cache.
 */

import { type VerifiedChain, type VerifyOptions, verifyCertificateChain } from './verify.ts';

export interface ChainCacheOptions {
  /** Verdicts kept at most; the one made longest ago goes first. Default 256. */
  readonly maxEntries?: number;
  /** Milliseconds that a verdict holds, and never beyond the path's first notAfter. Default 5 minutes. */
  readonly maxAge?: number;
}

export interface ChainCache {
  readonly size: number;
  /** As `verifyCertificateChain`, with the same errors. */
  verify(options: VerifyOptions): VerifiedChain;
  clear(): void;
}

interface Entry {
  readonly chain: readonly Uint8Array[];
  readonly verdict: VerifiedChain;
  /** Milliseconds since the epoch, both included. */
  readonly from: number;
  readonly until: number;
}

export function createChainCache({ maxEntries = 256, maxAge = 300_000 }: ChainCacheOptions = {}): ChainCache {
  const entries = new Map<string, Entry>();
  return {
    get size() {
      return entries.size;
    },
    verify(options) {
      const key = cacheKey(options);
      const known = key === undefined ? undefined : entries.get(key);
      if (known !== undefined && isFresh(known, options.now) && sameChain(known.chain, options.chain)) {
        return known.verdict;
      }
      // A copy: what was received belongs to a buffer that is used again.
      const chain = options.chain.map((der) => der.slice());
      const verdict = verifyCertificateChain({ ...options, chain });
      if (key !== undefined && maxEntries > 0) {
        entries.delete(key);
        entries.set(key, {
          chain,
          verdict,
          from: options.now,
          until: Math.min(verdict.notAfter, options.now + maxAge),
        });
        evict(entries, maxEntries);
      }
      return verdict;
    },
    clear() {
      entries.clear();
    },
  };
}

/** Tells apart what must not share a verdict, and by four bytes of the leaf's signature the chains of one name. */
function cacheKey({
  chain,
  roots,
  purpose,
  serverName,
  checkName = true,
  form = 'strict',
}: VerifyOptions): string | undefined {
  const leaf = chain[0];
  if (leaf === undefined || leaf.length < 4) {
    return undefined;
  }
  const end = leaf.length;
  const tail = (leaf[end - 4] << 24) | (leaf[end - 3] << 16) | (leaf[end - 2] << 8) | leaf[end - 1];
  return `${roots.id} ${purpose} ${checkName} ${form} ${tail} ${serverName}`;
}

/** A clock that went back ends a verdict as well: it may have been given in a future that was wrong. */
function isFresh(entry: Entry, now: number): boolean {
  return now >= entry.from && now <= entry.until;
}

function sameChain(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  if (a.length !== b.length) {
    return false;
  }
  for (let i = 0; i < a.length; i++) {
    if (a[i].length !== b[i].length || Buffer.compare(a[i], b[i]) !== 0) {
      return false;
    }
  }
  return true;
}

/** The oldest goes: on a hit the order is left alone, since moving an entry costs more than finding it. */
function evict(entries: Map<string, Entry>, maxEntries: number): void {
  for (const key of entries.keys()) {
    if (entries.size <= maxEntries) {
      return;
    }
    entries.delete(key);
  }
}
