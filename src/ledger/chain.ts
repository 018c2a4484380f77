/**
 * A list from which any member can be taken at once, and whose first is found at once however many were taken before it: a
 * Set of JavaScript keeps holes where members were, and looks through them.
 */

export class Chain<T> {
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#first?.member;
  }

  /** At the end. `link` is in no chain. */
  add(link: Link<T>): void {
    link.before = this.#last;
    link.after = undefined;
    if (this.#last === undefined) {
      this.#first = link;
    } else {
      this.#last.after = link;
    }
    this.#last = link;
    this.#size += 1;
  }

  /** `link` is one of this chain, which it leaves. */
  remove({ before, after }: Link<T>): void {
    if (before === undefined) {
      this.#first = after;
    } else {
      before.after = after;
    }
    if (after === undefined) {
      this.#last = before;
    } else {
      after.before = before;
    }
    this.#size -= 1;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let link = this.#first; link !== undefined; link = link.after) {
      yield link.member;
    }
  }
}

/** A member's place in one chain at a time. */
export class Link<T> {
  readonly member: T;
  before: Link<T> | undefined = undefined;
  after: Link<T> | undefined = undefined;

  constructor(member: T) {
    this.member = member;
  }
}
