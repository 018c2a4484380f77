import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import * as ourTls from '../../src/node/tls.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { failure, listen, mayfly, pairs, serverOptions, trust } from './support.ts';

const PSK = Buffer.from('d731ef57be09e5204f0b205b60627028', 'hex');
const only13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
/** What OpenSSL uses a PSK of the old callback with. */
const ciphers = 'TLS_AES_128_GCM_SHA256';
const watch = new SecretWatch();
after(() => watch.stop());

describe('pskCallback', () => {
  for (const pair of pairs) {
    test(`${pair.name}: both ends know each other by their PSK, without certificates`, async () => {
      const asked: string[] = [];
      const hints: unknown[] = [];
      const options = { ...only13, ciphers };
      const server = pair.server.createServer({
        ...options,
        pskIdentityHint: 'no hint in TLS 1.3',
        pskCallback(_socket: unknown, identity: string) {
          asked.push(identity);
          return identity === 'TestUser' ? PSK : null;
        },
      } as object);
      server.on('secureConnection', (socket) => socket.pipe(socket));
      const port = await listen(server);
      const socket = pair.client.connect({
        ...options,
        host: '127.0.0.1',
        port,
        checkServerIdentity: () => undefined,
        pskCallback(hint: unknown) {
          hints.push(hint);
          return { psk: PSK, identity: 'TestUser' };
        },
      } as object);
      await once(socket, 'secureConnect');
      assert.equal(socket.authorized, true);
      assert.equal(socket.getProtocol(), 'TLSv1.3');
      socket.end('hello');
      assert.equal(String((await once(socket, 'data'))[0]), 'hello');
      await once(socket, 'close');
      server.close();
      await once(server, 'close');
      assert.deepEqual([...new Set(asked)], ['TestUser']);
      assert.deepEqual(hints, [null]);
    });

    test(`${pair.name}: a wrong key, and an identity that is not known, end the handshake`, async () => {
      for (const [identity, psk] of [
        ['TestUser', Buffer.alloc(16, 1)],
        ['Stranger', PSK],
      ] as const) {
        const options = { ...only13, ciphers };
        const server = pair.server.createServer({
          ...options,
          pskCallback: (_socket: unknown, name: string) => (name === 'TestUser' ? PSK : null),
        } as object);
        const failed = once(server, 'tlsClientError');
        const port = await listen(server);
        const socket = pair.client.connect({
          ...options,
          host: '127.0.0.1',
          port,
          checkServerIdentity: () => undefined,
          pskCallback: () => ({ psk, identity }),
        } as object);
        await once(socket, 'error');
        await failed;
        server.close();
      }
    });
  }

  test('a client whose callback gives nothing offers no PSK', async () => {
    const server = mayfly.createServer({ ...serverOptions, pskCallback: () => assert.fail('nothing to ask for') });
    const port = await listen(server);
    const socket = ourTls.connect({ ...trust, port, host: 'localhost', pskCallback: () => null });
    await once(socket, 'secureConnect');
    assert.equal(socket.mayfly?.authenticatedBy, 'certificate');
    socket.destroy();
    server.close();
  });

  test('a server is asked only for identities that are text and that OpenSSL would take', async () => {
    const asked: string[] = [];
    const server = ourTls.createServer({
      ...serverOptions,
      sessions: { tickets: false },
      pskCallback: (_socket: unknown, identity: string) => {
        asked.push(identity);
        return null;
      },
    });
    const port = await listen(server);
    const externalPsks = [Buffer.from([0xff, 0xfe]), 'a\0b', 'x'.repeat(257), 'x'.repeat(256)].map((identity) => ({
      identity,
      psk: PSK,
    }));
    const socket = ourTls.connect({ ...trust, port, host: 'localhost', externalPsks });
    await once(socket, 'secureConnect');
    assert.deepEqual(asked, ['x'.repeat(256)]);
    socket.destroy();
    server.close();
  });
});

interface Outcome {
  readonly client: ourTls.TLSSocket;
  readonly server: ourTls.TLSSocket;
  readonly session: Promise<Buffer>;
}

async function connect(server: ourTls.Server, options: ourTls.ConnectionOptions): Promise<Outcome> {
  const port = server.listening ? (server.address() as AddressInfo).port : await listen(server);
  const secured = once(server, 'secureConnection');
  const client = ourTls.connect({ ...trust, port, host: 'localhost', ...options });
  const session = new Promise<Buffer>((resolve) => client.once('session', resolve));
  await once(client, 'secureConnect');
  const [accepted] = (await secured) as [ourTls.TLSSocket];
  accepted.resume();
  return { client, server: accepted, session };
}

describe('externalPsks', () => {
  test('a list at both ends, imported for who is who: both know which PSK it is', async () => {
    const importContext = { client: 'sensor', server: 'gateway' };
    const psk = { identity: 'sensor 1', psk: PSK, importContext };
    const server = ourTls.createServer({ externalPsks: [psk] });
    const ends = await connect(server, { externalPsks: [psk], externalPskRequired: true });
    for (const socket of [ends.client, ends.server]) {
      assert.equal(socket.mayfly?.authenticatedBy, 'externalPsk');
      assert.equal(Buffer.from(socket.mayfly?.externalPsk?.identity ?? []).toString(), 'sensor 1');
      assert.equal(socket.mayfly?.pskMode, 'psk_dhe_ke');
    }
    assert.equal(ends.client.authorized, true);
    assert.deepEqual(ends.client.getPeerCertificate(), {});
    ends.client.destroy();
    server.close();
    await once(server, 'close');
    assert.ok(!watch.alive.some((kind) => /externalPsk|importedPsk|earlySecret|binder/i.test(kind)), `${watch.alive}`);
  });

  test('a connection that is turned back to its own node fails', async () => {
    const dial = { identity: 'pair', psk: PSK, importContext: { client: 'a', server: 'b' } };
    const answer = { identity: 'pair', psk: PSK, importContext: { client: 'b', server: 'a' } };
    const own = ourTls.createServer({ externalPsks: [answer] });
    const failed = once(own, 'tlsClientError');
    const port = await listen(own);
    const socket = ourTls.connect({ port, host: 'localhost', externalPsks: [dial], externalPskRequired: true });
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.equal(((await failed)[0] as ourTls.TLSError).code, 'TLS_ERR_UNKNOWN_PSK');
    own.close();
  });

  test('a function at the server looks them up, now or later, and may fail', async () => {
    const queries: string[] = [];
    const server = ourTls.createServer({
      async externalPsks({ identity, imported }) {
        queries.push(String(imported?.identity ?? identity));
        await new Promise((resolve) => setImmediate(resolve));
        if (String(identity) === 'broken') {
          throw new Error('the store is away');
        }
        return imported === undefined ? undefined : { psk: PSK, imported: true };
      },
    });
    const offer = [
      { identity: 'plain', psk: PSK },
      { identity: 'imported', psk: PSK, importContext: Buffer.from('x') },
    ];
    const ends = await connect(server, { externalPsks: offer });
    assert.equal(String(Buffer.from(ends.server.mayfly?.externalPsk?.identity ?? [])), 'imported');
    assert.deepEqual(queries, ['plain', 'imported']);
    ends.client.destroy();
    const failed = once(server, 'tlsClientError');
    const socket = ourTls.connect({
      ...trust,
      port: (server.address() as AddressInfo).port,
      host: 'localhost',
      externalPsks: [{ identity: 'broken', psk: PSK }],
    });
    await once(socket, 'error');
    assert.match(((await failed)[0] as Error).message, /the store is away/);
    server.close();
  });

  test('sessions resume with their PSK, from getSession and from a cache, and not without it', async () => {
    const psk = { identity: 'device', psk: PSK };
    const server = ourTls.createServer({ ...serverOptions, externalPsks: [psk] });
    const first = await connect(server, { externalPsks: [psk] });
    const session = await first.session;
    first.client.destroy();
    const resumed = await connect(server, { externalPsks: [psk], session });
    assert.equal(resumed.client.isSessionReused(), true);
    assert.equal(resumed.client.authorized, true);
    assert.equal(String(Buffer.from(resumed.server.mayfly?.externalPsk?.identity ?? [])), 'device');
    resumed.client.destroy();
    const without = await connect(server, { session });
    assert.equal(without.client.isSessionReused(), false);
    assert.equal(without.client.mayfly?.authenticatedBy, 'certificate');
    without.client.destroy();
    const sessionCache = new ourTls.ClientSessions();
    const options = { externalPsks: [psk], sessionCache, externalPskRequired: true };
    const kept = await connect(server, options);
    await kept.session;
    kept.client.destroy();
    const other = await connect(server, { sessionCache });
    assert.equal(other.client.mayfly?.authenticatedBy, 'certificate');
    assert.equal(other.client.mayfly?.refusal, undefined, 'the session of the PSK was not even looked at');
    other.client.destroy();
    const again = await connect(server, { ...options, rejectUnauthorized: false });
    again.client.destroy();
    const reused = await connect(server, options);
    assert.equal(reused.client.isSessionReused(), true);
    reused.client.destroy();
    sessionCache.clear();
    server.close();
  });

  test('a server with a certificate serves both kinds of clients; a PSK that is required does without none', async () => {
    const server = ourTls.createServer({ ...serverOptions, externalPsks: [{ identity: 'known', psk: PSK }] });
    const browser = await connect(server, {});
    assert.equal(browser.server.mayfly?.authenticatedBy, 'certificate');
    browser.client.destroy();
    const stranger = { identity: 'stranger', psk: PSK };
    const fallback = await connect(server, { externalPsks: [stranger] });
    assert.equal(fallback.client.mayfly?.authenticatedBy, 'certificate');
    fallback.client.destroy();
    const socket = ourTls.connect({
      ...trust,
      port: (server.address() as AddressInfo).port,
      host: 'localhost',
      externalPsks: [stranger],
      externalPskRequired: true,
    });
    server.on('tlsClientError', () => undefined);
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'TLS_ERR_PSK_REQUIRED');
    server.close();
  });

  test('a server that requires them serves nobody by a certificate, of whatever version and context, and resumes its own', async () => {
    const psk = { identity: 'known', psk: PSK };
    const options = { ...serverOptions, externalPsks: [psk], externalPskRequired: true };
    const secureContext = ourTls.createSecureContext(serverOptions);
    for (const more of [
      {},
      {
        SNICallback: (_name: string, done: (error: null, context: ourTls.SecureContext) => void) =>
          done(null, secureContext),
      },
      {
        ALPNCallback(this: ourTls.TLSSocket) {
          this.setKeyCert(serverOptions);
          return 'a';
        },
      },
    ]) {
      const server = ourTls.createServer({ ...options, ...more });
      const port = await listen(server);
      for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
        const failed = once(server, 'tlsClientError');
        const stranger = ourTls.connect({ ...trust, port, host: 'localhost', maxVersion, ALPNProtocols: ['a'] });
        await failure(stranger, 'secureConnect');
        const { code } = (await failed)[0] as ourTls.TLSError;
        assert.equal(code, maxVersion === 'TLSv1.3' ? 'TLS_ERR_UNKNOWN_PSK' : 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME');
      }
      const first = await connect(server, { externalPsks: [psk] });
      const session = await first.session;
      first.client.destroy();
      const again = await connect(server, { externalPsks: [psk], session });
      assert.equal(again.client.isSessionReused(), true);
      again.client.destroy();
      server.close();
    }
  });

  test('psk_ke only where both ends say so, with a warning at both and on the diagnostics channel', async () => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
    const psk = { identity: 'device', psk: PSK };
    const told: unknown[] = [];
    const listener = (message: unknown) => told.push(message);
    subscribe('mayfly:handshake:warning', listener);
    for (const [client, server, mode] of [
      [true, true, 'psk_dhe_ke'],
      [true, 'prefer', 'psk_ke'],
      [undefined, 'prefer', 'psk_dhe_ke'],
      [true, undefined, 'psk_dhe_ke'],
    ] as const) {
      const warnings: unknown[] = [];
      const ours = ourTls.createServer({ externalPsks: [psk], dangerouslyAllowPskKe: server });
      ours.on('tlsWarning', (warning, socket) => warnings.push(warning, socket instanceof ourTls.TLSSocket));
      const port = await listen(ours);
      const socket = ourTls.connect({ port, host: 'localhost', externalPsks: [psk], dangerouslyAllowPskKe: client });
      socket.on('tlsWarning', (warning) => warnings.push(warning));
      await once(socket, 'secureConnect');
      assert.equal(socket.mayfly?.pskMode, mode);
      assert.deepEqual(warnings, mode === 'psk_ke' ? ['psk_ke', true, 'psk_ke'] : []);
      socket.destroy();
      ours.close();
    }
    unsubscribe('mayfly:handshake:warning', listener);
    assert.deepEqual(told, [
      { role: 'server', warning: 'psk_ke' },
      { role: 'client', warning: 'psk_ke' },
    ]);
  });

  test('an Agent keeps connections of different PSKs apart', async () => {
    const https = await import('../../src/node/https.ts');
    const psks = ['one', 'two'].map((identity) => ({ identity, psk: PSK }));
    const server = https.createServer({ ...serverOptions, externalPsks: psks }, (request, response) => {
      const { mayfly: summary } = request.socket as unknown as ourTls.TLSSocket;
      response.end(Buffer.from(summary?.externalPsk?.identity ?? utf8('nobody')));
    });
    const port = await listen(server);
    const agent = new https.Agent({ keepAlive: true });
    const ask = async (options: ourTls.PskOptions) => {
      const request = https.get({ host: 'localhost', port, agent, ...trust, ...options } as object);
      const [response] = await once(request, 'response');
      return String(Buffer.concat(await response.toArray()));
    };
    const heard: string[] = [];
    for (const options of [
      { externalPsks: [psks[0]] },
      { externalPsks: [psks[1]] },
      {},
      { externalPsks: [psks[0]] },
      { pskCallback: () => psks[1] },
      { externalPsks: [psks[0]], externalPskRequired: true },
    ]) {
      heard.push(await ask(options));
    }
    assert.deepEqual(heard, ['one', 'two', 'nobody', 'one', 'two', 'one']);
    assert.equal(Object.values(agent.freeSockets).flat().length, 5, 'one was used again');
    agent.destroy();
    server.close();
  });

  test('options that make no sense are refused at once', () => {
    const psk = { identity: 'id', psk: PSK };
    const config = { code: 'TLS_ERR_CONFIG' };
    const wrong: ourTls.PskOptions[] = [
      { externalPsks: [psk], pskCallback: () => null },
      { externalPsks: [psk], requestCert: true } as ourTls.PskOptions,
      { externalPskRequired: true },
      { pskCallback: 'psk' as never },
      { externalPsks: [psk], maxVersion: 'TLSv1.2' } as ourTls.PskOptions,
      { externalPsks: () => undefined, maxVersion: 'TLSv1.2' } as ourTls.PskOptions,
      { pskCallback: () => null, maxVersion: 'TLSv1.2' } as ourTls.PskOptions,
      { externalPsks: 'psk' as never },
      { externalPsks: [psk, psk] },
      { externalPsks: [{ identity: 'id', psk: Buffer.alloc(15) }] },
      { externalPsks: [{ identity: 'id', psk: 'secret' as never }] },
      { externalPsks: [{ identity: '', psk: PSK }] },
      { externalPsks: [{ ...psk, hash: 'sha1' as never }] },
      { externalPsks: [{ ...psk, importContext: { client: 'x'.repeat(256), server: '' } }] },
    ];
    for (const options of wrong) {
      assert.throws(() => ourTls.createServer(options), config);
    }
    assert.deepEqual(
      watch.alive.filter((kind) => kind === 'externalPsk'),
      [],
    );
  });

  test('at a client they end the connection before it begins', async () => {
    for (const options of [
      { externalPsks: () => undefined },
      { externalPskRequired: true },
      { externalPsks: [{ identity: 'id', psk: PSK }], externalPskRequired: true, maxVersion: 'TLSv1.2' },
      { externalPsks: [{ identity: 'id', psk: PSK }], maxVersion: 'TLSv1.2' },
      { pskCallback: () => null, maxVersion: 'TLSv1.2' },
    ] as ourTls.PskOptions[]) {
      const server = mayfly.createServer(serverOptions);
      const port = await listen(server);
      const outcome = new Promise((resolve) => {
        try {
          ourTls.connect({ port, host: 'localhost', ...options }).once('error', resolve);
        } catch (error) {
          resolve(error);
        }
      });
      assert.equal(((await outcome) as ourTls.TLSError).code, 'TLS_ERR_CONFIG');
      server.close();
    }
  });
});
