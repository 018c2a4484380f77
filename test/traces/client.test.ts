/**
 * RFC 8448 with `Connection` as the client: fed the trace's server records, it has to verify them and to send the
 * trace's Finished, data and alerts byte for byte.
 *
 * What is not ours: the ClientHello, whose extensions Mayfly chooses and orders otherwise and which always has a legacy
 * session ID. The trace's stands in for it in the transcript; so does the trace's ServerHello, which is handed to the
 * client with the session ID that it expects. What the two hellos have in common is asserted apart. In §4 the trace's hello
 * also stands in where the keys for early data are made from it.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../../src/actions.ts';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { Connection } from '../../src/connection.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { recordBytes } from '../record/support.ts';
import {
  certificateOf,
  expectedKeyLog,
  healthy,
  keyLogLines,
  Replay,
  type ReplayOptions,
  sent,
  someKey,
} from './replay.ts';
import { Trace } from './trace.ts';

const NOW = 1_800_000_000_000;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const SESSION_ID = new Uint8Array(32).fill(0x5e);
const CHANGE_CIPHER_SPEC = Uint8Array.of(20, 3, 3, 0, 1, 1);

interface Setup {
  readonly replay?: Partial<ReplayOptions>;
  readonly options?: Partial<ClientOptions>;
}

function clientOf(trace: Trace, { replay: changes, options }: Setup = {}): { client: Connection; replay: Replay } {
  const { random } = helloOf(trace);
  const replay = new Replay({
    trace,
    side: 'client',
    randoms: [random, SESSION_ID],
    groups: ['x25519'],
    transcript: {
      [CLIENT_HELLO]: [trace.message('client', 'ClientHello')],
      [SERVER_HELLO]: [trace.message('server', 'ServerHello')],
    },
    ...changes,
  });
  const client = Connection.client({
    provider: replay.provider,
    now: () => NOW,
    serverName: 'server',
    cipherSuites: ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_256_GCM_SHA384'],
    namedGroups: ['x25519', 'secp256r1', 'secp384r1', 'secp521r1'],
    keyShares: ['x25519'],
    recordSizeLimit: 0x4001,
    grease: false,
    exportKeyLog: true,
    ...options,
  });
  replay.attach(client);
  return { client, replay };
}

function helloOf(trace: Trace) {
  return decodeClientHello(trace.value('client', 'send handshake', 'payload').subarray(4));
}

/** The record of the trace's nth ServerHello, which echoes the session ID that our client sent. */
function serverHelloRecord(trace: Trace, nth = 0): Uint8Array {
  const hello = decodeServerHello(trace.message('server', 'ServerHello', nth).subarray(4));
  const message = encodeServerHello({ ...hello, legacySessionIdEcho: SESSION_ID });
  return recordBytes(22, message);
}

/** Feeds a record and answers the question for the certificate; all actions of both. */
function receive(client: Connection, trace: Trace, record: Uint8Array): Action[] {
  const lent = new Uint8Array(record);
  const actions = [...healthy(client.receive(lent))];
  lent.fill(0xee);
  for (const action of [...actions]) {
    if (action.kind === 'need') {
      assert.ok(action.need.kind === 'verifyCertificate');
      assert.deepEqual(action.need.chain.map(toHex), [toHex(certificateOf(trace))]);
      assert.equal(action.need.serverName, 'server');
      actions.push(...healthy(client.resume(action.need, someKey)));
    }
  }
  return actions;
}

function complete(actions: readonly Action[]): boolean {
  return actions.some(({ kind }) => kind === 'handshakeComplete');
}

describe('RFC 8448 with Mayfly as the client', () => {
  it('§3: Finished, ticket, data and close equal the trace', () => {
    const trace = new Trace(3);
    const { client, replay } = clientOf(trace);
    client.start();
    const [, flight, ticketRecord, data, alert] = trace.records('server');
    const [, finished, clientData, clientAlert] = trace.records('client');
    const actions = [...receive(client, trace, serverHelloRecord(trace)), ...receive(client, trace, flight)];
    assert.ok(complete(actions));
    assert.equal(toHex(sent(actions)), toHex(concat(CHANGE_CIPHER_SPEC, finished)));
    assert.equal(replay.signaturesChecked, 1);
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, helloOf(trace).random));
    assert.equal(client.summary?.signatureScheme, 'rsa_pss_rsae_sha256');

    const [session] = receive(client, trace, ticketRecord);
    assert.ok(session.kind === 'session');
    const ticket = decodeNewSessionTicket(trace.message('server', 'NewSessionTicket').subarray(4));
    assert.equal(toHex(session.session.ticket), toHex(ticket.ticket));
    assert.ok(session.session.version === 'TLSv1.3');
    assert.equal(session.session.ticketAgeAdd, ticket.ticketAgeAdd);
    const psk = new Trace(4).value('client', 'extract secret "early"', 'IKM');
    assert.equal(session.session.secret.use(toHex), toHex(psk));

    const payload = trace.value('client', 'send application_data', 'payload');
    assert.equal(toHex(sent(client.send(payload))), toHex(clientData));
    const [received] = receive(client, trace, data);
    assert.equal(received.kind === 'data' && toHex(received.bytes), toHex(payload));
    assert.equal(toHex(sent(client.close())), toHex(clientAlert));
    assert.deepEqual(
      receive(client, trace, alert).map(({ kind }) => kind),
      ['peerClosed'],
    );
    replay.assertUsed();
  });

  it("§3: cut at every byte, the server's records lead to the same Finished", () => {
    const trace = new Trace(3);
    const stream = concat(serverHelloRecord(trace), trace.records('server')[1]);
    const expected = toHex(concat(CHANGE_CIPHER_SPEC, trace.records('client')[1]));
    for (let cut = 1; cut < stream.length; cut += 7) {
      const { client } = clientOf(trace);
      client.start();
      const actions = [
        ...receive(client, trace, stream.subarray(0, cut)),
        ...receive(client, trace, stream.subarray(cut)),
      ];
      assert.equal(toHex(sent(actions)), expected, `cut at ${cut}`);
    }
  });

  it('§3: a flight with any byte changed is refused', () => {
    const trace = new Trace(3);
    const flight = trace.records('server')[1];
    for (let at = 5; at < flight.length; at += 61) {
      const { client } = clientOf(trace);
      client.start();
      receive(client, trace, serverHelloRecord(trace));
      const changed = flight.slice();
      changed[at] ^= 0x10;
      const actions = client.receive(changed);
      const last = actions[actions.length - 1];
      assert.equal(last.kind === 'failed' && last.error.code, 'TLS_ERR_BAD_RECORD_MAC');
    }
  });

  it('§3: with another ClientHello in the transcript the signature does not verify', () => {
    const trace = new Trace(3);
    const changed = trace.message('client', 'ClientHello').slice();
    changed[changed.length - 1] ^= 1;
    const { client } = clientOf(trace, {
      replay: {
        transcript: { [CLIENT_HELLO]: [changed], [SERVER_HELLO]: [trace.message('server', 'ServerHello')] },
      },
    });
    client.start();
    receive(client, trace, serverHelloRecord(trace));
    // Even the keys differ then: the handshake's transcript is in them.
    const actions = client.receive(trace.records('server')[1]);
    const last = actions[actions.length - 1];
    assert.equal(last.kind === 'failed' && last.error.code, 'TLS_ERR_BAD_RECORD_MAC');
  });

  it('§4: early data, EndOfEarlyData, Finished, data and close equal the trace', () => {
    const trace = new Trace(4);
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const whole = trace.value('client', 'send handshake', 'payload');
    const { client, replay } = clientOf(trace, {
      replay: {
        hashed: { [CLIENT_HELLO]: [truncated, whole] },
        transcript: {
          [CLIENT_HELLO]: [truncated],
          // What is hashed next begins with the length of the binders.
          0: [whole.subarray(truncated.length)],
          [SERVER_HELLO]: [trace.message('server', 'ServerHello')],
        },
      },
      options: { session: sessionOf(trace), earlyData: true },
    });
    const [, flight, data, alert] = trace.records('server');
    const [, earlyData, endOfEarlyData, finished, clientData, clientAlert] = trace.records('client');
    const started = client.start();
    assert.equal(toHex(sent(started).subarray(-CHANGE_CIPHER_SPEC.length)), toHex(CHANGE_CIPHER_SPEC));
    assert.equal(client.earlyDataRoom, 1024);
    const early = trace.value('client', 'send application_data', 'payload');
    assert.equal(toHex(sent(healthy(client.sendEarlyData(early)))), toHex(earlyData));
    const actions = [...receive(client, trace, serverHelloRecord(trace)), ...receive(client, trace, flight)];
    assert.ok(complete(actions));
    assert.equal(client.summary?.resumed, true);
    assert.equal(client.summary?.earlyData, 'taken');
    assert.equal(toHex(sent(actions)), toHex(concat(endOfEarlyData, finished)));
    const log = keyLogLines([...started, ...actions]);
    assert.deepEqual(log, expectedKeyLog(trace, helloOf(trace).random, true));
    const payload = trace.value('client', 'send application_data', 'payload', 1);
    assert.equal(toHex(sent(client.send(payload))), toHex(clientData));
    const [received] = receive(client, trace, data);
    assert.equal(received.kind === 'data' && toHex(received.bytes), toHex(payload));
    assert.equal(toHex(sent(client.close())), toHex(clientAlert));
    assert.deepEqual(
      receive(client, trace, alert).map(({ kind }) => kind),
      ['peerClosed'],
    );
    assert.equal(replay.signaturesChecked, 0);
    replay.assertUsed();
  });

  it('§4: an early_data that was not offered is refused', () => {
    const trace = new Trace(4);
    const whole = trace.value('client', 'send handshake', 'payload');
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const { client } = clientOf(trace, {
      replay: {
        transcript: {
          [CLIENT_HELLO]: [truncated],
          0: [whole.subarray(truncated.length)],
          [SERVER_HELLO]: [trace.message('server', 'ServerHello')],
        },
      },
      options: { session: sessionOf(trace) },
    });
    client.start();
    receive(client, trace, serverHelloRecord(trace));
    const actions = client.receive(trace.records('server')[1]);
    const last = actions[actions.length - 1];
    assert.equal(last.kind === 'failed' && last.error.code, 'TLS_ERR_UNSUPPORTED_EXTENSION');
  });

  it('§5: after a HelloRetryRequest Finished and close equal the trace', () => {
    const trace = new Trace(5);
    const { client, replay } = clientOf(trace, {
      replay: {
        groups: ['x25519', 'secp256r1'],
        transcript: {
          [CLIENT_HELLO]: [trace.message('client', 'ClientHello'), trace.message('client', 'ClientHello', 1)],
          [SERVER_HELLO]: [trace.message('server', 'ServerHello'), trace.message('server', 'ServerHello', 1)],
        },
      },
      options: { namedGroups: ['x25519', 'secp256r1', 'secp384r1'] },
    });
    client.start();
    const [, , flight, alert] = trace.records('server');
    const [, , finished, clientAlert] = trace.records('client');
    const retried = sent(receive(client, trace, serverHelloRecord(trace)));
    const second = decodeClientHello(retried.subarray(CHANGE_CIPHER_SPEC.length + 5 + 4));
    const theirs = decodeClientHello(trace.message('client', 'ClientHello', 1).subarray(4));
    assert.deepEqual(second.extensions.keyShares, theirs.extensions.keyShares);
    assert.deepEqual(second.extensions.cookie, theirs.extensions.cookie);
    const actions = [...receive(client, trace, serverHelloRecord(trace, 1)), ...receive(client, trace, flight)];
    assert.ok(complete(actions));
    assert.equal(toHex(sent(actions)), toHex(finished));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, helloOf(trace).random));
    assert.equal(toHex(sent(client.close())), toHex(clientAlert));
    assert.deepEqual(
      receive(client, trace, alert).map(({ kind }) => kind),
      ['peerClosed'],
    );
    assert.equal(replay.signaturesChecked, 1);
    replay.assertUsed();
  });

  it('§6: the flight with its CertificateRequest is verified, and our answer equals the trace when its certificate stands in', () => {
    const trace = new Trace(6);
    // Client certificates are not built: our empty Certificate gives way to the trace's Certificate and signature.
    const identity = concat(trace.message('client', 'Certificate'), trace.message('client', 'CertificateVerify'));
    const { client, replay } = clientOf(trace, {
      replay: {
        transcript: {
          [CLIENT_HELLO]: [trace.message('client', 'ClientHello')],
          [SERVER_HELLO]: [trace.message('server', 'ServerHello')],
          11: [trace.message('server', 'Certificate'), identity],
        },
        wire: { 11: [identity] },
      },
    });
    client.start();
    const [, flight, alert] = trace.records('server');
    const [, answer, clientAlert] = trace.records('client');
    const actions = [...receive(client, trace, serverHelloRecord(trace)), ...receive(client, trace, flight)];
    assert.ok(complete(actions));
    assert.equal(toHex(sent(actions)), toHex(concat(CHANGE_CIPHER_SPEC, answer)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, helloOf(trace).random));
    assert.equal(client.summary?.signatureScheme, 'ecdsa_secp256r1_sha256');
    assert.equal(toHex(sent(client.close())), toHex(clientAlert));
    assert.deepEqual(
      receive(client, trace, alert).map(({ kind }) => kind),
      ['peerClosed'],
    );
    replay.assertUsed();
  });

  it("§7: in compatibility mode all records after the ClientHello are the trace's own, both ways", () => {
    const trace = new Trace(7);
    const { legacySessionId, random } = helloOf(trace);
    const { client, replay } = clientOf(trace, {
      replay: {
        randoms: [random, legacySessionId],
        transcript: { [CLIENT_HELLO]: [trace.message('client', 'ClientHello')] },
      },
    });
    client.start();
    const [hello, changeCipherSpec, flight, alert] = trace.records('server');
    const [, clientChangeCipherSpec, finished, clientAlert] = trace.records('client');
    const actions = receive(client, trace, concat(hello, changeCipherSpec, flight));
    assert.ok(complete(actions));
    assert.equal(toHex(sent(actions)), toHex(concat(clientChangeCipherSpec, finished)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, random));
    assert.equal(toHex(sent(client.close())), toHex(clientAlert));
    assert.deepEqual(
      receive(client, trace, alert).map(({ kind }) => kind),
      ['peerClosed'],
    );
    replay.assertUsed();
  });

  it("our ClientHello says what the trace's says, where both say it", () => {
    for (const section of [3, 5, 6, 7]) {
      const trace = new Trace(section);
      const { client } = clientOf(trace);
      const ours = decodeClientHello(sent(client.start()).subarray(9));
      const theirs = helloOf(trace);
      assert.deepEqual(ours.random, theirs.random);
      assert.deepEqual(ours.cipherSuites, theirs.cipherSuites);
      assert.deepEqual(ours.compressionMethods, theirs.compressionMethods);
      for (const name of [
        'serverName',
        'keyShares',
        'supportedVersions',
        'pskKeyExchangeModes',
        'recordSizeLimit',
      ] as const) {
        assert.deepEqual(ours.extensions[name], theirs.extensions[name], `§${section} ${name}`);
      }
      client.erase();
    }
  });
});

function sessionOf(trace: Trace): ClientOptions['session'] {
  const ticket = decodeNewSessionTicket(new Trace(3).message('server', 'NewSessionTicket').subarray(4));
  return {
    version: 'TLSv1.3',
    cipherSuite: 'TLS_AES_128_GCM_SHA256',
    ticket: ticket.ticket,
    secret: Secret.copy('resumptionPsk', trace.value('client', 'extract secret "early"', 'IKM')),
    receivedAt: NOW - 6,
    ticketLifetime: ticket.ticketLifetime,
    ticketAgeAdd: ticket.ticketAgeAdd,
    maxEarlyDataSize: ticket.maxEarlyDataSize,
    authenticatedAt: NOW - 6,
    serverName: 'server',
    alpnProtocol: '',
    peerCertificates: [],
  };
}
