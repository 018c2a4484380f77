import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuite12ByCode } from '../../src/crypto/suites12.ts';
import { TLSError } from '../../src/errors.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { encodeClientKeyExchange } from '../../src/messages/tls12/client-key-exchange.ts';
import { decodeServerKeyExchange } from '../../src/messages/tls12/server-key-exchange.ts';
import { type Endpoint, identity, type Link } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { Puppet12, prf12, recordsOf, verifyData12 } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clearMessages, ONLY12, stage12, unsigned } from '../support/stages12.ts';
import { NAMINGS, World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

function nothingIsLeft(what = ''): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
    [],
    what,
  );
}

describe('the end of a TLS 1.2 connection', () => {
  test('without close_notify is a truncation at both ends, and nothing secret is left', () => {
    watch.clear();
    const link = world.connect12('ticket').cut();
    for (const endpoint of [link.client, link.server]) {
      assert.equal(endpoint.error?.code, 'TLS_ERR_TRUNCATED');
    }
    for (const session of link.client.sessions12) {
      session.secret.erase();
    }
    nothingIsLeft();
  });

  test('in the middle of a record is a truncation, and what was half received is not delivered', () => {
    const link = world.connect12('ticket');
    const before = link.server.data.length;
    link.client.take(link.client.connection.send(utf8('all or nothing')));
    link.server.receive(link.client.flush().subarray(0, -1));
    link.cut();
    assert.equal(link.server.error?.code, 'TLS_ERR_TRUNCATED');
    assert.equal(link.server.data.length, before);
    link.forget();
  });

  test('with close_notify is clean; what comes after it is not read', () => {
    const link = world.connect12('ticket');
    link.client.take(link.client.connection.send(utf8('last words')));
    link.client.take(link.client.connection.close());
    const flight = link.client.flush();
    link.server.receive(flight);
    link.server.receive(flight);
    assert.equal(link.server.peerClosed, true);
    link.server.assertFine();
    link.server.take(link.server.connection.close());
    link.deliver().cut();
    link.client.assertFine();
    link.server.assertFine();
    link.forget();
  });

  test('at every point of the handshake is a truncation that leaves nothing secret', () => {
    for (const naming of NAMINGS) {
      const session = world.session12(naming);
      for (const resumes of [false, true]) {
        for (let flights = 0; flights < 4; flights++) {
          watch.clear();
          const link = world.pair12(naming, resumes ? { session } : {});
          let seen = 0;
          const stop = (bytes: Uint8Array) => (bytes.length > 0 && seen++ >= flights ? new Uint8Array(0) : bytes);
          link.toServer = stop;
          link.toClient = stop;
          link.run().cut();
          const done = link.client.summary !== undefined && link.server.summary !== undefined;
          assert(done || link.client.error !== undefined || link.server.error !== undefined);
          link.forget();
          nothingIsLeft(`${naming} ${resumes} ${flights}`);
        }
      }
      session.secret.erase();
    }
  });
});

describe('what a TLS 1.2 connection waits for', () => {
  const run = (link: Link): Link => {
    link.client.hold = ['verifyCertificate', 'sign'];
    link.server.hold = ['context', 'sign', 'verifyCertificate'];
    link.client.start();
    for (let i = 0; i < 40; i++) {
      link.deliver();
      // One at a time, after everything that could arrive has arrived.
      const waiting = [link.client, link.server].find((endpoint) => endpoint.need !== undefined && !endpoint.over);
      waiting?.answer();
    }
    return link;
  };

  test('may be answered later: the context, the signature, the verdict, and those of the client certificate', () => {
    watch.clear();
    const clientAuthentication = { required: true, certificateAuthorities: [], id: 'required:ca' };
    const there = new World12({ clientAuthentication, credentials: unsignedCredentials() });
    const credentials = unsignedCredentials();
    const full = run(there.pair12('ticket', { credentials }, { context: 'ask' }));
    full.assertComplete();
    assert.equal(full.server.summary?.peerCertificates.length, 1);
    const [session] = full.client.sessions12;
    const resumed = run(there.pair12('ticket', { credentials, session }, { context: 'ask' }));
    resumed.assertComplete();
    assert.equal(resumed.server.summary?.resumed, true);
    full.forget();
    resumed.forget();
    there.close();
    nothingIsLeft();
  });

  test('is dropped when the connection ends before the answer, and its secrets with it', () => {
    for (const state of ['AwaitSignature12', 'AwaitContext', 'AwaitClientVerdict12'] as const) {
      watch.clear();
      const { victim } = stage12(world, 'server', state);
      victim.take(victim.connection.abort('internal_error'));
      nothingIsLeft(state);
    }
    for (const state of ['AwaitCertificateVerdict12', 'AwaitClientSignature12'] as const) {
      watch.clear();
      const { victim } = stage12(world, 'client', state);
      victim.take(victim.connection.transportEnded());
      assert.equal(victim.error?.code, 'TLS_ERR_TRUNCATED');
      nothingIsLeft(state);
    }
  });

  test('a verdict of no ends the handshake before the key exchange is looked at', () => {
    const link = world.pair12('ticket');
    link.client.verdict = new TLSError('TLS_ERR_UNKNOWN_CA', 'nobody knows it');
    link.run();
    assert.equal(link.client.error?.code, 'TLS_ERR_UNKNOWN_CA');
    assert.equal(link.server.error?.alert, 'unknown_ca');
    link.forget();
  });

  test('a host without a context for the client refuses it with unrecognized_name', () => {
    const stage = stage12(world, 'server', 'AwaitContext');
    const { need } = stage.victim;
    assert(need?.kind === 'context');
    stage.victim.take(stage.victim.connection.resume(need, undefined));
    assert.equal(stage.victim.error?.alert, 'unrecognized_name');
    stage.victim.forget();
  });

  test('a signature by the wrong key is seen by the client', () => {
    const link = world.pair12('ticket', {}, { context: unsigned(world) });
    link.client.publicKey = identity('ed25519', ' of another').publicKey;
    link.run();
    assert.equal(link.client.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    assert.equal(link.server.summary, undefined);
    link.forget();
  });
});

describe('peers without extended master secret', () => {
  /** Somebody who takes the extension out of both hellos; a peer that lacks it looks the same. */
  const legacyPeer = (client: boolean, server: boolean): Link => {
    const link = world.pair12('ticket', { allowLegacyMasterSecret: client }, { allowLegacyMasterSecret: server });
    link.toServer = (bytes) => {
      if (bytes[0] !== 22 || bytes[5] !== 1) {
        return bytes;
      }
      const hello = decodeClientHello(bytes.subarray(9));
      const extensions = { ...hello.extensions, extendedMasterSecret: undefined };
      return plaintext(22, encodeClientHello({ ...hello, extensions }));
    };
    return link.run();
  };

  test('are refused by either end unless it was told to allow them', () => {
    assert.equal(legacyPeer(true, false).server.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    const link = legacyPeer(false, true);
    assert.equal(link.client.error?.code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
    assert.equal(link.server.error?.alert, 'handshake_failure');
    link.forget();
  });

  test('allowed by both, the extension cannot be taken away unseen: Finished covers the hellos', () => {
    const link = legacyPeer(true, true);
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_FINISHED');
    assert.equal(link.client.summary, undefined);
    link.forget();
  });

  test('allowed, and truly without: the handshake completes and the exporter refuses', () => {
    for (const victim of [legacyServer(), legacyClient()]) {
      assert.equal(victim.summary?.extendedMasterSecret, false);
      assert.throws(() => victim.connection.exportKeyingMaterial('EXPORTER-x', undefined, 32), {
        code: 'TLS_ERR_EXTENDED_MASTER_SECRET',
      });
      assert(victim.sessions12.every((session) => !session.extendedMasterSecret));
      victim.forget();
    }
  });
});

describe('the usage limit of a TLS 1.2 key', () => {
  /** Sends far more than the key may protect; how many records went out under it. */
  const talk = (link: Link, isAnswered: boolean): number => {
    let records = 0;
    for (let i = 0; i < 200 && !link.client.over; i++) {
      link.client.take(link.client.connection.send(new Uint8Array(100)));
      const flight = link.client.flush();
      records += recordsOf(flight).length;
      link.server.receive(flight);
      const answer = link.server.flush();
      if (isAnswered && answer.length > 0) {
        link.client.receive(answer);
      }
    }
    link.server.receive(link.client.flush());
    return records;
  };
  const usageLimit = 64;

  test('is never overrun: where the peer declines to renegotiate the connection ends cleanly before it', () => {
    watch.clear();
    const link = world.connect12('ticket', { usageLimit });
    assert(talk(link, true) <= usageLimit);
    assert.equal(link.client.error?.code, 'TLS_ERR_USAGE_LIMIT');
    assert.equal(link.server.peerClosed, true, 'the server is told under the same key');
    link.server.assertFine();
    link.forget();
    nothingIsLeft();
  });

  test('is never overrun: where the peer says nothing, no more goes out', () => {
    const link = world.connect12('ticket', { usageLimit });
    assert(talk(link, false) <= usageLimit);
    link.forget();
    nothingIsLeft();
  });

  test('holds for one call with more data than all of its records: nothing goes out unprotected', () => {
    const link = world.connect12('ticket', { usageLimit: 16 });
    link.client.take(link.client.connection.send(new Uint8Array(16_384 * 40)));
    const flight = link.client.flush();
    assert(recordsOf(flight).length <= 16);
    link.server.receive(flight);
    assert.notEqual(link.server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    link.forget();
  });
});

/** A server whose client never heard of the extension: a handshake made by hand, with a key schedule of its own. */
function legacyServer(): Endpoint {
  const client = world.client({ versions: ONLY12, namedGroups: ['x25519'] }).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  const raw = encodeClientHello({ ...hello, extensions: { ...hello.extensions, extendedMasterSecret: undefined } });
  const victim = world.server({ versions: ONLY12, allowLegacyMasterSecret: true, context: world.byId });
  const flight = clearMessages(victim.receive(plaintext(22, raw)).assertFine().flush());
  const serverHello = decodeServerHello(flight[0].raw.subarray(4));
  const suite = cipherSuite12ByCode(serverHello.cipherSuite);
  assert(suite !== undefined);
  const { params } = decodeServerKeyExchange(flight[2].raw.subarray(4), 'ecdhe');
  const { keyExchange, sharedSecret } = nodeProvider.encapsulate('x25519', params.publicKey);
  const randoms = concat(hello.random, serverHello.random);
  const masterSecret = prf12(suite, sharedSecret.expose(), 'master secret', randoms, 48);
  sharedSecret.erase();
  const secrets = { suite, masterSecret, clientRandom: hello.random, serverRandom: serverHello.random };
  const puppet = new Puppet12('client', () => secrets);
  const exchange = encodeClientKeyExchange({ kind: 'ecdhe', publicKey: keyExchange });
  victim.receive(puppet.handshake(exchange)).receive(puppet.changeCipherSpec());
  const said = [raw, ...flight.map((message) => message.raw), exchange];
  const verifyData = verifyData12(suite, masterSecret, 'client', said);
  victim.receive(puppet.handshake(frame('finished', verifyData))).assertFine();
  puppet.read(victim.flush());
  assert.equal(puppet.messages.at(-1)?.name, 'finished');
  return victim;
}

/** A client whose server never heard of it. */
function legacyClient(): Endpoint {
  const stage = stage12(world, 'client', 'ExpectChangeCipherSpec12', {
    client: { allowLegacyMasterSecret: true },
    server: { context: world.byId },
    tamper: (message) => {
      if (message.name !== 'server_hello') {
        return [message];
      }
      const hello = decodeServerHello(message.raw.subarray(4));
      const extensions = { ...hello.extensions, extendedMasterSecret: undefined };
      return [{ ...message, raw: encodeServerHello({ ...hello, extensions }) }];
    },
  });
  const { victim, puppet } = stage;
  const { suite, masterSecret } = stage.secrets();
  victim.receive(puppet.changeCipherSpec());
  const verifyData = verifyData12(suite, masterSecret, 'server', stage.transcript);
  return victim.receive(puppet.handshake(frame('finished', verifyData))).assertFine();
}

/** Keys that live elsewhere. */
function unsignedCredentials() {
  const { certificateChain, schemes } = world.identity.credential;
  return [{ certificateChain, schemes }];
}
