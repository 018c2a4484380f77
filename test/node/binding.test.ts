/** Exporters, Finished messages and channel bindings, held against `node:tls`. */

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import * as tls from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';
import {
  cases,
  closing,
  listen,
  localhost,
  only,
  serverOptions,
  type Tls,
  trust,
  type Version,
  versions,
} from './support.ts';

interface Ends {
  readonly client: tls.TLSSocket;
  readonly server: tls.TLSSocket;
  close(): Promise<void>;
}

async function ends(
  serverTls: Tls,
  clientTls: Tls,
  version: Version,
  options: tls.ConnectionOptions = {},
  listening?: tls.Server,
): Promise<Ends> {
  const made = listening ?? serverTls.createServer({ ...serverOptions, ...only(version) });
  const port = listening === undefined ? await listen(made) : (made.address() as { port: number }).port;
  const accepted = once(made, 'secureConnection');
  const client = clientTls.connect({
    ...{ host: '127.0.0.1', port, servername: 'localhost', allowTruncation: true },
    ...{ ...trust, ...only(version), ...options },
  });
  client.on('error', () => {});
  const secured = once(client, 'secureConnect');
  const [server] = (await accepted) as [tls.TLSSocket];
  await secured;
  server.on('error', () => {});
  return {
    client,
    server,
    async close() {
      client.destroy();
      server.destroy();
      await Promise.all([closing(client), listening === undefined && made.close()]);
    },
  };
}

for (const { name, server: serverTls, client: clientTls, version } of cases) {
  describe(name, () => {
    test('both ends export the same, by label, context and length', async () => {
      const { client, server, close } = await ends(serverTls, clientTls, version);
      const seen = new Set<string>();
      for (const [length, label, context] of [
        [128, 'label', undefined],
        [128, 'label', Buffer.from('context')],
        [128, 'label', Buffer.from('contexT')],
        [128, 'another', Buffer.from('context')],
        [1, 'label', Buffer.from('context')],
        [200, 'label', Buffer.from('context')],
      ] as const) {
        const ours = client.exportKeyingMaterial(length, label, context);
        assert.ok(Buffer.isBuffer(ours));
        assert.equal(ours.length, length);
        assert.deepEqual(ours, server.exportKeyingMaterial(length, label, context));
        seen.add(ours.toString('hex'));
      }
      assert.equal(seen.size, 6);
      const empty = client.exportKeyingMaterial(32, 'label', Buffer.alloc(0));
      assert.deepEqual(empty, server.exportKeyingMaterial(32, 'label', Buffer.alloc(0)));
      const none = client.exportKeyingMaterial(32, 'label');
      assert.equal(empty.equals(none), version === 'TLSv1.3', 'in TLS 1.2 no context is another one than an empty one');
      await close();
    });

    test('each end has the Finished of both', async () => {
      const { client, server, close } = await ends(serverTls, clientTls, version);
      const length = version === 'TLSv1.2' ? 12 : client.getCipher().standardName?.endsWith('SHA384') ? 48 : 32;
      assert.equal(client.getFinished()?.length, length);
      assert.deepEqual(client.getFinished(), server.getPeerFinished());
      assert.deepEqual(client.getPeerFinished(), server.getFinished());
      assert.notDeepEqual(client.getFinished(), client.getPeerFinished());
      await close();
    });
  });

  test(`${name}: arguments are checked as node:tls does`, async () => {
    const { client, server, close } = await ends(serverTls, clientTls, version);
    for (const socket of [client, server]) {
      for (const [args, code] of [
        [[0, 'label'], 'ERR_OUT_OF_RANGE'],
        [[-1, 'label'], 'ERR_OUT_OF_RANGE'],
        [[2 ** 32, 'label'], 'ERR_OUT_OF_RANGE'],
        [[1.5, 'label'], 'ERR_OUT_OF_RANGE'],
        [['1', 'label'], 'ERR_INVALID_ARG_TYPE'],
        [[1, 2], 'ERR_INVALID_ARG_TYPE'],
        [[1, 'label', 'context'], 'ERR_INVALID_ARG_TYPE'],
      ] as const) {
        assert.throws(() => socket.exportKeyingMaterial(...(args as unknown as [number, string])), { code });
      }
    }
    await close();
  });
}

describe('before the handshake and after the end', () => {
  test('there is nothing to export or to bind to', async () => {
    const early = tls.connect({ port: 1, host: '127.0.0.1', ...trust });
    early.on('error', () => {});
    const wrong = { code: 'TLS_ERR_WRONG_STATE' };
    assert.throws(() => early.exportKeyingMaterial(32, 'label'), wrong);
    assert.throws(() => early.getChannelBinding('tls-exporter'), wrong);
    assert.equal(early.getFinished(), undefined);
    assert.equal(early.getPeerFinished(), undefined);
    await closing(early);
    const { client, close } = await ends(tls, tls, 'TLSv1.3');
    client.end();
    assert.equal(client.exportKeyingMaterial(32, 'label').length, 32, 'half-closed is not the end');
    await close();
    assert.throws(() => client.exportKeyingMaterial(32, 'label'), wrong);
    assert.throws(() => client.getChannelBinding('tls-exporter'), wrong);
    assert.equal(client.getFinished(), undefined);
  });
});

describe('the channel binding', () => {
  for (const { name, server: serverTls, client: clientTls, version } of cases) {
    test(`tls-exporter is the same at both ends, and another on each connection: ${name}`, async () => {
      const bindings: string[] = [];
      for (let i = 0; i < 2; i++) {
        const { client, server, close } = await ends(serverTls, clientTls, version);
        // RFC 9266 §2; node:tls has no name for it.
        const bind = (socket: tls.TLSSocket) =>
          socket instanceof tls.TLSSocket
            ? socket.getChannelBinding('tls-exporter')
            : (socket as tls.TLSSocket).exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
        assert.deepEqual(bind(client), bind(server));
        assert.equal(bind(client).length, 32);
        bindings.push(bind(client).toString('hex'));
        await close();
      }
      assert.notEqual(bindings[0], bindings[1]);
    });
  }

  test("tls-unique is the client's Finished in a full handshake of TLS 1.2, and the server's when resumed", async () => {
    const listening = tls.createServer({ ...serverOptions, ...only('TLSv1.2') });
    await listen(listening);
    const full = await ends(tls, tls, 'TLSv1.2', {}, listening);
    assert.deepEqual(full.client.getChannelBinding('tls-unique'), full.client.getFinished());
    assert.deepEqual(full.client.getChannelBinding('tls-unique'), full.server.getChannelBinding('tls-unique'));
    const session = full.client.getSession();
    await full.close();
    const resumed = await ends(tls, tls, 'TLSv1.2', { session }, listening);
    assert.equal(resumed.client.isSessionReused(), true);
    assert.deepEqual(resumed.client.getChannelBinding('tls-unique'), resumed.client.getPeerFinished());
    assert.deepEqual(resumed.client.getChannelBinding('tls-unique'), resumed.server.getChannelBinding('tls-unique'));
    await resumed.close();
    listening.close();
  });

  test('tls-unique follows a renegotiation', async () => {
    const { client, server, close } = await ends(tls, tls, 'TLSv1.2');
    const before = client.getChannelBinding('tls-unique');
    server.resume();
    await new Promise<void>((resolve, reject) => {
      client.resume();
      server.renegotiate({}, (error) => (error === null ? resolve() : reject(error)));
    });
    server.write('the client has heard of it too');
    await once(client, 'data');
    assert.notDeepEqual(server.getChannelBinding('tls-unique'), before);
    assert.deepEqual(server.getChannelBinding('tls-unique'), client.getChannelBinding('tls-unique'));
    await close();
  });

  test('tls-unique is refused where it binds nothing', async () => {
    const { client, close } = await ends(tls, tls, 'TLSv1.3');
    assert.throws(() => client.getChannelBinding('tls-unique'), { code: 'TLS_ERR_NOT_SUPPORTED' });
    assert.throws(() => client.getChannelBinding('tls-nonsense' as never), { code: 'TLS_ERR_NOT_SUPPORTED' });
    await close();
  });

  for (const version of versions) {
    test(`tls-server-end-point is the hash of the server's certificate, ${version}`, async () => {
      const { client, server, close } = await ends(tls, tls, version);
      const der = new X509Certificate(localhost.certificatePem).raw;
      const expected = createHash('sha256').update(der).digest();
      assert.deepEqual(client.getChannelBinding('tls-server-end-point'), expected);
      assert.deepEqual(server.getChannelBinding('tls-server-end-point'), expected);
      await close();
    });
  }

  test('tls-server-end-point is of the certificate that served, of several', async () => {
    const now = Date.now();
    const root = makeRoot({ notBefore: now - DAY, notAfter: now + DAY });
    const of = (type: 'ed25519' | 'rsa') => {
      const { publicKey, privateKey } = type === 'rsa' ? rsaKeyPair() : generateKeyPairSync('ed25519');
      const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
      const validity = { notBefore: now - DAY, notAfter: now + DAY };
      const { der } = makeLeaf(root, { names: ['localhost'], spki, ...validity });
      return { der, cert: derToPem(der), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
    };
    const [first, second] = [of('ed25519'), of('rsa')];
    const listening = tls.createServer({ cert: [first.cert, second.cert], key: [first.key, second.key] });
    await listen(listening);
    for (const [wanted, sigalgs] of [
      [first, 'ed25519'],
      [second, 'rsa_pss_rsae_sha256'],
    ] as const) {
      const accepted = once(listening, 'secureConnection');
      const { port } = listening.address() as { port: number };
      const { connect } = await import('node:tls');
      const options = { host: '127.0.0.1', port, servername: 'localhost', ca: derToPem(root.der), sigalgs };
      const client = connect({ ...options, sigalgs: `${sigalgs}:ecdsa_secp256r1_sha256` });
      await once(client, 'secureConnect');
      const [server] = (await accepted) as [tls.TLSSocket];
      assert.deepEqual(new Uint8Array((server.getCertificate() as { raw: Buffer }).raw), wanted.der);
      const expected = createHash('sha256').update(wanted.der).digest();
      assert.deepEqual(server.getChannelBinding('tls-server-end-point'), expected);
      client.destroy();
      server.destroy();
    }
    listening.close();
  });
});
