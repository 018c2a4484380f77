/**
 * One ring for all processes and threads of a program on this machine: the workers of `node:cluster`, and
 * `worker_threads`. Called alike in all of them.
 *
 *     primary, main thread ── hosts a store in its memory, and is a member
 *       ├─ cluster worker  ── member, by process messages        └─ its threads ── members, through it
 *       └─ thread          ── member, by a BroadcastChannel
 *
 * It is the fleet's protocol over a store in memory (docs/ring.md): keys travel sealed to each member, one that comes later
 * is given those that live, and each member keeps their time by itself. All sign with one identity, made by the primary
 * for this run.
 */

import cluster, { type Worker } from 'node:cluster';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';
import { toHex } from '../bytes/bytes.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { RingEvent } from '../fleet/actions.ts';
import { ringConfiguration } from '../fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../fleet/identity.ts';
import { IpcStore } from '../fleet/ipc/ipc-store.ts';
import type { MessageLink } from '../fleet/ipc/link.ts';
import { serveStore } from '../fleet/ipc/serve-store.ts';
import type { RingStatus } from '../fleet/member-status.ts';
import { MemoryStore } from '../fleet/memory-store.ts';
import { Ring } from '../fleet/ring.ts';
import { type RingTicketKeys, ticketKeyUses } from '../fleet/ring-keys.ts';
import type { RingStore } from '../fleet/store.ts';
import type { ClockTimer } from '../session/clock.ts';
import type { TicketKey, TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
import { systemClock } from './clock.ts';
import { eraseAtExit } from './erase-at-exit.ts';
import { parsePeriod } from './tls-options.ts';

export interface MachineRingOptions {
  /** How long a key seals: seconds, or a text such as '1h'. 6 s to 6 h, default 1 h. The primary's word counts. */
  readonly rotate?: number | string;
  /** How long a ticket may be used: seconds or text, up to 23 h. Default 2 h. The primary's word counts. */
  readonly ticketLifetime?: number | string;
  /** Told of what happens in this process's member. Must not throw. */
  readonly onEvent?: (event: RingEvent) => void;
}

/** What the primary tells newcomers. The identity signs, and opens nothing. */
interface Hello {
  readonly identity: string;
  readonly epochLength: number | undefined;
  readonly ticketLifetime: number | undefined;
}

const POLICY = 'default';
const NAME = 'this machine';
const CHANNEL = 'mayfly ring';

/**
 * This process's or thread's part in the ring. Until the first key has come there are no tickets, and handshakes are full.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function machineRing(options: MachineRingOptions = {}): MachineRing {
  return new MachineRing(options);
}

export class MachineRing implements TicketKeySource {
  /** Resolves once this member seals. Never rejected; stays open where no primary hosts the ring. */
  readonly ready: Promise<void>;
  readonly #endings: (() => void)[] = [];
  #ring: Ring | undefined;
  #keys: RingTicketKeys | undefined;
  #isReady: () => void = () => {};
  #closed = false;

  constructor(options: MachineRingOptions) {
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    const uplink = cluster.isWorker && isMainThread ? processLink() : isMainThread ? undefined : threadLink();
    if (uplink === undefined) {
      this.#host(options);
    } else {
      this.#join(uplink, options);
    }
  }

  sealingKey(now: number): TicketKey | undefined {
    return this.#keys?.sealingKey(now);
  }

  openingKey(name: Uint8Array, now: number): TicketKey | undefined {
    return this.#keys?.openingKey(name, now);
  }

  status(now?: number): readonly TicketKeyStatus[] {
    return this.#keys?.status(now) ?? [];
  }

  /** Undefined until this member has found the ring. */
  ringStatus(): RingStatus | undefined {
    return this.#ring?.status();
  }

  /** A new key seals soon, everywhere; what is out still opens. */
  rotate(): void {
    this.#ring?.rotate();
  }

  /** Erases all keys, everywhere: no ticket that is out opens any more. */
  async flush(): Promise<void> {
    await this.#ring?.flush();
  }

  /** Erases this member's keys and leaves. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    await this.#ring?.close();
    for (const end of this.#endings) {
      end();
    }
  }

  #host(options: MachineRingOptions): void {
    const store = new MemoryStore(Date.now);
    const hello: Hello = {
      identity: createIdentityFiles(nodeProvider, NAME, [NAME])[0],
      epochLength: options.rotate === undefined ? undefined : parsePeriod('rotate', options.rotate),
      ticketLifetime:
        options.ticketLifetime === undefined ? undefined : parsePeriod('ticketLifetime', options.ticketLifetime),
    };
    this.#start(store, hello, options);
    this.#serveThreads(store, hello);
    if (!cluster.isPrimary) {
      return;
    }
    const serve = (worker: Worker): void => {
      const stop = serveStore(store, workerLink(worker), () => hello);
      worker.once('exit', stop);
      this.#endings.push(stop);
    };
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker !== undefined) {
        serve(worker);
      }
    }
    cluster.on('fork', serve);
    this.#endings.push(() => cluster.off('fork', serve));
  }

  #join(link: MessageLink & { readonly end?: () => void }, options: MachineRingOptions): void {
    const caller = new Uint8Array(8);
    nodeProvider.random(caller);
    const store = new IpcStore(link, toHex(caller));
    this.#endings.push(() => {
      store.close();
      link.end?.();
    });
    let again: ClockTimer | undefined;
    this.#endings.push(() => again?.cancel());
    const ask = (attempt: number): void => {
      again = systemClock.setTimer(() => ask(attempt + 1), HELLO_TIMEOUT);
      if (attempt === ATTEMPTS_BEFORE_WARNING) {
        process.emitWarning('no ring of ticket keys was found on this machine: call machineRing() in the primary too', {
          type: 'MayflyWarning',
          code: 'MAYFLY_NO_RING',
        });
      }
      store.hello().then(
        (hello) => {
          again?.cancel();
          if (!this.#closed && this.#ring === undefined) {
            this.#start(store, hello as Hello, options);
            if (isMainThread) {
              this.#serveThreads(store, hello as Hello);
            }
          }
        },
        () => {},
      );
    };
    ask(1);
  }

  #start(store: RingStore, hello: Hello, { onEvent }: MachineRingOptions): void {
    const { identity, members } = readIdentityFile(nodeProvider, hello.identity);
    const configuration = ringConfiguration({
      fleetName: NAME,
      allowList: members.map(({ publicKey }) => publicKey),
      epochLength: hello.epochLength,
      ticketLifetime: hello.ticketLifetime,
      policies: [POLICY],
      // The store is next door: a key that all have by then seals two heartbeats after it is made.
      heartbeat: HEARTBEAT,
    });
    this.#ring = new Ring({
      provider: nodeProvider,
      configuration,
      identity,
      name: `process ${process.pid}`,
      // All of them are meant to be one identity.
      processes: MAX_PROCESSES,
      uses: ticketKeyUses(POLICY),
      store,
      clock: systemClock,
      onEvent: (event) => {
        if (event.kind === 'sealing') {
          this.#isReady();
        }
        onEvent?.(event);
      },
    });
    eraseAtExit(this.#ring, (ring) => void ring.close());
    this.#keys = this.#ring.ticketKeys(POLICY);
  }

  #serveThreads(store: RingStore, hello: Hello): void {
    const link = threadLink();
    const stop = serveStore(store, link, () => hello);
    this.#endings.push(() => {
      stop();
      link.end();
    });
  }
}

/** Node counts the listeners that keep the channel open; there in all releases since 12, though not documented. */
interface CountedChannel {
  refCounted?(): void;
  unrefCounted?(): void;
}

/** A worker's way to the primary. */
function processLink(): MessageLink {
  return {
    send: (message) => {
      process.send?.(message, undefined, undefined, () => {});
    },
    listen(listener) {
      const onMessage = (message: unknown) => listener(message);
      process.on('message', onMessage);
      // Listening to messages must not keep a worker alive that has nothing else to do; the program's own listeners may.
      const channel = process.channel as CountedChannel | undefined;
      channel?.unrefCounted?.();
      return () => {
        channel?.refCounted?.();
        process.off('message', onMessage);
      };
    },
  };
}

function workerLink(worker: Worker): MessageLink {
  return {
    send: (message) => {
      if (worker.isConnected()) {
        worker.send(message, undefined, () => {});
      }
    },
    listen(listener) {
      const onMessage = (message: unknown) => listener(message);
      worker.on('message', onMessage);
      return () => void worker.off('message', onMessage);
    },
  };
}

/** Between the threads of one process. */
function threadLink(): MessageLink & { readonly end: () => void } {
  const channel = new BroadcastChannel(CHANNEL);
  channel.unref();
  const listeners = new Set<(message: unknown) => void>();
  channel.onmessage = (event: unknown) => {
    const { data } = event as { data: unknown };
    for (const listener of listeners) {
      listener(data);
    }
  };
  return {
    send: (message) => channel.postMessage(message),
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    end: () => channel.close(),
  };
}

/** Milliseconds. */
const HEARTBEAT = 500;
/** Milliseconds until the primary is asked again: it may be made to host later than its workers begin. */
const HELLO_TIMEOUT = 1_000;
const ATTEMPTS_BEFORE_WARNING = 10;
/** As many as the ring counts. */
const MAX_PROCESSES = 255;
