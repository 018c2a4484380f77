/**
 * A server's policy beside its single options. An option that is given goes before the policy, and where it protects less the
 * process is warned once, with the code `MAYFLY_POLICY_WEAKENED`, and `server.policy.weakened` lists what.
 */

import type { KeyRenewal, ProtocolVersion } from '../connection-options.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import { TLSError } from '../errors.ts';
import { explainPolicy, type TheftReport } from '../policy/explain.ts';
import { derive, type Policy, type PolicyName, type PolicyOptions, resolvePolicy } from '../policy/policy.ts';
import { type Weakening, weakenings, weakeningText } from '../policy/weaker.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { ServerSessions, SessionOptions } from './sessions.ts';

export interface PolicyOption {
  /** Ours: 'strict', 'default', 'compatible', or values of one's own: see docs/policy.md. Default 'default'. */
  readonly policy?: PolicyName | PolicyOptions;
  /** Ours: when connections renew their keys before the usage limit. Default as the policy: after 1 h in TLS 1.3. */
  readonly keyRenewal?: KeyRenewal | false;
}

/** What of a server's other options a policy speaks of too. */
export interface PolicyRivals extends PolicyOption, SecureContextOptions {
  readonly secureContext?: SecureContext;
  readonly idleTimeout?: number;
  readonly sessionTimeout?: number;
  readonly dangerouslyAllowPskKe?: boolean | 'prefer';
}

/** The policy that a server has in fact: with the options that went before it. */
export interface EffectivePolicy extends Policy {
  /** Where the options protect less than the policy that was named. */
  readonly weakened: readonly Weakening[];
  /** What each secret is worth to a thief. */
  explain(): readonly TheftReport[];
}

export class ServerPolicy {
  readonly #named: Policy;
  readonly #options: PolicyRivals;
  readonly #given: boolean;
  readonly #ownVersions: boolean;
  readonly #ownGroups: boolean;
  readonly keyRenewal: KeyRenewal | undefined;
  readonly idleTimeout: number;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: PolicyRivals) {
    const { minVersion, maxVersion, secureProtocol, secureContext, keyRenewal } = options;
    const groups = options.groups ?? options.ecdhCurve;
    this.#options = options;
    this.#given = options.policy !== undefined;
    this.#named = resolvePolicy(options.policy);
    // A context that was made elsewhere says nothing of what was meant for this server.
    this.#ownVersions = secureContext === undefined && Boolean(minVersion || maxVersion || secureProtocol);
    this.#ownGroups = secureContext === undefined && groups !== undefined && groups !== null && groups !== 'auto';
    this.keyRenewal = keyRenewal === undefined ? this.#named.keyRenewal : keyRenewal === false ? undefined : keyRenewal;
    this.idleTimeout = options.idleTimeout ?? this.#named.idleTimeout;
  }

  get usageLimit(): number | undefined {
    return this.#named.usageLimit;
  }

  /** As the server's own option, which goes before it. */
  get pskKe(): boolean | 'prefer' {
    const { dangerouslyAllowPskKe: named } = this.#named;
    return this.#options.dangerouslyAllowPskKe ?? (named === 'fallback' ? true : (named ?? false));
  }

  /** To stand under the server's own `sessions`. Without a policy it is empty: these have the same defaults. */
  get sessions(): SessionOptions {
    if (!this.#given) {
      return {};
    }
    const { tickets, sessionIds, earlyData, singleUse, dangerouslyLongTls12Sessions, ...policy } = this.#named;
    return {
      ...(tickets ? {} : { tickets: false, sessionIds }),
      ...(sessionIds ? {} : { sessionIds: false }),
      ...(earlyData ? { earlyData: true } : {}),
      ...(singleUse ? { singleUse: true } : {}),
      ...(dangerouslyLongTls12Sessions ? { dangerouslyLongTls12Sessions: true } : {}),
      rotate: policy.sealUntil / 1000,
      ...(this.#options.sessionTimeout === undefined ? { ticketLifetime: policy.ticketLifetime / 1000 } : {}),
      handshakeValidity: policy.handshakeValidity / 1000,
      ticketsPerConnection: policy.ticketsPerConnection,
      ticketsPerResumption: policy.ticketsPerResumption,
      maxTickets: policy.maxTickets,
      maxSessions: policy.maxSessions,
      maxSessionBytes: policy.maxSessionBytes,
    };
  }

  /**
   * What may be agreed under this context: what both it and the policy allow, but for what the server's options name.
   * @throws TLSError `TLS_ERR_CONFIG` nothing is left
   */
  limit(context: SecureContext): {
    readonly versions: readonly ProtocolVersion[];
    readonly namedGroups: readonly NamedGroup[] | undefined;
  } {
    const { name, versions: allowed, namedGroups: wanted } = this.#named;
    const versions = this.#ownVersions ? context.versions : context.versions.filter((one) => allowed.includes(one));
    if (versions.length === 0) {
      const spoken = context.versions.join(', ');
      throw new TLSError('TLS_ERR_CONFIG', `the policy ${name} allows ${allowed.join(', ')}, the context ${spoken}`);
    }
    const namedGroups =
      this.#ownGroups || wanted === undefined
        ? context.namedGroups
        : wanted.filter((group) => context.namedGroups?.includes(group) ?? true);
    if (namedGroups?.length === 0) {
      const offered = context.namedGroups?.join(', ');
      throw new TLSError('TLS_ERR_CONFIG', `the policy ${name} allows ${wanted?.join(', ')}, the context ${offered}`);
    }
    if (this.#given && versions.includes('TLSv1.2') && namedGroups?.every((group) => group === 'X25519MLKEM768')) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `TLS 1.2 has no X25519MLKEM768, which is all that the policy ${name} allows: name others in ecdhCurve, or leave TLS 1.2 out`,
      );
    }
    return { versions, namedGroups };
  }

  /** The policy that comes of it all. The process is warned where it is weaker than the one that was named. */
  settle(context: SecureContext, sessions: ServerSessions): EffectivePolicy {
    const { versions, namedGroups } = this.limit(context);
    const { sharesKeys: _, ...settings } = sessions.settings;
    const { pskKe } = this;
    const actual = derive({
      ...this.#named,
      ...settings,
      versions: [...versions].sort(),
      namedGroups,
      keyRenewal: this.keyRenewal,
      idleTimeout: this.idleTimeout,
      dangerouslyAllowPskKe: pskKe === true ? 'fallback' : pskKe || undefined,
    });
    const weakened = this.#given ? weakenings(this.#named, actual) : [];
    if (weakened.length > 0) {
      const list = weakened.map(weakeningText).join('; ');
      process.emitWarning(`options go before the policy '${this.#named.name}' and protect less: ${list}`, {
        type: 'PolicyWarning',
        code: 'MAYFLY_POLICY_WEAKENED',
      });
    }
    return { ...actual, weakened, explain: () => explainPolicy(actual) };
  }
}

/** For clients, which have no other policy. */
export function clientKeyRenewal(option: KeyRenewal | false | undefined): KeyRenewal | undefined {
  return option === false ? undefined : (option ?? DEFAULT_RENEWAL);
}

const DEFAULT_RENEWAL = resolvePolicy('default').keyRenewal;
