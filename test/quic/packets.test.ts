/** The handshake's secrets at work: two small QUIC stacks that exchange nothing but protected packets. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import { QuicPacketProtection, type QuicVersion } from '../../src/quic.ts';
import { World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { MiniStack } from './mini-stack.ts';
import { QuicLink } from './support.ts';

const world = new World({ alpnProtocols: ['h3'] });
after(() => world.close());

/** Carries datagrams to and fro until nothing moves. */
function exchange(client: MiniStack, server: MiniStack, up: Uint8Array[], down: Uint8Array[] = []): void {
  for (let round = 0; up.length + down.length > 0; round++) {
    assert.ok(round < 50, 'the two stacks talk without end');
    const next = { up: down.flatMap((one) => client.receive(one)), down: up.flatMap((one) => server.receive(one)) };
    up = next.up;
    down = next.down;
  }
}

function connect(version: QuicVersion, suite?: CipherSuiteName): { client: MiniStack; server: MiniStack } {
  const options = { world, version, cipherSuites: suite === undefined ? undefined : [suite] };
  const client = new MiniStack({ ...options, role: 'client' });
  const server = new MiniStack({ ...options, role: 'server' });
  exchange(client, server, client.start());
  assert.equal(client.endpoint?.error?.stack, undefined);
  assert.ok(client.complete && server.complete && client.handshakeDone);
  return { client, server };
}

describe('packets protected with the secrets of a handshake', () => {
  it("open at the other end's level and direction, and nowhere else", () => {
    const { client, server } = QuicLink.connect(world);
    const names = ['handshake read', 'handshake write', 'application read', 'application write'];
    const header = new Uint8Array([0xe0, 0, 0, 0, 1, 0, 0, 0x40, 0x20, 0]);
    const payload = utf8('a real packet');
    for (const from of names.filter((name) => name.endsWith('write'))) {
      const sealer = new QuicPacketProtection({ provider: nodeProvider, ...keys(client, from) });
      const packet = sealer.seal(0, header, payload);
      for (const to of names) {
        const opener = new QuicPacketProtection({ provider: nodeProvider, ...keys(server, to) });
        const opened = opener.open(packet, header.length - 1, -1);
        if (to === from.replace('write', 'read')) {
          assert.equal(Buffer.from(opened?.payload ?? []).toString(), 'a real packet');
        } else {
          assert.equal(opened, undefined, `${from} of the client does not open with ${to} of the server`);
        }
      }
    }
  });

  for (const version of [1, 2] as const) {
    for (const suite of Object.keys(cipherSuites) as CipherSuiteName[]) {
      it(`carry a connection of version ${version} with ${suite}, and through key updates`, () => {
        const { client, server } = connect(version, suite);
        assert.equal(client.endpoint?.summary?.cipherSuite, suite);
        exchange(client, server, client.send(0, utf8('up')), server.send(1, utf8('down')));
        client.updateKeys();
        exchange(client, server, client.send(4, utf8('up again')));
        assert.equal(server.keyUpdates, 1);
        exchange(client, server, [], server.send(5, utf8('down again')));
        server.updateKeys();
        exchange(client, server, [], server.send(9, utf8('and down')));
        assert.equal(client.keyUpdates, 2);
        assert.deepEqual(
          [0, 4].map((id) => Buffer.from(server.stream(id)).toString()),
          ['up', 'up again'],
        );
        assert.deepEqual(
          [1, 5, 9].map((id) => Buffer.from(client.stream(id)).toString()),
          ['down', 'down again', 'and down'],
        );
        client.forget();
        server.forget();
      });
    }
  }

  it("tell the peer why the handshake failed, in the other end's words", () => {
    const client = new MiniStack({ role: 'client', world, alpnProtocols: ['nobody speaks this'] });
    const server = new MiniStack({ role: 'server', world });
    exchange(client, server, client.start());
    assert.equal(client.closed?.code, 0x0178);
    assert.equal(server.endpoint?.error?.code, 'TLS_ERR_NO_APPLICATION_PROTOCOL');
  });

  it('leave no secret behind', () => {
    const watch = new SecretWatch();
    try {
      const { client, server } = connect(1);
      client.forget();
      server.forget();
      assert.deepEqual(watch.alive, []);
    } finally {
      watch.stop();
    }
  });
});

function keys(end: QuicLink['client'], name: string): NonNullable<ReturnType<QuicLink['client']['secrets']['get']>> {
  const found = end.secrets.get(name);
  assert.ok(found !== undefined);
  return found;
}
