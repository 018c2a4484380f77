/** Counts by name. */

export type Counts = Record<string, number>;

export function add(counts: Counts, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
