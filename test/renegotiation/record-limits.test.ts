/** The size of records is agreed on anew in each handshake, and holds for the keys that this makes. RFC 8449 §4, RFC 6066 §4. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Connection } from '../../src/connection.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { Endpoint, identity, Link } from '../support/connections.ts';
import { recordsOf } from '../support/puppet12.ts';
import { byClient, corruptClientHello, renegotiated, World12 } from './support.ts';

const { credential, publicKey } = identity();
const world = new World12({}, { credential: { ...credential, certificateChain: [new Uint8Array(6000)] }, publicKey });
after(() => world.close());

/** Data that the client sends in the middle of a renegotiation, as ours never does. */
function underWay({ connection }: Endpoint, length: number): Uint8Array {
  connection.channel.applicationData(new Uint8Array(length), 0, length);
  return connection.channel.take() as Uint8Array;
}

test('a client that first asks for max_fragment_length in a renegotiation may have larger records under way', () => {
  const { client, server } = world.connect12('ticket', {}, { clientRenegotiations: 1 });
  const before = server.data.length;
  corruptClientHello(client, (hello) => ({ ...hello, extensions: { ...hello.extensions, maxFragmentLength: 512 } }));
  client.take(client.connection.startRenegotiation());
  server.receive(client.flush()).receive(underWay(client, 10_000)).assertFine();
  assert.equal(server.data.length - before, 10_000);
  // To its client the server keeps to it from the answer on, under the old keys.
  const sealed = recordsOf(server.flush()).map(({ length }) => length);
  assert.ok(sealed.length > 12);
  assert.equal(Math.max(...sealed), 5 + 8 + 512 + 16);
  client.forget();
  server.forget();
});

/** A client that can be told another limit between two handshakes. */
function connect() {
  const options = {
    provider: nodeProvider,
    now: world.now,
    serverName: 'localhost',
    versions: ['TLSv1.2'] as const,
    recordSizeLimit: undefined as number | undefined,
  };
  const client = new Endpoint(Connection.client(options), world);
  const server = world.server({ versions: ['TLSv1.2'], clientRenegotiations: 5, recordSizeLimit: 100 });
  const link = new Link(client, server).run();
  link.assertComplete();
  return { options, client, server, link, before: server.data.length };
}

test('a limit that a renegotiation brings holds under its keys, and not before', () => {
  const { options, client, server, link, before } = connect();
  options.recordSizeLimit = 16_384;
  client.connection.channel.limitSentRecords = () => {};
  client.take(client.connection.startRenegotiation());
  server.receive(client.flush()).receive(underWay(client, 10_000));
  link.deliver();
  renegotiated(server);
  assert.equal(server.data.length - before, 10_000);
  server.receive(client.take(client.connection.send(new Uint8Array(101))).flush());
  assert.equal(server.error?.code, 'TLS_ERR_RECORD_OVERFLOW');
  client.forget();
  server.forget();
});

test('a limit that a renegotiation does not bring again is gone with the keys that it was of', () => {
  const { options, client, server, link, before } = connect();
  options.recordSizeLimit = 16_384;
  byClient(link);
  renegotiated(server);
  client.take(client.connection.send(new Uint8Array(1000)));
  assert.equal(recordsOf(client.outbox[0]).length, 10);
  link.deliver();
  options.recordSizeLimit = undefined;
  client.connection.channel.limitSentRecords(16_385);
  byClient(link);
  server.receive(client.take(client.connection.send(new Uint8Array(10_000))).flush()).assertFine();
  assert.equal(server.data.length - before, 11_000);
  client.forget();
  server.forget();
});
