/** Who a member is and what it goes by: constant for as long as it runs. */

import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { type RingConfiguration, ringId } from './configuration.ts';
import type { WorkingKeyUse } from './epoch-secret.ts';
import type { KeyContext } from './held-key.ts';
import type { Identity } from './identity.ts';
import { BOOT_NONCE_LENGTH, instanceIdOf } from './records/member.ts';
import { RingTrust } from './records/signed.ts';

export interface MemberContext extends KeyContext {
  readonly trust: RingTrust;
  readonly identity: Identity;
  readonly name: string;
  readonly processes: number;
  /** 16 random bytes: tells this process from earlier ones of the same identity. */
  readonly bootNonce: Uint8Array;
  /** 16 bytes. */
  readonly instanceId: Uint8Array;
}

export interface MemberOptions {
  readonly provider: CryptoProvider;
  readonly configuration: RingConfiguration;
  readonly identity: Identity;
  /** For people: at most 64 bytes of UTF-8. */
  readonly name?: string;
  /** How many processes run with this identity at a time, 1 to 255: more are taken for a copied file. Default 1. */
  readonly processes?: number;
  /** The working keys to derive of every epoch, each of one of the configuration's policies. */
  readonly uses: readonly WorkingKeyUse[];
}

/** @throws TLSError `TLS_ERR_CONFIG` the identity is not on the allow-list, a use has an unknown policy, the name is too long */
export function memberContext(options: MemberOptions): MemberContext {
  const { provider, configuration, identity, name = '', processes = 1, uses } = options;
  const trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
  if (!trust.allows(identity.memberId)) {
    throw new TLSError('TLS_ERR_CONFIG', 'the identity is not on the allow-list of its own ring');
  }
  const unknown = uses.find(({ policy }) => !configuration.policies.includes(policy));
  if (unknown !== undefined) {
    throw new TLSError('TLS_ERR_CONFIG', `the policy ${JSON.stringify(unknown.policy)} is not one of the ring's`);
  }
  if (new TextEncoder().encode(name).length > MAX_NAME) {
    throw new TLSError('TLS_ERR_CONFIG', `a member's name may have at most ${MAX_NAME} bytes`);
  }
  if (!Number.isInteger(processes) || processes < 1 || processes > MAX_PROCESSES) {
    throw new TLSError('TLS_ERR_CONFIG', `1 to ${MAX_PROCESSES} processes may have one identity, got ${processes}`);
  }
  const bootNonce = new Uint8Array(BOOT_NONCE_LENGTH);
  provider.random(bootNonce);
  const instanceId = instanceIdOf(provider, identity.memberId, bootNonce);
  return { provider, configuration, identity, trust, name, processes, uses, bootNonce, instanceId };
}

/** What turns are drawn for. */
export function topic(label: string, ...numbers: readonly number[]): Uint8Array {
  const writer = new Writer(64).vector8(new TextEncoder().encode(label));
  for (const number of numbers) {
    writer.u64(number);
  }
  return writer.finish();
}

const MAX_NAME = 64;
/** What fits into the record. */
const MAX_PROCESSES = 255;
