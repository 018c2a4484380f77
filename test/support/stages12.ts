/**
 * Brings one side of a real TLS 1.2 handshake to any state, with a puppet as its peer that holds the right keys. The
 * messages that lead there are genuine: they come from a second, honest endpoint.
 */

import assert from 'node:assert/strict';
import type { Need } from '../../src/actions.ts';
import type { ClientOptions, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import { cipherSuite12ByCode } from '../../src/crypto/suites12.ts';
import { encodeCertificateRequest12 } from '../../src/messages/tls12/certificate-request.ts';
import type { Endpoint, World } from './connections.ts';
import type { Message } from './puppet.ts';
import { messagesOf, Puppet12, recordsOf, type Session12Secrets, secretsFrom } from './puppet12.ts';
import { asking } from './stages.ts';

export interface Script12 {
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  /** Changes what the puppet says, message by message. */
  readonly tamper?: (message: Message, hellos: Hellos) => readonly Message[];
}

export interface Hellos {
  readonly clientHello: Uint8Array;
  /** As the honest server sent it. */
  readonly serverHello: Uint8Array;
}

export interface Stage12 {
  readonly victim: Endpoint;
  readonly puppet: Puppet12;
  /** How the victim protects what it sends now. */
  readonly alertsUnder: string;
  /** What the honest peer would have said next. */
  readonly next: Message[];
  /** Everything said by both, hello to here, without change_cipher_spec. */
  readonly transcript: Uint8Array[];
  secrets(): Session12Secrets;
}

export const ONLY12 = ['TLSv1.2'] as const;
export const BOTH = ['TLSv1.3', 'TLSv1.2'] as const;

export const CERTIFICATE_REQUEST12: Message = {
  name: 'certificate_request',
  raw: encodeCertificateRequest12({
    certificateTypes: [64],
    signatureAlgorithms: [0x0403],
    certificateAuthorities: [],
  }),
};

const HOLDS: Readonly<Record<string, Need['kind']>> = {
  AwaitContext: 'context',
  AwaitCertificateVerdict12: 'verifyCertificate',
  AwaitSignature12: 'sign',
  AwaitCertificateStatus12: 'certificateStatus',
  AwaitClientVerdict12: 'verifyCertificate',
  AwaitClientSignature12: 'sign',
};
/** States that only a handshake with a client's certificate comes to. */
const CLIENT_CERTIFICATE_STATES = new Set([
  'ExpectServerHelloDone12',
  'AwaitClientSignature12',
  'ExpectClientCertificate12',
  'AwaitClientVerdict12',
  'ExpectClientCertificateVerify12',
]);

/** A client or a server in this state. */
export function stage12(world: World, role: 'client' | 'server', state: string, script: Script12 = {}): Stage12 {
  const asks = CLIENT_CERTIFICATE_STATES.has(state);
  const [{ certificateChain, schemes, privateKey }] = world.context.credentials;
  const signer = state === 'AwaitClientSignature12' ? {} : { privateKey };
  const credentials = asks ? [{ certificateChain, schemes, ...signer }] : [];
  const stapled = state.includes('CertificateStatus');
  const client = world.client({
    versions: ONLY12,
    credentials,
    ...(stapled ? { statusRequest: true } : {}),
    ...script.client,
  });
  const server = world.server({
    versions: ONLY12,
    ...(state === 'AwaitContext' ? { context: 'ask' as const } : {}),
    ...(state === 'AwaitSignature12' ? { context: unsigned(world) } : {}),
    ...(stapled ? { context: stapling(world, state) } : {}),
    ...(asks ? { context: asking(world) } : {}),
    ...script.server,
  });
  const [victim, honest] = role === 'client' ? [client, server] : [server, client];
  const hold = HOLDS[state];
  if (hold !== undefined) {
    victim.hold = [hold];
  }
  const transcript: Uint8Array[] = [];
  const secrets = () => {
    const [clientHello, serverHello] = transcript;
    const suite = cipherSuite12ByCode((serverHello[39 + serverHello[38]] << 8) | serverHello[40 + serverHello[38]]);
    assert(suite !== undefined);
    const { keyLog } = victim.keyLog.has('CLIENT_RANDOM') ? victim : honest;
    return secretsFrom(suite, keyLog, clientHello, serverHello);
  };
  const puppet = new Puppet12(role === 'client' ? 'server' : 'client', secrets);
  const ears = new Puppet12(role, secrets);
  const next: Message[] = [];
  const { tamper = (message) => [message] } = script;
  client.start();
  for (let steps = 0; victim.connection.state !== state && !victim.over; steps++) {
    assert(steps < 100, `${state} is reached by what an honest ${honest.connection.role} says`);
    const message = next.shift();
    if (message !== undefined) {
      note(transcript, message);
      victim.receive(puppet.say(message));
      continue;
    }
    const said = victim.flush();
    const heard = puppet.messages.length;
    puppet.read(said);
    for (const message of puppet.messages.slice(heard)) {
      note(transcript, message);
    }
    if (said.length > 0) {
      honest.receive(said);
    }
    const answered = ears.messages.length;
    ears.read(honest.flush());
    const hellos = role === 'client' ? { clientHello: transcript[0], serverHello: ears.messages[0].raw } : NO_HELLOS;
    next.push(...ears.messages.slice(answered).flatMap((message) => tamper(message, hellos)));
  }
  const heard = puppet.messages.length;
  puppet.read(victim.flush());
  for (const message of puppet.messages.slice(heard)) {
    note(transcript, message);
  }
  honest.forget();
  return { victim, puppet, alertsUnder: puppet.reads, next, transcript, secrets };
}

function note(transcript: Uint8Array[], { name, raw }: Message): void {
  if (name !== 'change_cipher_spec' && name !== 'hello_request') {
    transcript.push(raw);
  }
}

const NO_HELLOS: Hellos = { clientHello: new Uint8Array(0), serverHello: new Uint8Array(0) };

/** A context that staples, or whose host does. */
function stapling({ context }: World, state: string): ServerContext {
  const [credential] = context.credentials;
  const askCertificateStatus = state === 'AwaitCertificateStatus12';
  return { ...context, askCertificateStatus, credentials: [{ ...credential, ocspResponse: new Uint8Array([5]) }] };
}

/** A context whose key lives elsewhere. */
export function unsigned(world: World): ServerOptions['context'] {
  const [{ certificateChain, schemes }] = world.context.credentials;
  return { ...world.context, credentials: [{ certificateChain, schemes }] };
}

/** The plaintext handshake messages at the beginning of a flight. */
export function clearMessages(flight: Uint8Array): Message[] {
  const found: Message[] = [];
  for (const record of recordsOf(flight)) {
    if (record[0] !== 22) {
      break;
    }
    found.push(...messagesOf(record.subarray(5)));
  }
  return found;
}
