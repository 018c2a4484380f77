/** Peers that break the rules of early data, each way. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat, EMPTY } from '../../src/bytes/bytes.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import type { ClientState } from '../../src/handshake/transitions.ts';
import { decodeEncryptedExtensions, encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { encodeEndOfEarlyData } from '../../src/messages/end-of-early-data.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import { encodeKeyUpdate } from '../../src/messages/key-update.ts';
import { type Endpoint, World } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { recordsOf } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { allowingEarlyData, type Stage, serverIn, strike } from '../support/stages.ts';
import { EarlyWorld, earlyDataOf, MAX, PING, rejectedOf } from './support.ts';

const watch = new SecretWatch();
let world = new EarlyWorld();
beforeEach(() => {
  world.close();
  watch.clear();
  world = new EarlyWorld();
});
after(() => {
  watch.stop();
  world.close();
});

const EARLY = 'CLIENT_EARLY_TRAFFIC_SECRET';
const HANDSHAKE = 'CLIENT_HANDSHAKE_TRAFFIC_SECRET';
const APPLICATION = 'CLIENT_TRAFFIC_SECRET_0';
const DATA = 23;
const END = encodeEndOfEarlyData();

/** A server that has taken early data, with a puppet that holds the client's keys. */
function taking(): Stage {
  return serverIn(new World(), 'ExpectEndOfEarlyData');
}

function finished(stage: Stage): Uint8Array {
  const raw = stage.flight.get('finished');
  assert(raw !== undefined);
  return raw;
}

function assertFails(stage: Stage, code: string, alert: string): void {
  assert.equal(stage.victim.error?.code, code, stage.victim.error?.message);
  stage.puppet.read(stage.victim.flush());
  assert.deepEqual(stage.puppet.alerts, [`${alert} under SERVER_TRAFFIC_SECRET_0`]);
  assert.equal(stage.victim.summary, undefined);
  strike(stage);
}

describe('a server that takes early data', () => {
  test('reads it up to EndOfEarlyData and then the Finished', () => {
    const stage = taking();
    const { victim, puppet } = stage;
    victim.receive(puppet.record(DATA, PING));
    victim.receive(puppet.handshake(END));
    victim.receive(puppet.writeWith(HANDSHAKE).handshake(finished(stage)));
    victim.receive(puppet.writeWith(APPLICATION).record(DATA, PING));
    victim.assertFine();
    assert.equal(earlyDataOf(victim), Buffer.from(PING).toString());
    assert.deepEqual(victim.data, PING);
    strike(stage);
  });

  test('refuses a record with any byte changed', () => {
    for (const at of [0, 5, 10, -1]) {
      const stage = taking();
      const record = stage.puppet.record(DATA, PING);
      record[at < 0 ? record.length + at : 5 + at] ^= 1;
      stage.victim.receive(record);
      assert.equal(earlyDataOf(stage.victim), '');
      assertFails(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac');
    }
  });

  test('refuses records that are repeated, left out or in another order', () => {
    for (const pick of [[0, 0], [1], [1, 0]]) {
      const stage = taking();
      const records = [stage.puppet.record(DATA, PING), stage.puppet.record(DATA, PING)];
      stage.victim.receive(concat(...pick.map((i) => records[i])));
      assertFails(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac');
    }
  });

  test('takes what the ticket allows to the last byte, and not one more', () => {
    for (const [sizes, passes] of [
      [[4096], true],
      [[4095, 1], true],
      [[4097], false],
      [[4096, 1], false],
      [Array.from({ length: 4097 }, () => 1), false],
    ] as const) {
      const stage = taking();
      const { victim, puppet } = stage;
      for (const size of sizes) {
        if (!victim.over) {
          victim.receive(puppet.record(DATA, new Uint8Array(size)));
        }
      }
      if (passes) {
        victim.assertFine();
        assert.equal(earlyDataOf(victim).length, 4096);
        strike(stage);
      } else {
        assert(earlyDataOf(victim).length <= 4096);
        assertFails(stage, 'TLS_ERR_TOO_MUCH_EARLY_DATA', 'unexpected_message');
      }
    }
  });

  test('does not count padding, but neither takes empty records without end', () => {
    const stage = taking();
    stage.victim.receive(stage.puppet.record(DATA, new Uint8Array(10), 16_000));
    stage.victim.receive(stage.puppet.record(DATA, new Uint8Array(4086), 1_000));
    stage.victim.assertFine();
    strike(stage);
    const empty = taking();
    for (let i = 0; i < 33; i++) {
      empty.victim.receive(empty.puppet.record(DATA, EMPTY));
    }
    assertFails(empty, 'TLS_ERR_EMPTY_RECORDS', 'unexpected_message');
  });

  test('refuses a Finished without EndOfEarlyData, under either key', () => {
    for (const key of [EARLY, HANDSHAKE]) {
      const stage = taking();
      stage.victim.receive(stage.puppet.writeWith(key).handshake(finished(stage)));
      if (key === EARLY) {
        assertFails(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message');
      } else {
        assertFails(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac');
      }
    }
  });

  test('refuses early data after EndOfEarlyData, under either key', () => {
    for (const key of [EARLY, HANDSHAKE]) {
      const stage = taking();
      stage.victim.receive(stage.puppet.handshake(END));
      stage.victim.receive((key === EARLY ? stage.puppet : stage.puppet.writeWith(key)).record(DATA, PING));
      assert.equal(earlyDataOf(stage.victim), '');
      assert.equal(stage.victim.data.length, 0);
      if (key === EARLY) {
        assertFails(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac');
      } else {
        assertFails(stage, 'TLS_ERR_RECORD_TYPE', 'unexpected_message');
      }
    }
  });

  test('refuses EndOfEarlyData twice, under a later key, with a body, and with bytes behind it', () => {
    const twice = taking();
    twice.victim.receive(twice.puppet.handshake(END));
    twice.victim.receive(twice.puppet.writeWith(HANDSHAKE).handshake(END));
    assertFails(twice, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message');

    const late = taking();
    late.victim.receive(late.puppet.handshake(END));
    late.victim.receive(late.puppet.writeWith(HANDSHAKE).handshake(finished(late)));
    late.victim.receive(late.puppet.writeWith(APPLICATION).handshake(END));
    assert.equal(late.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(late);

    const body = taking();
    body.victim.receive(
      body.puppet.handshake(
        frame('end_of_early_data', EMPTY).map((byte, at) => (at === 3 ? 1 : byte)),
        new Uint8Array(1),
      ),
    );
    assertFails(body, 'TLS_ERR_MESSAGE_TOO_LONG', 'decode_error');

    const behind = taking();
    behind.victim.receive(behind.puppet.handshake(END, finished(behind)));
    assertFails(behind, 'TLS_ERR_RECORD_BOUNDARY', 'unexpected_message');
  });

  test('takes EndOfEarlyData in pieces, but nothing between them', () => {
    const stage = taking();
    stage.victim.receive(stage.puppet.handshake(END.subarray(0, 1)));
    stage.victim.receive(stage.puppet.handshake(END.subarray(1)));
    stage.victim.receive(stage.puppet.writeWith(HANDSHAKE).handshake(finished(stage)));
    stage.victim.assertFine();
    strike(stage);
    const broken = taking();
    broken.victim.receive(broken.puppet.handshake(END.subarray(0, 1)));
    broken.victim.receive(broken.puppet.record(DATA, PING));
    assert.equal(earlyDataOf(broken.victim), '');
    assertFails(broken, 'TLS_ERR_RECORD_TYPE', 'unexpected_message');
  });

  test('refuses KeyUpdate and all that is for later', () => {
    const stage = taking();
    stage.victim.receive(stage.puppet.handshake(encodeKeyUpdate({ updateRequested: true })));
    assertFails(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('refuses plaintext, but hears an alert in the clear or under the early key', () => {
    const clear = taking();
    clear.victim.receive(plaintext(22, END));
    assertFails(clear, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message');
    for (const say of [
      () => plaintext(21, new Uint8Array([2, 47])),
      (stage: Stage) => stage.puppet.record(21, new Uint8Array([2, 47])),
    ]) {
      const stage = taking();
      stage.victim.receive(say(stage));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_ALERT_RECEIVED');
      strike(stage);
    }
  });

  test('takes a Finished that does not cover EndOfEarlyData for a forgery', () => {
    const stage = taking();
    stage.victim.receive(stage.puppet.handshake(END));
    const forged = new Uint8Array(finished(stage));
    forged[20] ^= 1;
    stage.victim.receive(stage.puppet.writeWith(HANDSHAKE).handshake(forged));
    assertFails(stage, 'TLS_ERR_BAD_FINISHED', 'decrypt_error');
  });

  test('fails when the client ends in the middle of it', () => {
    const stage = taking();
    stage.victim.receive(stage.puppet.record(DATA, PING));
    stage.victim.receive(stage.puppet.record(21, new Uint8Array([1, 0])));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_TRUNCATED');
    assert.equal(earlyDataOf(stage.victim), Buffer.from(PING).toString());
    strike(stage);
  });
});

describe('a server that refused early data', () => {
  test('refuses an EndOfEarlyData under the handshake key', () => {
    const link = world.early({ server: world.with(undefined) });
    link.server.receive(link.client.flush());
    const puppet = new Puppet(link.server.keyLog).writeWith(HANDSHAKE);
    link.server.receive(puppet.handshake(END));
    assert.equal(link.server.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    puppet.erase();
    link.forget();
  });

  test('skips nothing once a record has opened', () => {
    const link = world.early({ server: world.with(undefined) });
    const [hello, ccs, early] = recordsOf(link.client.flush());
    link.server.receive(concat(hello, ccs, early));
    link.client.receive(link.server.flush());
    const [first] = recordsOf(link.client.flush());
    link.server.receive(first);
    link.server.assertFine();
    assert(link.server.summary !== undefined);
    link.server.receive(early);
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    link.forget();
  });

  test('skips none for a client that offered none', () => {
    const link = world.pair({ session: world.session() });
    link.server.receive(link.client.start().flush());
    link.server.receive(plaintext(23, new Uint8Array(100)));
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    link.forget();
  });

  test('after a HelloRetryRequest refuses a second hello that offers it again', () => {
    const link = world.early({
      client: { namedGroups: ['x25519', 'secp256r1'], keyShares: ['x25519'] },
      server: { namedGroups: ['secp256r1'] },
    });
    const bytes = link.client.flush();
    link.server.receive(bytes);
    link.server.flush();
    link.server.receive(recordsOf(bytes)[0]);
    assert.equal(link.server.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    link.forget();
  });

  test('after a HelloRetryRequest does not skip for ever', () => {
    const link = world.early({
      client: { namedGroups: ['x25519', 'secp256r1'], keyShares: ['x25519'] },
      server: { namedGroups: ['secp256r1'] },
    });
    link.server.receive(link.client.flush());
    for (let i = 0; i < 5 && !link.server.over; i++) {
      link.server.receive(plaintext(23, new Uint8Array(16_000)));
    }
    assert.equal(link.server.error?.code, 'TLS_ERR_RECORD_TYPE');
    link.forget();
  });

  test('takes no early data before a hello', () => {
    const server = world.server().receive(plaintext(23, new Uint8Array(100)));
    assert.equal(server.error?.code, 'TLS_ERR_RECORD_TYPE');
    server.forget();
  });
});

interface Script {
  /** Changes EncryptedExtensions. */
  readonly extensions: (extensions: ReturnType<typeof decodeEncryptedExtensions>['extensions']) => object;
  readonly client?: object;
  readonly server?: object;
  /** The server never heard of early data. */
  readonly dumb?: boolean;
}

/** A client with early data under way, whose server says something else in EncryptedExtensions. */
function faced({ extensions, client = {}, server = {}, dumb = false }: Script): {
  victim: Endpoint;
  /** What the client says under its key for early data. */
  alerts: () => string[];
  done: () => void;
} {
  const data = 'session' in client ? EMPTY : PING;
  const link = world.early({ client, data, server: { ...(dumb ? world.with(undefined) : {}), ...server } });
  const first = link.client.flush();
  link.server.receive(first);
  const suite =
    cipherSuites[(server as { cipherSuites?: CipherSuiteName[] }).cipherSuites?.[0] ?? 'TLS_AES_128_GCM_SHA256'];
  const ears = new Puppet(link.server.keyLog, suite);
  ears.read(link.server.flush(), {
    afterServerHello: 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
    afterFinished: 'SERVER_TRAFFIC_SECRET_0',
  });
  const puppet = new Puppet(link.server.keyLog, suite);
  const victim = link.client;
  victim.receive(puppet.handshake(ears.message('server_hello')));
  puppet.writeWith('SERVER_HANDSHAKE_TRAFFIC_SECRET');
  const genuine = decodeEncryptedExtensions(ears.message('encrypted_extensions').subarray(4)).extensions;
  victim.receive(puppet.handshake(encodeEncryptedExtensions({ extensions: { ...genuine, ...extensions(genuine) } })));
  return {
    victim,
    alerts: () => {
      const early = new Puppet(victim.keyLog).readWith(EARLY);
      early.read(concat(recordsOf(first)[2], victim.flush()));
      early.erase();
      return early.alerts;
    },
    done: () => {
      ears.erase();
      puppet.erase();
      link.forget();
    },
  };
}

describe('a client that sent early data', () => {
  test('takes the answer of an honest server', () => {
    const { victim, done } = faced({ extensions: () => ({}) });
    victim.assertFine();
    assert.equal(victim.connection.state satisfies ClientState | string, 'ExpectFinished');
    done();
  });

  for (const [what, script, code, alert] of [
    [
      'with another application protocol',
      { extensions: () => ({ alpnProtocol: 'http/1.1' }), client: { alpnProtocols: ['h2', 'http/1.1'] } },
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
    [
      'with none',
      { extensions: () => ({ alpnProtocol: undefined }) },
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
    [
      'under another suite',
      {
        extensions: () => ({ earlyData: true }),
        client: { cipherSuites: ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'] },
        server: { cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] },
      },
      'TLS_ERR_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
  ] as const) {
    test(`does not let the server take it ${what}`, () => {
      const { victim, alerts, done } = faced(script as unknown as Script);
      assert.equal(victim.error?.code, code, victim.error?.message);
      assert.deepEqual(alerts(), [`${alert} under ${EARLY}`]);
      done();
    });
  }

  test('does not let the server take it in a full handshake', () => {
    const session = world.session();
    world.keys.flush();
    const link = world.early({ session });
    link.server.receive(link.client.flush());
    const ears = new Puppet(link.server.keyLog);
    ears.read(link.server.flush(), {
      afterServerHello: 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      afterFinished: 'SERVER_TRAFFIC_SECRET_0',
    });
    const puppet = new Puppet(link.server.keyLog);
    link.client.receive(puppet.handshake(ears.message('server_hello')));
    assert.deepEqual(rejectedOf(link.client), [Buffer.from(PING).toString()], 'known from ServerHello on');
    puppet.writeWith('SERVER_HANDSHAKE_TRAFFIC_SECRET');
    link.client.receive(
      puppet.handshake(encodeEncryptedExtensions({ extensions: { alpnProtocol: 'h2', earlyData: true } })),
    );
    assert.equal(link.client.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    ears.erase();
    puppet.erase();
    link.forget();
  });

  test('and one that did not refuses an early_data that nobody asked for', () => {
    const plain = faced({
      extensions: () => ({ earlyData: true }),
      client: { earlyData: false, session: undefined },
      dumb: true,
    });
    assert.equal(plain.victim.error?.code, 'TLS_ERR_UNSUPPORTED_EXTENSION');
    plain.done();
  });

  test('sends its alerts under the early key until it has others', () => {
    const link = world.early();
    link.server.receive(link.client.flush());
    link.client.receive(plaintext(22, new Uint8Array([2, 0, 0, 2, 3, 3])));
    assert.equal(link.client.error?.code, 'TLS_ERR_DECODE');
    link.server.receive(link.client.flush());
    assert.equal(link.server.error?.code, 'TLS_ERR_ALERT_RECEIVED', link.server.error?.message);
    assert.equal(link.server.error?.alert, 'decode_error');
    link.forget();
  });

  test('may give up in the middle of it', () => {
    const link = world.early();
    link.server.receive(link.client.flush());
    link.client.take(link.client.connection.abort('internal_error'));
    link.server.receive(link.client.flush());
    assert.equal(link.server.over, true);
    link.forget();
  });
});

test('a world that allows early data does so for the stages of other tests too', () => {
  const other = new World();
  assert.equal(allowingEarlyData(other).tickets?.earlyData?.maxEarlyDataSize, MAX);
  other.close();
});
