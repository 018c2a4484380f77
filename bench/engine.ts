/**
 * Engine: one TLS implementation under measurement. `mayfly/tls` has the names of `node:tls`, so one small interface
 * covers both and every workload is written once.
 */

import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export type EngineName = 'ours' | 'node';

/** The part of a TLS socket that the workloads use. */
export interface EngineSocket extends Duplex {
  isSessionReused(): boolean;
  setNoDelay(noDelay?: boolean): unknown;
}

export interface EngineServer {
  listen(port: number, host: string, callback: () => void): unknown;
  address(): AddressInfo | string | null;
  on(event: 'secureConnection', listener: (socket: EngineSocket) => void): unknown;
  on(event: 'tlsClientError' | 'error', listener: (error: Error) => void): unknown;
}

/** Opaque; made once and shared by all connects, which is `node:tls` at its best. */
export type SecureContext = object;

export interface Engine {
  createSecureContext(options: Record<string, unknown>): SecureContext;
  createServer(options: Record<string, unknown>): EngineServer;
  connect(options: Record<string, unknown>): EngineSocket;
}

/** What both engines are pinned to, so that they do the same work. */
export const pinned = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  ecdhCurve: 'X25519',
} as const;

export async function loadEngine(name: EngineName): Promise<Engine> {
  const module: unknown = name === 'node' ? await import('node:tls') : await import('../src/node/tls.ts');
  return module as Engine;
}
