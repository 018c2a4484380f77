/**
 * Who has how many of something that there is a bound of, by the address of the client: nobody may take all of it.
 *
 * Of IPv6 the first 64 bits count (RFC 4291 §2.5.1): whoever has one such address has all of its network.
 */

export class Shares {
  readonly #limit: number;
  readonly #taken = new Map<string, number>();
  /** Clients that have none now: they may be back soon, and an entry that stays costs less than one that comes and goes. */
  #gone = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  hasRoom(client: string): boolean {
    return (this.#taken.get(client) ?? 0) < this.#limit;
  }

  take(client: string): void {
    const before = this.#taken.get(client);
    if (before === 0) {
      this.#gone--;
    }
    this.#taken.set(client, (before ?? 0) + 1);
  }

  giveBack(client: string): void {
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
    groups.push(...Array<string>(4).fill('0'));
  }
  return groups.slice(0, 4).join(':');
}

const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i;
/** Whoever has many addresses must not fill our memory with them. */
const MAX_GONE = 1_024;
