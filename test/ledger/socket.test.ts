import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { connect, createServer, startKeyLedger, stopKeyLedger, type TLSSocket } from '../../src/node/tls.ts';
import { closed, closing, listen, serverOptions, trust } from '../node/support.ts';
import { nodes } from './support.ts';

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
