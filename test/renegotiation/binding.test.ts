/** What ties a renegotiation to its connection, and what must not change on the way. RFC 5746, RFC 7627. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { cipherSuite12ByCode, TLS_EMPTY_RENEGOTIATION_INFO_SCSV } from '../../src/crypto/suites12.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { encodeFinished } from '../../src/messages/finished.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { encodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import { encodeHelloRequest } from '../../src/messages/tls12/empty-messages.ts';
import type { ClientSession12 } from '../../src/session/client-session.ts';
import { type Endpoint, identity, type Link } from '../support/connections.ts';
import { Puppet12, type Session12Secrets, secretsFrom, verifyData12 } from '../support/puppet12.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { NAMINGS, type Naming } from '../support/world12.ts';
import {
  askingContext,
  assertNothingLeft,
  bitFlips,
  byClient,
  byServer,
  corrupt,
  corruptClientHello,
  corruptServerHello,
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

/** Refused by this end, before anything is renegotiated. */
function assertRefused(link: Link, by: Endpoint, code: TLSErrorCode, what = ''): void {
  assert.equal(by.error?.code, code, `${what} ${by.error?.stack}`);
  assert.equal(count(link.client, 'renegotiated') + count(link.server, 'renegotiated'), 0, what);
  link.forget();
  assertNothingLeft(watch, what);
}

const withInfo =
  (renegotiationInfo: Uint8Array | undefined) =>
  <T extends { extensions: object }>(hello: T): T => ({
    ...hello,
    extensions: { ...hello.extensions, renegotiationInfo },
  });

describe('renegotiation_info', () => {
  test('of a client that is missing, empty, too long, or flipped at any byte, is refused by the server', () => {
    let honest: Uint8Array | undefined;
    const peek = world.connect12('ticket');
    corruptClientHello(peek.client, (hello) => {
      honest = hello.extensions.renegotiationInfo;
      return hello;
    });
    byServer(peek).forget();
    assert.equal(honest?.length, 12);
    const wrong: ((info: Uint8Array) => Uint8Array | undefined)[] = [
      () => undefined,
      () => new Uint8Array(0),
      (info) => concat(info, new Uint8Array(1)),
      (info) => concat(info, info),
      (info) => info.subarray(1),
      () => new Uint8Array(12),
      ...Array.from({ length: 12 }, (_, at) => (info: Uint8Array) => bitFlips(info)[at]),
    ];
    for (const [at, change] of wrong.entries()) {
      for (const start of [byServer, byClient]) {
        watch.clear();
        const link = world.connect12('ticket', {}, { clientRenegotiations: 1 });
        corruptClientHello(link.client, (hello) =>
          withInfo(change(hello.extensions.renegotiationInfo ?? new Uint8Array(0)))(hello),
        );
        start(link);
        assertRefused(link, link.server, 'TLS_ERR_INSECURE_RENEGOTIATION', `change ${at}`);
      }
    }
  });

  test('of a server that is missing, empty, halved, or flipped at any byte, is refused by the client', () => {
    const wrong: ((info: Uint8Array) => Uint8Array | undefined)[] = [
      () => undefined,
      () => new Uint8Array(0),
      (info) => info.subarray(0, 12),
      (info) => info.subarray(12),
      (info) => concat(info.subarray(12), info.subarray(0, 12)),
      (info) => concat(info, new Uint8Array(1)),
      ...Array.from({ length: 24 }, (_, at) => (info: Uint8Array) => bitFlips(info)[at]),
    ];
    for (const [at, change] of wrong.entries()) {
      watch.clear();
      const link = world.connect12('ticket');
      corruptServerHello(link.server, (hello) => {
        const info = hello.extensions.renegotiationInfo ?? new Uint8Array(0);
        assert.equal(info.length, 24);
        return withInfo(change(info))(hello);
      });
      byServer(link);
      assertRefused(link, link.client, 'TLS_ERR_INSECURE_RENEGOTIATION', `change ${at}`);
    }
  });

  test('is refused beside the SCSV, which only a first hello may have', () => {
    const link = world.connect12('ticket');
    corruptClientHello(link.client, (hello) => ({
      ...hello,
      cipherSuites: [...hello.cipherSuites, TLS_EMPTY_RENEGOTIATION_INFO_SCSV],
    }));
    byServer(link);
    assertRefused(link, link.server, 'TLS_ERR_INSECURE_RENEGOTIATION');
  });

  test('is of the last handshake: that of the first is refused in the third', () => {
    let first: Uint8Array | undefined;
    const link = world.connect12('ticket');
    corruptClientHello(link.client, (hello) => {
      first ??= hello.extensions.renegotiationInfo;
      return withInfo(first)(hello);
    });
    byServer(link);
    renegotiated(link.server);
    byServer(link);
    assert.equal(link.server.error?.code, 'TLS_ERR_INSECURE_RENEGOTIATION');
    link.forget();
    assertNothingLeft(watch);
  });
});

describe('renegotiation injection (CVE-2009-3555)', () => {
  test('an attacker cannot put its own connection before that of a client: the hello of the client is not bound to it', () => {
    const victim = world.client({ versions: ['TLSv1.2'] }).start();
    const hello = victim.flush().subarray(5);
    for (const start of [byServer, byClient]) {
      const link = world.connect12('ticket', {}, { clientRenegotiations: 1 });
      link.client.take(link.client.connection.send(utf8('GET /transfer?to=attacker HTTP/1.1\r\nX: ')));
      corrupt(link.client, (name, raw) => [name === 'client_hello' ? hello : raw]);
      start(link);
      assert.equal(link.server.error?.code, 'TLS_ERR_INSECURE_RENEGOTIATION');
      link.forget();
    }
    victim.forget();
    assertNothingLeft(watch);
  });

  test('a client whose first handshake is made a renegotiation by somebody in between refuses it', () => {
    const link = world.pair12('ticket');
    corruptServerHello(link.server, withInfo(new Uint8Array(24)));
    link.run();
    assertRefused(link, link.client, 'TLS_ERR_INSECURE_RENEGOTIATION');
  });
});

describe('what a renegotiation must not change', () => {
  const other = identity('ec-p256', 'other');

  test("the server's certificate (the triple handshake)", () => {
    const link = world.connect12('ticket');
    byServer(link, { ...world.context, credentials: [other.credential] });
    assertRefused(link, link.client, 'TLS_ERR_INSECURE_RENEGOTIATION');
    const sameLeaf = world.connect12('ticket');
    corrupt(sameLeaf.server, (name, raw) => [
      name === 'certificate' ? encodeCertificate12({ certificates: other.credential.certificateChain }) : raw,
    ]);
    byServer(sameLeaf);
    assertRefused(sameLeaf, sameLeaf.client, 'TLS_ERR_INSECURE_RENEGOTIATION');
  });

  test("the server's certificate, where the connection was resumed", () => {
    for (const naming of NAMINGS) {
      const session = world.session12(naming);
      const link = world.connect12(naming, { session });
      byServer(link, { ...world.context, credentials: [other.credential] });
      session.secret.erase();
      assertRefused(link, link.client, 'TLS_ERR_INSECURE_RENEGOTIATION');
    }
  });

  test("the client's certificate, once it has shown one", () => {
    const first = identity('ec-p256', 'first');
    const credentials = [first.credential];
    const pair = world.pair12('ticket', { credentials }, { context: askingContext(world.context, false) });
    pair.server.publicKey = first.publicKey;
    pair.run().assertComplete();
    assert.deepEqual(pair.server.summary?.peerCertificates, first.credential.certificateChain);
    credentials[0] = other.credential;
    pair.server.publicKey = other.publicKey;
    byServer(pair);
    assertRefused(pair, pair.server, 'TLS_ERR_INSECURE_RENEGOTIATION');
  });

  test('extended master secret, also where connections without it are allowed', () => {
    const drop = <T extends { extensions: object }>(hello: T): T => ({
      ...hello,
      extensions: { ...hello.extensions, extendedMasterSecret: undefined },
    });
    const allowLegacyMasterSecret = true;
    const byHello = world.connect12('ticket', { allowLegacyMasterSecret }, { allowLegacyMasterSecret });
    corruptClientHello(byHello.client, drop);
    byServer(byHello);
    assertRefused(byHello, byHello.server, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    const byAnswer = world.connect12('ticket', { allowLegacyMasterSecret }, { allowLegacyMasterSecret });
    corruptServerHello(byAnswer.server, drop);
    byServer(byAnswer);
    assertRefused(byAnswer, byAnswer.client, 'TLS_ERR_EXTENDED_MASTER_SECRET');
  });

  test('the version', () => {
    const up = world.connect12('ticket', {}, { versions: ['TLSv1.3', 'TLSv1.2'] });
    corruptClientHello(up.client, (hello) => ({
      ...hello,
      extensions: { ...hello.extensions, supportedVersions: [0x0304] },
    }));
    byServer(up);
    assertRefused(up, up.server, 'TLS_ERR_PROTOCOL_VERSION');
    const down = world.connect12('ticket');
    corruptClientHello(down.client, (hello) => ({ ...hello, legacyVersion: 0x0302 }));
    byServer(down);
    assertRefused(down, down.server, 'TLS_ERR_PROTOCOL_VERSION');
    const answered = world.connect12('ticket');
    corruptServerHello(answered.server, (hello) => ({ ...hello, legacyVersion: 0x0301 }));
    byServer(answered);
    assertRefused(answered, answered.client, 'TLS_ERR_PROTOCOL_VERSION');
    const answered13 = world.connect12('ticket');
    corruptServerHello(answered13.server, (hello) => ({
      ...hello,
      extensions: { ...hello.extensions, supportedVersion: 0x0304 },
    }));
    byServer(answered13);
    assert(answered13.client.over);
    answered13.forget();
  });

  test('the server name, which the host has chosen the context by', () => {
    for (const serverName of ['admin.localhost', undefined]) {
      const link = world.connect12('ticket');
      corruptClientHello(link.client, (hello) => ({ ...hello, extensions: { ...hello.extensions, serverName } }));
      byServer(link);
      assertRefused(link, link.server, 'TLS_ERR_ILLEGAL_PARAMETER');
    }
  });

  test('the application protocol: one that is not said again stays', () => {
    const alpnProtocols = ['http/1.1', 'h2'];
    const changed = world.connect12('ticket', { alpnProtocols });
    corruptClientHello(changed.client, (hello) => ({
      ...hello,
      extensions: { ...hello.extensions, alpnProtocols: ['http/1.1'] },
    }));
    byServer(changed);
    assertRefused(changed, changed.server, 'TLS_ERR_ILLEGAL_PARAMETER');
    const answered = world.connect12('ticket', { alpnProtocols });
    corruptServerHello(answered.server, (hello) => ({
      ...hello,
      extensions: { ...hello.extensions, alpnProtocol: 'http/1.1' },
    }));
    byServer(answered);
    assertRefused(answered, answered.client, 'TLS_ERR_ILLEGAL_PARAMETER');
    const unsaid = world.connect12('ticket', { alpnProtocols });
    byServer(unsaid, { ...world.context, alpnProtocols: [] });
    assert.equal(renegotiated(unsaid.client).alpnProtocol, 'h2');
    assert.equal(renegotiated(unsaid.server).alpnProtocol, 'h2');
    unsaid.assertDataFlows();
    unsaid.forget();
  });
});

/** A client by hand, which takes over a genuine one's connection and renegotiates with a session of its choice. */
class Heir {
  readonly link: Link;
  readonly hello: ClientHello;
  readonly secrets: () => Session12Secrets;
  readonly puppet: Puppet12;
  readonly #session: ClientSession12;
  readonly #transcript: Uint8Array[];
  readonly #answer: Uint8Array[] = [];

  constructor(link: Link, session: ClientSession12) {
    this.link = link;
    this.#session = session;
    let hello: ClientHello | undefined;
    let replaced = new Uint8Array(0);
    const id = session.ticket.length > 0 ? new Uint8Array(32).fill(7) : session.sessionId;
    corrupt(link.client, (name, raw) => {
      if (name !== 'client_hello') {
        return [raw];
      }
      hello = decodeClientHello(raw.subarray(4));
      replaced = new Uint8Array(
        encodeClientHello({
          ...hello,
          legacySessionId: id,
          extensions: { ...hello.extensions, sessionTicket: session.ticket },
        }),
      );
      return [replaced];
    });
    corrupt(link.server, (name, raw) => {
      if (name !== 'hello_request') {
        this.#answer.push(new Uint8Array(raw));
      }
      return [raw];
    });
    link.server.take(link.server.connection.startRenegotiation());
    link.client.receive(link.server.flush());
    link.server.receive(link.client.flush());
    assert(hello !== undefined);
    this.hello = hello;
    this.#transcript = [replaced];
    this.secrets = () => {
      const suite = cipherSuite12ByCode(link.server.connection.summary === undefined ? 0 : suiteOf(this.#answer[0]));
      assert(suite !== undefined);
      const keyLog = new Map([['CLIENT_RANDOM', Buffer.from(this.#session.secret.expose()).toString('hex')]]);
      return secretsFrom(suite, keyLog, this.#transcript[0], this.#answer[0]);
    };
    this.puppet = new Puppet12('client', this.secrets);
  }

  get names(): string[] {
    return this.#answer.map(
      (raw) => ({ 2: 'server_hello', 4: 'ticket', 11: 'certificate', 20: 'finished' })[raw[0]] ?? '',
    );
  }

  /** change_cipher_spec under the old keys cannot be made here; what the server holds back is what counts. */
  finished(): Uint8Array {
    const { suite, masterSecret } = this.secrets();
    return encodeFinished({
      verifyData: verifyData12(suite, masterSecret, 'client', [...this.#transcript, ...this.#answer]),
    });
  }
}

function suiteOf(serverHello: Uint8Array): number {
  const at = 39 + serverHello[38];
  return (serverHello[at] << 8) | serverHello[at + 1];
}

describe('a session that is offered in a renegotiation', () => {
  const abbreviated = (naming: Naming) => {
    const session = world.session12(naming);
    const link = world.connect12(naming);
    return { session, link, heir: new Heir(link, session) };
  };

  for (const naming of NAMINGS) {
    test(`by ${naming} is resumed, and the server's data waits for the client's Finished`, () => {
      const { session, link, heir } = abbreviated(naming);
      const { client, server } = link;
      assert.deepEqual(
        heir.names,
        naming === 'ticket' ? ['server_hello', 'ticket', 'finished'] : ['server_hello', 'finished'],
      );
      assert.equal(server.connection.holdsData, true);
      server.take(server.connection.send(utf8('held')));
      // The client's old write key is in its channel; from change_cipher_spec on the puppet's new one.
      client.connection.channel.changeCipherSpec();
      const ccs = client.connection.channel.take();
      assert(ccs !== undefined);
      server.receive(ccs).assertFine();
      heir.puppet.protectWrite();
      const before = server.outbox.length;
      assert.equal(before, 1, 'nothing but the flight of the server has gone out');
      server.receive(heir.puppet.handshake(heir.finished())).assertFine();
      assert.equal(renegotiated(server).resumedBy, naming);
      assert.equal(server.connection.holdsData, false);
      assert.equal(server.outbox.length, 2);
      server.receive(heir.puppet.record(23, utf8('and back')));
      assert.equal(Buffer.from(server.data).toString().endsWith('and back'), true);
      session.secret.erase();
      link.forget();
      assertNothingLeft(watch);
    });

    test(`by ${naming} of another client than the one that is there is not resumed`, () => {
      const [first, second] = [identity('ec-p256', 'first'), identity('ec-p256', 'second')];
      const context = askingContext(world.contextFor(naming), false);
      const meet = (who: typeof first | undefined) => {
        const link = world.pair12(naming, { credentials: who === undefined ? [] : [who.credential] }, { context });
        link.server.publicKey = who?.publicKey ?? link.server.publicKey;
        link.run().assertComplete();
        return link;
      };
      for (const who of [second, undefined]) {
        const source = meet(who);
        const session = source.client.sessions12[0];
        const same = meet(first);
        const heir = new Heir(same, session);
        assert(heir.names.includes('certificate'), 'a full handshake');
        same.server.assertFine();
        same.forget();
        source.forget();
      }
      const own = meet(first);
      const link = meet(first);
      assert(!new Heir(link, own.client.sessions12[0]).names.includes('certificate'));
      link.forget();
      own.forget();
      assertNothingLeft(watch);
    });
  }

  test('is never offered by a client of this house', () => {
    const session = world.session12('ticket');
    const link = world.connect12('ticket', { session });
    let hello: ClientHello | undefined;
    corruptClientHello(link.client, (honest) => {
      hello = honest;
      return honest;
    });
    byServer(link);
    assert.equal(hello?.legacySessionId.length, 0);
    assert.equal(hello?.extensions.sessionTicket?.length, 0);
    assert.equal(renegotiated(link.client).resumed, false);
    session.secret.erase();
    link.forget();
    assertNothingLeft(watch);
  });
});

/** A provider whose hashes take some bytes for others: an end that uses it has a transcript of its own making. */
function deluded(beliefs: ReadonlyMap<string, Uint8Array>): CryptoProvider {
  const believe = (data: Uint8Array) => beliefs.get(Buffer.from(data).toString('hex')) ?? data;
  return new Proxy(nodeProvider, {
    get(target, name) {
      if (name !== 'createHash') {
        return Reflect.get(target, name);
      }
      return (hash: 'sha256' | 'sha384') => {
        const running = nodeProvider.createHash(hash);
        const update = running.update.bind(running);
        running.update = (data) => update(believe(data));
        return running;
      };
    },
  });
}

test('a server never renegotiates with a client that cannot bind it to the connection', () => {
  const beliefs = new Map<string, Uint8Array>();
  const link = world.pair12('ticket', { provider: deluded(beliefs) }, { clientRenegotiations: 5 });
  const swap = (said: Uint8Array, sent: Uint8Array) => {
    beliefs.set(Buffer.from(said).toString('hex'), new Uint8Array(sent));
    return [sent];
  };
  let first = true;
  corrupt(link.client, (name, raw) => {
    if (name !== 'client_hello' || !first) {
      return [raw];
    }
    first = false;
    return swap(raw, encodeClientHello(withInfo(undefined)(decodeClientHello(raw.subarray(4)))));
  });
  corrupt(link.server, (name, raw) => {
    if (name !== 'server_hello') {
      return [raw];
    }
    const hello = decodeServerHello(raw.subarray(4));
    assert.equal(hello.extensions.renegotiationInfo, undefined, 'what was not offered is not answered');
    const pretended = encodeServerHello(withInfo(new Uint8Array(0))(hello));
    swap(pretended, raw);
    return [pretended];
  });
  link.run().assertComplete();
  const { client, server } = link;
  refuses('TLS_ERR_WRONG_STATE', () => server.connection.startRenegotiation());
  refuses('TLS_ERR_WRONG_STATE', () => server.connection.updateKeys(false));
  byClient(link);
  assert.equal(count(client, 'renegotiationDeclined'), 1);
  link.assertDataFlows();
  link.forget();
  assertNothingLeft(watch);
});

describe('a session without extended master secret, where it is allowed', () => {
  const allowLegacyMasterSecret = true;

  /** The client's hello loses the extension on its way, and neither end takes offence. */
  const legacy = (session?: ClientSession12): Link => {
    const beliefs = new Map<string, Uint8Array>();
    const link = world.pair12(
      'ticket',
      { provider: deluded(beliefs), allowLegacyMasterSecret, session },
      { allowLegacyMasterSecret },
    );
    corrupt(link.client, (name, raw) => {
      if (name !== 'client_hello') {
        return [raw];
      }
      const hello = decodeClientHello(raw.subarray(4));
      const sent = encodeClientHello({
        ...hello,
        extensions: { ...hello.extensions, extendedMasterSecret: undefined },
      });
      beliefs.set(Buffer.from(raw).toString('hex'), new Uint8Array(sent));
      return [sent];
    });
    link.run().assertComplete();
    assert.equal(link.server.summary?.extendedMasterSecret, false);
    return link;
  };

  test('renegotiates after its full handshake, and not where it was resumed (RFC 7627 §5.4)', () => {
    const full = legacy();
    const session = full.client.sessions12[0];
    byServer(full);
    renegotiated(full.client);
    full.assertDataFlows();
    const resumed = legacy(session);
    assert.equal(resumed.server.summary?.resumed, true);
    for (const { connection } of [resumed.client, resumed.server]) {
      refuses('TLS_ERR_WRONG_STATE', () => connection.startRenegotiation());
    }
    resumed.server.connection.channel.handshake(encodeHelloRequest());
    resumed.assertDataFlows();
    assert.equal(count(resumed.client, 'renegotiated'), 0, 'the request of a server that does not care is declined');
    resumed.forget();
    full.forget();
    assertNothingLeft(watch);
  });
});
