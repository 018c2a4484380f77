/**
 * Apache httpd: is given no key. Its one key file knows no overlap, so that each change ends all tickets that are out, and its
 * keys must not come from a file where it is built with OpenSSL 3. A graceful restart has it make a random key of its own.
 */

import { TLSError } from '../../errors.ts';
import type { KeyPlan } from '../../fleet/agent/key-plan.ts';
import type { Clock } from '../../session/clock.ts';
import { runCommand } from './command.ts';
import { KeyHolders, type ServerDriver, type Told } from './driver.ts';

export interface ApacheOptions {
  readonly clock: Clock;
  /** The command for a graceful restart. */
  readonly reload?: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export class ApacheDriver implements ServerDriver {
  readonly product = 'apache';
  readonly needsThrowaways = false;
  readonly maySwap = false;
  readonly holders: KeyHolders;
  readonly #reload: string;
  readonly #timeout: number;

  /** @throws TLSError `TLS_ERR_NOT_SUPPORTED` without a command: there is nothing else that an agent can do */
  constructor({ clock, reload, timeout }: ApacheOptions) {
    if (reload === undefined) {
      throw new TLSError(
        'TLS_ERR_NOT_SUPPORTED',
        'Apache httpd is not driven by key files: SSLSessionTicketKeyFile holds a single key, so that each change ends ' +
          'all tickets that are out, and it must not be used where httpd is built with OpenSSL 3. What can be done: give ' +
          "--reload 'apachectl graceful', and httpd makes itself a new random key with each epoch (no overlap, and no " +
          'sessions shared between hosts); or turn tickets off (SSLSessionTickets off) and use SSLSessionCache shmcb',
      );
    }
    this.#reload = reload;
    this.#timeout = timeout;
    this.holders = new KeyHolders(clock);
  }

  prepare(): void {}

  /** The epoch that seals, which is all that matters. */
  select(plan: KeyPlan): KeyPlan {
    return plan.slice(0, 1);
  }

  async apply(keys: KeyPlan): Promise<Told> {
    if (keys.length > 0) {
      await runCommand(this.#reload, this.#timeout);
    }
    return 'told';
  }

  async isUpToDate(): Promise<boolean> {
    return true;
  }

  async withdraw(): Promise<Told> {
    return 'told';
  }

  close(): void {}
}
