/** The examples of RFC 9001 and RFC 9369, Appendices A, as they stand in test/vectors/quic.json. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { QuicVersion } from '../../src/keys/quic.ts';
import { projectRoot } from '../support/project.ts';

/** All octets in hex. */
export interface KeyVector {
  readonly secret: string;
  readonly key: string;
  readonly iv: string;
  readonly hp: string;
}

export interface PacketVector {
  readonly section: string;
  readonly packetNumber: number;
  readonly header: string;
  readonly sample: string;
  readonly mask?: string;
  readonly protected: string;
}

export interface VersionVectors {
  readonly version: QuicVersion;
  readonly rfc: string;
  readonly initial: { readonly client: KeyVector; readonly server: KeyVector };
  /** Initial packets; `crypto` is padded with zeros (PADDING frames) to `payloadLength`. */
  readonly packets: readonly (PacketVector & {
    readonly from: 'client' | 'server';
    readonly crypto: string;
    readonly payloadLength: number;
  })[];
  readonly retry: string;
  readonly chacha20: KeyVector & PacketVector & { readonly ku: string; readonly payload: string };
}

interface VectorFile {
  readonly destinationConnectionId: string;
  readonly versions: readonly VersionVectors[];
}

export const vectors: VectorFile = JSON.parse(readFileSync(join(projectRoot, 'test/vectors/quic.json'), 'utf8'));
