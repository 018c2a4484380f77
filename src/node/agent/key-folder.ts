/**
 * The folder in which an agent keeps a server's key files: in memory, changed by nobody else, each file of mode 0400 and
 * put in its place whole.
 *
 * The folder is opened once and everything happens beneath that descriptor (/proc/self/fd/N), so that renaming a folder on
 * the way leads nobody's files astray. What is taken away is overwritten first, and not with zeros: a server that has just
 * opened it would take those for a key that everybody knows.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, normalize } from 'node:path';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { TLSError } from '../../errors.ts';
import { activeSwap, type Judgement, judgeMount, mountOf, type SystemView, systemView } from './memory-mount.ts';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface KeyFolderOptions {
  /** Absolute; made if its parent is there. */
  readonly path: string;
  /** Of the files; default: who runs the agent. Needs root. */
  readonly owner?: FileOwner;
  /** Write key files to whatever the folder lies on: a disk keeps them for ever. Default false. */
  readonly dangerouslyAllowAnyFileSystem?: boolean;
  /** Default: this machine. */
  readonly system?: () => SystemView;
}

/** Random bytes to overwrite a file with, of the form that its reader expects. */
export type Cover = (length: number) => Uint8Array;

export class KeyFolder {
  readonly path: string;
  readonly judgement: Judgement;
  readonly #descriptor: number;
  readonly #owner: FileOwner | undefined;
  readonly #system: () => SystemView;

  /** @throws TLSError `TLS_ERR_KEY_FOLDER` keys must not lie there; `TLS_ERR_NOT_SUPPORTED` not on Linux */
  constructor(options: KeyFolderOptions) {
    const { path, owner, system = systemView } = options;
    if (process.platform !== 'linux') {
      throw new TLSError(
        'TLS_ERR_NOT_SUPPORTED',
        `the agent needs Linux’s tmpfs or ramfs; this is ${process.platform}`,
      );
    }
    checkPath(path);
    this.path = path;
    this.#owner = owner;
    this.#system = system;
    const { descriptor, made } = openFolder(path, owner !== undefined);
    this.#descriptor = descriptor;
    try {
      checkFolder(path, this.#descriptor);
      const view = system();
      this.judgement = judgeMount(path, mountOf(this.#descriptor, view), view);
      if (this.judgement.verdict === 'refused' && options.dangerouslyAllowAnyFileSystem !== true) {
        throw wrong(this.judgement.why);
      }
    } catch (error) {
      closeSync(descriptor);
      if (made) {
        rmdirSync(path);
      }
      throw error;
    }
  }

  /** Swap was turned on under a tmpfs that does not forbid it. */
  get maySwap(): boolean {
    return this.judgement.verdict === 'unless_swap' && activeSwap(this.#system().swaps);
  }

  names(): readonly string[] {
    return readdirSync(this.#at('.'));
  }

  has(name: string): boolean {
    return this.names().includes(name);
  }

  /**
   * Puts a file in its place, whole or not at all; what was there is overwritten.
   * @param mode 0o400 for keys; texts without any may be read by all
   * @throws TLSError `TLS_ERR_KEY_FOLDER`
   */
  write(name: string, bytes: Uint8Array, mode: 0o400 | 0o444 = 0o400, cover: Cover = randomBytes): void {
    const temporary = `.${name}.new`;
    try {
      this.remove(temporary, cover);
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      const file = openSync(this.#at(temporary), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o400);
      try {
        for (let at = 0; at < bytes.length; ) {
          at += writeSync(file, bytes, at);
        }
        if (this.#owner !== undefined) {
          fchownSync(file, this.#owner.uid, this.#owner.gid);
        }
        fchmodSync(file, mode);
      } finally {
        closeSync(file);
      }
      const old = this.#openForCover(name);
      renameSync(this.#at(temporary), this.#at(name));
      coverAndClose(old, cover);
    } catch (error) {
      this.#dropTemporary(temporary);
      throw failed('write', `${this.path}/${name}`, error);
    }
  }

  /** Overwrites the file and takes it away; nothing when it is not there. @throws TLSError `TLS_ERR_KEY_FOLDER` */
  remove(name: string, cover: Cover = randomBytes): void {
    try {
      const file = this.#openForCover(name);
      if (file !== undefined) {
        unlinkSync(this.#at(name));
        coverAndClose(file, cover);
      }
    } catch (error) {
      throw failed('remove', `${this.path}/${name}`, error);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #at(name: string): string {
    return `/proc/self/fd/${this.#descriptor}/${name}`;
  }

  #openForCover(name: string): number | undefined {
    try {
      const { uid } = lstatSync(this.#at(name));
      if (uid === process.geteuid?.()) {
        // Mode 0400 keeps its owner from writing, also root without CAP_DAC_OVERRIDE.
        this.#makeWritable(name);
      }
      return openSync(this.#at(name), constants.O_WRONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return undefined;
      }
      throw error;
    }
  }

  #makeWritable(name: string): void {
    const { O_RDONLY, O_NOFOLLOW } = constants;
    const file = openSync(this.#at(name), O_RDONLY | O_NOFOLLOW);
    try {
      if (fstatSync(file).isFile()) {
        fchmodSync(file, 0o600);
      }
    } finally {
      closeSync(file);
    }
  }

  #dropTemporary(name: string): void {
    try {
      unlinkSync(this.#at(name));
    } catch {
      // It was not made.
    }
  }
}

export function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  nodeProvider.random(bytes);
  return bytes;
}

function coverAndClose(file: number | undefined, cover: Cover): void {
  if (file === undefined) {
    return;
  }
  try {
    writeSync(file, cover(fstatSync(file).size), 0);
  } finally {
    closeSync(file);
  }
}

function openFolder(path: string, isForOthers: boolean): { readonly descriptor: number; readonly made: boolean } {
  let made = false;
  try {
    // Others may pass through it to files whose owner they are; what is in it is for their owner alone, anyway.
    mkdirSync(path, { mode: isForOthers ? 0o711 : 0o700 });
    made = true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw failed('make', path, error);
    }
  }
  try {
    if (realpathSync(path) !== path) {
      throw wrong(
        `${path} leads elsewhere by a symbolic link, to ${realpathSync(path)}: give that path if it is meant`,
      );
    }
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    return { descriptor, made };
  } catch (error) {
    throw failed('open', path, error);
  }
}

/** It goes into other servers' configuration and command lines, where other characters mean something. */
function checkPath(path: string): void {
  if (!/^(\/[A-Za-z0-9._-]+)+$/.test(path) || normalize(path) !== path) {
    throw wrong(
      `the folder for key files must be an absolute path of letters, digits and . _ - without . and .. as parts, ` +
        `got ${JSON.stringify(path)}`,
    );
  }
}

/** Whoever can write to the folder, or rename one above it, would choose the server's ticket keys. */
function checkFolder(path: string, descriptor: number): void {
  const self = process.geteuid?.();
  const { uid, mode } = fstatSync(descriptor);
  if ((uid !== 0 && uid !== self) || (mode & 0o022) !== 0) {
    throw wrong(
      `${path} can be written by others (owner ${uid}, mode ${octal(mode)}), who could then choose ticket keys: ` +
        'expected a folder of root or of the agent’s user, mode 0700 or 0711',
    );
  }
  for (let above = dirname(path); ; above = dirname(above)) {
    const folder = lstatSync(above);
    const isSticky = (folder.mode & 0o1000) !== 0;
    if ((folder.uid !== 0 && folder.uid !== self) || ((folder.mode & 0o022) !== 0 && !isSticky)) {
      throw wrong(
        `${above} can be written by others (owner ${folder.uid}, mode ${octal(folder.mode)}), who could then put ` +
          `another folder in the place of ${path}`,
      );
    }
    if (above === '/') {
      return;
    }
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

function failed(action: string, path: string, error: unknown): TLSError {
  return error instanceof TLSError
    ? error
    : new TLSError('TLS_ERR_KEY_FOLDER', `cannot ${action} ${path}: ${(error as Error).message}`, { cause: error });
}

function wrong(detail: string): TLSError {
  return new TLSError('TLS_ERR_KEY_FOLDER', detail);
}
