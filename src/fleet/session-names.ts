/**
 * The names under which TLS 1.2 sessions lie in a store that all members share: the store never sees a session ID.
 *
 *     name = the first 16 bytes of HMAC-SHA-256(working key 'session-cache', "mayfly session id" ‖ session ID), hex
 *
 * IDs travel in clear, so a name without a key would tell whoever has both the store and a recording which belong together.
 * A session is named under the key that seals when it is made, so it is looked for under each key that can still open it.
 * RFC 5246 §7.4.1.2.
 */

import { concat, toHex, utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { type Clock, type Moment, momentOf } from '../session/clock.ts';
import type { WorkingKeyUse } from './epoch-secret.ts';
import type { HeldKey } from './held-key.ts';
import type { Member } from './member.ts';

export interface SessionNamesOptions {
  readonly provider: CryptoProvider;
  /** Derives `sessionNameUses(policy)`. */
  readonly member: Pick<Member, 'sealingKey' | 'openingKeys'>;
  readonly clock: Clock;
  readonly policy: string;
}

/** The uses that a member needs for the sessions of one policy. */
export function sessionNameUses(policy: string): readonly WorkingKeyUse[] {
  return [{ policy, target: 'session-cache' }];
}

export interface SessionName {
  readonly name: string;
  /** Milliseconds until nobody can open what lies there. */
  readonly life: number;
}

export class SessionNames {
  readonly #options: SessionNamesOptions;

  constructor(options: SessionNamesOptions) {
    this.#options = options;
  }

  /** For a session that is made now; undefined while no key seals. */
  current(sessionId: Uint8Array): SessionName | undefined {
    const now = momentOf(this.#options.clock);
    const key = this.#options.member.sealingKey(now);
    const secret = key && this.#secretOf(key, now);
    if (key === undefined || secret === undefined) {
      return undefined;
    }
    return { name: this.#nameOf(secret, sessionId), life: key.opensUntil('session-cache', now) - now.wall };
  }

  /** Where the session may lie, the likeliest first: at most `MAX_NAMES`. */
  all(sessionId: Uint8Array): readonly string[] {
    const now = momentOf(this.#options.clock);
    const sealing = this.#options.member.sealingKey(now);
    const names: string[] = [];
    for (const key of [...this.#options.member.openingKeys(now)].sort((a, b) => order(a, b, sealing))) {
      const secret = names.length < MAX_NAMES ? this.#secretOf(key, now) : undefined;
      if (secret !== undefined) {
        names.push(this.#nameOf(secret, sessionId));
      }
    }
    return names;
  }

  #secretOf(key: HeldKey, now: Moment): Secret | undefined {
    return key.working(this.#options.policy, 'session-cache', now);
  }

  #nameOf(secret: Secret, sessionId: Uint8Array): string {
    const digest = this.#options.provider.hmac('sha256', secret.expose(), concat(LABEL, sessionId));
    return toHex(digest.subarray(0, NAME_LENGTH));
  }
}

/** The sealing key, then fresh ones, of each kind the newest first. */
function order(a: HeldKey, b: HeldKey, sealing: HeldKey | undefined): number {
  if (a === sealing || b === sealing) {
    return a === sealing ? -1 : 1;
  }
  return Number(b.fresh) - Number(a.fresh) || b.times.sealFrom - a.times.sealFrom;
}

const LABEL = utf8('mayfly session id');
/** Bytes: more than anyone finds a collision in within a key's life; a value opens under its own session ID only, anyway. */
const NAME_LENGTH = 16;
/** Look-ups for one ID that a client sends. Three keys are alive with the defaults; rotations by hand add to them. */
const MAX_NAMES = 8;
