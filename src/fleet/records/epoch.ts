/**
 * The record that brings a new key: a header, and the secret sealed once for each live instance.
 *
 *     header   = generation ‖ epoch(8) ‖ rotation(1) ‖ createdAt(8) ‖ sealFrom(8) ‖ sealUntil(8) ‖ destroyAt(8)
 *                ‖ creator's instance id(16) ‖ key id(16) ‖ count(2) ‖ hash of members(32)
 *     envelope = instance id(16) ‖ prekey id(16) ‖ encapsulation ‖ ciphertext(32 + 16)
 *     body     = header ‖ count × envelope
 *     hash of members = SHA-256(count × (instance id ‖ prekey id))
 *
 * Each envelope is HPKE to one prekey with info "mayfly ring 1 epoch" ‖ ring id ‖ member id of the creator and additional
 * data SHA-256(header): it opens under this header and no other. The signature covers header and envelopes.
 */

import { concat, sameBytes, utf8 } from '../../bytes/bytes.ts';
import type { Reader } from '../../bytes/reader.ts';
import { Secret } from '../../bytes/secret.ts';
import { Writer } from '../../bytes/writer.ts';
import type { KeyShare } from '../../crypto/provider.ts';
import { TLSError } from '../../errors.ts';
import { type HpkeInput, kems, openWith, sealTo } from '../../keys/hpke.ts';
import type { RingKem } from '../configuration.ts';
import { digest, KEY_ID_LENGTH, SECRET_LENGTH } from '../epoch-secret.ts';
import { type Generation, readGeneration, writeGeneration } from '../generation.ts';
import type { Identity } from '../identity.ts';
import type { EpochTimes } from '../ring-time.ts';
import { MAX_INSTANCES } from '../store.ts';
import { INSTANCE_ID_LENGTH, PREKEY_ID_LENGTH, prekeyIdOf } from './member.ts';
import type { RecordRefusal } from './refusal.ts';
import { ID_LENGTH, type RingTrust, readBody, readId } from './signed.ts';

export interface EpochHeader extends EpochTimes {
  readonly generation: Generation;
  readonly epoch: number;
  /** 0 for the epoch's own key, more for one that an operator asked for meanwhile. */
  readonly rotation: number;
  /** 16 bytes. */
  readonly creator: Uint8Array;
  /** 16 bytes. */
  readonly keyId: Uint8Array;
}

export interface Envelope {
  readonly instanceId: Uint8Array;
  readonly prekeyId: Uint8Array;
  readonly encapsulation: Uint8Array;
  readonly ciphertext: Uint8Array;
}

export interface EpochRecord extends EpochHeader {
  /** 32 bytes: the creator's. */
  readonly memberId: Uint8Array;
  readonly envelopes: readonly Envelope[];
  /** What the envelopes are bound to. */
  readonly boundTo: Uint8Array;
}

/** For whom an envelope is made. */
export interface Recipient {
  readonly instanceId: Uint8Array;
  readonly prekey: Uint8Array;
}

export interface SealEpochOptions {
  readonly trust: RingTrust;
  readonly kem: RingKem;
  readonly identity: Identity;
  readonly header: EpochHeader;
  /** Stays the caller's. */
  readonly secret: Secret;
  /** Without the creator. Those whose prekey is unusable get no envelope. */
  readonly recipients: readonly Recipient[];
}

export function sealEpochRecord(options: SealEpochOptions): Uint8Array {
  const { trust, kem, identity, header, secret } = options;
  const { provider } = trust;
  const recipients = options.recipients
    .slice(0, MAX_INSTANCES)
    .filter(({ prekey }) => prekey.length === kems[kem].publicKeyLength)
    .map((recipient) => ({ ...recipient, prekeyId: prekeyIdOf(provider, recipient.prekey) }));
  const membersHash = digest(provider, ...recipients.map((one) => concat(one.instanceId, one.prekeyId)));
  const head = new Writer(256);
  writeHeader(head, header, recipients.length, membersHash);
  const input = envelopeInput(trust, kem, identity.memberId, digest(provider, head.finish()));
  return trust.seal(identity, 'epoch', (body) => {
    body.bytes(head.finish());
    for (const { instanceId, prekeyId, prekey } of recipients) {
      const { encapsulation, ciphertext } = sealOrBlank(input, prekey, secret);
      body.bytes(instanceId).bytes(prekeyId).bytes(encapsulation).bytes(ciphertext);
    }
  });
}

export function openEpochRecord(trust: RingTrust, kem: RingKem, bytes: Uint8Array): EpochRecord | RecordRefusal {
  const content = trust.open('epoch', bytes);
  if (typeof content === 'string') {
    return content;
  }
  const { memberId } = content;
  const record = readBody(content.body, (body) => {
    const start = body.offset;
    const { header, count, membersHash } = readHeader(body, trust);
    const boundTo = digest(trust.provider, bytes.subarray(start, body.offset));
    const envelopes = Array.from({ length: count }, () => readEnvelope(body, kem));
    const members = digest(trust.provider, ...envelopes.map((one) => concat(one.instanceId, one.prekeyId)));
    if (!sameBytes(members, membersHash)) {
      throw body.malformed('members', 'the hash is not that of the envelopes');
    }
    return { ...header, memberId, envelopes, boundTo };
  });
  return record ?? 'malformed';
}

/** The secret for the holder of this prekey, which is spent by the attempt; undefined when it does not open. */
export function openEnvelope(
  trust: RingTrust,
  kem: RingKem,
  record: EpochRecord,
  envelope: Envelope,
  prekey: KeyShare,
): Secret | undefined {
  const opened = tryOpen(envelopeInput(trust, kem, record.memberId, record.boundTo), prekey, envelope);
  if (opened === undefined) {
    return undefined;
  }
  const secret = Secret.take('epochSecret', opened);
  if (secret.length === SECRET_LENGTH) {
    return secret;
  }
  secret.erase('short');
  return undefined;
}

/** `openWith` for what a member signed but may have made wrongly. */
export function tryOpen(
  input: HpkeInput,
  prekey: KeyShare,
  sealed: { readonly encapsulation: Uint8Array; readonly ciphertext: Uint8Array },
): Uint8Array | undefined {
  try {
    return openWith(input, prekey, sealed);
  } catch (error) {
    if (error instanceof TLSError && error.code === 'TLS_ERR_BAD_KEY_SHARE') {
      return undefined;
    }
    throw error;
  }
}

/** The slot that an epoch's creators race for. */
export function epochSlot({ generation, epoch, rotation }: EpochHeader): string {
  return [generation.number, epoch, rotation].map((number) => number.toString(16)).join('.');
}

function sealOrBlank(input: HpkeInput, prekey: Uint8Array, secret: Secret) {
  try {
    return sealTo(input, prekey, secret.expose());
  } catch (error) {
    // A member's prekey that is no key must not keep the others from theirs.
    if (error instanceof TLSError && error.code === 'TLS_ERR_BAD_KEY_SHARE') {
      const { encapsulationLength } = kems[input.suite.kem];
      return { encapsulation: new Uint8Array(encapsulationLength), ciphertext: new Uint8Array(CIPHERTEXT_LENGTH) };
    }
    throw error;
  }
}

function envelopeInput(trust: RingTrust, kem: RingKem, creator: Uint8Array, boundTo: Uint8Array): HpkeInput {
  const info = concat(ENVELOPE_LABEL, trust.ringId, creator);
  return { provider: trust.provider, suite: { kem }, info, aad: boundTo };
}

function writeHeader(writer: Writer, header: EpochHeader, count: number, membersHash: Uint8Array): void {
  writeGeneration(writer, header.generation);
  writer
    .u64(header.epoch)
    .u8(header.rotation)
    .u64(header.createdAt)
    .u64(header.sealFrom)
    .u64(header.sealUntil)
    .u64(header.destroyAt)
    .bytes(header.creator)
    .bytes(header.keyId)
    .u16(count)
    .bytes(membersHash);
}

function readHeader(body: Reader, trust: RingTrust) {
  const header = {
    generation: readGeneration(body, (id) => trust.allows(id)),
    epoch: body.u64('epoch'),
    rotation: body.u8('rotation'),
    createdAt: body.u64('created_at'),
    sealFrom: body.u64('seal_from'),
    sealUntil: body.u64('seal_until'),
    destroyAt: body.u64('destroy_at'),
    creator: readId(body, INSTANCE_ID_LENGTH, 'creator'),
    keyId: readId(body, KEY_ID_LENGTH, 'key_id'),
  } satisfies EpochHeader;
  const count = body.u16('count');
  if (count > MAX_INSTANCES) {
    throw body.malformed('count', `${count} envelopes, at most ${MAX_INSTANCES} are allowed`);
  }
  return { header, count, membersHash: body.bytes(ID_LENGTH, 'members_hash') };
}

function readEnvelope(body: Reader, kem: RingKem): Envelope {
  return {
    instanceId: readId(body, INSTANCE_ID_LENGTH, 'instance_id'),
    prekeyId: readId(body, PREKEY_ID_LENGTH, 'prekey_id'),
    encapsulation: body.bytes(kems[kem].encapsulationLength, 'encapsulation'),
    ciphertext: body.bytes(CIPHERTEXT_LENGTH, 'ciphertext'),
  };
}

const CIPHERTEXT_LENGTH = SECRET_LENGTH + 16;
const ENVELOPE_LABEL = utf8('mayfly ring 1 epoch');
