import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { alertCodes } from '../../src/alerts.ts';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Connection } from '../../src/connection.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { TLSError } from '../../src/errors.ts';
import type { ClientState, ServerState } from '../../src/handshake/transitions.ts';
import { type Endpoint, identity, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, FLIGHT_KEYS, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const CLIENT_STATES: ClientState[] = [
  'ExpectServerHello',
  'ExpectServerHelloAfterRetry',
  'ExpectEncryptedExtensions',
  'ExpectCertificateOrCertificateRequest',
  'AwaitCertificateVerdict',
  'ExpectCertificateVerify',
  'ExpectFinished',
];
const SERVER_STATES: ServerState[] = [
  'ExpectClientHello',
  'AwaitContext',
  'ExpectClientHelloAfterRetry',
  'AwaitSignature',
  'ExpectFinished',
];
const duringHandshake = [
  ...CLIENT_STATES.map((state) => ({ role: 'client', state, reach: () => clientIn(world, state) })),
  ...SERVER_STATES.map((state) => ({ role: 'server', state, reach: () => serverIn(world, state) })),
];
const connected = [
  { role: 'client', reach: () => clientIn(world, 'Connected') },
  { role: 'server', reach: () => serverIn(world, 'Connected') },
];

function assertNothingLeft(what: string): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

describe('the end of the transport', () => {
  test('in every state of the handshake fails the connection, without a word', () => {
    for (const { role, state, reach } of duringHandshake) {
      const stage = reach();
      stage.victim.flush();
      stage.victim.take(stage.victim.connection.transportEnded());
      assert.equal(stage.victim.error?.code, 'TLS_ERR_TRUNCATED', `${role} ${state}`);
      assert.equal(stage.victim.flush().length, 0);
      strike(stage);
      assertNothingLeft(`${role} in ${state}`);
    }
  });

  test('of a complete connection is a truncation, unless close_notify came before', () => {
    for (const { reach } of connected) {
      const cut = reach();
      cut.victim.take(cut.victim.connection.transportEnded());
      assert.equal(cut.victim.error?.code, 'TLS_ERR_TRUNCATED');
      assert.deepEqual(cut.victim.connection.transportEnded(), [], 'said once');
      strike(cut);
      const closed = reach();
      closed.victim.receive(closed.puppet.record(21, new Uint8Array([1, 0])));
      assert(closed.victim.peerClosed);
      closed.victim.take(closed.victim.connection.transportEnded());
      closed.victim.assertFine();
      strike(closed);
    }
  });
});

describe('close', () => {
  test('during the handshake says user_canceled and close_notify under the right key and ends all', () => {
    for (const { role, state, reach } of duringHandshake) {
      const stage = reach();
      const before = stage.victim.flush();
      stage.victim.take(stage.victim.connection.close());
      const said = stage.victim.flush();
      if (state === 'AwaitSignature') {
        stage.puppet.read(said);
      } else {
        stage.puppet.read(before).read(said);
      }
      assert.deepEqual(
        stage.puppet.alerts,
        [`user_canceled under ${stage.alertsUnder}`, `close_notify under ${stage.alertsUnder}`],
        `${role} ${state}`,
      );
      stage.victim.assertFine();
      assert.deepEqual(stage.victim.connection.close(), [], 'said once');
      assert.deepEqual(stage.victim.connection.receive(new Uint8Array([22, 3, 3])), [], 'deaf from now on');
      strike(stage);
      assertNothingLeft(`${role} in ${state}`);
    }
  });

  test('before the ClientHello says nothing', () => {
    const client = world.client();
    assert.deepEqual(client.connection.close(), []);
    assert.deepEqual(client.connection.start(), []);
    const aborted = world.client();
    assert.deepEqual(aborted.connection.abort('internal_error'), []);
    assertNothingLeft('never started');
  });

  test('of one side is half a close: the other side may go on sending, then closes too, and all secrets end', () => {
    const link = world.connect();
    for (const session of link.client.sessions) {
      session.secret.erase();
    }
    const { client, server } = link;
    client.take(client.connection.close());
    assert.deepEqual(client.connection.close(), [], 'idempotent');
    assert.equal(client.connection.canSend, false);
    assert.throws(() => client.connection.send(utf8('more')), { code: 'TLS_ERR_WRONG_STATE' });
    assert.throws(() => client.connection.updateKeys(true), { code: 'TLS_ERR_WRONG_STATE' });
    link.deliver();
    assert(server.peerClosed && server.connection.peerClosed);
    assert(server.connection.canSend);
    const before = client.data.length;
    server.take(server.connection.send(utf8('the rest')));
    link.deliver();
    assert.deepEqual(client.data.subarray(before), utf8('the rest'));
    server.take(server.connection.close());
    link.deliver();
    assert(client.peerClosed);
    client.assertFine();
    server.assertFine();
    assertNothingLeft('both closed');
  });

  test('is the last that is said: no answer to a KeyUpdate, no alert, no abort after it', () => {
    for (const { reach } of connected) {
      const stage = reach();
      stage.victim.take(stage.victim.connection.close());
      stage.victim.flush();
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([24, 0, 0, 1, 1])));
      stage.victim.assertFine();
      assert.deepEqual(stage.victim.keyUpdates, ['read 1']);
      stage.victim.receive(stage.puppet.updateWrite().record(23, utf8('still heard')));
      assert.deepEqual(stage.victim.data, utf8('still heard'));
      stage.victim.receive(stage.puppet.record(20, new Uint8Array([1])));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_RECORD_TYPE');
      assert.equal(stage.victim.flush().length, 0);
      strike(stage);
      const aborted = reach();
      aborted.victim.take(aborted.victim.connection.close());
      aborted.victim.flush();
      assert.deepEqual(aborted.victim.connection.abort('internal_error'), []);
      strike(aborted);
    }
  });

  test('by the peer ends reading: what follows close_notify is not looked at', () => {
    for (const { reach } of connected) {
      const stage = reach();
      const { victim, puppet } = stage;
      victim.receive(
        Buffer.concat([puppet.record(21, new Uint8Array([1, 0])), puppet.record(23, utf8('late')), utf8('x')]),
      );
      victim.receive(utf8('not TLS at all'));
      assert(victim.peerClosed);
      assert.equal(victim.data.length, 0);
      victim.assertFine();
      strike(stage);
    }
  });

  test('by the peer during the handshake is a truncation, user_canceled before it or not', () => {
    for (const { state, reach } of duringHandshake.filter((entry) => !entry.state.startsWith('Await'))) {
      for (const alerts of [[0], [90, 0]]) {
        const stage = reach();
        stage.victim.flush();
        for (const alert of alerts) {
          stage.victim.receive(stage.puppet.record(21, new Uint8Array([1, alert])));
        }
        assert.equal(stage.victim.error?.code, 'TLS_ERR_TRUNCATED', state);
        assert.equal(stage.victim.flush().length, 0);
        strike(stage);
        assertNothingLeft(state);
      }
    }
  });
});

describe('abort and erase', () => {
  test('abort sends its alert under the right key in every state, and nothing is left', () => {
    for (const { role, state, reach } of duringHandshake) {
      const stage = reach();
      stage.puppet.read(stage.victim.flush(), state === 'AwaitSignature' ? {} : FLIGHT_KEYS);
      stage.puppet.alerts.length = 0;
      stage.victim.take(stage.victim.connection.abort('access_denied'));
      stage.puppet.read(stage.victim.flush());
      assert.deepEqual(stage.puppet.alerts, [`access_denied under ${stage.alertsUnder}`], `${role} ${state}`);
      assert.deepEqual(stage.victim.connection.abort('access_denied'), []);
      strike(stage);
      assertNothingLeft(`${role} in ${state}`);
    }
  });

  test('erase says nothing and leaves nothing, in every state, twice', () => {
    for (const { role, state, reach } of duringHandshake) {
      const stage = reach();
      stage.victim.flush();
      stage.victim.connection.erase();
      stage.victim.connection.erase('again');
      assert.equal(stage.victim.flush().length, 0);
      stage.puppet.erase();
      assertNothingLeft(`${role} in ${state}`);
      assert.deepEqual(stage.victim.connection.receive(new Uint8Array(5)), []);
      assert.deepEqual(stage.victim.connection.transportEnded(), []);
    }
  });

  test('a client that was never started leaves no secret', () => {
    world.client().connection.erase();
    assertNothingLeft('never started');
  });
});

describe('alerts of the peer', () => {
  test('each fatal one, known or not, ends the connection with its name, without an answer, whatever its level', () => {
    for (const { reach } of connected) {
      for (const [name, code] of [...Object.entries(alertCodes), ['unknown', 211] as const]) {
        if (name === 'close_notify' || name === 'user_canceled') {
          continue;
        }
        const stage = reach();
        stage.victim.receive(stage.puppet.record(21, new Uint8Array([code % 2 === 0 ? 1 : 2, code])));
        assert.equal(stage.victim.error?.code, 'TLS_ERR_ALERT_RECEIVED');
        assert.equal(stage.victim.error?.alert, name === 'unknown' ? undefined : name);
        assert.equal(stage.victim.flush().length, 0);
        strike(stage);
        assertNothingLeft(name);
      }
    }
  });

  test('data that came before the alert is delivered', () => {
    const stage = serverIn(world, 'Connected');
    const { victim, puppet } = stage;
    victim.receive(Buffer.concat([puppet.record(23, utf8('last words')), puppet.record(21, new Uint8Array([2, 80]))]));
    assert.deepEqual(victim.data, utf8('last words'));
    assert.equal(victim.error?.alert, 'internal_error');
    strike(stage);
  });
});

describe('needs', () => {
  test('a context may be chosen later, and bytes that come meanwhile are kept', () => {
    const link = world.pair({}, { context: 'ask' });
    link.server.hold = ['context'];
    link.run();
    assert(link.server.need?.kind === 'context');
    assert.deepEqual(link.server.need.clientHello.serverName, 'localhost');
    assert.deepEqual(link.server.need.clientHello.alpnProtocols, ['h2']);
    assert(link.server.need.clientHello.signatureSchemes.includes('ed25519'));
    assert.equal(link.client.summary, undefined);
    link.server.answer();
    link.deliver();
    link.assertComplete();
    link.forget();
  });

  test('a refused context is answered with unrecognized_name', () => {
    const stage = serverIn(world, 'AwaitContext');
    const { victim } = stage;
    assert(victim.need?.kind === 'context');
    victim.take(victim.connection.resume(victim.need, undefined));
    assert.equal(victim.error?.code, 'TLS_ERR_UNRECOGNIZED_NAME');
    stage.puppet.read(victim.flush());
    assert.deepEqual(stage.puppet.alerts, ['unrecognized_name under plaintext']);
    strike(stage);
    assertNothingLeft('refused');
  });

  test('a context is asked for once, also when the client has to try again', () => {
    const link = world.pair({ keyShares: ['x25519'] }, { context: 'ask', namedGroups: ['secp256r1'] });
    link.run().assertComplete();
    assert.equal(link.server.actions.filter(({ kind }) => kind === 'need').length, 1);
    link.forget();
  });

  test('a signature may be made elsewhere, later', () => {
    const [{ certificateChain, schemes }] = world.context.credentials;
    const context = { ...world.context, credentials: [{ certificateChain, schemes }] };
    const link = world.pair({}, { context });
    link.server.hold = ['sign'];
    link.run();
    assert(link.server.need?.kind === 'sign');
    assert.equal(link.server.need.scheme, 'ed25519');
    link.server.answer();
    link.deliver();
    link.assertComplete();
    link.forget();
  });

  test('a signature that is wrong is found out by the client', () => {
    const stage = serverIn(world, 'AwaitSignature');
    assert(stage.victim.need?.kind === 'sign');
    stage.victim.take(stage.victim.connection.resume(stage.victim.need, new Uint8Array(64)));
    stage.victim.assertFine();
    strike(stage);
    const [{ certificateChain, schemes }] = world.context.credentials;
    const link = world.pair({}, { context: { ...world.context, credentials: [{ certificateChain, schemes }] } });
    link.server.hold = ['sign'];
    link.run();
    assert(link.server.need?.kind === 'sign');
    link.server.take(link.server.connection.resume(link.server.need, new Uint8Array(64)));
    link.deliver();
    assert.equal(link.client.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    assert.equal(link.server.error?.alert, 'decrypt_error');
    link.forget();
  });

  test('a certificate that the host refuses is answered with the alert of its error', () => {
    for (const [code, alert] of [
      ['TLS_ERR_CERTIFICATE_EXPIRED', 'certificate_expired'],
      ['TLS_ERR_UNKNOWN_CA', 'unknown_ca'],
      ['TLS_ERR_CONFIG', 'internal_error'],
    ] as const) {
      const link = world.pair();
      link.client.verdict = new TLSError(code, 'no');
      link.run();
      assert.equal(link.client.error?.code, code);
      assert.equal(link.server.error?.code, 'TLS_ERR_ALERT_RECEIVED');
      assert.equal(link.server.error?.alert, alert);
      link.forget();
      assertNothingLeft(code);
    }
  });

  test('the key of another certificate does not do, whatever the host thinks of the chain', () => {
    const link = world.pair();
    link.client.publicKey = identity('ed25519', ' of someone else').publicKey;
    link.run();
    assert.equal(link.client.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    assert.equal(link.server.error?.alert, 'decrypt_error');
    link.forget();
  });

  test('is answered once, by its own answer, and not when all is over', () => {
    const stage = clientIn(world, 'AwaitCertificateVerdict');
    const { victim } = stage;
    const need = victim.need;
    assert(need?.kind === 'verifyCertificate');
    const foreign = { ...need };
    assert.throws(() => victim.connection.resume(foreign, victim.publicKey), { code: 'TLS_ERR_WRONG_STATE' });
    victim.take(victim.connection.resume(need, victim.publicKey));
    assert.throws(() => victim.connection.resume(need, victim.publicKey), { code: 'TLS_ERR_WRONG_STATE' });
    victim.assertFine();
    strike(stage);
    assert.deepEqual(victim.connection.resume(need, victim.publicKey), [], 'over');
  });

  test('what comes while one is open is bounded', () => {
    for (const reach of [() => serverIn(world, 'AwaitContext'), () => clientIn(world, 'AwaitCertificateVerdict')]) {
      const stage = reach();
      const { victim } = stage;
      const chunk = new Uint8Array(2 ** 14);
      for (let i = 0; i < 8; i++) {
        victim.receive(chunk);
      }
      victim.assertFine();
      victim.receive(chunk);
      assert.equal(victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
      strike(stage);
      assertNothingLeft('too much');
    }
  });

  test('a host whose callback throws ends the handshake with internal_error', () => {
    const context = {
      ...world.context,
      chooseProtocol: () => {
        throw new RangeError('a bug of the host');
      },
    };
    const link = world.pair({}, { context }).run();
    assert.equal(link.server.error?.code, 'TLS_ERR_INTERNAL');
    assert(link.server.error.cause instanceof RangeError);
    assert.equal(link.client.error?.alert, 'internal_error');
    link.forget();
    assertNothingLeft('callback');
  });

  test('a protocol may be chosen by a callback, from what was offered only', () => {
    const choosing = (choice: string | undefined) => ({ context: { ...world.context, chooseProtocol: () => choice } });
    const link = world.connect({ alpnProtocols: ['a', 'b'] }, choosing('b'));
    assert.equal(link.server.summary?.alpnProtocol, 'b');
    link.forget();
    for (const choice of ['c', undefined]) {
      const refused = world.pair({ alpnProtocols: ['a', 'b'] }, choosing(choice)).run();
      assert.equal(refused.server.error?.code, 'TLS_ERR_NO_APPLICATION_PROTOCOL');
      assert.equal(refused.client.error?.alert, 'no_application_protocol');
      refused.forget();
    }
  });
});

describe('calls at the wrong time', () => {
  test('start twice, and send, updateKeys or an export before the handshake is complete, throw and change nothing', () => {
    const link = world.pair();
    link.client.start();
    assert.throws(() => link.client.connection.start(), { code: 'TLS_ERR_WRONG_STATE' });
    for (const { connection } of [link.client, link.server]) {
      assert.equal(connection.canSend, false);
      assert.equal(connection.summary, undefined);
      assert.throws(() => connection.send(utf8('early')), { code: 'TLS_ERR_WRONG_STATE' });
      assert.throws(() => connection.updateKeys(false), { code: 'TLS_ERR_WRONG_STATE' });
      assert.throws(() => connection.exportKeyingMaterial('x', undefined, 32), { code: 'TLS_ERR_WRONG_STATE' });
    }
    assert.deepEqual(link.server.connection.start(), []);
    link.deliver().assertComplete();
    assert.throws(() => link.client.connection.start(), { code: 'TLS_ERR_WRONG_STATE' });
    link.forget();
  });

  test('nothing to send and nothing received are nothing', () => {
    const link = world.connect();
    assert.deepEqual(link.client.connection.send(new Uint8Array(0)), []);
    assert.deepEqual(link.client.connection.receive(new Uint8Array(0)), []);
    link.forget();
  });
});

describe('exported keying material', () => {
  test('is the same on both sides, differs by label, context and length, and is gone after the end', () => {
    const link = world.connect();
    const both = (label: string, context: Uint8Array | undefined, length: number): string => {
      const [a, b] = [link.client, link.server].map(({ connection }) =>
        connection.exportKeyingMaterial(label, context, length),
      );
      assert.deepEqual(a, b);
      assert.equal(a.length, length);
      return Buffer.from(a).toString('hex');
    };
    const made = [
      both('EXPORTER-a', undefined, 32),
      both('EXPORTER-b', undefined, 32),
      both('EXPORTER-a', utf8('c'), 32),
      both('EXPORTER-a', undefined, 33),
      both('EXPORTER-a', undefined, 255 * 32),
    ];
    assert.equal(new Set(made.map((hex) => hex.slice(0, 60))).size, made.length);
    assert.equal(both('EXPORTER-a', new Uint8Array(0), 32), made[0], 'an empty context equals none');
    assert.throws(() => link.client.connection.exportKeyingMaterial('x', undefined, 255 * 32 + 1), {
      code: 'TLS_ERR_CONFIG',
    });
    assert.throws(() => link.client.connection.exportKeyingMaterial('x'.repeat(250), undefined, 1), {
      code: 'TLS_ERR_CONFIG',
    });
    const alive = watch.alive.filter((kind) => /export/i.test(kind));
    assert.deepEqual(alive, ['EXPORTER_SECRET', 'EXPORTER_SECRET'], 'what was derived on the way is gone');
    link.forget();
    for (const { connection } of [link.client, link.server]) {
      assert.throws(() => connection.exportKeyingMaterial('x', undefined, 32), { code: 'TLS_ERR_WRONG_STATE' });
    }
  });
});

describe('the secrets of a connection', () => {
  const HELD = ['CLIENT_TRAFFIC_SECRET', 'EXPORTER_SECRET', 'SERVER_TRAFFIC_SECRET', 'aeadKey', 'aeadKey'];

  /** Each connection alone: the other one's are subtracted by ending it. */
  function aliveOf(endpoint: Endpoint, other: Endpoint): readonly string[] {
    other.connection.erase();
    const { alive } = watch;
    endpoint.connection.erase();
    return alive;
  }

  for (const [name, client, server] of [
    ['a full handshake', {}, {}],
    ['one with a HelloRetryRequest', { keyShares: ['x25519'] }, { namedGroups: ['secp256r1'] }],
    ['one without sessions', { wantSessions: false }, {}],
  ] as const) {
    test(`after ${name} are the traffic secrets, their keys, the exporter and what tickets need, no more`, () => {
      for (const side of ['client', 'server'] as const) {
        watch.clear();
        const link = world.connect(client, server);
        for (const session of link.client.sessions) {
          session.secret.erase();
        }
        const expected = side === 'client' && name !== 'one without sessions' ? [...HELD, 'resumptionSecret'] : HELD;
        const other = side === 'client' ? link.server : link.client;
        assert.deepEqual(aliveOf(link[side], other), expected);
        assertNothingLeft(name);
      }
    });
  }

  test('after a resumption are the same; the PSK of the session stays with the host', () => {
    const full = world.connect();
    full.client.connection.erase();
    full.server.connection.erase();
    const [session] = full.client.sessions;
    for (const side of ['client', 'server'] as const) {
      watch.clear();
      const link = world.connect({ session });
      link.client.sessions[0].secret.erase();
      const other = side === 'client' ? link.server : link.client;
      assert.deepEqual(aliveOf(link[side], other), side === 'client' ? [...HELD, 'resumptionSecret'] : HELD);
      assertNothingLeft('resumed');
    }
    assert.equal(session.secret.erased, false);
  });

  test('a key share ends with the handshake that it was made for, used or not, however that goes', () => {
    const open = new Set<object>();
    const provider = {
      ...nodeProvider,
      generateKeyShare: (group: Parameters<typeof nodeProvider.generateKeyShare>[0]) => {
        const share = nodeProvider.generateKeyShare(group);
        open.add(share);
        const { agree, erase } = share;
        share.agree = (peer) => {
          open.delete(share);
          return agree.call(share, peer);
        };
        share.erase = () => {
          open.delete(share);
          erase.call(share);
        };
        return share;
      },
    };
    const options = { provider, keyShares: ['x25519', 'secp256r1'] as const };
    for (const state of CLIENT_STATES) {
      const changed = state === 'ExpectServerHelloAfterRetry' ? { provider } : options;
      const stage = clientIn(world, state, { client: changed });
      if (!state.startsWith('ExpectServerHello')) {
        assert.equal(open.size, 0, `all shares are gone in ${state}`);
      }
      strike(stage);
      assert.equal(open.size, 0, state);
    }
    Connection.client({ provider, now: world.now, serverName: '' }).erase();
    assert.equal(open.size, 0, 'never started');
  });
});
