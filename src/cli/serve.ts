/** `mayfly serve`: an HTTPS server for a folder, or a reverse proxy that ends TLS, with a ring of ticket keys. */

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { SecretCensus } from '../ledger/secrets.ts';
import { type Address, formatAddress, parseAddress } from './address.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { exitCode } from './exit-codes.ts';
import { createOutput, type Output } from './output.ts';
import { fileProblem, Problem } from './problem.ts';
import { announce } from './serve/announce.ts';
import { credentialsFromFiles, developmentCredentials, type ServerCredentials } from './serve/credentials.ts';
import { createFileHandler } from './serve/files.ts';
import { createProxy, parseUpstream } from './serve/proxy.ts';
import { openSite, type Site, type SiteOptions } from './serve/site.ts';
import { openStatusServer, type StatusServer } from './status/server.ts';
import type { RingSettings, StatusSource } from './status/snapshot.ts';

interface Flags {
  readonly listen: string;
  readonly cert?: string;
  readonly key?: string;
  readonly root?: string;
  readonly upstream?: string;
  readonly rotate: string;
  readonly lifetime: string;
  readonly resumption: boolean;
  readonly status: string | false;
  readonly unsafePublicStatus?: boolean;
  readonly keylog?: string;
  readonly caOut?: string;
  readonly json?: boolean;
}

const HOUR = 3_600_000;
/** A ticket key seals for at most 6 h, a ticket lives for at most 23 h, and no key opens anything after 24 h. */
const ROTATE_CAP = 6 * HOUR;
const LIFETIME_CAP = 23 * HOUR;
const OPEN_CAP = 24 * HOUR;
/** Milliseconds for running requests to finish after SIGTERM. */
const DRAIN_PATIENCE = 10_000;

export function serveCommand(): Command {
  return new Command('serve')
    .description('serve a folder over HTTPS, or end TLS in front of another server; resumption stays forward secret')
    .option('--listen <host:port>', 'where to accept connections', 'localhost:8443')
    .option('--cert <file>', 'certificate chain, PEM, leaf first (default: one made by a development CA)')
    .option('--key <file>', 'private key of the certificate, PEM')
    .addOption(new Option('--root <dir>', 'folder to serve (default: the current one)').conflicts('upstream'))
    .option('--upstream <url>', 'pass requests on to this http:// URL instead')
    .option('--rotate <duration>', 'how long a ticket key seals new tickets', '1h')
    .option('--lifetime <duration>', 'how long a ticket can be used', '2h')
    .option('--no-resumption', 'send no tickets: every handshake is a full one')
    .option('--status <host:port>', 'where the status page is served', '127.0.0.1:8444')
    .option('--no-status', 'no status page')
    .addOption(new Option('--unsafe-public-status', 'let the status page listen where others can reach it').hideHelp())
    .option('--keylog <file>', 'append the secrets of every connection (SSLKEYLOGFILE), for Wireshark')
    .option('--ca-out <file>', 'write the development CA’s certificate here too')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
Durations are written like 5s, 90s, 15m, 1h.

Examples:
  $ mayfly serve --root public
  $ mayfly serve --listen 0.0.0.0:443 --cert chain.pem --key key.pem --upstream http://127.0.0.1:3000
  $ mayfly serve --rotate 5s --lifetime 10s        (watch the ring turn)`,
    )
    .action(async (flags: Flags) => {
      await serve(flags);
    });
}

async function serve(flags: Flags): Promise<void> {
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
  const ring = parseRing(flags);
  const credentials = loadCredentials(flags, output);
  const keyLog = flags.keylog === undefined ? undefined : openKeyLog(flags.keylog, output);

  const census = new SecretCensus();
  census.start();
  let site: Site | undefined;
  const content = createContent(flags, () => site);
  site = await openSite({
    cert: credentials.cert,
    key: credentials.key,
    listen: address,
    sessions: { tickets: ring.enabled, rotate: ring.rotate, ticketLifetime: ring.lifetime },
    handle: content.handle,
    upgrade: content.upgrade,
    onKeyLog: keyLog?.write,
    onFailure: (failure) => output.event('connection-failed', failure),
  });
  const urls = site.addresses.map((at) => `https://${formatAddress(nameLocalhost(at, address))}`);
  const source: StatusSource = {
    site,
    census,
    startedAt,
    serving: content.what,
    urls: [...new Set(urls)],
    ring,
    certificate: {
      names: credentials.leaf.names,
      notAfter: credentials.leaf.notAfter,
      development: credentials.development !== undefined,
    },
  };
  const status = await openStatus(statusAddress, source, flags);
  announce({ output, source, credentials, addresses: site.addresses, status });
  drainOnSignal({ site, status, output, close: () => (content.close(), keyLog?.close()) });
}

interface Content {
  readonly what: string;
  readonly handle: SiteOptions['handle'];
  readonly upgrade?: SiteOptions['upgrade'];
  close(): void;
}

function createContent(flags: Flags, site: () => Site | undefined): Content {
  if (flags.upstream === undefined) {
    const folder = resolve(flags.root ?? '.');
    return { what: folder, handle: createFileHandler(folder), close() {} };
  }
  const upstream = parseUpstream(flags.upstream);
  const proxy = createProxy({
    upstream,
    isDraining: () => site()?.draining === true,
    onFailure: (code) => site()?.connections.upstreamFailures.add(code),
  });
  return { what: upstream.href, handle: proxy.handle, upgrade: proxy.upgrade, close: proxy.close };
}

function parseRing(flags: Flags): RingSettings {
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

function loadCredentials(flags: Flags, output: Output): ServerCredentials {
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    const missing = flags.cert === undefined ? '--cert' : '--key';
    throw new Problem('usage', `${missing} is missing`, '--cert and --key go together.');
  }
  if (flags.cert !== undefined && flags.key !== undefined) {
    if (flags.caOut !== undefined) {
      throw new Problem('usage', '--ca-out makes no sense with --cert', 'Only the development CA can be written out.');
    }
    return credentialsFromFiles(flags.cert, flags.key, output);
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

function openKeyLog(path: string, output: Output): { write(line: Uint8Array): void; close(): void } {
  let file: number | undefined;
  try {
    file = openSync(path, 'a', 0o600);
  } catch (error) {
    throw fileProblem('write', path, error);
  }
  output.warn(`${path} gets the secrets of every connection: whoever has it can read them all. Remove it after use.`);
  return {
    write(line) {
      if (file === undefined) {
        return;
      }
      try {
        writeSync(file, line);
      } catch (error) {
        output.warn(`the key log ended: ${fileProblem('write', path, error).line}`);
        this.close();
      }
    },
    close() {
      if (file !== undefined) {
        closeSync(file);
        file = undefined;
      }
    },
  };
}

async function openStatus(
  address: Address | undefined,
  source: StatusSource,
  flags: Flags,
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
    output.say(`${signal}: no new connections; ${open} open. Again to end at once.`);
    output.event('draining', { signal, open });
    site.drain(DRAIN_PATIENCE).then((cut) => {
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
