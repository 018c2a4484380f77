/**
 * How a server comes to know its clients: whether it asks them for a certificate, which authorities it trusts for that, and
 * what it makes of the chain that comes, in a handshake, out of a resumed session, or later on the running connection.
 */

import type { HandshakeSummary } from '../actions.ts';
import { concat } from '../bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { pemToDer } from '../certificates/pem.ts';
import type { ClientAuthenticationPolicy } from '../connection-options.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { PublicKey } from '../crypto/provider.ts';
import { sha256 } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import { clientAuthenticationId } from '../session/policy-hash.ts';
import type { LateRequestOptions } from './driver.ts';
import type { SecureContext } from './secure-context.ts';
import type { TLSSocket } from './tls-socket.ts';
import { type Trust, trustFor, verifyClientChain } from './trust.ts';

export interface ClientCertificateOptions {
  /** Clients are asked for a certificate. Default false. */
  readonly requestCert?: boolean;
  /**
   * A client that has no certificate, or none that leads to `ca`, is refused in the handshake. False: it is let in, and
   * `authorized` and `authorizationError` tell. Default true.
   */
  readonly rejectUnauthorized?: boolean;
}

/** What is asked of a client. */
export interface ClientCheck {
  readonly trust: Trust;
  readonly strict: boolean;
  readonly policy: ClientAuthenticationPolicy;
}

export class ClientVerifier {
  /** The server's own, for contexts that say nothing. */
  readonly defaults: Required<ClientCertificateOptions>;
  readonly #checks = new WeakMap<SecureContext, { readonly check: ClientCheck | undefined }>();
  /** What each connection was asked, since the server's contexts may change meanwhile. */
  readonly #asked = new WeakMap<TLSSocket, ClientCheck>();

  constructor({ requestCert, rejectUnauthorized }: ClientCertificateOptions) {
    this.defaults = { requestCert: Boolean(requestCert), rejectUnauthorized: rejectUnauthorized !== false };
  }

  /** What clients of this context are asked in the handshake; undefined for nothing. */
  checkOf(context: SecureContext): ClientCheck | undefined {
    let known = this.#checks.get(context);
    if (known === undefined) {
      const { requestCert, rejectUnauthorized } = context.clientCertificates ?? this.defaults;
      known = { check: requestCert ? makeCheck(context, context.trust, rejectUnauthorized) : undefined };
      this.#checks.set(context, known);
    }
    return known.check;
  }

  /** What a client is asked on the running connection; undefined for nothing. What is not said is as it was asked before. */
  lateCheck(
    socket: TLSSocket,
    served: SecureContext,
    { requestCert, rejectUnauthorized, ca }: LateRequestOptions,
  ): ClientCheck | undefined {
    const before = this.#asked.get(socket);
    if (!(requestCert ?? before !== undefined)) {
      return undefined;
    }
    const trust = ca === undefined || ca === null ? (before?.trust ?? served.trust) : trustFor(ca);
    const { rejectUnauthorized: strict } = served.clientCertificates ?? this.defaults;
    return makeCheck(served, trust, rejectUnauthorized ?? before?.strict ?? strict);
  }

  /** From now on this is what the client was asked. */
  asks(socket: TLSSocket, check: ClientCheck | undefined): void {
    if (check !== undefined) {
      this.#asked.set(socket, check);
    } else if (this.#asked.has(socket)) {
      this.#asked.delete(socket);
    }
  }

  /** The answer to a `verifyCertificate` need: the leaf's key, also where an untrusted chain is let in. */
  verdict(socket: TLSSocket, chain: readonly Uint8Array[]): PublicKey | TLSError {
    const check = this.#asked.get(socket);
    if (check === undefined) {
      return new TLSError('TLS_ERR_INTERNAL', 'a client certificate came that was not asked for');
    }
    try {
      return check.strict
        ? verifyClientChain(check.trust, chain).publicKey
        : nodeProvider.importPublicKey(parseCertificate(chain[0]).publicKey.der);
    } catch (error) {
      return asTLSError(error);
    }
  }

  /** Leaf first, root last; undefined where no root is trusted. */
  pathOf(socket: TLSSocket, chain: readonly Uint8Array[]): readonly ParsedCertificate[] | undefined {
    const trust = this.#asked.get(socket)?.trust;
    try {
      return trust === undefined ? undefined : verifyClientChain(trust, chain).path;
    } catch {
      return undefined;
    }
  }

  /**
   * Says of a socket who its client is: judged at this moment, wherever the chain comes from. Returns the reason to end the
   * connection, where there is one.
   */
  settle(socket: TLSSocket, { peerCertificates }: HandshakeSummary): TLSError | undefined {
    const check = this.#asked.get(socket);
    const problem = check === undefined ? undefined : problemOf(check, peerCertificates);
    socket.authorized = check !== undefined && problem === undefined;
    socket.authorizationError = problem === undefined ? null : problem.code;
    return check?.strict === true ? problem : undefined;
  }
}

/** @throws TLSError `TLS_ERR_CONFIG` */
function makeCheck({ signatureSchemes }: SecureContext, trust: Trust, strict: boolean): ClientCheck {
  const { names, hash } = authoritiesOf(trust);
  const check: ClientCheck = {
    trust,
    strict,
    policy: {
      required: strict,
      certificateAuthorities: names,
      ...(signatureSchemes === undefined ? {} : { acceptedSchemes: signatureSchemes }),
      id: clientAuthenticationId({ requestCert: true, rejectUnauthorized: strict, caHash: hash }),
      resumable: (chain) => !strict || problemOf(check, chain) === undefined,
    },
  };
  return check;
}

function problemOf({ trust }: ClientCheck, chain: readonly Uint8Array[]): TLSError | undefined {
  if (chain.length === 0) {
    return new TLSError('TLS_ERR_CERTIFICATE_REQUIRED', 'the client has no certificate');
  }
  try {
    verifyClientChain(trust, chain);
    return undefined;
  } catch (error) {
    return asTLSError(error);
  }
}

function asTLSError(error: unknown): TLSError {
  return error instanceof TLSError
    ? error
    : new TLSError('TLS_ERR_INTERNAL', 'the client certificate could not be judged', { cause: error });
}

export interface Authorities {
  /** Of a `ca` option, for the client's choice; as in `node:tls` none of Node's own roots, which would be far too many. */
  readonly names: readonly Uint8Array[];
  /** The same for the same set, in whichever order and process. */
  readonly hash: Uint8Array;
}

export function authoritiesOf(trust: Trust): Authorities {
  let known = authorities.get(trust);
  if (known === undefined) {
    const ders = trust.sources.flatMap((source) => (typeof source === 'string' ? pemToDer(source) : [source]));
    const hashes = ders.map((der) => Buffer.from(sha256(der))).sort(Buffer.compare);
    const form = Uint8Array.of(trust.form === 'strict' ? 1 : 0);
    known = { names: trust.isDefault ? [] : namesOf(ders), hash: sha256(concat(form, ...hashes)) };
    authorities.set(trust, known);
  }
  return known;
}

function namesOf(ders: readonly Uint8Array[]): Uint8Array[] {
  const names = new Map(ders.map((der) => parseCertificate(der).subject).map(({ key, der }) => [key, der]));
  const length = [...names.values()].reduce((sum, name) => sum + 2 + name.length, 0);
  return length > MAX_NAMES_LENGTH ? [] : [...names.values()];
}

const authorities = new WeakMap<Trust, Authorities>();
/**
 * Bytes of names in one CertificateRequest. Clients bound what they read before the server is authenticated, and without
 * names they choose by themselves.
 */
const MAX_NAMES_LENGTH = 16_384;
