/**
 * The record that brings keys to one instance that lacks them: a joiner, or one that a split store left behind.
 *
 *     body = recipient's instance id(16) ‖ prekey id(16) ‖ sentAt(8) ‖ generation ‖ count(1)
 *            ‖ count × { epoch(8) ‖ rotation(1) ‖ createdAt(8) ‖ sealFrom(8) ‖ sealUntil(8) ‖ destroyAt(8) ‖ age(8)
 *                        ‖ key id(16) }
 *            ‖ encapsulation ‖ ciphertext(count × 32 + 16)
 *
 * One HPKE message with info "mayfly ring 1 welcome" ‖ ring id ‖ member id of the sender; additional data is the SHA-256 of
 * the body before the encapsulation. `age` is how long ago the key was made at the most, by the sender's own clocks.
 */

import { concat, utf8 } from '../../bytes/bytes.ts';
import type { Reader } from '../../bytes/reader.ts';
import { Secret } from '../../bytes/secret.ts';
import { Writer } from '../../bytes/writer.ts';
import type { KeyShare } from '../../crypto/provider.ts';
import { type HpkeInput, kems, sealTo } from '../../keys/hpke.ts';
import type { RingKem } from '../configuration.ts';
import { digest, KEY_ID_LENGTH, SECRET_LENGTH } from '../epoch-secret.ts';
import { type Generation, readGeneration, writeGeneration } from '../generation.ts';
import type { Identity } from '../identity.ts';
import type { EpochTimes } from '../ring-time.ts';
import { type Recipient, tryOpen } from './epoch.ts';
import { INSTANCE_ID_LENGTH, PREKEY_ID_LENGTH, prekeyIdOf } from './member.ts';
import type { RecordRefusal } from './refusal.ts';
import { type RingTrust, readBody, readId } from './signed.ts';

export interface WelcomeKey extends EpochTimes {
  readonly epoch: number;
  readonly rotation: number;
  /** 16 bytes. */
  readonly keyId: Uint8Array;
  /** Milliseconds. */
  readonly age: number;
}

export interface WelcomeRecord {
  /** 32 bytes: the sender's. */
  readonly memberId: Uint8Array;
  readonly instanceId: Uint8Array;
  readonly prekeyId: Uint8Array;
  readonly sentAt: number;
  readonly generation: Generation;
  readonly keys: readonly WelcomeKey[];
  readonly encapsulation: Uint8Array;
  readonly ciphertext: Uint8Array;
  /** What the message is bound to. */
  readonly boundTo: Uint8Array;
}

export interface SealWelcomeOptions {
  readonly trust: RingTrust;
  readonly kem: RingKem;
  readonly identity: Identity;
  readonly recipient: Recipient;
  /** Ring time. */
  readonly sentAt: number;
  readonly generation: Generation;
  /** At most `MAX_WELCOME_KEYS`; the secrets stay the caller's. */
  readonly keys: readonly { readonly key: WelcomeKey; readonly secret: Secret }[];
}

/** @throws TLSError `TLS_ERR_BAD_KEY_SHARE` the prekey is no key */
export function sealWelcomeRecord(options: SealWelcomeOptions): Uint8Array {
  const { trust, kem, identity, recipient, keys } = options;
  const head = new Writer(512)
    .bytes(recipient.instanceId)
    .bytes(prekeyIdOf(trust.provider, recipient.prekey))
    .u64(options.sentAt);
  writeGeneration(head, options.generation);
  head.u8(keys.length);
  for (const { key } of keys) {
    writeKey(head, key);
  }
  const headBytes = head.finish();
  const fill = (bytes: Uint8Array) => {
    for (const [index, { secret }] of keys.entries()) {
      bytes.set(secret.expose(), index * SECRET_LENGTH);
    }
  };
  const plaintext = Secret.create('welcome', keys.length * SECRET_LENGTH, fill, keys.at(-1)?.secret.id);
  try {
    const input = welcomeInput(trust, kem, identity.memberId, digest(trust.provider, headBytes));
    const { encapsulation, ciphertext } = sealTo(input, recipient.prekey, plaintext.expose());
    return trust.seal(identity, 'welcome', (body) => {
      body.bytes(headBytes).bytes(encapsulation).bytes(ciphertext);
    });
  } finally {
    plaintext.erase();
  }
}

export function openWelcomeRecord(trust: RingTrust, kem: RingKem, bytes: Uint8Array): WelcomeRecord | RecordRefusal {
  const content = trust.open('welcome', bytes);
  if (typeof content === 'string') {
    return content;
  }
  const { memberId } = content;
  const record = readBody(content.body, (body) => {
    const start = body.offset;
    const instanceId = readId(body, INSTANCE_ID_LENGTH, 'instance_id');
    const prekeyId = readId(body, PREKEY_ID_LENGTH, 'prekey_id');
    const sentAt = body.u64('sent_at');
    const generation = readGeneration(body, (id) => trust.allows(id));
    const keys = readKeys(body);
    const boundTo = digest(trust.provider, bytes.subarray(start, body.offset));
    const encapsulation = body.bytes(kems[kem].encapsulationLength, 'encapsulation');
    const ciphertext = body.bytes(keys.length * SECRET_LENGTH + 16, 'ciphertext');
    return { memberId, instanceId, prekeyId, sentAt, generation, keys, encapsulation, ciphertext, boundTo };
  });
  return record ?? 'malformed';
}

/** The secrets, in the order of the keys; undefined when they do not open. The prekey is spent by the attempt. */
export function openWelcome(
  trust: RingTrust,
  kem: RingKem,
  record: WelcomeRecord,
  prekey: KeyShare,
): readonly Secret[] | undefined {
  const opened = tryOpen(welcomeInput(trust, kem, record.memberId, record.boundTo), prekey, record, 'welcome');
  if (opened === undefined) {
    return undefined;
  }
  const bytes = opened.expose();
  const secrets = record.keys.map((_, index) =>
    Secret.copy('epochSecret', bytes.subarray(index * SECRET_LENGTH, (index + 1) * SECRET_LENGTH), opened.id),
  );
  opened.erase();
  return secrets;
}

function welcomeInput(trust: RingTrust, kem: RingKem, sender: Uint8Array, boundTo: Uint8Array): HpkeInput {
  const info = concat(WELCOME_LABEL, trust.ringId, sender);
  return { provider: trust.provider, suite: { kem }, info, aad: boundTo };
}

function writeKey(writer: Writer, key: WelcomeKey): void {
  writer
    .u64(key.epoch)
    .u8(key.rotation)
    .u64(key.createdAt)
    .u64(key.sealFrom)
    .u64(key.sealUntil)
    .u64(key.destroyAt)
    .u64(key.age)
    .bytes(key.keyId);
}

function readKeys(body: Reader): readonly WelcomeKey[] {
  const count = body.u8('count');
  if (count === 0 || count > MAX_WELCOME_KEYS) {
    throw body.malformed('count', `${count} keys, 1 to ${MAX_WELCOME_KEYS} are allowed`);
  }
  return Array.from({ length: count }, () => ({
    epoch: body.u64('epoch'),
    rotation: body.u8('rotation'),
    createdAt: body.u64('created_at'),
    sealFrom: body.u64('seal_from'),
    sealUntil: body.u64('seal_until'),
    destroyAt: body.u64('destroy_at'),
    age: body.u64('age'),
    keyId: readId(body, KEY_ID_LENGTH, 'key_id'),
  }));
}

/** Two epochs with room for what a split store leaves behind. */
export const MAX_WELCOME_KEYS = 16;
const WELCOME_LABEL = utf8('mayfly ring 1 welcome');
