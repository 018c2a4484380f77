/** Clients of `node:tls` that visit a server in another process and learn its secrets, as both ends of a connection do. */

import { once } from 'node:events';
import { type CipherNameAndProtocol, connect } from 'node:tls';
import { EMPTY } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { expandLabelPlain } from '../../src/keys/hkdf.ts';
import { rounds, type Scale } from './scale.ts';
import type { ToldSecret } from './testimony.ts';

const IV_LENGTH = 12;
const PAYLOAD = 20_000;

export interface Visits {
  readonly secrets: readonly ToldSecret[];
  readonly connections: number;
}

/** Full and resumed connections of both versions; each sends and gets back some bytes. */
export async function visit(scale: Scale, port: number, ca: string): Promise<Visits> {
  const secrets: ToldSecret[] = [];
  let connections = 0;
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    for (let round = 0; round < 4 * rounds[scale]; round++) {
      let session: Buffer | undefined;
      for (const offered of [false, true]) {
        session = await converse(offered ? session : undefined);
        connections++;
      }
    }

    async function converse(session: Buffer | undefined): Promise<Buffer | undefined> {
      let newest = session;
      const lines: string[] = [];
      const socket = connect({
        host: '127.0.0.1',
        port,
        servername: 'localhost',
        ca,
        minVersion: version,
        maxVersion: version,
        session,
      });
      socket.on('keylog', (line: Buffer) => lines.push(line.toString('latin1').trim()));
      socket.on('session', (given: Buffer) => {
        newest = given;
      });
      await once(socket, 'secureConnect');
      let received = 0;
      socket.write(Buffer.alloc(PAYLOAD, 'autopsy'));
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received === PAYLOAD) {
          socket.end();
        }
      });
      const cipher = socket.getCipher();
      await once(socket, 'close');
      for (const line of lines) {
        secrets.push(...secretsOf(line, cipher, secrets.length));
      }
      return newest;
    }
  }
  return { secrets: distinct(secrets), connections };
}

/** The secret in a line of a key log, and in TLS 1.3 the record key and the IV made from it. */
function secretsOf(line: string, cipher: CipherNameAndProtocol, id: number): ToldSecret[] {
  const [label, , hex] = line.split(' ');
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
  const kind = label === 'CLIENT_RANDOM' ? 'masterSecret' : label;
  const told: ToldSecret[] = [{ id, kind, bytes, ended: true }];
  if (/TRAFFIC_SECRET/.test(label)) {
    const hash = bytes.length === 32 ? 'sha256' : 'sha384';
    const keyLength = cipher.name.includes('128') ? 16 : 32;
    for (const [name, length] of [
      ['key', keyLength],
      ['iv', IV_LENGTH],
    ] as const) {
      const secret = Secret.copy(label, bytes);
      const made = expandLabelPlain(nodeProvider, hash, secret, name, EMPTY, length, name);
      told.push({
        id: id + told.length,
        kind: name === 'key' ? 'writeKey' : 'writeIv',
        bytes: made.use((made) => Uint8Array.from(made)),
        ended: true,
      });
    }
  }
  return told;
}

/** A resumed connection of TLS 1.2 has the master secret of the one before. */
function distinct(secrets: readonly ToldSecret[]): ToldSecret[] {
  return [...new Map(secrets.map((secret) => [Buffer.from(secret.bytes).toString('hex'), secret])).values()];
}
