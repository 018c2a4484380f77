/**
 * A server process as a fleet has many: for each site a Mayfly server whose ring is on that site's Redis. Told by the
 * environment what to serve; answers each line of its standard input with one line on how it is.
 */

import { createInterface } from 'node:readline';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { ringConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { readIdentityFile } from '../../src/fleet/identity.ts';
import type { RingStatus } from '../../src/fleet/member-status.ts';
import { connectRedis } from '../../src/fleet/redis/connection.ts';
import { RedisStore } from '../../src/fleet/redis/redis-store.ts';
import { Ring } from '../../src/fleet/ring.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import { systemClock } from '../../src/node/clock.ts';
import { createServer } from '../../src/node/tls.ts';

export interface SiteOptions {
  readonly name: string;
  readonly port: number;
  readonly redis: string;
  /** Content of an identity file. */
  readonly identity: string;
  /** Milliseconds. */
  readonly epochLength: number;
}

/** By the name of the site. */
export type ProcessStatus = Readonly<
  Record<string, { readonly ring: RingStatus; readonly full: number; readonly resumed: number }>
>;

const POLICY = 'default';
const provider = nodeProvider;
const { SITES = '[]', CERT: cert, KEY: key } = process.env;

const sites = (JSON.parse(SITES) as SiteOptions[]).map(({ name: site, port, redis, identity: file, epochLength }) => {
  const { fleetName, name, identity, members } = readIdentityFile(provider, file);
  const configuration = ringConfiguration({
    fleetName,
    allowList: members.map(({ publicKey }) => publicKey),
    epochLength,
    ticketLifetime: 2 * epochLength,
  });
  const store = new RedisStore(connectRedis({ url: redis }), ringId(provider, configuration));
  const uses = ticketKeyUses(POLICY);
  const ring = new Ring({ provider, configuration, identity, name, uses, store, clock: systemClock });
  const server = createServer(
    { cert, key, minVersion: 'TLSv1.2', sessions: { keys: ring.ticketKeys(POLICY), ticketLifetime: '1m' } },
    (socket) => {
      socket.on('error', () => {});
      socket.once('data', (question: Buffer) => socket.end(question));
    },
  );
  server.listen(port, '127.0.0.1', () => console.log(`serving ${site}`));
  return { site, ring, server };
});

for await (const order of createInterface({ input: process.stdin })) {
  const status = sites.map(({ site, ring, server: { counters } }) => [
    site,
    { ring: ring.status(), full: counters.full, resumed: counters.resumed },
  ]);
  console.log(`${order} ${JSON.stringify(Object.fromEntries(status))}`);
}
