/**
 * How a client comes to trust its server: the chain that it shows, the name, and what is stapled to it; in a handshake, and for
 * sessions that began with one.
 */

import { checkServerIdentity as nodeCheck } from 'node:tls';
import type { Need } from '../actions.ts';
import { type ParsedCertificate, parseCertificate, parseReadable } from '../certificates/certificate.ts';
import { mustStaple } from '../certificates/ocsp-check.ts';
import { type PeerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import type { VerifyOptions } from '../certificates/verify.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import type { CheckServerIdentity, ClientDriverOptions } from './client-driver-options.ts';
import { objectNumber } from './object-number.ts';
import { type Trust, verifyServerChain } from './trust.ts';

type TrustOptions = Pick<ClientDriverOptions, 'checkServerIdentity' | 'secureContext'>;
type Stapled = Pick<VerifyOptions, 'stapling' | 'ocspResponse'>;
type VerifyNeed = Extract<Need, { kind: 'verifyCertificate' }>;

export class ServerVerifier {
  /** Without it `problem` tells what is wrong, and the server is let pass. */
  readonly strict: boolean;
  readonly #trust: Trust;
  /** The name to verify. */
  readonly #hostname: string;
  readonly #check: CheckServerIdentity | undefined;
  readonly #stapling: 'check' | 'require' | undefined;
  #problem: Error | undefined;

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(trust: Trust, hostname: string, options: ClientDriverOptions) {
    checkStapling(options.stapling);
    this.#trust = trust;
    this.#hostname = hostname;
    this.strict = options.rejectUnauthorized !== false;
    this.#check = options.checkServerIdentity;
    this.#stapling = options.stapling;
  }

  /** What is wrong with the server, where it is let pass. */
  get problem(): Error | undefined {
    return this.#problem;
  }

  /** Tells policies apart: to the server a session is proof of who made it, and to us of who it is. */
  get policyName(): string {
    return `${this.#trust.roots.id} ${this.strict} ${identityOf(this.#check)} ${this.#stapling ?? ''}`;
  }

  /**
   * The answer to a `verifyCertificate` need: the leaf's key, also where an untrusted chain is let pass. `asked`: the name
   * that was to be sent. Where another is to be verified, the server could not read what we encrypted for it, and what it says
   * counts only from who may speak for that name (RFC 9849 §6.1.7).
   */
  verdict(need: VerifyNeed, asked: string): PublicKey | TLSError {
    const isOther = need.serverName !== asked;
    this.#problem = undefined;
    try {
      return this.#verify(need, isOther ? need.serverName : this.#hostname);
    } catch (error) {
      if (this.strict || isOther) {
        return asTLSError(error);
      }
      this.#problem = error as Error;
    }
    try {
      return nodeProvider.importPublicKey(parseCertificate(need.chain[0]).publicKey.der);
    } catch (error) {
      return asTLSError(error);
    }
  }

  /** Leaf first, root last; undefined where no root is trusted. */
  pathOf(chain: readonly Uint8Array[]): readonly ParsedCertificate[] | undefined {
    try {
      return verifyServerChain(this.#trust, chain, '', false, this.#judged).path;
    } catch {
      return undefined;
    }
  }

  /** Whether the chain of a session would be trusted now. */
  trusts(chain: readonly Uint8Array[]): boolean {
    return this.#problemOf(chain) === undefined;
  }

  /** A session was resumed: what is wrong with its chain is our problem now. */
  judgeResumed(chain: readonly Uint8Array[]): void {
    this.#problem = this.#problemOf(chain) ?? this.#problem;
  }

  /** Whether a certificate must come with a staple; of one that cannot be read anything may be true. */
  mustStaple([leaf]: readonly Uint8Array[]): boolean {
    if (this.#stapling !== 'check' || leaf === undefined) {
      return this.#stapling === 'require';
    }
    const [parsed] = parseReadable([leaf]);
    return parsed === undefined || mustStaple(parsed);
  }

  /** Of a chain whose staple is past judging, if it had to have one. */
  get #judged(): { readonly stapling: 'judged' | undefined } {
    return { stapling: this.#stapling === undefined ? undefined : 'judged' };
  }

  #verify({ chain, ocspResponse }: VerifyNeed, hostname: string): PublicKey {
    return this.#verifyChain(chain, hostname, { stapling: this.#stapling, ocspResponse });
  }

  #verifyChain(chain: readonly Uint8Array[], hostname: string, stapled: Stapled): PublicKey {
    const withName = this.#check === undefined;
    const { path, publicKey } = verifyServerChain(this.#trust, chain, hostname, withName, stapled);
    this.#checkIdentity(path, hostname);
    return publicKey;
  }

  #problemOf(chain: readonly Uint8Array[]): Error | undefined {
    try {
      this.#verifyChain(chain, this.#hostname, this.#judged);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  #checkIdentity(path: readonly ParsedCertificate[], hostname: string): void {
    if (this.#check === undefined) {
      return;
    }
    const certificate = peerCertificateChain(path);
    const refusal = this.#check(hostname, certificate as PeerCertificate);
    if (refusal) {
      throw refusal;
    }
  }
}

function checkStapling(stapling: unknown): void {
  if (stapling !== undefined && stapling !== 'check' && stapling !== 'require') {
    throw new TLSError('TLS_ERR_CONFIG', `stapling: expected 'check' or 'require', got ${JSON.stringify(stapling)}`);
  }
}

function asTLSError(error: unknown): TLSError {
  if (error instanceof TLSError) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  return new TLSError('TLS_ERR_CERTIFICATE_NAME', message, { cause: error });
}

/**
 * Tells apart what requests demand of their server, where Node's agent does not: a connection that somebody else's check let
 * pass, or that another context trusts, is no connection to whom this request wants to talk to.
 */
export function trustName({ checkServerIdentity, secureContext }: TrustOptions): string {
  return `${identityOf(checkServerIdentity)}:${secureContext ? objectNumber(secureContext) : 0}`;
}

function identityOf(check: CheckServerIdentity | undefined): number {
  return check && check !== (nodeCheck as unknown) ? objectNumber(check) : 0;
}
