/**
 * RFC 8448 with `Connection` as the server: fed the trace's client records, it has to send the trace's records byte for
 * byte.
 *
 * What is not ours: EncryptedExtensions, because the trace's server also tells its supported_groups (RFC 9846 §4.3.7
 * leaves that to the server), and CertificateRequest (§6), as Mayfly asks for no client certificates yet. The trace's own
 * messages stand in for them, on the wire and in the transcript; that the rest of our EncryptedExtensions is the same is
 * asserted apart. Signatures are the trace's, after a check that Mayfly asks for exactly that signature.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../../src/actions.ts';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { Connection } from '../../src/connection.ts';
import type { ServerContext, ServerOptions, TicketPolicy } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { SignatureScheme } from '../../src/crypto/signatures.ts';
import { contextPolicyHash } from '../../src/handshake/server-resumption.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeEncryptedExtensions, encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import { sealTicket } from '../../src/session/ticket.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
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
const ENCRYPTED_EXTENSIONS = 8;

interface Setup {
  readonly replay?: Partial<ReplayOptions>;
  readonly options?: Partial<ServerOptions>;
  readonly scheme?: SignatureScheme;
  readonly tickets?: TicketPolicy;
  /** What follows EncryptedExtensions in the trace and is not ours to make. */
  readonly extra?: Uint8Array;
}

function serverOf(trace: Trace, setup: Setup = {}): { server: Connection; replay: Replay } {
  const { scheme = 'rsa_pss_rsae_sha256', tickets, extra = new Uint8Array(0) } = setup;
  const extensions = concat(trace.message('server', 'EncryptedExtensions'), extra);
  const hellos = trace.steps.filter((step) => step.who === 'server' && step.fields.has('ServerHello'));
  const hello = decodeServerHello(trace.message('server', 'ServerHello', hellos.length - 1).subarray(4));
  const replay = new Replay({
    trace,
    side: 'server',
    randoms: [hello.random],
    groups: ['x25519'],
    transcript: { [ENCRYPTED_EXTENSIONS]: [extensions] },
    wire: { [ENCRYPTED_EXTENSIONS]: [extensions] },
    ...setup.replay,
  });
  const server = Connection.server({
    provider: replay.provider,
    now: () => NOW,
    context: contextOf(trace, scheme, tickets),
    exportKeyLog: true,
    ...setup.options,
  });
  replay.attach(server);
  return { server, replay };
}

function contextOf(trace: Trace, scheme: SignatureScheme, tickets?: TicketPolicy): ServerContext {
  const resumed = trace.section === 4;
  const credentials = resumed
    ? []
    : [{ certificateChain: [certificateOf(trace)], schemes: [scheme], privateKey: someKey }];
  return { credentials, alpnProtocols: [], tickets };
}

function clientRandom(trace: Trace): Uint8Array {
  return trace.message('client', 'ClientHello').subarray(6, 38);
}

/** After the handshake: the trace's 50 bytes each way, where it has them, and both closing alerts. */
function exchangeAndClose(
  server: Connection,
  trace: Trace,
  fromClient: readonly Uint8Array[],
  toClient: readonly Uint8Array[],
): void {
  if (fromClient.length === 2) {
    const payload = trace.value('client', 'send application_data', 'payload');
    const received = healthy(server.receive(fromClient[0]));
    assert.deepEqual(
      received.map(({ kind }) => kind),
      ['data'],
    );
    assert.equal(toHex((received[0] as Extract<Action, { kind: 'data' }>).bytes), toHex(payload));
    assert.equal(toHex(sent(server.send(payload))), toHex(toClient[0]));
  }
  const closing = server.receive(fromClient[fromClient.length - 1]);
  assert.deepEqual(
    closing.map(({ kind }) => kind),
    ['peerClosed'],
  );
  assert.equal(toHex(sent(server.close())), toHex(toClient[toClient.length - 1]));
}

describe('RFC 8448 with Mayfly as the server', () => {
  it("§3: the flight, the ticket's record, the data and the close equal the trace", () => {
    const trace = new Trace(3);
    const { server, replay } = serverOf(trace);
    const [hello, flight, ticket, data, alert] = trace.records('server');
    const [clientHello, finished, ...rest] = trace.records('client');
    const actions = [...healthy(server.receive(clientHello))];
    assert.equal(toHex(sent(actions)), toHex(concat(hello, flight)));
    const completing = healthy(server.receive(finished));
    assert.deepEqual(
      completing.map(({ kind }) => kind),
      ['handshakeComplete'],
    );
    assert.equal(sent(completing).length, 0);
    // Our own tickets leave with the flight and hold other bytes; the trace's is sent here by hand.
    server.channel.handshake(trace.message('server', 'NewSessionTicket'));
    assert.equal(toHex(server.channel.take() ?? new Uint8Array(0)), toHex(ticket));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace)));
    exchangeAndClose(server, trace, rest, [data, alert]);
    assert.equal(replay.signaturesMade, 1);
    replay.assertUsed();
  });

  it("§3: cut at every byte, the client's records lead to the same flight", () => {
    const trace = new Trace(3);
    const [hello, flight] = trace.records('server');
    const [clientHello] = trace.records('client');
    for (let cut = 1; cut < clientHello.length; cut++) {
      const { server } = serverOf(trace);
      const lent = clientHello.slice(0, cut);
      const first = server.receive(lent);
      lent.fill(0xee);
      assert.equal(first.length, 0);
      assert.equal(toHex(sent(server.receive(clientHello.slice(cut)))), toHex(concat(hello, flight)));
    }
  });

  it('§4: the early data is taken, and the flight, EndOfEarlyData, Finished, data and close equal the trace', () => {
    const trace = new Trace(4);
    const psk = trace.value('client', 'extract secret "early"', 'IKM');
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const whole = trace.value('client', 'send handshake', 'payload');
    const { policy, clientHello } = offerOurTicket(trace, whole, psk);
    const register = { claim: () => 'fresh' as const };
    const { server, replay } = serverOf(trace, {
      tickets: { ...policy, earlyData: { maxEarlyDataSize: 1024, register, recordingSince: 0 } },
      replay: {
        hashed: { 1: [truncated] },
        transcript: {
          1: [whole],
          [ENCRYPTED_EXTENSIONS]: [trace.message('server', 'EncryptedExtensions')],
        },
      },
    });
    const actions = [...healthy(server.receive(recordBytes(22, clientHello, clientHello.length, 0x0301)))];
    const [hello, flight, data, alert] = trace.records('server');
    const [, earlyData, endOfEarlyData, finished, ...rest] = trace.records('client');
    assert.equal(toHex(sent(actions)), toHex(concat(hello, flight)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace), true));
    const [early] = healthy(server.receive(earlyData));
    const payload = trace.value('client', 'send application_data', 'payload');
    assert.equal(early.kind === 'earlyData' && toHex(early.bytes), toHex(payload));
    assert.deepEqual(healthy(server.receive(endOfEarlyData)), []);
    assert.deepEqual(
      healthy(server.receive(finished)).map(({ kind }) => kind),
      ['handshakeComplete'],
    );
    assert.equal(server.summary?.earlyData, 'taken');
    const received = healthy(server.receive(rest[0]));
    const later = trace.value('client', 'send application_data', 'payload', 1);
    assert.equal(received[0].kind === 'data' && toHex(received[0].bytes), toHex(later));
    assert.equal(toHex(sent(server.send(later))), toHex(data));
    assert.deepEqual(
      healthy(server.receive(rest[1])).map(({ kind }) => kind),
      ['peerClosed'],
    );
    assert.equal(toHex(sent(server.close())), toHex(alert));
    replay.assertUsed();
  });

  it('§4: the resumed flight equals the trace, and early data that the policy does not take is skipped', () => {
    const trace = new Trace(4);
    const psk = trace.value('client', 'extract secret "early"', 'IKM');
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const whole = trace.value('client', 'send handshake', 'payload');
    // The trace's ticket is another server's. Ours holds the same PSK; in the transcript the trace's hello stands.
    const { policy, clientHello } = offerOurTicket(trace, whole, psk);
    const { server, replay } = serverOf(trace, {
      tickets: policy,
      replay: {
        hashed: { 1: [truncated] },
        transcript: {
          1: [whole],
          [ENCRYPTED_EXTENSIONS]: [trace.message('server', 'EncryptedExtensions')],
        },
      },
    });
    const actions = [...healthy(server.receive(recordBytes(22, clientHello, clientHello.length, 0x0301)))];
    const [hello, flight] = trace.records('server');
    assert.equal(toHex(sent(actions)), toHex(concat(hello, flight)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace)));
    const [, earlyData, endOfEarlyData] = trace.records('client');
    assert.deepEqual(server.receive(earlyData), []);
    assert.deepEqual(server.receive(endOfEarlyData), []);
    assert.equal(replay.signaturesMade, 0);
    replay.assertUsed();
    server.erase();
  });

  it('§4: a hello whose binder has one bit flipped is refused', () => {
    const trace = new Trace(4);
    const psk = trace.value('client', 'extract secret "early"', 'IKM');
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const whole = trace.value('client', 'send handshake', 'payload');
    const { policy, clientHello } = offerOurTicket(trace, whole, psk);
    clientHello[clientHello.length - 1] ^= 1;
    const { server } = serverOf(trace, {
      tickets: policy,
      replay: { hashed: { 1: [truncated] } },
    });
    const actions = server.receive(recordBytes(22, clientHello));
    const last = actions[actions.length - 1];
    assert.equal(last.kind === 'failed' && last.error.code, 'TLS_ERR_BAD_BINDER');
    assert.equal(toHex(sent(actions)), '15030300020233');
  });

  it('§5: HelloRetryRequest with its cookie, the flight after it and the close equal the trace', () => {
    const trace = new Trace(5);
    const retry = decodeServerHello(trace.message('server', 'ServerHello').subarray(4));
    const { server, replay } = serverOf(trace, {
      replay: { groups: ['secp256r1'] },
      options: { namedGroups: ['secp256r1'], helloRetryCookie: retry.extensions.cookie },
    });
    const [retryRecord, hello, flight, alert] = trace.records('server');
    const [first, second, finished, ...rest] = trace.records('client');
    assert.equal(toHex(sent(healthy(server.receive(first)))), toHex(retryRecord));
    const actions = [...healthy(server.receive(second))];
    assert.equal(toHex(sent(actions)), toHex(concat(hello, flight)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace)));
    assert.deepEqual(
      healthy(server.receive(finished)).map(({ kind }) => kind),
      ['handshakeComplete'],
    );
    assert.equal(server.summary?.helloRetried, true);
    exchangeAndClose(server, trace, rest, [alert]);
    replay.assertUsed();
  });

  it('§6: the flight equals the trace (client certificates are not built: its answer is refused)', () => {
    const trace = new Trace(6);
    const request = trace.message('server', 'CertificateRequest');
    const { server, replay } = serverOf(trace, { scheme: 'ecdsa_secp256r1_sha256', extra: request });
    const [hello, flight] = trace.records('server');
    const [clientHello, answer] = trace.records('client');
    const actions = [...healthy(server.receive(clientHello))];
    assert.equal(toHex(sent(actions)), toHex(concat(hello, flight)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace)));
    replay.assertUsed();
    const refused = server.receive(answer);
    const last = refused[refused.length - 1];
    assert.equal(last.kind === 'failed' && last.error.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
  });

  it('§7: in compatibility mode change_cipher_spec and flight stand where the trace has them', () => {
    const trace = new Trace(7);
    const { server, replay } = serverOf(trace);
    const [hello, changeCipherSpec, flight, alert] = trace.records('server');
    const [clientHello, clientChangeCipherSpec, finished, ...rest] = trace.records('client');
    const actions = [...healthy(server.receive(clientHello))];
    assert.equal(toHex(sent(actions)), toHex(concat(hello, changeCipherSpec, flight)));
    assert.deepEqual(keyLogLines(actions), expectedKeyLog(trace, clientRandom(trace)));
    const completing = healthy(server.receive(concat(clientChangeCipherSpec, finished)));
    assert.deepEqual(
      completing.map(({ kind }) => kind),
      ['handshakeComplete'],
    );
    exchangeAndClose(server, trace, rest, [alert]);
    replay.assertUsed();
  });

  it('our EncryptedExtensions are those of §3, §5, §6 and §7 less supported_groups', () => {
    for (const section of [3, 5, 6, 7]) {
      const { extensions } = decodeEncryptedExtensions(
        new Trace(section).message('server', 'EncryptedExtensions').subarray(4),
      );
      assert.equal(
        toHex(ourEncryptedExtensions(section)),
        toHex(encodeEncryptedExtensions({ extensions: { ...extensions, supportedGroups: undefined } })),
      );
    }
  });
});

/** What our server itself makes of EncryptedExtensions, caught on its way out. */
function ourEncryptedExtensions(section: number): Uint8Array {
  const trace = new Trace(section);
  let caught: Uint8Array | undefined;
  const { server } =
    section === 5
      ? serverOf(trace, {
          replay: { groups: ['secp256r1'] },
          options: {
            namedGroups: ['secp256r1'],
            helloRetryCookie: decodeServerHello(trace.message('server', 'ServerHello').subarray(4)).extensions.cookie,
          },
        })
      : serverOf(trace, {
          scheme: section === 6 ? 'ecdsa_secp256r1_sha256' : undefined,
          // The signature of §6 covers the request as well.
          extra: section === 6 ? trace.message('server', 'CertificateRequest') : undefined,
        });
  const send = server.channel.handshake;
  server.channel.handshake = (message) => {
    if (message[0] === ENCRYPTED_EXTENSIONS) {
      caught = message;
    }
    send(message);
  };
  for (const record of trace.records('client').slice(0, section === 5 ? 2 : 1)) {
    healthy(server.receive(record));
  }
  assert.ok(caught);
  return caught;
}

/** §4's hello with a ticket of ours in place of the trace's, and the policy that opens it. */
function offerOurTicket(
  trace: Trace,
  whole: Uint8Array,
  psk: Uint8Array,
): { policy: TicketPolicy; clientHello: Uint8Array } {
  const key: TicketKey = {
    name: new Uint8Array(16).fill(4),
    secret: Secret.copy('ticketKey', new Uint8Array(32).fill(5)),
    secret12: Secret.copy('ticketKey', new Uint8Array(32).fill(6)),
    createdAt: NOW,
    sealFrom: NOW,
    sealUntil: NOW + 3_600_000,
    openUntil: NOW + 7_200_000,
    openUntil12: NOW + 7_200_000,
  };
  const policy: TicketPolicy = {
    keys: { sealingKey: () => key, openingKey: () => key, status: () => [] },
    ticketsPerConnection: 0,
    ticketsPerResumption: 0,
    maxTickets: 0,
    ticketLifetime: 30,
    handshakeValidity: 86_400,
  };
  const ticket = sealTicket({
    provider: nodeProvider,
    key,
    state: {
      version: 'TLSv1.3',
      cipherSuite: 'TLS_AES_128_GCM_SHA256',
      secret: Secret.copy('resumptionPsk', psk),
      issuedAt: NOW - 6,
      authenticatedAt: NOW - 6,
      ticketLifetime: 30,
      ticketAgeAdd: 0xfad6aac5,
      maxEarlyDataSize: 1024,
      serverName: 'server',
      alpnProtocol: '',
      policyHash: contextPolicyHash(nodeProvider, contextOf(trace, 'rsa_pss_rsae_sha256', policy), 'server', ''),
    },
  });
  const hello = decodeClientHello(whole.subarray(4));
  const offer = hello.extensions.preSharedKey;
  assert.ok(offer);
  const identities = [{ ...offer.identities[0], identity: ticket }];
  const preSharedKey = { identities, binders: offer.binders };
  return { policy, clientHello: encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } }) };
}
