/**
 * Envoy: one file for each key, and a secret for its SDS that lists them. Envoy watches the secret's file and takes it when it
 * was replaced by a rename and its content differs, which is why key files are named by their key.
 */

import { toHex, utf8 } from '../../bytes/bytes.ts';
import { envoySecret, KEY_FILE_NAME, keyFileName } from '../../fleet/agent/forms.ts';
import type { KeyPlan } from '../../fleet/agent/key-plan.ts';
import type { Clock } from '../../session/clock.ts';
import { KeyHolders, type ServerDriver, type Told } from './driver.ts';
import { type KeyFolder, randomBytes } from './key-folder.ts';

export interface EnvoyOptions {
  readonly folder: KeyFolder;
  readonly clock: Clock;
  /** Of the secret, as Envoy's configuration asks for it. */
  readonly secretName: string;
}

export class EnvoyDriver implements ServerDriver {
  readonly product = 'envoy';
  readonly needsThrowaways = true;
  /** Nobody sees into Envoy, so that nothing is known to be overdue. */
  readonly holders: KeyHolders;
  readonly #options: EnvoyOptions;
  readonly #written = new Set<string>();
  #secret = '';

  constructor(options: EnvoyOptions) {
    this.#options = options;
    this.holders = new KeyHolders(options.clock);
  }

  get maySwap(): boolean {
    return this.#options.folder.maySwap;
  }

  prepare(): void {
    if (!this.#options.folder.has(SECRET)) {
      this.#list([this.#throwaway()]);
    }
  }

  select(plan: KeyPlan): KeyPlan {
    return plan;
  }

  async apply(keys: KeyPlan): Promise<Told> {
    const { folder } = this.#options;
    for (const key of keys) {
      if (!this.#written.has(key.id)) {
        folder.write(keyFileName(key), key.secret.expose());
        this.#written.add(key.id);
      }
    }
    this.#list(keys.length === 0 ? [this.#throwaway()] : keys);
    return 'told';
  }

  async isUpToDate(): Promise<boolean> {
    return true;
  }

  withdraw(): Promise<Told> {
    return this.apply([]);
  }

  close(): void {
    this.#options.folder.close();
  }

  /** A list without keys is refused, and Envoy would go on with those it has. */
  #throwaway(): { readonly id: string } {
    const key = { id: toHex(randomBytes(8)) };
    const bytes = randomBytes(KEY_LENGTH);
    this.#options.folder.write(keyFileName(key), bytes);
    bytes.fill(0);
    return key;
  }

  #list(keys: readonly { readonly id: string }[]): void {
    const { folder, secretName } = this.#options;
    const text = envoySecret(folder.path, secretName, keys);
    if (text !== this.#secret) {
      folder.write(SECRET, utf8(text), 0o444);
      this.#secret = text;
    }
    const kept = new Set(keys.map(keyFileName));
    for (const name of folder.names()) {
      if (KEY_FILE_NAME.test(name) && !kept.has(name)) {
        folder.remove(name);
        this.#written.delete(name.replace('.key', ''));
      }
    }
  }
}

/** What Envoy's configuration points to; in the key folder. */
export const SECRET = 'ticket-keys.json';
const KEY_LENGTH = 80;
