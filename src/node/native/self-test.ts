/**
 * Whether OpenSSL's ticket callback works in this Node: two handshakes over memory, the second of which must resume by a
 * ticket that the callback sealed and opened. Run once per process, as the callback is not documented.
 */

import { Duplex } from 'node:stream';
import * as nodeTls from 'node:tls';
import { createDevelopmentCa } from '../../certificates/development-ca.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { LocalTicketKeys } from '../../session/local-ticket-keys.ts';
import { systemClock } from '../clock.ts';
import {
  installTicketCallback,
  type NativeContext,
  supportsTicketCallback,
  type TicketCounts,
} from './ticket-callback.ts';
import { OpenSslTicketKeys } from './ticket-keys.ts';

let result: Promise<string | undefined> | undefined;

/** Undefined when all is well, else what went wrong, in one sentence. Never rejected. */
export function testTicketCallback(): Promise<string | undefined> {
  result ??= run().catch((error: unknown) => `the self-test failed: ${error instanceof Error ? error.message : error}`);
  return result;
}

async function run(): Promise<string | undefined> {
  const { certificatePem, privateKeyPem } = createDevelopmentCa({ now: Date.now(), commonName: 'self-test' });
  const secureContext = nodeTls.createSecureContext({ cert: certificatePem, key: privateKeyPem });
  const { context } = secureContext as unknown as { context: NativeContext };
  if (!supportsTicketCallback(context)) {
    return 'this Node has no ticket key callback';
  }
  const ring = new LocalTicketKeys({ provider: nodeProvider, clock: systemClock });
  const keys = new OpenSslTicketKeys({ keys: ring, clock: systemClock, tls13Only: false });
  const counts: TicketCounts = { sealed: 0, opened: 0, unknownKey: 0, withoutKey: 0 };
  try {
    installTicketCallback(context, keys, counts);
    const first = await handshake(secureContext, undefined);
    if (counts.sealed === 0 || first.session === undefined) {
      return 'its ticket key callback was not asked for a key';
    }
    const second = await handshake(secureContext, first.session);
    return second.reused && counts.opened > 0 ? undefined : 'a ticket that its callback sealed was not taken back';
  } finally {
    keys.close();
    ring.close();
  }
}

function handshake(
  secureContext: nodeTls.SecureContext,
  session: Buffer | undefined,
): Promise<{ session: Buffer | undefined; reused: boolean }> {
  return new Promise((resolve, reject) => {
    const [left, right] = pipe();
    const server = new nodeTls.TLSSocket(left, { isServer: true, secureContext });
    // Both ends are ours and nothing leaves the process: there is nobody to be authenticated.
    const client = nodeTls.connect({ socket: right, session, rejectUnauthorized: false });
    const timer = setTimeout(() => end(new Error('no session came within five seconds')), 5_000);
    const end = (outcome: Error | { session: Buffer | undefined; reused: boolean }) => {
      clearTimeout(timer);
      client.destroy();
      server.destroy();
      if (outcome instanceof Error) {
        reject(outcome);
      } else {
        resolve(outcome);
      }
    };
    client.once('session', (made: Buffer) => end({ session: made, reused: client.isSessionReused() }));
    client.once('error', end);
    server.once('error', end);
  });
}

/** Two streams, each of which reads what is written to the other. */
function pipe(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  for (const other of [1, 0]) {
    ends.push(
      new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          ends[other].push(chunk);
          done();
        },
        final(done) {
          ends[other].push(null);
          done();
        },
      }),
    );
  }
  return [ends[0], ends[1]];
}
