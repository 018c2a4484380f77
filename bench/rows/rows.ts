/** The rows of the table: which workload, how it is set, in which unit, and the ratio that is the goal. */

import type { PinName } from '../engine.ts';
import type { WorkloadName, WorkloadOptions } from '../workload.ts';

export interface Row {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  /** The ratio to reach; above 1 = Mayfly is better. */
  readonly goal?: number;
  readonly workload: WorkloadName;
  readonly pin: PinName;
  readonly options: WorkloadOptions;
  /** Its share of a bounded run, relative to the others: what needs a long warm-up weighs more. */
  readonly weight: number;
  /** Part of `--quick`, whose time is just enough for the rows of TLS 1.3 and of the data. */
  readonly quick: boolean;
  /** A whole run ends at this many units (megabytes) rather than at a time. */
  readonly whole?: number;
  readonly lowerIsBetter?: boolean;
  /** What the CPU columns are per. */
  readonly per: string;
  /** Its cost below which no implementation can go: see `limits.ts`. */
  readonly limit?: LimitName;
}

/** Which primitives a unit of a row cannot do without. */
export type LimitName = 'full' | 'fullHybrid' | 'resumed' | 'bulk' | 'roundTrip';

const GIB = 2 ** 30;

export const rows: readonly Row[] = [
  {
    name: 'handshake_full_1.3',
    what: 'full handshakes, x25519, ECDSA P-256, 16 in flight',
    unit: '/s',
    per: 'handshake',
    limit: 'full',
    goal: 2.5,
    workload: 'handshake',
    pin: 'aes128',
    options: { inFlight: 16 },
    weight: 4,
    quick: true,
  },
  {
    name: 'handshake_full_1.3_hybrid',
    what: 'the same with X25519MLKEM768',
    unit: '/s',
    per: 'handshake',
    limit: 'fullHybrid',
    goal: 2.5,
    workload: 'handshake',
    pin: 'hybrid',
    options: { inFlight: 16 },
    weight: 2.5,
    quick: false,
  },
  {
    name: 'handshake_resumed_1.3',
    what: 'resumed handshakes, psk_dhe_ke, 16 in flight',
    unit: '/s',
    per: 'handshake',
    limit: 'resumed',
    goal: 2.2,
    workload: 'handshake',
    pin: 'aes128',
    options: { inFlight: 16, resumed: true },
    weight: 1.6,
    quick: true,
  },
  {
    name: 'handshake_full_1.2',
    what: 'the same over TLS 1.2, ECDHE-ECDSA-AES128-GCM-SHA256',
    unit: '/s',
    per: 'handshake',
    limit: 'full',
    goal: 2.0,
    workload: 'handshake12',
    pin: 'tls12',
    options: { inFlight: 16 },
    weight: 3,
    quick: false,
  },
  {
    name: 'handshake_resumed_1.2_ticket',
    what: 'resumed with a ticket, 16 in flight',
    unit: '/s',
    per: 'handshake',
    goal: 1.8,
    workload: 'handshake12',
    pin: 'tls12',
    options: { inFlight: 16, resumed: true },
    weight: 1.6,
    quick: false,
  },
  {
    name: 'handshake_resumed_1.2_id',
    what: 'resumed by session ID, 16 in flight; node:tls with a Map behind its events',
    unit: '/s',
    per: 'handshake',
    goal: 1.8,
    workload: 'handshake12id',
    pin: 'tls12',
    options: { inFlight: 16, resumed: true },
    weight: 2,
    quick: false,
  },
  {
    name: 'transfer_bulk',
    what: '1 GiB to the client in 64 KiB writes, AES-128-GCM',
    unit: 'MB/s',
    per: 'MB',
    limit: 'bulk',
    goal: 1.0,
    workload: 'transfer',
    pin: 'aes128',
    options: { writeSize: 65536, bytes: GIB },
    whole: GIB,
    weight: 2.4,
    quick: true,
  },
  {
    name: 'transfer_bulk_aes256',
    what: '1 GiB to the client in 64 KiB writes, AES-256-GCM',
    unit: 'MB/s',
    per: 'MB',
    limit: 'bulk',
    goal: 1.0,
    workload: 'transfer',
    pin: 'aes256',
    options: { writeSize: 65536, bytes: GIB },
    whole: GIB,
    weight: 2.4,
    quick: false,
  },
  {
    name: 'transfer_bulk_chacha20',
    what: '1 GiB to the client in 64 KiB writes, ChaCha20-Poly1305',
    unit: 'MB/s',
    per: 'MB',
    limit: 'bulk',
    goal: 1.0,
    workload: 'transfer',
    pin: 'chacha20',
    options: { writeSize: 65536, bytes: GIB },
    whole: GIB,
    weight: 2.4,
    quick: false,
  },
  {
    name: 'stream_1KiB',
    what: 'streamed 1 KiB writes to the client',
    unit: 'MB/s',
    per: 'MB',
    limit: 'bulk',
    goal: 1.5,
    workload: 'transfer',
    pin: 'aes128',
    options: { writeSize: 1024 },
    weight: 1,
    quick: false,
  },
  {
    name: 'pingpong_1B',
    what: '1 B there and back, 32 connections',
    unit: '/s',
    per: 'round trip',
    limit: 'roundTrip',
    goal: 1.1,
    workload: 'pingpong',
    pin: 'aes128',
    options: { size: 1, connections: 32 },
    weight: 1.2,
    quick: true,
  },
  {
    name: 'pingpong_1KiB',
    what: '1 KiB there and back, 32 connections',
    unit: '/s',
    per: 'round trip',
    limit: 'roundTrip',
    goal: 1.0,
    workload: 'pingpong',
    pin: 'aes128',
    options: { size: 1024, connections: 32 },
    weight: 0.8,
    quick: true,
  },
  {
    name: 'memory_idle',
    what: 'memory of an idle connection, mean of its two ends',
    unit: 'KiB',
    per: 'connection',
    goal: 2.0,
    workload: 'idle',
    pin: 'aes128',
    options: { count: 1000, warmUp: 1000 },
    lowerIsBetter: true,
    weight: 2.8,
    quick: true,
  },
];
