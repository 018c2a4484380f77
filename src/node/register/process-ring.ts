/** The one ring of a process under `mayfly/register` when there is no fleet: that of its machine, or else its own. */

import { nodeProvider } from '../../crypto/node-provider.ts';
import { ringConfiguration } from '../../fleet/configuration.ts';
import type { ExternalSessionCache } from '../../session/external-session-cache.ts';
import { LocalTicketKeys } from '../../session/local-ticket-keys.ts';
import type { TicketKeySource } from '../../session/ticket-key.ts';
import { systemClock } from '../clock.ts';
import { eraseAtExit } from '../erase-at-exit.ts';
import { machineRing } from '../machine-ring.ts';
import type { RegisterSettings } from './settings.ts';

/** What the servers of a process share. */
export interface ProcessRing {
  readonly keys: TicketKeySource;
  /** For TLS 1.2 sessions by ID; without it there are none, as Node has OpenSSL keep none. */
  readonly cache?: ExternalSessionCache;
  /** There are servers now. */
  open(): void;
  /** The last of them has closed. */
  close(): void;
}

/** Starts at once: the primary hosts the ring, whether it serves or not. @throws TLSError `TLS_ERR_CONFIG` */
export function machineProcessRing(times: RegisterSettings['times']): ProcessRing {
  checkTimes(times);
  const machine = machineRing(times);
  let own: LocalTicketKeys | undefined;
  let isReady = false;
  machine.ready.then(() => {
    isReady = true;
  });
  let waiting = false;
  return {
    keys: {
      sealingKey: (now) => machine.sealingKey(now) ?? own?.sealingKey(now),
      openingKey: (name, now) => machine.openingKey(name, now) ?? own?.openingKey(name, now),
      status: (now) => [...machine.status(now), ...(own?.status(now) ?? [])],
    },
    open() {
      if (waiting) {
        return;
      }
      waiting = true;
      // Started by something that has no ring, such as a process manager: better one of its own than no resumption.
      systemClock.setTimer(() => {
        if (!isReady) {
          own = new LocalTicketKeys({ provider: nodeProvider, clock: systemClock, ...ownTimes(times) });
          eraseAtExit(own, (keys) => keys.close());
          process.emitWarning('no ring was found on this machine: this process has one of its own', {
            type: 'MayflyWarning',
            code: 'MAYFLY_OWN_RING',
          });
        }
      }, PATIENCE);
    },
    close() {},
  };
}

/** The ring comes later, in a worker by word of its primary: what is wrong is to be said now. */
function checkTimes({ rotate, ticketLifetime }: RegisterSettings['times']): void {
  ringConfiguration({
    fleetName: 'this machine',
    allowList: [new Uint8Array(32)],
    ...(rotate === undefined ? {} : { epochLength: Number(rotate) * 1000 }),
    ...(ticketLifetime === undefined ? {} : { ticketLifetime: Number(ticketLifetime) * 1000 }),
  });
}

function ownTimes({ rotate, ticketLifetime }: RegisterSettings['times']) {
  return {
    ...(rotate === undefined ? {} : { rotateEvery: Number(rotate) * 1000 }),
    ...(ticketLifetime === undefined ? {} : { ticketLifetime: Number(ticketLifetime) * 1000 }),
  };
}

/** Milliseconds: a primary that is there answers within one second. */
const PATIENCE = 12_000;
