/** Counts what a parser does, in elements read: the same on every machine, as milliseconds are not. */

import { DerReader } from '../../src/certificates/der.ts';

/** How many elements of DER `action` reads. */
export function countReads(action: () => unknown): number {
  const { prototype } = DerReader;
  const { enter, content, element } = prototype;
  let reads = 0;
  const counted = <A extends unknown[], R>(method: (this: DerReader, ...args: A) => R) =>
    function (this: DerReader, ...args: A): R {
      reads++;
      return method.apply(this, args);
    };
  prototype.enter = counted(enter);
  prototype.content = counted(content);
  prototype.element = counted(element);
  try {
    action();
  } finally {
    Object.assign(prototype, { enter, content, element });
  }
  return reads;
}
