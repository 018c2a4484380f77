/**
 * The policy hash: what a session was made under. A session whose hash differs from that of the connection that offers
 * it is not resumed, so no session leads from one virtual host's policy into another's, and a new certificate or client
 * CA set ends the sessions of the old.
 *
 *     SHA-256("mayfly policy 1" ‖ certificates hash[32] ‖ opaque clientAuthentication<0..2^16-1>
 *             ‖ opaque extra<0..2^16-1> ‖ opaque serverName<0..2^16-1> ‖ opaque alpnProtocol<0..2^16-1>)
 *     certificates hash = SHA-256(SHA-256(leaf 1) ‖ SHA-256(leaf 2) ‖ …)
 *
 * RFC 9846 §4.3.11 and §4.7.1 bind a PSK to its hash only; the rest is the server's duty.
 */

import { concat, EMPTY, utf8 } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';

interface PolicyParts {
  readonly provider: CryptoProvider;
  /**
   * `'none'`, or a text that changes whenever the verdict on a client could: the verification mode and an identity of
   * the CA set.
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
  /** DER, leaf first; only the leaf counts. Empty for no certificate. */
  readonly certificateChain: readonly Uint8Array[];
}

export interface PolicyHasherOptions extends PolicyParts {
  /**
   * The chains of all credentials of one server context, in order: which of them signed is not part of the policy, as a
   * resumption does not choose one.
   */
  readonly certificateChains: readonly (readonly Uint8Array[])[];
}

/** 32 bytes; the array may be shared between calls and must not be written to. */
export type PolicyHasher = (serverName: string, alpnProtocol: string) => Uint8Array;

/** The hash, 32 bytes. For many connections of one context prepare a `createPolicyHasher`: it gives the same. */
export function policyHash({ serverName, alpnProtocol, certificateChain, ...parts }: PolicyHashOptions): Uint8Array {
  return createPolicyHasher({ ...parts, certificateChains: [certificateChain] })(serverName, alpnProtocol);
}

/**
 * Prepares the part that is constant in a server context. The hasher remembers the hashes of some names: names come from
 * the peer, so only as many as `MAX_REMEMBERED`.
 */
export function createPolicyHasher(options: PolicyHasherOptions): PolicyHasher {
  const { provider } = options;
  const prefix = constantPart(options);
  const remembered = new Map<string, Map<string, Uint8Array>>();
  let count = 0;
  return (serverName, alpnProtocol) => {
    const known = remembered.get(alpnProtocol)?.get(serverName);
    if (known !== undefined) {
      return known;
    }
    const input = new Writer(prefix.length + 64)
      .bytes(prefix)
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

const LABEL = utf8('mayfly policy 1');
/** Stops a client that invents names from filling the memory. */
const MAX_REMEMBERED = 256;
const MAX_REMEMBERED_NAME = 255;
