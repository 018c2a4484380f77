/**
 * Whether a folder lies in memory that is never written to a disk: ramfs, or tmpfs that is not swapped. Linux tells by the
 * id of the mount that an open descriptor is on, so that no path has to be compared with another.
 *
 *     36 35 0:39 / /run/keys rw,relatime shared:1 - tmpfs tmpfs rw,size=1024k,noswap
 *     └ id         └ point   └ options     └ type           └ of the file system
 *
 * proc_pid_mountinfo(5), tmpfs(5).
 */

import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { TLSError } from '../../errors.ts';

export interface Mount {
  readonly type: string;
  readonly point: string;
  readonly options: readonly string[];
}

/** What /proc says of memory and mounts; tests bring their own. */
export interface SystemView {
  readonly mountinfo: string;
  readonly swaps: string;
  /** As `uname -r`. */
  readonly kernel: string;
}

export function systemView(): SystemView {
  return {
    mountinfo: readFileSync('/proc/self/mountinfo', 'utf8'),
    swaps: readFileSync('/proc/swaps', 'utf8'),
    kernel: release(),
  };
}

/** The mount that a descriptor is on. @throws TLSError `TLS_ERR_KEY_FOLDER` */
export function mountOf(descriptor: number, { mountinfo }: SystemView): Mount {
  const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
  const line = mountinfo.split('\n').find((one) => one.startsWith(`${id} `));
  const mount = line === undefined ? undefined : parseMount(line);
  if (mount === undefined) {
    throw new TLSError('TLS_ERR_KEY_FOLDER', 'the system does not tell what the folder for key files is mounted on');
  }
  return mount;
}

/** One line of mountinfo; undefined when it is none. */
export function parseMount(line: string): Mount | undefined {
  const [left, right] = line.split(' - ');
  const point = left.split(' ')[4];
  const [type, , options] = right?.split(' ') ?? [];
  return point === undefined || options === undefined ? undefined : { type, point, options: options.split(',') };
}

export type Judgement =
  | { readonly verdict: 'memory' }
  /** Memory as long as nobody turns swap on. */
  | { readonly verdict: 'unless_swap'; readonly note: string }
  | { readonly verdict: 'refused'; readonly why: string };

/** @param folder for the text */
export function judgeMount(folder: string, mount: Mount, { swaps, kernel }: SystemView): Judgement {
  if (mount.type === 'ramfs' || (mount.type === 'tmpfs' && mount.options.includes('noswap'))) {
    return { verdict: 'memory' };
  }
  if (mount.type !== 'tmpfs') {
    return {
      verdict: 'refused',
      why:
        `${folder} lies on ${mount.type} (mounted at ${mount.point}): key files go where nothing is ever written to a ` +
        `disk, such as ${mountCommand(folder, kernel)}`,
    };
  }
  if (activeSwap(swaps)) {
    return {
      verdict: 'refused',
      why:
        `${folder} lies on a tmpfs that may be swapped to a disk (mounted at ${mount.point} without noswap, and ` +
        `/proc/swaps lists active swap). Turn swap off, or ${mountCommand(folder, kernel)}`,
    };
  }
  return {
    verdict: 'unless_swap',
    note: `${folder} lies on a tmpfs without noswap: good as long as this host has no swap, which it has not now`,
  };
}

/** More than the head line. */
export function activeSwap(swaps: string): boolean {
  return swaps.trim().split('\n').length > 1;
}

function mountCommand(folder: string, kernel: string): string {
  const [major, minor] = kernel.split('.').map(Number);
  const hasNoswap = major > 6 || (major === 6 && minor >= 4);
  const mount = hasNoswap
    ? `mount -t tmpfs -o noswap,size=1m,mode=0700 tmpfs ${folder}`
    : `mount -t ramfs -o mode=0700 ramfs ${folder}`;
  const why = hasNoswap ? '' : `, since Linux ${kernel} has no noswap for tmpfs, which came with 6.4`;
  return `after (as root): mkdir -p ${folder} && ${mount}${why}`;
}
