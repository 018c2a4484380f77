import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { type Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const world = new World();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

interface Span {
  readonly start: number;
  readonly end: number;
  readonly type: number;
}

function recordsIn(bytes: Uint8Array): Span[] {
  const records: Span[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + ((bytes[at + 3] << 8) | bytes[at + 4]);
    records.push({ start: at, end, type: bytes[at] });
    at = end;
  }
  return records;
}

beforeEach(() => watch.clear());

type Direction = 'toServer' | 'toClient';

/** One handshake in which the bytes of one direction, counted from the first one, are changed on their way. */
function tamper(
  direction: Direction,
  change: (bytes: Uint8Array, offset: number) => Uint8Array,
  scenario: Scenario,
): Link {
  const link = world.pair(scenario.client?.(), scenario.server);
  let offset = 0;
  link[direction] = (bytes) => {
    const changed = change(bytes, offset);
    offset += bytes.length;
    return changed;
  };
  return link.run();
}

/** Whatever happened: no hang, no silent failure, no two views of one handshake, no secret left. */
function assertSound(link: Link, what: string): void {
  const { client, server } = link;
  if (client.summary !== undefined && server.summary !== undefined) {
    for (const label of ['EXPORTER_SECRET', 'CLIENT_TRAFFIC_SECRET_0', 'SERVER_TRAFFIC_SECRET_0']) {
      assert.equal(client.keyLog.get(label), server.keyLog.get(label), `${what}: both sides derived one ${label}`);
    }
  }
  const failedBefore = client.error ?? server.error;
  link.cut();
  assert(client.error !== undefined, `${what}: the client is told`);
  assert(server.error !== undefined, `${what}: the server is told`);
  if (failedBefore !== undefined && failedBefore.code !== 'TLS_ERR_NOT_TLS') {
    assert(failedBefore.alert !== undefined, `${what}: ${failedBefore.code} has an alert`);
    const heard = [client, server].some(({ error }) => error?.code === 'TLS_ERR_ALERT_RECEIVED');
    // A mangled alert, or one under keys that the other side does not have, cannot be heard; then the other side fails by
    // itself or by the end of the transport.
    assert(heard || [client, server].every(({ error }) => error !== undefined), what);
  }
  link.forget();
  giveBack();
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

interface Scenario {
  readonly client?: () => Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  /** Every how manieth byte is tampered with: what is the same as in a full handshake need not be done in full again. */
  readonly step?: number;
}

const compact: Partial<ClientOptions> = { grease: false, namedGroups: ['x25519'] };
const scenarios: Record<string, Scenario> = {
  'a full handshake': { client: () => compact },
  'a resumed handshake': { client: () => ({ ...compact, session: takeSession() }), step: 3 },
  'a handshake with a HelloRetryRequest': {
    client: () => ({ grease: false, namedGroups: ['x25519', 'secp256r1'], keyShares: ['x25519'] }),
    server: { namedGroups: ['secp256r1'] },
    step: 3,
  },
};

/** Every attempt gets a copy of one session, which ends with it. */
function takeSession(): ClientSession {
  kept ??= makeSession();
  const secret = kept.secret.use((bytes) => Secret.copy('resumptionPsk', bytes));
  lent.push(secret);
  return { ...kept, secret };
}

function makeSession(): ClientSession {
  const link = world.connect(compact);
  const session = link.client.sessions.pop() as ClientSession;
  link.forget();
  return session;
}

let kept: ClientSession | undefined;
const lent: Secret[] = [];

function giveBack(): void {
  for (const secret of lent.splice(0)) {
    secret.erase();
  }
}

/** What crosses the wire when nobody interferes. */
function undisturbed(scenario: Scenario): { [D in Direction]: Uint8Array } {
  const seen = { toServer: new Uint8Array(0), toClient: new Uint8Array(0) };
  const link = world.pair(scenario.client?.(), scenario.server);
  for (const direction of ['toServer', 'toClient'] as const) {
    link[direction] = (bytes) => {
      seen[direction] = concat(seen[direction], bytes) as Uint8Array<ArrayBuffer>;
      return bytes;
    };
  }
  link.run().forget();
  giveBack();
  return seen;
}

for (const [name, scenario] of Object.entries(scenarios)) {
  describe(name, () => {
    const wire = undisturbed(scenario);
    for (const direction of ['toServer', 'toClient'] as const) {
      const bytes = wire[direction];
      const records = recordsIn(bytes);

      test(`fails, or is the same on both sides, whichever bit is flipped ${direction} (${bytes.length} bytes)`, () => {
        for (let position = 0; position < bytes.length; position += scenario.step ?? 1) {
          const bit = 1 << ((position * 5) % 8);
          const link = tamper(
            direction,
            (chunk, offset) => {
              const changed = new Uint8Array(chunk);
              if (position >= offset && position < offset + chunk.length) {
                changed[position - offset] ^= bit;
              }
              return changed;
            },
            scenario,
          );
          const what = `bit ${bit} of byte ${position} ${direction}`;
          const record = records.find(({ start, end }) => position >= start && position < end) as Span;
          const isMinorVersion = position === record.start + 2 && record.type !== 23;
          // A ticket whose record became longer is waited for.
          const isTicket = direction === 'toClient' && position >= ticketsStart(bytes);
          const isComplete = link.client.summary !== undefined && link.server.summary !== undefined;
          if (!isMinorVersion && !isTicket) {
            assert(link.client.over || link.server.over || !isComplete, `${what}: it does not just succeed`);
          }
          assertSound(link, what);
        }
      });

      test(`never completes at the receiver when it is cut off ${direction} before its last record`, () => {
        // After the last handshake record of a server come its tickets, which a client can do without.
        const until = direction === 'toServer' ? bytes.length : ticketsStart(bytes);
        const step = Math.max(1, Math.floor(until / 60));
        for (let length = 0; length < until; length += step) {
          const link = tamper(direction, (chunk, offset) => chunk.slice(0, Math.max(0, length - offset)), scenario);
          const receiver = direction === 'toServer' ? link.server : link.client;
          assert.equal(receiver.summary, undefined, `cut after ${length} bytes`);
          assertSound(link, `cut after ${length} bytes ${direction}`);
        }
      });

      test(`fails when a record is dropped, doubled or swapped with the next ${direction}`, () => {
        const parts = records.map(({ start, end }) => bytes.slice(start, end));
        for (const index of parts.keys()) {
          const { type } = records[index];
          for (const change of ['drop', 'double', 'swap'] as const) {
            if (change === 'swap' && index + 1 === parts.length) {
              continue;
            }
            let applied = false;
            const link = tamper(
              direction,
              (chunk, offset) => {
                const changed = rearranged(chunk, offset, records[index], records[index + 1], change);
                applied ||= changed !== chunk;
                return changed;
              },
              scenario,
            );
            const what = `${change} record ${index} of type ${type} ${direction}`;
            const ccs = type === 20 || (change === 'swap' && records[index + 1].type === 20);
            const isLast = index + 1 === parts.length;
            const receiver = direction === 'toServer' ? link.server : link.client;
            // change_cipher_spec says nothing and may come twice or not at all.
            if (applied && !ccs && !(isLast && direction === 'toClient')) {
              assert(receiver.summary === undefined || receiver.over, what);
            }
            assertSound(link, what);
          }
        }
      });
    }
  });
}

function rearranged(
  chunk: Uint8Array,
  offset: number,
  record: Span,
  next: Span | undefined,
  change: 'drop' | 'double' | 'swap',
): Uint8Array {
  const start = record.start - offset;
  const end = record.end - offset;
  if (start < 0 || end > chunk.length) {
    return chunk;
  }
  const own = chunk.subarray(start, end);
  const head = chunk.subarray(0, start);
  if (change !== 'swap') {
    return concat(head, ...(change === 'drop' ? [] : [own, own]), chunk.subarray(end));
  }
  const nextEnd = (next?.end ?? 0) - offset;
  return nextEnd > chunk.length ? chunk : concat(head, chunk.subarray(end, nextEnd), own, chunk.subarray(nextEnd));
}

/** Tickets are the last record of a server. */
function ticketsStart(bytes: Uint8Array): number {
  return recordsIn(bytes).at(-1)?.start ?? 0;
}
