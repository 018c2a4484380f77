/** Idle connections of the floor: two `net.Socket`s and their handles, without any keys. */

import type { Socket } from 'node:net';
import { openMany } from '../rows/idle.ts';
import type { Driver } from '../workload.ts';
import { type ClientPlace, listen, openSocket } from './place.ts';

export function serveIdle(): Promise<number> {
  return listen((raw) => {
    held.add(raw);
    raw.on('close', () => held.delete(raw));
  });
}

export function idleDriver({ port }: ClientPlace): Driver {
  return (ms, options) => openMany(ms, Number(options.count), () => open(port));
}

/** Named, so that no collection takes them. */
const held = new Set<Socket>();

function open(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(port);
    socket.on('error', reject);
    socket.once('connect', () => {
      socket.resume();
      held.add(socket);
      resolve();
    });
  });
}
