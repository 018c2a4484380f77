/** What one process of `serve` runs: the server, what it serves, its sessions and its books. */

import { resolve } from 'node:path';
import { startKeyLedger } from '../../ledger/process-ledger.ts';
import { SecretCensus } from '../../ledger/secrets.ts';
import type { SessionOptions } from '../../node/tls.ts';
import type { SharedSingleUseRegister } from '../../session/single-use-register.ts';
import { type Address, formatAddress } from '../address.ts';
import { openKeyLog } from '../key-log.ts';
import type { Output } from '../output.ts';
import { listOf } from '../policy/serve-policy.ts';
import { alarmText } from '../ring/words.ts';
import type { ServeFlags } from '../serve.ts';
import type { ServingFacts, SharedRingStatus, StatusSource } from '../status/snapshot.ts';
import { StoreErrors } from '../store-errors.ts';
import { allCredentials, certificateTable } from './certificate-table.ts';
import type { ServerCredentials } from './credentials.ts';
import { createFileHandler } from './files.ts';
import type { ServePlan } from './plan.ts';
import { KnownPsks } from './psks.ts';
import type { Renewable } from './renewal.ts';
import { openSite, type Site, type SiteOptions } from './site.ts';
import type { UpstreamStatus } from './upstream/books.ts';
import { createProxy, parseUpstream } from './upstream/proxy.ts';

/** A ring that others have too, and what goes with it. */
export interface SharedSessions {
  readonly options: SessionOptions;
  /** For tickets that are good once. */
  readonly register: SharedSingleUseRegister;
  ringStatus(): SharedRingStatus | undefined;
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly plan: ServePlan;
  readonly renewable: Renewable;
  readonly output: Output;
  /** Undefined: the process has a ring of its own. */
  readonly shared: SharedSessions | undefined;
  readonly startedAt: number;
}

export interface Engine {
  readonly site: Site;
  readonly source: StatusSource;
  renew(renewed: Renewable): void;
  /** When the site has drained. */
  close(): Promise<void>;
}

/** @throws Problem `port_busy`, `cannot_listen`, `file` */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { plan, renewable, output, shared, startedAt } = options;
  const { flags, address, versions, http, ring } = plan;
  const { credentials, clients } = renewable;
  const keyLog = flags.keylog === undefined ? undefined : openKeyLog(flags.keylog, output);
  const census = new SecretCensus();
  // Without a status page nobody could look at these books, which cost a tenth of a handshake.
  const watched = plan.statusAddress !== undefined;
  if (watched) {
    census.start();
    startKeyLedger();
  }
  let site: Site | undefined;
  const psks = flags.pskFile === undefined ? undefined : new KnownPsks(flags.pskFile);
  const content = await createContent(plan, () => site, watched);
  const running = await openSite({
    ...certificateTable(credentials),
    ...(clients === undefined ? {} : { clients }),
    ...(psks === undefined ? {} : { lookUpPsk: psks.lookUp }),
    ...(flags.suite === undefined ? {} : { suites: listOf(flags.suite) }),
    ...(flags.sigalgs === undefined ? {} : { sigalgs: listOf(flags.sigalgs) }),
    ...(flags.dangerouslyAllowLegacyMasterSecret === true ? { allowLegacyMasterSecret: true } : {}),
    // With a policy, it says this too.
    ...(flags.group === undefined || flags.policyOptions !== undefined ? {} : { groups: listOf(flags.group) }),
    listen: address,
    versions,
    http,
    countsVisits: watched,
    ...(flags.policyOptions === undefined ? {} : { policy: flags.policyOptions }),
    sessions: sessionOptions(plan, shared),
    ...(plan.hsts === undefined ? {} : { hsts: plan.hsts }),
    handle: content.handle,
    ...(content.handleExpecting === undefined ? {} : { handleExpecting: content.handleExpecting }),
    upgrade: content.upgrade,
    onKeyLog: keyLog?.write,
    onFailure: (failure) => output.event('connection-failed', failure),
  });
  site = running;
  let inUse = credentials;
  const source: StatusSource = {
    site: running,
    census,
    startedAt,
    serving: content.what,
    urls: urlsOf(running.addresses, address),
    versions,
    ring,
    ...(shared === undefined ? {} : { ringStatus: () => shared.ringStatus() }),
    upstream: content.status,
    get certificate() {
      return certificateFacts(inUse);
    },
  };
  return {
    site: running,
    source,
    renew(renewed) {
      running.renew({ ...certificateTable(renewed.credentials), clients: renewed.clients });
      psks?.reload();
      inUse = renewed.credentials;
    },
    async close() {
      content.close();
      keyLog?.close();
      psks?.close();
      await shared?.close();
    },
  };
}

/** @throws TLSError `TLS_ERR_CONFIG` */
export async function fleetSessions(
  { fleet }: ServePlan,
  output: Output,
  worker?: number,
): Promise<SharedSessions | undefined> {
  if (fleet === undefined) {
    return undefined;
  }
  const { joinFleet, planFleet } = await import('../../node/fleet.ts');
  let isOpen = true;
  const storeErrors = new StoreErrors();
  const joined = joinFleet({
    ...fleet,
    ...(worker === undefined ? {} : { name: workerName(planFleet(fleet).file.name, worker) }),
    onEvent(event) {
      output.event('ring', { what: event.kind, ...event, kind: undefined });
      // In JSON it is among the events; and that an alarm is over when we are gone is no news.
      if ((event.kind === 'alarm' || event.kind === 'alarm_over') && !output.json && isOpen) {
        const isOver = event.kind === 'alarm_over';
        output.warn(isOver ? `ring: over: ${alarmText(event.alarm)}` : `ring: ${alarmText(event.alarm, event.skew)}`);
      }
    },
    onStoreError(error) {
      const told = isOpen ? storeErrors.add(error, performance.now()) : undefined;
      if (told !== undefined) {
        output.warn(`ring: the store: ${told}`);
      }
    },
  });
  return {
    options: joined.sessions,
    register: joined.register,
    ringStatus: () => ({ ...joined.ringStatus(), storeErrors: storeErrors.count }),
    close() {
      isOpen = false;
      return joined.close();
    },
  };
}

/** Other hosts have workers too. A name has room for 64 bytes. */
function workerName(host: string, worker: number): string {
  const name = `${host} worker ${worker}`;
  return Buffer.byteLength(name) <= 64 ? name : `worker ${worker}`;
}

export function urlsOf(addresses: readonly Address[], wanted: Address): readonly string[] {
  return [...new Set(addresses.map((at) => `https://${formatAddress(nameLocalhost(at, wanted))}`))];
}

/** Of several, all names, and the end of the one that ends first. */
export function certificateFacts(credentials: ServerCredentials): ServingFacts['certificate'] {
  const leaves = allCredentials(credentials).map(({ leaf }) => leaf);
  return {
    names: [...new Set(leaves.flatMap(({ names }) => names))],
    notAfter: Math.min(...leaves.map(({ notAfter }) => notAfter)),
    development: credentials.development !== undefined,
  };
}

function sessionOptions({ flags, ring }: ServePlan, shared: SharedSessions | undefined): SessionOptions {
  const own: SessionOptions = {
    // With sessions, which kinds is the policy's to say.
    ...(ring.enabled ? {} : { tickets: false, sessionIds: false }),
    rotate: ring.rotate / 1000,
    ticketLifetime: ring.lifetime / 1000,
    ...(flags.earlyData === true ? { earlyData: true, singleUse: true } : {}),
  };
  if (shared === undefined || !ring.enabled) {
    return own;
  }
  const { options, register } = shared;
  const isSingleUse = flags.earlyData === true || flags.policyOptions?.singleUse === true;
  return {
    ...own,
    ...options,
    ...(flags.earlyData === true ? { earlyData: { register } } : {}),
    ...(isSingleUse ? { singleUse: register } : {}),
  };
}

interface Content {
  readonly what: string;
  readonly handle: SiteOptions['handle'];
  readonly handleExpecting?: SiteOptions['handleExpecting'];
  readonly upgrade?: SiteOptions['upgrade'];
  status?(): UpstreamStatus | undefined;
  close(): void;
}

async function createContent(
  { flags, upstreamConnections: connections, upstreamPerClient: connectionsPerClient }: ServePlan,
  site: () => Site | undefined,
  counted: boolean,
): Promise<Content> {
  if (flags.upstream === undefined) {
    const folder = resolve(flags.root ?? '.');
    return { what: folder, handle: createFileHandler(folder), close() {} };
  }
  const upstream = parseUpstream(flags.upstream);
  const proxy = await createProxy({
    upstream,
    port: () => site()?.addresses[0].port,
    isDraining: () => site()?.draining === true,
    onFailure: (code) => site()?.connections.upstreamFailures.add(code),
    ...(connections === undefined ? {} : { connections }),
    ...(connectionsPerClient === undefined ? {} : { connectionsPerClient }),
    counted,
  });
  return { what: upstream.href, ...proxy };
}

/** What is served, in words: a folder or a URL. */
export function servingWhat(flags: ServeFlags): string {
  return flags.upstream === undefined ? resolve(flags.root ?? '.') : parseUpstream(flags.upstream).href;
}

/** The name people type, where they asked for it by name. */
function nameLocalhost(at: Address, wanted: Address): Address {
  return wanted.host.toLowerCase() === 'localhost' ? { host: 'localhost', port: at.port } : at;
}
