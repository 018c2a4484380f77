/**
 * The record that a running instance renews with each heartbeat: it is alive, this is its prekey, these keys it has.
 *
 *     body = boot nonce(16) ‖ sequence(8) ‖ announcedAt(8) ‖ opaque name<0..64> ‖ opaque prekey<32..1216>
 *            ‖ notAfter(8) ‖ generation(8) ‖ skew + 2^31 (4) ‖ ratchet depth(1) ‖ processes(1)
 *            ‖ held<0..16> of { epoch(8) ‖ key id(16) }
 *     instance id = the first 16 bytes of SHA-256("mayfly ring 1 instance" ‖ member id ‖ boot nonce)
 *
 * The sequence number makes a replay of the same instance recognizable, the boot nonce keeps a restarted process apart
 * from its past, and `announcedAt` bounds how long a replay passes for life. Held keys are fresh ones that the instance
 * could hand on: who lacks one that others hold is sent a welcome.
 */

import { concat, toHex, utf8 } from '../../bytes/bytes.ts';
import type { Reader } from '../../bytes/reader.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { kems } from '../../keys/hpke.ts';
import type { RingKem } from '../configuration.ts';
import { KEY_ID_LENGTH } from '../epoch-secret.ts';
import type { Identity } from '../identity.ts';
import type { RecordRefusal } from './refusal.ts';
import { type RingTrust, readBody, readId } from './signed.ts';

export interface HeldKeyName {
  readonly epoch: number;
  /** 16 bytes. */
  readonly keyId: Uint8Array;
}

export interface MemberRecord {
  /** 32 bytes. */
  readonly memberId: Uint8Array;
  /** 16 bytes; also says which process of that identity it is. */
  readonly instanceId: Uint8Array;
  readonly bootNonce: Uint8Array;
  readonly sequence: number;
  /** Ring time, milliseconds. */
  readonly announcedAt: number;
  /** For people; nothing rests on it. */
  readonly name: string;
  readonly prekey: Uint8Array;
  /** Ring time after which nothing may be sealed to the prekey. */
  readonly notAfter: number;
  readonly generation: number;
  /** Milliseconds by which its wall clock runs ahead of the store's. */
  readonly skew: number;
  /** 0 while it seals under a fresh key. */
  readonly ratchetDepth: number;
  /** How many processes run with this identity, as their operator says. */
  readonly processes: number;
  readonly held: readonly HeldKeyName[];
}

export function instanceIdOf(provider: CryptoProvider, memberId: Uint8Array, bootNonce: Uint8Array): Uint8Array {
  const hash = provider.hash('sha256', concat(INSTANCE_LABEL, memberId, bootNonce));
  return Uint8Array.from(hash.subarray(0, INSTANCE_ID_LENGTH));
}

/** Of a prekey's public part: 16 bytes. */
export function prekeyIdOf(provider: CryptoProvider, publicKey: Uint8Array): Uint8Array {
  return Uint8Array.from(provider.hash('sha256', publicKey).subarray(0, PREKEY_ID_LENGTH));
}

export function sealMemberRecord(
  trust: RingTrust,
  identity: Identity,
  record: Omit<MemberRecord, 'memberId' | 'instanceId'>,
): Uint8Array {
  return trust.seal(identity, 'member', (body) => {
    body
      .bytes(record.bootNonce)
      .u64(record.sequence)
      .u64(record.announcedAt)
      .vector8(utf8(record.name))
      .vector16(record.prekey)
      .u64(record.notAfter)
      .u64(record.generation)
      .u32(Math.max(0, Math.min(0xffff_ffff, Math.round(record.skew) + SKEW_ZERO)))
      .u8(record.ratchetDepth)
      .u8(record.processes)
      .u8(record.held.length);
    for (const { epoch, keyId } of record.held) {
      body.u64(epoch).bytes(keyId);
    }
  });
}

export function openMemberRecord(trust: RingTrust, kem: RingKem, bytes: Uint8Array): MemberRecord | RecordRefusal {
  const content = trust.open('member', bytes);
  if (typeof content === 'string') {
    return content;
  }
  const { publicKeyLength } = kems[kem];
  const fields = readBody(content.body, (body) => ({
    bootNonce: readId(body, BOOT_NONCE_LENGTH, 'boot_nonce'),
    sequence: body.u64('sequence'),
    announcedAt: body.u64('announced_at'),
    name: printable(body.vector8('name', 0, MAX_NAME)),
    prekey: Uint8Array.from(body.vector16('prekey', publicKeyLength, publicKeyLength)),
    notAfter: body.u64('not_after'),
    generation: body.u64('generation'),
    skew: body.u32('skew') - SKEW_ZERO,
    ratchetDepth: body.u8('ratchet_depth'),
    processes: body.u8('processes'),
    held: readHeld(body),
  }));
  if (fields === undefined) {
    return 'malformed';
  }
  const { memberId } = content;
  return { memberId, instanceId: instanceIdOf(trust.provider, memberId, fields.bootNonce), ...fields };
}

/** The slot in which an instance's record, or a welcome for it, lies. */
export function instanceSlot(instanceId: Uint8Array): string {
  return toHex(instanceId);
}

function readHeld(body: Reader): readonly HeldKeyName[] {
  const count = body.u8('held');
  if (count > MAX_HELD_NAMES) {
    throw body.malformed('held', `${count} keys, at most ${MAX_HELD_NAMES} are told`);
  }
  return Array.from({ length: count }, () => ({
    epoch: body.u64('epoch'),
    keyId: readId(body, KEY_ID_LENGTH, 'key_id'),
  }));
}

/** A name ends up on terminals and pages: no control characters. */
function printable(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/[\p{C}\p{Z}]/gu, ' ');
}

export const BOOT_NONCE_LENGTH = 16;
export const INSTANCE_ID_LENGTH = 16;
export const PREKEY_ID_LENGTH = 16;
/** Two epochs with room for what a split store leaves behind. */
export const MAX_HELD_NAMES = 16;
const MAX_NAME = 64;
const SKEW_ZERO = 2 ** 31;
const INSTANCE_LABEL = utf8('mayfly ring 1 instance');
