/**
 * The fixed scenarios whose work is counted, named by mode. Those that begin with `socket_` go through `mayfly/tls` over
 * loopback, both ends in one process; all others run over two connections in memory.
 */

import type { ClientOptions } from '../../src/connection-options.ts';
import type { World } from './memory-pair.ts';
import type { ScenarioName } from './names.ts';
import { socketScenarios } from './socket-scenarios.ts';

export type Operation = () => undefined | Promise<void>;

export interface Scenario {
  readonly name: ScenarioName;
  /** What one operation is. Counts are per operation, of both ends together. */
  readonly what: string;
  /** Operations between two looks at the heap. */
  readonly batch: number;
  prepare(world: World): Operation | Promise<Operation>;
}

/** A handshake of each kind, from two new connections to their end. */
function handshake(
  name: ScenarioName,
  what: string,
  kind: {
    readonly client?: Partial<ClientOptions>;
    readonly resumed?: boolean;
    readonly byId?: boolean;
    readonly batch?: number;
  },
): Scenario {
  return {
    name,
    what,
    batch: kind.batch ?? 24,
    prepare(world) {
      const context = kind.byId === true ? world.byId : world.byTicket;
      const session = kind.resumed === true ? world.session(kind.client, context) : undefined;
      const options = session === undefined ? kind.client : { ...kind.client, session };
      return () => {
        world.connect(options, context).erase();
        return undefined;
      };
    },
  };
}

function transfer(name: ScenarioName, size: number): Scenario {
  return {
    name,
    what: `a write of ${size} bytes from server to client`,
    batch: Math.min(200, (2 * MIB) / size),
    prepare(world) {
      const pair = world.connect();
      const data = new Uint8Array(size).fill(0x61);
      return () => {
        pair.send(pair.server, data);
        return undefined;
      };
    },
  };
}

function pingpong(name: ScenarioName, size: number): Scenario {
  return {
    name,
    what: `${size} bytes there and back`,
    batch: 200,
    prepare(world) {
      const pair = world.connect();
      const data = new Uint8Array(size).fill(0x61);
      return () => {
        pair.send(pair.client, data);
        pair.send(pair.server, data);
        return undefined;
      };
    },
  };
}

const keyUpdate: Scenario = {
  name: 'key_update',
  what: 'new traffic keys in both directions',
  batch: 100,
  prepare(world) {
    const pair = world.connect();
    const data = new Uint8Array(1);
    return () => {
      pair.deliver(pair.client, pair.client.updateKeys(true));
      // What makes the server send its own KeyUpdate.
      pair.send(pair.server, data);
      return undefined;
    };
  },
};

const MIB = 1_048_576;
const TLS12: Partial<ClientOptions> = { versions: ['TLSv1.2'] };

const scenarios: readonly Scenario[] = [
  handshake('handshake_full_1.3_p256', 'full handshake: x25519, ECDSA P-256, two tickets', {}),
  handshake('handshake_full_1.3_hybrid', 'the same with X25519MLKEM768', {
    client: { namedGroups: ['X25519MLKEM768'] },
    // Without a native ML-KEM one takes megabytes.
    batch: 3,
  }),
  handshake('handshake_psk_dhe', 'resumed TLS 1.3 handshake, one ticket', { resumed: true }),
  handshake('handshake_full_1.2_p256', 'full TLS 1.2 handshake: x25519, ECDSA P-256', { client: TLS12 }),
  handshake('handshake_ticket_1.2', 'resumed by ticket', { client: TLS12, resumed: true }),
  handshake('handshake_id_1.2', 'resumed by session ID', {
    client: { ...TLS12, offerTickets12: false },
    resumed: true,
    byId: true,
  }),
  transfer('transfer_64k', 65_536),
  transfer('transfer_16k', 16_384),
  transfer('transfer_1k', 1024),
  pingpong('pingpong_1b', 1),
  pingpong('pingpong_1k', 1024),
  keyUpdate,
  ...socketScenarios,
];

/** Those of these names; all for none. */
export function scenariosOf(names: readonly string[]): readonly Scenario[] {
  const unknown = names.find((name) => !scenarios.some((scenario) => scenario.name === name));
  if (unknown !== undefined) {
    throw new Error(`there is no scenario ${unknown}`);
  }
  return names.length === 0 ? scenarios : scenarios.filter(({ name }) => names.includes(name));
}

export async function repeat(operation: Operation, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const running = operation();
    // Not always: awaiting allocates.
    if (running !== undefined) {
      await running;
    }
  }
}
