import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { KeyLedger } from '../../src/ledger/key-ledger.ts';
import type { KeyNode } from '../../src/ledger/key-tree.ts';
import { type Endpoint, World } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';
import { lineOf, nodes } from './support.ts';

// Before the worlds, so that it knows their ticket keys.
const ledger = new KeyLedger().start();
const world = new World();
const world12 = new World12();

after(() => {
  ledger.stop();
  world.close();
  world12.close();
});

/** The living record key whose line of descent has this secret in it. */
function recordKey(at: Endpoint, ancestor: string): KeyNode {
  const tree = ledger.tree(at.connection.owner);
  const found = nodes(tree).filter(
    (node) => node.kind === 'aeadKey' && node.endedAt === undefined && lineOf(tree, node.id).includes(ancestor),
  );
  assert.equal(found.length, 1, `${ancestor} has one record key in force`);
  return found[0];
}

describe('the uses of a key', () => {
  test('of TLS 1.3 are the records and bytes that it sealed at one end and opened at the other', () => {
    const link = world.connect({}, { context: { ...world.context, tickets: undefined } });
    const [client, server] = [link.client, link.server];
    const before = recordKey(client, 'CLIENT_TRAFFIC_SECRET').uses;
    const sizes = [1, 1000, 16_384, 40_000];
    for (const size of sizes) {
      client.take(client.connection.send(new Uint8Array(size)));
      link.deliver();
    }
    const sealed = recordKey(client, 'CLIENT_TRAFFIC_SECRET').uses;
    const opened = recordKey(server, 'CLIENT_TRAFFIC_SECRET').uses;
    const records = 1 + 1 + 1 + 3;
    // One byte of each record is its content type.
    const bytes = sizes.reduce((sum, size) => sum + size, records);
    assert.equal((sealed?.records ?? 0) - (before?.records ?? 0), records);
    assert.equal((sealed?.bytes ?? 0) - (before?.bytes ?? 0), bytes);
    assert.deepEqual(opened, sealed);
    link.forget();
  });

  test('of TLS 1.2 are counted alike', () => {
    const link = world12.connect12('id');
    const before = recordKey(link.server, 'serverWriteKey').uses;
    link.server.take(link.server.connection.send(new Uint8Array(20_000)));
    link.deliver();
    const after = recordKey(link.server, 'serverWriteKey').uses;
    assert.equal((after?.records ?? 0) - (before?.records ?? 0), 2);
    assert.equal((after?.bytes ?? 0) - (before?.bytes ?? 0), 20_000);
    assert.deepEqual(recordKey(link.client, 'serverWriteKey').uses, after);
    link.forget();
  });

  test('stay in its entry when it ends, and begin anew with the key that follows', () => {
    const link = world.connect();
    const { client } = link;
    const old = recordKey(client, 'CLIENT_TRAFFIC_SECRET');
    client.take(client.connection.updateKeys(false));
    link.deliver();
    client.take(client.connection.send(new Uint8Array(3)));
    link.deliver();
    const tree = ledger.tree(client.connection.owner);
    const ended = nodes(tree).find(({ id }) => id === old.id);
    assert.equal(ended?.why, 'next key');
    // Its last record was the KeyUpdate itself.
    assert.equal(ended?.uses?.records, (old.uses?.records ?? 0) + 1);
    const fresh = recordKey(client, 'CLIENT_TRAFFIC_SECRET');
    assert.deepEqual(fresh.uses, { records: 1, bytes: 4 });
    assert.deepEqual(
      lineOf(tree, fresh.id).filter((kind) => kind === 'CLIENT_TRAFFIC_SECRET').length,
      2,
      'the next generation is made from the one before',
    );
    link.forget();
  });

  test('do not grow by a record that is not authentic', () => {
    const link = world.connect();
    const before = recordKey(link.server, 'CLIENT_TRAFFIC_SECRET');
    link.toServer = (bytes) => bytes.map((byte, at) => (at === 7 ? byte ^ 1 : byte));
    link.client.take(link.client.connection.send(new Uint8Array(10)));
    link.deliver();
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    const after = ledger.entry(before.id);
    assert.deepEqual(after?.uses, before.uses);
    link.forget();
  });

  test('of a ticket key are the tickets that it sealed and opened, for each version apart', () => {
    const uses = (kind: string) =>
      [...ledger.entriesOf(world12.keys.owner)].filter((entry) => entry.kind === kind).at(-1)?.uses;
    const before13 = { ...uses('ticketKey') };
    const before12 = { ...uses('ticketKey12') };
    const session = world12.session12('ticket');
    const link = world12.connect12('ticket', { session });
    assert.equal(link.server.summary?.resumed, true);
    assert.equal((uses('ticketKey12')?.opened ?? 0) - (before12.opened ?? 0), 1);
    assert.ok((uses('ticketKey12')?.sealed ?? 0) > (before12.sealed ?? 0));
    assert.deepEqual(uses('ticketKey'), before13);
    link.forget();
    session.secret.erase();
  });
});
