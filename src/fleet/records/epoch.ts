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
import type { Secret } from '../../bytes/secret.ts';
import { Writer } from '../../bytes/writer.ts';
import type { KeyShare } from '../../crypto/provider.ts';
import { TLSError } from '../../errors.ts';
import { type HpkeInput, HpkeSender, kems, openWith } from '../../keys/hpke.ts';
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
  /** From `envelopeSender`, for one message, when it was made ahead; erased. */
  readonly sender?: HpkeSender | undefined;
}

export interface SealEpochOptions {
  readonly trust: RingTrust;
  readonly kem: RingKem;
  readonly identity: Identity;
  readonly header: EpochHeader;
  /** Stays the caller's. */
  readonly secret: Secret;
  /** Without the creator. Those whose prekey is unusable get an envelope that nobody can open. */
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
  const headBytes = head.finish();
  const boundTo = digest(provider, headBytes);
  return trust.seal(identity, 'epoch', (body) => {
    body.bytes(headBytes);
    for (const { instanceId, prekeyId, sender, prekey } of recipients) {
      const own = sender ?? envelopeSender(trust, kem, identity, prekey);
      const { encapsulationLength } = kems[kem];
      body.bytes(instanceId).bytes(prekeyId);
      if (own === undefined) {
        // Those whose prekey is no key get one that opens to nobody.
        body.zeros(encapsulationLength + CIPHERTEXT_LENGTH);
        continue;
      }
      body.bytes(own.encapsulation).bytes(own.seal(boundTo, secret.expose()));
      own.erase();
    }
  });
}

/** The slow half of an envelope, which needs nothing of the epoch's; undefined when the prekey is no key. */
export function envelopeSender(
  trust: RingTrust,
  kem: RingKem,
  identity: Identity,
  prekey: Uint8Array,
): HpkeSender | undefined {
  try {
    return new HpkeSender(envelopeInput(trust, kem, identity.memberId), prekey);
  } catch (error) {
    // A member's prekey that is no key must not keep the others from theirs.
    if (error instanceof TLSError && error.code === 'TLS_ERR_BAD_KEY_SHARE') {
      return undefined;
    }
    throw error;
  }
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
  const input = { ...envelopeInput(trust, kem, record.memberId), aad: record.boundTo };
  const secret = tryOpen(input, prekey, envelope, 'epochSecret');
  if (secret === undefined || secret.length === SECRET_LENGTH) {
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
  kind: string,
): Secret | undefined {
  try {
    return openWith(input, prekey, sealed, kind);
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

function envelopeInput(trust: RingTrust, kem: RingKem, creator: Uint8Array): Omit<HpkeInput, 'aad'> {
  return { provider: trust.provider, suite: { kem }, info: concat(ENVELOPE_LABEL, trust.ringId, creator) };
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
