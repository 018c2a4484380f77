/**
 * Bytes that an application is handed lie on memory that holds nothing else: no other connection's bytes, no key log. What it is
 * told changes no other connection.
 */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import * as tls from '../../src/node/tls.ts';
import { closed, closing, listen, only, serverOptions, trust, versions } from './support.ts';

/** `view` is all of its buffer, but for the type and the padding of a record. */
function assertOwn(value: unknown, path: string, seen = new Set<unknown>()): void {
  if (value === null || typeof value !== 'object' || seen.has(value)) {
    return;
  }
  seen.add(value);
  if (ArrayBuffer.isView(value)) {
    const rest = value.buffer.byteLength - value.byteLength;
    assert.ok(
      rest === 0 || (path.startsWith('data') && rest <= 64),
      `${path}: ${value.byteLength} bytes and ${rest} more`,
    );
    return;
  }
  for (const [name, part] of Object.entries(value)) {
    assertOwn(part, `${path}.${name}`, seen);
  }
}

function ofSocket(socket: tls.TLSSocket): Record<string, unknown> {
  return {
    peerCertificate: socket.getPeerCertificate(true),
    certificate: socket.getCertificate(),
    finished: socket.getFinished(),
    peerFinished: socket.getPeerFinished(),
    keyingMaterial: socket.exportKeyingMaterial(20, 'EXPORTER-test'),
    binding: socket.getChannelBinding('tls-exporter'),
    endPoint: socket.getChannelBinding('tls-server-end-point'),
    session: socket.getSession(),
    ticket: socket.getTLSTicket(),
  };
}

describe('What an application is handed', () => {
  for (const version of versions) {
    test(`in ${version} shares its memory with nothing`, async () => {
      const seen = new Set<string>();
      const note = (what: string, ...values: unknown[]): void => {
        seen.add(what);
        assertOwn(values, what);
      };
      const store = new Map<string, Buffer>();
      const server = tls.createServer({
        ...serverOptions,
        ...trust,
        ...only(version),
        requestCert: true,
        secureOptions: constants.SSL_OP_NO_TICKET,
        rejectUnauthorized: false,
      });
      server.on('OCSPRequest', (certificate: Buffer, issuer: Buffer | null, callback: tls.OcspCallback) => {
        note('OCSPRequest', certificate, issuer);
        callback(null, Buffer.from('a response'));
      });
      server.on('keylog', (line: Buffer) => note('keylog of the server', line));
      server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
        note('newSession', id, data);
        store.set(id.toString('hex'), data);
        done();
      });
      server.on('resumeSession', (id: Buffer, done: (error: null, data: Buffer | null) => void) => {
        note('resumeSession', id);
        done(null, store.get(id.toString('hex')) ?? null);
      });
      server.on('secureConnection', (socket) => {
        note('server', ofSocket(socket));
        socket.on('data', (chunk: Buffer) => {
          note('data', chunk);
          socket.write(chunk);
        });
      });
      const port = await listen(server);
      const client = tls.connect({
        ...{ host: '127.0.0.1', port, servername: 'localhost', requestOCSP: true },
        ...{ ...serverOptions, ...trust, ...only(version) },
        checkServerIdentity: (_host, certificate) => note('checkServerIdentity', certificate) as undefined,
      });
      client.on('OCSPResponse', (response: Buffer) => note('OCSPResponse', response));
      client.on('keylog', (line: Buffer) => note('keylog', line));
      client.on('session', (session: Buffer) => note('session', session));
      await once(client, 'secureConnect');
      client.write('hello');
      note('data', (await once(client, 'data'))[0]);
      note('client', ofSocket(client));
      client.destroy();
      await closed(server);
      const expected = ['OCSPRequest', 'OCSPResponse', 'checkServerIdentity', 'client', 'data', 'keylog'];
      assert.deepEqual(
        [...expected, 'keylog of the server', 'server'].filter((what) => !seen.has(what)),
        [],
      );
      // TLS 1.3 has no other way than tickets.
      assert.equal(seen.has('newSession'), version === 'TLSv1.2');
    });
  }

  test('to sign is its own, to be sent to another thread', async () => {
    const lengths: [number, number][] = [];
    const signer = tls.createSecureContext(serverOptions).credentials[0];
    const server = tls.createServer({
      cert: serverOptions.cert,
      ...only('TLSv1.3'),
      sign: (_scheme, data) => {
        lengths.push([data.length, data.buffer.byteLength]);
        structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
        throw new Error('not needed any more');
      },
    });
    assert.ok(signer !== undefined);
    server.on('tlsClientError', () => {});
    const port = await listen(server);
    const client = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ...trust });
    await once(client, 'error');
    assert.deepEqual(
      lengths.map(([length, whole]) => whole - length),
      [0],
    );
    await closed(server);
  });
});

for (const version of versions) {
  test(`${version}: who sorts what was offered changes nothing of what other connections offer`, async () => {
    const server = tls.createServer(serverOptions, (socket) => socket.end().resume());
    const port = await listen(server);
    const secureContext = tls.createSecureContext({ ...trust, ...only(version) });
    const offered = async () => {
      const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', secureContext });
      await once(socket.resume(), 'secureConnect');
      const lists = socket.mayfly?.offered;
      await closing(socket);
      assert.ok(lists !== undefined);
      return lists;
    };
    const first = await offered();
    const before = structuredClone(first);
    for (const list of Object.values(first)) {
      try {
        (list as string[]).reverse();
      } catch (error) {
        assert.ok(error instanceof TypeError);
      }
    }
    assert.deepEqual(await offered(), before);
    await closed(server);
  });
}
