/**
 * The status page's own server, on loopback: the page, `/events` (server-sent events), `/status.json`, `/metrics`, and
 * `/ledger.json`: with `?connection=ID` the secrets of one open connection, by its number in `/status.json`.
 *
 * It only ever tells; nothing can be changed through it. Other web sites cannot read it: there are no CORS headers, and
 * a request whose Host is not a loopback name is refused (DNS rebinding: a hostile page's own name made to point here).
 */

import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { EXPOSITION_CONTENT_TYPE, exposition } from '../../ledger/metrics.ts';
import { isIP, type PlainServer, plainServer } from '../../node/plain.ts';
import { type Address, isLoopback } from '../address.ts';
import { harmlessJson } from '../harmless.ts';
import { packageRoot } from '../package-root.ts';
import { Problem } from '../problem.ts';
import { type Listenable, listen } from '../serve/listen.ts';
import type { LedgerQuery } from './ledger-view.ts';
import { metricsOf } from './metrics.ts';
import type { StatusSnapshot } from './snapshot.ts';

/** How things stand now; none of these may fail. */
export interface StatusTakers {
  status(): StatusSnapshot | Promise<StatusSnapshot>;
  /** Undefined for a connection that is not there. */
  ledger(query: LedgerQuery): unknown;
}

export interface StatusServer {
  readonly addresses: readonly Address[];
  close(): void;
}

/** Milliseconds between two events. */
const EVENT_INTERVAL = 1_000;
/** Each open page costs a snapshot a second. */
const MAX_WATCHERS = 16;

/**
 * @throws Problem `usage` for an address that others can reach, unless `allowPublic`; `port_busy`, `cannot_listen`
 */
export async function openStatusServer(
  address: Address,
  takers: StatusTakers,
  allowPublic: boolean,
): Promise<StatusServer> {
  if (!allowPublic && !isLoopback(address.host)) {
    throw new Problem(
      'usage',
      `--status: ${address.host} can be reached from other machines, and the page tells who is connected`,
      'Use 127.0.0.1:PORT; to look at it from elsewhere, forward the port with ssh -L.',
    );
  }
  const watchers = new Set<ServerResponse>();
  const page = loadPage();
  const server: PlainServer = plainServer((request, response) => {
    if (!isOurHost(request.headers.host, allowPublic)) {
      reply(response, 421, 'text/plain; charset=utf-8', 'This page answers to loopback names only.\n');
      return;
    }
    void route({ request, response, takers, watchers, page });
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  const timer = setInterval(() => {
    if (watchers.size > 0) {
      void broadcast(watchers, takers);
    }
  }, EVENT_INTERVAL);
  timer.unref();

  const listener = await listen(server as unknown as Listenable, address, '--status').catch((error: unknown) => {
    clearInterval(timer);
    throw error;
  });
  return {
    addresses: listener.addresses,
    close() {
      clearInterval(timer);
      for (const watcher of watchers) {
        watcher.end();
      }
      listener.stop();
      server.closeAllConnections();
    },
  };
}

interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly takers: StatusTakers;
  readonly watchers: Set<ServerResponse>;
  readonly page: Page;
}

async function route(visit: Visit): Promise<void> {
  const { request, response, takers } = visit;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    reply(response, 405, 'text/plain; charset=utf-8', 'This page only tells.\n');
    return;
  }
  switch ((request.url ?? '/').split('?', 1)[0]) {
    case '/':
      await sendPage(visit);
      return;
    case '/events':
      await watch(visit);
      return;
    case '/status.json':
      reply(response, 200, 'application/json; charset=utf-8', `${harmlessJson(await takers.status(), 2)}\n`);
      return;
    case '/ledger.json':
      await sendLedger(visit);
      return;
    case '/metrics':
      reply(response, 200, EXPOSITION_CONTENT_TYPE, exposition(metricsOf(await takers.status())));
      return;
    default:
      reply(
        response,
        404,
        'text/plain; charset=utf-8',
        'There is /, /status.json, /ledger.json, /events and /metrics.\n',
      );
  }
}

async function sendPage({ response, page, takers }: Visit): Promise<void> {
  const nonce = globalThis.crypto.randomUUID();
  response.setHeader(
    'content-security-policy',
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; connect-src 'self'; ` +
      `img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  reply(response, 200, 'text/html; charset=utf-8', page.render(nonce, harmlessJson(await takers.status())));
}

async function sendLedger({ request, response, takers }: Visit): Promise<void> {
  const asked = new URLSearchParams((request.url ?? '').split('?', 2)[1]).get('connection');
  if (asked !== null && !/^\d{1,15}$/.test(asked)) {
    reply(response, 400, 'text/plain; charset=utf-8', 'A connection has a number.\n');
    return;
  }
  const told = await takers.ledger(asked === null ? {} : { connection: Number(asked) });
  if (told === undefined) {
    reply(response, 404, 'text/plain; charset=utf-8', 'No open connection has this number.\n');
    return;
  }
  reply(response, 200, 'application/json; charset=utf-8', `${harmlessJson(told, 2)}\n`);
}

async function watch({ request, response, takers, watchers }: Visit): Promise<void> {
  if (watchers.size >= MAX_WATCHERS) {
    response.setHeader('retry-after', '30');
    reply(response, 503, 'text/plain; charset=utf-8', 'Too many pages are open.\n');
    return;
  }
  secureHeaders(response);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  request.socket.setTimeout(0);
  watchers.add(response);
  response.on('error', () => response.destroy());
  response.once('close', () => watchers.delete(response));
  response.write(`retry: 2000\n${await eventText(takers)}`);
}

async function broadcast(watchers: ReadonlySet<ServerResponse>, takers: StatusTakers): Promise<void> {
  const text = await eventText(takers);
  for (const watcher of watchers) {
    // A page that does not read gets the next state, not a backlog.
    if (!watcher.writableNeedDrain) {
      watcher.write(text);
    }
  }
}

async function eventText(takers: StatusTakers): Promise<string> {
  return `data: ${harmlessJson(await takers.status())}\n\n`;
}

function reply(response: ServerResponse, status: number, type: string, body: string): void {
  secureHeaders(response);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function secureHeaders(response: ServerResponse): void {
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cross-origin-resource-policy', 'same-origin');
}

/** The name alone decides: an attacker's page can choose any name but a loopback one. */
function isOurHost(host: string | undefined, allowPublic: boolean): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host ?? '');
  const name = match?.[1] ?? match?.[2];
  if (name === undefined) {
    return false;
  }
  // An IP address cannot be rebound.
  return isLoopback(name) || (allowPublic && isIP(name) !== 0);
}

interface Page {
  render(nonce: string, snapshot: string): string;
}

/** The page is one file for the browser, and three for us: they lie beside this module's source. */
function loadPage(): Page {
  const folder = join(packageRoot, 'src', 'cli', 'status');
  const html = readFileSync(join(folder, 'page.html'), 'utf8');
  const parts: Record<string, string> = {
    STYLE: readFileSync(join(folder, 'page.css'), 'utf8'),
    SCRIPT: readFileSync(join(folder, 'page.js'), 'utf8'),
  };
  const assembled = html.replace(/\/\* %(STYLE|SCRIPT)% \*\//g, (_, name: string) => parts[name]);
  return {
    render: (nonce, snapshot) =>
      assembled
        .replaceAll('%NONCE%', () => nonce)
        // "<" cannot end the element early: names in the snapshot come from peers.
        .replace('"%SNAPSHOT%"', () => snapshot.replaceAll('<', '\\u003c')),
  };
}
