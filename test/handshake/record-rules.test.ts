import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { encodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import { World } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, FLIGHT_KEYS, type Stage, serverIn, strike } from '../support/stages.ts';

const world = new World();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const CCS = plaintext(20, new Uint8Array([1]));
const CONNECTED = [() => clientIn(world, 'Connected'), () => serverIn(world, 'Connected')] as const;

function assertRefused(stage: Stage, code: string, alert: string, what: string): void {
  assert.equal(stage.victim.error?.code, code, `${what}: ${stage.victim.error?.message}`);
  stage.puppet.read(stage.victim.flush());
  assert.deepEqual(stage.puppet.alerts, [`${alert} under ${stage.alertsUnder}`], what);
  strike(stage);
  assert.deepEqual(
    watch.alive.filter((kind) => !['ticketKey', 'resumptionPsk'].includes(kind)),
    [],
    what,
  );
}

describe('change_cipher_spec', () => {
  const during = [
    () => clientIn(world, 'ExpectServerHello'),
    () => clientIn(world, 'ExpectServerHelloAfterRetry'),
    () => clientIn(world, 'ExpectEncryptedExtensions'),
    () => clientIn(world, 'ExpectFinished'),
    () => serverIn(world, 'ExpectClientHelloAfterRetry'),
    () => serverIn(world, 'ExpectFinished'),
  ];

  test('is passed over from the first ClientHello to the Finished of the peer', () => {
    for (const reach of during) {
      const stage = reach();
      stage.victim.receive(concat(CCS, CCS));
      stage.victim.assertFine();
      strike(stage);
    }
  });

  test('is refused before the ClientHello and after Finished', () => {
    for (const reach of [() => serverIn(world, 'ExpectClientHello'), ...CONNECTED]) {
      const stage = reach();
      stage.victim.receive(CCS);
      assertRefused(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', stage.alertsUnder);
    }
  });

  test('is refused with any other value, in any other length, and protected', () => {
    for (const reach of during) {
      for (const content of [[0], [2], [1, 1], []]) {
        const stage = reach();
        stage.victim.receive(plaintext(20, new Uint8Array(content)));
        assertRefused(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', `${content}`);
      }
    }
    for (const reach of [during[2], during[5], ...CONNECTED]) {
      const stage = reach();
      stage.victim.receive(stage.puppet.record(20, new Uint8Array([1])));
      assertRefused(stage, 'TLS_ERR_RECORD_TYPE', 'unexpected_message', 'protected');
    }
  });

  test('is refused when it comes without end', () => {
    for (const reach of during) {
      const stage = reach();
      stage.victim.receive(concat(...Array.from({ length: 33 }, () => CCS)));
      assertRefused(stage, 'TLS_ERR_EMPTY_RECORDS', 'unexpected_message', stage.alertsUnder);
    }
  });

  test('is refused in the middle of a handshake message', () => {
    const stage = serverIn(world, 'ExpectFinished');
    stage.victim.receive(stage.puppet.handshake((stage.flight.get('finished') as Uint8Array).subarray(0, 20)));
    stage.victim.receive(CCS);
    assertRefused(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', 'inside');
  });
});

describe('records in the clear', () => {
  test('once there are keys nothing but an alert of a client that has none may come unprotected', () => {
    for (const type of [22, 23, 21, 24]) {
      for (const reach of [() => clientIn(world, 'ExpectEncryptedExtensions'), ...CONNECTED]) {
        const stage = reach();
        stage.victim.receive(plaintext(type, new Uint8Array([2, 40])));
        const code = stage.victim.error?.code ?? '';
        assert(
          ['TLS_ERR_UNEXPECTED_MESSAGE', 'TLS_ERR_BAD_RECORD_MAC', 'TLS_ERR_RECORD_TYPE'].includes(code),
          `type ${type}: ${code}`,
        );
        strike(stage);
      }
    }
  });

  test('a server hears the plaintext alert of a client that could not make keys, until its Finished', () => {
    const stage = serverIn(world, 'ExpectFinished');
    stage.victim.receive(plaintext(21, new Uint8Array([2, 47])));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.equal(stage.victim.error?.alert, 'illegal_parameter');
    assert.equal(stage.victim.flush().length, 0, 'an alert is not answered');
    strike(stage);
  });

  test('a close_notify in the clear cannot end a connection', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      stage.victim.receive(plaintext(21, new Uint8Array([1, 0])));
      assert.equal(stage.victim.peerClosed, false);
      assertRefused(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', 'close_notify');
    }
  });

  test('the version of a record means nothing, its major part aside', () => {
    const client = world.client().start();
    for (const minor of [0, 1, 2, 3, 4, 255]) {
      const hello = client.flush();
      const bytes = hello.length > 0 ? hello : kept;
      kept = bytes;
      const changed = new Uint8Array(bytes);
      changed[2] = minor;
      const server = world.server().receive(changed);
      server.assertFine();
      server.forget();
    }
    client.forget();
  });
  let kept: Uint8Array = new Uint8Array(0);

  test('a peer that does not speak TLS is told nothing', () => {
    for (const text of ['GET / HTTP/1.1\r\n', '\x80\x2e\x02\x03\x00', '\x16\x02\x00\x00\x01']) {
      const server = world.server().receive(Buffer.from(text, 'latin1'));
      assert.equal(server.error?.code, 'TLS_ERR_NOT_TLS');
      assert.equal(server.flush().length, 0);
    }
    const client = world.client().start();
    client.flush();
    client.receive(Buffer.from('HTTP/1.1 400 Bad Request\r\n'));
    assert.equal(client.error?.code, 'TLS_ERR_NOT_TLS');
  });

  test("a client that begins with SSL 2.0's hello is refused with protocol_version", () => {
    for (const version of ['\x00\x02', '\x03\x00', '\x03\x01', '\x03\x03']) {
      const server = world.server().receive(Buffer.from(`\x80\x2e\x01${version}\x00\x15`, 'latin1'));
      assert.equal(server.error?.code, 'TLS_ERR_PROTOCOL_VERSION');
      assert.deepEqual(server.flush(), plaintext(21, Uint8Array.of(2, 70)));
    }
  });
});

describe('records that carry nothing', () => {
  test('an empty handshake record and an empty alert are refused with unexpected_message', () => {
    for (const type of [21, 22]) {
      for (const reach of CONNECTED) {
        const stage = reach();
        stage.victim.receive(stage.puppet.record(type, new Uint8Array(0)));
        assertRefused(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', `type ${type}`);
      }
      const early = serverIn(world, 'ExpectClientHello');
      early.victim.receive(plaintext(type, new Uint8Array(0)));
      assertRefused(early, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', `plaintext ${type}`);
    }
  });

  test('an alert of one byte or three is refused with decode_error', () => {
    for (const length of [1, 3]) {
      const stage = serverIn(world, 'Connected');
      stage.victim.receive(stage.puppet.record(21, new Uint8Array(length)));
      assertRefused(stage, 'TLS_ERR_DECODE', 'decode_error', `${length}`);
    }
  });

  test('32 empty records of data in a row are borne, 33 are not; data in between starts the count anew', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      const empty = (count: number) => {
        for (let i = 0; i < count; i++) {
          stage.victim.receive(stage.puppet.record(23, new Uint8Array(0), i));
        }
      };
      empty(32);
      stage.victim.receive(stage.puppet.record(23, new Uint8Array(1)));
      empty(32);
      stage.victim.assertFine();
      empty(1);
      assertRefused(stage, 'TLS_ERR_EMPTY_RECORDS', 'unexpected_message', 'empty');
    }
  });

  test('a record of nothing but zeros is refused with unexpected_message', () => {
    const stage = serverIn(world, 'Connected');
    stage.victim.receive(stage.puppet.record(0, new Uint8Array(10)));
    assertRefused(stage, 'TLS_ERR_RECORD_TYPE', 'unexpected_message', 'zeros');
  });

  test('padding is taken off, and inner types that there are not are refused', () => {
    const stage = serverIn(world, 'Connected');
    stage.victim.receive(stage.puppet.record(23, new Uint8Array([1, 2, 3]), 200));
    assert.deepEqual([...stage.victim.data], [1, 2, 3]);
    stage.victim.receive(stage.puppet.record(24, new Uint8Array([1])));
    assertRefused(stage, 'TLS_ERR_RECORD_TYPE', 'unexpected_message', 'type 24');
  });
});

describe('floods after the handshake', () => {
  const ticket = encodeNewSessionTicket({
    ticketLifetime: 100,
    ticketAgeAdd: 1,
    ticketNonce: new Uint8Array([1]),
    ticket: new Uint8Array(10),
  });

  for (const wantSessions of [true, false]) {
    test(`33 tickets in a row are refused (wantSessions: ${wantSessions})`, () => {
      const stage = clientIn(world, 'Connected', { client: { wantSessions } });
      for (let i = 0; i < 32; i++) {
        stage.victim.receive(stage.puppet.handshake(ticket));
      }
      stage.victim.assertFine();
      assert.equal(stage.victim.sessions.length, wantSessions ? 32 : 0);
      stage.victim.receive(stage.puppet.handshake(ticket));
      assertRefused(stage, 'TLS_ERR_TOO_MANY_TICKETS', 'unexpected_message', 'tickets');
    });

    test(`a ticket that cannot be read is refused (wantSessions: ${wantSessions})`, () => {
      const stage = clientIn(world, 'Connected', { client: { wantSessions } });
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([4, 0, 0, 2, 1, 1])));
      assertRefused(stage, 'TLS_ERR_DECODE', 'decode_error', 'ticket');
    });
  }

  test('33 KeyUpdates in a row are refused, on both sides', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      const update = new Uint8Array([24, 0, 0, 1, 0]);
      for (let i = 0; i < 32; i++) {
        stage.victim.receive(stage.puppet.handshake(update));
        stage.victim.assertFine();
        stage.puppet.updateWrite();
      }
      stage.victim.receive(stage.puppet.handshake(update));
      assertRefused(stage, 'TLS_ERR_TOO_MANY_KEY_UPDATES', 'unexpected_message', 'KeyUpdates');
    }
  });

  test('a KeyUpdate that is neither request nor no request is refused with illegal_parameter', () => {
    for (const reach of CONNECTED) {
      const stage = reach();
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([24, 0, 0, 1, 2])));
      assertRefused(stage, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', '2');
    }
  });

  test('user_canceled without end is refused', () => {
    const stage = serverIn(world, 'Connected');
    for (let i = 0; i < 33; i++) {
      stage.victim.receive(stage.puppet.record(21, new Uint8Array([1, 90])));
    }
    assertRefused(stage, 'TLS_ERR_EMPTY_RECORDS', 'unexpected_message', 'user_canceled');
  });
});

describe('tickets that a client receives', () => {
  const ticketOf = (changes: object) =>
    encodeNewSessionTicket({
      ticketLifetime: 100,
      ticketAgeAdd: 1,
      ticketNonce: new Uint8Array(255),
      ticket: new Uint8Array(10),
      ...changes,
    });

  test('one that should live longer than 7 days is refused with illegal_parameter', () => {
    const stage = clientIn(world, 'Connected');
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticketLifetime: 604_800 })));
    assert.equal(stage.victim.sessions.length, 1);
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticketLifetime: 604_801 })));
    assertRefused(stage, 'TLS_ERR_ILLEGAL_PARAMETER', 'illegal_parameter', 'lifetime');
  });

  test('one without a lifetime, and one too long to be offered, are thrown away', () => {
    const stage = clientIn(world, 'Connected');
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticketLifetime: 0 })));
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticket: new Uint8Array(65_000) }).subarray(0, 16_000)));
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticket: new Uint8Array(65_000) }).subarray(16_000, 32_000)));
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticket: new Uint8Array(65_000) }).subarray(32_000, 48_000)));
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticket: new Uint8Array(65_000) }).subarray(48_000, 64_000)));
    stage.victim.receive(stage.puppet.handshake(ticketOf({ ticket: new Uint8Array(65_000) }).subarray(64_000)));
    stage.victim.assertFine();
    assert.equal(stage.victim.sessions.length, 0);
    strike(stage);
  });

  test('two with different nonces have different secrets', () => {
    const stage = clientIn(world, 'Connected');
    stage.victim.receive(stage.puppet.handshake(ticketOf({}), ticketOf({ ticketNonce: new Uint8Array([9]) })));
    const [a, b] = stage.victim.sessions.map(({ secret }) => secret.use((bytes) => Buffer.from(bytes).toString('hex')));
    assert.notEqual(a, b);
    strike(stage);
  });
});

describe('early data of a client, which this server never takes', () => {
  /** A genuine hello with early_data, and records that nobody here can open. */
  function hello(retry: boolean): { bytes: Uint8Array; second: (answer: Uint8Array) => Uint8Array; forget(): void } {
    const client = world.client(retry ? { keyShares: ['x25519'], grease: false } : { grease: false }).start();
    const first = decodeClientHello(client.flush().subarray(9));
    const changed = encodeClientHello({ ...first, extensions: { ...first.extensions, earlyData: true } });
    return {
      bytes: plaintext(22, changed),
      second: (answer) => client.receive(answer).flush(),
      forget: () => client.forget(),
    };
  }
  const early = (length: number) => plaintext(23, new Uint8Array(length).fill(7));

  test('is passed over as long as it is not too much, then the handshake goes on', () => {
    const { bytes, forget } = hello(false);
    const server = world.server().receive(concat(bytes, early(100), CCS, early(16_000)));
    server.assertFine();
    const puppet = new Puppet(server.keyLog).writeWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
    // A wrong Finished, but one that could be opened.
    server.receive(puppet.handshake(new Uint8Array([20, 0, 0, 32, ...new Uint8Array(32)])));
    assert.equal(server.error?.code, 'TLS_ERR_BAD_FINISHED');
    forget();
    puppet.erase();
  });

  test('is refused when it is more than a client may send', () => {
    const { bytes, forget } = hello(false);
    const server = world.server().receive(bytes);
    for (let i = 0; i < 5; i++) {
      server.receive(early(16_000));
    }
    assert.equal(server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    const puppet = new Puppet(server.keyLog).read(server.flush(), FLIGHT_KEYS);
    assert.deepEqual(puppet.alerts, ['bad_record_mac under SERVER_TRAFFIC_SECRET_0']);
    puppet.erase();
    forget();
  });

  test('is not passed over any more after the first record that opens', () => {
    const { bytes, forget } = hello(false);
    const server = world.server().receive(concat(bytes, early(50)));
    const puppet = new Puppet(server.keyLog).writeWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
    server.receive(puppet.handshake(new Uint8Array([20])));
    server.assertFine();
    server.receive(early(50));
    assert.equal(server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    puppet.erase();
    forget();
  });

  test('is passed over between a HelloRetryRequest and the second ClientHello, and not after', () => {
    const { bytes, forget } = hello(true);
    const server = world.server({ namedGroups: ['secp256r1'] }).receive(concat(bytes, early(100), early(17)));
    server.assertFine();
    assert.equal(server.connection.state, 'ExpectClientHelloAfterRetry');
    for (let i = 0; i < 5; i++) {
      server.receive(early(16_000));
    }
    assert.equal(server.error?.code, 'TLS_ERR_RECORD_TYPE');
    forget();
  });

  test('is refused from a client that did not announce it', () => {
    for (const state of ['ExpectFinished', 'ExpectClientHelloAfterRetry'] as const) {
      const stage = serverIn(world, state);
      stage.victim.receive(early(100));
      assert(stage.victim.error !== undefined);
      strike(stage);
    }
  });
});

describe('the record size limit', () => {
  /** The largest TLSInnerPlaintext among protected records, after `skip` bytes. */
  function largest(bytes: Uint8Array): number {
    let most = 0;
    for (let at = 0; at < bytes.length; ) {
      const length = (bytes[at + 3] << 8) | bytes[at + 4];
      if (bytes[at] === 23) {
        most = Math.max(most, length - 16);
      }
      at += 5 + length;
    }
    return most;
  }

  for (const [clientLimit, serverLimit] of [
    [64, 64],
    [64, undefined],
    [100, 3000],
    [16_385, 64],
  ] as const) {
    test(`of ${clientLimit} at the client and ${serverLimit} at the server is kept by both, handshake and all`, () => {
      const link = world.pair({ recordSizeLimit: clientLimit }, { recordSizeLimit: serverLimit });
      let up = 0;
      let down = 0;
      link.toServer = (bytes) => {
        up = Math.max(up, largest(bytes));
        return bytes;
      };
      link.toClient = (bytes) => {
        down = Math.max(down, largest(bytes));
        return bytes;
      };
      link.run();
      link.assertComplete();
      const data = new Uint8Array(40_000).map((_, index) => index * 7);
      link.client.take(link.client.connection.send(data));
      link.server.take(link.server.connection.send(data));
      const seen = { up: link.server.data.length, down: link.client.data.length };
      link.deliver();
      assert.deepEqual(link.server.data.subarray(seen.up), data);
      assert.deepEqual(link.client.data.subarray(seen.down), data);
      assert.equal(down, Math.min(clientLimit, 16_385));
      assert.equal(up, Math.min(serverLimit ?? 16_385, 16_385));
      link.forget();
    });
  }

  test('is not in force when the client does not ask for it', () => {
    const link = world.connect({}, { recordSizeLimit: 64 });
    link.client.take(link.client.connection.send(new Uint8Array(10_000)));
    assert.equal(largest(link.client.flush()), 10_001);
    link.forget();
  });

  test('that a peer overruns is answered with record_overflow, padding counts', () => {
    for (const [reach, limit] of [
      [() => clientIn(world, 'Connected', { client: { recordSizeLimit: 100 } }), 100],
      [() => serverIn(world, 'Connected', { client: { recordSizeLimit: 500 }, server: { recordSizeLimit: 100 } }), 100],
    ] as const) {
      const fine = reach();
      fine.victim.receive(fine.puppet.record(23, new Uint8Array(limit - 1)));
      fine.victim.receive(fine.puppet.record(23, new Uint8Array(9), limit - 10));
      fine.victim.assertFine();
      fine.victim.receive(fine.puppet.record(23, new Uint8Array(10), limit - 10));
      assertRefused(fine, 'TLS_ERR_RECORD_OVERFLOW', 'record_overflow', 'padding');
      const over = reach();
      over.victim.receive(over.puppet.record(23, new Uint8Array(limit)));
      assertRefused(over, 'TLS_ERR_RECORD_OVERFLOW', 'record_overflow', 'data');
    }
  });

  test('of the protocol itself is 2^14 bytes of content, and 2^14 + 256 of ciphertext', () => {
    const fine = serverIn(world, 'Connected');
    fine.victim.receive(fine.puppet.record(23, new Uint8Array(2 ** 14)));
    assert.equal(fine.victim.data.length, 2 ** 14);
    fine.victim.receive(fine.puppet.record(23, new Uint8Array(2 ** 14 + 1)));
    assertRefused(fine, 'TLS_ERR_RECORD_OVERFLOW', 'record_overflow', 'content');
    const header = serverIn(world, 'Connected');
    header.victim.receive(new Uint8Array([23, 3, 3, 0x41, 0x01]));
    assertRefused(header, 'TLS_ERR_RECORD_OVERFLOW', 'record_overflow', 'ciphertext');
    const first = serverIn(world, 'ExpectClientHello');
    first.victim.receive(new Uint8Array([22, 3, 3, 0x40, 0x01]));
    assertRefused(first, 'TLS_ERR_RECORD_OVERFLOW', 'record_overflow', 'plaintext');
  });
});
