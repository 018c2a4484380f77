/** Tells objects and functions apart by a number each, in the keys of pools and caches. */

export function objectNumber(one: object): number {
  let number = numbers.get(one);
  if (number === undefined) {
    number = next++;
    numbers.set(one, number);
  }
  return number;
}

const numbers = new WeakMap<object, number>();
let next = 1;
