import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, Credential, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { signatureSchemes } from '../../src/crypto/signatures.ts';
import { TLSError, type TLSErrorCode } from '../../src/errors.ts';
import { decodeCertificate, encodeCertificate } from '../../src/messages/certificate.ts';
import { encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { decodeCertificateVerify, encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { encodeKeyUpdate } from '../../src/messages/key-update.ts';
import { CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import { identity, type Link, World } from '../support/connections.ts';
import { Puppet } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { asking, clientIn, type Stage, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
afterEach(() => {
  const left = watch.alive.filter((kind) => !kind.startsWith('ticketKey'));
  assert.deepEqual(left, [], 'every secret has ended');
});
after(() => {
  watch.stop();
  world.close();
});

const { credential } = world.identity;
const [certificate] = credential.certificateChain;
const keyless: Credential = { certificateChain: credential.certificateChain, schemes: credential.schemes };
const OPTIONAL = { required: false, certificateAuthorities: [] };
const REQUIRED = { required: true, certificateAuthorities: [] };

function connect(client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): Link {
  return world.connect({ credentials: [credential], ...client }, server);
}

function ask(link: Link, policy = OPTIONAL): Link {
  link.server.take(link.server.connection.requestClientCertificate(policy));
  return link;
}

function authentications({ server }: Link): readonly (readonly Uint8Array[])[] {
  return server.actions.flatMap((action) =>
    action.kind === 'clientAuthenticated' ? [action.summary.peerCertificates] : [],
  );
}

describe('a server that asks for a certificate after the handshake', () => {
  test('learns the chain, once it is proven, and data flows on', () => {
    const link = connect();
    assert.deepEqual(link.server.connection.summary?.peerCertificates, []);
    ask(link, REQUIRED).deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    assert.deepEqual(link.server.connection.summary?.peerCertificates, [certificate]);
    link.assertDataFlows();
    link.forget();
  });

  test('may ask again, and gets an answer of its own each time', () => {
    const link = connect();
    for (let round = 1; round <= 3; round++) {
      ask(link).deliver();
      assert.equal(authentications(link).length, round);
      link.assertDataFlows();
    }
    link.forget();
  });

  test('learns of a client without a certificate by an empty chain, where it requires none', () => {
    for (const credentials of [[], [identity('rsa-pss').credential].map((c) => ({ ...c, schemes: [] }))]) {
      const link = ask(connect({ credentials })).deliver();
      assert.deepEqual(authentications(link), [[]]);
      link.assertDataFlows();
      link.forget();
    }
  });

  test('forgets the certificate of the handshake when the client declines to prove it anew', () => {
    const credentials = [credential];
    const link = connect({ credentials }, { context: asking(world) });
    assert.deepEqual(link.server.connection.summary?.peerCertificates, [certificate]);
    credentials.pop();
    ask(link).deliver();
    assert.deepEqual(authentications(link), [[]]);
    assert.deepEqual(link.server.connection.summary?.peerCertificates, []);
    link.forget();
  });

  test('refuses an empty Certificate where it requires one', () => {
    const link = ask(connect({ credentials: [] }), REQUIRED).deliver();
    assert.equal(link.server.error?.code, 'TLS_ERR_CERTIFICATE_REQUIRED');
    assert.equal(link.client.error?.alert, 'certificate_required');
    assert.deepEqual(authentications(link), []);
    link.forget();
  });

  test('ends the connection with its verdict when the host refuses the chain', () => {
    const link = connect();
    link.server.verdict = new TLSError('TLS_ERR_CERTIFICATE_EXPIRED', 'too old');
    ask(link).deliver();
    assert.equal(link.server.error?.code, 'TLS_ERR_CERTIFICATE_EXPIRED');
    assert.equal(link.client.error?.alert, 'certificate_expired');
    assert.deepEqual(link.server.connection.summary?.peerCertificates, []);
    link.forget();
  });

  test('asks once at a time, and only on a connection that is open both ways', () => {
    const wrong = { code: 'TLS_ERR_WRONG_STATE' };
    const early = world.server();
    assert.throws(() => early.connection.requestClientCertificate(OPTIONAL), wrong);
    early.forget();
    const link = connect();
    assert.throws(() => link.client.connection.requestClientCertificate(OPTIONAL), wrong);
    ask(link);
    assert.throws(() => ask(link), wrong);
    link.deliver();
    link.client.take(link.client.connection.close());
    link.deliver();
    assert.throws(() => ask(link), wrong);
    link.server.take(link.server.connection.close());
    assert.throws(() => ask(link), wrong);
    link.forget();
  });

  test('cannot ask a client that offers no authentication after the handshake', () => {
    const link = world.connect({});
    assert.throws(() => ask(link), { code: 'TLS_ERR_WRONG_STATE' });
    link.assertDataFlows();
    link.forget();
  });

  test('cannot ask in TLS 1.2', () => {
    const link = connect({ versions: ['TLSv1.2'] }, { versions: ['TLSv1.2'] });
    assert.throws(() => ask(link), { code: 'TLS_ERR_WRONG_STATE' });
    link.forget();
  });

  test('asks after a HelloRetryRequest, and on a resumed connection, whose handshake has no certificates', () => {
    const first = connect({ keyShares: ['secp256r1'] }, { namedGroups: ['x25519'] });
    assert.equal(first.server.summary?.helloRetried, true);
    ask(first).deliver();
    assert.deepEqual(authentications(first), [[certificate]]);
    const resumed = connect({ session: first.client.sessions[0] });
    assert.equal(resumed.server.summary?.resumed, true);
    assert.deepEqual(resumed.server.summary?.peerCertificates, [], 'the ticket is older than the certificate');
    ask(resumed).deliver();
    assert.deepEqual(authentications(resumed), [[certificate]]);
    first.forget();
    resumed.forget();
  });

  test('reads data and KeyUpdates that the client sent before it saw the request', () => {
    const link = ask(connect());
    link.client.take(link.client.connection.updateKeys(true));
    link.client.take(link.client.connection.send(utf8('crossed')));
    link.server.receive(link.client.flush());
    link.server.take(link.server.connection.updateKeys(true));
    link.deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    link.assertDataFlows();
    link.forget();
  });

  test('reads an answer that comes a byte at a time', () => {
    const link = connect();
    link.chop = (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte));
    ask(link, REQUIRED).deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    link.forget();
  });

  test('reads what comes after the answer only when the host has judged', () => {
    const link = connect();
    link.server.hold = ['verifyCertificate'];
    ask(link);
    link.client.receive(link.server.flush());
    link.client.take(link.client.connection.send(utf8('after')));
    link.deliver();
    assert.equal(link.server.connection.state, 'AwaitAuthenticationVerdict');
    assert.equal(Buffer.from(link.server.data).includes('after'), false);
    link.server.answer();
    assert.equal(Buffer.from(link.server.data).includes('after'), true);
    const kinds = link.server.actions.map(({ kind }) => kind).filter((kind) => kind !== 'send');
    assert.deepEqual(kinds.slice(-2), ['clientAuthenticated', 'data']);
    link.forget();
  });

  test('closes while the answer is on its way, and still learns it', () => {
    const link = connect();
    ask(link);
    link.server.take(link.server.connection.close());
    link.deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    link.forget();
  });

  test('makes room for its request under a worn key by a KeyUpdate', () => {
    const link = connect({}, { usageLimit: 12 });
    for (let round = 0; round < 20; round++) {
      ask(link).deliver();
      link.client.take(link.client.connection.send(utf8('x')));
      link.deliver();
    }
    assert.equal(authentications(link).length, 20);
    assert.equal(link.server.error, undefined);
    assert.ok(link.server.keyUpdates.includes('write 1'), 'the key was renewed');
    link.forget();
  });
});

describe('the answer to a request, tampered with', () => {
  const names = ['certificate', 'certificate_verify', 'finished'] as const;
  type Name = (typeof names)[number];
  type Part = (stage: Stage) => Uint8Array;

  /** A server that has asked, with the genuine answer in `flight` and nothing of it received. */
  function asked(): Stage {
    const client = world.client({ credentials: [credential] });
    const victim = world.server();
    const down = victim.receive(client.start().flush()).flush();
    victim.receive(client.receive(down).flush());
    victim.take(victim.connection.requestClientCertificate(REQUIRED));
    const ears = new Puppet(victim.keyLog).readWith('CLIENT_TRAFFIC_SECRET_0');
    ears.read(client.receive(victim.flush()).flush());
    const flight = new Map(ears.messages.map(({ name, raw }) => [name, raw]));
    ears.erase();
    client.forget();
    const puppet = new Puppet(victim.keyLog).writeWith('CLIENT_TRAFFIC_SECRET_0');
    return { victim, puppet, alertsUnder: 'SERVER_TRAFFIC_SECRET_0', flight };
  }

  const genuine =
    (name: Name): Part =>
    ({ flight }) =>
      flight.get(name) as Uint8Array;
  const withByte =
    (name: Name, at: number): Part =>
    (stage) => {
      const raw = new Uint8Array(genuine(name)(stage));
      raw[at < 0 ? raw.length + at : at] ^= 1;
      return raw;
    };

  function refuses(code: TLSErrorCode, ...parts: Part[]): void {
    const stage = asked();
    for (const part of parts) {
      stage.victim.receive(stage.puppet.handshake(part(stage)));
    }
    assert.equal(stage.victim.error?.code, code, stage.victim.error?.message);
    assert.deepEqual(stage.victim.connection.summary?.peerCertificates, []);
    strike(stage);
  }

  test('is taken as it stands, in three records or in one', () => {
    for (const split of [true, false]) {
      const stage = asked();
      const parts = names.map((name) => genuine(name)(stage));
      for (const content of split ? parts : [concat(...parts)]) {
        stage.victim.receive(stage.puppet.handshake(content));
      }
      stage.victim.assertFine();
      assert.deepEqual(stage.victim.connection.summary?.peerCertificates, [certificate]);
      strike(stage);
    }
  });

  test('is refused with another context, also one that is a part of the right one, or empty', () => {
    const withContext =
      (change: (context: Uint8Array) => Uint8Array): Part =>
      (stage) => {
        const { requestContext, entries } = decodeCertificate(genuine('certificate')(stage).subarray(4));
        return encodeCertificate({ requestContext: change(requestContext), entries });
      };
    refuses('TLS_ERR_ILLEGAL_PARAMETER', withByte('certificate', 5));
    refuses(
      'TLS_ERR_ILLEGAL_PARAMETER',
      withContext((context) => context.subarray(1)),
    );
    refuses(
      'TLS_ERR_ILLEGAL_PARAMETER',
      withContext(() => new Uint8Array(0)),
    );
    refuses(
      'TLS_ERR_ILLEGAL_PARAMETER',
      withContext((context) => concat(context, Uint8Array.of(0))),
    );
  });

  test('is refused with an extension in the Certificate that was not asked for', () => {
    refuses('TLS_ERR_UNSUPPORTED_EXTENSION', (stage) => {
      const { requestContext, entries } = decodeCertificate(genuine('certificate')(stage).subarray(4));
      const extensions = { statusRequest: new Uint8Array(8) };
      return encodeCertificate({ requestContext, entries: [{ ...entries[0], extensions }] });
    });
  });

  test('is refused with another chain: the signature covers it', () => {
    refuses('TLS_ERR_BAD_SIGNATURE', withByte('certificate', 30), genuine('certificate_verify'));
  });

  test('is refused with any byte of the signature, or its scheme, changed', () => {
    refuses('TLS_ERR_BAD_SIGNATURE', genuine('certificate'), withByte('certificate_verify', -1));
    refuses('TLS_ERR_BAD_SIGNATURE', genuine('certificate'), withByte('certificate_verify', 8));
    refuses('TLS_ERR_BAD_SIGNATURE', genuine('certificate'), (stage) => {
      const { signature } = decodeCertificateVerify(genuine('certificate_verify')(stage).subarray(4));
      return encodeCertificateVerify({ scheme: signatureSchemes.ed448, signature });
    });
    // Good for certificates alone.
    for (const scheme of [signatureSchemes.rsa_pkcs1_sha256, 0x0203, 0xfefe]) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', genuine('certificate'), (stage) => {
        const { signature } = decodeCertificateVerify(genuine('certificate_verify')(stage).subarray(4));
        return encodeCertificateVerify({ scheme, signature });
      });
    }
  });

  test('is refused when another key signed, or for another connection', () => {
    const { privateKey } = identity('ed25519', ' of another').credential;
    const link = ask(connect({ credentials: [{ ...credential, privateKey }] })).deliver();
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    assert.equal(link.client.error?.alert, 'decrypt_error');
    link.forget();
    const elsewhere = asked();
    const foreign = genuine('certificate_verify')(elsewhere);
    strike(elsewhere);
    refuses('TLS_ERR_BAD_SIGNATURE', genuine('certificate'), () => foreign);
  });

  test('is refused when it was signed in the role of a server', () => {
    const link = connect({ credentials: [keyless] });
    link.client.hold = ['sign'];
    ask(link);
    link.client.receive(link.server.flush());
    const { need } = link.client;
    assert.ok(need?.kind === 'sign' && credential.privateKey !== undefined);
    const data = new Uint8Array(need.data);
    data.set(utf8('TLS 1.3, server'), 64);
    assert.notDeepEqual(data, need.data);
    const signature = nodeProvider.sign(need.scheme, credential.privateKey, data);
    link.client.take(link.client.connection.resume(need, signature));
    link.deliver();
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    link.forget();
  });

  test('is refused with any byte of the Finished changed, or with one too few', () => {
    for (const at of [4, -1]) {
      refuses('TLS_ERR_BAD_FINISHED', genuine('certificate'), genuine('certificate_verify'), withByte('finished', at));
    }
    refuses('TLS_ERR_DECODE', genuine('certificate'), genuine('certificate_verify'), (stage) => {
      const raw = genuine('finished')(stage).slice(0, -1);
      raw[3] -= 1;
      return raw;
    });
  });

  test('is refused without CertificateVerify, without Certificate, and in another order', () => {
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', genuine('certificate'), genuine('finished'));
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', genuine('certificate_verify'));
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', genuine('finished'));
    refuses('TLS_ERR_UNEXPECTED_MESSAGE', genuine('certificate'), genuine('certificate'));
  });

  test('is refused when it comes twice', () => {
    const stage = asked();
    for (const name of [...names, 'certificate'] as const) {
      stage.victim.receive(stage.puppet.handshake(genuine(name)(stage)));
    }
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(stage);
  });

  test('is refused as the answer to the next request', () => {
    const stage = asked();
    for (const name of names) {
      stage.victim.receive(stage.puppet.handshake(genuine(name)(stage)));
    }
    stage.victim.assertFine();
    stage.victim.take(stage.victim.connection.requestClientCertificate(REQUIRED));
    stage.victim.receive(stage.puppet.handshake(genuine('certificate')(stage)));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    strike(stage);
  });

  for (const [state, received] of [
    ['ExpectAuthenticationCertificateVerify', 1],
    ['ExpectAuthenticationFinished', 2],
  ] as const) {
    test(`is refused with application data or a KeyUpdate in it, in ${state}`, () => {
      for (const [type, content, code] of [
        [CONTENT_APPLICATION_DATA, utf8('between'), 'TLS_ERR_RECORD_TYPE'],
        [CONTENT_HANDSHAKE, encodeKeyUpdate({ updateRequested: false }), 'TLS_ERR_UNEXPECTED_MESSAGE'],
      ] as const) {
        const stage = asked();
        for (const name of names.slice(0, received)) {
          stage.victim.receive(stage.puppet.handshake(genuine(name)(stage)));
        }
        assert.equal(stage.victim.connection.state, state);
        stage.victim.receive(stage.puppet.record(type, content));
        assert.equal(stage.victim.error?.code, code);
        assert.equal(stage.victim.error?.alert, 'unexpected_message');
        strike(stage);
      }
    });
  }

  test('is bound to the key it comes under: a Finished of the generation before is refused', () => {
    const stage = asked();
    stage.victim.receive(stage.puppet.handshake(encodeKeyUpdate({ updateRequested: false })));
    stage.puppet.updateWrite();
    for (const name of names) {
      stage.victim.receive(stage.puppet.handshake(genuine(name)(stage)));
    }
    assert.equal(stage.victim.error?.code, 'TLS_ERR_BAD_FINISHED');
    strike(stage);
  });

  test('that was not asked for is refused by its first byte', () => {
    for (const client of [{}, { credentials: [credential] }]) {
      const stage = serverIn(world, 'Connected', { client });
      stage.victim.receive(stage.puppet.handshake(Uint8Array.of(11)));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
      strike(stage);
    }
  });
});

describe('a client that is asked for a certificate after the handshake', () => {
  const request = (context: Uint8Array, scheme: number = signatureSchemes.ed25519) =>
    encodeCertificateRequest({ requestContext: context, signatureAlgorithms: [scheme] });
  const connected = (credentials: readonly Credential[] | undefined = [credential]) =>
    clientIn(world, 'Connected', { client: { credentials } });

  test('refuses to be asked, by the first byte, when it offered no authentication', () => {
    for (const content of [request(Uint8Array.of(1)), Uint8Array.of(13)]) {
      const stage = clientIn(world, 'Connected');
      stage.victim.receive(stage.puppet.handshake(content));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
      stage.puppet.read(stage.victim.flush());
      assert.deepEqual(stage.puppet.alerts, ['unexpected_message under CLIENT_TRAFFIC_SECRET_0']);
      strike(stage);
    }
  });

  test('refuses a request without context, without signature_algorithms, and with what belongs elsewhere', () => {
    const misplaced = concat(request(Uint8Array.of(1)), Uint8Array.of(0, 49, 0, 0));
    misplaced[3] += 4;
    misplaced[7] += 4;
    for (const [content, code] of [
      [request(new Uint8Array(0)), 'TLS_ERR_ILLEGAL_PARAMETER'],
      [Uint8Array.of(13, 0, 0, 4, 1, 7, 0, 0), 'TLS_ERR_MISSING_EXTENSION'],
      [misplaced, 'TLS_ERR_MISPLACED_EXTENSION'],
    ] as const) {
      const stage = connected();
      stage.victim.receive(stage.puppet.handshake(content));
      assert.equal(stage.victim.error?.code, code);
      strike(stage);
    }
  });

  test('sends an empty Certificate and Finished when no key of its own will do', () => {
    const stage = connected();
    stage.victim.receive(stage.puppet.handshake(request(Uint8Array.of(7), signatureSchemes.ed448)));
    stage.puppet.read(stage.victim.flush());
    assert.deepEqual(stage.puppet.messages.map(({ name }) => name).slice(-2), ['certificate', 'finished']);
    const last = stage.puppet.messages.at(-2)?.raw as Uint8Array;
    assert.deepEqual(decodeCertificate(last.subarray(4)), { requestContext: Uint8Array.of(7), entries: [] });
    strike(stage);
  });

  test('refuses a flood of requests: each would cost it a signature', () => {
    const stage = connected();
    let answers = 0;
    for (let at = 0; at < 20 && !stage.victim.over; at++) {
      stage.victim.receive(stage.puppet.handshake(request(Uint8Array.of(at))));
      answers += 1;
    }
    assert.equal(stage.victim.error?.code, 'TLS_ERR_TOO_MANY_CERTIFICATE_REQUESTS');
    assert.equal(answers, 9);
    stage.puppet.read(stage.victim.flush());
    assert.equal(stage.puppet.messages.filter(({ name }) => name === 'certificate_verify').length, 8);
    assert.deepEqual(stage.puppet.alerts, ['unexpected_message under CLIENT_TRAFFIC_SECRET_0']);
    strike(stage);
  });

  test('refuses a flood of requests in one record, and with data of the server between them', () => {
    const packed = connected();
    packed.victim.receive(
      packed.puppet.handshake(...Array.from({ length: 200 }, (_, at) => request(Uint8Array.of(at)))),
    );
    assert.equal(packed.victim.error?.code, 'TLS_ERR_TOO_MANY_CERTIFICATE_REQUESTS');
    strike(packed);
    const mixed = connected();
    for (let at = 0; at < 9; at++) {
      mixed.victim.receive(mixed.puppet.record(CONTENT_APPLICATION_DATA, utf8('x')));
      mixed.victim.receive(mixed.puppet.handshake(request(Uint8Array.of(at))));
    }
    assert.equal(mixed.victim.error?.code, 'TLS_ERR_TOO_MANY_CERTIFICATE_REQUESTS');
    strike(mixed);
  });

  test('answers as often as it is asked when it sends in between', () => {
    const link = connect();
    for (let round = 0; round < 20; round++) {
      ask(link).deliver();
      link.assertDataFlows();
    }
    assert.equal(authentications(link).length, 20);
    link.forget();
  });

  test('makes its Finished with the key of the generation that it is sent under', () => {
    const link = connect();
    link.client.take(link.client.connection.updateKeys(false));
    link.client.take(link.client.connection.updateKeys(true));
    ask(link.deliver()).deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    link.forget();
  });

  test('answers KeyUpdate and request that come in one record sequence in that order', () => {
    const link = connect();
    link.server.take(link.server.connection.updateKeys(true));
    ask(link);
    const together = link.server.flush();
    link.client.receive(together);
    link.deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    assert.ok(link.server.keyUpdates.includes('read 1'));
    link.forget();
  });

  test('sends its answer in one piece: data and KeyUpdates that go out while it is signed come before', () => {
    const link = connect({ credentials: [keyless] });
    link.client.hold = ['sign'];
    // The answer to this KeyUpdate falls into the wait too.
    link.server.take(link.server.connection.updateKeys(true));
    ask(link);
    link.client.receive(link.server.flush());
    assert.equal(link.client.connection.state, 'AwaitAuthenticationSignature');
    link.client.take(link.client.connection.send(utf8('while it is signed')));
    link.client.take(link.client.connection.updateKeys(false));
    link.deliver();
    assert.equal(Buffer.from(link.server.data).includes('while it is signed'), true);
    link.client.answer();
    link.deliver();
    assert.deepEqual(authentications(link), [[certificate]]);
    link.assertDataFlows();
    link.forget();
  });

  test('says nothing of its certificate before it has the signature, or when the host gives up', () => {
    const link = connect({ credentials: [keyless] });
    link.client.hold = ['sign'];
    ask(link);
    link.client.receive(link.server.flush());
    assert.equal(link.client.flush().length, 0);
    link.client.take(link.client.connection.abort('internal_error'));
    link.deliver();
    assert.match(link.server.error?.message ?? '', /internal_error/);
    link.forget();
  });

  test('sends nothing after its close_notify, whether it is asked after it or signs through it', () => {
    const asked = connect();
    asked.client.take(asked.client.connection.close());
    ask(asked);
    asked.client.receive(asked.server.flush());
    asked.client.flush();
    asked.client.assertFine();
    assert.equal(asked.client.connection.state, 'Connected');
    asked.forget();
    const signing = connect({ credentials: [keyless] });
    signing.client.hold = ['sign'];
    ask(signing);
    signing.client.receive(signing.server.flush());
    signing.client.take(signing.client.connection.close());
    assert.ok(signing.client.flush().length > 0);
    signing.client.answer();
    assert.equal(signing.client.flush().length, 0);
    signing.client.assertFine();
    signing.forget();
  });

  test('makes room for its answer under a worn key by a KeyUpdate before it', () => {
    const link = connect({ usageLimit: 12 });
    for (let round = 0; round < 8; round++) {
      ask(link).deliver();
    }
    assert.equal(authentications(link).length, 8);
    link.assertDataFlows();
    assert.ok(link.client.keyUpdates.includes('write 1'), 'the key was renewed');
    link.forget();
  });

  test('erases everything when it ends while it signs', () => {
    const link = connect({ credentials: [keyless] });
    link.client.hold = ['sign'];
    ask(link);
    link.client.receive(link.server.flush());
    link.client.connection.erase();
    link.client.answer();
    assert.equal(link.client.flush().length, 0);
    link.forget();
  });
});
