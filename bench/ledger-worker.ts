/**
 * What the ledger costs a handshake, in a process whose young generation is so large that nothing is collected: so what the
 * heap grows by is what was allocated. Prints a `LedgerCost` as JSON.
 */

import { generateKeyPairSync } from 'node:crypto';
import type { Action } from '../src/actions.ts';
import { utf8 } from '../src/bytes/bytes.ts';
import { Connection } from '../src/connection.ts';
import type { ServerContext } from '../src/connection-options.ts';
import { nodeProvider } from '../src/crypto/node-provider.ts';
import { KeyLedger } from '../src/ledger/key-ledger.ts';
import type { LedgerCost } from './ledger.ts';

const { publicKey: spki, privateKey } = generateKeyPairSync('ed25519');
const imported = nodeProvider.importPrivateKey(privateKey);
const publicKey = nodeProvider.importPublicKey(new Uint8Array(spki.export({ type: 'spki', format: 'der' })));
const context: ServerContext = {
  credentials: [{ certificateChain: [utf8('a certificate')], schemes: imported.schemes, privateKey: imported }],
  alpnProtocols: ['http/1.1'],
};

/** A full TLS 1.3 handshake between two connections in memory, and their end. */
function handshake(): void {
  const common = { provider: nodeProvider, now: Date.now, namedGroups: ['x25519'] } as const;
  const client = Connection.client({ ...common, serverName: 'localhost', alpnProtocols: ['http/1.1'] });
  const server = Connection.server({ ...common, context });
  const waiting: [Connection, Action[]][] = [[client, client.start()]];
  for (let turn = waiting.shift(); turn !== undefined; turn = waiting.shift()) {
    const [from, actions] = turn;
    for (const action of actions) {
      if (action.kind === 'send') {
        const to = from === client ? server : client;
        waiting.push([to, to.receive(action.bytes)]);
      } else if (action.kind === 'need') {
        const { need } = action;
        if (need.kind === 'verifyCertificate') {
          waiting.push([from, from.resume(need, publicKey)]);
        } else if (need.kind === 'sign') {
          waiting.push([from, from.resume(need, nodeProvider.sign(need.scheme, imported, need.data))]);
        }
      } else if (action.kind === 'failed') {
        throw action.error;
      }
    }
  }
  if (client.summary === undefined || server.summary === undefined) {
    throw new Error('the handshake is not complete');
  }
  client.erase();
  server.erase();
}

interface Round {
  readonly bytes: number;
  readonly micros: number;
}

function measure(): Round {
  const heap = process.memoryUsage().heapUsed;
  const begin = process.cpuUsage();
  for (let i = 0; i < HANDSHAKES; i++) {
    handshake();
  }
  const { user, system } = process.cpuUsage(begin);
  return { bytes: (process.memoryUsage().heapUsed - heap) / HANDSHAKES, micros: (user + system) / HANDSHAKES };
}

function median(rounds: readonly Round[], value: (round: Round) => number): number {
  return rounds.map(value).sort((a, b) => a - b)[Math.floor(rounds.length / 2)];
}

const HANDSHAKES = 40;
const ROUNDS = 7;
const collect = globalThis.gc as () => void;
const [silent, listening]: [Round[], Round[]] = [[], []];
let secrets = 0;
for (let i = 0; i < 200; i++) {
  handshake();
}
for (let round = 0; round < ROUNDS; round++) {
  collect();
  silent.push(measure());
  const ledger = new KeyLedger().start();
  handshake();
  secrets = ledger.size;
  collect();
  listening.push(measure());
  ledger.stop();
}
const cost: LedgerCost = {
  secrets,
  silent: { kib: median(silent, ({ bytes }) => bytes) / 1024, micros: median(silent, ({ micros }) => micros) },
  listening: { kib: median(listening, ({ bytes }) => bytes) / 1024, micros: median(listening, ({ micros }) => micros) },
};
process.stdout.write(JSON.stringify(cost));
