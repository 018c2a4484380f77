import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import { encodeCertificateRequest12 } from '../../src/messages/tls12/certificate-request.ts';
import { encodeHelloRequest } from '../../src/messages/tls12/empty-messages.ts';
import { type Endpoint, identity, type Link } from '../support/connections.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { ONLY12 } from '../support/stages12.ts';
import { NAMINGS } from '../support/world12.ts';
import {
  askingContext,
  assertNothingLeft,
  byClient,
  byServer,
  corrupt,
  count,
  renegotiated,
  World12,
} from './support.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const TEN_MINUTES = 600_000;

function connect(client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
  return world.connect12('ticket', client, server);
}

function end(link: Link): void {
  link.forget();
  assertNothingLeft(watch);
}

function exported({ connection }: Endpoint): string {
  return Buffer.from(connection.exportKeyingMaterial('test', utf8('context'), 24)).toString('hex');
}

describe('a renegotiation', () => {
  for (const naming of NAMINGS) {
    test(`makes a new master secret, a new session by ${naming} and new keys, and data flows before and after`, () => {
      const link = world.connect12(naming);
      const { client, server } = link;
      const before = { material: exported(client), master: client.keyLog.get('CLIENT_RANDOM') };
      byServer(link);
      assert.equal(renegotiated(server).resumed, false);
      assert.deepEqual(renegotiated(client).peerCertificates, world.identity.credential.certificateChain);
      assert.equal(client.connection.summary, renegotiated(client));
      assert.notEqual(exported(client), before.material);
      assert.equal(exported(client), exported(server));
      assert.notEqual(client.keyLog.get('CLIENT_RANDOM'), before.master);
      assert.equal(client.keyLog.get('CLIENT_RANDOM'), server.keyLog.get('CLIENT_RANDOM'));
      link.assertDataFlows();
      const session = client.sessions12.at(-1);
      assert.equal(client.sessions12.length, 2);
      const resumed = world.connect12(naming, { session });
      assert.equal(resumed.client.summary?.resumedBy, naming);
      resumed.forget();
      end(link);
    });

    test(`follows a connection that was resumed by ${naming}`, () => {
      const session = world.session12(naming);
      const link = world.connect12(naming, { session }, { clientRenegotiations: 1 });
      assert.equal(link.client.summary?.resumed, true);
      byClient(link);
      byServer(link);
      assert.equal(count(link.client, 'renegotiated'), 2);
      link.assertDataFlows();
      session.secret.erase();
      end(link);
    });
  }

  test('asks for a client certificate late, and the server knows the client from then on', () => {
    const who = identity('ec-p256', 'late');
    const link = connect({ credentials: [who.credential] });
    link.server.publicKey = who.publicKey;
    assert.deepEqual(link.server.summary?.peerCertificates, []);
    byServer(link, askingContext(world.context));
    assert.deepEqual(renegotiated(link.server).peerCertificates, who.credential.certificateChain);
    byServer(link);
    assert.deepEqual(renegotiated(link.server).peerCertificates, who.credential.certificateChain, 'the context stays');
    link.assertDataFlows();
    end(link);
  });

  test('ends the connection of a client without the certificate that is required', () => {
    const link = byServer(connect(), askingContext(world.context));
    assert.equal(link.server.error?.code, 'TLS_ERR_CERTIFICATE_REQUIRED');
    assert.equal(link.client.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    end(link);
  });

  test('waits for hosts that answer later: data goes both ways, but for an end whose flight waits for a signature', () => {
    const { certificateChain, schemes } = world.identity.credential;
    const link = connect({ credentials: [{ certificateChain, schemes }] });
    const { client, server } = link;
    client.hold = ['verifyCertificate', 'sign'];
    server.hold = ['verifyCertificate', 'sign'];
    const answers: string[] = [];
    const holding: string[] = [];
    const [sent, received] = [
      { up: 0, down: 0 },
      { up: server.data.length, down: client.data.length },
    ];
    server.take(
      server.connection.startRenegotiation(
        askingContext({ ...world.context, credentials: [{ certificateChain, schemes }] }),
      ),
    );
    for (let i = 0; i < 20 && count(client, 'renegotiated') === 0; i++) {
      link.deliver();
      const before = { up: server.data.length, down: client.data.length };
      client.take(client.connection.send(utf8('up')));
      server.take(server.connection.send(utf8('down')));
      sent.up += 2;
      sent.down += 4;
      link.deliver();
      assert.equal(server.data.length - before.up, client.connection.holdsData ? 0 : 2);
      assert.equal(client.data.length - before.down, server.connection.holdsData ? 0 : 4);
      for (const side of [client, server]) {
        if (side.need !== undefined) {
          if (side.connection.holdsData && side.need.kind === 'sign') {
            holding.push(`${side.connection.role} sign`);
          }
          answers.push(`${side.connection.role} ${side.need.kind}`);
          side.answer();
        }
      }
    }
    assert.deepEqual(answers, ['client verifyCertificate', 'server sign', 'client sign', 'server verifyCertificate']);
    renegotiated(client);
    renegotiated(server);
    link.deliver();
    assert.deepEqual(holding, ['server sign', 'client sign']);
    assert.deepEqual([server.data.length - received.up, client.data.length - received.down], [sent.up, sent.down]);
    link.assertDataFlows();
    end(link);
  });

  test('is done a hundred times over without anything piling up', () => {
    const link = connect({}, { clientRenegotiations: 1000 });
    for (let i = 0; i < 50; i++) {
      world.clock.advance(TEN_MINUTES);
      byClient(link);
      byServer(link);
    }
    assert.equal(count(link.client, 'renegotiated'), 100);
    link.assertDataFlows();
    end(link);
  });
});

describe('a renegotiation that a client begins', () => {
  test('is declined by default with a warning, and the connection goes on as it was', () => {
    const link = connect();
    const before = exported(link.client);
    for (let i = 0; i < 3; i++) {
      byClient(link);
      assert.equal(count(link.client, 'renegotiationDeclined'), i + 1);
      assert.equal(link.client.connection.state, 'Connected');
      assert.equal(exported(link.client), before);
      link.assertDataFlows();
    }
    assert.equal(count(link.server, 'renegotiated'), 0);
    end(link);
  });

  test('again and again, with no data in between, ends the connection: each makes the server answer', () => {
    const link = connect();
    for (let i = 0; i < 8; i++) {
      byClient(link);
    }
    link.server.assertFine();
    byClient(link);
    assert.equal(link.server.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    end(link);
  });

  test('is allowed as often within ten minutes as the server says, and again when they have passed', () => {
    const link = connect({}, { clientRenegotiations: 2 });
    const outcome = () => `${count(link.client, 'renegotiated')} ${count(link.client, 'renegotiationDeclined')}`;
    const outcomes: string[] = [];
    const go = (wait = 0) => {
      world.clock.advance(wait);
      byClient(link);
      link.assertDataFlows();
      outcomes.push(outcome());
    };
    go();
    go(TEN_MINUTES - 1);
    go();
    go(1);
    go();
    go(TEN_MINUTES - 2);
    go(2);
    assert.deepEqual(outcomes, ['1 0', '2 0', '2 1', '3 1', '3 2', '3 3', '4 3']);
    end(link);
  });

  test('crosses a request of the server: it is the answer, once, under the context that the server asked for', () => {
    const link = connect({ credentials: [world.identity.credential] });
    const { client, server } = link;
    server.take(server.connection.startRenegotiation(askingContext(world.context)));
    client.take(client.connection.startRenegotiation());
    link.deliver();
    assert.equal(count(client, 'renegotiated'), 1);
    assert.deepEqual(renegotiated(server).peerCertificates, world.identity.credential.certificateChain);
    link.assertDataFlows();
    end(link);
  });

  test('is not declined in its middle: a warning that comes too late changes nothing', () => {
    for (const late of ['server_key_exchange', 'server_hello_done']) {
      const link = connect({}, { clientRenegotiations: 1 });
      const { channel } = link.server.connection;
      corrupt(link.server, (name, raw) => {
        if (name === late) {
          channel.alert('no_renegotiation');
        }
        return [raw];
      });
      byClient(link);
      renegotiated(link.client);
      assert.equal(count(link.client, 'renegotiationDeclined'), 0);
      link.assertDataFlows();
      end(link);
    }
  });
});

describe('a renegotiation that a server asks for', () => {
  test('is declined by a client that allows none, and the server is told', () => {
    const link = connect({ serverRenegotiations: 0 });
    byServer(link, askingContext(world.context));
    assert.equal(count(link.server, 'renegotiationDeclined'), 1);
    assert.equal(link.server.connection.summary?.peerCertificates.length, 0);
    link.assertDataFlows();
    byServer(link);
    assert.equal(count(link.server, 'renegotiationDeclined'), 2, 'it may ask again');
    end(link);
  });

  test('is allowed three times within ten minutes by default', () => {
    const link = connect();
    for (let i = 0; i < 5; i++) {
      byServer(link);
    }
    assert.equal(count(link.server, 'renegotiated'), 3);
    assert.equal(count(link.server, 'renegotiationDeclined'), 2);
    world.clock.advance(TEN_MINUTES);
    byServer(link);
    assert.equal(count(link.server, 'renegotiated'), 4);
    link.assertDataFlows();
    end(link);
  });

  test('by a flood of requests ends the connection, with 8 answers at most', () => {
    const link = connect({ serverRenegotiations: 0 });
    const { channel } = link.server.connection;
    for (let i = 0; i < 100; i++) {
      channel.handshake(encodeHelloRequest());
    }
    // All in one record.
    link.server.take(link.server.connection.send(utf8('x')));
    link.client.receive(link.server.flush());
    assert.equal(link.client.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    link.server.receive(link.client.flush());
    assert(count(link.server, 'renegotiationDeclined') === 0);
    end(link);
  });

  test('again during the handshake is ignored, but not without end', () => {
    for (const [requests, code] of [
      [20, undefined],
      [40, 'TLS_ERR_EMPTY_RECORDS'],
    ] as const) {
      const link = connect();
      corrupt(link.server, (name, raw) =>
        name === 'server_hello' ? [...Array(requests).fill(encodeHelloRequest()), raw] : [raw],
      );
      byServer(link);
      assert.equal(link.client.error?.code, code);
      assert.equal(count(link.client, 'renegotiated'), code === undefined ? 1 : 0);
      end(link);
    }
  });

  test('may stay without an answer: the connection goes on, and only one request is open at a time', () => {
    const link = connect();
    const { server } = link;
    server.take(server.connection.startRenegotiation());
    server.flush();
    // The request never arrives; its record number is missing, so the client is not talked to any more.
    refuses('TLS_ERR_WRONG_STATE', () => server.connection.startRenegotiation());
    refuses('TLS_ERR_WRONG_STATE', () => server.connection.updateKeys(false));
    link.client.take(link.client.connection.send(utf8('still there')));
    server.receive(link.client.flush());
    assert.equal(Buffer.from(server.data).includes('still there'), true);
    end(link);
  });
});

describe('startRenegotiation', () => {
  const wrong = (side: Endpoint) => {
    const { actions, error } = side;
    refuses('TLS_ERR_WRONG_STATE', () => side.connection.startRenegotiation());
    assert.equal(side.error, error, 'nothing has happened to the connection');
    assert.equal(side.actions, actions);
  };

  test('is refused before and during the handshake', () => {
    const link = world.pair12('ticket');
    wrong(link.client);
    wrong(link.server);
    link.server.receive(link.client.start().flush());
    wrong(link.client);
    wrong(link.server);
    end(link);
  });

  test('is refused in TLS 1.3', () => {
    const link = world.connect();
    wrong(link.client);
    wrong(link.server);
    link.assertDataFlows();
    end(link);
  });

  test('is refused while one is under way, as are new keys, and the one under way completes', () => {
    const link = connect({}, { clientRenegotiations: 1 });
    const { client, server } = link;
    client.hold = ['verifyCertificate'];
    byClient(link);
    for (const side of [client, server]) {
      wrong(side);
      refuses('TLS_ERR_WRONG_STATE', () => side.connection.updateKeys(true));
    }
    client.answer();
    link.deliver();
    renegotiated(client);
    link.assertDataFlows();
    end(link);
  });

  test('is refused once either end has closed, and after the end', () => {
    for (const closes of ['client', 'server'] as const) {
      const link = connect();
      link[closes].take(link[closes].connection.close());
      link.deliver();
      wrong(link.client);
      wrong(link.server);
      link.client.connection.erase();
      wrong(link.client);
      end(link);
    }
  });

  test('makes new keys by the name of updateKeys, too', () => {
    const link = connect();
    link.server.take(link.server.connection.updateKeys(true));
    link.deliver();
    renegotiated(link.client);
    link.assertDataFlows();
    end(link);
  });
});

test('a client refuses every message of a handshake that it did not begin', () => {
  const link = connect();
  link.server.connection.channel.handshake(
    encodeCertificateRequest12({ certificateTypes: [64], signatureAlgorithms: [0x0403], certificateAuthorities: [] }),
  );
  link.server.take(link.server.connection.send(utf8('x')));
  link.client.receive(link.server.flush());
  assert.equal(link.client.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
  end(link);
});

test('a renegotiation of a connection with TLS 1.3 on both sides offers TLS 1.2 alone', () => {
  const link = world.pair({ versions: ['TLSv1.3', 'TLSv1.2'] }, { versions: ONLY12 }).run();
  link.assertComplete();
  const hellos: Uint8Array[] = [];
  corrupt(link.client, (name, raw) => {
    if (name === 'client_hello') {
      hellos.push(raw);
    }
    return [raw];
  });
  byServer(link);
  assert.equal(renegotiated(link.client).version, 'TLSv1.2');
  assert.equal(hellos.length, 1);
  assert.equal(Buffer.from(hellos[0]).includes(Buffer.from([0x03, 0x04, 0x03, 0x03])), false);
  end(link);
});
