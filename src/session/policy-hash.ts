/**
 * The policy hash: what a session was made under. A session whose hash differs from that of the connection that offers
 * it is not resumed, so no session leads from one virtual host's policy into another's, and a new certificate or client
 * CA set ends the sessions of the old.
 *
 *     SHA-256("mayfly policy 2" ‖ certificates hash[32] ‖ opaque clientAuthentication<0..2^16-1>
 *             ‖ opaque extra<0..2^16-1> ‖ uint16 version ‖ opaque serverName<0..2^16-1> ‖ opaque alpnProtocol<0..2^16-1>)
 *     certificates hash = SHA-256(SHA-256(leaf 1) ‖ SHA-256(leaf 2) ‖ …)
 *
 * RFC 9846 §4.3.11 and §4.7.1 bind a PSK to its hash only, RFC 5246 §7.4.1.2 a session to its suite only; the rest is the
 * server's duty.
 */

import { concat, EMPTY, toHex, utf8 } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';

interface PolicyParts {
  readonly provider: CryptoProvider;
  /**
   * `'none'`, or a text that changes whenever the verdict on a client could: the verification mode and an identity of
   * the CA set. See `clientAuthenticationId`.
   */
  readonly clientAuthentication: 'none' | (string & {});
  /** Whatever else the host wants sessions bound to. */
  readonly extra?: Uint8Array;
}

export interface PolicyHashOptions extends PolicyParts {
  /** Empty when the client sent none. ASCII letters count as lower case. */
  readonly serverName: string;
  /** Empty when none was agreed. */
  readonly alpnProtocol: string;
  /** Default `'TLSv1.3'`. */
  readonly version?: PolicyVersion;
  /** DER, leaf first; only the leaf counts. Empty for no certificate. */
  readonly certificateChain: readonly Uint8Array[];
}

type PolicyVersion = 'TLSv1.2' | 'TLSv1.3';

export interface PolicyHasherOptions extends PolicyParts {
  /**
   * The chains of all credentials of one server context, in order: which of them signed is not part of the policy, as a
   * resumption does not choose one.
   */
  readonly certificateChains: readonly (readonly Uint8Array[])[];
}

/** 32 bytes; the array may be shared between calls and must not be written to. */
export type PolicyHasher = (serverName: string, alpnProtocol: string, version?: PolicyVersion) => Uint8Array;

/** The hash, 32 bytes. For many connections of one context prepare a `createPolicyHasher`: it gives the same. */
export function policyHash(options: PolicyHashOptions): Uint8Array {
  const { serverName, alpnProtocol, version, certificateChain, ...parts } = options;
  return createPolicyHasher({ ...parts, certificateChains: [certificateChain] })(serverName, alpnProtocol, version);
}

export interface ClientAuthentication {
  /** The server asks clients for a certificate. */
  readonly requestCert: boolean;
  /** It ends the connection of one that has none, or none that is trusted. */
  readonly rejectUnauthorized: boolean;
  /** SHA-256 over the set of CAs that client certificates must lead to, in an order that does not vary; 32 bytes. */
  readonly caHash: Uint8Array;
}

/**
 * The text for `clientAuthentication`: different policies have different texts. Where no certificate is asked for, the
 * other two count for nothing.
 * @throws TLSError `TLS_ERR_CONFIG` `caHash` is not a SHA-256
 */
export function clientAuthenticationId({ requestCert, rejectUnauthorized, caHash }: ClientAuthentication): string {
  if (!requestCert) {
    return 'none';
  }
  if (caHash.length !== HASH_LENGTH) {
    throw new TLSError('TLS_ERR_CONFIG', `caHash must have ${HASH_LENGTH} bytes, got ${caHash.length}`);
  }
  return `${rejectUnauthorized ? 'required' : 'requested'}:${toHex(caHash)}`;
}

/**
 * Prepares the part that is constant in a server context. The hasher remembers the hashes of some names: names come from
 * the peer, so only as many as `MAX_REMEMBERED`.
 */
export function createPolicyHasher(options: PolicyHasherOptions): PolicyHasher {
  const { provider } = options;
  const prefix = constantPart(options);
  const rememberedBy: Record<PolicyVersion, Map<string, Map<string, Uint8Array>>> = {
    'TLSv1.2': new Map(),
    'TLSv1.3': new Map(),
  };
  let count = 0;
  return (serverName, alpnProtocol, version = 'TLSv1.3') => {
    const remembered = rememberedBy[version];
    const known = remembered.get(alpnProtocol)?.get(serverName);
    if (known !== undefined) {
      return known;
    }
    const input = new Writer(prefix.length + 64)
      .bytes(prefix)
      .u16(version === 'TLSv1.3' ? TLS13 : TLS12)
      .vector16(utf8(lowerCaseAscii(serverName)))
      .vector16(utf8(alpnProtocol))
      .finish();
    const hash = provider.hash('sha256', input);
    if (count < MAX_REMEMBERED && serverName.length <= MAX_REMEMBERED_NAME) {
      const byName = remembered.get(alpnProtocol) ?? new Map<string, Uint8Array>();
      remembered.set(alpnProtocol, byName.set(serverName, hash));
      count++;
    }
    return hash;
  };
}

function constantPart({ provider, certificateChains, clientAuthentication, extra }: PolicyHasherOptions): Uint8Array {
  const leaves = certificateChains.flatMap(([leaf]) => (leaf === undefined ? [] : [provider.hash('sha256', leaf)]));
  return new Writer()
    .bytes(LABEL)
    .bytes(provider.hash('sha256', concat(...leaves)))
    .vector16(utf8(clientAuthentication))
    .vector16(extra ?? EMPTY)
    .finish();
}

function lowerCaseAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Bytes: SHA-256. */
const HASH_LENGTH = 32;
const LABEL = utf8('mayfly policy 2');
/** Stops a client that invents names from filling the memory. */
const MAX_REMEMBERED = 256;
const MAX_REMEMBERED_NAME = 255;
