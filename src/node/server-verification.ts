/**
 * How a client comes to trust its server: the chain that it shows, the name, and what is stapled to it; in a handshake, and for
 * sessions that began with one.
 */

import { checkServerIdentity as nodeCheck } from 'node:tls';
import type { Need } from '../actions.ts';
import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { checkStaple, mustStaple } from '../certificates/ocsp-check.ts';
import { type PeerCertificate, peerCertificateChain } from '../certificates/peer-certificate.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import type { CheckServerIdentity, ClientDriverOptions } from './client-driver-options.ts';
import { type Trust, verifyServerChain } from './trust.ts';

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
      return verifyServerChain(this.#trust, chain, '', false).path;
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

  /** Whether a certificate must come with a staple. */
  mustStaple([leaf]: readonly Uint8Array[]): boolean {
    const says = () => leaf !== undefined && mustStaple(parseCertificate(leaf));
    return this.#stapling === 'require' || (this.#stapling === 'check' && says());
  }

  #verify({ chain, ocspResponse }: VerifyNeed, hostname: string): PublicKey {
    const { publicKey, path } = this.#verifyChain(chain, hostname);
    this.#checkStaple(path, ocspResponse);
    return publicKey;
  }

  #verifyChain(chain: readonly Uint8Array[], hostname: string) {
    const verified = verifyServerChain(this.#trust, chain, hostname, this.#check === undefined);
    this.#checkIdentity(verified.path, hostname);
    return verified;
  }

  #problemOf(chain: readonly Uint8Array[]): Error | undefined {
    try {
      this.#verifyChain(chain, this.#hostname);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  #checkStaple(path: readonly ParsedCertificate[], ocspResponse: Uint8Array | undefined): void {
    if (this.#stapling !== undefined) {
      checkStaple({ path, ocspResponse, now: Date.now(), required: this.#stapling === 'require' });
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

function identityOf(check: CheckServerIdentity | undefined): number {
  if (check === undefined || check === (nodeCheck as unknown)) {
    return 0;
  }
  let id = identities.get(check);
  if (id === undefined) {
    id = nextIdentity++;
    identities.set(check, id);
  }
  return id;
}

const identities = new WeakMap<CheckServerIdentity, number>();
let nextIdentity = 1;
