/**
 * The key exchange of TLS 1.2 at both ends: over a curve, or over a finite field group of RFC 7919 where the host names a
 * DHE suite.
 *
 *     server: params = { group, Ys } ───▶        ◀─── Yc :client        both: preMasterSecret, from two shares used once
 *
 * That shares are used once is what keeps Raccoon out: the length of a DHE premaster secret shows in how long it takes to
 * hash (RFC 5246 §8.1.2 strips its leading zeros), which over many handshakes with one share would give the secret away.
 *
 * RFC 8422 §5.4, §5.7; RFC 5246 §7.4.3, §7.4.7.2; RFC 7919 §3, §4, §5.1.
 */

import type { Secret } from '../bytes/secret.ts';
import type { ClientOptions, ServerOptions } from '../connection-options.ts';
import { type FfdheGroup, type FfdheGroupInfo, ffdheGroupByPrime } from '../crypto/dhe-groups.ts';
import { type NamedGroup, type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import type { CryptoProvider, DheShare, KeyShare } from '../crypto/provider.ts';
import { cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import { encodeClientKeyExchange } from '../messages/tls12/client-key-exchange.ts';
import {
  type DheParams,
  type EcdheParams,
  encodeServerKeyExchangeParams,
} from '../messages/tls12/server-key-exchange.ts';

export type GroupInfo12 = NamedGroupInfo | FfdheGroupInfo;

/** The finite field groups to use, best first; none unless a suite that needs one was asked for. */
export function ffdheGroups12(options: ClientOptions | ServerOptions): readonly FfdheGroup[] {
  const isAsked = options.cipherSuites12?.some((name) => cipherSuites12[name].keyExchange === 'dhe');
  return isAsked === true ? (options.ffdheGroups12 ?? DEFAULT_FFDHE_GROUPS) : [];
}

/** A code point of a finite field group, whether it is known here or not (RFC 7919 §4). */
export function isFfdheCode(code: number): boolean {
  return code >= 0x0100 && code <= 0x01ff;
}

/** The server's fresh share, and the parameters that say so. */
export function makeServerShare12(
  provider: CryptoProvider,
  group: GroupInfo12,
): { readonly share: KeyShare | DheShare; readonly rawParams: Uint8Array } {
  if (isFfdhe(group)) {
    const share = provider.generateDheShare(group.name);
    const { prime, generator } = group;
    const params = { kind: 'dhe', prime, generator, publicKey: share.publicKey } as const;
    return { share, rawParams: encodeServerKeyExchangeParams(params) };
  }
  const share = provider.generateKeyShare(group.name);
  const params = { kind: 'ecdhe', group: group.code, publicKey: share.publicKey } as const;
  return { share, rawParams: encodeServerKeyExchangeParams(params) };
}

/**
 * The group of a server's parameters, which must be one that the client offered.
 * @throws TLSError `TLS_ERR_ILLEGAL_PARAMETER`
 */
export function offeredGroup12(
  offer: { readonly namedGroups: readonly NamedGroup[]; readonly ffdheGroups12: readonly FfdheGroup[] },
  params: EcdheParams | DheParams,
): GroupInfo12 {
  if (params.kind === 'ecdhe') {
    const group = namedGroupByCode(params.group);
    if (group === undefined || !offer.namedGroups.includes(group.name) || group.name === 'X25519MLKEM768') {
      throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose group ${params.group}, which was not offered`);
    }
    return group;
  }
  const group = ffdheGroupByPrime(params.prime, params.generator);
  if (group === undefined || !offer.ffdheGroups12.includes(group.name)) {
    // Whether a stranger's prime is one, and whether somebody who chose it can take logarithms, cannot be told in time.
    const which = group?.name ?? `of ${8 * params.prime.length} bits that is none of RFC 7919`;
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose a finite field group (${which}) not offered`, {
      alert: 'insufficient_security',
    });
  }
  return group;
}

/**
 * The client's half: a fresh share, completed with the server's.
 * @throws TLSError `TLS_ERR_BAD_KEY_SHARE`
 */
export function answerServerShare12(
  provider: CryptoProvider,
  group: GroupInfo12,
  serverPublicKey: Uint8Array,
): { readonly clientKeyExchange: Uint8Array; readonly preMasterSecret: Secret } {
  if (isFfdhe(group)) {
    const share = provider.generateDheShare(group.name);
    const preMasterSecret = share.agree(serverPublicKey);
    return { clientKeyExchange: encodeClientKeyExchange({ kind: 'dhe', publicKey: share.publicKey }), preMasterSecret };
  }
  const { keyExchange, sharedSecret } = provider.encapsulate(group.name, serverPublicKey);
  const clientKeyExchange = encodeClientKeyExchange({ kind: 'ecdhe', publicKey: keyExchange });
  return { clientKeyExchange, preMasterSecret: sharedSecret };
}

function isFfdhe(group: GroupInfo12): group is FfdheGroupInfo {
  return 'prime' in group;
}

/** Some 103 and 125 bits of strength. Larger primes only take the server's time: 150 ms a handshake with the largest. */
const DEFAULT_FFDHE_GROUPS: readonly FfdheGroup[] = ['ffdhe2048', 'ffdhe3072'];
