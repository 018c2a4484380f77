/** Warnings before the version is known, and where the count of records that carry nothing begins. RFC 6066 §3, RFC 9846 §6. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { ProtocolVersion } from '../../src/connection-options.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, MAX_EMPTY_RECORDS } from '../../src/record/limits.ts';
import { World } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { clientIn, strike } from '../support/stages.ts';

const world = new World();
after(() => world.close());

const UNRECOGNIZED_NAME = 112;
const warning = plaintext(CONTENT_ALERT, Uint8Array.of(1, UNRECOGNIZED_NAME));
const changeCipherSpec = plaintext(20, Uint8Array.of(1));
const both: readonly ProtocolVersion[] = ['TLSv1.3', 'TLSv1.2'];

describe('a warning before ServerHello', () => {
  for (const versions of [both, ['TLSv1.2']] as const) {
    it(`is passed over by a client that offers ${versions.join(' and ')}`, () => {
      const link = world.pair({ versions }, { versions: both });
      link.client.start().receive(warning).assertFine();
      link.deliver();
      assert(link.client.summary !== undefined);
      link.client.forget();
      link.server.forget();
    });
  }

  it('is an error for a client of TLS 1.3 alone', () => {
    const client = world.client().start().receive(warning);
    assert.equal(client.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    assert.equal(client.error?.alert, 'unrecognized_name');
    client.forget();
  });

  it('is an error once the level is fatal', () => {
    const fatal = plaintext(CONTENT_ALERT, Uint8Array.of(2, UNRECOGNIZED_NAME));
    const client = world.client({ versions: both }).start().receive(fatal);
    assert.equal(client.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    client.forget();
  });

  it('is an error after a HelloRetryRequest, which is of TLS 1.3', () => {
    const stage = clientIn(world, 'ExpectServerHelloAfterRetry', { client: { versions: both } });
    stage.victim.receive(warning);
    assert.equal(stage.victim.error?.code, 'TLS_ERR_ALERT_RECEIVED');
    strike(stage);
  });

  it('comes 32 times at most', () => {
    const client = world.client({ versions: both }).start();
    for (let i = 0; i < MAX_EMPTY_RECORDS; i++) {
      client.receive(warning);
    }
    client.assertFine().receive(warning);
    assert.equal(client.error?.code, 'TLS_ERR_EMPTY_RECORDS');
    client.forget();
  });
});

describe('records that carry nothing', () => {
  it('are counted anew after the handshake: its change_cipher_spec is not the first of them', () => {
    // Without tickets: a puppet takes over that must know how many records there were.
    const { tickets: _, ...context } = world.context;
    const link = world.pair({}, { context });
    let changes = 0;
    link.toClient = (bytes) => {
      changes += includes(bytes, changeCipherSpec) ? 1 : 0;
      return bytes;
    };
    link.run();
    assert.equal(changes, 1);
    assert(link.client.summary !== undefined);
    const victim = link.client;
    const puppet = new Puppet(link.server.keyLog).writeWith('SERVER_TRAFFIC_SECRET_0');
    for (let i = 0; i < MAX_EMPTY_RECORDS; i++) {
      victim.receive(puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(0)));
    }
    victim.assertFine().receive(puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(0)));
    assert.equal(victim.error?.code, 'TLS_ERR_EMPTY_RECORDS');
    strike({ victim, puppet });
    link.server.forget();
  });
});

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  return Buffer.from(bytes).includes(Buffer.from(part));
}
