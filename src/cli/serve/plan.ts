/** What `serve` is told to do: its flags, read and checked before anything is opened. */

import { join } from 'node:path';
import type { FleetIdentityOptions, FleetOptions } from '../../node/fleet.ts';
import { type Address, parseAddress } from '../address.ts';
import { formatDuration, parseDuration } from '../duration.ts';
import { type HttpChoice, parseHttp } from '../http-choice.ts';
import { Problem } from '../problem.ts';
import type { ServeFlags } from '../serve.ts';
import type { RingSettings } from '../status/snapshot.ts';
import { readCa } from '../trusted-file.ts';
import { parseVersions, type Versions } from '../versions.ts';
import { parseHsts } from './hsts.ts';
import { refuseServedSecrets } from './served-secrets.ts';
import { stateFolder } from './state-folder.ts';
import { DEFAULT_CONNECTIONS } from './upstream/limits.ts';

export interface ServePlan {
  readonly flags: ServeFlags;
  readonly address: Address;
  readonly statusAddress: Address | undefined;
  readonly versions: Versions;
  readonly http: HttpChoice;
  readonly ring: RingSettings;
  readonly fleet: FleetOptions | undefined;
  /** Undefined: this process serves by itself. */
  readonly workers: number | undefined;
  /** Connections to the upstream server at a time; undefined: as many as is usual. */
  readonly upstreamConnections: number | undefined;
  /** Of these, of one client address; undefined: no more than are left. */
  readonly upstreamPerClient: number | undefined;
  /** The value of Strict-Transport-Security. */
  readonly hsts: string | undefined;
}

const HOUR = 3_600_000;
/** A ticket key seals for at most 6 h, a ticket lives for at most 23 h, and no key opens anything after 24 h. */
const ROTATE_CAP = 6 * HOUR;
const LIFETIME_CAP = 23 * HOUR;
const OPEN_CAP = 24 * HOUR;
/** More than any machine has processors for: a slip of the pen. */
const MAX_WORKERS = 255;
/** There are no more ports to connect from. */
const MAX_UPSTREAM_CONNECTIONS = 65_535;
/** An epoch of a shared ring: below it there is no time to hand the key on. */
const SHARED_ROTATE_MIN = 6_000;

/** @throws Problem `usage`, `file` */
export async function planServing(flags: ServeFlags): Promise<ServePlan> {
  const address = parseAddress(flags.listen, {
    flag: '--listen',
    defaultHost: 'localhost',
    defaultPort: 8443,
    listening: true,
  });
  const statusAddress =
    flags.status === false
      ? undefined
      : parseAddress(flags.status, { flag: '--status', defaultHost: '127.0.0.1', defaultPort: 8444, listening: true });
  const versions = parseVersions(flags.tls);
  const http = parseHttp(flags.http);
  const workers = parseWorkers(flags.workers);
  const upstream = parseUpstreamConnections(flags);
  const times = parseRing(flags);
  const hsts = readHsts(flags);
  if (flags.clientCert !== undefined && flags.clientCa === undefined) {
    throw new Problem('usage', '--client-ca is missing', '--client-cert needs to know which certificates are good.');
  }
  checkEarlyData(flags, versions);
  checkPsks(flags, versions);
  checkLegacyMasterSecret(flags, versions);
  if (flags.upstream === undefined) {
    const { key = [], identity, keylog } = flags;
    refuseServedSecrets(flags.root ?? '.', {
      'the private key': key,
      'the identity file': identity,
      'the pre-shared keys': flags.pskFile,
      'the key log': keylog,
      'the development CA’s key': flags.cert === undefined ? join(stateFolder(), 'ca-key.pem') : undefined,
    });
  }
  const { options: fleet, fleetName } = (await parseFleet(flags, times, workers)) ?? {};
  if ((fleet !== undefined || workers !== undefined) && times.rotate < SHARED_ROTATE_MIN) {
    throw new Problem('usage', `--rotate: ${flags.rotate} is too short for a ring that is shared`, 'Give 6s or more.');
  }
  const ring: RingSettings = {
    ...times,
    sharedBy: fleet !== undefined ? 'fleet' : workers !== undefined ? 'machine' : 'process',
    ...(fleetName === undefined ? {} : { fleetName }),
  };
  return { flags, address, statusAddress, versions, http, ring, fleet, workers, hsts, ...upstream };
}

function readHsts({ hsts, cert }: ServeFlags): string | undefined {
  if (hsts !== undefined && cert === undefined) {
    throw new Problem(
      'usage',
      '--hsts needs a certificate of yours: for localhost, browsers would take it for every port and every program',
      'Give --cert and --key, or leave it out.',
    );
  }
  return hsts === undefined ? undefined : parseHsts(hsts);
}

function checkEarlyData(flags: ServeFlags, versions: Versions): void {
  if (flags.earlyData !== true) {
    return;
  }
  if (!flags.resumption) {
    throw new Problem('usage', '--early-data comes with sessions', 'Leave out --no-resumption.');
  }
  if (!versions.includes('TLSv1.3')) {
    throw new Problem('usage', '--early-data needs TLS 1.3', 'Leave out --tls 1.2.');
  }
}

function checkLegacyMasterSecret({ dangerouslyAllowLegacyMasterSecret: given }: ServeFlags, versions: Versions): void {
  if (given === true && !versions.includes('TLSv1.2')) {
    throw new Problem(
      'usage',
      '--dangerously-allow-legacy-master-secret is for TLS 1.2, which is not spoken here',
      'Leave it out.',
    );
  }
}

function checkPsks({ pskFile, clientCa, clientCert }: ServeFlags, versions: Versions): void {
  if (pskFile === undefined) {
    return;
  }
  if (!versions.includes('TLSv1.3')) {
    throw new Problem('usage', '--psk-file needs TLS 1.3', 'Leave out --tls 1.2.');
  }
  if (clientCa !== undefined && clientCert !== 'request') {
    throw new Problem(
      'usage',
      '--psk-file does not go with certificates that are required of clients: who has a key shows none',
      'Give --client-cert request, or leave out one of them.',
    );
  }
}

function parseRing(flags: ServeFlags): Pick<RingSettings, 'enabled' | 'rotate' | 'lifetime'> {
  const rotate = parseDuration(flags.rotate, '--rotate');
  const lifetime = parseDuration(flags.lifetime, '--lifetime');
  if (rotate < 1000 || rotate > ROTATE_CAP) {
    throw new Problem('usage', `--rotate: ${flags.rotate} is not between 1s and 6h`, 'A key must not seal for longer.');
  }
  if (lifetime < 1000 || lifetime > LIFETIME_CAP) {
    throw new Problem('usage', `--lifetime: ${flags.lifetime} is not between 1s and 23h`, 'Choose a shorter one.');
  }
  if (rotate + lifetime > OPEN_CAP) {
    throw new Problem(
      'usage',
      `--rotate ${flags.rotate} and --lifetime ${flags.lifetime} make ${formatDuration(rotate + lifetime)} together`,
      'No key may open a ticket for longer than 24h after its birth: shorten one of them.',
    );
  }
  return { enabled: flags.resumption, rotate, lifetime };
}

function parseWorkers(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseCount(text, '--workers', MAX_WORKERS, 'One per processor will do.');
}

function parseUpstreamConnections(flags: ServeFlags): Pick<ServePlan, 'upstreamConnections' | 'upstreamPerClient'> {
  const { upstream, upstreamConnections: all, upstreamPerClient: each } = flags;
  const count = (text: string | undefined, flag: string, most: number, remedy: string): number | undefined => {
    if (text !== undefined && upstream === undefined) {
      throw new Problem('usage', '--upstream is missing', `${flag} goes with it.`);
    }
    return text === undefined ? undefined : parseCount(text, flag, most, remedy);
  };
  const upstreamConnections = count(
    all,
    '--upstream-connections',
    MAX_UPSTREAM_CONNECTIONS,
    `Leave it out for ${DEFAULT_CONNECTIONS}.`,
  );
  const most = upstreamConnections ?? DEFAULT_CONNECTIONS;
  const upstreamPerClient = count(
    each,
    '--upstream-per-client',
    most,
    'Leave it out, and one address has half of them at most.',
  );
  return { upstreamConnections, upstreamPerClient };
}

function parseCount(text: string, flag: string, most: number, remedy: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > most) {
    throw new Problem('usage', `${flag}: "${text}" is not a number from 1 to ${most}`, remedy);
  }
  return count;
}

/** What it takes is loaded only for a fleet: it is a sixth of the modules of `serve`. */
async function parseFleet(
  flags: ServeFlags,
  { enabled, rotate, lifetime }: { enabled: boolean; rotate: number; lifetime: number },
  workers: number | undefined,
): Promise<{ options: FleetOptions; fleetName: string } | undefined> {
  const { fleet: url, identity, fleetName } = flags;
  if (url === undefined) {
    const alone =
      flags.fleetName !== undefined ? '--fleet-name' : flags.fleetCa !== undefined ? '--fleet-ca' : undefined;
    if (alone !== undefined) {
      throw new Problem('usage', '--fleet is missing', `${alone} goes with it.`);
    }
    return undefined;
  }
  if (identity === undefined) {
    throw new Problem('usage', '--identity is missing', 'Each host of a fleet has its own: see mayfly ring init.');
  }
  if (!enabled) {
    throw new Problem('usage', '--fleet shares sessions, and --no-resumption has none', 'Leave out one of them.');
  }
  const { describeRedisUrl } = await import('../../fleet/redis/address.ts');
  const { planFleet } = await import('../../node/fleet.ts');
  describeRedisUrl(url);
  const options: FleetIdentityOptions = { identity, fleetName, rotate: rotate / 1000, ticketLifetime: lifetime / 1000 };
  const { file } = planFleet(options);
  return {
    options: {
      ...options,
      url,
      ...(flags.fleetCa === undefined ? {} : { ca: readCa(flags.fleetCa) }),
      ...(workers === undefined ? {} : { processes: workers }),
    },
    fleetName: file.fleetName,
  };
}
