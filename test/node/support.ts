/** Certificates, both engines under one type, and small helpers for tests over loopback sockets. */

import { once } from 'node:events';
import type { AddressInfo, Server as NetServer } from 'node:net';
import * as nodeTls from 'node:tls';
import { createDevelopmentCa, issueServerCertificate, type PemPair } from '../../src/certificates/development-ca.ts';
import * as ourTls from '../../src/node/tls.ts';

export const now = Date.now();
export const ca: PemPair = createDevelopmentCa({ now });
export const otherCa: PemPair = createDevelopmentCa({ now, commonName: 'Another CA' });
export const localhost: PemPair = issueServerCertificate({ ca, names: ['localhost', '127.0.0.1', '::1'], now });

export function certificateFor(...names: string[]): { cert: string; key: string } {
  const pair = issueServerCertificate({ ca, names, now });
  return { cert: pair.certificatePem, key: pair.privateKeyPem };
}

/** Options of a server for localhost. */
export const serverOptions = { cert: localhost.certificatePem, key: localhost.privateKeyPem };
export const trust = { ca: ca.certificatePem };

export type Tls = Pick<typeof ourTls, 'connect' | 'createServer' | 'createSecureContext' | 'TLSSocket'>;

/** Where the same assertions hold for both, `node:tls` is the witness that they are right. */
export const mayfly: Tls = ourTls;
export const native: Tls = nodeTls as unknown as Tls;

export interface Pair {
  readonly name: string;
  readonly server: Tls;
  readonly client: Tls;
}

export const pairs: readonly Pair[] = [
  { name: 'mayfly server, mayfly client', server: mayfly, client: mayfly },
  { name: 'mayfly server, node:tls client', server: mayfly, client: native },
  { name: 'node:tls server, mayfly client', server: native, client: mayfly },
  { name: 'node:tls server, node:tls client', server: native, client: native },
];

export type Version = 'TLSv1.2' | 'TLSv1.3';

/** Options for one version and no other. */
export function only(version: Version): { readonly minVersion: Version; readonly maxVersion: Version } {
  return { minVersion: version, maxVersion: version };
}

export const versions: readonly Version[] = ['TLSv1.3', 'TLSv1.2'];

/** Each pair in each version. */
export const cases: readonly (Pair & { readonly version: Version })[] = versions.flatMap((version) =>
  pairs.map((pair) => ({ ...pair, name: `${pair.name}, ${version}`, version })),
);

export async function listen(server: NetServer, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export async function closed(server: NetServer): Promise<void> {
  if (server.listening) {
    server.close();
    await once(server, 'close');
  }
}

/** The bytes of a readable up to its end. By events, since an async iterator destroys what it has read. */
export function collect(stream: NodeJS.ReadableStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    stream.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.once('error', reject);
  });
}

/** Resolves with the arguments of 'close', whatever comes before it. */
export function closing(emitter: NodeJS.EventEmitter): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once('close', (...args: unknown[]) => resolve(args)));
}

/** The error that an emitter reports, or a failure when the other event comes first. */
export async function failure(emitter: NodeJS.EventEmitter, instead: string): Promise<NodeJS.ErrnoException> {
  return new Promise((resolve, reject) => {
    emitter.once('error', resolve);
    emitter.once(instead, () => reject(new Error(`expected an error, got '${instead}'`)));
  });
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export interface Between {
  /** A server for localhost. */
  serve(options: ourTls.TlsOptions, onSocket?: (socket: ourTls.TLSSocket) => void): Promise<[ourTls.Server, number]>;
  /** A client that asks for localhost and trusts its CA. */
  connect(port: number, options?: ourTls.ConnectionOptions): ourTls.TLSSocket;
}

export function between(server: Tls, client: Tls, version: Version = 'TLSv1.3'): Between {
  const versioned = only(version);
  return {
    async serve(options, onSocket = (socket) => socket.pipe(socket)) {
      const made = server.createServer({ ...versioned, ...serverOptions, ...options }, onSocket);
      return [made, await listen(made)];
    },
    connect(port, options = {}) {
      return client.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust, ...versioned, ...options });
    },
  };
}
