/**
 * The sessions of one connect: which is offered, whether to wait for another connection's, what becomes of it, and which are
 * kept in the cache for later ones.
 */

import type { HandshakeSummary } from '../actions.ts';
import { type ClientSession, type ClientSession12, decodeClientSession } from '../session/client-session.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { Turn } from './handshake-turns.ts';
import type { ServerVerifier } from './server-verification.ts';
import type { TLSSocket } from './tls-socket.ts';

export interface ConnectSessionsOptions {
  readonly cache: ClientSessions | undefined;
  readonly verifier: ServerVerifier;
  /** Wait for the tickets of a handshake with the same server that is under way. */
  readonly share: boolean;
  /** Tells servers and policies apart in the cache; asked once. */
  readonly key: (cache: ClientSessions) => string;
  /** The name to send, at present. */
  readonly serverName: () => string;
}

export class ConnectSessions {
  readonly #options: ConnectSessionsOptions;
  /** By the host, in the form of `getSession()`. */
  #given: Uint8Array | undefined;
  #offered: ClientSession | undefined;
  #turn: Turn | undefined;
  /** Found while it was our turn to look. */
  #found: ClientSession | undefined;
  /** What the cache has of this connection: TLS 1.2 sessions, whose secrets are the cache's. */
  #kept: ClientSession12[] = [];
  #cacheKey: string | undefined;

  constructor(options: ConnectSessionsOptions, given: Uint8Array | undefined) {
    this.#options = options;
    this.#given = given;
  }

  give(session: Uint8Array): void {
    this.#given = session;
  }

  /** Whether `waits` could say anything else than no. */
  get mayWait(): boolean {
    const { share, cache } = this.#options;
    return share && cache !== undefined && this.#given === undefined;
  }

  /** True where the handshake should wait: `go` is called when it is time to ask again. */
  waits(go: () => void): boolean {
    const { cache } = this.#options;
    if (cache === undefined || !this.mayWait) {
      return false;
    }
    this.#turn ??= cache.turns.enter(this.#key(cache));
    this.#found = this.#choose();
    if (this.#found === undefined) {
      return this.#turn.waits(go);
    }
    this.#turn.begin();
    return false;
  }

  /** The session to offer: ours to erase, which `settle` and `end` do. */
  take(): ClientSession | undefined {
    this.#offered = this.#found ?? this.#choose();
    this.#found = undefined;
    return this.#offered;
  }

  /** The handshake is complete. A TLS 1.2 session that was resumed and not renewed stays the socket's, as in `node:tls`. */
  settle(socket: TLSSocket, { resumed }: HandshakeSummary): void {
    const offered = this.#offered;
    this.#offered = undefined;
    if (offered !== undefined && !(resumed && offered.version === 'TLSv1.2' && socket.keepSession(offered))) {
      offered.secret.erase('used');
      if (!resumed) {
        this.drop();
      }
    }
    this.#turn?.complete();
  }

  /** False where there is no cache: the session stays the socket's. */
  keep(session: ClientSession): boolean {
    const { cache } = this.#options;
    if (cache === undefined) {
      return false;
    }
    cache.put(this.#key(cache), session);
    this.#turn?.broughtSession();
    if (session.version === 'TLSv1.2') {
      this.#kept.push(session);
    }
    return true;
  }

  /** What the cache has of this connection must not be resumed any more. */
  drop(): void {
    const { cache } = this.#options;
    for (const session of cache === undefined ? [] : this.#kept) {
      cache?.drop(this.#key(cache), session);
    }
    this.#kept = [];
  }

  /** Nothing that the cache has for this server under this policy may be resumed any more. */
  forget(): void {
    const { cache } = this.#options;
    cache?.forget(this.#key(cache));
    this.#kept = [];
  }

  /** Erases what was not given away yet. */
  erase(): void {
    this.#offered?.secret.erase('used');
    this.#offered = undefined;
    this.#found?.secret.erase('closed');
    this.#found = undefined;
  }

  /** The socket is gone. */
  end(): void {
    this.erase();
    this.#turn?.end();
  }

  /** A session made under a weaker policy must not carry the peer past a stricter one: its chain is judged again. */
  #choose(): ClientSession | undefined {
    const { cache, verifier, serverName } = this.#options;
    const session = this.#given === undefined ? cache?.take(this.#key(cache)) : decode(this.#given);
    if (session === undefined) {
      return undefined;
    }
    if (session.version === 'TLSv1.2') {
      this.#kept.push(session);
    }
    if (session.version === 'TLSv1.3' && (session.externalPskFingerprint?.length ?? 0) > 0) {
      // It stands and falls with the PSK, as the core sees to.
      return session;
    }
    // A session does not tell whether its full handshake came with a staple; one from the cache was made under our policy.
    const lacksStaple = this.#given !== undefined && verifier.mustStaple(session.peerCertificates);
    const isOther = session.serverName !== serverName() || lacksStaple;
    if (isOther || (verifier.strict && !verifier.trusts(session.peerCertificates))) {
      session.secret.erase('policy changed');
      return undefined;
    }
    return session;
  }

  #key(cache: ClientSessions): string {
    this.#cacheKey ??= this.#options.key(cache);
    return this.#cacheKey;
  }
}

/** What cannot be read is not offered, as in `node:tls`: a full handshake follows. */
function decode(bytes: Uint8Array): ClientSession | undefined {
  try {
    return decodeClientSession(bytes);
  } catch {
    return undefined;
  }
}
