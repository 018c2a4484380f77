/** `mayfly serve`: an HTTPS server for a folder, or a reverse proxy that ends TLS, with a ring of ticket keys. */

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SecretCensus } from '../../ledger/secrets.ts';
import { type Address, formatAddress, isLoopback, parseAddress } from '../address.ts';
import { formatDuration, parseDuration } from '../duration.ts';
import { exitCode } from '../exit-codes.ts';
import { openKeyLog } from '../key-log.ts';
import { createOutput, type Output } from '../output.ts';
import { fileProblem, Problem } from '../problem.ts';
import type { ServeFlags } from '../serve.ts';
import { openStatusServer, type StatusServer } from '../status/server.ts';
import type { RingSettings, StatusSource } from '../status/snapshot.ts';
import { readCa } from '../trusted-file.ts';
import { parseVersions, type Versions } from '../versions.ts';
import { announce } from './announce.ts';
import { credentialsFromFiles, developmentCredentials, type ServerCredentials } from './credentials.ts';
import { createFileHandler } from './files.ts';
import { createProxy, parseUpstream } from './proxy.ts';
import { type Renewable, renewOnChange } from './renewal.ts';
import { openSite, type Site, type SiteOptions } from './site.ts';

const HOUR = 3_600_000;
/** A ticket key seals for at most 6 h, a ticket lives for at most 23 h, and no key opens anything after 24 h. */
const ROTATE_CAP = 6 * HOUR;
const LIFETIME_CAP = 23 * HOUR;
const OPEN_CAP = 24 * HOUR;
/** Milliseconds for running requests to finish after SIGTERM. */
const DRAIN_PATIENCE = 10_000;

/** Serves until a signal ends it. */
export async function serve(flags: ServeFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const startedAt = Date.now();
  // All that can be wrong is found before anything is opened.
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
  const ring = parseRing(flags);
  if (flags.clientCert !== undefined && flags.clientCa === undefined) {
    throw new Problem('usage', '--client-ca is missing', '--client-cert needs to know which certificates are good.');
  }
  checkEarlyData(flags, versions);
  const credentials = loadCredentials(flags, output);
  const clients = parseClients(flags);
  const keyLog = flags.keylog === undefined ? undefined : openKeyLog(flags.keylog, output);

  const census = new SecretCensus();
  census.start();
  let site: Site | undefined;
  const content = createContent(flags, () => site);
  site = await openSite({
    cert: credentials.cert,
    key: credentials.key,
    ocspResponse: credentials.ocspResponse,
    ...(clients === undefined ? {} : { clients }),
    listen: address,
    versions,
    sessions: {
      tickets: ring.enabled,
      sessionIds: ring.enabled,
      rotate: ring.rotate / 1000,
      ticketLifetime: ring.lifetime / 1000,
      ...(flags.earlyData === true ? { earlyData: true, singleUse: true } : {}),
    },
    handle: content.handle,
    upgrade: content.upgrade,
    onKeyLog: keyLog?.write,
    onFailure: (failure) => output.event('connection-failed', failure),
  });
  const urls = site.addresses.map((at) => `https://${formatAddress(nameLocalhost(at, address))}`);
  let inUse = credentials;
  const source: StatusSource = {
    site,
    census,
    startedAt,
    serving: content.what,
    urls: [...new Set(urls)],
    versions,
    ring,
    get certificate() {
      const { leaf, development } = inUse;
      return { names: leaf.names, notAfter: leaf.notAfter, development: development !== undefined };
    },
  };
  const status = await openStatus(statusAddress, source, flags);
  const running = site;
  const endRenewal = renewFiles(flags, { credentials, clients }, output, (renewed) => {
    running.renew({ ...renewed.credentials, clients: renewed.clients });
    inUse = renewed.credentials;
  });
  if (flags.earlyData === true) {
    output.warn('early data is taken: such requests can be replayed, and are not forward secret');
  }
  announce({ output, source, credentials, clients, addresses: site.addresses, status });
  if (credentials.development !== undefined && !isLoopback(address.host)) {
    output.warn(
      `the certificate is for ${credentials.leaf.names.join(', ')} only: give one for other names with --cert`,
    );
  }
  drainOnSignal({
    site,
    status,
    output,
    close() {
      endRenewal();
      content.close();
      keyLog?.close();
    },
  });
}

interface Content {
  readonly what: string;
  readonly handle: SiteOptions['handle'];
  readonly upgrade?: SiteOptions['upgrade'];
  close(): void;
}

function createContent(flags: ServeFlags, site: () => Site | undefined): Content {
  if (flags.upstream === undefined) {
    const folder = resolve(flags.root ?? '.');
    return { what: folder, handle: createFileHandler(folder), close() {} };
  }
  const upstream = parseUpstream(flags.upstream);
  const proxy = createProxy({
    upstream,
    port: () => site()?.addresses[0].port,
    isDraining: () => site()?.draining === true,
    onFailure: (code) => site()?.connections.upstreamFailures.add(code),
  });
  return { what: upstream.href, handle: proxy.handle, upgrade: proxy.upgrade, close: proxy.close };
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

function parseRing(flags: ServeFlags): RingSettings {
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

/** @throws Problem `usage`, `file`, `bad_pem` */
function parseClients({ clientCa, clientCert = 'require' }: ServeFlags): SiteOptions['clients'] {
  if (clientCert !== 'require' && clientCert !== 'request') {
    throw new Problem('usage', `--client-cert: "${clientCert}" is not a choice`, 'Write require or request.');
  }
  return clientCa === undefined ? undefined : { ca: readCa(clientCa), required: clientCert === 'require' };
}

function loadCredentials(flags: ServeFlags, output: Output): ServerCredentials {
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    const missing = flags.cert === undefined ? '--cert' : '--key';
    throw new Problem('usage', `${missing} is missing`, '--cert and --key go together.');
  }
  if (flags.cert !== undefined && flags.key !== undefined) {
    if (flags.caOut !== undefined) {
      throw new Problem('usage', '--ca-out makes no sense with --cert', 'Only the development CA can be written out.');
    }
    return credentialsFromFiles(flags.cert, flags.key, output, flags.staple);
  }
  if (flags.staple !== undefined) {
    throw new Problem('usage', '--cert is missing', '--staple goes with a certificate of yours.');
  }
  const credentials = developmentCredentials(output);
  if (flags.caOut !== undefined && credentials.development !== undefined) {
    try {
      writeFileSync(flags.caOut, credentials.development.caPem);
    } catch (error) {
      throw fileProblem('write', flags.caOut, error);
    }
  }
  return credentials;
}

/** Nothing is watched for a development CA, whose certificate is new at each start. */
function renewFiles(
  flags: ServeFlags,
  current: Renewable,
  output: Output,
  apply: (renewed: Renewable) => void,
): () => void {
  if (flags.cert === undefined) {
    return () => {};
  }
  const paths = [flags.cert, flags.key, flags.staple, flags.clientCa].filter((path) => path !== undefined);
  const load = () => ({ credentials: loadCredentials(flags, output), clients: parseClients(flags) });
  return renewOnChange({ paths, current, load, apply, output });
}

async function openStatus(
  address: Address | undefined,
  source: StatusSource,
  flags: ServeFlags,
): Promise<StatusServer | undefined> {
  if (address === undefined) {
    return undefined;
  }
  try {
    return await openStatusServer(address, source, flags.unsafePublicStatus === true);
  } catch (error) {
    await source.site.drain(0);
    throw error;
  }
}

/** The name people type, where they asked for it by name. */
function nameLocalhost(at: Address, wanted: Address): Address {
  return wanted.host.toLowerCase() === 'localhost' ? { host: 'localhost', port: at.port } : at;
}

interface Drain {
  readonly site: Site;
  readonly status: StatusServer | undefined;
  readonly output: Output;
  close(): void;
}

function drainOnSignal({ site, status, output, close }: Drain): void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals++;
    if (signals > 1) {
      process.exit(exitCode('interrupted'));
    }
    const open = site.connections.openCount;
    const drained = site.drain(DRAIN_PATIENCE);
    output.say(`${signal}: no new connections; ${open} open. Again to end at once.`);
    output.event('draining', { signal, open });
    drained.then((cut) => {
      status?.close();
      close();
      output.say(cut === 0 ? 'All done. Ticket keys erased.' : `${cut} cut off after 10s. Ticket keys erased.`);
      output.event('stopped', { cut });
      // Nothing of ours is left open, but a user's --upstream may hold a socket.
      process.exit(exitCode('ok'));
    });
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}
