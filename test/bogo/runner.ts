/**
 * Plays the part of BoringSSL's runner: listens, starts the shim with real flags, and talks to it with `node:tls`. The runner
 * always listens, also where the shim is the TLS server.
 */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, createSecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { createDevelopmentCa, issueServerCertificate } from '../../src/certificates/development-ca.ts';
import { ToolProcess } from '../support/process.ts';
import { runShim as runHere } from './shim-run.ts';

const now = Date.now();
const ca = createDevelopmentCa({ now });
const leaf = issueServerCertificate({ ca, names: ['localhost'], now });
const folder = mkdtempSync(join(tmpdir(), 'mayfly-bogo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

export const files = {
  cert: write('cert.pem', leaf.certificatePem),
  key: write('key.pem', leaf.privateKeyPem),
  ca: write('ca.pem', ca.certificatePem),
  otherCa: write('other-ca.pem', createDevelopmentCa({ now, commonName: 'Another CA' }).certificatePem),
} as const;
export const pem = { cert: leaf.certificatePem, key: leaf.privateKeyPem } as const;

export interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

type Peer = (socket: Socket) => Promise<void>;
type Start = (flags: readonly string[]) => Promise<Outcome>;

/** One run of the shim, in this process: each entry of `peers` serves one of its connections. */
export function runShim(flags: readonly string[], ...peers: readonly Peer[]): Promise<Outcome> {
  return runAgainst(startHere, flags, peers);
}

/** The same, with the shim in a process of its own, as BoringSSL's runner has it. */
export function runShimProcess(flags: readonly string[], ...peers: readonly Peer[]): Promise<Outcome> {
  return runAgainst(startProcess, flags, peers);
}

async function startHere(flags: readonly string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await runHere(flags);
  return { code, text: stdout + stderr };
}

async function startProcess(flags: readonly string[]): Promise<Outcome> {
  await using shim = new ToolProcess('node', [SHIM, ...flags]);
  return { code: await shim.exited(), text: shim.text };
}

async function runAgainst(start: Start, flags: readonly string[], peers: readonly Peer[]): Promise<Outcome> {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  try {
    const exited = start(['-port', String(port), ...flags]);
    for (const peer of peers) {
      const socket = await accepted(listener, exited);
      if (socket === undefined) {
        break;
      }
      try {
        // A peer that waits for what does not come any more is not waited for.
        await Promise.race([peer(socket), exited]);
      } finally {
        socket.destroy();
      }
    }
    return await exited;
  } finally {
    listener.close();
  }
}

/** The shim is a client, and this its server. */
export function asServer(
  options: TLSSocketOptions,
  talk: (socket: TLSSocket) => Promise<void> = (socket) => echoOnce(socket),
): (socket: Socket) => Promise<void> {
  return async (raw) => {
    const context = createSecureContext({ ...pem, ...options });
    const socket = new TLSSocket(raw, { ...options, isServer: true, secureContext: options.secureContext ?? context });
    socket.on('error', () => {});
    await talk(socket);
  };
}

/** The shim is a server, and this its client. Its certificate is not looked at. */
export function asClient(
  options: ConnectionOptions,
  talk: (socket: TLSSocket) => Promise<void> = (socket) => echoOnce(socket),
): (socket: Socket) => Promise<void> {
  return async (raw) => {
    const socket = connect({ rejectUnauthorized: false, ...options, socket: raw });
    socket.on('error', () => {});
    await talk(socket);
  };
}

/** Writes a line, reads it back turned over, and ends; before that, it lets the caller look. */
export async function echoOnce(socket: TLSSocket, look?: () => void): Promise<void> {
  socket.write(LINE);
  const echo = await read(socket, LINE.length);
  if (!echo.equals(turnedOver(LINE))) {
    throw new Error(`the shim echoed ${echo.toString('hex')}`);
  }
  look?.();
  await end(socket);
}

/** `length` bytes, or what came before the end. */
export async function read(socket: Socket, length: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  while (got.length < length) {
    const chunk: Buffer | null = socket.read();
    if (chunk !== null) {
      got = Buffer.concat([got, chunk]);
    } else if (socket.readableEnded || socket.destroyed) {
      break;
    } else {
      await anyOf(socket, 'readable', 'end', 'close');
    }
  }
  return got;
}

/** Ends our side; resolves when the other has. */
export async function end(socket: Socket): Promise<void> {
  socket.end();
  socket.resume();
  if (!socket.destroyed) {
    await anyOf(socket, 'end', 'close');
  }
}

/** Resolves when the shim has gone, whatever it sends. */
export async function untilClosed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.destroyed) {
    await anyOf(socket, 'close');
  }
}

export function turnedOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => byte ^ 0xff));
}

/** Unlike `once`, an error does not count: what comes of it is what is waited for. */
export function anyOf(socket: Socket, ...events: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    for (const event of events) {
      socket.once(event, resolve);
    }
  });
}

async function accepted(listener: Server, exited: Promise<unknown>): Promise<Socket | undefined> {
  const connection = once(listener, 'connection').then(([socket]) => socket as Socket);
  return Promise.race([connection, exited.then(() => undefined)]);
}

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const LINE = Buffer.from('what goes out comes back turned over');
const SHIM = fileURLToPath(new URL('./shim.js', import.meta.url));
