/** Handshakes over QUIC that complete: what each end is given, when, and at which encryption level. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import { extensionTypes } from '../../src/messages/code-points.ts';
import { decodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { QuicHandshake } from '../../src/quic.ts';
import { identity, World } from '../support/connections.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import {
  CLIENT_PARAMETERS,
  messageOf,
  type QuicEndpoint,
  QuicLink,
  quicClient,
  quicServer,
  SERVER_PARAMETERS,
} from './support.ts';

const world = new World({ alpnProtocols: ['h3'] });
const asking = new World({
  alpnProtocols: ['h3'],
  clientAuthentication: { required: true, certificateAuthorities: [], id: 'test' },
});
after(() => {
  world.close();
  asking.close();
});

describe('a handshake over QUIC', () => {
  it('hands out bytes and secrets in the order in which a QUIC stack needs them', () => {
    const { client, server } = QuicLink.connect(world);
    assert.deepEqual(client.story, [
      'handshakeBytes initial: client_hello',
      'secrets handshake read',
      'secrets handshake write',
      'transportParameters',
      'need',
      'secrets application read',
      'handshakeBytes handshake: finished',
      'discardKeys initial',
      'secrets application write',
      'handshakeComplete',
      'session',
      'session',
    ]);
    assert.deepEqual(server.story, [
      'transportParameters',
      'handshakeBytes initial: server_hello',
      'secrets handshake write',
      'secrets handshake read',
      'handshakeBytes handshake: encrypted_extensions certificate certificate_verify finished',
      'secrets application write',
      'discardKeys initial',
      'secrets application read',
      'handshakeComplete',
      'discardKeys handshake',
      'handshakeBytes application: new_session_ticket new_session_ticket',
    ]);
    assert.equal(client.summary?.alpnProtocol, 'h3');
    assert.equal(client.summary?.version, 'TLSv1.3');
  });

  it('passes the transport parameters through as they stand, empty ones too', () => {
    const { client, server } = QuicLink.connect(world);
    assert.deepEqual(client.transportParameters, SERVER_PARAMETERS);
    assert.deepEqual(server.transportParameters, CLIENT_PARAMETERS);
    const empty = { transportParameters: new Uint8Array(0) };
    const link = QuicLink.connect(world, empty, empty);
    assert.deepEqual(link.client.transportParameters, new Uint8Array(0));
    assert.deepEqual(link.server.transportParameters, new Uint8Array(0));
  });

  it('has no compatibility mode, no record limits and nothing to be asked later', () => {
    const { client, server } = QuicLink.connect(world, { credentials: [identity().credential] });
    const hello = decodeClientHello(messageOf(client, 'client_hello').subarray(4));
    assert.equal(hello.legacySessionId.length, 0);
    assert.equal(hello.extensions.recordSizeLimit, undefined);
    assert.equal(hello.extensions.postHandshakeAuth, undefined);
    assert.equal(hello.extensions.supportedVersions?.filter((version) => version === 0x0303).length, 0);
    const { types } = decodeEncryptedExtensions(messageOf(server, 'encrypted_extensions').subarray(4)).extensions;
    assert.equal(types.includes(extensionTypes.record_size_limit), false);
  });

  it('takes no option of TLS over TCP, also where the types are gone round', () => {
    const client = QuicHandshake.client({
      ...({ recordSizeLimit: 1000, versions: ['TLSv1.2'], earlyData: true } as object),
      provider: nodeProvider,
      now: world.now,
      serverName: 'localhost',
      alpnProtocols: ['h3'],
      transportParameters: CLIENT_PARAMETERS,
    });
    const [action] = client.start();
    assert.equal(action.kind, 'handshakeBytes');
    const { extensions } = decodeClientHello((action as { bytes: Uint8Array }).bytes.subarray(4));
    assert.equal(extensions.earlyData, undefined);
    assert.equal(extensions.recordSizeLimit, undefined);
    assert.ok(extensions.supportedVersions?.includes(0x0304));
    client.erase();
  });

  it('logs the same secrets as it hands out', () => {
    const { client, server } = QuicLink.connect(world, { exportKeyLog: true }, { exportKeyLog: true });
    for (const end of [client, server]) {
      const [reads, writes] = end === client ? ['SERVER', 'CLIENT'] : ['CLIENT', 'SERVER'];
      assert.equal(end.keyLog.get(`${reads}_HANDSHAKE_TRAFFIC_SECRET`), end.secret('handshake read'));
      assert.equal(end.keyLog.get(`${writes}_HANDSHAKE_TRAFFIC_SECRET`), end.secret('handshake write'));
      assert.equal(end.keyLog.get(`${reads}_TRAFFIC_SECRET_0`), end.secret('application read'));
      assert.equal(end.keyLog.get(`${writes}_TRAFFIC_SECRET_0`), end.secret('application write'));
    }
  });

  it('goes round once more when the client has not the right share', () => {
    const { client, server } = QuicLink.connect(
      world,
      { keyShares: ['secp256r1'] },
      { namedGroups: ['x25519'], helloRetryCookie: new Uint8Array([1, 2, 3]) },
    );
    assert.equal(client.summary?.helloRetried, true);
    assert.deepEqual(client.story.slice(0, 3), [
      'handshakeBytes initial: client_hello',
      'handshakeBytes initial: client_hello',
      'secrets handshake read',
    ]);
    assert.equal(server.story[1], 'handshakeBytes initial: server_hello');
  });

  it('resumes with a ticket that came at the level application', () => {
    const first = QuicLink.connect(world);
    assert.equal(first.client.sessions.length, 2);
    const [session] = first.client.sessions;
    const second = QuicLink.connect(world, { session });
    assert.equal(second.client.summary?.resumed, true);
    assert.equal(second.client.summary?.resumedBy, 'ticket');
    assert.notEqual(first.client.secret('application write'), second.client.secret('application write'));
    const retried = QuicLink.connect(
      world,
      { session: first.client.sessions[1], keyShares: ['secp256r1'] },
      { namedGroups: ['x25519'] },
    );
    assert.equal(retried.client.summary?.resumed, true);
    assert.equal(retried.client.summary?.helloRetried, true);
  });

  it('does not resume a session of TLS over TCP, nor the other way round', () => {
    const overTcp = world.connect({ alpnProtocols: ['h3'] });
    const link = QuicLink.connect(world, { session: overTcp.client.sessions[0] });
    assert.equal(link.client.summary?.resumed, false);
    assert.equal(link.server.summary?.refusal, 'policy_changed');
    const back = world.connect({ alpnProtocols: ['h3'], session: link.client.sessions[0] });
    assert.equal(back.client.summary?.resumed, false);
    assert.equal(back.server.summary?.refusal, 'policy_changed');
    const again = world.connect({ alpnProtocols: ['h3'], session: overTcp.client.sessions[1] });
    assert.equal(again.client.summary?.resumed, true);
  });

  it('authenticates the client, also by a resumed session', () => {
    const { credential, publicKey } = identity('ec-p256');
    const link = QuicLink.between(asking, { credentials: [credential] });
    link.server.verdict = publicKey;
    link.run().assertComplete();
    assert.deepEqual(link.server.summary?.peerCertificates, credential.certificateChain);
    assert.equal(link.client.sessions.length, 2);
    const again = QuicLink.connect(asking, { session: link.client.sessions[0] });
    assert.equal(again.server.summary?.resumed, true);
    assert.deepEqual(again.server.summary?.peerCertificates, credential.certificateChain);
    assert.deepEqual(link.client.story.slice(-7), [
      'secrets application read',
      'handshakeBytes handshake: certificate certificate_verify finished',
      'discardKeys initial',
      'secrets application write',
      'handshakeComplete',
      'session',
      'session',
    ]);
  });

  it('waits for answers that come late, and keeps what arrives meanwhile', () => {
    const elsewhere = identity().credential;
    const remote = { ...elsewhere, privateKey: undefined };
    const context = { ...world.context, credentials: [remote] };
    const link = QuicLink.between(world, {}, { context: 'ask' });
    link.server.hold = ['context', 'sign'];
    link.client.hold = ['verifyCertificate'];
    link.run();
    const { need } = link.server;
    assert(need?.kind === 'context');
    assert.equal(link.server.handshake.waiting, true);
    link.server.need = undefined;
    link.server.take(link.server.handshake.resume(need, context));
    assert.equal(kindOf(link.server), 'sign');
    // EncryptedExtensions and Certificate need not wait for the signature.
    link.deliver();
    assert.equal(kindOf(link.client), 'verifyCertificate');
    link.server.answer();
    link.deliver();
    assert.equal(link.client.summary, undefined);
    link.client.answer();
    link.deliver().assertComplete();
  });

  it('reads handshake bytes however they are split and joined', () => {
    const sessions: QuicEndpoint['sessions'] = [];
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }),
        fc.boolean(),
        fc.boolean(),
        (sizes, retry, resume) => {
          const link = QuicLink.between(
            world,
            { keyShares: retry ? ['secp256r1'] : undefined, session: resume ? sessions.pop() : undefined },
            { namedGroups: ['x25519'] },
          );
          let turn = 0;
          link.chop = function* (bytes) {
            for (let at = 0; at < bytes.length; ) {
              const end = at + sizes[turn++ % sizes.length];
              yield bytes.subarray(at, end);
              at = end;
            }
          };
          link.run().assertComplete();
          sessions.push(...link.client.sessions);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('reads handshake bytes that come one by one', () => {
    const link = QuicLink.between(world);
    link.chop = (bytes) => Array.from(bytes, (byte) => new Uint8Array([byte]));
    link.run().assertComplete();
  });

  it('keeps no secret of its own once it is complete but those of tickets and exporters', () => {
    const watch = new SecretWatch();
    try {
      const link = QuicLink.connect(world);
      for (const { secrets, sessions } of [link.client, link.server]) {
        for (const { secret } of [...secrets.values(), ...sessions]) {
          secret.erase();
        }
      }
      assert.deepEqual(watch.alive, ['EXPORTER_SECRET', 'EXPORTER_SECRET', 'resumptionSecret']);
      link.forget();
      assert.deepEqual(watch.alive, []);
      refuses('TLS_ERR_WRONG_STATE', () => link.client.handshake.exportKeyingMaterial('x', undefined, 8));
      assert.deepEqual(link.client.handshake.receive('application', new Uint8Array(4)), []);
      assert.deepEqual(link.client.handshake.start(), []);
    } finally {
      watch.stop();
    }
  });

  it('keeps no secret when it is given up at any moment', () => {
    const watch = new SecretWatch();
    try {
      for (let steps = 0; steps < 6; steps++) {
        const [client, server] = [quicClient(world), quicServer(world)];
        client.start();
        for (let step = 0; step < steps; step++) {
          const [from, to] = step % 2 === 0 ? [client, server] : [server, client];
          const [piece] = from.outbox.splice(0, 1);
          if (piece !== undefined) {
            to.receive(piece.level, piece.bytes);
          }
        }
        client.forget();
        server.forget();
        assert.deepEqual(watch.alive, [], `after ${steps} steps`);
      }
    } finally {
      watch.stop();
    }
  });
});

describe('a QUIC host', () => {
  it('must name an application protocol at a client', () => {
    for (const alpnProtocols of [[], undefined as unknown as string[]]) {
      refuses('TLS_ERR_CONFIG', () => quicClient(world, { alpnProtocols }));
    }
  });

  it('must not start twice, answer what was not asked, or give bytes of a level that has no keys', () => {
    const { client, server } = QuicLink.between(world);
    assert.deepEqual(server.handshake.start(), []);
    client.start();
    refuses('TLS_ERR_WRONG_STATE', () => client.handshake.start());
    refuses('TLS_ERR_WRONG_STATE', () => client.handshake.receive('handshake', new Uint8Array(4)));
    refuses('TLS_ERR_WRONG_STATE', () => client.handshake.receive('application', new Uint8Array(4)));
    refuses('TLS_ERR_WRONG_STATE', () => client.handshake.exportKeyingMaterial('x', undefined, 8));
    refuses('TLS_ERR_WRONG_STATE', () =>
      client.handshake.resume(
        { kind: 'sign', scheme: 'ed25519', data: new Uint8Array(), credential: { certificateChain: [], schemes: [] } },
        new Uint8Array(),
      ),
    );
    // None of it harmed the handshake.
    new QuicLink(client, server).deliver().assertComplete();
  });

  it('is given bytes that it may keep and change', () => {
    const { client, server } = QuicLink.between(world);
    client.start();
    const [hello] = client.flush();
    server.receive(hello.level, hello.bytes);
    const before = toHex(messageOf(server, 'certificate'));
    for (const { bytes } of server.flush()) {
      bytes.fill(0);
    }
    const next = quicServer(world).receive(hello.level, hello.bytes);
    assert.equal(toHex(messageOf(next, 'certificate')), before);
  });
});

function kindOf(endpoint: QuicEndpoint): string | undefined {
  return endpoint.need?.kind;
}
