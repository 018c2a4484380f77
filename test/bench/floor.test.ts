import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import test from 'node:test';
import { makeCertificate } from '../../bench/certificate.ts';
import { World } from '../../bench/counts/memory-pair.ts';
import { countingProvider } from '../../bench/counts/provider-counting.ts';
import type { Counts } from '../../bench/counts/tally.ts';
import { clientEnd, serverEnd } from '../../bench/floor/ends.ts';
import {
  type ClientEnd,
  type Direction,
  type End,
  FLIGHT_ROOM,
  type Kind,
  kinds,
  type Session,
} from '../../bench/floor/kinds.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';

/** What one end did. */
interface Work {
  readonly calls: Counts;
  /** Lengths of its writes. */
  readonly writes: number[];
}

type Pair = Readonly<Record<'client' | 'server', Work>>;

function nothing(): Pair {
  return { client: { calls: {}, writes: [] }, server: { calls: {}, writes: [] } };
}

/** The core's handshake of this kind, from two connections to their end. */
function core(kind: Kind): Pair {
  const work = nothing();
  const sent = { client: work.client.writes, server: work.server.writes };
  const ends = { client: countingProvider(work.client.calls), server: countingProvider(work.server.calls) };
  const world = new World(nodeProvider, { actions: {}, wireBytes: 0, sent }, ends);
  const byId = kind === 'id12';
  const context = byId ? world.byId : world.byTicket;
  const options: Partial<ClientOptions> = {
    alpnProtocols: [],
    ...(kind.endsWith('12') ? { versions: ['TLSv1.2'] } : {}),
    ...(kind === 'hybrid' ? { namedGroups: ['X25519MLKEM768'] } : {}),
    ...(byId ? { offerTickets12: false } : {}),
  };
  const resumed = kind === 'resumed' || kind === 'ticket12' || byId;
  // Also where it does not resume: the first handshake makes what all share.
  const session = world.session(options, context);
  for (const { calls, writes } of Object.values(work)) {
    writes.length = 0;
    for (const name of Object.keys(calls)) {
      delete calls[name];
    }
  }
  world.connect(resumed ? { ...options, session } : options, context).erase();
  session.secret.erase();
  return work;
}

const certificate = makeCertificate();
const publicKey = nodeProvider.importPublicKey(
  new X509Certificate(certificate.cert).publicKey.export({ type: 'spki', format: 'der' }),
);
const privateKey = nodeProvider.importPrivateKey(certificate.key);
const ring = new Uint8Array(32).fill(7);
const sessions = new Map<string, Uint8Array>();

interface FloorRun extends Pair {
  readonly end: ClientEnd;
  readonly directions: readonly [Direction, Direction];
}

/** The floor's handshake of this kind, flight by flight. */
function floor(kind: Kind, session?: Session): FloorRun {
  const work = nothing();
  const provider = countingProvider(work.client.calls);
  const client = clientEnd({ provider, kind, aead: 'aes-128-gcm', publicKey, session });
  let flight = new Uint8Array(FLIGHT_ROOM);
  flight = flight.subarray(0, client.begin(flight));
  const options = { provider: countingProvider(work.server.calls), privateKey, ring, sessions };
  const server = serverEnd(options, flight);
  for (let from: 'client' | 'server' = 'client'; flight.length > 0; from = from === 'client' ? 'server' : 'client') {
    work[from].writes.push(flight.length);
    const to: End = from === 'client' ? server : client;
    assert.equal(to.awaits, flight.length, `${kind}: what the ${from} sends`);
    const answer = new Uint8Array(FLIGHT_ROOM);
    flight = answer.subarray(0, to.take(flight, answer));
  }
  assert(client.traffic !== undefined && server.traffic !== undefined, `${kind}: both ends are done`);
  return { ...work, end: client, directions: [client.traffic.send, server.traffic.receive] };
}

/** A run of this kind, after what it resumes. */
function floorOf(kind: Kind): FloorRun {
  switch (kind) {
    case 'resumed':
      return floor(kind, floor('full').end.session(kind));
    case 'ticket12':
    case 'id12':
      return floor(kind, floor('full12').end.session(kind));
    default:
      return floor(kind);
  }
}

for (const kind of kinds) {
  test(`the floor's handshake ${kind} calls the provider no more than the core does, and no less where it must not`, () => {
    const [ours, least] = [core(kind), floorOf(kind)];
    for (const role of ['client', 'server'] as const) {
      const [real, calls] = [ours[role].calls, least[role].calls];
      for (const [name, count] of Object.entries(calls).filter(([name]) => !/hmac/i.test(name))) {
        assert(count <= (real[name] ?? 0), `${role}: ${name} ${count}, the core ${real[name] ?? 0}`);
      }
      for (const name of unavoidable) {
        assert.equal(calls[name] ?? 0, real[name] ?? 0, `${role}: ${name}`);
      }
      // Which of the two it takes is the core's own caution: a PSK may come from outside, those of the floor never do.
      assert.equal(hmacs(real) - hmacs(calls), postponed[kind][role], `${role}: HMACs that can be put off`);
    }
  });

  test(`the floor's handshake ${kind} has the core's writes and lengths`, () => {
    const [ours, least] = [core(kind), floorOf(kind)];
    for (const role of ['client', 'server'] as const) {
      const [real, writes] = [ours[role].writes, least[role].writes];
      assert.equal(writes.length, real.length, `${role}: ${writes} for ${real}`);
      for (const [index, length] of writes.entries()) {
        // The floor has room for the longest signature, and the core's certificate is another.
        assert(Math.abs(length - real[index]) <= 8, `${role}: ${writes} for ${real}`);
      }
    }
  });
}

test('what one end of the floor seals the other opens, under keys that both have derived', () => {
  for (const kind of kinds) {
    const [send, receive] = floorOf(kind).directions;
    const content = Uint8Array.of(1, 2, 3, 23).subarray(0, 3 + send.tail);
    const record = new Uint8Array(content.length + 64);
    const end = send.seal(23, content, record, 0);
    assert.equal(end, 3 + send.overhead);
    assert.deepEqual([...receive.open(record, 0, end)], [...content]);
    assert.throws(() => receive.open(record, 0, end), /cannot open/, 'a number is used once');
  }
});

function hmacs({ hmac = 0, hmacOfRandomKey = 0, publicHmac = 0 }: Counts): number {
  return hmac + hmacOfRandomKey + publicHmac;
}

/** Public-key operations first; then what every record, transcript and rung of the key schedule takes. */
const unavoidable: readonly string[] = [
  'generateKeyShare',
  'keyShare.agree',
  'encapsulate',
  'sign',
  'verify',
  'verifyTls12',
  'createHash',
  'runningHash.digest',
  'hash',
  'aead',
  'aead.seal',
  'aead.open',
  'equal',
];

/** HMACs that an implementation may put off until they are asked for: the exporter secret, and a client's PSK of each ticket. */
const postponed: Readonly<Record<Kind, Readonly<Record<'client' | 'server', number>>>> = {
  full: { client: 3, server: 1 },
  hybrid: { client: 3, server: 1 },
  resumed: { client: 2, server: 1 },
  full12: { client: 0, server: 0 },
  ticket12: { client: 0, server: 0 },
  id12: { client: 0, server: 0 },
};
