/** What runs a connection once a handshake is complete: by version and role, with nothing of the handshake kept. */

import type { ClientOptions, ServerOptions } from '../connection-options.ts';
import { Established12 } from './established12.ts';
import type { CompletedHandshake, Established, HandshakeHost } from './host.ts';
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
  return options.completed.previous === undefined ? establish13(options) : establish12(options);
}

function establish13({ host, role, options, completed }: EstablishOptions) {
  const { transcript, tickets } = completed;
  const parts = transcript === undefined ? undefined : { host, provider: options.provider, transcript };
  const connected = new PostHandshake(host, {
    tickets,
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
  const connected = new Established12(
    host,
    { role, previous, allowance, now: options.now },
    before instanceof Established12 ? before : undefined,
  );
  return { connected, machine: connected.machine() };
}
