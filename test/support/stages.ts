/**
 * Brings one side of a real handshake to any state, with a puppet as its peer that holds the right keys. The messages that
 * lead there are genuine: they come from a second, honest endpoint.
 */

import assert from 'node:assert/strict';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import type { ClientState, ServerState } from '../../src/handshake/transitions.ts';
import { encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import type { ExternalPsk } from '../../src/session/external-psk.ts';
import type { Endpoint, World } from './connections.ts';
import { Puppet } from './puppet.ts';

/** What a test faces: the side under attack, and the peer that attacks. */
export interface Stage {
  readonly victim: Endpoint;
  readonly puppet: Puppet;
  /** How the victim protects what it sends now. */
  readonly alertsUnder: string;
  /** The genuine messages of the peer's flight. */
  readonly flight: ReadonlyMap<string, Uint8Array>;
}

interface ClientScript {
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  /** The puppet asks for the client's certificate. */
  readonly certificateRequest?: boolean;
  /** Changes the messages before they are sealed; by name. */
  readonly tamper?: (name: string, raw: Uint8Array) => Uint8Array | undefined;
}

const ORDER = ['encrypted_extensions', 'certificate_request', 'certificate', 'certificate_verify', 'finished'];

const CERTIFICATE_REQUEST = encodeCertificateRequest({
  requestContext: new Uint8Array(0),
  signatureAlgorithms: [0x0403],
});

/** One that comes after the handshake. */
export const LATER_CERTIFICATE_REQUEST: Uint8Array = encodeCertificateRequest({
  requestContext: new Uint8Array([1, 2, 3]),
  signatureAlgorithms: [0x0403, 0x0807],
});

/** Where the keys change in a server's flight. */
export const FLIGHT_KEYS = {
  afterServerHello: 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  afterFinished: 'SERVER_TRAFFIC_SECRET_0',
} as const;

/** A client in this state. */
export function clientIn(world: World, state: ClientState, script: ClientScript = {}): Stage {
  const retried = state === 'ExpectServerHelloAfterRetry';
  const victim = world.client(retried ? { keyShares: ['secp256r1'], ...script.client } : (script.client ?? {}));
  const server = world.server({
    ...(retried ? { namedGroups: ['x25519'] as const } : {}),
    ...(state === 'AwaitClientSignature' ? { context: asking(world) } : {}),
    ...script.server,
  });
  if (state === 'Start') {
    return stage(victim, new Puppet(server.keyLog), 'nothing', new Map());
  }
  const hello = victim.start().flush();
  server.receive(hello);
  const sent = server.flush();
  const ears = new Puppet(server.keyLog);
  const puppet = new Puppet(server.keyLog);
  ears.read(sent, retried ? {} : FLIGHT_KEYS);
  const flight = new Map(ears.messages.map(({ name, raw }) => [name, raw]));
  flight.set('client_hello', hello.slice(5));
  ears.erase();
  server.forget();
  if (script.certificateRequest) {
    flight.set('certificate_request', CERTIFICATE_REQUEST);
  }
  if (retried) {
    // What the server sent is the HelloRetryRequest alone.
    victim.receive(puppet.handshake(ears.message('server_hello')));
    puppet.read(victim.flush());
    return stage(victim, puppet, 'plaintext', flight);
  }
  const say = (name: string): void => {
    const raw = flight.get(name);
    assert(raw !== undefined);
    const sentAs = script.tamper === undefined ? raw : script.tamper(name, raw);
    if (sentAs !== undefined) {
      victim.receive(puppet.record(CONTENT_HANDSHAKE, sentAs));
    }
  };
  if (state === 'ExpectServerHello') {
    return stage(victim, puppet, 'plaintext', flight);
  }
  say('server_hello');
  puppet.writeWith('SERVER_HANDSHAKE_TRAFFIC_SECRET').readWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
  if (state === 'AwaitCertificateVerdict') {
    victim.hold = ['verifyCertificate'];
  }
  if (state === 'AwaitClientSignature') {
    victim.hold = ['sign'];
  }
  for (const name of ORDER) {
    if (victim.connection.state === state || victim.over) {
      break;
    }
    if (flight.has(name)) {
      say(name);
    }
  }
  if ((state === 'Connected' || state === 'AwaitAuthenticationSignature') && !victim.over) {
    puppet.read(victim.flush());
    puppet.writeWith('SERVER_TRAFFIC_SECRET_0').readWith('CLIENT_TRAFFIC_SECRET_0');
    if (state === 'AwaitAuthenticationSignature') {
      victim.hold = ['sign'];
      victim.receive(puppet.handshake(LATER_CERTIFICATE_REQUEST));
    }
    return stage(victim, puppet, 'CLIENT_TRAFFIC_SECRET_0', flight);
  }
  if (state === 'AwaitClientSignature') {
    puppet.writeWith('SERVER_TRAFFIC_SECRET_0');
  }
  return stage(victim, puppet, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', flight);
}

/** A server in this state. */
export function serverIn(world: World, state: ServerState, script: ClientScript = {}): Stage {
  if (state === 'ExpectEndOfEarlyData') {
    return takingEarlyData(world, script);
  }
  const retried = state === 'ExpectClientHelloAfterRetry';
  const session = state === 'AwaitTicketClaim' ? aSession(world) : undefined;
  const externalPsk = state === 'AwaitExternalPsk' ? anExternalPsk() : undefined;
  const client = world.client({
    ...(retried ? { keyShares: ['secp256r1'] as const } : {}),
    ...(state === 'AwaitCertificateStatus' ? { statusRequest: true } : {}),
    ...(CLIENT_CERTIFICATE_STATES.has(state) || LATER_CERTIFICATE_STATES.has(state)
      ? { credentials: [world.identity.credential] }
      : {}),
    ...(session === undefined ? {} : { session }),
    ...(externalPsk === undefined ? {} : { externalPsks: [externalPsk] }),
    ...script.client,
  });
  const victim = world.server({
    ...(retried ? { namedGroups: ['x25519'] as const } : {}),
    ...(state === 'AwaitContext' ? { context: 'ask' as const } : {}),
    ...(PSK_STATES.has(state) ? { context: askingForPsks(world) } : {}),
    ...(state === 'AwaitSignature' ? { context: unsigned(world) } : {}),
    ...(state === 'AwaitCertificateStatus' ? { context: { ...world.context, askCertificateStatus: true } } : {}),
    ...(CLIENT_CERTIFICATE_STATES.has(state) ? { context: asking(world) } : {}),
    ...script.server,
  });
  const hello = client.start().flush();
  session?.secret.erase();
  externalPsk?.externalPsk.erase();
  const puppet = new Puppet(victim.keyLog);
  if (state === 'ExpectClientHello') {
    client.forget();
    return stage(victim, puppet, 'plaintext', new Map([['client_hello', hello.slice(5)]]));
  }
  if (state === 'AwaitContext' || state === 'AwaitSignature' || state === 'AwaitCertificateStatus') {
    victim.hold = ['context', 'certificateStatus', 'sign'];
  }
  if (PSK_STATES.has(state)) {
    victim.hold = ['externalPsk', 'claimTicket'];
  }
  victim.receive(hello);
  if (retried || state === 'AwaitContext' || PSK_STATES.has(state)) {
    puppet.read(victim.flush());
    client.forget();
    return stage(victim, puppet, 'plaintext', new Map());
  }
  const down = victim.flush();
  puppet.writeWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
  if (state === 'AwaitSignature' || state === 'AwaitCertificateStatus') {
    client.forget();
    puppet.read(down, { afterServerHello: 'SERVER_HANDSHAKE_TRAFFIC_SECRET' });
    return stage(victim, puppet, 'SERVER_HANDSHAKE_TRAFFIC_SECRET', new Map());
  }
  client.receive(down);
  const up = client.flush();
  const ears = new Puppet(victim.keyLog);
  ears.readWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET').read(up);
  const flight = new Map(ears.messages.map(({ name, raw }) => [name, raw]));
  ears.erase();
  puppet.readWith('SERVER_TRAFFIC_SECRET_0');
  const tickets = ticketsIn(victim, down);
  // The tickets went out under the key that is read with now.
  puppet.read(tickets);
  puppet.messages.length = 0;
  if (LATER_CERTIFICATE_STATES.has(state)) {
    return askedLater(client, victim.receive(up), puppet, state);
  }
  client.forget();
  if (CLIENT_CERTIFICATE_STATES.has(state)) {
    victim.hold = ['verifyCertificate'];
    for (const raw of flight.values()) {
      if (victim.connection.state === state) {
        break;
      }
      victim.receive(puppet.handshake(raw));
      if (victim.connection.state === 'AwaitClientVerdict' && state !== 'AwaitClientVerdict') {
        victim.answer();
      }
    }
  }
  if (state === 'Connected') {
    const finished = flight.get('finished');
    assert(finished !== undefined);
    victim.receive(puppet.handshake(finished));
    puppet.writeWith('CLIENT_TRAFFIC_SECRET_0');
  }
  return stage(victim, puppet, 'SERVER_TRAFFIC_SECRET_0', flight);
}

/** A server that has asked a connected client for a certificate, and has read its answer as far as `state`. */
function askedLater(client: Endpoint, victim: Endpoint, puppet: Puppet, state: ServerState): Stage {
  puppet.writeWith('CLIENT_TRAFFIC_SECRET_0');
  victim.take(victim.connection.requestClientCertificate({ required: true, certificateAuthorities: [] }));
  const request = victim.flush();
  client.receive(request);
  puppet.read(request);
  const ears = new Puppet(victim.keyLog);
  ears.readWith('CLIENT_TRAFFIC_SECRET_0').read(client.flush());
  const flight = new Map(ears.messages.map(({ name, raw }) => [name, raw]));
  ears.erase();
  client.forget();
  victim.hold = ['verifyCertificate'];
  for (const raw of flight.values()) {
    if (victim.connection.state === state) {
      break;
    }
    victim.receive(puppet.handshake(raw));
    if (victim.need !== undefined && state !== 'AwaitAuthenticationVerdict') {
      victim.answer();
    }
  }
  return stage(victim, puppet, 'SERVER_TRAFFIC_SECRET_0', flight);
}

/** A server that has taken early data and waits for its end. The puppet writes under the keys for it. */
function takingEarlyData(world: World, script: ClientScript): Stage {
  const context = allowingEarlyData(world);
  const full = world.connect({}, { context });
  const [session, ...others] = full.client.sessions;
  full.client.connection.erase();
  full.server.connection.erase();
  for (const { secret } of others) {
    secret.erase();
  }
  const client = world.client({ session, earlyData: true, ...script.client });
  const victim = world.server({ context, ...script.server });
  victim.receive(client.start().flush());
  const down = victim.flush();
  client.receive(down);
  const up = client.flush();
  client.forget();
  session.secret.erase();
  const flight = new Map<string, Uint8Array>();
  const endsAt = 5 + ((up[3] << 8) | up[4]);
  for (const [label, bytes] of [
    ['CLIENT_EARLY_TRAFFIC_SECRET', up.subarray(0, endsAt)],
    ['CLIENT_HANDSHAKE_TRAFFIC_SECRET', up.subarray(endsAt)],
  ] as const) {
    const ears = new Puppet(victim.keyLog);
    ears.readWith(label).read(bytes);
    for (const { name, raw } of ears.messages) {
      flight.set(name, raw);
    }
    ears.erase();
  }
  const puppet = new Puppet(victim.keyLog);
  puppet.writeWith('CLIENT_EARLY_TRAFFIC_SECRET').readWith('SERVER_TRAFFIC_SECRET_0');
  puppet.read(ticketsIn(victim, down));
  puppet.messages.length = 0;
  return stage(victim, puppet, 'SERVER_TRAFFIC_SECRET_0', flight);
}

/** Tickets of this context allow early data, and no ticket was ever used. */
export function allowingEarlyData(world: World): ServerContext {
  const { tickets } = world.context;
  assert(tickets !== undefined);
  const register = { claim: () => 'fresh' as const };
  const earlyData = { maxEarlyDataSize: 4096, register, recordingSince: 0 };
  return { ...world.context, tickets: { ...tickets, earlyData } };
}

/** The records that follow the server's Finished. */
function ticketsIn(server: Endpoint, down: Uint8Array): Uint8Array {
  for (let at = 0; at < down.length; at += 5 + ((down[at + 3] << 8) | down[at + 4])) {
    const ears = new Puppet(server.keyLog);
    try {
      ears.readWith('SERVER_TRAFFIC_SECRET_0').read(down.subarray(at));
      return down.subarray(at);
    } catch {
      // Under another key still.
    } finally {
      ears.erase();
    }
  }
  return down.subarray(down.length);
}

const PSK_STATES = new Set<string>(['AwaitExternalPsk', 'AwaitTicketClaim']);

const CLIENT_CERTIFICATE_STATES = new Set<string>([
  'ExpectClientCertificate',
  'AwaitClientVerdict',
  'ExpectClientCertificateVerify',
]);

/** States of a server that asks for one after the handshake. */
const LATER_CERTIFICATE_STATES = new Set<string>([
  'AwaitAuthenticationVerdict',
  'ExpectAuthenticationCertificateVerify',
  'ExpectAuthenticationFinished',
]);

/** A context that wants a certificate of its clients. */
export function asking(world: World): ServerContext {
  return { ...world.context, clientAuthentication: { required: true, certificateAuthorities: [], id: 'all' } };
}

function askingForPsks(world: World): ServerContext {
  const { tickets } = world.context;
  assert(tickets !== undefined);
  return { ...world.context, externalPsks: 'ask', tickets: { ...tickets, singleUse: 'ask' } };
}

function aSession(world: World): ClientSession13 {
  const link = world.connect();
  const [session, ...others] = link.client.sessions;
  for (const { secret } of others) {
    secret.erase();
  }
  link.client.connection.erase();
  link.server.connection.erase();
  return session;
}

function anExternalPsk(): ExternalPsk {
  return {
    identity: new Uint8Array([1, 2, 3]),
    externalPsk: Secret.create('externalPsk', 32, (bytes) => bytes.fill(7)),
  };
}

function unsigned(world: World): ServerOptions['context'] {
  const [{ certificateChain, schemes }] = world.context.credentials;
  return { ...world.context, credentials: [{ certificateChain, schemes }] };
}

function stage(victim: Endpoint, puppet: Puppet, alertsUnder: string, flight: ReadonlyMap<string, Uint8Array>): Stage {
  return { victim, puppet, alertsUnder, flight };
}

/** Everything that a stage holds ends. */
export function strike({
  victim,
  puppet,
}: Pick<Stage, 'victim'> & { puppet: Pick<Puppet, 'erase'>; flight?: unknown }): void {
  victim.forget();
  puppet.erase();
}
