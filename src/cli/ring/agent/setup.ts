/** The flags of an agent, read: which server it drives, how, and where the keys lie. */

import { readFileSync } from 'node:fs';
import { isProduct, type Product, products } from '../../../fleet/agent/products.ts';
import { ApacheDriver } from '../../../node/agent/apache.ts';
import type { ServerDriver } from '../../../node/agent/driver.ts';
import { EnvoyDriver } from '../../../node/agent/envoy.ts';
import { HaproxyDriver } from '../../../node/agent/haproxy.ts';
import { type FileOwner, KeyFolder } from '../../../node/agent/key-folder.ts';
import { NginxDriver } from '../../../node/agent/nginx.ts';
import { parseRuntimeAddress } from '../../../node/agent/runtime-socket.ts';
import { systemClock } from '../../../node/clock.ts';
import { parseDuration } from '../../duration.ts';
import { Problem } from '../../problem.ts';
import type { AgentFlags } from '../agent.ts';

export interface Setup {
  readonly product: Product;
  readonly keySize: number | undefined;
  /** Milliseconds. */
  readonly drain: number;
  readonly timeout: number;
  readonly ticketLifetime: number;
}

/** @throws Problem `usage` */
export function setupOf(flags: AgentFlags): Setup {
  const { for: product, keySize } = flags;
  if (!isProduct(product)) {
    throw new Problem('usage', `--for: ${JSON.stringify(product)} is none of ${Object.keys(products).join(', ')}`);
  }
  if (keySize !== undefined && keySize !== '48' && keySize !== '80') {
    throw new Problem('usage', `--key-size: ${JSON.stringify(keySize)} is neither 48 nor 80`);
  }
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(flags.secretName)) {
    throw new Problem('usage', '--secret-name: expected up to 64 letters, digits and . _ -');
  }
  const epoch = parseDuration(flags.rotate, '--rotate');
  const lifetime = parseDuration(flags.lifetime, '--lifetime');
  return {
    product,
    keySize: keySize === undefined ? undefined : Number(keySize),
    drain: parseDuration(flags.drain, '--drain'),
    timeout: parseDuration(flags.timeout, '--timeout'),
    ticketLifetime: flags.tls13Only === true ? lifetime : Math.min(lifetime, epoch),
  };
}

/** @throws Problem `usage`; TLSError `TLS_ERR_KEY_FOLDER`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_CONFIG` */
export function driverFor(flags: AgentFlags, setup: Setup): { driver: ServerDriver; folder: KeyFolder | undefined } {
  const { product, timeout, keySize = 80 } = setup;
  const clock = systemClock;
  if (product === 'apache') {
    return { driver: new ApacheDriver({ clock, timeout, reload: flags.reload }), folder: undefined };
  }
  const socket = product === 'haproxy' ? parseRuntimeAddress(flags.socket) : undefined;
  const folder = new KeyFolder({
    path: folderOf(flags),
    ...(flags.owner === undefined ? {} : { owner: ownerOf(flags.owner) }),
    dangerouslyAllowAnyFileSystem: flags.dangerouslyAllowAnyFileSystem,
  });
  if (product === 'envoy') {
    return { driver: new EnvoyDriver({ folder, clock, secretName: flags.secretName }), folder };
  }
  if (socket !== undefined) {
    return { driver: new HaproxyDriver({ folder, clock, socket, keySize, timeout }), folder };
  }
  const { reload, pidFile } = flags;
  const ticketLifetime = Math.ceil(setup.ticketLifetime / 1000);
  return { driver: new NginxDriver({ folder, clock, pidFile, reload, timeout, ticketLifetime }), folder };
}

/** @throws Problem `usage` */
export function folderOf({ folder }: AgentFlags): string {
  if (folder === undefined) {
    throw new Problem('usage', '--folder is missing', 'Give a folder on ramfs, or on tmpfs with noswap.');
  }
  return folder;
}

/** `user`, `user:group`, or numbers. */
function ownerOf(text: string): FileOwner {
  const [user, group] = text.split(':');
  const account = entryOf('/etc/passwd', user);
  const uid = account?.[2] ?? user;
  const gid = group === undefined ? (account?.[3] ?? uid) : (entryOf('/etc/group', group)?.[2] ?? group);
  if (!/^\d{1,10}$/.test(uid) || !/^\d{1,10}$/.test(gid)) {
    throw new Problem('usage', `--owner: this host has no ${JSON.stringify(text)}`, 'Give a user, or user:group.');
  }
  return { uid: Number(uid), gid: Number(gid) };
}

function entryOf(file: string, name: string): readonly string[] | undefined {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.map((line) => line.split(':')).find(([first]) => first === name);
}
