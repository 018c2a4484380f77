/**
 * OpenSSL's ticket key callback, as Node's secure contexts have it: asked for a key at each ticket that is made or opened.
 * Node does not document it; `supportsTicketCallback` and the self-test say whether it is there and does what it should.
 *
 *     onticketkeycallback(name(16), iv(16), encrypting) ─▶ [verdict, hmacKey, aesKey(16), name(16)?, iv(16)?]
 *     verdict = 0 no ticket, or a key that is not known | 1 | 2 opened, and to be renewed
 */

import { nodeProvider } from '../../crypto/node-provider.ts';
import { AES_KEY_LENGTH, HMAC_KEY_LENGTH, type OpenSslTicketKey, type OpenSslTicketKeys } from './ticket-keys.ts';

/** What is used of Node's native context. */
export interface NativeContext {
  enableTicketKeyCallback?(): void;
  onticketkeycallback?: TicketKeyCallback;
  setSessionIdContext(context: string): void;
  setSessionTimeout(seconds: number): void;
  getMinProto(): number;
}

export type TicketKeyCallback = (name: Uint8Array, iv: Uint8Array, encrypting: boolean) => TicketKeyAnswer;
type TicketKeyAnswer = readonly [verdict: 0 | 1 | 2, hmacKey: Buffer, aesKey: Buffer, name?: Buffer, iv?: Buffer];

/** Counters of one server's tickets. */
export interface TicketCounts {
  sealed: number;
  opened: number;
  /** Tickets under keys that have ended, or that were made elsewhere. */
  unknownKey: number;
  /** Full handshakes whose client got no ticket, as no key sealed. */
  withoutKey: number;
}

export function supportsTicketCallback(context: NativeContext): boolean {
  return typeof context.enableTicketKeyCallback === 'function';
}

/** From now on this context asks `keys`. What throws in here would be an uncaught exception, so nothing does. */
export function installTicketCallback(context: NativeContext, keys: OpenSslTicketKeys, counts: TicketCounts): void {
  context.onticketkeycallback = (name, _iv, encrypting) => {
    try {
      return encrypting ? sealing(keys, counts) : opening(keys, name, counts);
    } catch {
      return NONE;
    }
  };
  context.enableTicketKeyCallback?.();
}

function sealing(keys: OpenSslTicketKeys, counts: TicketCounts): TicketKeyAnswer {
  const key = keys.sealing();
  if (key === undefined) {
    counts.withoutKey += 1;
    return NONE;
  }
  counts.sealed += 1;
  key.uses.sealed += 1;
  const iv = Buffer.alloc(16);
  nodeProvider.random(iv);
  const { hmacKey, aesKey } = parts(key);
  return [1, hmacKey, aesKey, view(key.name), iv];
}

/** Every ticket that opens is renewed: in TLS 1.3 a client that uses each once would run dry otherwise. */
function opening(keys: OpenSslTicketKeys, name: Uint8Array, counts: TicketCounts): TicketKeyAnswer {
  const key = keys.opening(name);
  if (key === undefined) {
    counts.unknownKey += 1;
    return NONE;
  }
  counts.opened += 1;
  key.uses.opened += 1;
  const { hmacKey, aesKey } = parts(key);
  return [2, hmacKey, aesKey];
}

/** Views on the secret's own memory: Node copies them before the callback's caller goes on. */
function parts(key: OpenSslTicketKey): { hmacKey: Buffer; aesKey: Buffer } {
  const bytes = key.secret.expose();
  return {
    hmacKey: view(bytes.subarray(0, HMAC_KEY_LENGTH)),
    aesKey: view(bytes.subarray(HMAC_KEY_LENGTH, HMAC_KEY_LENGTH + AES_KEY_LENGTH)),
  };
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const NOTHING = Buffer.alloc(AES_KEY_LENGTH);
const NONE: TicketKeyAnswer = [0, NOTHING, NOTHING, NOTHING, NOTHING];
