/** Clients with little memory ask a server for small records (RFC 6066 §4). */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import { type ClientHelloExtensions, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { decodeServerHello } from '../../src/messages/server-hello.ts';
import { type Endpoint, identity } from '../support/connections.ts';
import { Puppet, plaintext } from '../support/puppet.ts';
import { messagesOf, recordsOf } from '../support/puppet12.ts';
import { FLIGHT_KEYS } from '../support/stages.ts';
import { World12 } from '../support/world12.ts';

const { credential, publicKey } = identity();
/** With a chain that does not fit into any of these records. */
const world = new World12({}, { credential: { ...credential, certificateChain: [new Uint8Array(6000)] }, publicKey });
after(() => world.close());

const LENGTHS = [512, 1024, 2048, 4096] as const;
const ONLY12 = ['TLSv1.2'] as const;

/** What a server answers to the hello of a client with these options, with these extensions in it. */
function answer(
  extensions: Partial<ClientHelloExtensions>,
  options: { client?: Partial<ClientOptions>; server?: Partial<ServerOptions> } = {},
  at = world,
): Endpoint {
  const client = at.client(options.client).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  const changed = { ...hello, extensions: { ...hello.extensions, ...extensions } };
  return at.server(options.server).receive(plaintext(22, encodeClientHello(changed)));
}

/** Bytes of the largest record, without its header. */
function largest(records: readonly Uint8Array[]): number {
  return Math.max(...records.map((record) => record.length - 5));
}

describe('max_fragment_length', () => {
  for (const maxFragmentLength of LENGTHS) {
    test(`of ${maxFragmentLength} bytes is answered and kept in TLS 1.3, by the ServerHello and under keys`, () => {
      // Its share alone takes more than a kilobyte.
      const groups = { namedGroups: ['X25519MLKEM768'] } as const;
      const server = answer({ maxFragmentLength }, { client: groups, server: groups });
      const flight = server.flush();
      const records = recordsOf(flight);
      assert.ok(largest(records.filter(([type]) => type === 22)) <= maxFragmentLength);
      assert.equal(largest(records.filter(([type]) => type === 23)), maxFragmentLength + 1 + 16);
      const puppet = new Puppet(server.keyLog).read(flight, FLIGHT_KEYS);
      const raw = puppet.messages.find(({ name }) => name === 'encrypted_extensions')?.raw;
      assert.equal(
        decodeEncryptedExtensions(raw?.subarray(4) as Uint8Array).extensions.maxFragmentLength,
        maxFragmentLength,
      );
      puppet.erase();
      server.forget();
    });

    test(`of ${maxFragmentLength} bytes is answered and kept in TLS 1.2, from the ServerHello on`, () => {
      const versions = { client: { versions: ONLY12 }, server: { versions: ONLY12 } };
      const server = answer({ maxFragmentLength }, versions);
      const records = recordsOf(server.flush());
      assert.equal(largest(records), maxFragmentLength);
      const [serverHello] = messagesOf(concat(...records.map((record) => record.subarray(5))));
      const { extensions } = decodeServerHello(serverHello.raw.subarray(4));
      assert.equal(extensions.maxFragmentLength, maxFragmentLength);
      server.receive(plaintext(22, new Uint8Array(maxFragmentLength + 1)));
      assert.equal(server.error?.alert, 'record_overflow');
      server.forget();
    });
  }

  test('cuts no message that fits into a record', () => {
    const small = new World12();
    const versions = { versions: ONLY12 };
    const server = answer({ maxFragmentLength: 512 }, { client: versions, server: versions }, small);
    const flight = recordsOf(server.flush()).map((record) => messagesOf(record.subarray(5)).map(({ name }) => name));
    assert.deepEqual(flight, [['server_hello'], ['certificate'], ['server_key_exchange'], ['server_hello_done']]);
    server.forget();
    small.close();
  });

  test('that stands for nothing is refused with illegal_parameter', () => {
    for (const data of ['00', '05', 'ff']) {
      const server = answer({ unknown: [{ type: 1, data: fromHex(data) }] });
      assert.equal(server.error?.alert, 'illegal_parameter', data);
      server.forget();
    }
  });

  test('beside record_size_limit is not answered: that one holds', () => {
    const server = answer({ maxFragmentLength: 512, recordSizeLimit: 100 });
    const puppet = new Puppet(server.keyLog).read(server.flush(), FLIGHT_KEYS);
    const raw = puppet.messages.find(({ name }) => name === 'encrypted_extensions')?.raw;
    const { extensions } = decodeEncryptedExtensions(raw?.subarray(4) as Uint8Array);
    assert.deepEqual([extensions.maxFragmentLength, extensions.recordSizeLimit], [undefined, 16_385]);
    puppet.erase();
    server.forget();
  });
});
