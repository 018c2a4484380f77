/**
 * The TLS 1.2 peer without scruples, with a key schedule and record protection of its own, written from the RFCs and not
 * from what is under test: it seals whatever a test wants, and opens what was recorded.
 *
 * RFC 5246 §5, §6.2.3.3, §6.3; RFC 5288 §3; RFC 7905 §2.
 */

import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import { alertName } from '../../src/alerts.ts';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import type { CipherSuite12 } from '../../src/crypto/suites12.ts';
import { handshakeTypeName } from '../../src/messages/code-points.ts';
import {
  CONTENT_ALERT,
  CONTENT_APPLICATION_DATA,
  CONTENT_CHANGE_CIPHER_SPEC,
  CONTENT_HANDSHAKE,
  MAX_PLAINTEXT,
} from '../../src/record/limits.ts';
import { type Message, plaintext } from './puppet.ts';

/** What the record keys of a connection follow from. */
export interface Session12Secrets {
  readonly suite: CipherSuite12;
  /** 48 bytes. */
  readonly masterSecret: Uint8Array;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
}

export function prf12(
  suite: Pick<CipherSuite12, 'hash'>,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Buffer {
  const hmac = (data: Uint8Array) => createHmac(suite.hash, secret).update(data).digest();
  const labelAndSeed = Buffer.concat([Buffer.from(label), seed]);
  let a = hmac(labelAndSeed);
  let out = Buffer.alloc(0);
  while (out.length < length) {
    out = Buffer.concat([out, hmac(Buffer.concat([a, labelAndSeed]))]);
    a = hmac(a);
  }
  return out.subarray(0, length);
}

/** 12 bytes over these handshake messages. */
export function verifyData12(
  suite: CipherSuite12,
  masterSecret: Uint8Array,
  sender: 'client' | 'server',
  messages: readonly Uint8Array[],
): Uint8Array {
  const hash = createHash(suite.hash)
    .update(concat(...messages))
    .digest();
  return new Uint8Array(prf12(suite, masterSecret, `${sender} finished`, hash, 12));
}

export function recordKeys12(secrets: Session12Secrets): { client: RecordKeys12; server: RecordKeys12; raw: Buffer[] } {
  const { suite, masterSecret, clientRandom, serverRandom } = secrets;
  const { keyLength, ivLength } = suite;
  const seed = concat(serverRandom, clientRandom);
  const block = prf12(suite, masterSecret, 'key expansion', seed, 2 * (keyLength + ivLength));
  const cut = (at: number, length: number) => Buffer.from(block.subarray(at, at + length));
  const keys = [cut(0, keyLength), cut(keyLength, keyLength)];
  const ivs = [cut(2 * keyLength, ivLength), cut(2 * keyLength + ivLength, ivLength)];
  return {
    client: new RecordKeys12(suite, keys[0], ivs[0]),
    server: new RecordKeys12(suite, keys[1], ivs[1]),
    raw: [...keys, ...ivs],
  };
}

interface SealOptions {
  readonly explicit?: bigint;
  readonly version?: number;
}

/** One direction of a connection. */
export class RecordKeys12 {
  readonly suite: CipherSuite12;
  readonly #key: Buffer;
  readonly #iv: Buffer;
  sequenceNumber = 0n;

  constructor(suite: CipherSuite12, key: Buffer, iv: Buffer) {
    this.suite = suite;
    this.#key = key;
    this.#iv = iv;
  }

  seal(type: number, content: Uint8Array, { explicit = this.sequenceNumber, version = 0x0303 }: SealOptions = {}) {
    const cipher = createCipheriv(this.suite.aead as 'aes-128-gcm', this.#key, this.#nonce(explicit), {
      authTagLength: 16,
    });
    cipher.setAAD(this.#aad(type, version, content.length));
    const body = [cipher.update(content), cipher.final(), cipher.getAuthTag()];
    this.sequenceNumber += 1n;
    return plaintext(type, new Uint8Array(Buffer.concat(this.#isGcm ? [uint64(explicit), ...body] : body)), version);
  }

  /** The content, or undefined when the record is not of this key and sequence number. */
  open(record: Uint8Array): Uint8Array | undefined {
    const fragment = record.subarray(5);
    const explicitLength = this.#isGcm ? 8 : 0;
    const length = fragment.length - explicitLength - 16;
    if (length < 0) {
      return undefined;
    }
    const explicit = this.#isGcm ? Buffer.from(fragment.subarray(0, 8)).readBigUInt64BE() : this.sequenceNumber;
    const decipher = createDecipheriv(this.suite.aead as 'aes-128-gcm', this.#key, this.#nonce(explicit), {
      authTagLength: 16,
    });
    decipher.setAAD(this.#aad(record[0], (record[1] << 8) | record[2], length));
    decipher.setAuthTag(fragment.subarray(fragment.length - 16));
    try {
      const content = decipher.update(fragment.subarray(explicitLength, fragment.length - 16));
      decipher.final();
      this.sequenceNumber += 1n;
      return new Uint8Array(content);
    } catch {
      return undefined;
    }
  }

  get #isGcm(): boolean {
    return this.suite.ivLength === 4;
  }

  #nonce(explicit: bigint): Buffer {
    if (this.#isGcm) {
      return Buffer.concat([this.#iv, uint64(explicit)]);
    }
    const nonce = Buffer.from(this.#iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ explicit, 4);
    return nonce;
  }

  #aad(type: number, version: number, length: number): Buffer {
    return Buffer.concat([
      uint64(this.sequenceNumber),
      Buffer.from([type, version >> 8, version & 255, length >> 8, length & 255]),
    ]);
  }
}

/** Cuts a byte stream into records. */
export function recordsOf(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + ((bytes[at + 3] << 8) | bytes[at + 4]);
    assert(end <= bytes.length, 'a record is whole');
    records.push(bytes.slice(at, end));
    at = end;
  }
  return records;
}

/** Cuts joined handshake messages. */
export function messagesOf(content: Uint8Array): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < content.length; ) {
    const end = at + 4 + ((content[at + 1] << 16) | (content[at + 2] << 8) | content[at + 3]);
    assert(end <= content.length, 'a handshake message is whole');
    messages.push({ name: handshakeTypeName(content[at]) ?? `type ${content[at]}`, raw: content.slice(at, end) });
    at = end;
  }
  return messages;
}

export const CCS: Uint8Array = new Uint8Array([1]);
/** The pseudo-message that stands for a change_cipher_spec record in a list of messages. */
export const CCS_UNIT: Message = { name: 'change_cipher_spec', raw: CCS };

/** Plays one role against a real endpoint, and reads what that endpoint says. */
export class Puppet12 {
  readonly #role: 'client' | 'server';
  readonly #secrets: () => Session12Secrets;
  #write: RecordKeys12 | undefined;
  #read: RecordKeys12 | undefined;
  /** Of the endpoint: handshake messages in the order in which they came, with `change_cipher_spec` among them. */
  readonly messages: Message[] = [];
  /** Names of alerts received, with how they came. */
  readonly alerts: string[] = [];
  data: Uint8Array = new Uint8Array(0);

  /** @param secrets is asked when a key is needed, which is when both ends have made theirs */
  constructor(role: 'client' | 'server', secrets: () => Session12Secrets) {
    this.#role = role;
    this.#secrets = secrets;
  }

  /** How the endpoint protects what it sends now. */
  get reads(): string {
    return this.#read === undefined ? 'plaintext' : 'keys';
  }

  /** The record that says so under the current key; from then on records are sealed with the new one. */
  changeCipherSpec(): Uint8Array {
    const record = this.record(CONTENT_CHANGE_CIPHER_SPEC, CCS);
    this.protectWrite();
    return record;
  }

  /** Seals from now on, whatever the endpoint was told. */
  protectWrite(): this {
    this.#write = recordKeys12(this.#secrets())[this.#role];
    return this;
  }

  record(type: number, content: Uint8Array, options: SealOptions = {}): Uint8Array {
    return this.#write === undefined
      ? plaintext(type, content, options.version)
      : this.#write.seal(type, content, options);
  }

  handshake(...messages: readonly Uint8Array[]): Uint8Array {
    const content = concat(...messages);
    const records: Uint8Array[] = [];
    for (let at = 0; at === 0 || at < content.length; at += MAX_PLAINTEXT) {
      records.push(this.record(CONTENT_HANDSHAKE, content.subarray(at, at + MAX_PLAINTEXT)));
    }
    return concat(...records);
  }

  /** A message, or the change_cipher_spec that stands among them. */
  say({ name, raw }: Message): Uint8Array {
    return name === CCS_UNIT.name ? this.changeCipherSpec() : this.handshake(raw);
  }

  /** Reads what the endpoint sent. */
  read(bytes: Uint8Array, _keys?: unknown): this {
    for (const record of recordsOf(bytes)) {
      const content = this.#read === undefined ? record.subarray(5) : this.#read.open(record);
      assert(content !== undefined, 'what a real endpoint sends is authentic');
      switch (record[0]) {
        case CONTENT_ALERT:
          this.alerts.push(`${alertName(content[1])} under ${this.reads}`);
          break;
        case CONTENT_APPLICATION_DATA:
          this.data = concat(this.data, content);
          break;
        case CONTENT_CHANGE_CIPHER_SPEC:
          assert.deepEqual([...content], [1]);
          this.messages.push(CCS_UNIT);
          this.#read = recordKeys12(this.#secrets())[this.#role === 'client' ? 'server' : 'client'];
          break;
        default:
          this.messages.push(...messagesOf(content));
      }
    }
    return this;
  }

  message(name: string): Uint8Array {
    const found = this.messages.find((message) => message.name === name);
    assert(found !== undefined, `there is a ${name} among ${this.messages.map((message) => message.name)}`);
    return found.raw;
  }

  erase(): void {}
}

/** From a key log: `CLIENT_RANDOM` and two hellos. */
export function secretsFrom(
  suite: CipherSuite12,
  keyLog: ReadonlyMap<string, string>,
  clientHello: Uint8Array,
  serverHello: Uint8Array,
): Session12Secrets {
  const hex = keyLog.get('CLIENT_RANDOM');
  assert(hex !== undefined, 'the master secret is in the key log');
  return {
    suite,
    masterSecret: fromHex(hex),
    clientRandom: clientHello.slice(6, 38),
    serverRandom: serverHello.slice(6, 38),
  };
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
