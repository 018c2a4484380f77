import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { SecretOwner } from '../../src/ledger/channels.ts';
import { KeyLedger } from '../../src/ledger/key-ledger.ts';
import type { KeyTree } from '../../src/ledger/key-tree.ts';
import { externalPsk, pskContext } from '../psk/support.ts';
import { World } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';
import { lineOf, nodes, outline } from './support.ts';

// Before the worlds, so that it knows their ticket keys.
const ledger = new KeyLedger().start();
const world = new World();
const world12 = new World12();

after(() => {
  ledger.stop();
  world.close();
  world12.close();
});

function treeOf({ owner }: { readonly owner: SecretOwner }): KeyTree {
  const tree = ledger.tree(owner);
  assert.ok(tree);
  return tree;
}

/** From the handshake secret on, as RFC 9846 §7.1 draws it; the order is that in which a side makes them. */
function below13(role: 'client' | 'server', tickets: number): string[] {
  const traffic = (kind: string, ...more: string[]) => [kind, ' writeKey', '  aeadKey', ' writeIv', ...more];
  const application = ['CLIENT_TRAFFIC_SECRET', 'SERVER_TRAFFIC_SECRET'];
  const order = role === 'client' ? application : application.reverse();
  const psk = role === 'client' ? [' resumptionPsk'] : [' resumptionPsk', '  sessionState'];
  return [
    'handshakeSecret',
    ...traffic('CLIENT_HANDSHAKE_TRAFFIC_SECRET', ' finishedKey').map((line) => ` ${line}`),
    ...traffic('SERVER_HANDSHAKE_TRAFFIC_SECRET', ' finishedKey').map((line) => ` ${line}`),
    ' derived',
    '  mainSecret',
    ...order.flatMap((kind) => traffic(kind)).map((line) => `   ${line}`),
    ...['EXPORTER_SECRET', ' exporterDerived', '  exported', 'resumptionSecret'].map((line) => `   ${line}`),
    ...Array.from({ length: tickets }, () => psk)
      .flat()
      .map((line) => `   ${line}`),
  ];
}

const exchanged13 = (role: 'client' | 'server', tickets: number) => [
  'keyShare',
  ' sharedSecret',
  ...below13(role, tickets).map((line) => `  ${line}`),
];

describe('the tree of a connection', () => {
  test('of TLS 1.3 is the key schedule, from the key share to the record keys and the PSKs of tickets', () => {
    const link = world.connect();
    assert.deepEqual(outline(treeOf(link.client.connection)), exchanged13('client', 2));
    // What seals a ticket comes from the ring: it stands beside.
    assert.deepEqual(outline(treeOf(link.server.connection)), [
      'ticketKey',
      ' aeadKey',
      ' aeadKey',
      ...exchanged13('server', 2),
    ]);
    link.forget();
  });

  test('is of one connection alone, though both ends of all live in one process', () => {
    const links = [world.pair(), world.pair(), world.pair()];
    for (const link of links) {
      link.client.start();
    }
    for (const link of links) {
      link.deliver().assertComplete();
    }
    const owned = new Set<number>();
    for (const { connection } of links.flatMap(({ client, server }) => [client, server])) {
      const { owner, secrets } = treeOf(connection);
      assert.deepEqual(owner, connection.owner);
      assert.equal(owner?.role, connection.role);
      for (const node of nodes({ owner, secrets, alive: 0, ended: 0, forgotten: 0 })) {
        if (node.owner === undefined) {
          assert.ok(!owned.has(node.id), `${node.kind} belongs to one connection`);
          owned.add(node.id);
        } else {
          assert.equal(node.kind, 'ticketKey');
        }
      }
    }
    for (const link of links) {
      link.forget();
    }
  });

  test('of TLS 1.3 that resumes has two roots: the PSK, with what carried it, and the key exchange', () => {
    const first = world.connect();
    const [session] = first.client.sessions;
    const link = world.connect({ session });
    assert.equal(link.server.summary?.resumed, true);
    const early = ['earlySecret', ' binderKey', '  finishedKey', ' derived'];
    const client = treeOf(link.client.connection);
    assert.deepEqual(
      outline(client)
        .filter((line) => line !== 'keyShare')
        .slice(0, 5),
      ['resumptionPsk', ...early.map((line) => ` ${line}`)],
    );
    const [psk] = client.secrets;
    assert.deepEqual([psk.id, psk.owner], [session.secret.id, first.client.connection.owner]);

    const server = treeOf(link.server.connection);
    const [ring] = server.secrets;
    assert.deepEqual([ring.kind, ring.owner], ['ticketKey', world.keys.owner]);
    const opened = nodes(server).find(({ kind }) => kind === 'resumptionPsk');
    assert.ok(opened);
    assert.deepEqual(opened.parents, [ring.id], 'whoever has the ring’s key has the PSK of the ticket');

    for (const tree of [client, server]) {
      const handshake = nodes(tree).find(({ kind }) => kind === 'handshakeSecret');
      const [salt, shared] = handshake?.parents.map((id) => nodes(tree).find((node) => node.id === id)?.kind) ?? [];
      assert.deepEqual([salt, shared], ['derived', 'sharedSecret'], 'of both, and the key exchange weighs most');
      assert.deepEqual(lineOf(tree, handshake?.id ?? 0), ['handshakeSecret', 'sharedSecret', 'keyShare']);
    }
    first.forget();
    link.forget();
  });

  test('without a key exchange (psk_ke) hangs on the PSK alone', () => {
    const psk = externalPsk('device');
    const context = pskContext(world, [psk], { dangerouslyAllowPskKe: 'prefer' });
    const link = world.connect({ externalPsks: [psk], dangerouslyAllowPskKe: true }, { context });
    assert.equal(link.client.summary?.pskMode, 'psk_ke');
    const tree = treeOf(link.client.connection);
    const handshake = nodes(tree).find(({ kind }) => kind === 'handshakeSecret');
    const line = lineOf(tree, handshake?.id ?? 0);
    // A copy of the host's.
    assert.deepEqual(line, ['handshakeSecret', 'derived', 'earlySecret', 'externalPsk', 'externalPsk']);
    link.forget();
  });

  const master = [
    'keyBlock',
    ' clientWriteKey',
    '  aeadKey',
    ' clientImplicitNonce',
    ' serverWriteKey',
    '  aeadKey',
    ' serverImplicitNonce',
  ];
  /** Sorted, as the two ends make some of them at different times. */
  const kinds = (lines: readonly string[]) => lines.map((line) => line.trim()).sort();

  test('of TLS 1.2 is the premaster secret, the master secret and the key block', () => {
    const link = world12.connect12('ticket');
    const tree = treeOf(link.client.connection);
    assert.deepEqual(outline(tree).slice(0, 3), ['keyShare', ' sharedSecret', '  extendedMasterSecret']);
    const expected = [
      'keyShare',
      'sharedSecret',
      'extendedMasterSecret',
      ...master,
      'clientVerifyData',
      'serverVerifyData',
      'exported',
    ];
    assert.deepEqual(kinds(outline(tree)), kinds([...expected, 'masterSecret']), 'and a copy of it, for the session');
    for (const node of nodes(tree).filter(({ kind }) => kind === 'aeadKey')) {
      const [, key, ...rest] = lineOf(tree, node.id);
      assert.match(key, /^(client|server)WriteKey$/);
      assert.deepEqual(rest, ['keyBlock', 'extendedMasterSecret', 'sharedSecret', 'keyShare']);
    }
    link.forget();
  });

  test('of TLS 1.2 that resumes has no key exchange: all of it comes from the session', () => {
    for (const naming of ['ticket', 'id'] as const) {
      const first = world12.connect12(naming);
      const session = first.client.sessions12[0];
      const link = world12.connect12(naming, { session });
      assert.equal(link.server.summary?.resumed, true);
      const server = treeOf(link.server.connection);
      assert.deepEqual(
        nodes(server).filter(({ kind }) => kind === 'keyShare' || kind === 'sharedSecret'),
        [],
      );
      const block = nodes(server).find(({ kind }) => kind === 'keyBlock');
      const source = naming === 'ticket' ? 'ticketKey12' : 'cachedSession';
      assert.deepEqual(lineOf(server, block?.id ?? 0), ['keyBlock', 'masterSecret', source]);
      const client = treeOf(link.client.connection);
      const made = nodes(client).find(({ kind }) => kind === 'keyBlock');
      assert.deepEqual(lineOf(client, made?.id ?? 0).at(-1), 'masterSecret');
      assert.ok(!nodes(client).some(({ kind, parents }) => kind === 'sharedSecret' && parents.length > 0));
      first.forget();
      link.forget();
    }
  });

  test('of a cached session leads back to the connection that made it', () => {
    const first = world12.connect12('id');
    const made = treeOf(first.server.connection);
    const cached = nodes(made).find(({ kind }) => kind === 'cachedSession');
    assert.ok(cached);
    assert.ok(lineOf(made, cached.id).includes('extendedMasterSecret'));
    assert.equal(cached.endedAt, undefined, 'it outlives the handshake');
    first.forget();
    const left = nodes(treeOf(first.server.connection)).filter((node) => node.endedAt === undefined);
    assert.deepEqual(
      left.map(({ kind }) => kind),
      ['cachedSession'],
      'and is what is left of the connection at the server',
    );
  });
});

describe('an account', () => {
  test('holds all keys of a ring, though a connection brings it to make one', () => {
    const link = world.connect();
    const before = [...ledger.entriesOf(world.keys.owner)].length;
    world.clock.advance(3_600_000);
    const next = world.connect();
    const ring = [...ledger.entriesOf(world.keys.owner)];
    assert.ok(ring.length > before, 'a new key was due');
    assert.ok(ring.every(({ kind }) => kind.startsWith('ticketKey')));
    for (const { connection } of [link.server, next.server]) {
      assert.ok([...ledger.entriesOf(connection.owner)].every(({ kind }) => !kind.startsWith('ticketKey')));
    }
    link.forget();
    next.forget();
  });

  test('is settled when a connection ends, however it ends: nothing of it lives on but what its host keeps', () => {
    const closed = world.connect();
    closed.client.take(closed.client.connection.close());
    closed.deliver();
    closed.server.take(closed.server.connection.close());
    closed.deliver();

    const aborted = world.connect();
    aborted.client.take(aborted.client.connection.abort('internal_error'));
    aborted.deliver();

    const tampered = world.pair();
    tampered.toClient = (bytes) => bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte));
    tampered.run();
    assert.ok(tampered.client.over);

    for (const link of [closed, aborted, tampered]) {
      for (const session of link.client.sessions) {
        session.secret.erase();
      }
      for (const { connection } of [link.client, link.server]) {
        const tree = treeOf(connection);
        const alive = nodes(tree).filter((node) => node.endedAt === undefined && node.owner === undefined);
        assert.deepEqual(
          alive.map(({ kind }) => kind),
          [],
        );
        assert.equal(tree.alive, 0);
        assert.ok(tree.ended > 5);
        for (const node of nodes(tree).filter(({ owner }) => owner === undefined)) {
          assert.equal(typeof node.why, 'string');
          assert.ok((node.endedAt ?? 0) >= node.bornAt);
        }
      }
    }
    const why = nodes(treeOf(tampered.client.connection)).map((node) => node.why);
    assert.ok(why.includes('TLS_ERR_BAD_RECORD_MAC'), 'a failure is told by its code');
  });

  test('tells what keying material was exported, and from which secret', () => {
    const link = world.connect();
    link.client.connection.exportKeyingMaterial('again', undefined, 40);
    const tree = treeOf(link.client.connection);
    const exported = nodes(tree).find(({ kind, length }) => kind === 'exported' && length === 40);
    assert.deepEqual(lineOf(tree, exported?.id ?? 0).slice(0, 4), [
      'exported',
      'exporterDerived',
      'EXPORTER_SECRET',
      'mainSecret',
    ]);
    link.forget();
  });
});
