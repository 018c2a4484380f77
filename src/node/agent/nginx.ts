/**
 * nginx: one file for each key, an include that lists them, and a reload. The master reads the files again with SIGHUP and
 * says nothing of how that went, so its workers are watched: new ones must come, and the old ones begin to shut down.
 */

import { utf8 } from '../../bytes/bytes.ts';
import { TLSError } from '../../errors.ts';
import { KEY_FILE_NAME, keyFileName, nginxInclude } from '../../fleet/agent/forms.ts';
import type { KeyPlan } from '../../fleet/agent/key-plan.ts';
import type { Clock } from '../../session/clock.ts';
import { runCommand } from './command.ts';
import { KeyHolders, type ServerDriver, type Told } from './driver.ts';
import type { KeyFolder } from './key-folder.ts';
import { childrenOf, isAlive, masterOf, type ProcessRef, titleOf } from './processes.ts';

export interface NginxOptions {
  readonly folder: KeyFolder;
  readonly clock: Clock;
  readonly pidFile: string;
  /** Instead of SIGHUP to the master. */
  readonly reload?: string;
  /** Milliseconds for a reload. */
  readonly timeout: number;
  /** Seconds: `ssl_session_timeout`. */
  readonly ticketLifetime: number;
}

export class NginxDriver implements ServerDriver {
  readonly product = 'nginx';
  readonly needsThrowaways = false;
  readonly holders: KeyHolders;
  readonly #options: NginxOptions;
  readonly #written = new Set<string>();
  #toldMaster: ProcessRef | undefined;
  #include = '';

  constructor(options: NginxOptions) {
    this.#options = options;
    this.holders = new KeyHolders(options.clock);
  }

  get maySwap(): boolean {
    return this.#options.folder.maySwap;
  }

  prepare(): void {
    if (!this.#options.folder.has(INCLUDE)) {
      this.#writeInclude([]);
    }
  }

  select(plan: KeyPlan): KeyPlan {
    return plan;
  }

  async apply(keys: KeyPlan): Promise<Told> {
    this.#toldMaster = undefined;
    for (const key of keys) {
      // What a run before has left under this name may be of another size or group.
      if (!this.#written.has(key.id)) {
        this.#options.folder.write(keyFileName(key), key.secret.expose());
        this.#written.add(key.id);
      }
    }
    this.#writeInclude(keys);
    try {
      return await this.#reload(keys);
    } finally {
      // Also when the reload failed: a file of a key that is over is one copy too many.
      this.keepOnly(keys);
    }
  }

  keepOnly(keys: KeyPlan): void {
    const kept = new Set(keys.map(keyFileName));
    for (const name of this.#options.folder.names()) {
      if (KEY_FILE_NAME.test(name) && !kept.has(name)) {
        this.#options.folder.remove(name);
        this.#written.delete(name.replace('.key', ''));
      }
    }
  }

  async isUpToDate(): Promise<boolean> {
    const master = this.#master();
    const told = this.#toldMaster;
    return this.#options.reload !== undefined && master === undefined
      ? true
      : master !== undefined && told !== undefined && master.pid === told.pid && master.startedAt === told.startedAt;
  }

  withdraw(): Promise<Told> {
    return this.apply([]);
  }

  close(): void {
    this.#options.folder.close();
  }

  #writeInclude(keys: KeyPlan): void {
    const { folder, ticketLifetime } = this.#options;
    const text = nginxInclude(folder.path, keys, ticketLifetime);
    if (text !== this.#include) {
      folder.write(INCLUDE, utf8(text), 0o444);
      this.#include = text;
    }
  }

  #master(): ProcessRef | undefined {
    return masterOf(this.#options.pidFile, MASTER);
  }

  async #reload(keys: KeyPlan): Promise<Told> {
    const { reload, timeout } = this.#options;
    const master = this.#master();
    if (master === undefined && reload === undefined) {
      this.holders.absent();
      return 'absent';
    }
    const before = master === undefined ? [] : childrenOf(master.pid).filter(isWorker);
    if (reload === undefined) {
      hangUp(master as ProcessRef);
    } else {
      await runCommand(reload, timeout);
    }
    if (master !== undefined) {
      await this.#replaced(master, before);
    }
    this.holders.took(keys, before);
    this.#toldMaster = master;
    return 'told';
  }

  async #replaced(master: ProcessRef, before: readonly ProcessRef[]): Promise<void> {
    const { timeout } = this.#options;
    const known = new Set(before.map(({ pid }) => pid));
    const end = performance.now() + timeout;
    for (;;) {
      const workers = childrenOf(master.pid).filter(isWorker);
      const hasNew = workers.some(({ pid }) => !known.has(pid));
      const oldAccept = before.some((worker) => isAlive(worker) && !titleOf(worker.pid).includes(LEAVING));
      if (hasNew && !oldAccept) {
        return;
      }
      if (performance.now() > end) {
        throw new TLSError(
          'TLS_ERR_SERVER_NOT_TOLD',
          `nginx (master ${master.pid}) has ${hasNew ? 'kept its old workers' : 'started no new workers'} ` +
            `within ${timeout / 1000} s of the reload: its error log, or nginx -t, may say why`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
    }
  }
}

function isWorker({ pid }: ProcessRef): boolean {
  return titleOf(pid).includes(': worker process');
}

function hangUp({ pid }: ProcessRef): void {
  try {
    process.kill(pid, 'SIGHUP');
  } catch (cause) {
    throw new TLSError(
      'TLS_ERR_SERVER_NOT_TOLD',
      `nginx (master ${pid}) cannot be signalled: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** What the configuration includes; in the key folder. */
export const INCLUDE = 'ticket-keys.conf';
/** Also of those who go by another name, as OpenResty and Angie do. */
const MASTER = /^\S+: master process /;
const LEAVING = 'is shutting down';
/** Milliseconds. */
const LOOK_INTERVAL = 20;
