import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import {
  ClientSessions,
  connect,
  createServer,
  startKeyLedger,
  stopKeyLedger,
  type TLSSocket,
} from '../../src/node/tls.ts';
import { closed, closing, listen, only, serverOptions, trust, type Version } from '../node/support.ts';
import { lineOf, nodes } from './support.ts';

afterEach(() => stopKeyLedger());

async function pair(): Promise<{ client: TLSSocket; server: TLSSocket; stop(): Promise<void> }> {
  const made = createServer(serverOptions);
  const port = await listen(made);
  const client = connect({ port, host: '127.0.0.1', servername: 'localhost', ...trust });
  const [server] = (await once(made, 'secureConnection')) as [TLSSocket];
  if (client.secureConnecting) {
    await once(client, 'secureConnect');
  }
  return {
    client,
    server,
    async stop() {
      const over = Promise.all([closing(client), closing(server)]);
      client.end();
      server.end();
      client.resume();
      server.resume();
      await over;
      await closed(made);
    },
  };
}

describe('socket.keyLedger()', () => {
  test('is the tree of that connection, at either end, while it is open and after', async () => {
    startKeyLedger();
    const { client, server, stop } = await pair();
    const ends = [client, server];
    for (const [i, role] of (['client', 'server'] as const).entries()) {
      const tree = ends[i].keyLedger();
      assert.deepEqual(tree?.owner, ends[i].secretOwner);
      assert.equal(tree?.owner?.role, role);
      const inForce = nodes(tree).filter(({ kind, endedAt }) => kind === 'aeadKey' && endedAt === undefined);
      assert.equal(inForce.length, 2);
    }
    assert.notEqual(client.secretOwner?.id, server.secretOwner?.id);
    client.updateKeys();
    client.write('x');
    await once(server, 'data');
    const renewed = nodes(server.keyLedger()).filter(({ kind }) => kind === 'CLIENT_TRAFFIC_SECRET');
    assert.equal(renewed.length, 2);
    await stop();
    const left = (socket: TLSSocket) =>
      nodes(socket.keyLedger()).filter((node) => node.endedAt === undefined && node.owner === undefined);
    assert.deepEqual(left(server), []);
    // Its sessions are whose it was that asked for them, until they are over.
    assert.ok(left(client).every(({ kind }) => kind === 'resumptionPsk'));
    assert.ok((server.keyLedger()?.ended ?? 0) > 20);
  });

  test('has the key exchange, or the session, that a connection rests on: each version, full, resumed, with early data', async () => {
    startKeyLedger();
    const made = createServer({ ...serverOptions, sessions: { earlyData: true } }, (socket) =>
      socket.on('error', () => {}).end('x'),
    );
    const port = await listen(made);
    // Tickets with early data begin a little after the server does.
    const sessionCache = new ClientSessions();
    const visit = async (version: Version, earlyData?: string) => {
      const socket = connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ...trust,
        ...only(version),
        sessionCache,
        ...(earlyData === undefined ? {} : { earlyData: utf8(earlyData) }),
      });
      socket.resume();
      await closing(socket);
      const tree = socket.keyLedger();
      assert.ok(tree);
      const all = nodes(tree);
      const keys = all.filter(({ kind, owner }) => kind === 'aeadKey' && owner === undefined);
      const lines = keys.map(({ id }) => lineOf(tree, id));
      return {
        resumed: socket.isSessionReused(),
        kinds: new Set(all.map(({ kind }) => kind)),
        ends: new Set(lines.map((line) => line.at(-1))),
        keys: lines.map((line) => line.find((kind) => /^(CLIENT|SERVER)_.*SECRET$/.test(kind)) ?? line[1]).sort(),
        alive: all.filter(({ endedAt, owner }) => endedAt === undefined && owner === undefined).map(({ kind }) => kind),
      };
    };
    const of13 = ['CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'CLIENT_TRAFFIC_SECRET'].flatMap((kind) => [
      kind,
      kind.replace('CLIENT', 'SERVER'),
    ]);
    const of12 = ['clientWriteKey', 'serverWriteKey'];
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const full = await visit(version);
      const resumed = await visit(version);
      const expected = (version === 'TLSv1.2' ? of12 : of13).sort();
      for (const [one, again] of [
        [full, false],
        [resumed, true],
      ] as const) {
        assert.equal(one.resumed, again, version);
        assert.deepEqual(one.keys, expected, version);
        const exchanged = version === 'TLSv1.3' || !again;
        assert.deepEqual([...one.ends], [exchanged ? 'keyShare' : 'masterSecret'], version);
        assert.deepEqual(
          one.alive.filter((kind) => kind !== 'resumptionPsk' && kind !== 'masterSecret'),
          [],
          'but what the session cache keeps',
        );
      }
      assert.equal(resumed.kinds.has('earlySecret'), version === 'TLSv1.3');
    }
    const early = await visit('TLSv1.3', 'early');
    assert.equal(early.resumed, true);
    assert.ok(early.kinds.has('CLIENT_EARLY_TRAFFIC_SECRET'));
    assert.deepEqual(early.keys, ['CLIENT_EARLY_TRAFFIC_SECRET', ...of13].sort());
    assert.deepEqual([...early.ends].sort(), ['keyShare', 'resumptionPsk']);
    sessionCache.clear();
    await closed(made);
  });

  test('says nothing where no ledger was started, nor of what was before it', async () => {
    const { client, server, stop } = await pair();
    assert.equal(client.keyLedger(), undefined);
    startKeyLedger();
    assert.equal(server.keyLedger(), undefined);
    await stop();
  });

  test('is plain JSON', async () => {
    startKeyLedger();
    const { client, stop } = await pair();
    const tree = client.keyLedger();
    assert.deepEqual(JSON.parse(JSON.stringify(tree)), tree);
    await stop();
    assert.notDeepEqual(client.keyLedger(), tree, 'and a picture of its moment');
  });
});
