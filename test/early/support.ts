/** A world whose tickets allow early data, and connections that send some. */

import assert from 'node:assert/strict';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type {
  ClientOptions,
  EarlyDataPolicy,
  ServerContext,
  ServerOptions,
  TicketPolicy,
} from '../../src/connection-options.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import { cloneClientSession } from '../../src/session/client-session.ts';
import { LocalSingleUseRegister } from '../../src/session/single-use-register.ts';
import { type Endpoint, type Identity, type Link, World } from '../support/connections.ts';

export const MAX = 4096;
export const PING: Uint8Array = utf8('an early ping');

export class EarlyWorld extends World {
  readonly register: LocalSingleUseRegister = new LocalSingleUseRegister({ clock: this.clock });

  constructor(changes: Partial<ServerContext> = {}, who?: Identity) {
    super(changes, who);
    const { tickets } = this.context;
    assert(tickets !== undefined);
    (this as { context: ServerContext }).context = {
      ...this.context,
      tickets: { ...tickets, earlyData: this.policy() },
    };
  }

  policy(changes: Partial<EarlyDataPolicy> = {}): EarlyDataPolicy {
    return { maxEarlyDataSize: MAX, register: this.register, recordingSince: this.now(), ...changes };
  }

  /** The context with another policy for early data, or other rules for tickets. */
  with(
    earlyData: Partial<EarlyDataPolicy> | undefined,
    tickets: Partial<TicketPolicy> = {},
  ): { context: ServerContext } {
    assert(this.context.tickets !== undefined);
    const policy = earlyData === undefined ? undefined : { ...this.context.tickets.earlyData, ...earlyData };
    return {
      context: {
        ...this.context,
        tickets: { ...this.context.tickets, ...tickets, earlyData: policy as EarlyDataPolicy | undefined },
      },
    };
  }

  /** The session of a full handshake, some time later. */
  session(client: Partial<ClientOptions> = {}, server: Partial<ServerOptions> = {}): ClientSession13 {
    const link = this.connect(client, server);
    const [first, ...rest] = link.client.sessions;
    for (const { secret } of rest) {
      secret.erase();
    }
    link.client.connection.erase();
    link.server.connection.erase();
    this.clock.advance(1234);
    return first;
  }

  /** A started client with this session whose early data is out, and a server that has read nothing yet. */
  early(
    options: {
      readonly session?: ClientSession13;
      readonly data?: Uint8Array;
      readonly client?: Partial<ClientOptions>;
      readonly server?: Partial<ServerOptions>;
    } = {},
  ): Link {
    const { session = this.session(), data = PING } = options;
    const link = this.pair({ session, earlyData: true, ...options.client }, options.server);
    link.client.start();
    if (data.length > 0) {
      link.client.take(link.client.connection.sendEarlyData(data));
    }
    return link;
  }

  override close(): void {
    this.register.close();
    super.close();
  }
}

/** What a server got as early data. */
export function earlyDataOf(endpoint: Endpoint): string {
  const chunks = endpoint.actions.flatMap((action) => (action.kind === 'earlyData' ? [action.bytes] : []));
  return Buffer.from(concat(...chunks)).toString();
}

/** What a client got back. */
export function rejectedOf(endpoint: Endpoint): string[] {
  return endpoint.actions.flatMap((action) =>
    action.kind === 'earlyDataRejected' ? [Buffer.from(action.bytes).toString()] : [],
  );
}

export function kindsOf(endpoint: Endpoint): string[] {
  return endpoint.actions.map(({ kind }) => kind);
}

/** The server took it, and it is what was sent; both ends agree and go on. */
export function assertTaken(link: Link, expected: Uint8Array = PING): void {
  const { client, server } = link;
  client.assertFine();
  server.assertFine();
  assert.equal(client.summary?.earlyData, 'taken');
  assert.equal(server.summary?.earlyData, 'taken');
  assert.equal(server.summary?.earlyDataRefusal, undefined);
  assert.equal(earlyDataOf(server), Buffer.from(expected).toString());
  assert.deepEqual(rejectedOf(client), []);
  assert.equal(server.data.length, 0, 'none of it passes for data of the handshake');
  link.assertComplete();
}

/** Nothing of it reached the server, the client has all of it, and the connection stands. */
export function assertRefused(link: Link, refusal: string, expected: Uint8Array = PING): void {
  const { client, server } = link;
  client.assertFine();
  server.assertFine();
  assert.equal(server.summary?.earlyDataRefusal, refusal);
  assert.equal(server.summary?.earlyData, 'refused');
  assert.equal(client.summary?.earlyData, 'refused');
  assert.equal(earlyDataOf(server), '');
  assert.deepEqual(rejectedOf(client), [Buffer.from(expected).toString()]);
  assert.equal(server.data.length, 0, 'nothing is sent again by itself');
  link.assertComplete();
}

export { cloneClientSession };
