/**
 * Engine: one TLS implementation under measurement. `mayfly/tls` has the names of `node:tls`, so one small interface
 * covers both and every workload is written once.
 */

import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext as nodeSecureContext } from 'node:tls';
import type { AeadName } from '../src/crypto/suites.ts';
import type { WorkloadName } from './workload.ts';

/** `floor` is no engine but has workers of its own: see `floor/floor.ts`. */
export type EngineName = 'ours' | 'node' | 'floor';

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
  on(event: 'newSession', listener: (id: Buffer, data: Buffer, done: () => void) => void): unknown;
  on(
    event: 'resumeSession',
    listener: (id: Buffer, done: (error: Error | null, data: Buffer | null) => void) => void,
  ): unknown;
}

/** Opaque; made once and shared by all connects, which is `node:tls` at its best. */
export type SecureContext = object;

export interface Engine {
  createSecureContext(options: Record<string, unknown>): SecureContext;
  createServer(options: Record<string, unknown>): EngineServer;
  connect(options: Record<string, unknown>): EngineSocket;
}

/** What a client is pinned to in a row, so that both engines do the same work. */
export type PinName = 'aes128' | 'aes256' | 'chacha20' | 'hybrid' | 'tls12';

export function clientPins(pin: PinName): Record<string, string | number> {
  switch (pin) {
    case 'aes128':
      return pinned13('TLS_AES_128_GCM_SHA256');
    case 'aes256':
      return pinned13('TLS_AES_256_GCM_SHA384');
    case 'chacha20':
      return pinned13('TLS_CHACHA20_POLY1305_SHA256');
    case 'hybrid':
      return { ...pinned13('TLS_AES_128_GCM_SHA256'), ecdhCurve: HYBRID };
    case 'tls12':
      return pinned12;
  }
}

/** What protects records under a pin. */
export function aeadOf(pin: PinName): AeadName {
  switch (pin) {
    case 'aes256':
      return 'aes-256-gcm';
    case 'chacha20':
      return 'chacha20-poly1305';
    default:
      return 'aes-128-gcm';
  }
}

/** A server takes what any row's client asks for. */
export function serverPins(workload: WorkloadName): Record<string, string | number> {
  switch (workload) {
    case 'handshake12':
      return pinned12;
    case 'handshake12id':
      return { ...pinned12, secureOptions: SSL_OP_NO_TICKET };
    default:
      return { ...pinned13(SUITES), ecdhCurve: nodeHasHybrid() ? `X25519:${HYBRID}` : 'X25519' };
  }
}

/** Whether `node:tls` knows X25519MLKEM768: from OpenSSL 3.5 on. */
export function nodeHasHybrid(): boolean {
  try {
    nodeSecureContext({ ecdhCurve: HYBRID });
    return true;
  } catch {
    return false;
  }
}

/**
 * Lets a server remember TLS 1.2 sessions by ID. Ours does by itself; node:tls leaves it to its events, and a Map is the
 * cheapest that can hang there.
 */
export function rememberById(name: EngineName, server: EngineServer): void {
  if (name === 'ours') {
    return;
  }
  const sessions = new Map<string, Buffer>();
  server.on('newSession', (id, data, done) => {
    sessions.set(id.toString('latin1'), data);
    done();
  });
  server.on('resumeSession', (id, done) => done(null, sessions.get(id.toString('latin1')) ?? null));
}

function pinned13(ciphers: string): Record<string, string> {
  return { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers, ecdhCurve: 'X25519' };
}

const SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
const HYBRID = 'X25519MLKEM768';
const pinned12 = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  // Both choose the first; the second is the certificate's, without which OpenSSL does not use it in TLS 1.2.
  ecdhCurve: 'X25519:P-256',
} as const;
/** From OpenSSL's ssl.h. */
const SSL_OP_NO_TICKET = 0x4000;

export async function loadEngine(name: Exclude<EngineName, 'floor'>): Promise<Engine> {
  const module: unknown = name === 'node' ? await import('node:tls') : await import('../src/node/tls.ts');
  return module as Engine;
}
