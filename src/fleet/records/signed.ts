/**
 * The frame of every record: whose it is, of which ring, and a signature over all of it.
 *
 *     record    = version(1) ‖ kind(1) ‖ ring id(32) ‖ member id(32) ‖ body ‖ signature(64)
 *     signature = Ed25519(identity key, "mayfly ring 1 record" ‖ SHA-256(all before the signature))
 *
 * The kind stands inside what is signed: a record of one kind never passes for another. Nothing of the body is looked at
 * before the signature was checked. RFC 8032 §5.1.
 */

import { concat, sameBytes, toHex, utf8 } from '../../bytes/bytes.ts';
import { Reader } from '../../bytes/reader.ts';
import { Writer } from '../../bytes/writer.ts';
import type { CryptoProvider, PublicKey } from '../../crypto/provider.ts';
import { TLSError } from '../../errors.ts';
import { type Identity, memberIdOf, verifyingKey } from '../identity.ts';
import {
  MAX_EPOCH_RECORD_LENGTH,
  MAX_MEMBER_RECORD_LENGTH,
  MAX_ORDER_RECORD_LENGTH,
  MAX_WELCOME_RECORD_LENGTH,
} from '../store.ts';
import type { RecordRefusal } from './refusal.ts';

export type RecordKind = 'member' | 'epoch' | 'welcome' | 'order';

export interface RecordContent {
  /** 32 bytes: who signed it. */
  readonly memberId: Uint8Array;
  readonly body: Reader;
}

/** Whose records count in one ring. */
export class RingTrust {
  readonly provider: CryptoProvider;
  /** 32 bytes. */
  readonly ringId: Uint8Array;
  readonly #keys = new Map<string, PublicKey>();

  /** @param allowList Ed25519 public keys, 32 bytes each */
  constructor(provider: CryptoProvider, ringId: Uint8Array, allowList: readonly Uint8Array[]) {
    this.provider = provider;
    this.ringId = ringId;
    for (const publicKey of allowList) {
      this.#keys.set(toHex(memberIdOf(provider, publicKey)), verifyingKey(provider, publicKey));
    }
  }

  allows(memberId: Uint8Array): boolean {
    return this.#keys.has(toHex(memberId));
  }

  /** Signs a record whose body `write` fills in. */
  seal(identity: Identity, kind: RecordKind, write: (body: Writer) => void): Uint8Array {
    const writer = new Writer(1024).u8(VERSION).u8(kinds[kind].code).bytes(this.ringId).bytes(identity.memberId);
    write(writer);
    const signed = writer.finish();
    return concat(signed, identity.sign(this.#signedInput(signed)));
  }

  /** What a record of this kind holds, or why it does not count. Does not throw on any bytes. */
  open(kind: RecordKind, record: Uint8Array): RecordContent | RecordRefusal {
    const { code, maxLength } = kinds[kind];
    if (record.length > maxLength) {
      return 'oversized';
    }
    if (record.length < HEAD_LENGTH + SIGNATURE_LENGTH || record[0] !== VERSION || record[1] !== code) {
      return 'malformed';
    }
    if (!sameBytes(record.subarray(2, 2 + ID_LENGTH), this.ringId)) {
      return 'foreign_ring';
    }
    const memberId = Uint8Array.from(record.subarray(2 + ID_LENGTH, HEAD_LENGTH));
    const key = this.#keys.get(toHex(memberId));
    if (key === undefined) {
      return 'unknown_signer';
    }
    const end = record.length - SIGNATURE_LENGTH;
    const input = this.#signedInput(record.subarray(0, end));
    if (!this.provider.verify('ed25519', key, input, record.subarray(end))) {
      return 'bad_signature';
    }
    return { memberId, body: new Reader(record, `${kind} record`, HEAD_LENGTH, end) };
  }

  #signedInput(signed: Uint8Array): Uint8Array {
    return concat(SIGNATURE_LABEL, this.provider.hash('sha256', signed));
  }
}

/** Reads all of a body; undefined for one that its signer encoded wrongly. */
export function readBody<T>(body: Reader, read: (body: Reader) => T): T | undefined {
  try {
    const value = read(body);
    body.end();
    return value;
  } catch (error) {
    if (error instanceof TLSError && error.code === 'TLS_ERR_DECODE') {
      return undefined;
    }
    throw error;
  }
}

/** A copy: records are views of whatever the store handed out. */
export function readId(body: Reader, length: number, field: string): Uint8Array {
  return Uint8Array.from(body.bytes(length, field));
}

const VERSION = 1;
/** Bytes of a SHA-256. */
export const ID_LENGTH = 32;
const HEAD_LENGTH = 2 + 2 * ID_LENGTH;
const SIGNATURE_LENGTH = 64;
const SIGNATURE_LABEL = utf8('mayfly ring 1 record');

const kinds: Readonly<Record<RecordKind, { readonly code: number; readonly maxLength: number }>> = {
  member: { code: 1, maxLength: MAX_MEMBER_RECORD_LENGTH },
  epoch: { code: 2, maxLength: MAX_EPOCH_RECORD_LENGTH },
  welcome: { code: 3, maxLength: MAX_WELCOME_RECORD_LENGTH },
  order: { code: 4, maxLength: MAX_ORDER_RECORD_LENGTH },
};
