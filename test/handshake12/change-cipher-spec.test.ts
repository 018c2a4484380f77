import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { clientTransitions, serverTransitions } from '../../src/handshake/transitions.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import {
  CONTENT_ALERT,
  CONTENT_APPLICATION_DATA,
  CONTENT_CHANGE_CIPHER_SPEC,
  CONTENT_HANDSHAKE,
} from '../../src/record/limits.ts';
import { plaintext } from '../support/puppet.ts';
import { CCS } from '../support/puppet12.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, type Stage12, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const expecting = 'ExpectChangeCipherSpec12';
/** A state that waits for the host keeps what comes for the state after it. */
const states = {
  client: Object.keys(clientTransitions).filter((state) => state.endsWith('12')),
  server: [...Object.keys(serverTransitions).filter((state) => state.endsWith('12')), 'AwaitContext'],
};

function isOver({ victim, puppet, alertsUnder }: Stage12, code: string, alert: string, what: string): void {
  const waited = victim.need !== undefined;
  if (waited) {
    victim.answer();
  }
  assert.equal(victim.error?.code, code, `${what}: ${victim.error?.message}`);
  assert.equal(victim.summary, undefined, what);
  puppet.read(victim.flush());
  // What it said after the answer may have changed its keys.
  assert.deepEqual(puppet.alerts, [`${alert} under ${waited ? puppet.reads : alertsUnder}`], what);
  victim.forget();
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

for (const role of ['client', 'server'] as const) {
  describe(`an early ChangeCipherSpec (CVE-2014-0224) at a ${role}`, () => {
    for (const state of states[role].filter((name) => name !== expecting)) {
      // The client's own certificate makes its state after the answer one that expects a ticket.
      test(`is refused in ${state} with unexpected_message`, () => {
        watch.clear();
        const stage = stage12(world, role, state);
        stage.victim.receive(stage.puppet.record(CONTENT_CHANGE_CIPHER_SPEC, CCS));
        isOver(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', state);
      });
    }

    test('is refused with the Finished that an attacker makes from an empty master secret behind it', () => {
      const state = role === 'client' ? 'ExpectServerCertificate12' : 'ExpectClientKeyExchange12';
      const stage = stage12(world, role, state);
      stage.victim.receive(concat(plaintext(20, CCS), plaintext(22, frame('finished', new Uint8Array(12)))));
      isOver(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', state);
    });
  });

  describe(`change_cipher_spec at a ${role}`, () => {
    test('that is doubled is refused, also where the second comes under the new key', () => {
      for (const protect of [false, true]) {
        const stage = stage12(world, role, 'ExpectFinished12');
        const second = protect ? stage.puppet.record(CONTENT_CHANGE_CIPHER_SPEC, CCS) : plaintext(20, CCS);
        stage.victim.receive(second);
        const code = protect ? 'TLS_ERR_UNEXPECTED_MESSAGE' : 'TLS_ERR_BAD_RECORD_MAC';
        isOver(stage, code, protect ? 'unexpected_message' : 'bad_record_mac', `protected: ${protect}`);
      }
    });

    test('that is missing: a Finished in the clear is refused', () => {
      const stage = stage12(world, role, expecting);
      stage.victim.receive(stage.puppet.handshake(frame('finished', new Uint8Array(12))));
      isOver(stage, 'TLS_ERR_UNEXPECTED_MESSAGE', 'unexpected_message', 'Finished');
    });

    test('that is missing: a Finished under the new key is refused', () => {
      const stage = stage12(world, role, expecting);
      stage.puppet.protectWrite();
      stage.victim.receive(stage.puppet.handshake(frame('finished', new Uint8Array(12))));
      assert.equal(stage.victim.error?.blame, 'peer');
      stage.victim.forget();
    });

    test('that is protected before there is a key is refused', () => {
      const stage = stage12(world, role, expecting);
      stage.puppet.protectWrite();
      stage.victim.receive(stage.puppet.record(CONTENT_CHANGE_CIPHER_SPEC, CCS));
      isOver(stage, 'TLS_ERR_DECODE', 'decode_error', 'protected');
    });

    test('with handshake bytes before it that are no whole message is refused: they would change keys midway', () => {
      const stage = stage12(world, role, expecting);
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([20, 0, 0])));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE', 'already by its first byte');
      stage.victim.forget();
    });

    test('in the middle of the message before it is refused', () => {
      const state = role === 'client' ? 'ExpectTicket12' : 'ExpectClientKeyExchange12';
      const type = role === 'client' ? 4 : 16;
      const stage = stage12(world, role, state);
      stage.victim.receive(stage.puppet.handshake(new Uint8Array([type, 0, 0, 40, 1, 2, 3])));
      stage.victim.receive(plaintext(20, CCS));
      isOver(stage, 'TLS_ERR_RECORD_BOUNDARY', 'unexpected_message', state);
    });

    test('that is not the single byte 1 is refused with decode_error', () => {
      for (const content of [[], [0], [2], [1, 1], [1, 0]]) {
        const stage = stage12(world, role, expecting);
        stage.victim.receive(stage.puppet.record(CONTENT_CHANGE_CIPHER_SPEC, new Uint8Array(content)));
        isOver(stage, 'TLS_ERR_DECODE', 'decode_error', String(content));
      }
    });

    test('after the handshake is refused', () => {
      const stage = stage12(world, role, 'Connected');
      stage.victim.receive(stage.puppet.record(CONTENT_CHANGE_CIPHER_SPEC, CCS));
      assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
      stage.victim.forget();
    });
  });

  describe(`records of other kinds at a ${role} before its peer's Finished`, () => {
    for (const state of states[role]) {
      test(`application data in ${state} is refused with unexpected_message`, () => {
        watch.clear();
        const stage = stage12(world, role, state);
        stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(5)));
        isOver(stage, 'TLS_ERR_RECORD_TYPE', 'unexpected_message', state);
      });
    }

    test('an alert in the clear after change_cipher_spec is not authentic', () => {
      const stage = stage12(world, role, 'ExpectFinished12');
      stage.victim.receive(plaintext(CONTENT_ALERT, new Uint8Array([1, 0])));
      isOver(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac', 'close_notify');
    });

    test('a handshake message in the clear after change_cipher_spec is not authentic', () => {
      const stage = stage12(world, role, 'ExpectFinished12');
      stage.victim.receive(plaintext(CONTENT_HANDSHAKE, frame('finished', new Uint8Array(12))));
      isOver(stage, 'TLS_ERR_BAD_RECORD_MAC', 'bad_record_mac', 'finished');
    });
  });
}

describe('change_cipher_spec before the version is known', () => {
  test('a client that offers TLS 1.2 alone refuses one before ServerHello', () => {
    const client = world.client({ versions: ['TLSv1.2'] }).start();
    client.receive(plaintext(20, CCS));
    assert.equal(client.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    client.forget();
  });

  test('one that a client of both versions ignored before ServerHello changes no keys of TLS 1.2', () => {
    const link = world.pair({ versions: BOTH }, { versions: ['TLSv1.2'] });
    let first = true;
    link.toClient = (bytes) => {
      const early = first && bytes.length > 0;
      first = !early && first;
      return early ? concat(plaintext(20, CCS), bytes) : bytes;
    };
    link.run().assertComplete();
    link.forget();
  });

  test('a server refuses one before ClientHello', () => {
    const server = world.server({ versions: BOTH });
    server.receive(plaintext(20, CCS));
    assert.equal(server.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    server.forget();
  });
});

describe('HelloRequest while a client negotiates already', () => {
  test('is ignored in every state, whole or in pieces, and covered by no transcript', () => {
    const request = frame('hello_request', new Uint8Array(0));
    for (const pieces of [[request], [request.subarray(0, 1), request.subarray(1)], [concat(request, request)]]) {
      const link = world.pair12('ticket');
      let done = false;
      link.toClient = (bytes) => {
        if (bytes.length === 0 || done) {
          return bytes;
        }
        done = true;
        // After the ServerHello, which is a record of its own in this cut.
        const length = 4 + ((bytes[6] << 16) | (bytes[7] << 8) | bytes[8]);
        const record = bytes.subarray(5, 5 + ((bytes[3] << 8) | bytes[4]));
        return concat(
          plaintext(22, record.subarray(0, length)),
          ...pieces.map((piece) => plaintext(22, piece)),
          plaintext(22, record.subarray(length)),
          bytes.subarray(5 + record.length),
        );
      };
      link.run().assertComplete();
      link.forget();
    }
  });

  test('is refused with a body, and when it comes without end', () => {
    const withBody = stage12(world, 'client', 'ExpectServerCertificate12');
    withBody.victim.receive(withBody.puppet.handshake(new Uint8Array([0, 0, 0, 1, 0])));
    assert.equal(withBody.victim.error?.alert, 'decode_error');
    const flood = stage12(world, 'client', 'ExpectServerCertificate12');
    for (let i = 0; i < 40 && flood.victim.error === undefined; i++) {
      flood.victim.receive(flood.puppet.handshake(frame('hello_request', new Uint8Array(0))));
    }
    assert.equal(flood.victim.error?.code, 'TLS_ERR_EMPTY_RECORDS');
    withBody.victim.forget();
    flood.victim.forget();
  });

  test('is refused by a server', () => {
    const stage = stage12(world, 'server', 'ExpectClientKeyExchange12');
    stage.victim.receive(stage.puppet.handshake(frame('hello_request', new Uint8Array(0))));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    stage.victim.forget();
  });
});
