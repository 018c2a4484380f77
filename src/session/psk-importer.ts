/**
 * Imports an external PSK into TLS 1.3: from one key a PSK of its own for each hash, bound to a context that both ends
 * know.
 *
 *     struct {
 *         opaque external_identity<1..2^16-1>;
 *         opaque context<0..2^16-1>;
 *         uint16 target_protocol;             0x0304
 *         uint16 target_kdf;                  1 HKDF_SHA256, 2 HKDF_SHA384
 *     } ImportedIdentity;
 *
 *     epskx = HKDF-Extract(0, epsk)                               with the hash of the external PSK
 *     ipskx = HKDF-Expand-Label(epskx, "derived psk", Hash(ImportedIdentity), L)     L: bytes of the target's hash
 *
 * RFC 9258 §5.1; code points §10.
 */

import { Reader } from '../bytes/reader.ts';
import type { Secret } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { expandLabelPlain, hashLength, hkdfExtract } from '../keys/hkdf.ts';
import { TLS13 } from '../messages/code-points.ts';

export interface ImportedIdentity {
  /** 1 to 65,535 bytes; all of it encoded must fit 65,535 bytes too. */
  readonly externalIdentity: Uint8Array;
  /** What the PSK is bound to: see `roleContext`. May be empty. */
  readonly context: Uint8Array;
  /** The hash of the suites that the imported PSK works with. */
  readonly targetHash: HashName;
}

/** What goes on the wire as the PSK's identity. @throws TLSError `TLS_ERR_CONFIG` it does not fit, or is empty */
export function encodeImportedIdentity({ externalIdentity, context, targetHash }: ImportedIdentity): Uint8Array {
  const length = 2 + externalIdentity.length + 2 + context.length + 4;
  if (externalIdentity.length === 0 || length > 0xffff) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `an imported PSK's identity must have at least 1 byte, and with its context at most ${0xffff - 8}`,
    );
  }
  return new Writer(length).vector16(externalIdentity).vector16(context).u16(TLS13).u16(KDFS[targetHash]).finish();
}

/** Undefined for bytes that are no ImportedIdentity for TLS 1.3 and a hash of ours. */
export function decodeImportedIdentity(identity: Uint8Array): ImportedIdentity | undefined {
  try {
    const reader = new Reader(identity, 'ImportedIdentity');
    const externalIdentity = reader.vector16('external_identity', 1);
    const context = reader.vector16('context');
    const protocol = reader.u16('target_protocol');
    const kdf = reader.u16('target_kdf');
    reader.end();
    const targetHash = HASHES.find((hash) => KDFS[hash] === kdf);
    return protocol === TLS13 && targetHash !== undefined
      ? { externalIdentity: new Uint8Array(externalIdentity), context: new Uint8Array(context), targetHash }
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The imported PSK, as long as the target's hash; the caller erases it. `externalPsk` is lent, `hash` is its own.
 * @throws TLSError `TLS_ERR_SECRET_ERASED`
 */
export function importPsk(options: {
  readonly provider: CryptoProvider;
  readonly externalPsk: Secret;
  readonly hash: HashName;
  readonly identity: ImportedIdentity;
}): Secret {
  const { provider, externalPsk, hash, identity } = options;
  const zeros = new Uint8Array(hashLength(hash));
  const extracted = hkdfExtract(provider, hash, zeros, externalPsk, 'extractedExternalPsk');
  const context = provider.hash(hash, encodeImportedIdentity(identity));
  const length = hashLength(identity.targetHash);
  try {
    return expandLabelPlain(provider, hash, extracted, 'derived psk', context, length, 'importedPsk');
  } finally {
    extracted.erase();
  }
}

/**
 * A context that names who is the client and who the server, so that a node whose connection is turned back to itself
 * meets a PSK that it does not know (the Selfie attack, RFC 9257 §4.1):
 *
 *     struct { opaque client<0..2^8-1>; opaque server<0..2^8-1>; } Context;
 *
 * as in RFC 9258 Appendix A. Names are bytes that both ends write alike; a server must look up only contexts in which the
 * server is itself.
 * @throws TLSError `TLS_ERR_CONFIG` a name of more than 255 bytes
 */
export function roleContext({
  client,
  server,
}: {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}): Uint8Array {
  if (client.length > 0xff || server.length > 0xff) {
    throw new TLSError('TLS_ERR_CONFIG', 'a name in the context of an imported PSK has at most 255 bytes');
  }
  return new Writer(2 + client.length + server.length).vector8(client).vector8(server).finish();
}

export const HASHES: readonly HashName[] = ['sha256', 'sha384'];
const KDFS: Readonly<Record<HashName, number>> = { sha256: 0x0001, sha384: 0x0002 };
