import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions, ServerContext } from '../../src/connection-options.ts';
import { type CipherSuiteName, cipherSuites, type HashName } from '../../src/crypto/suites.ts';
import { type ExternalPsk, type ExternalPskQuery, externalPskTable } from '../../src/session/external-psk.ts';
import { roleContext } from '../../src/session/psk-importer.ts';
import { Link, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { codes, end, externalPsk, pskContext } from './support.ts';

const watch = new SecretWatch();
let world = new World();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new World();
});
after(() => {
  watch.stop();
  world.close();
});

const AES_256 = 'TLS_AES_256_GCM_SHA384';
const AES_128 = 'TLS_AES_128_GCM_SHA256';
const BOTH: readonly CipherSuiteName[] = [AES_256, AES_128];

function leftOver(): string[] {
  return watch.alive.filter((kind) => !kind.startsWith('ticketKey'));
}

describe('a handshake with an external PSK', () => {
  for (const [what, changes] of [
    ['as it is', {}],
    ['imported', { importContext: utf8('context') }],
    ['of SHA-384', { hash: 'sha384' as HashName }],
    ['of SHA-384, imported', { hash: 'sha384' as HashName, importContext: utf8('') }],
  ] as const) {
    for (const suite of Object.keys(cipherSuites) as CipherSuiteName[]) {
      const fits =
        'importContext' in changes || cipherSuites[suite].hash === ('hash' in changes ? changes.hash : 'sha256');
      if (!fits) {
        continue;
      }
      test(`${what}, needs no certificate under ${suite}`, () => {
        const psk = externalPsk('device 1', changes);
        const context = pskContext(world, [psk]);
        const link = world.connect({ externalPsks: [psk], cipherSuites: [suite] }, { context });
        const { client, server } = link;
        for (const summary of [client.summary, server.summary]) {
          assert.equal(summary?.authenticatedBy, 'externalPsk');
          assert.deepEqual(summary?.externalPsk?.identity, utf8('device 1'));
          assert.deepEqual(summary?.externalPsk?.importContext, psk.importContext);
          assert.equal(summary?.pskMode, 'psk_dhe_ke');
          assert.equal(summary?.namedGroup, 'x25519');
          assert.equal(summary?.resumed, false);
          assert.equal(summary?.signatureScheme, undefined);
          assert.deepEqual(summary?.peerCertificates, []);
          assert.equal(summary?.refusal, undefined);
        }
        assert.ok(!client.actions.some((action) => action.kind === 'need'), 'nobody is asked for a verdict');
        assert.deepEqual([...client.warnings, ...server.warnings], []);
        link.forget();
        psk.externalPsk.erase();
        assert.deepEqual(leftOver(), []);
      });
    }
  }

  test('goes through a HelloRetryRequest, which names the suite that fits the PSK', () => {
    const psks = [externalPsk('plain', { hash: 'sha384' }), externalPsk('imported', { importContext: utf8('x') })];
    for (const psk of psks) {
      for (const cipherSuites of [BOTH, [AES_128, AES_256] as const]) {
        const link = world.connect(
          { externalPsks: [psk], cipherSuites: BOTH, keyShares: ['secp256r1'] },
          { context: pskContext(world, psks), cipherSuites, namedGroups: ['x25519'] },
        );
        assert.equal(link.server.summary?.helloRetried, true);
        assert.equal(link.server.summary?.authenticatedBy, 'externalPsk');
        link.forget();
      }
    }
    for (const { externalPsk: secret } of psks) {
      secret.erase();
    }
    assert.deepEqual(leftOver(), []);
  });

  test('takes the suite of the server that fits the PSK, not the one that it likes best', () => {
    const psk = externalPsk('sha256 alone');
    const options = { externalPsks: [psk], cipherSuites: BOTH };
    const link = world.connect(options, { context: pskContext(world, [psk]), cipherSuites: BOTH });
    assert.equal(link.server.summary?.cipherSuite, AES_128);
    link.forget();
    const without = world.connect({ cipherSuites: BOTH }, { cipherSuites: BOTH });
    assert.equal(without.server.summary?.cipherSuite, AES_256);
    without.forget();
  });

  test('falls back to a certificate where the server has no suite of the hash', () => {
    const psk = externalPsk('sha256 alone');
    const context = pskContext(world, [psk], { credentials: world.context.credentials });
    const link = world.connect({ externalPsks: [psk], cipherSuites: BOTH }, { context, cipherSuites: [AES_256] });
    assert.equal(link.client.summary?.authenticatedBy, 'certificate');
    link.forget();
  });

  test('offers several identities, of which the server takes the first that it knows', () => {
    const names = ['one', 'two', 'three'];
    const psks = names.map((name, i) => externalPsk(name, { fill: i + 1, hash: i === 1 ? 'sha384' : 'sha256' }));
    for (const [known, expected] of [
      [[2], 'three'],
      [[1, 2], 'two'],
      [[2, 1, 0], 'one'],
    ] as const) {
      const context = pskContext(
        world,
        known.map((i) => psks[i]),
      );
      const link = world.connect({ externalPsks: psks, cipherSuites: BOTH }, { context });
      assert.deepEqual(link.client.summary?.externalPsk?.identity, utf8(expected));
      assert.deepEqual(link.server.summary?.externalPsk?.identity, utf8(expected));
      link.forget();
    }
    for (const { externalPsk: secret } of psks) {
      secret.erase();
    }
    assert.deepEqual(leftOver(), []);
  });

  test('offers its PSKs behind its session, and the server takes the session', () => {
    const psk = externalPsk('beside');
    const context = { ...world.context, externalPsks: externalPskTable([psk]) };
    const [session] = end(world.connect({}, { context })).client.sessions;
    const resumed = world.connect({ session, externalPsks: [psk] }, { context });
    assert.equal(resumed.server.summary?.resumed, true);
    assert.equal(resumed.server.summary?.authenticatedBy, 'certificate');
    assert.equal(resumed.client.summary?.externalPsk, undefined);
    end(resumed);
    world.keys.flush();
    const link = world.connect({ session, externalPsks: [psk] }, { context });
    assert.equal(link.server.summary?.resumed, false);
    assert.equal(link.server.summary?.authenticatedBy, 'externalPsk');
    assert.equal(link.client.summary?.refusal, 'by_peer');
    link.forget();
  });

  test('asks the host of the server for each identity, and goes on with its answer', () => {
    const psks = [externalPsk('unknown'), externalPsk('known', { importContext: utf8('there') })];
    const queries: ExternalPskQuery[] = [];
    const link = world.pair(
      { externalPsks: psks },
      { context: { ...world.context, credentials: [], externalPsks: 'ask' } },
    );
    link.server.externalPsk = (query) => {
      queries.push(query);
      const isKnown = query.imported !== undefined && query.imported.context.length === 5;
      return isKnown ? { externalPsk: psks[1].externalPsk, imported: true } : undefined;
    };
    link.run().assertComplete();
    assert.deepEqual(link.server.summary?.externalPsk, { identity: utf8('known'), importContext: utf8('there') });
    assert.deepEqual(
      queries.map(({ imported }) => imported?.externalIdentity),
      [undefined, utf8('known')],
    );
    assert.deepEqual(queries[0].identity, utf8('unknown'));
    link.forget();
  });

  test('keeps what comes while the host is asked, and nothing of it when the connection ends', () => {
    const psk = externalPsk('slow');
    const context: ServerContext = { ...world.context, credentials: [], externalPsks: 'ask' };
    const link = world.pair({ externalPsks: [psk] }, { context });
    link.server.hold = ['externalPsk'];
    link.server.externalPsk = () => ({ externalPsk: psk.externalPsk });
    link.run();
    assert.equal(link.server.connection.state, 'AwaitExternalPsk');
    link.server.answer();
    link.deliver().assertComplete();
    link.forget();
    const cut = world.pair({ externalPsks: [psk] }, { context });
    cut.server.hold = ['externalPsk'];
    cut.run().forget();
    psk.externalPsk.erase();
    assert.deepEqual(leftOver(), []);
  });

  test('asks for no more than four identities, whatever a hello names', () => {
    const psks = Array.from({ length: 8 }, (_, i) => externalPsk(`unknown ${i}`, { fill: i + 1 }));
    let asked = 0;
    const link = world.pair(
      { externalPsks: psks },
      { context: { ...world.context, tickets: undefined, externalPsks: 'ask' } },
    );
    link.server.externalPsk = () => {
      asked += 1;
      return undefined;
    };
    link.run().assertComplete();
    assert.equal(asked, 4);
    assert.equal(link.server.summary?.authenticatedBy, 'certificate');
    link.forget();
  });

  test('a server with a certificate serves clients whose PSK it does not know, unless they require it', () => {
    const context = pskContext(world, [externalPsk('known')], { credentials: world.context.credentials });
    const stranger = externalPsk('stranger');
    const link = world.connect({ externalPsks: [stranger] }, { context });
    assert.equal(link.client.summary?.authenticatedBy, 'certificate');
    assert.equal(link.server.summary?.externalPsk, undefined);
    link.forget();
    const strict = world.pair({ externalPsks: [stranger], externalPskRequired: true }, { context }).run();
    assert.deepEqual(codes(strict), ['TLS_ERR_PSK_REQUIRED', 'TLS_ERR_ALERT_RECEIVED']);
    assert.equal(strict.server.error?.alert, 'handshake_failure');
    strict.forget();
  });

  test('a server without a certificate tells a client whose PSK it does not know no more than one with a wrong key', () => {
    const context = pskContext(world, [externalPsk('known')]);
    const alerts = [externalPsk('stranger'), externalPsk('known', { fill: 8 })].map((psk) => {
      const link = world.pair({ externalPsks: [psk] }, { context }).run();
      assert.equal(link.server.summary, undefined);
      link.forget();
      return [link.server.error?.code, link.client.error?.alert];
    });
    assert.deepEqual(alerts, [
      ['TLS_ERR_UNKNOWN_PSK', 'decrypt_error'],
      ['TLS_ERR_BAD_BINDER', 'decrypt_error'],
    ]);
    const none = world.pair({}, { context }).run();
    assert.equal(none.server.error?.code, 'TLS_ERR_UNKNOWN_PSK');
    assert.equal(none.client.error?.alert, 'unknown_psk_identity');
    none.forget();
  });

  test('a context, a hash or a kind that differs makes another PSK', () => {
    const server = externalPsk('id', { importContext: utf8('a') });
    const others: ExternalPsk[] = [
      externalPsk('id', { importContext: utf8('b') }),
      externalPsk('id', { importContext: utf8('a'), hash: 'sha384' }),
      externalPsk('id'),
      externalPsk('id', { importContext: utf8('a'), fill: 1 }),
    ];
    for (const other of others) {
      const link = world.pair({ externalPsks: [other] }, { context: pskContext(world, [server]) }).run();
      assert.notEqual(link.server.error, undefined);
      assert.equal(link.client.error?.alert, 'decrypt_error');
      link.forget();
    }
  });

  test('a server asks for no certificate, but may do so afterwards', () => {
    const psk = externalPsk('device');
    const clientAuthentication = { required: false, certificateAuthorities: [], id: 'asked' };
    const context = pskContext(world, [psk], { clientAuthentication });
    const link = world.connect({ externalPsks: [psk], credentials: [world.identity.credential] }, { context });
    assert.deepEqual(link.server.summary?.peerCertificates, []);
    link.server.take(link.server.connection.requestClientCertificate({ required: true, certificateAuthorities: [] }));
    link.deliver();
    const authenticated = link.server.actions.find((action) => action.kind === 'clientAuthenticated');
    assert.equal(authenticated?.summary.peerCertificates.length, 1);
    assert.equal(authenticated?.summary.authenticatedBy, 'externalPsk');
    link.forget();
  });

  test('is refused by a configuration that wants client certificates of everybody', () => {
    const psk = externalPsk('device');
    const clientAuthentication = { required: true, certificateAuthorities: [], id: 'all' };
    const context = pskContext(world, [psk], { clientAuthentication });
    const link = world.pair({ externalPsks: [psk] }, { context }).run();
    assert.equal(link.server.error?.code, 'TLS_ERR_CONFIG');
    assert.equal(link.client.error?.alert, 'internal_error');
    link.forget();
  });

  test('options that cannot be kept are refused at once, and nothing of them stays', () => {
    const psk = externalPsk('a');
    const wrong: Partial<ClientOptions>[] = [
      { externalPsks: [psk, externalPsk('a', { fill: 1 })] },
      { externalPsks: Array.from({ length: 9 }, (_, i) => externalPsk(`${i}`)) },
      { externalPsks: [externalPsk('', {})] },
      { externalPsks: [externalPsk('a', { externalPsk: Secret.copy('externalPsk', new Uint8Array(8)) })] },
      { externalPsks: [psk], cipherSuites: [AES_256] },
      { externalPskRequired: true },
      { externalPsks: [psk], externalPskRequired: true, versions: ['TLSv1.3', 'TLSv1.2'] },
    ];
    for (const options of wrong) {
      watch.clear();
      assert.throws(() => world.client(options), { code: 'TLS_ERR_CONFIG' });
      assert.deepEqual(leftOver(), []);
    }
  });

  test('is not offered in TLS 1.2, which goes its own way', () => {
    const psk = externalPsk('a');
    const link = world.connect(
      { externalPsks: [psk], versions: ['TLSv1.2'], cipherSuites12: undefined },
      {
        versions: ['TLSv1.2', 'TLSv1.3'],
        context: pskContext(world, [psk], { credentials: world.context.credentials }),
      },
    );
    assert.equal(link.client.summary?.version, 'TLSv1.2');
    link.forget();
  });
});

describe('the Selfie attack', () => {
  /** A node that is client and server, with the PSK that it shares with `peer`. */
  function node(name: string, peer: string): { dial: ExternalPsk; answer: ExternalPsk } {
    const [self, other] = [utf8(name), utf8(peer)];
    return {
      dial: externalPsk('shared', { importContext: roleContext({ client: self, server: other }) }),
      answer: externalPsk('shared', { importContext: roleContext({ client: other, server: self }) }),
    };
  }

  test('a connection that is turned back to its own node fails where the context says who is who', () => {
    const a = node('a', 'b');
    const b = node('b', 'a');
    const straight = world.connect({ externalPsks: [a.dial] }, { context: pskContext(world, [b.answer]) });
    straight.forget();
    const turned = new Link(
      world.client({ externalPsks: [a.dial] }),
      world.server({ context: pskContext(world, [a.answer]) }),
    ).run();
    assert.equal(turned.server.error?.code, 'TLS_ERR_UNKNOWN_PSK');
    assert.equal(turned.client.summary, undefined);
    turned.forget();
  });

  test('without roles the node talks to itself: why a PSK that is not imported is for one client and one server', () => {
    const shared = externalPsk('shared');
    const turned = world.connect({ externalPsks: [shared] }, { context: pskContext(world, [shared]) });
    assert.deepEqual(turned.client.summary?.externalPsk, turned.server.summary?.externalPsk);
    turned.forget();
  });
});

describe('sessions that began with an external PSK', () => {
  const resume = (session: Partial<ClientOptions>, context: ServerContext) => end(world.connect(session, { context }));

  test('resume, and know the PSK and the handshake that they came from', () => {
    for (const changes of [{}, { importContext: utf8('x') }]) {
      const psk = externalPsk('device', changes);
      const context = pskContext(world, [psk]);
      const first = end(world.connect({ externalPsks: [psk] }, { context }));
      const [session] = first.client.sessions;
      world.clock.advance(60_000);
      const link = resume({ session, externalPsks: [psk] }, context);
      for (const summary of [link.client.summary, link.server.summary]) {
        assert.equal(summary?.resumed, true);
        assert.equal(summary?.authenticatedBy, 'externalPsk');
        assert.deepEqual(summary?.externalPsk?.identity, utf8('device'));
        assert.equal(summary?.authenticatedAt, world.now() - 60_000);
      }
      const [next] = link.client.sessions;
      assert.equal(resume({ session: next, externalPsks: [psk] }, context).server.summary?.resumed, true);
    }
  });

  test('end with the handshake validity, as all do', () => {
    const psk = externalPsk('device');
    const { tickets } = world.context;
    assert(tickets !== undefined);
    const context = pskContext(world, [psk], { tickets: { ...tickets, handshakeValidity: 600 } });
    const [session] = end(world.connect({ externalPsks: [psk] }, { context })).client.sessions;
    assert.equal(session.ticketLifetime, 600);
    world.clock.advance(600_000);
    const link = resume({ session, externalPsks: [psk] }, context);
    assert.equal(link.client.summary?.refusal, 'expired_ticket');
    assert.equal(link.server.summary?.resumed, false);
  });

  test('end with their PSK: when it is taken away, when its key changes, and where it is not known', () => {
    const psk = externalPsk('device');
    const context = pskContext(world, [psk]);
    const other = externalPsk('other', { fill: 3 });
    const [session] = end(world.connect({ externalPsks: [psk] }, { context })).client.sessions;
    const changed = externalPsk('device', { fill: 8 });
    for (const [ours, known, refusal, chosen] of [
      [[psk, other], [other], 'unknown_psk', 'other'],
      [[other, psk], [changed, other], 'policy_changed', 'other'],
    ] as const) {
      const link = resume({ session, externalPsks: ours }, pskContext(world, known));
      assert.equal(link.server.summary?.resumed, false);
      assert.equal(link.server.summary?.refusal, refusal);
      assert.deepEqual(link.server.summary?.externalPsk?.identity, utf8(chosen));
    }
    const renewed = resume({ session, externalPsks: [changed] }, pskContext(world, [changed]));
    assert.equal(renewed.client.summary?.refusal, 'unknown_psk', 'the client does not even offer it');
    assert.equal(renewed.client.summary?.authenticatedBy, 'externalPsk');
  });

  test('do not lead into a policy of certificates, nor the other way round', () => {
    const psk = externalPsk('device');
    const [session] = end(world.connect({ externalPsks: [psk] }, { context: pskContext(world, [psk]) })).client
      .sessions;
    const plain = resume({ session, externalPsks: [psk] }, world.context);
    assert.equal(plain.server.summary?.resumed, false);
    assert.equal(plain.server.summary?.refusal, 'unknown_psk');
    assert.equal(plain.client.summary?.authenticatedBy, 'certificate');
    const [certified] = end(world.connect()).client.sessions;
    const link = resume({ session: certified, externalPsks: [psk] }, pskContext(world, [psk]));
    assert.equal(link.server.summary?.resumed, false);
    assert.equal(link.server.summary?.refusal, 'policy_changed');
  });

  test('are offered only by who has the PSK, and where one is required no others are', () => {
    const psk = externalPsk('device');
    const context = pskContext(world, [psk], { credentials: world.context.credentials });
    const [session] = end(world.connect({ externalPsks: [psk] }, { context })).client.sessions;
    const without = resume({ session }, context);
    assert.equal(without.client.summary?.refusal, 'unknown_psk');
    assert.equal(without.client.summary?.authenticatedBy, 'certificate');
    const [certified] = without.client.sessions;
    const strict = resume({ session: certified, externalPsks: [psk], externalPskRequired: true }, context);
    assert.equal(strict.client.summary?.refusal, 'policy_changed');
    assert.equal(strict.client.summary?.authenticatedBy, 'externalPsk');
    const again = resume({ session, externalPsks: [psk], externalPskRequired: true }, context);
    assert.equal(again.client.summary?.resumed, true);
  });

  test('ask the host again whether the PSK is known', () => {
    const psk = externalPsk('device');
    const context: ServerContext = { ...world.context, credentials: [], externalPsks: 'ask' };
    let asked = 0;
    const connect = (options: Partial<ClientOptions>, known = true) => {
      const link = world.pair(options, { context });
      link.server.externalPsk = () => {
        asked += 1;
        return known ? { externalPsk: psk.externalPsk } : undefined;
      };
      return end(link.run());
    };
    const [session] = connect({ externalPsks: [psk] }).client.sessions;
    assert.equal(connect({ session, externalPsks: [psk] }).server.summary?.resumed, true);
    assert.equal(asked, 2);
    assert.equal(connect({ session, externalPsks: [psk] }, false).server.error?.code, 'TLS_ERR_UNKNOWN_PSK');
  });

  test('are not made with an identity that no ticket can hold', () => {
    const psk = externalPsk('x'.repeat(1025));
    const link = world.connect({ externalPsks: [psk] }, { context: pskContext(world, [psk]) });
    assert.deepEqual(link.client.sessions, []);
    link.forget();
  });
});
