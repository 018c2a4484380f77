/**
 * A bounded cache of verdicts: the same chain for the same name under the same roots is validated once in a while
 * instead of on every connection. What a handshake shows anew is never cached: the signature over it, and what is stapled.
 *
 * Compared byte for byte, without a hash. Only success is kept: a failure may end (a clock is set, a root is added),
 * and keeping failures would let anyone fill the cache.
 */

import type { TrustStore } from './trust-store.ts';
import { judgeStaple, judgesStaple, type VerifiedChain, type VerifyOptions, verifyPath } from './verify.ts';

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
  readonly serverName: string;
  /** Of the trust store, which is not kept alive. */
  readonly rootsId: TrustStore['id'];
  readonly purpose: VerifyOptions['purpose'];
  readonly checkName: boolean;
  readonly form: 'strict' | 'tolerant';
  /** Certificates that demand it are let pass. */
  readonly judgesStaple: boolean;
  /** A copy: what was received belongs to a buffer that is used again. */
  readonly chain: readonly Uint8Array[];
  readonly verdict: VerifiedChain;
  /** Milliseconds since the epoch, both included. */
  readonly from: number;
  readonly until: number;
}

export function createChainCache({ maxEntries = 256, maxAge = 300_000 }: ChainCacheOptions = {}): ChainCache {
  /** In the order in which they were made: a hit leaves it alone, since moving an entry costs more than finding it. */
  const entries = new Set<Entry>();
  const byName = new Map<string, Entry[]>();

  function drop(entry: Entry): void {
    entries.delete(entry);
    const left = (byName.get(entry.serverName) ?? []).filter((one) => one !== entry);
    if (left.length === 0) {
      byName.delete(entry.serverName);
    } else {
      byName.set(entry.serverName, left);
    }
  }

  function keep(entry: Entry): void {
    entries.add(entry);
    byName.set(entry.serverName, [...(byName.get(entry.serverName) ?? []), entry]);
    for (const oldest of entries) {
      if (entries.size <= maxEntries) {
        return;
      }
      drop(oldest);
    }
  }

  function judgeAnew(options: VerifyOptions, known: Entry | undefined): VerifiedChain {
    const { roots, serverName, purpose, checkName = true, form = 'strict', now } = options;
    const chain = options.chain.map((der) => der.slice());
    const verdict = verifyPath({ ...options, chain });
    if (known !== undefined) {
      drop(known);
    }
    if (chain.reduce((sum, { length }) => sum + length, 0) <= MAX_CHAIN_BYTES) {
      const until = Math.min(verdict.notAfter, now + maxAge);
      const policy = { serverName, rootsId: roots.id, purpose, checkName, form, judgesStaple: judgesStaple(options) };
      keep({ ...policy, chain, verdict, from: now, until });
    }
    return verdict;
  }

  return {
    get size() {
      return entries.size;
    },
    verify(options) {
      const known = byName.get(options.serverName)?.find((entry) => isFor(entry, options));
      const verdict = known !== undefined && isFresh(known, options.now) ? known.verdict : judgeAnew(options, known);
      judgeStaple(verdict, options);
      return verdict;
    },
    clear() {
      entries.clear();
      byName.clear();
    },
  };
}

function isFor(entry: Entry, options: VerifyOptions): boolean {
  const { roots, purpose, checkName = true, form = 'strict', chain } = options;
  return (
    entry.rootsId === roots.id &&
    entry.purpose === purpose &&
    entry.checkName === checkName &&
    entry.form === form &&
    entry.judgesStaple === judgesStaple(options) &&
    sameChain(entry.chain, chain)
  );
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
    if (!sameCertificate(a[i], b[i])) {
      return false;
    }
  }
  return true;
}

/** The signature's end first, in which the certificates of one name differ. */
function sameCertificate(a: Uint8Array, b: Uint8Array): boolean {
  const last = a.length - 1;
  return a.length === b.length && a[last] === b[last] && a[last - 1] === b[last - 1] && Buffer.compare(a, b) === 0;
}

/**
 * A peer that is trusted may send what it likes behind its own path, and all of it would be kept: 256 times what a handshake
 * takes. The chains of the web have 2 to 8 KiB.
 */
const MAX_CHAIN_BYTES = 32_768;
