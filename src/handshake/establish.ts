/** What runs a connection once a handshake is complete: by version and role, with nothing of the handshake kept. */

import type { ClientOptions, ServerOptions } from '../connection-options.ts';
import { EstablishedQuic } from './established-quic.ts';
import { Established12 } from './established12.ts';
import { type CompletedHandshake, type Established, type HandshakeHost, withRecords } from './host.ts';
import { KeyWear, READ_SLACK } from './key-wear.ts';
import { Machine } from './machine.ts';
import { connectedClientHandlers, connectedServerHandlers, PostHandshake } from './post-handshake.ts';
import { ClientAuthenticator, ServerAuthenticator } from './post-handshake-auth.ts';
import { connectedClientTransitions, connectedServerTransitions } from './transitions.ts';

/** Renegotiations of a server within ten minutes, as `node:tls` allows them. */
const SERVER_RENEGOTIATIONS = 3;

export interface EstablishOptions {
  readonly host: HandshakeHost;
  readonly role: 'client' | 'server';
  readonly options: ClientOptions | ServerOptions;
  readonly completed: CompletedHandshake;
  /** In a renegotiation: what ran the connection before. */
  readonly before: Established | undefined;
}

export function establish(options: EstablishOptions): { readonly connected: Established; readonly machine: Machine } {
  if (options.host.channel.quic !== undefined) {
    return establishQuic(options);
  }
  return options.completed.previous === undefined ? establish13(options) : establish12(options);
}

function establishQuic({ host, role, completed }: EstablishOptions) {
  const connected = new EstablishedQuic(host, completed.tickets);
  return { connected, machine: connected.machine(role) };
}

function establish13({ host: anyHost, role, options, completed }: EstablishOptions) {
  const host = withRecords(anyHost);
  const { transcript, tickets } = completed;
  const { provider, compressCertificates, acceptCompressedCertificates } = options;
  const parts =
    transcript === undefined
      ? undefined
      : { host, provider, transcript, compressCertificates, acceptCompressedCertificates };
  const { keyRenewal, now } = options;
  const connected = new PostHandshake(host, {
    tickets,
    wear:
      keyRenewal === undefined
        ? undefined
        : { read: new KeyWear(keyRenewal, now, READ_SLACK), write: new KeyWear(keyRenewal, now), now },
    clientRandom: options.exportKeyLog ? completed.clientRandom : undefined,
    clientAuthenticator:
      parts === undefined || role === 'server'
        ? undefined
        : new ClientAuthenticator(parts, (options as ClientOptions).credentials ?? []),
    serverAuthenticator: parts === undefined || role === 'client' ? undefined : new ServerAuthenticator(parts),
  });
  const machine =
    role === 'client'
      ? Machine.start(connectedClientTransitions, connectedClientHandlers, connected, 'Connected')
      : Machine.start(connectedServerTransitions, connectedServerHandlers, connected, 'Connected');
  return { connected, machine };
}

function establish12({ host, role, options, completed, before }: EstablishOptions) {
  const { previous } = completed as Required<CompletedHandshake>;
  const allowance =
    role === 'client'
      ? ((options as ClientOptions).serverRenegotiations ?? SERVER_RENEGOTIATIONS)
      : ((options as ServerOptions).clientRenegotiations ?? 0);
  const { keyRenewal } = options;
  const wear = keyRenewal?.renegotiate12 === true ? new KeyWear(keyRenewal, options.now) : undefined;
  const connected = new Established12(
    withRecords(host),
    { role, previous, allowance, now: options.now, wear },
    before instanceof Established12 ? before : undefined,
  );
  return { connected, machine: connected.machine() };
}
