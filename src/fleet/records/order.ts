/**
 * The record of an order: everything older than this generation ends, and these members are out.
 *
 *     body = generation ‖ issuedAt(8)
 *
 * It says what is to be, not what to do, so doing it twice, late or out of order changes nothing. Any member may order;
 * every member puts its own view back when the store has lost it.
 */

import { type Generation, readGeneration, writeGeneration } from '../generation.ts';
import type { Identity } from '../identity.ts';
import type { RecordRefusal } from './refusal.ts';
import { type RingTrust, readBody } from './signed.ts';

export interface OrderRecord {
  /** 32 bytes: who says so. */
  readonly memberId: Uint8Array;
  readonly generation: Generation;
  /** Ring time; for people. */
  readonly issuedAt: number;
}

export function sealOrderRecord(
  trust: RingTrust,
  identity: Identity,
  { generation, issuedAt }: Omit<OrderRecord, 'memberId'>,
): Uint8Array {
  return trust.seal(identity, 'order', (body) => {
    writeGeneration(body, generation);
    body.u64(issuedAt);
  });
}

export function openOrderRecord(trust: RingTrust, bytes: Uint8Array): OrderRecord | RecordRefusal {
  const content = trust.open('order', bytes);
  if (typeof content === 'string') {
    return content;
  }
  const fields = readBody(content.body, (body) => ({
    generation: readGeneration(body, (id) => trust.allows(id)),
    issuedAt: body.u64('issued_at'),
  }));
  return fields === undefined ? 'malformed' : { memberId: content.memberId, ...fields };
}
