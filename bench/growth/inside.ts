/**
 * How the cost of single parts grows, in a process of its own that can collect garbage: sessions in the cache, keys in the
 * ring, certificates in a chain, bytes in a record. Prints `InsideFigures` as JSON.
 */

import { Secret } from '../../src/bytes/secret.ts';
import { createTrustStore } from '../../src/certificates/trust-store.ts';
import { verifyCertificateChain } from '../../src/certificates/verify.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { systemClock } from '../../src/node/clock.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import type { SessionState12, SessionState13 } from '../../src/session/session-state.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import { makeCertificate, pemToDer } from '../certificate.ts';
import { World } from '../counts/memory-pair.ts';
import { microsPerCall } from '../timing.ts';

export interface InsideFigures {
  /** µs per call; bytes of the process per session. */
  readonly sessions: readonly {
    readonly count: number;
    readonly set: number;
    readonly get: number;
    readonly bytes: number;
  }[];
  /** µs. `opened` is by the oldest key. */
  readonly ring: readonly { readonly count: number; readonly seal: number; readonly open: number }[];
  /** µs of a verification that no cache saves, and bytes of the chain. */
  readonly chains: readonly { readonly count: number; readonly verify: number; readonly bytes: number }[];
  /** µs per record sealed and opened, and what that comes to. */
  readonly records: readonly { readonly size: number; readonly micros: number; readonly megabytes: number }[];
}

function common(): Omit<SessionState12, 'version' | 'cipherSuite' | 'secret' | 'extendedMasterSecret'> {
  const now = Date.now();
  return {
    issuedAt: now,
    authenticatedAt: now,
    ticketLifetime: 3600,
    serverName: 'localhost',
    alpnProtocol: 'http/1.1',
    policyHash: randomBytes(32),
  };
}

function state12(): SessionState12 {
  return {
    ...common(),
    version: 'TLSv1.2',
    cipherSuite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    secret: Secret.take('masterSecret', randomBytes(48)),
    extendedMasterSecret: true,
  };
}

function state13(): SessionState13 {
  return {
    ...common(),
    version: 'TLSv1.3',
    cipherSuite: 'TLS_AES_128_GCM_SHA256',
    secret: Secret.take('resumptionPsk', randomBytes(32)),
    ticketAgeAdd: 0,
  };
}

function growSessions(count: number): InsideFigures['sessions'][number] {
  const cache = new SessionCache({ clock: systemClock, maxEntries: count, maxBytes: Number.MAX_SAFE_INTEGER });
  const state = state12();
  const id = new Uint8Array(32);
  // Random enough, and no array per ID, which would be most of the memory.
  const pick = (index: number): Uint8Array => {
    new DataView(id.buffer).setUint32(0, Math.imul(index, 0x9e3779b1) >>> 0);
    new DataView(id.buffer).setUint32(4, index);
    return id;
  };
  collect();
  const before = memory();
  const begin = performance.now();
  for (let index = 0; index < count; index++) {
    cache.set(pick(index), state);
  }
  const set = (1000 * (performance.now() - begin)) / count;
  collect();
  const bytes = (memory() - before) / count;
  let next = 0;
  const get = microsPerCall(() => {
    next = (next + 7919) % count;
    const found = cache.get(pick(next));
    if (found === undefined) {
      throw new Error('a session that was just put into the cache is not there');
    }
    found.secret.erase();
  }, MS);
  cache.close();
  return { count, set, get, bytes };
}

function growRing(count: number): InsideFigures['ring'][number] {
  const provider = nodeProvider;
  const keys = new LocalTicketKeys({ provider, clock: systemClock });
  const now = Date.now();
  const state = state13();
  const oldest = keys.sealingKey(now);
  if (oldest === undefined) {
    throw new Error('the ring has no key that seals');
  }
  const ticket = sealTicket({ provider, key: oldest, state });
  while (keys.status().length < count) {
    keys.rotate();
  }
  const seal = microsPerCall(() => {
    const key = keys.sealingKey(Date.now());
    sealTicket({ provider, key: key ?? oldest, state });
  }, MS);
  const open = microsPerCall(() => {
    const { state: opened, refusal } = openTicket({ provider, keys, ticket, now: Date.now() });
    if (opened === undefined) {
      throw new Error(`the ticket did not open: ${refusal}`);
    }
    opened.secret.erase();
  }, MS);
  keys.close();
  return { count, seal, open };
}

function growChain(count: number): InsideFigures['chains'][number] {
  const { ca, cert } = makeCertificate(count);
  const roots = createTrustStore([ca]);
  const chain = pemToDer(cert);
  const verify = microsPerCall(() => {
    verifyCertificateChain({
      chain,
      roots,
      serverName: 'localhost',
      now: Date.now(),
      purpose: 'server',
      form: 'tolerant',
    });
  }, MS);
  return { count, verify, bytes: chain.reduce((sum, der) => sum + der.length, 0) };
}

function growRecord(size: number): InsideFigures['records'][number] {
  const world = new World();
  const pair = world.connect();
  const data = new Uint8Array(size).fill(0x61);
  const micros = microsPerCall(() => pair.send(pair.server, data), MS);
  pair.erase();
  return { size, micros, megabytes: size / micros };
}

function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function collect(): void {
  globalThis.gc?.();
  globalThis.gc?.();
}

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  nodeProvider.random(bytes);
  return bytes;
}

/** For each figure. */
const MS = 200;

const figures: InsideFigures = {
  sessions: [1000, 10_000, 100_000, 1_000_000].map(growSessions),
  ring: [1, 3, 10, 30, 100].map(growRing),
  chains: [1, 2, 3, 4].map(growChain),
  records: [64, 256, 1024, 4096, 16_384].map(growRecord),
};
process.stdout.write(JSON.stringify(figures));
// Timers of the rings and caches would keep the process.
process.exit(0);
