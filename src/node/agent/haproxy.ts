/**
 * HAProxy: three keys by the runtime API, `set ssl tls-key FILE KEY`, each of which moves the others one place on; and the
 * same three in the file, where a reload or a restart finds them.
 *
 * What HAProxy holds is read back (`show tls-keys FILE`) before and after, so that it does not matter what was told before:
 * a set that got lost, a reload and a restart all come to the same.
 */

import { utf8 } from '../../bytes/bytes.ts';
import { Secret } from '../../bytes/secret.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { TLSError } from '../../errors.ts';
import { base64Length, writeBase64 } from '../../fleet/agent/base64.ts';
import { shifts, type Triple } from '../../fleet/agent/haproxy-shifts.ts';
import type { KeyPlan } from '../../fleet/agent/key-plan.ts';
import type { Clock } from '../../session/clock.ts';
import { eraseAtExit } from '../erase-at-exit.ts';
import { KeyHolders, type ServerDriver, type Told } from './driver.ts';
import { eraseAll, keysIn, linesOf, randomLines, sameKey } from './haproxy-keys.ts';
import type { KeyFolder } from './key-folder.ts';
import { type ProcessRef, processOf } from './processes.ts';
import { ask, describe, type RuntimeAddress } from './runtime-socket.ts';

export interface HaproxyOptions {
  readonly folder: KeyFolder;
  readonly clock: Clock;
  readonly socket: RuntimeAddress;
  /** Bytes: 48 or 80. */
  readonly keySize: number;
  /** Milliseconds for an answer. */
  readonly timeout: number;
}

export class HaproxyDriver implements ServerDriver {
  readonly product = 'haproxy';
  readonly needsThrowaways = true;
  readonly holders: KeyHolders;
  readonly #options: HaproxyOptions;
  /** What it is to hold, as copies: they are compared with what is read back. */
  #wanted: Triple<Secret> | undefined;
  #process: ProcessRef | undefined;

  constructor(options: HaproxyOptions) {
    this.#options = options;
    this.holders = new KeyHolders(options.clock);
    eraseAtExit<HaproxyDriver>(this, (driver) => eraseAll(driver.#wanted));
  }

  get maySwap(): boolean {
    return this.#options.folder.maySwap;
  }

  prepare(): void {
    if (!this.#options.folder.has(KEY_FILE)) {
      this.#writeThrowawayFile();
    }
  }

  /** One of each role: there is room for no more. */
  select(plan: KeyPlan): KeyPlan {
    return plan.filter((key, i) => plan.findIndex(({ role }) => role === key.role) === i);
  }

  async apply(keys: KeyPlan): Promise<Told> {
    const find = (role: string) => keys.find((key) => key.role === role)?.secret;
    const seals = find('sealing');
    if (seals !== undefined) {
      return this.#bring({ opens: find('opening'), seals, next: find('waiting') }, keys);
    }
    const [opens, throwaway, next] = this.#throwaways();
    try {
      return await this.#bring({ opens, seals: throwaway, next }, keys);
    } finally {
      eraseAll([opens, throwaway, next]);
    }
  }

  async isUpToDate(): Promise<boolean> {
    if (this.#wanted === undefined) {
      return false;
    }
    const held = await this.#held();
    const isSame = held?.every((key, i) => sameKey(key, (this.#wanted as Triple<Secret>)[i])) === true;
    eraseAll(held);
    return isSame;
  }

  /** The file gets other keys than the process, so that what lies there has sealed nothing. */
  async withdraw(): Promise<Told> {
    try {
      return await this.apply([]);
    } finally {
      this.#writeThrowawayFile();
    }
  }

  close(): void {
    eraseAll(this.#wanted);
    this.#wanted = undefined;
    this.#options.folder.close();
  }

  #throwaways(): Triple<Secret> {
    const make = () => Secret.create('throwawayKey', this.#options.keySize, (bytes) => void nodeProvider.random(bytes));
    return [make(), make(), make()];
  }

  async #bring(wanted: { opens?: Secret; seals: Secret; next?: Secret }, keys: KeyPlan): Promise<Told> {
    const held = await this.#held().catch((error) => {
      // The file first: whatever is wrong with the socket, a start of HAProxy should find the keys.
      this.#put(shifts<Secret>(undefined, wanted, sameKey).result);
      throw error;
    });
    try {
      const { sets, result } = shifts(held, wanted, sameKey);
      // Before the sets: a reload in between finds all of them.
      this.#put(result);
      if (held === undefined) {
        this.holders.absent();
        this.#process = undefined;
        return 'absent';
      }
      await this.#set(sets);
    } finally {
      eraseAll(held);
    }
    const replaced = await this.#lookWhoItIs();
    if (!(await this.isUpToDate())) {
      throw failed('HAProxy took the keys, but holds others: does another program set them too?');
    }
    this.holders.took(keys, replaced);
    return 'told';
  }

  #put(keys: Triple<Secret>): void {
    this.#remember(keys);
    this.#writeFile(keys);
  }

  #remember(keys: Triple<Secret>): void {
    const copies = keys.map((key) => key.clone('heldByServer')) as unknown as Triple<Secret>;
    eraseAll(this.#wanted);
    this.#wanted = copies;
  }

  #writeFile(keys: Triple<Secret>): void {
    const { folder, keySize } = this.#options;
    const text = linesOf(keys, keySize);
    try {
      folder.write(KEY_FILE, text, 0o400, () => randomLines(keySize));
    } finally {
      text.fill(0);
    }
  }

  #writeThrowawayFile(): void {
    const keys = this.#throwaways();
    this.#writeFile(keys);
    eraseAll(keys);
  }

  get #file(): string {
    return `${this.#options.folder.path}/${KEY_FILE}`;
  }

  async #set(keys: readonly Secret[]): Promise<void> {
    if (keys.length === 0) {
      return;
    }
    const { keySize } = this.#options;
    const head = utf8(`set ssl tls-key ${this.#file} `);
    const each = head.length + base64Length(keySize) + 1;
    const line = new Uint8Array(new ArrayBuffer(each * keys.length));
    for (const [i, key] of keys.entries()) {
      line.set(head, i * each);
      writeBase64(key.expose(), line, i * each + head.length);
      line[(i + 1) * each - 1] = i === keys.length - 1 ? NEWLINE : SEMICOLON;
    }
    const text = await this.#askText(line);
    const done = text?.split('TLS ticket key updated!').length ?? 0;
    if (text === undefined || done - 1 !== keys.length) {
      throw failed(`HAProxy did not take a ticket key: ${text === undefined ? 'it has gone' : lastLine(text)}`);
    }
  }

  /** The three keys; undefined when it does not run. @throws TLSError `TLS_ERR_SERVER_NOT_TOLD` it does not know the file */
  async #held(): Promise<Triple<Secret> | undefined> {
    const answer = await ask(this.#options.socket, utf8(`show tls-keys ${this.#file}\n`), this.#options.timeout);
    if (answer === undefined) {
      return undefined;
    }
    try {
      const keys = keysIn(answer, this.#options.keySize);
      if (keys === undefined) {
        throw failed(await this.#whyUnknown(answer));
      }
      return keys;
    } finally {
      answer.fill(0);
    }
  }

  async #whyUnknown(answer: Uint8Array): Promise<string> {
    if (startsWith(answer, '# id secret')) {
      return `HAProxy was started with keys of another size than ${this.#options.keySize} bytes: reload it once, or give --key-size`;
    }
    const known = (await this.#askText(utf8('show tls-keys\n'))) ?? '';
    const files = [...known.matchAll(/\(([^)\n]+)\)$/gm)].map(([, file]) => file).filter((file) => file !== 'file');
    return (
      `HAProxy at ${describe(this.#options.socket)} has no key file ${this.#file}: a bind line needs ` +
      `tls-ticket-keys ${this.#file}; it knows ${files.length === 0 ? `none (${lastLine(known)})` : files.join(', ')}`
    );
  }

  /** After a reload the old process may run on, with the keys it had. */
  async #lookWhoItIs(): Promise<readonly ProcessRef[]> {
    const info = await this.#askText(utf8('show info\n'));
    const pid = /^Pid: (\d+)$/m.exec(info ?? '')?.[1];
    const now = pid === undefined ? undefined : processOf(Number(pid));
    const before = this.#process;
    this.#process = now;
    const isSame = before === undefined || (now?.pid === before.pid && now.startedAt === before.startedAt);
    return isSame ? [] : [before];
  }

  /** For answers without keys; the line is erased. */
  async #askText(line: Uint8Array): Promise<string | undefined> {
    try {
      const answer = await ask(this.#options.socket, line, this.#options.timeout);
      return answer && new TextDecoder().decode(answer);
    } finally {
      line.fill(0);
    }
  }
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return utf8(text).every((byte, i) => bytes[i] === byte);
}

function lastLine(text: string): string {
  const line = text.trim().split('\n').at(-1) ?? '';
  return line.replace(/[^\x20-\x7e]/g, '?').slice(0, 200) || 'no word';
}

function failed(detail: string): TLSError {
  return new TLSError('TLS_ERR_SERVER_NOT_TOLD', detail);
}

/** What the bind line names; in the key folder. */
export const KEY_FILE = 'ticket-keys';
const NEWLINE = 0x0a;
const SEMICOLON = 0x3b;
