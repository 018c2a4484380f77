/**
 * Those who are there at the moment, such as the open sockets of a server: who comes is given a place, and leaves by it. In no
 * particular order.
 *
 * Not a Set or a Map. Their tables fill up with what was deleted, and are exchanged for new ones every few dozen members. What is
 * left of an old table lies in V8's old generation and holds on, until the next full collection, to whoever was there when it was
 * exchanged, and to the table that came after it: more than half of all connections outlived their end by that.
 */

export interface Place<T> {
  /** Undefined: it has left. */
  member: T | undefined;
  at: number;
}

/** Under which a socket keeps its place: whoever is handed one hangs things of its own on it, by names of its own. */
export const ownPlace: unique symbol = Symbol('place');

export class Roster<T extends object> {
  readonly #places: Place<T>[] = [];

  get size(): number {
    return this.#places.length;
  }

  enter(member: T): Place<T> {
    const place = { member, at: this.#places.length };
    this.#places.push(place);
    return place;
  }

  /** Idempotent; false where it had left before. */
  leave(place: Place<T> | undefined): boolean {
    if (place?.member === undefined) {
      return false;
    }
    place.member = undefined;
    const last = this.#places.pop() as Place<T>;
    if (last !== place) {
      last.at = place.at;
      this.#places[place.at] = last;
    }
    return true;
  }

  clear(): void {
    for (const place of this.#places) {
      place.member = undefined;
    }
    this.#places.length = 0;
  }

  /** Those who are there when it begins, but for those who leave meanwhile. */
  *[Symbol.iterator](): Generator<T, undefined> {
    for (const { member } of [...this.#places]) {
      if (member !== undefined) {
        yield member;
      }
    }
  }
}
