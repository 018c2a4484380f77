/**
 * External PSKs: keys that both ends were given by other means, which authenticate both of them without certificates.
 *
 * A PSK known to more than two nodes, or to one that is client and server, lets each pose as any other, and lets a
 * connection be turned back to the node that made it (the Selfie attack). So give every pair of nodes a PSK of its own,
 * and import it with a context that says who is who: see `roleContext`. Low-entropy PSKs, such as passwords, can be
 * guessed off line by whoever records a handshake: what is shorter than 16 bytes is refused.
 *
 * RFC 9846 §4.3.11, §7.1; RFC 9257 §4, §6; RFC 9258.
 */

import { concat, toHex, utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import type { PskKind } from '../keys/ladder.ts';
import { encodeImportedIdentity, HASHES, type ImportedIdentity, importPsk } from './psk-importer.ts';

/** A PSK as its owner gives it. */
export interface ExternalPsk {
  /** 1 to 65,535 bytes, sent in the clear: it should tell nobody what it need not. */
  readonly identity: Uint8Array;
  /** At least 16 random bytes. The owner erases it. */
  readonly externalPsk: Secret;
  /** The hash that the PSK belongs to, for all its life. Default 'sha256'. */
  readonly hash?: HashName;
  /**
   * Imports the PSK by RFC 9258, bound to this context (which may be empty): it then works with every suite. Absent: the PSK
   * is used as it is, with suites of its hash alone, and nothing says who is client and who is server.
   */
  readonly importContext?: Uint8Array;
}

/** A server's question: whose identity is this? */
export interface ExternalPskQuery {
  /** As the client sent it: any bytes at all. */
  readonly identity: Uint8Array;
  /** What it says if it is an imported identity; a plain one can look like it by chance. */
  readonly imported: ImportedIdentity | undefined;
}

/** The answer: whether the PSK is to be imported is for the server to say, not for the client. */
export interface FoundPsk {
  /** At least 16 bytes. Lent: the owner erases it, at the earliest when the call that it was given to has returned. */
  readonly externalPsk: Secret;
  /** Default 'sha256'. */
  readonly hash?: HashName;
  /** The query's `imported` holds, its context is one in which this server is the server. Default false. */
  readonly imported?: boolean;
}

/** What the server knows, ready in memory; or elsewhere: the core then asks with an `externalPsk` need. */
export type ExternalPskSource = ((query: ExternalPskQuery) => FoundPsk | undefined) | 'ask';

/** Which PSK it was, for those who decide what its owner may do. */
export interface ExternalPskName {
  readonly identity: Uint8Array;
  /** Present when it was imported. */
  readonly importContext?: Uint8Array;
}

/** A PSK as TLS uses it: with the identity on the wire and one hash. */
export interface UsablePsk {
  readonly kind: Exclude<PskKind, 'resumption'>;
  /** On the wire. */
  readonly wireIdentity: Uint8Array;
  readonly name: ExternalPskName;
  readonly hash: HashName;
  /** The holder erases it. */
  readonly psk: Secret;
}

/**
 * What a client offers for a PSK: itself, or one imported PSK for each hash among `hashes`.
 * @throws TLSError `TLS_ERR_CONFIG` the identity or the PSK has a length that is not allowed; `TLS_ERR_SECRET_ERASED`
 */
export function usablePsks(provider: CryptoProvider, given: ExternalPsk, hashes: readonly HashName[]): UsablePsk[] {
  checkExternalPsk(given);
  const { identity, externalPsk, hash = 'sha256', importContext } = given;
  if (importContext === undefined) {
    const plain = { kind: 'external', wireIdentity: identity, name: { identity }, hash } as const;
    return hashes.includes(hash) ? [{ ...plain, psk: externalPsk.clone('externalPsk') }] : [];
  }
  return hashes.map((targetHash) => {
    const imported = { externalIdentity: identity, context: importContext, targetHash };
    return {
      kind: 'imported',
      wireIdentity: encodeImportedIdentity(imported),
      name: { identity, importContext },
      hash: targetHash,
      psk: importPsk({ provider, externalPsk, hash, identity: imported }),
    };
  });
}

/**
 * 32 bytes that tell this PSK apart from every other, also from one that takes its place under the same identity: sessions
 * that began with a PSK end when it is changed.
 */
export function pskFingerprint(
  provider: CryptoProvider,
  { kind, wireIdentity, psk }: Pick<UsablePsk, 'kind' | 'wireIdentity' | 'psk'>,
): Uint8Array {
  // Both kinds have eight letters.
  return provider.hmac('sha256', psk.expose(), concat(FINGERPRINT, utf8(kind), wireIdentity));
}

/** What a server makes of an answer; undefined for one that does not fit the query. @throws TLSError as `usablePsks` */
export function foundPsk(provider: CryptoProvider, query: ExternalPskQuery, found: FoundPsk): UsablePsk | undefined {
  const { externalPsk, hash = 'sha256', imported = false } = found;
  const { identity } = query;
  checkExternalPsk({ identity, externalPsk, hash });
  if (!imported) {
    const psk = externalPsk.clone('externalPsk');
    return { kind: 'external', wireIdentity: identity, name: { identity }, hash, psk };
  }
  if (query.imported === undefined) {
    return undefined;
  }
  return {
    kind: 'imported',
    wireIdentity: identity,
    name: { identity: query.imported.externalIdentity, importContext: query.imported.context },
    hash: query.imported.targetHash,
    psk: importPsk({ provider, externalPsk, hash, identity: query.imported }),
  };
}

/**
 * A source over a list: identities, and contexts of imported ones, must match byte for byte.
 * @throws TLSError `TLS_ERR_CONFIG` as `usablePsks`, or two PSKs with one identity
 */
export function externalPskTable(psks: readonly ExternalPsk[]): (query: ExternalPskQuery) => FoundPsk | undefined {
  const table = new Map<string, FoundPsk>();
  for (const given of psks) {
    checkExternalPsk(given);
    const { externalPsk, hash, importContext } = given;
    for (const wire of wireIdentities(given)) {
      const key = toHex(wire);
      if (table.has(key)) {
        throw new TLSError('TLS_ERR_CONFIG', 'two external PSKs have the same identity');
      }
      table.set(key, { externalPsk, hash, imported: importContext !== undefined });
    }
  }
  return ({ identity }) => table.get(toHex(identity));
}

/** How clients name it: by its identity, or when it is imported by one for each hash. @throws TLSError `TLS_ERR_CONFIG` */
export function wireIdentities({
  identity,
  importContext,
}: Pick<ExternalPsk, 'identity' | 'importContext'>): readonly Uint8Array[] {
  return importContext === undefined
    ? [identity]
    : HASHES.map((targetHash) =>
        encodeImportedIdentity({ externalIdentity: identity, context: importContext, targetHash }),
      );
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function checkExternalPsk({ identity, externalPsk, hash = 'sha256' }: ExternalPsk): void {
  if (identity.length < 1 || identity.length > 0xffff) {
    throw new TLSError('TLS_ERR_CONFIG', `the identity of a PSK has 1 to 65535 bytes, got ${identity.length}`);
  }
  if (externalPsk.expose().length < MIN_PSK_LENGTH) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `an external PSK must have at least ${MIN_PSK_LENGTH} bytes, got ${externalPsk.length}`,
    );
  }
  if (!HASHES.includes(hash)) {
    throw new TLSError('TLS_ERR_CONFIG', `the hash of a PSK is one of ${HASHES.join(', ')}, got ${String(hash)}`);
  }
}

const FINGERPRINT = utf8('mayfly external psk');
/** Bytes: 128 bits, as RFC 9257 §6 demands. */
const MIN_PSK_LENGTH = 16;
