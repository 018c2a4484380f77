/**
 * External PSKs at sockets and servers: `pskCallback` of `node:tls` as far as TLS 1.3 goes, and our own `externalPsks`, which
 * says the hash and can import (RFC 9258). The bytes are copied for the time of a handshake and erased.
 *
 * What a PSK is worth, and what it must not be shared for: see session/external-psk.ts.
 */

import type { Need } from '../actions.ts';
import { ownBuffer, toHex, utf8 } from '../bytes/bytes.ts';
import { Secret } from '../bytes/secret.ts';
import type { ProtocolVersion } from '../connection-options.ts';
import type { HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { checkExternalPsk, type ExternalPsk, type FoundPsk, wireIdentities } from '../session/external-psk.ts';
import { roleContext } from '../session/psk-importer.ts';
import { objectNumber } from './object-number.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface ExternalPskOptions {
  /** Sent in the clear. Text counts as UTF-8. */
  readonly identity: string | ArrayBufferView;
  /** At least 16 random bytes. */
  readonly psk: ArrayBufferView;
  /** The hash that the PSK belongs to. Default 'sha256', which goes with TLS_AES_128_GCM_SHA256 in OpenSSL's tools. */
  readonly hash?: HashName;
  /**
   * Imports the PSK (RFC 9258), bound to these bytes or to who is the client and who the server. Advised wherever a node is
   * both: without, a connection can be turned back to the node that made it. Default: not imported, as OpenSSL has it.
   */
  readonly importContext?: ArrayBufferView | { readonly client: string; readonly server: string };
}

/** Of `node:tls`: called once, when the hello is made; `hint` is always null in TLS 1.3. Null offers no PSK. */
export type ClientPskCallback = (
  hint: null,
) => { readonly psk: ArrayBufferView; readonly identity: string } | null | undefined;

/** Of `node:tls`. Null, or undefined, for an identity that is not known. */
export type ServerPskCallback = (socket: TLSSocket, identity: string) => ArrayBufferView | null | undefined;

export interface ExternalPskQueryOptions {
  /** As the client sent it. */
  readonly identity: Buffer;
  /** What it says if it is an imported identity. The context must be one in which this server is the server. */
  readonly imported?: { readonly identity: Buffer; readonly context: Buffer };
}

export interface ExternalPskAnswer {
  readonly psk: ArrayBufferView;
  /** Default 'sha256'. */
  readonly hash?: HashName;
  /** The PSK is to be imported with the identity and the context of the query. Default false. */
  readonly imported?: boolean;
}

/** For PSKs that are kept elsewhere: answers now or later; undefined for an identity that is not known. */
export type ExternalPskLookUp = (
  query: ExternalPskQueryOptions,
  socket: TLSSocket,
) => ExternalPskAnswer | null | undefined | Promise<ExternalPskAnswer | null | undefined>;

export interface PskOptions {
  /** As in `node:tls`, for TLS 1.3 alone: the PSK belongs to SHA-256 and is not imported. */
  readonly pskCallback?: ClientPskCallback | ServerPskCallback | null;
  /** Taken for the sake of `node:tls`: TLS 1.3 has no hint. */
  readonly pskIdentityHint?: string;
  /**
   * Ours, TLS 1.3. At a client the PSKs to offer, best first, at most eight; where the server knows none, its certificate is
   * verified as ever. At a server the PSKs that are known, or a function that looks them up; clients that have one need no
   * certificate, nor does the server for them. See `mayfly` of the socket for who it is.
   */
  readonly externalPsks?: readonly ExternalPskOptions[] | ExternalPskLookUp;
  /**
   * Ours: TLS 1.3 alone, and only with one of the PSKs, or a session that began with one: no certificate will do. At a server
   * those that it is given serve nobody. Default false.
   */
  readonly externalPskRequired?: boolean;
  /**
   * Ours: psk_ke, a PSK without a key exchange, which is not forward secret: whoever later learns the PSK, or the key of the
   * ticket, reads the recording. A client offers it; a server takes it with clients that offer nothing else, or where this
   * is 'prefer' whenever it is offered. Each such connection has a 'tlsWarning' event. Default false.
   */
  readonly dangerouslyAllowPskKe?: boolean | 'prefer';
}

/**
 * What a client offers on this connection; the caller erases the secrets once it is made.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function clientPsks({ pskCallback, externalPsks }: PskOptions): readonly ExternalPsk[] {
  refuseBoth(pskCallback, externalPsks);
  if (typeof externalPsks === 'function') {
    throw new TLSError('TLS_ERR_CONFIG', 'externalPsks: a client needs a list, as it has to name them first');
  }
  if (pskCallback) {
    const given = (pskCallback as ClientPskCallback)(null);
    return given ? [readPsk({ psk: given.psk, identity: given.identity })] : [];
  }
  return readPsks(externalPsks ?? []);
}

/**
 * PSKs are of TLS 1.3 alone: under TLS 1.2 they would be left out without a word.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function checkPskVersions(
  { pskCallback, externalPsks }: PskOptions,
  versions: readonly ProtocolVersion[],
): void {
  const given = Boolean(pskCallback) || typeof externalPsks === 'function' || Boolean(externalPsks?.length);
  if (given && !versions.includes('TLSv1.3')) {
    throw new TLSError('TLS_ERR_CONFIG', 'externalPsks and pskCallback are of TLS 1.3 alone, and TLS 1.3 is ruled out');
  }
}

/**
 * Tells apart connections that may not stand for each other. Holds nothing of a key. Which one a callback will give is not known
 * before it is called.
 */
export function pskName(options: PskOptions): string {
  const { pskCallback, externalPsks, externalPskRequired = false, dangerouslyAllowPskKe = false } = options;
  if (!pskCallback && externalPsks === undefined) {
    return '';
  }
  const list = Array.isArray(externalPsks) ? externalPsks : [];
  const names = list.map(({ identity, hash, importContext }: ExternalPskOptions) => [
    typeof identity === 'string' ? identity : toHex(copyOf('identity', identity)),
    hash,
    importContext === undefined ? undefined : toHex(readContext(importContext)),
  ]);
  return JSON.stringify([
    names,
    pskCallback ? objectNumber(pskCallback) : 0,
    externalPskRequired,
    dangerouslyAllowPskKe,
  ]);
}

export function erasePsks(psks: readonly ExternalPsk[]): void {
  for (const { externalPsk } of psks) {
    externalPsk.erase();
  }
}

/** The PSKs of a server. */
export class ServerPsks {
  /** For the core: see `ServerContext`. */
  readonly pskKe: 'fallback' | 'prefer' | undefined;
  /** Nobody is served without one. */
  readonly required: boolean;
  readonly #options: PskOptions;
  /** By identity on the wire, in hex. */
  readonly #table = new Map<string, ExternalPskOptions>();

  /** @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: PskOptions) {
    const { pskCallback, externalPsks, dangerouslyAllowPskKe: allowed } = options;
    refuseBoth(pskCallback, externalPsks);
    if (typeof externalPsks !== 'function') {
      this.#fill(externalPsks ?? []);
    }
    this.pskKe = allowed === 'prefer' ? 'prefer' : allowed === true ? 'fallback' : undefined;
    this.required = options.externalPskRequired === true;
    this.#options = options;
    if (this.required && !this.some) {
      throw new TLSError('TLS_ERR_CONFIG', 'externalPskRequired needs externalPsks or a pskCallback');
    }
  }

  /** Whether any can be known. */
  get some(): boolean {
    return Boolean(this.#options.pskCallback) || this.#options.externalPsks !== undefined;
  }

  /** Answers an `externalPsk` need, at once unless a look-up takes its time. */
  answer(socket: TLSSocket, need: ExternalPskNeed): void {
    const { externalPsks } = this.#options;
    if (typeof externalPsks === 'function') {
      this.#lookUp(socket, need, externalPsks);
      return;
    }
    try {
      answerWith(socket, need, this.#options.pskCallback ? this.#called(socket, need) : this.#listed(need));
    } catch (error) {
      giveUp(socket, error);
    }
  }

  #fill(list: readonly ExternalPskOptions[]): void {
    for (const options of list) {
      const psk = readPsk(options);
      psk.externalPsk.erase();
      for (const wire of wireIdentities(psk)) {
        const key = toHex(wire);
        if (this.#table.has(key)) {
          throw new TLSError('TLS_ERR_CONFIG', 'externalPsks: two have the same identity');
        }
        this.#table.set(key, options);
      }
    }
  }

  #listed({ query }: ExternalPskNeed): FoundPsk | undefined {
    const options = this.#table.get(toHex(query.identity));
    if (options === undefined) {
      return undefined;
    }
    const { psk, hash, importContext } = options;
    return {
      externalPsk: readSecret(psk),
      imported: importContext !== undefined,
      ...(hash === undefined ? {} : { hash }),
    };
  }

  /** What `node:tls` hands to it is text: an identity that is none, or too long for OpenSSL, is nobody's. */
  #called(socket: TLSSocket, { query }: ExternalPskNeed): FoundPsk | undefined {
    const { identity } = query;
    const text = identity.length > MAX_TEXT_IDENTITY || identity.includes(0) ? undefined : decodeText(identity);
    const psk = text === undefined ? undefined : (this.#options.pskCallback as ServerPskCallback)(socket, text);
    return psk ? { externalPsk: readSecret(psk) } : undefined;
  }

  #lookUp(socket: TLSSocket, need: ExternalPskNeed, lookUp: ExternalPskLookUp): void {
    const { identity, imported } = need.query;
    const query = {
      identity: ownBuffer(identity),
      ...(imported === undefined
        ? {}
        : { imported: { identity: ownBuffer(imported.externalIdentity), context: ownBuffer(imported.context) } }),
    };
    Promise.resolve()
      .then(() => lookUp(query, socket))
      .then((answer) => {
        const found = answer ? { ...answer, externalPsk: readSecret(answer.psk) } : undefined;
        process.nextTick(() => answerWith(socket, need, found));
      })
      .catch((error) => giveUp(socket, error));
  }
}

type ExternalPskNeed = Extract<Need, { kind: 'externalPsk' }>;

/** The core has taken what it needs when `answer` returns. */
function answerWith(socket: TLSSocket, need: ExternalPskNeed, found: FoundPsk | undefined): void {
  try {
    socket.answer(need, found);
  } finally {
    found?.externalPsk.erase();
  }
}

function giveUp(socket: TLSSocket, cause: unknown): void {
  const detail = cause instanceof Error ? cause.message : String(cause);
  const error =
    cause instanceof TLSError ? cause : new TLSError('TLS_ERR_CONFIG', `the PSK look-up: ${detail}`, { cause });
  socket.giveUp('internal_error', error);
}

function refuseBoth(pskCallback: unknown, externalPsks: unknown): void {
  if (pskCallback && externalPsks !== undefined) {
    throw new TLSError('TLS_ERR_CONFIG', 'pskCallback and externalPsks cannot stand side by side');
  }
  if (pskCallback && typeof pskCallback !== 'function') {
    throw new TLSError('TLS_ERR_CONFIG', 'pskCallback must be a function');
  }
  if (externalPsks !== undefined && !Array.isArray(externalPsks) && typeof externalPsks !== 'function') {
    throw new TLSError('TLS_ERR_CONFIG', 'externalPsks must be a list or a function');
  }
}

function readPsks(list: readonly ExternalPskOptions[]): ExternalPsk[] {
  const read: ExternalPsk[] = [];
  try {
    for (const options of list) {
      read.push(readPsk(options));
    }
    return read;
  } catch (error) {
    erasePsks(read);
    throw error;
  }
}

function readPsk({ identity, psk, hash, importContext }: ExternalPskOptions): ExternalPsk {
  const name = {
    identity: typeof identity === 'string' ? utf8(identity) : copyOf('identity', identity),
    ...(importContext === undefined ? {} : { importContext: readContext(importContext) }),
  };
  // Last, so that nothing that fails leaves it behind.
  const read: ExternalPsk = { ...name, ...(hash === undefined ? {} : { hash }), externalPsk: readSecret(psk) };
  try {
    checkExternalPsk(read);
    return read;
  } catch (error) {
    read.externalPsk.erase();
    throw error;
  }
}

function readContext(context: NonNullable<ExternalPskOptions['importContext']>): Uint8Array {
  if (ArrayBuffer.isView(context)) {
    return copyOf('importContext', context);
  }
  return roleContext({ client: utf8(String(context.client)), server: utf8(String(context.server)) });
}

function readSecret(psk: ArrayBufferView): Secret {
  if (!ArrayBuffer.isView(psk)) {
    throw new TLSError('TLS_ERR_CONFIG', 'a PSK must be given as a Buffer, a typed array or a DataView');
  }
  return Secret.copy('externalPsk', new Uint8Array(psk.buffer, psk.byteOffset, psk.byteLength));
}

function copyOf(what: string, bytes: ArrayBufferView): Uint8Array {
  if (!ArrayBuffer.isView(bytes)) {
    throw new TLSError('TLS_ERR_CONFIG', `the ${what} of a PSK must be given as bytes`);
  }
  return new Uint8Array(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Bytes: PSK_MAX_IDENTITY_LEN of OpenSSL. */
const MAX_TEXT_IDENTITY = 256;
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
