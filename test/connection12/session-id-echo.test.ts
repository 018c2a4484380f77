/** A server gives back the session ID that it got, as long as it was and no longer: Ticketbleed (CVE-2016-9244). */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { plaintext } from '../support/puppet.ts';
import { messagesOf } from '../support/puppet12.ts';
import { ONLY12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
after(() => world.close());

describe('the session ID in a ServerHello', () => {
  it('of TLS 1.2 is the one that came beside the ticket, of whatever length', () => {
    const session = world.session12('ticket');
    for (let length = 1; length <= 32; length++) {
      const sessionId = new Uint8Array(length).fill(length);
      // That it comes back says that the ticket is taken (RFC 5077 §3.4).
      assert.deepEqual(answerTo(sessionId, { versions: ONLY12, session }), sessionId);
    }
    session.secret.erase();
  });

  it('of TLS 1.3 is the one that came, of whatever length', () => {
    for (let length = 0; length <= 32; length++) {
      const sessionId = new Uint8Array(length).fill(length);
      assert.deepEqual(answerTo(sessionId, {}), sessionId);
    }
  });
});

/** The session ID of the ServerHello that answers a hello with this one. */
function answerTo(
  legacySessionId: Uint8Array,
  options: { readonly versions?: typeof ONLY12; readonly session?: ClientSession },
): Uint8Array {
  const client = world.client(options).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  const server = world.server(options.versions === undefined ? {} : { versions: options.versions });
  server.receive(plaintext(22, encodeClientHello({ ...hello, legacySessionId }))).assertFine();
  const flight = server.flush();
  const first = messagesOf(flight.subarray(5, 5 + ((flight[3] << 8) | flight[4])))[0];
  const { legacySessionIdEcho } = decodeServerHello(first.raw.subarray(4));
  client.forget();
  server.forget();
  return new Uint8Array(legacySessionIdEcho);
}
