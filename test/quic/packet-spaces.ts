/**
 * Packet number spaces and packet headers, as a test's small QUIC stack has them.
 *
 * RFC 9000 §12.3, §17; version 2: RFC 9369 §3.2.
 */

import { concat } from '../../src/bytes/bytes.ts';
import type { EncryptionLevel, QuicPacketProtection, QuicVersion } from '../../src/quic.ts';
import { varint } from './frames.ts';

export type Level = Exclude<EncryptionLevel, 'earlyData'>;

export const LEVELS: readonly Level[] = ['initial', 'handshake', 'application'];
const versionNumbers: Record<QuicVersion, number> = { 1: 1, 2: 0x6b3343cf };
/** Long header types: Initial, Handshake, Retry. */
export const packetTypes: Record<QuicVersion, Record<'initial' | 'handshake' | 'retry', number>> = {
  1: { initial: 0, handshake: 2, retry: 3 },
  2: { initial: 1, handshake: 3, retry: 0 },
};
export const TAG_LENGTH = 16;

/** What RFC 9000 §12.3 calls a packet number space, with its keys. */
export class Space {
  read: QuicPacketProtection | undefined;
  write: QuicPacketProtection | undefined;
  nextNumber = 0;
  largest = -1;
  readonly received = new Set<number>();
  ackDue = false;
  cryptoOut: Uint8Array[] = [];
  cryptoSent = 0;
  cryptoRead = 0;
  readonly cryptoIn = new Map<number, Uint8Array>();
  frames: Uint8Array[] = [];
  /** The handshake has said so; what is due still leaves. */
  discarding = false;

  get due(): boolean {
    return this.ackDue || this.cryptoOut.length > 0 || this.frames.length > 0;
  }

  erase(): void {
    this.read?.erase();
    this.write?.erase();
    this.read = undefined;
    this.write = undefined;
  }
}

export interface HeaderFields {
  readonly level: Level;
  readonly version: QuicVersion;
  readonly packetNumber: number;
  readonly payloadLength: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly token: Uint8Array;
  readonly keyPhase: number;
}

/** Without protection, with a packet number of two bytes. */
export function packetHeader(fields: HeaderFields): Uint8Array {
  const { level, source, destination, token } = fields;
  const packetNumber = new Uint8Array([fields.packetNumber >> 8, fields.packetNumber]);
  if (level === 'application') {
    return concat(new Uint8Array([0x41 | (fields.keyPhase << 2)]), destination, packetNumber);
  }
  const version = versionNumbers[fields.version];
  return concat(
    new Uint8Array([0xc1 | (packetTypes[fields.version][level] << 4)]),
    new Uint8Array([version >>> 24, version >> 16, version >> 8, version]),
    new Uint8Array([destination.length]),
    destination,
    new Uint8Array([source.length]),
    source,
    level === 'initial' ? concat(varint(token.length), token) : new Uint8Array(0),
    varint(packetNumber.length + fields.payloadLength + TAG_LENGTH),
    packetNumber,
  );
}
