/** What a server's driver is told, what it tells its server, and how the options that are more than a value are read. */

import type { ClientHelloInfo, HandshakeWarning } from '../actions.ts';
import { cipherSuites12 as cipherSuites12ByName } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { ExternalSessionCache } from '../session/external-session-cache.ts';
import { isDhe } from './cipher-names.ts';
import type { EarlyDelivery } from './driver.ts';
import type { PskOptions } from './external-psks.ts';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { PolicyOption } from './server-policy.ts';
import type { ServerSessions, SessionOptions } from './sessions.ts';
import type { TLSSocket } from './tls-socket.ts';

export type SNICallback = (
  this: TLSSocket,
  servername: string,
  callback: (error: Error | null, context?: SecureContext | SecureContextOptions | null) => void,
) => void;
/** Without a response nothing is stapled; with an error the connection ends. */
export type OcspCallback = (error: Error | null, response?: Uint8Array | null) => void;
export type ALPNCallback = (this: TLSSocket, hello: { servername: string; protocols: string[] }) => string | undefined;

export interface ServerDriverOptions extends SecureContextOptions, PskOptions, PolicyOption {
  readonly secureContext?: SecureContext;
  readonly ALPNProtocols?: readonly string[] | Uint8Array;
  /**
   * Picks from the client's protocols; undefined refuses. Cannot stand beside `ALPNProtocols`. `this` is the socket, whose
   * `setKeyCert()` may choose another certificate.
   */
  readonly ALPNCallback?: ALPNCallback;
  /** Picks a context by name, now or later; none means the server's own. */
  readonly SNICallback?: SNICallback;
  /** Clients are asked for a certificate, which has to lead to `ca`. Default false. */
  readonly requestCert?: boolean;
  /**
   * A client that is asked and has no certificate, or none that is trusted, is refused in the handshake. False: it is let in,
   * and its socket's `authorized` and `authorizationError` tell. Default true.
   */
  readonly rejectUnauthorized?: boolean;
  /** Milliseconds, also for handshakes on the running connection. Default 120000. */
  readonly handshakeTimeout?: number;
  /**
   * TLS 1.2: also clients without extended master secret (RFC 7627). A man in the middle can tie their sessions to his own
   * (the triple handshake). Default false.
   */
  readonly allowLegacyMasterSecret?: boolean;
  /** TLS 1.2: renegotiations that a client may begin within ten minutes. Default 0: each costs the server more than it. */
  readonly clientRenegotiations?: number;
  /** Taken for the sake of `node:tls`: the server's order of suites decides in any case. */
  readonly honorCipherOrder?: boolean;
  /** Seconds that a session may be used, as in `node:tls`; `sessions.ticketLifetime` goes before it. */
  readonly sessionTimeout?: number;
  readonly sessions?: SessionOptions | ServerSessions;
  /** A connection that ends without close_notify ends as usual, as browsers and many clients do. Default true. */
  readonly allowTruncation?: boolean | ((socket: TLSSocket) => boolean);
}

/** What the driver tells its server. */
export interface ServerEvents {
  wantsKeyLog(): boolean;
  /** Keeps TLS 1.2 sessions by ID, in the place of the server's own cache. */
  sessionStore(): ExternalSessionCache | undefined;
  wantsCertificateStatus(): boolean;
  /** Asks for what to staple; `callback` is called once, now or later. */
  certificateStatus(certificateChain: readonly Uint8Array[], callback: OcspCallback): void;
  /** Early data was taken: hands the socket out at once, where somebody wants it so. */
  early(socket: TLSSocket): EarlyDelivery;
  secured(socket: TLSSocket): void;
  failed(socket: TLSSocket, error: Error): void;
  keyLog(socket: TLSSocket, line: Buffer): void;
  warned(socket: TLSSocket, warning: HandshakeWarning): void;
  closed(socket: TLSSocket): void;
}

/** @throws TLSError `TLS_ERR_CONFIG` the callback chose what the client does not speak; `TLS_ERR_WRONG_STATE` it ended the socket */
export function chooseProtocol(callback: ALPNCallback, socket: TLSSocket, hello: ClientHelloInfo): string | undefined {
  const protocols = [...hello.alpnProtocols];
  const chosen = callback.call(socket, { servername: hello.serverName, protocols });
  if (socket.destroyed) {
    // The core is in the midst of its work, and would make keys for a connection that is over.
    throw new TLSError('TLS_ERR_WRONG_STATE', 'the socket was destroyed in its ALPNCallback');
  }
  if (chosen !== undefined && !hello.alpnProtocols.includes(chosen)) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `ALPNCallback: expected one of ${protocols.join(', ')} or undefined, got ${String(chosen)}`,
      { alert: 'internal_error' },
    );
  }
  return chosen;
}

/** @throws TLSError `TLS_ERR_CONFIG` nothing is left */
export function servedSuites12({ cipherSuites, cipherSuites12, servesDhe, versions }: SecureContext) {
  const served = cipherSuites12?.filter((name) => servesDhe || !isDhe(cipherSuites12ByName[name]));
  if (served?.length === 0 && cipherSuites12?.length !== 0 && (versions.length === 1 || cipherSuites?.length === 0)) {
    throw new TLSError('TLS_ERR_CONFIG', "ciphers: all of them are DHE suites, which take the option dhparam: 'auto'");
  }
  return served;
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export function checkTimeout(ms: number): number {
  if (!Number.isFinite(ms) || ms < 0 || ms > 2 ** 31 - 1) {
    throw new TLSError('TLS_ERR_CONFIG', `handshakeTimeout: expected milliseconds from 0 to 2^31 - 1, got ${ms}`);
  }
  return ms;
}

/** Of what a host's own code threw or said. */
export function asTlsError(cause: unknown): TLSError {
  if (cause instanceof TLSError) {
    return cause;
  }
  return new TLSError('TLS_ERR_CONFIG', cause instanceof Error ? cause.message : String(cause), { cause });
}
