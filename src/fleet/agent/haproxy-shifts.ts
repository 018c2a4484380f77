/**
 * HAProxy's three ticket keys, and how to get from what it has to what it should have.
 *
 *     [opens, seals, next] ── set ssl tls-key FILE k ──▶ [seals, next, k]
 *
 * So each set lets the last key seal. Every key that is put there on the way is one that all hosts can open.
 */

/** In the order of the file, and of `show tls-keys`. */
export type Triple<K> = readonly [opens: K, seals: K, next: K];

/**
 * The keys to set, one after the other: none to three. Empty places take one of the others, so that three are always
 * there; what is put into them is chosen so that the fewest sets are needed.
 * @param held undefined when it is not known
 */
export function shifts<K>(
  held: Triple<K> | undefined,
  wanted: { readonly opens?: K; readonly seals: K; readonly next?: K },
  same: (a: K, b: K) => boolean,
): { readonly sets: readonly K[]; readonly result: Triple<K> } {
  const options = triples(wanted).map((result) => ({ sets: setsFor(held, result, same), result }));
  return options.reduce((best, one) => (one.sets.length < best.sets.length ? one : best));
}

/** In the order of preference: what seals fills empty places. */
function triples<K>({ opens, seals, next }: { opens?: K; seals: K; next?: K }): readonly Triple<K>[] {
  const last = next ?? seals;
  return opens === undefined
    ? [
        [seals, seals, last],
        [last, seals, last],
      ]
    : [[opens, seals, last]];
}

function setsFor<K>(held: Triple<K> | undefined, wanted: Triple<K>, same: (a: K, b: K) => boolean): readonly K[] {
  const kept = held === undefined ? 0 : [3, 2, 1].find((count) => startsWith(held.slice(3 - count), wanted, same));
  return wanted.slice(kept ?? 0);
}

function startsWith<K>(tail: readonly K[], wanted: Triple<K>, same: (a: K, b: K) => boolean): boolean {
  return tail.every((key, i) => same(key, wanted[i]));
}
