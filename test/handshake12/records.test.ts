/** The record layer of TLS 1.2 under a handshake: how messages are cut up, how long records may be, what may not come. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import {
  CONTENT_ALERT,
  CONTENT_APPLICATION_DATA,
  CONTENT_HANDSHAKE,
  MAX_EMPTY_RECORDS,
  MAX_PLAINTEXT,
} from '../../src/record/limits.ts';
import type { Chop } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { recordsOf } from '../support/puppet12.ts';
import { stage12 } from '../support/stages12.ts';
import { NAMINGS, World12 } from '../support/world12.ts';

const world = new World12();
after(() => world.close());

const WARNING = 1;
const FATAL = 2;

/** Cuts handshake records in the clear into records of `size` bytes. */
function respread(size: number): (flight: Uint8Array) => Uint8Array {
  let isProtected = false;
  return (flight) =>
    concat(
      ...recordsOf(flight).flatMap((record) => {
        if (record[0] === 20) {
          isProtected = true;
        }
        if (isProtected || record[0] !== CONTENT_HANDSHAKE) {
          return [record];
        }
        const pieces: Uint8Array[] = [];
        for (let at = 5; at < record.length; at += size) {
          pieces.push(plaintext(CONTENT_HANDSHAKE, record.subarray(at, at + size), 0x0303));
        }
        return pieces;
      }),
    );
}

/** Joins what it can of handshake messages in the clear into one record. */
function joined(flight: Uint8Array): Uint8Array {
  const records = recordsOf(flight);
  const end = records.findIndex((record) => record[0] !== CONTENT_HANDSHAKE);
  const clear = end < 0 ? records : records.slice(0, end);
  const rest = end < 0 ? [] : records.slice(end);
  const content = concat(...clear.map((record) => record.subarray(5)));
  return concat(...(content.length === 0 ? [] : [plaintext(CONTENT_HANDSHAKE, content)]), ...rest);
}

const chops: Record<string, Chop> = {
  'byte by byte': (bytes) => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)),
  'seven bytes at a time': (bytes) =>
    Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(7 * i, 7 * i + 7)),
  'with each record on its own': (bytes) => recordsOf(bytes),
};

describe('a handshake completes however its bytes arrive', () => {
  for (const naming of NAMINGS) {
    for (const [how, chop] of Object.entries(chops)) {
      test(`${how}, in full and resumed by ${naming}`, () => {
        const full = world.pair12(naming);
        full.chop = chop;
        full.run().assertComplete();
        const [session] = full.client.sessions12;
        const resumed = world.pair12(naming, { session });
        resumed.chop = chop;
        resumed.run().assertComplete();
        assert.equal(resumed.client.summary?.resumedBy, naming);
        full.forget();
        resumed.forget();
      });
    }

    test(`spread over records of 1, 2, 3 and 50 bytes, or all in one, in full and resumed by ${naming}`, () => {
      for (const make of [...[1, 2, 3, 50].map((size) => () => respread(size)), () => joined]) {
        const full = world.pair12(naming);
        full.toServer = make();
        full.toClient = make();
        full.run().assertComplete();
        const resumed = world.pair12(naming, { session: full.client.sessions12[0] });
        resumed.toServer = make();
        resumed.toClient = make();
        resumed.run().assertComplete();
        assert.equal(resumed.server.summary?.resumedBy, naming);
        full.forget();
        resumed.forget();
      }
    });
  }

  test('a message that trickles without end over records is refused', () => {
    const stage = stage12(world, 'client', 'ExpectServerCertificate12');
    stage.victim.receive(stage.puppet.handshake(new Uint8Array([11, 0, 0xff, 0xff])));
    for (let i = 0; i < 3000 && stage.victim.error === undefined; i++) {
      stage.victim.receive(stage.puppet.handshake(new Uint8Array(1)));
    }
    assert.equal(stage.victim.error?.code, 'TLS_ERR_MESSAGE_TOO_LONG');
    stage.victim.forget();
  });

  test('an empty handshake record is refused', () => {
    const stage = stage12(world, 'server', 'ExpectClientKeyExchange12');
    stage.victim.receive(plaintext(CONTENT_HANDSHAKE, new Uint8Array(0)));
    assert.equal(stage.victim.error?.alert, 'unexpected_message');
    stage.victim.forget();
  });
});

describe('how long a protected record may be', () => {
  test('2^14 bytes of plaintext of any type are read, whatever protection adds to them', () => {
    const stage = stage12(world, 'server', 'Connected');
    stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(MAX_PLAINTEXT)));
    stage.victim.assertFine();
    assert.equal(stage.victim.data.length, MAX_PLAINTEXT);
    // Not a legal message, but a legal record: it is what is in it that is refused.
    const body = new Uint8Array(MAX_PLAINTEXT);
    body[0] = 20;
    stage.victim.receive(stage.puppet.record(CONTENT_HANDSHAKE, body));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    stage.victim.forget();
  });

  test('a certificate of 16 KiB and more is read in records in the clear', () => {
    const chain = [new Uint8Array(20_000).fill(7)];
    const [credential] = world.context.credentials;
    const context = { ...world.context, credentials: [{ ...credential, certificateChain: chain }] };
    const link = world.connect12('ticket', {}, { context });
    assert.equal(link.client.summary?.peerCertificates[0].length, 20_000);
    link.forget();
  });

  test('one byte more is refused with record_overflow, as is any record beyond what can be', () => {
    for (const type of [CONTENT_HANDSHAKE, CONTENT_ALERT, CONTENT_APPLICATION_DATA]) {
      const stage = stage12(world, 'server', 'Connected');
      stage.victim.receive(stage.puppet.record(type, new Uint8Array(MAX_PLAINTEXT + 1)));
      assert.equal(stage.victim.error?.alert, 'record_overflow', String(type));
      stage.victim.forget();
      const header = stage12(world, 'server', 'Connected');
      header.victim.receive(new Uint8Array([type, 3, 3, 0x41, 0x01]));
      assert.equal(header.victim.error?.alert, 'record_overflow', `by its header: ${type}`);
      header.victim.forget();
    }
  });

  test('in the clear 2^14 bytes are the most', () => {
    const stage = stage12(world, 'client', 'ExpectServerCertificate12');
    stage.victim.receive(new Uint8Array([CONTENT_HANDSHAKE, 3, 3, 0x40, 0x01]));
    assert.equal(stage.victim.error?.alert, 'record_overflow');
    stage.victim.forget();
  });

  test('a record shorter than its own nonce and tag is not authentic', () => {
    for (const length of [0, 1, 8, 23]) {
      const stage = stage12(world, 'server', 'Connected');
      stage.victim.receive(plaintext(CONTENT_APPLICATION_DATA, new Uint8Array(length)));
      assert.equal(stage.victim.error?.alert, 'bad_record_mac', String(length));
      stage.victim.forget();
    }
  });
});

describe('the record size limit (RFC 8449), which in TLS 1.2 counts the plaintext alone', () => {
  test('is agreed on and held by both, in full and resumed', () => {
    const client = { recordSizeLimit: 64 };
    const server = { recordSizeLimit: 100 };
    const full = world.connect12('ticket', client, server);
    const resumed = world.connect12('ticket', { ...client, session: full.client.sessions12[0] }, server);
    assert.equal(resumed.client.summary?.resumed, true);
    for (const { client: c, server: s } of [full, resumed]) {
      c.take(c.connection.send(new Uint8Array(1000)));
      const up = c.flush();
      assert.equal(Math.max(...recordsOf(up).map((record) => record.length - 5 - 24)), 100);
      s.receive(up).assertFine();
      s.take(s.connection.send(new Uint8Array(1000)));
      const down = s.flush();
      assert.equal(Math.max(...recordsOf(down).map((record) => record.length - 5 - 24)), 64);
      c.receive(down).assertFine();
    }
    full.forget();
    resumed.forget();
  });

  test('a record beyond it is refused with record_overflow, by either end', () => {
    for (const role of ['client', 'server'] as const) {
      for (const [length, fine] of [
        [64, true],
        [65, false],
      ] as const) {
        const limits = { client: { recordSizeLimit: 64 }, server: { recordSizeLimit: 64 } };
        const stage = stage12(world, role, 'Connected', limits);
        stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(length)));
        assert.equal(stage.victim.error?.alert, fine ? undefined : 'record_overflow', `${role} ${length}`);
        stage.victim.forget();
      }
    }
  });

  test('of a client alone that says nothing, the server says nothing', () => {
    const link = world.connect12('ticket', {}, { recordSizeLimit: 64 });
    link.client.take(link.client.connection.send(new Uint8Array(5000)));
    link.deliver();
    link.server.assertFine();
    link.forget();
  });
});

describe('alerts', () => {
  test('a warning does not end the handshake or the connection; 32 in a row with nothing between them do', () => {
    for (const state of ['ExpectServerCertificate12', 'Connected']) {
      const stage = stage12(world, 'client', state);
      // unrecognized_name
      const warn = () => stage.victim.receive(stage.puppet.record(CONTENT_ALERT, new Uint8Array([WARNING, 112])));
      for (let i = 0; i < MAX_EMPTY_RECORDS; i++) {
        warn();
      }
      stage.victim.assertFine(state);
      warn();
      assert.equal(stage.victim.error?.code, 'TLS_ERR_EMPTY_RECORDS', state);
      stage.victim.forget();
    }
  });

  test('a fatal one ends it, as its sender meant it', () => {
    for (const state of ['ExpectServerCertificate12', 'Connected']) {
      const stage = stage12(world, 'client', state);
      stage.victim.receive(stage.puppet.record(CONTENT_ALERT, new Uint8Array([FATAL, 40])));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_ALERT_RECEIVED');
      assert.equal(stage.victim.error?.alert, 'handshake_failure');
      stage.victim.forget();
    }
  });

  test('one of another length, empty, or in the middle of a message is refused', () => {
    for (const content of [[], [FATAL], [FATAL, 40, 0], [WARNING, 0, WARNING, 0]]) {
      const stage = stage12(world, 'client', 'Connected');
      stage.victim.receive(stage.puppet.record(CONTENT_ALERT, new Uint8Array(content)));
      assert.equal(stage.victim.error?.blame, 'peer', String(content));
      stage.victim.forget();
    }
    const stage = stage12(world, 'client', 'ExpectServerCertificate12');
    stage.victim.receive(stage.puppet.handshake(new Uint8Array([11, 0, 0, 9])));
    stage.victim.receive(stage.puppet.record(CONTENT_ALERT, new Uint8Array([WARNING, 112])));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    stage.victim.forget();
  });

  test('closure during the handshake is a truncation, for nothing was authenticated yet', () => {
    const stage = stage12(world, 'client', 'ExpectFinished12');
    stage.victim.receive(stage.puppet.record(CONTENT_ALERT, new Uint8Array([WARNING, 0])));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_TRUNCATED');
    stage.victim.forget();
  });
});

describe('records after the handshake', () => {
  for (const role of ['client', 'server'] as const) {
    test(`a ${role} refuses one that is replayed, dropped, reordered, of another type, or reflected`, () => {
      const seal = (stage: ReturnType<typeof stage12>, byte: number) =>
        stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array([byte]));
      const attacks: Record<string, (stage: ReturnType<typeof stage12>) => readonly Uint8Array[]> = {
        replayed: (stage) => {
          const record = seal(stage, 1);
          return [record, record];
        },
        dropped: (stage) => [seal(stage, 1), seal(stage, 2)].slice(1),
        reordered: (stage) => [seal(stage, 1), seal(stage, 2)].reverse(),
        retyped: (stage) => [seal(stage, 1).map((byte, i) => (i === 0 ? CONTENT_ALERT : byte))],
        'of another version': (stage) => [seal(stage, 1).map((byte, i) => (i === 2 ? 1 : byte))],
        reflected: (stage) => {
          stage.victim.take(stage.victim.connection.send(new Uint8Array([1])));
          const sent = stage.victim.flush();
          stage.puppet.read(sent);
          return [sent];
        },
      };
      for (const [name, attack] of Object.entries(attacks)) {
        const stage = stage12(world, role, 'Connected');
        for (const record of attack(stage)) {
          stage.victim.receive(record);
        }
        assert.equal(stage.victim.error?.code, 'TLS_ERR_BAD_RECORD_MAC', name);
        assert(stage.victim.data.length <= 1, name);
        stage.puppet.read(stage.victim.flush());
        assert.deepEqual(stage.puppet.alerts, ['bad_record_mac under keys'], name);
        stage.victim.forget();
      }
    });

    test(`a ${role} takes any explicit nonce that its peer chooses`, () => {
      const stage = stage12(world, role, 'Connected');
      for (const explicit of [0n, 2n ** 64n - 1n, 1n, 1n]) {
        stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array([7]), { explicit }));
      }
      stage.victim.assertFine();
      assert.equal(stage.victim.data.length, 4);
      stage.victim.forget();
    });

    test(`a ${role} sends explicit nonces that count up, so that none comes twice`, () => {
      const stage = stage12(world, role, 'Connected');
      for (let i = 0; i < 5; i++) {
        stage.victim.take(stage.victim.connection.send(new Uint8Array([i])));
      }
      const nonces = recordsOf(stage.victim.flush()).map((record) => Buffer.from(record).readBigUInt64BE(5));
      assert.deepEqual(nonces, [1n, 2n, 3n, 4n, 5n]);
      stage.victim.forget();
    });

    test(`a ${role} reads empty application data, but not without end`, () => {
      const stage = stage12(world, role, 'Connected');
      for (let i = 0; i < MAX_EMPTY_RECORDS; i++) {
        stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(0)));
      }
      stage.victim.assertFine();
      stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(0)));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_EMPTY_RECORDS');
      stage.victim.forget();
    });

    test(`a ${role} refuses every message of a handshake that is over`, () => {
      for (const name of [
        'server_hello',
        'certificate',
        'client_key_exchange',
        'new_session_ticket',
        'finished',
        'key_update',
      ] as const) {
        const stage = stage12(world, role, 'Connected');
        stage.victim.receive(stage.puppet.handshake(frame(name, new Uint8Array(1))));
        assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE', name);
        stage.victim.forget();
      }
    });
  }
});
