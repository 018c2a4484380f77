/**
 * The count: what each visitor's page loads cost in connections, handshakes, key exchanges and traffic keys.
 *
 *     visitor = address + User-Agent: without a cookie there is nothing better. Two browsers of one kind behind one address
 *               are one visitor.
 *     load    = a navigation (Sec-Fetch-Dest: document, or where a client sends no Sec-Fetch-Dest an Accept with text/html)
 *               and what follows it: requests whose Referer is of the load, and others within `WINDOW`. Requests that
 *               belong to no navigation make a load of their own.
 *
 * A connection counts as opened by the load of its first request; one without a request by the load that was nearest in time,
 * as `unused`: browsers open some in advance. All of it is bounded: what visitors send costs no more than that.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { HandshakeSummary } from '../../actions.ts';
import { type Place, Roster } from '../../node/roster.ts';
import { agentName } from './agent-name.ts';

export interface VisitorStatus {
  readonly address: string;
  /** For people, from its User-Agent: "Firefox 140". */
  readonly agent: string;
  /** The newest first. */
  readonly loads: readonly LoadStatus[];
  /** Loads that are not listed any more. */
  readonly earlier: number;
}

export interface LoadStatus {
  /** Of the first request, without its query, which may hold what is nobody's business. */
  readonly path: string;
  readonly navigation: boolean;
  /** Milliseconds since the epoch: of its first request, and of its last so far. */
  readonly at: number;
  readonly lastAt: number;
  readonly requests: number;
  /** By which its requests came: 'http/1.1', 'h2'. */
  readonly protocols: readonly string[];
  readonly versions: readonly string[];
  /** Connections that carried its requests, also those that were opened before it. */
  readonly connections: number;
  /** Connections that were opened for it, `unused` ones among them; the sum of the next two. */
  readonly opened: number;
  readonly full: number;
  readonly resumed: number;
  /** Connections opened for it on which nothing was asked for (yet). */
  readonly unused: number;
  /** Of the connections opened for it. */
  readonly keyExchanges: number;
  /** Keys for application data, two to a connection but for renewals: of the connections that carried its requests. */
  readonly trafficKeys: { readonly used: number; readonly inForce: number };
}

/** What a request tells of itself. */
export interface VisitRequest {
  readonly method?: string;
  readonly url?: string;
  readonly httpVersionMajor: number;
  readonly headers: IncomingHttpHeaders;
}

/** What the books need of a connection. */
export interface VisitConnection {
  readonly address: string;
  readonly summary: HandshakeSummary | undefined;
  /** Traffic keys made so far, and those of them that are in force. */
  trafficKeys(): { readonly made: number; readonly inForce: number };
  /** Kept by the count, while it is open. */
  track?: Track | undefined;
}

interface Track {
  readonly openedAt: number;
  /** What it carried requests of, with its place among what carried that. */
  readonly carried: Map<Load, Place<VisitConnection>>;
  /** While nothing was asked for. */
  readonly waiting: Place<VisitConnection>;
}

export class Visits {
  readonly #now: () => number;
  readonly #visitors = new Map<string, Visitor>();
  /** Those on which nothing was asked for yet. */
  readonly #waiting = new Roster<VisitConnection>();
  #requests = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Its handshake is complete. */
  opened(connection: VisitConnection): void {
    connection.track = { openedAt: this.#now(), carried: new Map(), waiting: this.#waiting.enter(connection) };
  }

  /** A request whose connection is gone by the time it is read is nobody's. */
  requested(connection: VisitConnection | undefined, request: VisitRequest): void {
    if (connection === undefined) {
      return;
    }
    const now = this.#now();
    const { track } = connection;
    const { load, dropped } = this.#visitor(connection.address, request.headers).load(request, now);
    this.#drop(dropped);
    load.requests += 1;
    load.lastAt = now;
    load.protocols.add(request.httpVersionMajor >= 2 ? 'h2' : 'http/1.1');
    if (track === undefined) {
      return;
    }
    if (this.#waiting.leave(track.waiting)) {
      noteOpened(load, connection);
    }
    if (!track.carried.has(load)) {
      track.carried.set(load, load.carriers.enter(connection));
      load.connections += 1;
      noteVersion(load, connection);
    }
  }

  closed(connection: VisitConnection): void {
    const { track } = connection;
    if (track === undefined) {
      return;
    }
    connection.track = undefined;
    const { made } = trafficKeysOf(connection);
    for (const [load, place] of track.carried) {
      load.carriers.leave(place);
      load.keysOfClosed += made;
    }
    const near = this.#waiting.leave(track.waiting) ? this.#nearest(connection, track) : undefined;
    if (near !== undefined) {
      noteOpened(near, connection);
      near.unused += 1;
    }
  }

  /** Visitors, the one seen last first. */
  status(): VisitorStatus[] {
    const waiting = new Map<Load, VisitConnection[]>();
    let looked = 0;
    for (const connection of this.#waiting) {
      looked += 1;
      if (looked > MAX_WAITING) {
        break;
      }
      const near = connection.track && this.#nearest(connection, connection.track);
      if (near !== undefined) {
        waiting.set(near, [...(waiting.get(near) ?? []), connection]);
      }
    }
    const visitors = [...this.#visitors.values()].sort((a, b) => b.seenAt - a.seenAt);
    return visitors.map(({ address, agent, loads, earlier }) => ({
      address,
      agent,
      loads: [...loads].reverse().map((load) => statusOf(load, waiting.get(load) ?? [])),
      earlier,
    }));
  }

  #visitor(address: string, headers: IncomingHttpHeaders): Visitor {
    const userAgent = (headers['user-agent'] ?? '').slice(0, MAX_AGENT);
    const key = `${address} ${userAgent}`;
    const known = this.#visitors.get(key);
    const visitor = known ?? new Visitor(address, agentName(userAgent));
    visitor.seenAt = this.#requests++;
    if (known === undefined) {
      this.#visitors.set(key, visitor);
      this.#makeRoom();
    }
    return visitor;
  }

  /** The visitor goes that was seen longest ago. */
  #makeRoom(): void {
    if (this.#visitors.size > MAX_VISITORS) {
      const [oldest, { loads }] = [...this.#visitors].reduce((a, b) => (b[1].seenAt < a[1].seenAt ? b : a));
      this.#visitors.delete(oldest);
      this.#drop(loads);
    }
  }

  /** Of these nothing more is told: connections that carried them must not keep them. */
  #drop(loads: readonly Load[]): void {
    for (const load of loads) {
      for (const connection of load.carriers) {
        connection.track?.carried.delete(load);
      }
    }
  }

  /** The load during which it was opened, or that began right after. */
  #nearest({ address }: VisitConnection, { openedAt }: Track): Load | undefined {
    let nearest: Load | undefined;
    for (const visitor of this.#visitors.values()) {
      for (const load of visitor.address === address ? visitor.loads : []) {
        const isNear = load.at - SPARE_BEFORE <= openedAt && openedAt <= load.lastAt + SPARE_AFTER;
        if (isNear && (nearest === undefined || load.at > nearest.at)) {
          nearest = load;
        }
      }
    }
    return nearest;
  }
}

interface Load {
  readonly path: string;
  readonly navigation: boolean;
  readonly at: number;
  lastAt: number;
  requests: number;
  connections: number;
  opened: number;
  resumed: number;
  unused: number;
  keyExchanges: number;
  keysOfClosed: number;
  readonly protocols: Set<string>;
  readonly versions: Set<string>;
  /** What was asked for, so that a Referer finds it. */
  readonly paths: Set<string>;
  /** Open connections that carried its requests. */
  readonly carriers: Roster<VisitConnection>;
}

class Visitor {
  readonly address: string;
  readonly agent: string;
  /** The newest last. */
  readonly loads: Load[] = [];
  earlier = 0;
  /** How many requests came before its last one. */
  seenAt = 0;

  constructor(address: string, agent: string) {
    this.address = address;
    this.agent = agent;
  }

  /** The load that a request belongs to: it may begin one, for which the oldest make room. */
  load(request: VisitRequest, now: number): { readonly load: Load; readonly dropped: readonly Load[] } {
    const path = pathOf(request.url);
    const navigation = isNavigation(request);
    const known = navigation ? undefined : this.#loadOf(request.headers.referer, now);
    const load = known ?? this.#begin(path, navigation, now);
    if (load.paths.size < MAX_PATHS) {
      load.paths.add(path);
    }
    const dropped = this.loads.splice(0, Math.max(0, this.loads.length - MAX_LOADS));
    this.earlier += dropped.length;
    return { load, dropped };
  }

  #loadOf(referer: string | undefined, now: number): Load | undefined {
    const from = refererPath(referer);
    const named = from === undefined ? undefined : this.loads.findLast(({ paths }) => paths.has(from));
    if (named !== undefined) {
      return named;
    }
    const last = this.loads.at(-1);
    return last !== undefined && now - last.lastAt <= WINDOW ? last : undefined;
  }

  #begin(path: string, navigation: boolean, now: number): Load {
    const load: Load = {
      path,
      navigation,
      at: now,
      lastAt: now,
      requests: 0,
      connections: 0,
      opened: 0,
      resumed: 0,
      unused: 0,
      keyExchanges: 0,
      keysOfClosed: 0,
      protocols: new Set(),
      versions: new Set(),
      paths: new Set(),
      carriers: new Roster(),
    };
    this.loads.push(load);
    return load;
  }
}

function noteOpened(load: Load, connection: VisitConnection): void {
  const { summary } = connection;
  load.opened += 1;
  load.resumed += summary?.resumed === true ? 1 : 0;
  load.keyExchanges += summary?.namedGroup === undefined ? 0 : 1;
  noteVersion(load, connection);
}

function noteVersion({ versions }: Load, { summary }: VisitConnection): void {
  if (summary !== undefined) {
    versions.add(summary.version);
  }
}

/** `spare`: open connections without a request, which count as opened for it. */
function statusOf(load: Load, spare: readonly VisitConnection[]): LoadStatus {
  const { path, navigation, at, lastAt, requests, connections, protocols, versions, carriers } = load;
  const opened = load.opened + spare.length;
  const resumed = load.resumed + spare.filter(({ summary }) => summary?.resumed === true).length;
  const keys = [...carriers].map(trafficKeysOf);
  return {
    path,
    navigation,
    at,
    lastAt,
    requests,
    protocols: [...protocols].sort(),
    versions: [...versions].sort(),
    connections,
    opened,
    full: opened - resumed,
    resumed,
    unused: load.unused + spare.length,
    keyExchanges: load.keyExchanges + spare.filter(({ summary }) => summary?.namedGroup !== undefined).length,
    trafficKeys: {
      used: keys.reduce((sum, { made }) => sum + made, load.keysOfClosed),
      inForce: keys.reduce((sum, { inForce }) => sum + inForce, 0),
    },
  };
}

/** At least one key for each direction, also where the ledger had to forget them. */
function trafficKeysOf(connection: VisitConnection): { made: number; inForce: number } {
  const { made, inForce } = connection.trafficKeys();
  return { made: Math.max(made, 2), inForce };
}

function isNavigation({ method, headers }: VisitRequest): boolean {
  const destination = headers['sec-fetch-dest'];
  if (headers['sec-purpose'] !== undefined) {
    return false;
  }
  if (destination !== undefined) {
    return destination === 'document';
  }
  return method === 'GET' && (headers.accept ?? '').includes('text/html');
}

function pathOf(url: string | undefined): string {
  return (url ?? '/').split(/[?#]/, 1)[0].slice(0, MAX_PATH);
}

function refererPath(referer: string | undefined): string | undefined {
  return referer !== undefined && URL.canParse(referer) ? pathOf(new URL(referer).pathname) : undefined;
}

/** Milliseconds after a load's last request in which others without a known Referer belong to it. */
const WINDOW = 10_000;
/** Milliseconds by which a connection may be opened ahead of the load that it is for, or after its last request. */
const SPARE_BEFORE = 2_000;
const SPARE_AFTER = 5_000;
/** Milliseconds between the halves of a load that went to different workers. */
export const HALF_WINDOW = 2_000;
const MAX_VISITORS = 50;
const MAX_LOADS = 12;
/** Connections without a request that a look goes through: who opens thousands must not make looking dear. */
const MAX_WAITING = 500;
const MAX_PATHS = 100;
const MAX_PATH = 200;
const MAX_AGENT = 300;
