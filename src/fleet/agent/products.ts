/**
 * The servers that an agent of the ring can drive, and what each takes for a ticket key.
 *
 *     nginx, Envoy 80    name(16) ‖ HMAC key(32) ‖ AES key(32)        nginx 48      name(16) ‖ AES key(16) ‖ HMAC key(16)
 *     HAProxy 80         name(16) ‖ AES key(32) ‖ HMAC key(32)        HAProxy 48    name(16) ‖ AES key(16) ‖ HMAC key(16)
 *
 * A working key is uniform bytes of that length, and each server takes it apart in its own order; so the order is no
 * business of the agent's. That it differs is why each product and size has a target of its own: docs/ring.md.
 */

import { TLSError } from '../../errors.ts';
import type { WorkingKeyTarget } from '../epoch-secret.ts';

export const products = {
  nginx: { title: 'nginx', targets: { 48: 'nginx-48', 80: 'nginx-80' } },
  haproxy: { title: 'HAProxy', targets: { 48: 'haproxy-48', 80: 'haproxy-80' } },
  envoy: { title: 'Envoy', targets: { 80: 'envoy-80' } },
  /** Is given no key: the public name of the ring's stands for it. */
  apache: { title: 'Apache httpd', targets: { 0: 'mayfly-name' } },
} as const satisfies Record<string, { title: string; targets: Readonly<Record<number, WorkingKeyTarget>> }>;

export type Product = keyof typeof products;

export function isProduct(name: string): name is Product {
  return Object.hasOwn(products, name);
}

/**
 * @param keySize bytes; default: the most that the product takes, which is AES-256
 * @throws TLSError `TLS_ERR_CONFIG` the product takes no keys of this size
 */
export function targetOf(product: Product, keySize?: number): WorkingKeyTarget {
  const targets: Readonly<Record<number, WorkingKeyTarget>> = products[product].targets;
  const sizes = Object.keys(targets).map(Number);
  const target = targets[keySize ?? Math.max(...sizes)];
  if (target === undefined) {
    const known = sizes.filter((size) => size > 0);
    throw new TLSError(
      'TLS_ERR_CONFIG',
      known.length === 0
        ? `${products[product].title} is given no key, so none of ${keySize} bytes`
        : `a ticket key of ${products[product].title} has ${known.join(' or ')} bytes, got ${keySize}`,
    );
  }
  return target;
}
