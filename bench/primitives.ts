/**
 * What the primitives cost through the provider, and the floor they set: a handshake cannot cost less than the sum of
 * its primitives and its TCP connection.
 *
 *     floor of one end = Σ count(primitive) × µs(primitive)
 *
 * The counts follow RFC 9846 §4.1, §7.1: x25519, ECDSA P-256, TLS_AES_128_GCM_SHA256, two tickets after a full
 * handshake and one after a resumption.
 */

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { nodeProvider } from '../src/crypto/node-provider.ts';
import type { KeyShare } from '../src/crypto/provider.ts';
import type { AeadName } from '../src/crypto/suites.ts';
import { machineFacts } from './machine.ts';
import type { Finding } from './main.ts';
import { type Sheet, sheetMarkdown, sheetText } from './sheet.ts';
import { significant } from './statistics.ts';
import { measureTickets } from './tickets.ts';
import { microsPerCall } from './timing.ts';

export async function primitives(options: { readonly json: boolean }): Promise<Finding> {
  const machine = machineFacts();
  const costs: Costs = { ...keyCosts(), ...hashCosts(), ...recordCosts(), ...ticketCosts(), tcp: await tcpCost() };
  const floors = Object.entries(counts).map(([name, count]) => ({ name, micros: sum(count, costs) }));
  if (options.json) {
    const rounded = Object.fromEntries(Object.entries(costs).map(([name, micros]) => [name, significant(micros)]));
    const sums = Object.fromEntries(floors.map(({ name, micros }) => [name, significant(micros)]));
    return { text: JSON.stringify({ primitives: rounded, floors: sums, machine }) };
  }
  const sheets = [costSheet(costs), floorSheet(costs)];
  const { cpu, cores, node, openssl, load } = machine;
  return {
    text: [`${cpu}, ${cores} cores, Node ${node}, OpenSSL ${openssl}, load ${load}`, ...sheets.map(sheetText)].join(
      '\n',
    ),
    markdown: sheets.map(sheetMarkdown).join('\n\n'),
  };
}

function costSheet(costs: Costs): Sheet {
  return {
    title: 'Primitives, alone and through the provider',
    head: ['primitive', 'µs'],
    rows: Object.entries(costs).map(([name, micros]) => [labels[name] ?? name, String(significant(micros))]),
  };
}

function floorSheet(costs: Costs): Sheet {
  return {
    title: 'Floors: what one end of a handshake cannot do without, µs',
    head: ['end', 'sum', 'public keys', 'key schedule, transcript', 'records, tickets', 'TCP'],
    rows: Object.entries(counts).map(([name, count]) => {
      const part = (keys: readonly string[]): string => String(significant(sum(pick(count, keys), costs)));
      const all = String(significant(sum(count, costs)));
      return [name, all, part(PUBLIC_KEY), part(SCHEDULE), part(RECORDS), part(['tcp'])];
    }),
  };
}

/** µs by primitive. */
type Costs = Record<string, number>;
/** How often one end of a handshake uses each primitive. */
type Counts = Readonly<Record<string, number>>;

function keyCosts(): Costs {
  const provider = nodeProvider;
  const generate = microsPerCall(() => provider.generateKeyShare('x25519').erase());
  const peer = provider.generateKeyShare('x25519').publicKey;
  const both = microsPerCall(() => {
    const share: KeyShare = provider.generateKeyShare('x25519');
    share.agree(peer).erase();
  });
  const encapsulate = microsPerCall(() => {
    provider.encapsulate('x25519', peer).sharedSecret.erase();
  });
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'der' },
  });
  const key = provider.importPrivateKey(privateKey);
  const publicKey = provider.importPublicKey(key.publicKeySpki);
  const content = new Uint8Array(130);
  const signature = provider.sign('ecdsa_secp256r1_sha256', key, content);
  return {
    generateKeyShare: generate,
    agree: Math.max(0, both - generate),
    encapsulate,
    sign: microsPerCall(() => {
      provider.sign('ecdsa_secp256r1_sha256', key, content);
    }),
    verify: microsPerCall(() => {
      provider.verify('ecdsa_secp256r1_sha256', publicKey, content, signature);
    }),
  };
}

function hashCosts(): Costs {
  const provider = nodeProvider;
  const key = new Uint8Array(32);
  const label = new Uint8Array(54);
  const message = new Uint8Array(300);
  const random = new Uint8Array(32);
  return {
    hmac: microsPerCall(() => {
      provider.hmacOfRandomKey('sha256', key, label);
    }),
    transcript: microsPerCall(() => {
      const hash = provider.createHash('sha256');
      for (let i = 0; i < 7; i++) {
        hash.update(message);
        if (i > 1) {
          hash.digest();
        }
      }
    }),
    random: microsPerCall(() => provider.random(random)),
  };
}

function recordCosts(): Costs {
  const costs: Costs = {};
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(5);
  for (const name of AEADS) {
    const aead = nodeProvider.aead(name, new Uint8Array(name === 'aes-128-gcm' ? 16 : 32));
    for (const [text, size] of SIZES) {
      const plaintext = new Uint8Array(size);
      const sealed = new Uint8Array(size + 16);
      costs[`seal ${name} ${text}`] = microsPerCall(() => aead.seal(nonce, aad, plaintext, sealed, 0));
      costs[`open ${name} ${text}`] = microsPerCall(() => {
        aead.open(nonce, aad, sealed);
      });
    }
    aead.erase();
  }
  return costs;
}

function ticketCosts(): Costs {
  const { seal, open } = measureTickets();
  return { sealTicket: seal, openTicket: open };
}

/** CPU of one end of a loopback connection: connect or accept, and close. */
async function tcpCost(): Promise<number> {
  const server = createServer((socket) => socket.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connections = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      await once(connect(port, '127.0.0.1').resume(), 'close');
    }
  };
  await connections(300);
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: 8 }, () => connections(150)));
  const used = process.cpuUsage(before);
  server.close();
  return (used.user + used.system) / (8 * 150) / 2;
}

function sum(count: Counts, costs: Costs): number {
  return Object.entries(count).reduce((total, [name, times]) => total + times * costs[name], 0);
}

function pick(count: Counts, keys: readonly string[]): Counts {
  return Object.fromEntries(Object.entries(count).filter(([name]) => keys.includes(name)));
}

const AEADS: readonly AeadName[] = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];
const SIZES: readonly (readonly [string, number])[] = [
  ['64 B', 64],
  ['1 KiB', 1024],
  ['16 KiB', 16384],
];
const SEAL = 'seal aes-128-gcm 64 B';
const OPEN = 'open aes-128-gcm 64 B';
const SEAL_FLIGHT = 'seal aes-128-gcm 1 KiB';
const OPEN_FLIGHT = 'open aes-128-gcm 1 KiB';
const PUBLIC_KEY = ['generateKeyShare', 'agree', 'encapsulate', 'sign', 'verify'];
const SCHEDULE = ['hmac', 'transcript', 'random'];
const RECORDS = [SEAL, OPEN, SEAL_FLIGHT, OPEN_FLIGHT, 'sealTicket', 'openTicket'];

/** Each end: flight, Finished, tickets, and a close_notify each way. A client derives a ticket's PSK when it uses it. */
const counts: Readonly<Record<string, Counts>> = {
  'full, client': {
    generateKeyShare: 1,
    agree: 1,
    verify: 1,
    hmac: 20,
    transcript: 1,
    random: 1,
    [OPEN_FLIGHT]: 2,
    [SEAL]: 2,
    [OPEN]: 1,
    tcp: 1,
  },
  'full, server': {
    encapsulate: 1,
    sign: 1,
    hmac: 23,
    transcript: 1,
    random: 1,
    sealTicket: 2,
    [SEAL_FLIGHT]: 2,
    [OPEN]: 2,
    [SEAL]: 1,
    tcp: 1,
  },
  'resumed, client': {
    generateKeyShare: 1,
    agree: 1,
    hmac: 25,
    transcript: 1,
    random: 1,
    [OPEN]: 3,
    [SEAL]: 2,
    tcp: 1,
  },
  'resumed, server': {
    encapsulate: 1,
    hmac: 27,
    transcript: 1,
    random: 1,
    openTicket: 1,
    sealTicket: 1,
    [SEAL]: 3,
    [OPEN]: 2,
    tcp: 1,
  },
};

const labels: Readonly<Record<string, string>> = {
  generateKeyShare: 'x25519 key share',
  agree: 'x25519 agreement',
  encapsulate: 'x25519 key share and agreement (server)',
  sign: 'ECDSA P-256 sign',
  verify: 'ECDSA P-256 verify',
  hmac: 'HMAC-SHA256, 54 bytes',
  transcript: 'transcript hash, 7 messages, 5 digests',
  random: '32 random bytes',
  sealTicket: 'seal a ticket',
  openTicket: 'open a ticket',
  tcp: 'TCP connection, one end',
};
