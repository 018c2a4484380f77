/**
 * What else holds secrets: early data, external PSKs, client certificates, a ring under servers of `node:tls`, QUIC, and the
 * encrypted part of a ClientHello. At full scale each several times.
 */

import { constants, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as nodeTls from 'node:tls';
import { toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { quicInitialSecrets } from '../../src/keys/quic.ts';
import { QuicPacketProtection } from '../../src/keys/quic-packet.ts';
import { manageTickets } from '../../src/node/native.ts';
import { ClientSessions, type ConnectionOptions, connect, createServer, type TlsOptions } from '../../src/node/tls.ts';
import { otherServers } from '../ledger/other-servers.ts';
import { quicClient, quicServer } from '../quic/support.ts';
import { identity, World } from '../support/connections.ts';
import { encodeEchConfig, encodeEchConfigList } from '../support/ech-server.ts';
import { rounds, type Scale } from './scale.ts';

/** A server's certificate, and who made it: PEM. */
export interface Credentials {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Connections made. */
export async function liveOther(scale: Scale, credentials: Credentials): Promise<number> {
  otherServers();
  let count = 0;
  if (scale === 'full') {
    liveDhe();
  }
  for (let round = 0; round < rounds[scale] / 2; round++) {
    count += await liveEarlyData(credentials);
    count += await livePsks(credentials);
    count += await liveClientCertificates(credentials);
    count += await liveNative(credentials);
    liveQuic();
    liveEncryptedHello();
  }
  return count;
}

async function liveEarlyData({ cert, key, ca }: Credentials): Promise<number> {
  const sessionCache = new ClientSessions();
  const visits = [{}, { earlyData: Buffer.from('before the handshake') }, { earlyData: Buffer.from('and again') }];
  const count = await converse({ cert, key, sessions: { earlyData: true } }, { ca, sessionCache }, visits);
  sessionCache.clear();
  return count;
}

async function livePsks({ cert, key, ca }: Credentials): Promise<number> {
  // The application's own, which it erases itself.
  const psk = randomFillSync(new Uint8Array(new ArrayBuffer(32)));
  const externalPsks = [
    { identity: 'plain', psk },
    { identity: 'imported', psk, importContext: { client: 'one', server: 'other' } },
  ];
  const count = await converse({ cert, key, externalPsks, dangerouslyAllowPskKe: 'prefer' }, { ca }, [
    { externalPsks: externalPsks.slice(0, 1) },
    { externalPsks: externalPsks.slice(1) },
    { externalPsks: externalPsks.slice(0, 1), dangerouslyAllowPskKe: true },
  ]);
  psk.fill(0);
  return count;
}

function liveClientCertificates({ cert, key, ca }: Credentials): Promise<number> {
  return converse({ cert, key, ca, requestCert: true, rejectUnauthorized: false }, { ca, cert, key }, [
    { maxVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.2' },
  ]);
}

/** Of those, the ring's keys and what OpenSSL is given of them are Mayfly's, and what seals sessions for a cache. */
async function liveNative({ cert, key, ca }: Credentials): Promise<number> {
  const stored = new Map<string, Uint8Array>();
  const cache = {
    get: (id: Uint8Array) => stored.get(toHex(id)),
    set: (id: Uint8Array, session: Uint8Array) => void stored.set(toHex(id), session),
    delete: (id: Uint8Array) => void stored.delete(toHex(id)),
  };
  const cases = [
    { minVersion: 'TLSv1.2', client: {} },
    { minVersion: 'TLSv1.3', client: {} },
    { minVersion: 'TLSv1.2', client: { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } },
  ] as const;
  let count = 0;
  for (const { minVersion, client } of cases) {
    const server = nodeTls.createServer({ cert, key, minVersion }, (socket) => socket.on('error', () => {}).end('x'));
    const tickets = manageTickets(server, undefined, { cache });
    await tickets.mode;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    let session: Buffer | undefined;
    for (let visit = 0; visit < 3; visit++, count++) {
      const socket = nodeTls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca, session, ...client });
      socket.on('session', (given) => {
        session = given;
      });
      socket.resume();
      await once(socket, 'close');
    }
    server.close();
    await once(server, 'close');
    tickets.stop();
  }
  return count;
}

function liveQuic(): void {
  const world = new World({ alpnProtocols: ['h3'] });
  const client = quicClient(world).start();
  const server = quicServer(world);
  for (let round = 0; round < 8; round++) {
    for (const { level, bytes } of client.flush()) {
      server.receive(level, bytes);
    }
    for (const { level, bytes } of server.flush()) {
      client.receive(level, bytes);
    }
  }
  const initial = quicInitialSecrets(provider, HEADER);
  for (const { suite, secret } of client.secrets.values()) {
    let protection = new QuicPacketProtection({ provider, suite, secret });
    for (let generation = 0; generation < 3; generation++) {
      const packet = protection.seal(generation, HEADER, new Uint8Array(100));
      protection.open(packet, 1, -1);
      const next = protection.next();
      protection.erase();
      protection = next;
    }
    protection.erase();
  }
  for (const secret of Object.values(initial)) {
    secret.erase();
  }
  client.forget();
  server.forget();
  world.close();
}

/** Making the key of an RSA certificate takes longer than all the rest. */
function liveDhe(): void {
  const world = new World({}, identity('rsa'));
  const cipherSuites12 = ['TLS_DHE_RSA_WITH_AES_128_GCM_SHA256'] as const;
  const options = { versions: ['TLSv1.2'], cipherSuites12, exportKeyLog: false } as const;
  for (let i = 0; i < 4; i++) {
    world.pair(options, options).run().forget();
  }
  world.close();
}

/** To a key whose private part nobody uses: the server would be another process. */
function liveEncryptedHello(): void {
  const recipient = provider.generateKeyShare('x25519');
  const encryptedClientHello = encodeEchConfigList(encodeEchConfig(recipient.publicKey));
  recipient.erase();
  const world = new World();
  const silent = { exportKeyLog: false };
  const link = world.pair({ serverName: 'hidden.example', encryptedClientHello, ...silent }, silent).run();
  link.forget();
  world.close();
}

async function converse(
  server: TlsOptions,
  client: ConnectionOptions,
  visits: readonly ConnectionOptions[],
): Promise<number> {
  const listening = createServer(server, (socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end('x'),
  );
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo;
  for (const visit of visits) {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ...client, ...visit });
    socket.on('session', (given: Buffer) => given.fill(0));
    socket.resume();
    await once(socket, 'close');
  }
  listening.close();
  await once(listening, 'close');
  return visits.length;
}

/** A short header with a packet number of one byte. */
const HEADER = Uint8Array.of(0x40, 0);
