/** Connections that renegotiate, and ends that say in a renegotiation what an honest end would not. */

import assert from 'node:assert/strict';
import type { Action, HandshakeSummary } from '../../src/actions.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { handshakeTypeName } from '../../src/messages/code-points.ts';
import { decodeServerHello, encodeServerHello, type ServerHello } from '../../src/messages/server-hello.ts';
import type { Endpoint, Link } from '../support/connections.ts';
import type { SecretWatch } from '../support/secret-watch.ts';
import { World12 } from '../support/world12.ts';

/** A server that wants to know its clients, from the handshake on or later. */
export function askingContext(context: ServerContext, required = true, id = 'required:ca'): ServerContext {
  return { ...context, clientAuthentication: { required, certificateAuthorities: [], id } };
}

/** Changes the messages of an end before they are sealed; its transcript has what it meant to say. */
export function corrupt(end: Endpoint, change: (name: string, raw: Uint8Array) => readonly Uint8Array[]): void {
  const { channel } = end.connection;
  const honest = channel.handshake.bind(channel);
  channel.handshake = (raw) => {
    for (const message of change(handshakeTypeName(raw[0]) ?? '', raw)) {
      honest(message);
    }
  };
}

export function corruptClientHello(end: Endpoint, change: (hello: ClientHello) => ClientHello): void {
  corrupt(end, (name, raw) => [
    name === 'client_hello' ? encodeClientHello(change(decodeClientHello(raw.subarray(4)))) : raw,
  ]);
}

export function corruptServerHello(end: Endpoint, change: (hello: ServerHello) => ServerHello): void {
  corrupt(end, (name, raw) => [
    name === 'server_hello' ? encodeServerHello(change(decodeServerHello(raw.subarray(4)))) : raw,
  ]);
}

/** Every copy of these bytes with one bit of one byte flipped. */
export function bitFlips(bytes: Uint8Array): Uint8Array[] {
  return [...bytes].map((_, at) => bytes.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte)));
}

/** The server asks, and both talk until nothing moves. */
export function byServer(link: Link, context?: ServerContext): Link {
  link.server.take(link.server.connection.startRenegotiation(context));
  return link.deliver();
}

export function byClient(link: Link): Link {
  link.client.take(link.client.connection.startRenegotiation());
  return link.deliver();
}

export function kinds(end: Endpoint): Action['kind'][] {
  return end.actions.map(({ kind }) => kind);
}

export function count(end: Endpoint, kind: Action['kind']): number {
  return kinds(end).filter((other) => other === kind).length;
}

/** Of the last renegotiation. */
export function renegotiated(end: Endpoint): HandshakeSummary {
  end.assertFine();
  const action = end.actions.findLast(({ kind }) => kind === 'renegotiated');
  assert(action?.kind === 'renegotiated', `the ${end.connection.role} has renegotiated`);
  return action.summary;
}

export function assertNothingLeft(watch: SecretWatch, what = ''): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
    [],
    what,
  );
}

export { World12 };
