/** One bit of every byte on the wire, in both directions, of every form of the TLS 1.2 handshake. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Link } from '../support/connections.ts';
import { recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { NAMINGS, type Naming, World12 } from '../support/world12.ts';

const world = new World12({ alpnProtocols: ['h2'] });
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

type Direction = 'toServer' | 'toClient';

/** Runs a handshake with one byte of one direction changed, and what it may come to. */
function run(make: () => Link, direction?: Direction, position = -1, mask = 0): Record<Direction, Uint8Array[]> {
  const link = make();
  const seen: Record<Direction, Uint8Array[]> = { toServer: [], toClient: [] };
  for (const way of ['toServer', 'toClient'] as const) {
    let offset = 0;
    link[way] = (bytes) => {
      seen[way].push(bytes);
      const changed = new Uint8Array(bytes);
      const at = position - offset;
      if (way === direction && at >= 0 && at < changed.length) {
        changed[at] ^= mask;
      }
      offset += bytes.length;
      return changed;
    };
  }
  link.run();
  judge(link, `${direction} ${position}`);
  link.forget();
  return seen;
}

function judge(link: Link, what: string): void {
  const { client, server } = link;
  if (client.summary !== undefined && server.summary !== undefined && !client.over && !server.over) {
    // Both are done: then they must agree on everything.
    link.toClient = (bytes) => bytes;
    link.toServer = (bytes) => bytes;
    link.assertComplete();
    return;
  }
  if (!client.over && !server.over) {
    // A length that grew: somebody waits for the rest of it, and gives up when the transport ends.
    link.cut();
  }
  assert(client.error !== undefined || server.error !== undefined, `${what}: the change went unseen`);
  for (const { error } of [client, server]) {
    assert.notEqual(error?.code, 'TLS_ERR_INTERNAL', `${what}: ${error?.stack}`);
    assert.notEqual(error?.code, 'TLS_ERR_SECRET_ERASED', `${what}: ${error?.stack}`);
  }
}

/** Offsets in the stream that bind nothing: the low byte of a record's version while records are in the clear. */
function freePositions(flights: readonly Uint8Array[]): Set<number> {
  const free = new Set<number>();
  let offset = 0;
  let protectedNow = false;
  for (const record of flights.flatMap(recordsOf)) {
    if (!protectedNow) {
      free.add(offset + 2);
    }
    protectedNow ||= record[0] === 20;
    offset += record.length;
  }
  return free;
}

function everyByte(make: () => Link): void {
  watch.clear();
  const seen = run(make);
  for (const direction of ['toServer', 'toClient'] as const) {
    const length = seen[direction].reduce((sum, flight) => sum + flight.length, 0);
    const free = freePositions(seen[direction]);
    for (let position = 0; position < length; position++) {
      const link = { complete: false };
      const once = () => {
        const made = make();
        const { client, server } = made;
        Object.defineProperty(link, 'complete', {
          get: () => client.summary !== undefined && server.summary !== undefined && !client.over && !server.over,
        });
        return made;
      };
      run(once, direction, position, 1 << ((position * 5 + 3) % 8));
      if (!free.has(position)) {
        assert.equal(link.complete, false, `${direction} ${position}: both completed over a changed byte`);
      }
    }
  }
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
    [],
  );
}

describe('a bit changed in any byte on the wire is never agreed on, and never makes anyone wait for ever', () => {
  for (const naming of NAMINGS) {
    test(`in a full handshake that makes a session by ${naming}`, () => everyByte(() => world.pair12(naming)));

    test(`in a handshake that is resumed by ${naming}`, () => {
      const session = world.session12(naming);
      everyByte(() => world.pair12(naming, { session }));
      session.secret.erase();
    });
  }
});

describe('one byte more or less anywhere', () => {
  const edits: Record<string, (flight: Uint8Array, at: number) => Uint8Array> = {
    removed: (flight, at) => new Uint8Array([...flight.subarray(0, at), ...flight.subarray(at + 1)]),
    doubled: (flight, at) => new Uint8Array([...flight.subarray(0, at + 1), ...flight.subarray(at)]),
  };
  for (const [name, edit] of Object.entries(edits)) {
    test(`a byte that is ${name} is never agreed on`, () => {
      const naming: Naming = 'ticket';
      for (const direction of ['toServer', 'toClient'] as const) {
        const flight = run(() => world.pair12(naming))[direction].find((bytes) => bytes.length > 0) as Uint8Array;
        for (let at = 0; at < flight.length; at += 3) {
          const link = world.pair12(naming);
          let done = false;
          link[direction] = (bytes) => {
            if (done || bytes.length === 0) {
              return bytes;
            }
            done = true;
            return edit(bytes, at);
          };
          link.run();
          assert(link.client.summary === undefined || link.server.summary === undefined, `${direction} ${at}`);
          judge(link, `${direction} ${at}`);
          link.forget();
        }
      }
    });
  }
});
