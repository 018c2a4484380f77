/** SecureContext: certificates and keys, trust and algorithms, read and checked once and shared by many connections. */

import { concat, toHex } from '../bytes/bytes.ts';
import { type ParsedCertificate, parseCertificate } from '../certificates/certificate.ts';
import { keyMatchesCertificate } from '../certificates/key-match.ts';
import { pemToDer } from '../certificates/pem.ts';
import type { TrustStore } from '../certificates/trust-store.ts';
import type { Credential, ProtocolVersion } from '../connection-options.ts';
import type { NamedGroup } from '../crypto/groups.ts';
import { nodeProvider } from '../crypto/node-provider.ts';
import type { CertificateCompression, PrivateKey } from '../crypto/provider.ts';
import type { SignatureScheme } from '../crypto/signatures.ts';
import type { CipherSuiteName } from '../crypto/suites.ts';
import type { CipherSuite12Name } from '../crypto/suites12.ts';
import { sha256 } from '../crypto/x509.ts';
import { TLSError } from '../errors.ts';
import { completeChain } from './chain-completion.ts';
import { DEFAULT_CIPHERS, parseCiphers } from './cipher-names.ts';
import type { ClientCertificateOptions } from './client-verification.ts';
import { type CredentialOptions, readBesideChain, readCompressions } from './credential-options.ts';
import { checkSigalgs, parseSigalgs } from './signature-algorithms.ts';
import { parseGroups, parseVersions, refuseUnsupported, SSL_OP_NO_TICKET, type VersionOptions } from './tls-options.ts';
import { type CaOption, type Trust, trustFor } from './trust.ts';

/** A signature made elsewhere, e.g. in a KMS: over `data` as it stands, in the form that TLS has for the scheme. */
export type SignFunction = (scheme: SignatureScheme, data: Uint8Array) => Uint8Array | Promise<Uint8Array>;

type PemOption = string | Uint8Array;
type KeyOption = PemOption | object | { readonly pem: PemOption | object; readonly passphrase?: string };

export interface SecureContextOptions extends VersionOptions, CredentialOptions {
  /**
   * Ours: for a context that serves one of a server's names, whether its clients are asked for a certificate. It goes, with
   * `rejectUnauthorized`, before the server's own two options.
   */
  readonly requestCert?: boolean;
  /** At a server, beside `requestCert`; at a client see `connect`. Default true. */
  readonly rejectUnauthorized?: boolean;
  /**
   * PEM, leaf first; an array holds one chain per key type. To a leaf alone the issuers that stand in `ca` are added, as in
   * `node:tls`.
   */
  readonly cert?: PemOption | readonly PemOption[];
  /** PEM or a `KeyObject`; an array holds one key per chain, in any order. */
  readonly key?: KeyOption | readonly KeyOption[];
  readonly passphrase?: string;
  /** Signs with the key of a certificate for which no `key` is given. */
  readonly sign?: SignFunction;
  /** Replaces Node's root certificates: at a client for servers' certificates, at a server for clients'. */
  readonly ca?: CaOption;
  /** Names of suites, IANA's or OpenSSL's, with colons in between, in order of preference; a server's order decides. */
  readonly ciphers?: string;
  /**
   * At a server, as in `node:tls`: 'auto' serves the TLS 1.2 suites with DHE that `ciphers` names, with ffdhe2048 and
   * ffdhe3072. They cost a server some twenty times what ECDHE costs, and any client can ask for them. Groups of one's own
   * are not spoken. Default: none is served.
   */
  readonly dhparam?: 'auto';
  readonly ecdhCurve?: string;
  /** Ours: the same as `ecdhCurve`, also as an array. */
  readonly groups?: string | readonly string[];
  /**
   * As in `node:tls`: how we sign, and how the peer may sign the handshake, best first, with colons in between. OpenSSL's names
   * or IANA's. It says nothing of the signatures in certificates. Default: all that is safe; more than that there is not.
   */
  readonly sigalgs?: string;
}

export class SecureContext {
  readonly credentials: readonly Credential[];
  readonly sign: SignFunction | undefined;
  /** Newest first. */
  readonly versions: readonly ProtocolVersion[];
  /** For TLS 1.3; undefined for all. */
  readonly cipherSuites: readonly CipherSuiteName[] | undefined;
  /** For TLS 1.2; undefined for all. */
  readonly cipherSuites12: readonly CipherSuite12Name[] | undefined;
  readonly namedGroups: readonly NamedGroup[] | undefined;
  /** How we sign, and how peers may, best first; undefined for all that is safe. */
  readonly signatureSchemes: readonly SignatureScheme[] | undefined;
  /** A client asks TLS 1.2 servers for tickets. */
  readonly offerTickets12: boolean;
  /** A server may serve the DHE suites of `cipherSuites12`. */
  readonly servesDhe: boolean;
  readonly certificateCompression: readonly CertificateCompression[] | undefined;
  /** What this context says itself on client certificates. */
  readonly clientCertificates: Required<ClientCertificateOptions> | undefined;
  readonly #ca: CaOption | undefined;
  #trust: Trust | undefined;
  #identity: string | undefined;

  /** @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH` */
  constructor(options: SecureContextOptions = {}) {
    refuseUnsupported(options);
    const { cipherSuites, cipherSuites12 } = parseCiphers(options.ciphers);
    // Of all connections, each of which shows them as what was offered: who sorts them must not change the others.
    this.cipherSuites = Object.freeze(cipherSuites);
    this.cipherSuites12 = Object.freeze(cipherSuites12);
    this.versions = Object.freeze(
      parseVersions(options).filter((version) => (version === 'TLSv1.3' ? cipherSuites : cipherSuites12)?.length !== 0),
    );
    if (this.versions.length === 0) {
      throw new TLSError(
        'TLS_ERR_NOT_SUPPORTED',
        `ciphers: none of those given belongs to a version that is allowed; there are ${DEFAULT_CIPHERS}`,
      );
    }
    this.namedGroups = Object.freeze(parseGroups(options.groups ?? options.ecdhCurve));
    this.servesDhe = options.dhparam === 'auto';
    this.certificateCompression = readCompressions(options.certificateCompression, this.versions.includes('TLSv1.3'));
    this.offerTickets12 = ((options.secureOptions ?? 0) & SSL_OP_NO_TICKET) === 0;
    this.clientCertificates =
      options.requestCert === undefined || options.requestCert === null
        ? undefined
        : { requestCert: Boolean(options.requestCert), rejectUnauthorized: options.rejectUnauthorized !== false };
    this.sign = options.sign;
    this.#ca = options.ca || undefined;
    if (this.#ca !== undefined) {
      this.#trust = trustFor(this.#ca);
    }
    this.signatureSchemes = parseSigalgs(options.sigalgs, this.versions);
    this.credentials = readCredentials(options, this.#trust?.roots, this.signatureSchemes);
    checkSigalgs(this.credentials, this.versions);
  }

  /** As in `node:tls`, where the native object hangs here. */
  get context(): this {
    return this;
  }

  get trust(): Trust {
    // Node's own roots are not read before somebody asks.
    this.#trust ??= trustFor(this.#ca);
    return this.#trust;
  }

  /** Tells apart whom a client with this context can be: the same for the same certificates, empty for none. */
  get identity(): string {
    this.#identity ??= this.credentials
      .map(({ certificateChain }) => toHex(sha256(concat(...certificateChain))))
      .join(' ');
    return this.#identity;
  }
}

/** @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH` */
export function createSecureContext(options?: SecureContextOptions): SecureContext {
  return new SecureContext(options);
}

/**
 * A context, or one made of options.
 * @throws TLSError `TLS_ERR_CONFIG` for a context of `node:tls`, and as `createSecureContext`
 */
export function toSecureContext(given: SecureContext | SecureContextOptions): SecureContext {
  if (given instanceof SecureContext) {
    return given;
  }
  if (typeof given !== 'object' || given === null || 'context' in given) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      "secureContext: expected one made by mayfly's createSecureContext, or options",
    );
  }
  return new SecureContext(given);
}

function readCredentials(
  options: SecureContextOptions,
  roots: TrustStore | undefined,
  allowedSchemes: readonly SignatureScheme[] | undefined,
): Credential[] {
  const chains = asList(options.cert)
    .map(readChain)
    .map(({ ders, leaf }) => ({ ders: completeChain(ders, leaf, roots), leaf }));
  const keys = asList<KeyOption>(options.key as KeyOption | readonly KeyOption[]).map((key) =>
    readKey(key, options.passphrase ?? undefined),
  );
  if (chains.length === 0) {
    if (keys.length > 0) {
      throw new TLSError('TLS_ERR_CONFIG', 'key: a key was given without a certificate (cert)');
    }
    return [];
  }
  const credentials = chains.map((chain, index) => {
    const privateKey = keys.find((key) => keyMatchesCertificate(key.publicKeySpki, chain.leaf));
    if (privateKey === undefined && (options.sign === undefined || keys.length >= chains.length)) {
      throw new TLSError(
        keys.length === 0 ? 'TLS_ERR_CONFIG' : 'TLS_ERR_KEY_MISMATCH',
        keys.length === 0
          ? 'cert: a certificate was given without its key (key, or a sign function)'
          : 'key: the private key does not belong to the certificate (its public key is another)',
      );
    }
    // The key's own list: an RSA-PSS key may be restricted to one hash.
    const { type, schemes } = privateKey ?? nodeProvider.importPublicKey(chain.leaf.publicKey.der);
    const credential: Credential = {
      certificateChain: chain.ders,
      schemes,
      ...(allowedSchemes === undefined ? {} : { allowedSchemes }),
      privateKey,
      // An RSA signature takes as long as ten of the others: while it is made, other connections are served.
      asksToSign: privateKey !== undefined && (type === 'rsa' || type === 'rsa-pss'),
    };
    // Not by spreading, which would ask but once whether the staple is fresh.
    const beside = readBesideChain(options, chain.ders, index, chains.length);
    return Object.defineProperties(credential, Object.getOwnPropertyDescriptors(beside));
  });
  const unused = keys.length - credentials.filter((credential) => credential.privateKey !== undefined).length;
  if (unused > 0) {
    throw new TLSError('TLS_ERR_KEY_MISMATCH', `key: ${unused} of ${keys.length} keys belong to no certificate given`);
  }
  return credentials;
}

interface Chain {
  readonly ders: readonly Uint8Array[];
  readonly leaf: ParsedCertificate;
}

function readChain(cert: PemOption): Chain {
  const ders = readDer(cert);
  try {
    return { ders, leaf: parseCertificate(ders[0]) };
  } catch (cause) {
    throw new TLSError('TLS_ERR_CONFIG', `cert: the certificate cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function readDer(cert: PemOption): Uint8Array[] {
  if (typeof cert === 'string') {
    return pemToDer(cert);
  }
  if (!ArrayBuffer.isView(cert)) {
    throw new TLSError('TLS_ERR_CONFIG', 'cert: expected PEM text or bytes, or an array of them');
  }
  const text = Buffer.from(cert.buffer, cert.byteOffset, cert.byteLength).toString('latin1');
  return text.includes('-----BEGIN') ? pemToDer(text) : [new Uint8Array(cert)];
}

function readKey(key: KeyOption, passphrase: string | undefined): PrivateKey {
  const wrapped = key as { pem?: PemOption | object; passphrase?: string };
  if (typeof key === 'object' && wrapped.pem !== undefined) {
    return nodeProvider.importPrivateKey(wrapped.pem, wrapped.passphrase ?? passphrase);
  }
  return nodeProvider.importPrivateKey(key, passphrase);
}

/** As in `node:tls` an option that is empty or false was not given. */
function asList<T>(value: T | readonly T[] | undefined | null): readonly T[] {
  if (!value) {
    return [];
  }
  return Array.isArray(value) ? value : [value as T];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
