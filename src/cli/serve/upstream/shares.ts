/**
 * Who has how many of something that there is a bound of, by the address of the client: nobody may take all of it.
 *
 *   one more may have who has fewer than are left, or fewer than `FEW`
 *
 * So one client comes to a half, a second one to a quarter of all, and so on: something is left until there are many who want it
 * all, and nobody need know how many there will be. Of 1024 it takes eight.
 *
 * Of IPv6 the first 48 bits count (RFC 6177 §2): a house or a company may have all addresses of its network, not only one.
 */

export class Shares {
  readonly #fixed: number | undefined;
  #left: number;
  readonly #taken = new Map<string, number>();
  /** Clients that have none now: they may be back soon, and an entry that stays costs less than one that comes and goes. */
  #gone = 0;

  /** `limit`: of all clients. `fixed`: of each, in place of the rule. */
  constructor(limit: number, fixed?: number) {
    this.#fixed = fixed;
    this.#left = limit;
  }

  hasRoom(client: string): boolean {
    return (this.#taken.get(client) ?? 0) < (this.#fixed ?? Math.max(this.#left, FEW));
  }

  take(client: string): void {
    this.#left--;
    const before = this.#taken.get(client);
    if (before === 0) {
      this.#gone--;
    }
    this.#taken.set(client, (before ?? 0) + 1);
  }

  giveBack(client: string): void {
    this.#left++;
    const left = (this.#taken.get(client) ?? 1) - 1;
    this.#taken.set(client, left);
    if (left === 0 && ++this.#gone > MAX_GONE) {
      this.#forget();
    }
  }

  #forget(): void {
    for (const [client, count] of this.#taken) {
      if (count === 0) {
        this.#taken.delete(client);
      }
    }
    this.#gone = 0;
  }
}

/** Under which name a client has its share. */
export function clientOf(address: string | undefined): string {
  if (address === undefined || !address.includes(':')) {
    return address ?? '';
  }
  if (MAPPED.test(address)) {
    // RFC 4291 §2.5.5.2: IPv4, on a socket that takes both.
    return address.slice(address.lastIndexOf(':') + 1);
  }
  const [before, after] = address.split('::');
  const groups = before === '' ? [] : before.split(':');
  if (after !== undefined) {
    // What `::` leaves out.
    groups.push(...Array<string>(3).fill('0'));
  }
  return groups.slice(0, 3).join(':');
}

/** What a browser may open at a time; who has no more is in nobody's way. */
export const FEW = 8;
const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i;
/** Whoever has many addresses must not fill our memory with them. */
const MAX_GONE = 1_024;
