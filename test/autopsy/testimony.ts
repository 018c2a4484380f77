/**
 * The channel on which a process that will be searched tells another one its secrets. Nothing of it is part of Mayfly: the
 * process under examination puts a wrapper of its own around `Secret`'s makers before anything is made.
 *
 *     struct { uint8 type = 1; uint32 id; uint8 kindLength; uint16 length; opaque kind; opaque bytes; } Born;
 *     struct { uint8 type = 2; uint32 id; } Ended;
 *
 * The bytes go from the secret's own memory to the kernel: `writeSync` copies nothing within the process. Integers are
 * little-endian.
 */

import { writeSync } from 'node:fs';
import { Secret } from '../../src/bytes/secret.ts';
import { type SecretEnded, secretEnded } from '../../src/ledger/channels.ts';

export const TESTIMONY_FD = 3;
const BORN = 1;
const ENDED = 2;
const BORN_HEADER = 8;
const ENDED_LENGTH = 5;

/** Secrets that are no `Secret`s get numbers from here on. */
let nextForeign = 1_000_000;

/** All ways to make a `Secret`: its constructor is private. */
export const secretMakers: readonly string[] = Object.getOwnPropertyNames(Secret).filter(
  (name) => typeof (Secret as unknown as Record<string, unknown>)[name] === 'function',
);

/** From now on each secret of this process is told. */
export function testify(): void {
  const makers = Secret as unknown as Record<string, (...args: unknown[]) => Secret>;
  for (const name of secretMakers) {
    const make = makers[name].bind(Secret);
    makers[name] = (...args) => {
      const secret = make(...args);
      tellBorn(secret.id, secret.kind, secret.expose());
      return secret;
    };
  }
  secretEnded.subscribe((message) => tellEnded((message as SecretEnded).id));
}

/** A secret outside Mayfly's hands, as having ended already; `bytes` are lent. */
export function tell(kind: string, bytes: Uint8Array): void {
  endForeign(tellBirth(kind, bytes));
}

/** A secret outside Mayfly's hands that lives; its number. */
export function tellBirth(kind: string, bytes: Uint8Array): number {
  const id = nextForeign++;
  tellBorn(id, kind, bytes);
  return id;
}

export function endForeign(id: number | undefined): void {
  if (id !== undefined) {
    tellEnded(id);
  }
}

function tellBorn(id: number, kind: string, bytes: Uint8Array): void {
  const header = new DataView(new ArrayBuffer(BORN_HEADER));
  header.setUint8(0, BORN);
  header.setUint32(1, id, true);
  header.setUint8(5, kind.length);
  header.setUint16(6, bytes.length, true);
  write(new Uint8Array(header.buffer));
  write(Buffer.from(kind, 'latin1'));
  write(bytes);
}

function tellEnded(id: number): void {
  const message = new DataView(new ArrayBuffer(ENDED_LENGTH));
  message.setUint8(0, ENDED);
  message.setUint32(1, id, true);
  write(new Uint8Array(message.buffer));
}

function write(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(TESTIMONY_FD, bytes, at);
  }
}

export interface ToldSecret {
  readonly id: number;
  readonly kind: string;
  readonly bytes: Uint8Array;
  ended: boolean;
}

/** The other end. */
export class Testimony {
  readonly secrets = new Map<number, ToldSecret>();
  #rest: Buffer = Buffer.alloc(0);

  hear(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const length = this.#message(bytes, at);
      if (length === 0) {
        break;
      }
      at += length;
    }
    this.#rest = bytes.subarray(at);
  }

  get ended(): readonly ToldSecret[] {
    return [...this.secrets.values()].filter(({ ended }) => ended);
  }

  get alive(): readonly ToldSecret[] {
    return [...this.secrets.values()].filter(({ ended }) => !ended);
  }

  /** Bytes of the message that begins there; 0 when it is not complete. */
  #message(bytes: Buffer, at: number): number {
    const left = bytes.length - at;
    if (left >= ENDED_LENGTH && bytes[at] === ENDED) {
      const secret = this.secrets.get(bytes.readUInt32LE(at + 1));
      if (secret !== undefined) {
        secret.ended = true;
      }
      return ENDED_LENGTH;
    }
    if (left < BORN_HEADER || bytes[at] !== BORN) {
      return 0;
    }
    const id = bytes.readUInt32LE(at + 1);
    const kindEnd = at + BORN_HEADER + bytes[at + 5];
    const end = kindEnd + bytes.readUInt16LE(at + 6);
    if (bytes.length < end) {
      return 0;
    }
    const kind = bytes.toString('latin1', at + BORN_HEADER, kindEnd);
    this.secrets.set(id, { id, kind, bytes: Uint8Array.from(bytes.subarray(kindEnd, end)), ended: false });
    return end - at;
  }
}
