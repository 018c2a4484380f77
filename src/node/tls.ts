/** `mayfly/tls`: the names, options, events and methods of `node:tls`, over Mayfly's TLS. */

import { EventEmitter } from 'node:events';
import { Server as NetServer } from 'node:net';
import * as nodeTls from 'node:tls';
import type { SecureContext, SecureContextOptions } from './secure-context.ts';
import type { ServerCounters } from './server-counters.ts';
import type { EffectivePolicy } from './server-policy.ts';
import type { ServerSessions } from './sessions.ts';
import {
  makeTlsServer,
  type OpenSockets,
  type TlsServerOptions,
  type TlsServerSurface,
  transportOptions,
} from './tls-acceptor.ts';
import { TLSSocket } from './tls-socket.ts';

export { checkServerIdentity, rootCertificates } from 'node:tls';
export type { HandshakeSummary, HandshakeWarning, ResumptionRefusal } from '../actions.ts';
export { TLSError } from '../errors.ts';
export type { KeyNode, KeyTree } from '../ledger/key-tree.ts';
export { startKeyLedger, stopKeyLedger } from '../ledger/process-ledger.ts';
export { explainPolicy, type StolenSecret, type TheftReport } from '../policy/explain.ts';
export { type Policy, type PolicyName, type PolicyOptions, resolvePolicy } from '../policy/policy.ts';
export type { ChannelBindingType } from './channel-binding.ts';
export { DEFAULT_CIPHERS, getCiphers } from './cipher-names.ts';
export type { CheckServerIdentity } from './client-driver-options.ts';
export { ClientSessions } from './client-sessions.ts';
export { type CredentialOptions, getCertificateCompressionAlgorithms } from './credential-options.ts';
export type {
  ClientPskCallback,
  ExternalPskAnswer,
  ExternalPskLookUp,
  ExternalPskOptions,
  ExternalPskQueryOptions,
  PskOptions,
  ServerPskCallback,
} from './external-psks.ts';
export { createSecureContext, SecureContext, type SecureContextOptions, type SignFunction } from './secure-context.ts';
export { ServerCounters } from './server-counters.ts';
export type { ALPNCallback, OcspCallback, SNICallback } from './server-driver-options.ts';
export type { EffectivePolicy, PolicyOption } from './server-policy.ts';
export { ServerSessions, type SessionOptions } from './sessions.ts';
export type { EarlyDataOptions } from './ticket-registers.ts';
/** As of Node's own, for `import tls from`. */
export * as default from './tls.ts';
export type { OpenSockets, TlsServerOptions as TlsOptions, TlsServerSurface } from './tls-acceptor.ts';
export { type ConnectionOptions, connect } from './tls-connect.ts';
export { DEFAULT_ECDH_CURVE, DEFAULT_MAX_VERSION, DEFAULT_MIN_VERSION } from './tls-options.ts';
export { TLSSocket, type TLSSocketOptions } from './tls-socket.ts';

/** As in `node:tls`, and the same: whom clients without `ca` trust. Undefined where this Node has none. */
export const getCACertificates: NodeTls['getCACertificates'] = (nodeTls as NodeTls).getCACertificates;
export const setDefaultCACertificates: NodeTls['setDefaultCACertificates'] = (nodeTls as NodeTls)
  .setDefaultCACertificates;

interface NodeTls {
  readonly getCACertificates?: (type?: 'default' | 'system' | 'bundled' | 'extra') => string[];
  readonly setDefaultCACertificates?: (certificates: readonly (string | NodeJS.ArrayBufferView)[]) => void;
}

type SecureListener = (socket: TLSSocket) => void;

/**
 * Events: 'secureConnection' (socket), 'earlyConnection' (socket; see docs/early-data.md), 'tlsClientError' (error, socket),
 * 'keylog' (line, socket), 'OCSPRequest' (certificate, issuer, callback), and those of `net.Server`.
 */
export class Server extends NetServer implements TlsServerSurface {
  declare readonly sessions: ServerSessions;
  declare readonly counters: ServerCounters;
  declare readonly policy: EffectivePolicy;
  declare readonly secureSockets: OpenSockets;
  declare addContext: (hostname: string, context: SecureContext | SecureContextOptions) => void;
  declare setSecureContext: (options: SecureContext | SecureContextOptions) => void;
  declare getTicketKeys: () => never;
  declare setTicketKeys: (keys: unknown) => never;

  /** @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH` */
  constructor(options: TlsServerOptions | SecureListener = {}, listener?: SecureListener) {
    const given = typeof options === 'function' ? {} : options;
    super(transportOptions(given));
    makeTlsServer<NetServer>(this, given);
    const onSecure = typeof options === 'function' ? options : listener;
    if (onSecure !== undefined) {
      this.on('secureConnection', onSecure);
    }
  }

  /** With `captureRejections` of `node:events`: what an async listener fails with ends its socket. */
  override [EventEmitter.captureRejectionSymbol](error: Error, event: string | symbol, ...told: unknown[]): void {
    const [socket] = told;
    if (event === 'secureConnection' && socket instanceof TLSSocket) {
      socket.destroy(error);
    } else {
      this.emit('error', error);
    }
  }
}

export function createServer(listener?: SecureListener): Server;
export function createServer(options: TlsServerOptions, listener?: SecureListener): Server;
export function createServer(options?: TlsServerOptions | SecureListener, listener?: SecureListener): Server {
  return new Server(options, listener);
}
