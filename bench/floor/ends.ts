/** Makes the ends of a handshake by its kind. */

import type { CryptoProvider, PrivateKey, PublicKey } from '../../src/crypto/provider.ts';
import type { AeadName } from '../../src/crypto/suites.ts';
import { Client12 } from './client12.ts';
import { Client13 } from './client13.ts';
import { type ClientEnd, type End, KIND_AT, type Kind, kinds, type Session } from './kinds.ts';
import { Server12 } from './server12.ts';
import { Server13 } from './server13.ts';

export interface ClientOptions {
  readonly provider: CryptoProvider;
  readonly kind: Kind;
  readonly aead: AeadName;
  readonly publicKey: PublicKey;
  readonly session?: Session;
}

export interface ServerOptions {
  readonly provider: CryptoProvider;
  readonly privateKey: PrivateKey;
  /** 32 bytes that protect tickets. */
  readonly ring: Uint8Array;
  /** Master secrets by session ID; undefined where sessions are kept in tickets. */
  readonly sessions: Map<string, Uint8Array> | undefined;
}

export function clientEnd({ provider, kind, aead, publicKey, session }: ClientOptions): ClientEnd {
  switch (kind) {
    case 'full':
    case 'hybrid':
    case 'resumed':
      return new Client13({ provider, kind, aead, publicKey, session });
    default:
      return new Client12({ provider, kind, publicKey, session });
  }
}

/** By the first bytes of the client's first flight. */
export function serverEnd(options: ServerOptions, hello: Uint8Array): End {
  const kind = kinds[hello[KIND_AT]];
  switch (kind) {
    case 'full':
    case 'hybrid':
    case 'resumed':
      return new Server13(options, kind);
    default:
      return new Server12(options, kind);
  }
}
