/** `node:tls` on the other end, in this process: what two sockets of one kind can be asked that a program cannot. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import {
  type ConnectionOptions as NodeConnectionOptions,
  type TLSSocket as NodeSocket,
  connect as nodeConnect,
  createServer as nodeCreateServer,
} from 'node:tls';
import { connect, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { authority, certificateFor, closing, exchangeLine, hangGuard, listen, sha256 } from './support.ts';

/** What both kinds of socket have. */
type AnySocket = Pick<
  TLSSocket,
  | 'getProtocol'
  | 'isSessionReused'
  | 'exportKeyingMaterial'
  | 'on'
  | 'once'
  | 'off'
  | 'write'
  | 'end'
  | 'destroy'
  | 'resume'
> &
  NodeJS.ReadWriteStream;

interface Meeting {
  readonly client: AnySocket;
  readonly server: AnySocket;
  /** The first session that the client was told of. */
  readonly session: Promise<Buffer>;
}

const pem = certificateFor('ecdsa-p256');
const only13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
const groups = [
  ['X25519', 'X25519'],
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
] as const;
/** Node's OpenSSL has ML-KEM from 3.5 on. */
const hybrid = Number.parseFloat(process.versions.openssl) >= 3.5;

interface Options {
  readonly ciphers?: string;
  readonly group?: string;
  readonly session?: Buffer;
}

interface Direction {
  readonly name: string;
  /** The server sends a ticket after a resumption too; Node's sends none. */
  readonly renewsTickets: boolean;
  /** A server, and a way to connect to it. */
  serve(options?: { group?: string }): Promise<{
    meet(options?: Options): Promise<Meeting>;
    close(): void;
  }>;
}

const directions: readonly Direction[] = [
  {
    name: 'node:tls client, our server',
    renewsTickets: true,
    async serve({ group } = {}) {
      const server = createServer({
        ...pem,
        allowHalfOpen: true,
        ...(group === undefined ? {} : { ecdhCurve: group }),
      });
      const port = await listen(server);
      return {
        meet: async ({ ciphers, group: wanted, session } = {}) => {
          const secured = once(server, 'secureConnection');
          const client = nodeConnect({
            ...{ host: '127.0.0.1', port, servername: 'localhost', ca: authority, ...only13, allowHalfOpen: true },
            ...(ciphers === undefined ? {} : { ciphers }),
            ...(wanted === undefined ? {} : { ecdhCurve: wanted }),
            ...(session === undefined ? {} : { session }),
          } as NodeConnectionOptions);
          const came = new Promise<Buffer>((resolve) => client.once('session', resolve));
          const [[socket]] = await Promise.all([secured, once(client, 'secureConnect')]);
          return { client: client as unknown as AnySocket, server: socket as AnySocket, session: came };
        },
        close: () => server.close(),
      };
    },
  },
  {
    name: 'our client, node:tls server',
    renewsTickets: false,
    async serve({ group } = {}) {
      const server = nodeCreateServer({
        ...pem,
        ...only13,
        allowHalfOpen: true,
        ...(group === undefined ? {} : { ecdhCurve: group }),
      });
      const port = await listen(server);
      return {
        meet: async ({ ciphers, group: wanted, session } = {}) => {
          const secured = once(server, 'secureConnection');
          const client = connect({
            ...{ host: '127.0.0.1', port, servername: 'localhost', ca: authority, allowHalfOpen: true },
            ...(ciphers === undefined ? {} : { ciphers }),
            ...(wanted === undefined ? {} : { ecdhCurve: wanted }),
            ...(session === undefined ? {} : { session }),
          });
          const came = new Promise<Buffer>((resolve) => client.once('session', resolve));
          const [[socket]] = await Promise.all([secured, once(client, 'secureConnect')]);
          return { client: client as AnySocket, server: socket as NodeSocket as unknown as AnySocket, session: came };
        },
        close: () => server.close(),
      };
    },
  },
];

for (const { name, renewsTickets, serve } of directions) {
  describe(name, hangGuard, () => {
    /** Both ways, and that nothing was lost at the end. */
    async function finish({ client, server }: Meeting): Promise<void> {
      const ends = [closing(client as TLSSocket), closing(server as TLSSocket)];
      await Promise.all([carry(client, server, 2_000), carry(server, client, 2_000)]);
      client.end();
      server.end();
      client.resume();
      server.resume();
      assert.deepEqual(await Promise.all(ends), [undefined, undefined]);
    }

    for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
      test(`agrees on ${suite}, exports the same keying material, and resumes by the session event`, async () => {
        const { meet, close } = await serve();
        let session: Buffer | undefined;
        for (const resumed of [false, true, true]) {
          const meeting = await meet({ ciphers: suite, session });
          const { client, server } = meeting;
          assert.equal(client.getProtocol(), 'TLSv1.3');
          assert.equal((client as unknown as NodeSocket).getCipher().standardName, suite);
          assert.equal(server.getProtocol(), 'TLSv1.3');
          assert.equal(client.isSessionReused(), resumed);
          assert.equal(server.isSessionReused(), resumed);
          for (const context of [undefined, Buffer.from('bound to')]) {
            const ours = client.exportKeyingMaterial(64, 'EXPORTER-interop', context as Buffer);
            assert.deepEqual(ours, server.exportKeyingMaterial(64, 'EXPORTER-interop', context as Buffer));
          }
          client.resume();
          if (!resumed || renewsTickets) {
            session = await meeting.session;
          }
          await finish(meeting);
        }
        close();
      });
    }

    for (const [curve, title] of hybrid ? [...groups, ['X25519MLKEM768', 'X25519MLKEM768'] as const] : groups) {
      test(`agrees on ${title}`, async () => {
        const { meet, close } = await serve({ group: curve });
        const meeting = await meet({ group: curve });
        assert.equal((meeting.client as unknown as NodeSocket).getEphemeralKeyInfo !== undefined, true);
        const info = (meeting.client as unknown as NodeSocket).getEphemeralKeyInfo() as { name?: string };
        // Node before 22.20 names no group that is not an elliptic curve.
        if (title !== 'X25519MLKEM768') {
          assert.equal(info.name, curve);
        }
        await finish(meeting);
        close();
      });

      test(`comes to ${title} by a HelloRetryRequest`, async () => {
        const { meet, close } = await serve({ group: curve });
        const other = curve === 'prime256v1' ? 'secp384r1' : 'prime256v1';
        const meeting = await meet({ group: `${other}:${curve}` });
        const ours = [meeting.client, meeting.server].find((socket) => 'mayfly' in socket) as unknown as TLSSocket;
        assert.equal(ours.mayfly?.helloRetried, true);
        await finish(meeting);
        close();
      });
    }

    test('carries five megabytes each way at once', async () => {
      const { meet, close } = await serve();
      const meeting = await meet();
      const { client, server } = meeting;
      await Promise.all([carry(client, server, 5_000_000), carry(server, client, 5_000_000)]);
      await finish(meeting);
      close();
    });

    for (const first of ['client', 'server'] as const) {
      test(`keeps the other direction open when the ${first} ends its own`, async () => {
        const { meet, close } = await serve();
        const meeting = await meet();
        const [early, late] = first === 'client' ? [meeting.client, meeting.server] : [meeting.server, meeting.client];
        const ends = [closing(early as TLSSocket), closing(late as TLSSocket)];
        const ended = once(late, 'end');
        late.resume();
        early.end();
        await ended;
        await carry(late, early, 300_000);
        late.end();
        early.resume();
        assert.deepEqual(await Promise.all(ends), [undefined, undefined]);
        close();
      });
    }

    test('exchanges many small messages in turn', async () => {
      const { meet, close } = await serve();
      const meeting = await meet();
      reverse(meeting.server);
      for (let length = 2; length < 200; length++) {
        await exchangeLine(meeting.client, length);
      }
      meeting.client.destroy();
      meeting.server.destroy();
      close();
    });
  });
}

async function carry(from: AnySocket, to: AnySocket, length: number): Promise<void> {
  const sent = randomBytes(length);
  const arrived = new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let count = 0;
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      count += chunk.length;
      if (count >= length) {
        to.off('data', take);
        to.off('error', reject);
        resolve(Buffer.concat(chunks));
      }
    };
    to.on('data', take);
    to.on('error', reject);
  });
  from.write(sent);
  const received = await arrived;
  assert.equal(received.length, length);
  assert.equal(sha256(received), sha256(sent));
}

function reverse(socket: AnySocket): void {
  socket.on('data', (chunk: Buffer) => {
    const line = chunk.toString('latin1').trimEnd();
    socket.write(`${[...line].reverse().join('')}\n`);
  });
}
