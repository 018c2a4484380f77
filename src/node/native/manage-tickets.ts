/**
 * A ring of ticket keys under a server of `node:tls`, `node:https` or `node:http2`, which goes on to use OpenSSL.
 *
 * Node's own ticket key never changes while the process lives, differs from process to process, and `setTicketKeys` kills
 * every ticket that is out. With the ring, keys change with overlap, are the same wherever the ring is, and end on time.
 */

import type { Http2SecureServer } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';
import type { Server, TLSSocket } from 'node:tls';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { TLSError } from '../../errors.ts';
import { Alarm } from '../../session/clock.ts';
import type { ExternalSessionCache } from '../../session/external-session-cache.ts';
import { LocalTicketKeys } from '../../session/local-ticket-keys.ts';
import type { TicketKeySource, TicketKeyStatus } from '../../session/ticket-key.ts';
import { systemClock } from '../clock.ts';
import { eraseAtExit } from '../erase-at-exit.ts';
import { type ClientTrust, refusalOf } from './guard.ts';
import { testTicketCallback } from './self-test.ts';
import { storeSessions } from './session-store.ts';
import {
  installTicketCallback,
  type NativeContext,
  supportsTicketCallback,
  type TicketCounts,
} from './ticket-callback.ts';
import { OpenSslTicketKeys } from './ticket-keys.ts';

export interface ManageTicketsOptions {
  /**
   * Sessions resume only where this and the trust in clients are the same: one name for all servers that may serve each
   * other's clients. Default 'mayfly'.
   */
  readonly sessionIdContext?: string;
  /** Seconds that a session may be used. Default: what the ring's keys allow. */
  readonly sessionTimeout?: number;
  /**
   * The CAs for client certificates by server name, for servers with `requestCert` and several contexts. Default: the
   * server's `ca` for names without a context of their own.
   */
  readonly clientTrust?: ClientTrust;
  /** Where TLS 1.2 sessions by ID are kept, sealed under the ring's keys. Default: nowhere, as Node has OpenSSL keep none. */
  readonly cache?: ExternalSessionCache;
  /** Told when `cache` fails. */
  readonly onCacheError?: (error: unknown) => void;
}

export interface ManagedTickets {
  /**
   * How the keys reach OpenSSL: 'callback' asks the ring at each ticket; 'setTicketKeys' is the fallback, in which each
   * rotation ends all tickets that are out, said by a process warning. Resolves after the self-test; never rejected.
   */
  readonly mode: Promise<'callback' | 'setTicketKeys'>;
  readonly counts: Readonly<TicketCounts & { refusedByGuard: number }>;
  status(): readonly TicketKeyStatus[];
  /** Takes the ring from the server, which makes a key of its own again for new contexts. A ring of our own is closed. */
  stop(): void;
}

type NativeServer = Server | HttpsServer | Http2SecureServer;

/** What is used of a server's inside; `_sharedCreds` is there in all releases since Node 0.12. */
interface ServerParts {
  _sharedCreds?: { context?: NativeContext };
  _contexts?: readonly (readonly [RegExp, unknown])[];
  requestCert?: boolean;
  rejectUnauthorized?: boolean;
  ca?: Parameters<ClientTrust> extends never ? never : ReturnType<ClientTrust>;
  setSecureContext(options: object): void;
}

/** Undefined when OpenSSL's callback works here, else what is wrong. */
export type SelfTest = () => Promise<string | undefined>;

interface ManagerOptions extends ManageTicketsOptions {
  readonly ring: TicketKeySource | undefined;
  readonly selfTest: SelfTest;
}

const managed = new WeakMap<object, ManagedTickets>();

/** @throws TLSError `TLS_ERR_CONFIG` not a server of `node:tls`; `TLS_ERR_WRONG_STATE` managed already */
export function manageTickets(
  server: NativeServer,
  ring?: TicketKeySource,
  options: ManageTicketsOptions = {},
  selfTest: SelfTest = testTicketCallback,
): ManagedTickets {
  const parts = server as unknown as ServerParts;
  if (parts._sharedCreds?.context === undefined || typeof parts.setSecureContext !== 'function') {
    throw new TLSError('TLS_ERR_CONFIG', 'manageTickets takes a server of node:tls, node:https or node:http2');
  }
  if (managed.has(server)) {
    throw new TLSError('TLS_ERR_WRONG_STATE', "this server's tickets are managed already");
  }
  const tickets = new Manager(server as Server, { ...options, ring, selfTest });
  managed.set(server, tickets);
  return tickets;
}

class Manager implements ManagedTickets {
  readonly mode: Promise<'callback' | 'setTicketKeys'>;
  readonly counts = { sealed: 0, opened: 0, unknownKey: 0, withoutKey: 0, refusedByGuard: 0 };
  readonly #server: Server;
  readonly #parts: ServerParts;
  readonly #options: ManagerOptions;
  readonly #ring: TicketKeySource;
  readonly #ownRing: LocalTicketKeys | undefined;
  readonly #alarm: Alarm;
  readonly #setSecureContext: ServerParts['setSecureContext'];
  readonly #stopStoring: (() => void) | undefined;
  #keys: OpenSslTicketKeys;
  #fallback = false;
  #stopped = false;

  constructor(server: Server, options: ManagerOptions) {
    const { ring, selfTest } = options;
    this.#server = server;
    this.#parts = server as unknown as ServerParts;
    this.#options = options;
    this.#ownRing =
      ring === undefined ? new LocalTicketKeys({ provider: nodeProvider, clock: systemClock }) : undefined;
    this.#ring = ring ?? (this.#ownRing as LocalTicketKeys);
    this.#keys = this.#newKeys();
    this.#alarm = new Alarm(systemClock, () => this.#keepUp());
    eraseAtExit<Manager>(this, (manager) => manager.stop());
    this.#setSecureContext = this.#parts.setSecureContext;
    const manager = this;
    this.#parts.setSecureContext = function setSecureContext(this: ServerParts, given: object): void {
      manager.#setSecureContext.call(this, given);
      manager.#contextChanged();
    };
    server.prependListener('secureConnection', this.#guard);
    server.once('close', this.#onClose);
    this.#stopStoring =
      options.cache === undefined
        ? undefined
        : storeSessions(server, {
            keys: this.#gatedRing(false),
            cache: options.cache,
            lifetime: () => this.#sessionTimeout,
            onError: options.onCacheError ?? (() => {}),
          });
    this.#install();
    this.mode = supportsTicketCallback(this.#context)
      ? selfTest().then((fault) => (fault === undefined || this.#stopped ? 'callback' : this.#fallBack(fault)))
      : Promise.resolve(this.#fallBack('this Node has no ticket key callback'));
  }

  status(): readonly TicketKeyStatus[] {
    return this.#ring.status(Date.now());
  }

  stop(): void {
    if (this.#stopped) {
      return;
    }
    this.#stopped = true;
    managed.delete(this.#server);
    this.#alarm.cancel();
    this.#stopStoring?.();
    this.#server.off('secureConnection', this.#guard);
    this.#server.off('close', this.#onClose);
    this.#parts.setSecureContext = this.#setSecureContext;
    // The callback stays where it is, and finds no key: no ticket is made or opened.
    this.#keys.close();
    this.#ownRing?.close();
  }

  get #context(): NativeContext {
    return (this.#parts._sharedCreds as { context: NativeContext }).context;
  }

  get #sessionTimeout(): number {
    return this.#options.sessionTimeout ?? this.#keys.ticketLifetime ?? DEFAULT_SESSION_TIMEOUT;
  }

  readonly #onClose = (): void => this.stop();

  #newKeys(): OpenSslTicketKeys {
    const tls13Only = this.#context.getMinProto() === TLS13;
    return new OpenSslTicketKeys({ keys: this.#gatedRing(tls13Only), clock: systemClock, tls13Only });
  }

  #gatedRing(tls13Only: boolean): TicketKeySource {
    return closable(this.#ring, () => this.#stopped || (this.#hasSeveralPolicies && !tls13Only));
  }

  /** `setSecureContext` puts a context in place that knows nothing of the ring. */
  #contextChanged(): void {
    if (this.#stopped) {
      return;
    }
    this.#keys.close();
    this.#keys = this.#newKeys();
    this.#install();
  }

  #install(): void {
    const context = this.#context;
    context.setSessionIdContext(this.#sessionIdContext());
    context.setSessionTimeout(this.#sessionTimeout);
    if (this.#fallback) {
      this.#setTicketKeys();
      return;
    }
    installTicketCallback(context, this.#keys, this.counts);
  }

  /** 32 characters, the most that OpenSSL takes: of what makes one server's trust in its clients differ from another's. */
  #sessionIdContext(): string {
    const { requestCert, rejectUnauthorized, ca } = this.#parts;
    const trust = requestCert === true ? [rejectUnauthorized !== false, caText(ca)] : [];
    const text = JSON.stringify([this.#options.sessionIdContext ?? 'mayfly', ...trust]);
    const digest = nodeProvider.hash('sha256', new TextEncoder().encode(text));
    return Buffer.from(digest.buffer, digest.byteOffset, 24).toString('base64url');
  }

  #fallBack(fault: string): 'setTicketKeys' {
    this.#fallback = true;
    if (supportsTicketCallback(this.#context)) {
      // A callback cannot be taken away again, and overrides the keys: the context is made anew, from the options it had.
      this.#setSecureContext.call(this.#parts, this.#parts);
    }
    this.#install();
    process.emitWarning(
      `${fault}: ticket keys go in by setTicketKeys, and each rotation ends all tickets that are out`,
      {
        type: 'MayflyWarning',
        code: 'MAYFLY_NO_TICKET_CALLBACK',
      },
    );
    this.#setTicketKeys();
    return 'setTicketKeys';
  }

  /** name(16) ‖ hmacKey(16) ‖ aesKey(16): one key at a time. */
  #setTicketKeys(): void {
    const key = this.#keys.sealing();
    const raw = Buffer.alloc(48);
    if (key === undefined) {
      nodeProvider.random(raw);
    } else {
      const bytes = key.secret.expose();
      raw.set(key.name);
      raw.set(bytes.subarray(0, 16), 16);
      raw.set(bytes.subarray(32, 48), 32);
    }
    this.#server.setTicketKeys(raw);
    raw.fill(0);
    const now = Date.now();
    const sealUntil = this.#ring.sealingKey(now)?.sealUntil ?? now + RETRY;
    this.#alarm.set(sealUntil - now);
  }

  #keepUp(): void {
    if (!this.#stopped && this.#fallback) {
      this.#setTicketKeys();
    }
  }

  /**
   * Clients are judged by name. In TLS 1.2 a resumed connection of OpenSSL's has no server name at Node's servers, so that
   * nobody can tell which policy holds: such a server then resumes nothing of TLS 1.2, and has full handshakes.
   */
  get #hasSeveralPolicies(): boolean {
    const { requestCert, _contexts = [] } = this.#parts;
    return requestCert === true && (_contexts.length > 0 || hasOwnSniCallback(this.#server));
  }

  readonly #guard = (socket: TLSSocket): void => {
    if (this.#parts.requestCert !== true || !socket.isSessionReused()) {
      return;
    }
    const refusal = refusalOf(socket, (name) => this.#trustFor(name));
    if (refusal === undefined) {
      return;
    }
    this.counts.refusedByGuard += 1;
    const answers = socket as unknown as { authorized: boolean; authorizationError: Error | string };
    answers.authorized = false;
    answers.authorizationError = refusal;
    if (this.#parts.rejectUnauthorized !== false) {
      this.#server.emit('tlsClientError', refusal, socket);
      socket.destroy();
    }
  };

  #trustFor(serverName: string): ReturnType<ClientTrust> {
    const told = this.#options.clientTrust?.(serverName);
    if (told !== undefined) {
      return told;
    }
    if (!this.#hasSeveralPolicies) {
      return this.#parts.ca;
    }
    const isKnown = serverName !== '' && !hasOwnSniCallback(this.#server);
    const hasOwnContext = this.#parts._contexts?.some(([pattern]) => pattern.test(serverName)) === true;
    return isKnown && !hasOwnContext ? this.#parts.ca : undefined;
  }
}

/** A ring that has no keys while `isClosed`: after `stop` the callback of a context that still serves finds nothing. */
function closable(ring: TicketKeySource, isClosed: () => boolean): TicketKeySource {
  return {
    sealingKey: (now) => (isClosed() ? undefined : ring.sealingKey(now)),
    openingKey: (name, now) => (isClosed() ? undefined : ring.openingKey(name, now)),
    status: (now) => ring.status(now),
  };
}

/** Node keeps the option under a symbol. */
function hasOwnSniCallback(server: object): boolean {
  const symbol = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'snicallback');
  return symbol !== undefined && typeof (server as Record<symbol, unknown>)[symbol] === 'function';
}

function caText(ca: ServerParts['ca']): string[] {
  const list = ca === undefined || ca === null ? [] : Array.isArray(ca) ? ca : [ca];
  return list.map((one) => (typeof one === 'string' ? one : Buffer.from(one as Uint8Array).toString('base64')));
}

const TLS13 = 0x0304;
/** Seconds, while the ring has no key. */
const DEFAULT_SESSION_TIMEOUT = 3600;
/** Milliseconds until a ring without a sealing key is asked again. */
const RETRY = 1000;
