/**
 * Exporters: keys for other protocols, bound to this connection.
 *
 *     TLS 1.3: HKDF-Expand-Label(Derive-Secret(exporter_secret, label, ""), "exporter", Hash(context), length)
 *     TLS 1.2: PRF(masterSecret, label, client_random ‖ server_random [‖ uint16 length of context ‖ context])
 *
 * RFC 9846 §7.5, RFC 5705 §4.
 */

import { concat, EMPTY, utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { expandLabelPlain, hashLength } from './hkdf.ts';
import { prf } from './tls12-prf.ts';

export interface Exporter {
  /** `length` bytes that the caller owns and erases. */
  export(label: string, context: Uint8Array | undefined, length: number): Secret;
  erase(why: string): void;
}

/**
 * The caller owns the bytes, `length` of them.
 * @throws TLSError `TLS_ERR_WRONG_STATE` where there is no exporter: before the handshake is complete, or after the end
 */
export function keyingMaterial(
  exporter: Exporter | undefined,
  label: string,
  context: Uint8Array | undefined,
  length: number,
): Uint8Array {
  if (exporter === undefined) {
    throw new TLSError(
      'TLS_ERR_WRONG_STATE',
      'there is no keying material before the handshake is complete or after the end',
    );
  }
  const exported = exporter.export(label, context, length);
  // On an allocation of its own, as a Secret's: in V8's heap the collector would leave copies that nobody can erase.
  const bytes = new Uint8Array(new ArrayBuffer(exported.length));
  bytes.set(exported.expose());
  exported.erase();
  return bytes;
}

/** TLS 1.3. Takes the exporter secret over. An absent context equals an empty one. */
export class Tls13Exporter implements Exporter {
  readonly #provider: CryptoProvider;
  readonly #hash: HashName;
  readonly #secret: Secret;

  constructor(provider: CryptoProvider, hash: HashName, exporterSecret: Secret) {
    this.#provider = provider;
    this.#hash = hash;
    this.#secret = exporterSecret;
  }

  export(label: string, context: Uint8Array | undefined, length: number): Secret {
    const provider = this.#provider;
    const hash = this.#hash;
    const emptyHash = provider.hash(hash, EMPTY);
    const contextHash = provider.hash(hash, context ?? EMPTY);
    const secret = this.#secret;
    const derived = expandLabelPlain(provider, hash, secret, label, emptyHash, hashLength(hash), 'exporterDerived');
    try {
      return expandLabelPlain(provider, hash, derived, 'exporter', contextHash, length, 'exported');
    } finally {
      derived.erase();
    }
  }

  erase(why: string): void {
    this.#secret.erase(why);
  }
}

/**
 * TLS 1.2. Takes the master secret over, which an exporter needs for as long as it may be asked. Only with extended
 * master secret: without it two connections may share their keying material (RFC 7627 §1, the triple handshake).
 */
export class Tls12Exporter implements Exporter {
  readonly #provider: CryptoProvider;
  readonly #hash: HashName;
  readonly #secret: Secret;
  readonly #randoms: Uint8Array;
  readonly #bound: boolean;

  constructor(options: {
    readonly provider: CryptoProvider;
    readonly hash: HashName;
    readonly masterSecret: Secret;
    readonly clientRandom: Uint8Array;
    readonly serverRandom: Uint8Array;
    readonly extendedMasterSecret: boolean;
  }) {
    this.#provider = options.provider;
    this.#hash = options.hash;
    this.#secret = options.masterSecret;
    this.#randoms = concat(options.clientRandom, options.serverRandom);
    this.#bound = options.extendedMasterSecret;
  }

  export(label: string, context: Uint8Array | undefined, length: number): Secret {
    if (!this.#bound) {
      throw new TLSError('TLS_ERR_EXTENDED_MASTER_SECRET', 'there is no exporter without extended master secret');
    }
    if (RESERVED_LABELS.has(label) || utf8(label).length === 0) {
      throw new TLSError('TLS_ERR_CONFIG', `${JSON.stringify(label)} is a label of TLS itself, not of an exporter`);
    }
    if (!Number.isInteger(length) || length < 0 || length > 0xffff) {
      throw new TLSError('TLS_ERR_CONFIG', `an exporter gives 0 to 65535 bytes, ${length} were asked for`);
    }
    const seed = new Writer().bytes(this.#randoms);
    if (context !== undefined) {
      seed.vector16(context);
    }
    return prf({
      provider: this.#provider,
      hash: this.#hash,
      secret: this.#secret,
      label,
      seed: seed.finish(),
      length,
      kind: 'exported',
    });
  }

  erase(why: string): void {
    this.#secret.erase(why);
  }
}

/** RFC 5705 §4: labels that TLS 1.2 uses with the master secret. */
const RESERVED_LABELS = new Set([
  'client finished',
  'server finished',
  'master secret',
  'extended master secret',
  'key expansion',
]);
