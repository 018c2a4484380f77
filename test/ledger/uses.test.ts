import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { ringConfiguration } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { KeyLedger } from '../../src/ledger/key-ledger.ts';
import type { KeyNode } from '../../src/ledger/key-tree.ts';
import { installTicketCallback, type NativeContext } from '../../src/node/native/ticket-callback.ts';
import { OpenSslTicketKeys } from '../../src/node/native/ticket-keys.ts';
import { openTicket, sealTicket } from '../../src/session/ticket.ts';
import { sessionState, sessionState12 } from '../session/fixtures.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
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

  test('of a fleet’s keys are counted for each version apart, on the account of its ring', async () => {
    const clock = new SimulatedClock();
    const store = new MemoryStore(() => clock.now());
    const files = createIdentityFiles(provider, 'fleet', ['one']).map((text) => readIdentityFile(provider, text));
    const [{ identity, name, members }] = files;
    const allowList = members.map(({ publicKey }) => publicKey);
    const configuration = ringConfiguration({ fleetName: 'fleet', allowList, dangerouslyClassicalKem: true });
    const ring = new Ring({ provider, configuration, identity, name, uses: ticketKeyUses('default'), store, clock });
    const keys = ring.ticketKeys('default');
    let key = keys.sealingKey();
    while (key === undefined) {
      clock.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
      key = keys.sealingKey();
    }
    const issuedAt = clock.now();
    for (const state of [sessionState({ issuedAt }), sessionState({ issuedAt }), sessionState12({ issuedAt })]) {
      openTicket({ provider, keys, ticket: sealTicket({ provider, key, state }), now: issuedAt }).state?.secret.erase();
      state.secret.erase();
    }
    const uses = (id: number) => ledger.entry(id)?.uses;
    assert.deepEqual(
      [uses(key.secret.id), uses(key.secret12.id)],
      [
        { sealed: 2, opened: 2 },
        { sealed: 1, opened: 1 },
      ],
    );
    const { ticketsSealed, ticketsOpened } = keys.status()[0];
    assert.deepEqual([ticketsSealed, ticketsOpened], [3, 3]);
    assert.equal(ring.owner.kind, 'ring');
    const kinds = new Set(ledger.entriesOf(ring.owner).map(({ kind }) => kind));
    assert.deepEqual(
      ['epochSecret', 'keyShare', 'ringWorkingKey'].filter((kind) => !kinds.has(kind)),
      [],
    );
    await ring.close();
    assert.deepEqual(
      ledger.entriesOf(ring.owner).filter(({ endedAt }) => endedAt === undefined),
      [],
    );
  });

  test('of a key in OpenSSL’s form are what its callback sealed and opened', () => {
    const keys = new OpenSslTicketKeys({ keys: world.keys, clock: world.clock, tls13Only: true });
    const context: NativeContext = { setSessionIdContext() {}, setSessionTimeout() {}, getMinProto: () => 0x0304 };
    installTicketCallback(context, keys, { sealed: 0, opened: 0, unknownKey: 0, withoutKey: 0 });
    const none = Buffer.alloc(16);
    const name = context.onticketkeycallback?.(none, none, true)[3] ?? none;
    context.onticketkeycallback?.(Buffer.from(name), none, false);
    context.onticketkeycallback?.(none, none, false);
    assert.deepEqual(ledger.entry(keys.sealing()?.secret.id ?? 0)?.uses, { sealed: 1, opened: 1 });
    keys.close();
  });
});
