/** Does everything once that makes secrets, in memory, and tells which were born. */

import { utf8 } from '../../src/bytes/bytes.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { ringConfiguration } from '../../src/fleet/configuration.ts';
import { createIdentityFiles, readIdentityFile } from '../../src/fleet/identity.ts';
import { MemoryStore } from '../../src/fleet/memory-store.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { quicInitialSecrets } from '../../src/keys/quic.ts';
import { QuicPacketProtection } from '../../src/keys/quic-packet.ts';
import { type SecretBorn, secretBorn } from '../../src/ledger/channels.ts';
import { OpenSslTicketKeys } from '../../src/node/native/ticket-keys.ts';
import { encodeClientSession } from '../../src/session/client-session.ts';
import { openBytes, sealBytes } from '../../src/session/sealed-bytes.ts';
import { EarlyWorld } from '../early/support.ts';
import { externalPsk, pskContext } from '../psk/support.ts';
import { quicClient, quicServer } from '../quic/support.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { identity, World } from '../support/connections.ts';
import { EchConversation, EchServer } from '../support/ech-server.ts';
import { World12 } from '../support/world12.ts';
import { otherServers } from './other-servers.ts';

let done: Promise<readonly SecretBorn[]> | undefined;

/** All births, of one run. */
export function bornIn(): Promise<readonly SecretBorn[]> {
  done ??= record();
  return done;
}

async function record(): Promise<readonly SecretBorn[]> {
  const births: SecretBorn[] = [];
  const note = (message: unknown) => void births.push(message as SecretBorn);
  // Made by the test itself, not by Mayfly.
  const encrypted = await EchServer.create();
  secretBorn.subscribe(note);
  try {
    tls13();
    externalPsks();
    earlyData();
    tls12();
    quic();
    ticketKeys();
    await fleet();
    otherServers();
    secretBorn.unsubscribe(note);
    births.push(...(await encryptedHello(encrypted)));
  } finally {
    secretBorn.unsubscribe(note);
  }
  return births;
}

function tls13(): void {
  const world = new World();
  for (const namedGroups of [['x25519'], ['secp256r1', 'secp384r1', 'secp521r1'], ['X25519MLKEM768']] as const) {
    world.connect({ namedGroups }, { namedGroups }).forget();
  }
  const first = world.connect();
  encodeClientSession(first.client.sessions[0]).erase();
  const link = world.connect({ session: first.client.sessions[0] });
  link.client.take(link.client.connection.updateKeys(true));
  link.deliver();
  world.connect({ keyShares: ['x25519'] }, { namedGroups: ['secp256r1'] }).forget();
  link.forget();
  first.forget();
  world.close();
}

function externalPsks(): void {
  const world = new World();
  for (const changes of [{}, { importContext: utf8('context') }]) {
    const psk = externalPsk('device', changes);
    world.connect({ externalPsks: [psk] }, { context: pskContext(world, [psk]) }).forget();
    psk.externalPsk.erase();
  }
  world.close();
}

function earlyData(): void {
  const world = new EarlyWorld();
  world.early().deliver().forget();
  world.close();
}

function tls12(): void {
  const world = new World12({}, identity('rsa'));
  for (const naming of ['ticket', 'id'] as const) {
    const session = world.session12(naming);
    encodeClientSession(session).erase();
    world.connect12(naming, { session }).forget();
    session.secret.erase();
  }
  const cipherSuites12 = ['TLS_DHE_RSA_WITH_AES_128_GCM_SHA256'] as const;
  world.connect12('ticket', { cipherSuites12 }, { cipherSuites12 }).forget();
  world.close();
}

function quic(): void {
  const world = new World({ alpnProtocols: ['h3'] });
  const client = quicClient(world).start();
  const server = quicServer(world);
  for (let round = 0; round < 10; round++) {
    for (const { level, bytes } of client.flush()) {
      server.receive(level, bytes);
    }
    for (const { level, bytes } of server.flush()) {
      client.receive(level, bytes);
    }
  }
  const initial = quicInitialSecrets(provider, utf8('12345678'));
  const suite = cipherSuites.TLS_AES_128_GCM_SHA256;
  for (const secret of [initial.client, initial.server, ...[...client.secrets.values()].map((keys) => keys.secret)]) {
    const protection = new QuicPacketProtection({ provider, suite, secret });
    const next = protection.next();
    for (const made of [next, protection, secret]) {
      made.erase();
    }
  }
  client.forget();
  server.forget();
  world.close();
}

function ticketKeys(): void {
  const world = new World();
  for (const tls13Only of [false, true]) {
    const openSsl = new OpenSslTicketKeys({ keys: world.keys, clock: world.clock, tls13Only });
    openSsl.sealing();
    openSsl.close();
  }
  const now = world.now();
  const key = world.keys.sealingKey(now);
  if (key !== undefined) {
    const sealed = sealBytes({ provider, key, bytes: utf8('a session'), boundTo: utf8('a name') });
    openBytes({ provider, keys: world.keys, sealed, boundTo: utf8('a name'), now });
  }
  world.close();
}

/** Without what the server of this test makes, which is on nobody's account. */
async function encryptedHello(server: EchServer): Promise<SecretBorn[]> {
  const births: SecretBorn[] = [];
  const note = (message: unknown) => void births.push(message as SecretBorn);
  const world = new World();
  secretBorn.subscribe(note);
  const talk = new EchConversation(
    world.client({ serverName: 'secret.example', encryptedClientHello: server.configList }),
  );
  await talk.start(server);
  talk.greet({ accepts: true });
  talk.end();
  secretBorn.unsubscribe(note);
  world.close();
  return births.filter(({ owner }) => owner?.kind === 'connection');
}

/** Two members: the second, who comes later, gets what there is in a welcome, and the next key in an envelope. */
async function fleet(): Promise<void> {
  const clock = new SimulatedClock();
  const store = new MemoryStore(() => clock.now());
  const files = createIdentityFiles(provider, 'fleet', ['a', 'b']).map((text) => readIdentityFile(provider, text));
  const configuration = ringConfiguration({
    fleetName: 'fleet',
    allowList: files[0].members.map(({ publicKey }) => publicKey),
  });
  const rings: Ring[] = [];
  for (const { identity: member, name } of files) {
    const uses = ticketKeyUses('default');
    rings.push(new Ring({ provider, configuration, identity: member, name, uses, store, clock }));
    await pass(clock);
  }
  rings[0].rotate();
  await pass(clock);
  await Promise.all(rings.map((ring) => ring.close()));
}

async function pass(clock: SimulatedClock): Promise<void> {
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
