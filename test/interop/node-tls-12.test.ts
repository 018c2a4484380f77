/** `node:tls` on the other end, in this process, in TLS 1.2: suites, sessions by ticket and by ID, exporters, renegotiation. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as nodeTls from 'node:tls';
import * as tls from '../../src/node/tls.ts';
import { authority, certificateFor, closing, exchangeLine, hangGuard, listen, only12, suites12 } from './support.ts';

type Tls = Pick<typeof tls, 'connect' | 'createServer'>;
const native = nodeTls as unknown as Tls;

const directions: readonly (readonly [string, Tls, Tls])[] = [
  ['node:tls client, our server', native, tls],
  ['our client, node:tls server', tls, native],
];
const curves = ['X25519', 'prime256v1', 'secp384r1', 'secp521r1'];

/** How sessions are named, and what a server is told for it. */
const ways = [
  ['ticket', {}],
  ['id', { secureOptions: constants.SSL_OP_NO_TICKET }],
] as const;

for (const [name, clientTls, serverTls] of directions) {
  describe(`${name}, TLS 1.2`, hangGuard, () => {
    /** A server that sends lines back; with a store, as node:tls keeps no sessions by ID of its own. */
    async function serve(options: object): Promise<[tls.Server, number]> {
      const server = serverTls.createServer({ ...only12, ...options }, (socket) => socket.pipe(socket));
      const store = new Map<string, Buffer>();
      server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
        store.set(id.toString('hex'), data);
        done();
      });
      server.on('resumeSession', (id: Buffer, answer: (error: null, data: Buffer | null) => void) =>
        answer(null, store.get(id.toString('hex')) ?? null),
      );
      return [server, await listen(server)];
    }

    interface Met {
      readonly client: tls.TLSSocket;
      readonly server: tls.TLSSocket;
    }

    async function meet(server: tls.Server, port: number, options: object = {}): Promise<Met> {
      const secured = once(server, 'secureConnection');
      const common = { host: '127.0.0.1', port, servername: 'localhost', ca: authority };
      const client = clientTls.connect({ ...common, ...only12, ...options });
      const [[socket]] = await Promise.all([secured, once(client, 'secureConnect')]);
      return { client, server: socket };
    }

    /** A line there and back, and that nothing was lost at the end. */
    async function finish({ client, server }: Met): Promise<void> {
      const ends = [closing(client), closing(server)];
      await exchangeLine(client, 2_000, (line) => line);
      client.end().resume();
      assert.deepEqual(await Promise.all(ends), [undefined, undefined]);
    }

    for (const [how, options] of ways) {
      for (const { name: standardName, openssl, keyType } of suites12) {
        test(`agrees on ${openssl}, exports the same keying material, and resumes by ${how}`, async () => {
          const [server, port] = await serve({ ...certificateFor(keyType), ...options });
          let session: Buffer | undefined;
          const materials: Buffer[] = [];
          for (const resumed of [false, true, true]) {
            const met = await meet(server, port, { ciphers: openssl, session });
            for (const socket of [met.client, met.server]) {
              assert.equal(socket.getProtocol(), 'TLSv1.2');
              assert.deepEqual(socket.getCipher(), { name: openssl, standardName, version: 'TLSv1.2' });
              assert.equal(socket.isSessionReused(), resumed);
            }
            const ours = (met.client as Partial<tls.TLSSocket>).mayfly ?? met.server.mayfly;
            assert.equal(ours?.resumedBy, resumed ? how : undefined);
            for (const context of [undefined, Buffer.from('bound to')]) {
              const material = met.client.exportKeyingMaterial(64, 'EXPORTER-interop', context);
              assert.deepEqual(material, met.server.exportKeyingMaterial(64, 'EXPORTER-interop', context));
              materials.push(material);
            }
            session = met.client.getSession();
            await finish(met);
          }
          assert.equal(new Set(materials.map(String)).size, 6, 'no two are the same');
          server.close();
        });
      }
    }

    for (const curve of curves) {
      test(`agrees on ${curve}`, async () => {
        const [server, port] = await serve({ ...certificateFor('rsa'), ecdhCurve: curve });
        const met = await meet(server, port, { ecdhCurve: curve });
        assert.equal((met.client.getEphemeralKeyInfo() as { name: string }).name, curve);
        await finish(met);
        server.close();
      });
    }

    for (const keyType of ['ecdsa-p384', 'ecdsa-p521', 'ed25519', 'ed448', 'rsa-pss'] as const) {
      test(`authenticates the server by a key of type ${keyType}`, async () => {
        const [server, port] = await serve(certificateFor(keyType));
        const met = await meet(server, port);
        assert.equal(met.client.authorized, true);
        await finish(met);
        server.close();
      });
    }

    test('each end may speak both versions and falls to TLS 1.2 for the other', async () => {
      const both = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' };
      for (const [atServer, atClient] of [
        [both, only12],
        [only12, both],
      ]) {
        const [server, port] = await serve({ ...certificateFor('ecdsa-p256'), ...atServer });
        const met = await meet(server, port, atClient);
        assert.equal(met.client.getProtocol(), 'TLSv1.2');
        await finish(met);
        server.close();
      }
    });

    test('renegotiates for fresh keys when either end asks', async () => {
      for (const side of ['client', 'server'] as const) {
        const [server, port] = await serve({ ...certificateFor('ecdsa-p256'), clientRenegotiations: 1 });
        const met = await meet(server, port);
        await exchangeLine(met.client, 2_000, (line) => line);
        const outcome = await new Promise<Error | null | undefined>((resolve) => met[side].renegotiate({}, resolve));
        assert.equal(outcome ?? null, null);
        await finish(met);
        server.close();
      }
    });
  });
}
