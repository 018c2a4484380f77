import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { trafficSecretLine } from '../../src/keys/key-log.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import type { ExternalPsk } from '../../src/session/external-psk.ts';
import { LocalSingleUseRegister } from '../../src/session/single-use-register.ts';
import { World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { craftHello, end, externalPsk, offerTo, pskContext, usable } from './support.ts';

const PSK_KE = 0;
const PSK_DHE_KE = 1;
const watch = new SecretWatch();
let world = new World();
let psk: ExternalPsk;
beforeEach(() => {
  world.close();
  watch.clear();
  world = new World();
  psk = externalPsk('device');
});
after(() => {
  watch.stop();
  world.close();
});

type Allowed = ServerContext['dangerouslyAllowPskKe'];

const context = (dangerouslyAllowPskKe: Allowed, changes: Partial<ServerContext> = {}): ServerContext =>
  pskContext(world, [psk], { ...(dangerouslyAllowPskKe === undefined ? {} : { dangerouslyAllowPskKe }), ...changes });

describe('psk_ke', () => {
  test('is used only where both ends say so, and both are warned', () => {
    for (const [client, server, mode] of [
      [false, undefined, 'psk_dhe_ke'],
      [true, undefined, 'psk_dhe_ke'],
      [false, 'prefer', 'psk_dhe_ke'],
      [true, 'fallback', 'psk_dhe_ke'],
      [true, 'prefer', 'psk_ke'],
    ] as const) {
      const link = world.connect({ externalPsks: [psk], dangerouslyAllowPskKe: client }, { context: context(server) });
      const warnings = mode === 'psk_ke' ? ['psk_ke'] : [];
      for (const { summary, warnings: heard } of [link.client, link.server]) {
        assert.equal(summary?.pskMode, mode);
        assert.equal(summary?.namedGroup, mode === 'psk_ke' ? undefined : 'x25519');
        assert.deepEqual(heard, warnings);
      }
      link.forget();
    }
  });

  test('is not offered unless the client says so', () => {
    for (const [options, modes] of [
      [{}, [PSK_DHE_KE]],
      [{ dangerouslyAllowPskKe: true }, [PSK_DHE_KE, PSK_KE]],
    ] as const) {
      const client = world.client({ externalPsks: [psk], ...options }).start();
      const hello = decodeClientHello(client.flush().subarray(9));
      assert.deepEqual(hello.extensions.pskKeyExchangeModes, modes);
      client.forget();
    }
  });

  test('also resumes sessions, with a warning each time', () => {
    const [session] = end(world.connect()).client.sessions;
    const allowing: ServerContext = { ...world.context, dangerouslyAllowPskKe: 'prefer' };
    const link = world.connect({ session, dangerouslyAllowPskKe: true }, { context: allowing });
    assert.equal(link.server.summary?.resumed, true);
    assert.equal(link.server.summary?.pskMode, 'psk_ke');
    assert.deepEqual([link.client.warnings, link.server.warnings], [['psk_ke'], ['psk_ke']]);
    link.forget();
    const full = world.connect({ dangerouslyAllowPskKe: true }, { context: allowing });
    assert.deepEqual([full.client.warnings, full.server.warnings], [[], []], 'a full handshake has a key exchange');
    assert.equal(full.server.summary?.pskMode, undefined);
    full.forget();
  });

  test('needs no share, and so no HelloRetryRequest, whatever share was sent', () => {
    const link = world.connect(
      { externalPsks: [psk], dangerouslyAllowPskKe: true, keyShares: ['secp256r1'] },
      { context: context('prefer'), namedGroups: ['x25519'] },
    );
    assert.equal(link.server.summary?.helloRetried, false);
    assert.equal(link.server.summary?.pskMode, 'psk_ke');
    link.forget();
    psk.externalPsk.erase();
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
      [],
    );
  });

  test('serves a client that offers nothing else, with or without groups, where the server falls back to it', () => {
    const without = { supportedGroups: undefined, keyShares: undefined, signatureAlgorithms: undefined };
    for (const changes of [{}, without]) {
      for (const allowed of ['fallback', 'prefer'] as const) {
        const server = world.server({ context: context(allowed) });
        const raw = craftHello(world, {
          psks: [usable(psk)],
          modes: [PSK_KE],
          change: (extensions) => ({ ...extensions, ...changes }),
        });
        const hello = offerTo(server, raw);
        assert.equal(hello?.extensions.selectedIdentity, 0);
        assert.equal(hello?.extensions.keyShare, undefined);
        assert.deepEqual(server.warnings, ['psk_ke']);
        server.forget();
      }
    }
  });

  test('is not used for a client that offers nothing else where the server does not allow it', () => {
    const raw = craftHello(world, { psks: [usable(psk)], modes: [PSK_KE] });
    const server = world.server({ context: context(undefined) });
    assert.equal(offerTo(server, raw), undefined);
    assert.equal(server.error?.code, 'TLS_ERR_UNKNOWN_PSK');
    server.forget();
    const certified = world.server({ context: context(undefined, { credentials: world.context.credentials }) });
    const hello = offerTo(certified, raw);
    assert.equal(hello?.extensions.selectedIdentity, undefined);
    assert.notEqual(hello?.extensions.keyShare, undefined);
    certified.forget();
  });

  test('a hello without groups is refused unless a PSK alone serves it', () => {
    const change = { supportedGroups: undefined, keyShares: undefined };
    const stranger = externalPsk('stranger');
    for (const [psks, modes, allowed] of [
      [[usable(psk)], [PSK_DHE_KE], 'prefer'],
      [[usable(psk)], [PSK_KE], undefined],
      [[usable(stranger)], [PSK_KE], 'prefer'],
      [[usable(psk)], [PSK_DHE_KE, PSK_KE], 'fallback'],
    ] as const) {
      const raw = craftHello(world, { psks, modes, change: (extensions) => ({ ...extensions, ...change }) });
      const server = world.server({ context: context(allowed, { credentials: world.context.credentials }) });
      assert.equal(offerTo(server, raw), undefined);
      assert.equal(server.error?.code, 'TLS_ERR_MISSING_EXTENSION');
      server.forget();
    }
    for (const half of [{ supportedGroups: undefined }, { keyShares: undefined }]) {
      const raw = craftHello(world, {
        psks: [usable(psk)],
        modes: [PSK_KE],
        change: (extensions) => ({ ...extensions, ...half }),
      });
      const server = world.server({ context: context('prefer') });
      assert.equal(offerTo(server, raw), undefined);
      assert.match(server.error?.code ?? '', /MISSING_EXTENSION|ILLEGAL_PARAMETER/);
      server.forget();
    }
  });

  test('a ticket that was used before leads back to a key exchange, through a HelloRetryRequest if need be', () => {
    const register = new LocalSingleUseRegister({ clock: world.clock });
    const { tickets } = world.context;
    assert(tickets !== undefined);
    const allowing: ServerContext = {
      ...world.context,
      dangerouslyAllowPskKe: 'prefer',
      tickets: { ...tickets, singleUse: register },
    };
    const [session] = end(world.connect({}, { context: allowing })).client.sessions;
    const options = { session, dangerouslyAllowPskKe: true, keyShares: ['secp256r1'] } as const;
    const first = end(world.connect(options, { context: allowing, namedGroups: ['x25519'] }));
    assert.equal(first.server.summary?.pskMode, 'psk_ke');
    const again = end(world.connect(options, { context: allowing, namedGroups: ['x25519'] }));
    assert.equal(again.server.summary?.pskMode, undefined);
    assert.equal(again.server.summary?.helloRetried, true);
    assert.equal(again.server.summary?.namedGroup, 'x25519');
    assert.deepEqual(again.server.warnings, []);
    register.close();
  });

  test('has keys of no more than the PSK: whoever has that and the recording derives the traffic secret', () => {
    const link = world.pair({ externalPsks: [psk], dangerouslyAllowPskKe: true }, { context: context('prefer') });
    let recording = new Uint8Array(0);
    link.toServer = (bytes) => {
      recording = recording.length === 0 ? new Uint8Array(bytes) : recording;
      return bytes;
    };
    let answer = new Uint8Array(0);
    link.toClient = (bytes) => {
      answer = answer.length === 0 && bytes.length > 0 ? new Uint8Array(bytes) : answer;
      return bytes;
    };
    link.run().assertComplete();
    const serverHello = answer.subarray(5, 5 + answer[3] * 256 + answer[4]);
    const transcript = concat(recording.subarray(5), serverHello);
    const secret = EarlySecret.create(nodeProvider, 'sha256', psk.externalPsk)
      .toHandshakeSecretWithoutKeyExchange(cipherSuites.TLS_AES_128_GCM_SHA256)
      .clientHandshakeTrafficSecret(nodeProvider.hash('sha256', transcript));
    const line = Buffer.from(trafficSecretLine(secret, new Uint8Array(32))).toString();
    assert.equal(line.split(' ')[2], link.server.keyLog.get('CLIENT_HANDSHAKE_TRAFFIC_SECRET'));
    link.forget();
  });
});
