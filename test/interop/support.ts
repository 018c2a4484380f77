/**
 * What the conversations with other implementations share: certificates of every key type, and a server that answers
 * each line with its characters in reverse, as `openssl s_server -rev` does.
 */

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { derToPem } from '../../src/certificates/pem.ts';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type HandshakeSummary,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** The key types a server's certificate may have, with the scheme each signs with when the client takes all. */
export const keyTypes = {
  'ecdsa-p256': { scheme: 'ecdsa_secp256r1_sha256', make: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }) },
  'ecdsa-p384': { scheme: 'ecdsa_secp384r1_sha384', make: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }) },
  'ecdsa-p521': { scheme: 'ecdsa_secp521r1_sha512', make: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }) },
  ed25519: { scheme: 'ed25519', make: () => generateKeyPairSync('ed25519') },
  ed448: { scheme: 'ed448', make: () => generateKeyPairSync('ed448') },
  rsa: { scheme: 'rsa_pss_rsae_sha256', make: () => rsaKeyPair() },
  'rsa-pss': { scheme: 'rsa_pss_pss_sha256', make: () => rsaKeyPair('rsa-pss') },
} as const;

export type KeyType = keyof typeof keyTypes;

/** The suites of TLS 1.2, under IANA's name and OpenSSL's, with a key type that goes with each. */
export const suites12: readonly { readonly name: string; readonly openssl: string; readonly keyType: KeyType }[] = (
  [
    ['ECDSA', 'ecdsa-p256'],
    ['RSA', 'rsa'],
  ] as const
).flatMap(([authentication, keyType]) =>
  [
    ['AES_128_GCM_SHA256', 'AES128-GCM-SHA256'],
    ['AES_256_GCM_SHA384', 'AES256-GCM-SHA384'],
    ['CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305'],
  ].map(([iana, openssl]) => ({
    name: `TLS_ECDHE_${authentication}_WITH_${iana}`,
    openssl: `ECDHE-${authentication}-${openssl}`,
    keyType,
  })),
);

/** Options for TLS 1.2 and nothing else. */
export const only12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY };
const root = makeRoot({ subject: `Interop ${randomBytes(4).toString('hex')}`, ...validity });

/** The root that vouches for all certificates here, PEM. */
export const authority: string = derToPem(root.der);

/** A certificate for localhost, its addresses, and these names. */
export function certificateFor(type: KeyType, ...names: string[]): Pem {
  const { publicKey, privateKey } = keyTypes[type].make() as { publicKey: KeyObject; privateKey: KeyObject };
  const leaf = makeLeaf(root, {
    subject: `A server with ${type}`,
    names: ['localhost', '127.0.0.1', '::1', ...names],
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    serial: Uint8Array.of(0x4d, ...randomBytes(8)),
    ...validity,
  });
  return { cert: derToPem(leaf.der), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

/** A folder of this test file's own, which goes with it. */
export const folder: string = mkdtempSync(join(tmpdir(), 'mayfly-interop-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

/** Writes a file there, and returns its path. */
export function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** Makes a folder there, and returns its path. */
export function subfolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
}

export const authorityFile: string = file('authority.pem', authority);

export function pemFiles(name: string, { cert, key }: Pem): { cert: string; key: string } {
  return { cert: file(`${name}.cert.pem`, cert), key: file(`${name}.key.pem`, key) };
}

export async function listen(server: NetServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A connection as the server saw it. */
export interface Visit {
  readonly socket: TLSSocket;
  readonly summary: HandshakeSummary;
  /** Resolves with the error that ended it, or undefined for a clean end. */
  readonly closed: Promise<Error | undefined>;
}

/** For `describe`: what hangs fails, instead of taking the whole run with it. No assertion on speed. */
export const hangGuard: { readonly timeout: number } = { timeout: 90_000 };

/** A Mayfly server that reverses lines, and remembers who came. */
export class LineServer {
  readonly server: Server;
  readonly failures: Error[] = [];
  readonly keyLog: string[] = [];
  readonly #visits: Visit[] = [];
  #taken = 0;
  port = 0;

  private constructor(options: TlsOptions) {
    this.server = createServer(options, (socket) => {
      this.#visits.push({ socket, summary: socket.mayfly as HandshakeSummary, closed: closing(socket) });
      reverseLines(socket);
    });
    this.server.on('tlsClientError', (error) => this.failures.push(error));
  }

  /** Listens on a free port, and keeps no process alive: it may stay until the tests have ended. */
  static async start(options: TlsOptions): Promise<LineServer> {
    const made = new LineServer(options);
    made.port = await listen(made.server);
    made.server.unref();
    return made;
  }

  /** Collects the key log of the connections from now on. */
  logKeys(): void {
    this.server.on('keylog', (line: Buffer) => this.keyLog.push(line.toString('latin1')));
  }

  /** The connection that came next. */
  visit(): Visit {
    const visit = this.#visits[this.#taken++];
    assert.ok(visit !== undefined, `no connection came; failures: ${this.failures.map(String).join('; ') || 'none'}`);
    return visit;
  }

  stop(): void {
    for (const socket of this.server.secureSockets) {
      socket.destroy();
    }
    this.server.close();
  }
}

export function closing(socket: TLSSocket): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let error: Error | undefined;
    socket.on('error', (cause) => {
      error = cause;
    });
    socket.once('close', () => resolve(error));
  });
}

function reverseLines(socket: NodeJS.ReadWriteStream): void {
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) {
      socket.write(`${reversed(line)}\n`, 'latin1');
    }
  });
}

export function reversed(line: string): string {
  return [...line].reverse().join('');
}

/** A line of decimal digits: tools take many a letter at the begin of what they read for a command. */
export function someLine(length = 2_000): string {
  return Buffer.from(randomBytes(length).map((byte) => 0x30 + (byte % 10))).toString('latin1');
}

export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Waits for what comes by itself, such as a counter that follows a packet. */
export async function eventually(what: string, met: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!met()) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A Mayfly client's connection to a server that reverses lines, up to its end. */
export interface Call {
  readonly summary: HandshakeSummary;
  /** What `getSession()` gave at each 'session' event. */
  readonly sessions: readonly Buffer[];
  /** The peer's close_notify came. */
  readonly clean: boolean;
}

export interface CallOptions extends ConnectionOptions {
  readonly port: number;
  /** Tickets to wait for before the end. Default 0. */
  readonly tickets?: number;
  /** Called once a line has gone there and come back. */
  readonly inMiddle?: (socket: TLSSocket, exchange: () => Promise<void>) => Promise<void>;
  readonly keyLog?: string[];
  /** What comes back for a line. Default: the line in reverse. */
  readonly reply?: (line: string) => string;
}

/** Connects, sends a line, expects it in reverse, and ends; fails with whatever goes wrong. */
export async function call({ tickets = 0, inMiddle, keyLog, reply, ...options }: CallOptions): Promise<Call> {
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', ca: authority, ...options });
  const sessions: Buffer[] = [];
  socket.on('session', (session: Buffer) => sessions.push(session));
  if (keyLog !== undefined) {
    socket.on('keylog', (line: Buffer) => keyLog.push(line.toString('latin1').trimEnd()));
  }
  const closed = closing(socket);
  await once(socket, 'secureConnect');
  const exchange = () => exchangeLine(socket, 2_000, reply);
  await exchange();
  await inMiddle?.(socket, exchange);
  await eventually(`${tickets} tickets`, () => sessions.length >= tickets);
  socket.end();
  socket.resume();
  const error = await closed;
  if (error !== undefined) {
    throw error;
  }
  return { summary: socket.mayfly as HandshakeSummary, sessions, clean: !socket.truncated };
}

/** Sends a line and waits for what must come back. */
export async function exchangeLine(
  socket: NodeJS.ReadWriteStream,
  length = 2_000,
  expected: (line: string) => string = reversed,
): Promise<void> {
  const line = someLine(length);
  const reply = new Promise<string>((resolve, reject) => {
    let text = '';
    const take = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.endsWith('\n')) {
        done(() => resolve(text));
      }
    };
    const ended = () => done(() => reject(new Error(`the connection ended after ${text.length} bytes of the reply`)));
    const failed = (error: Error) => done(() => reject(error));
    const done = (then: () => void) => {
      socket.off('data', take).off('end', ended).off('error', failed);
      then();
    };
    socket.on('data', take).on('end', ended).on('error', failed);
  });
  socket.write(`${line}\n`);
  assert.equal(await reply, `${expected(line)}\n`);
}
