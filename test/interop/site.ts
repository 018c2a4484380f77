/** The demonstration page on our servers, for browsers, with what each visit's connections and requests were. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server as NetServer } from 'node:net';
import { extname, join } from 'node:path';
import { createSecureServer } from '../../src/node/http2.ts';
import { createServer } from '../../src/node/https.ts';
import type {
  HandshakeSummary,
  OpenSockets,
  ServerCounters,
  ServerSessions,
  TLSSocket,
  TlsOptions,
} from '../../src/node/tls.ts';
import { run } from '../support/process.ts';
import { projectRoot } from '../support/project.ts';
import { authorityFile, certificateFor, listen, type Pem } from './support.ts';

type Host = NetServer & {
  readonly counters: ServerCounters;
  readonly sessions: ServerSessions;
  readonly secureSockets: OpenSockets;
};

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};
const demo = join(projectRoot, 'demo');
const images = readdirSync(join(demo, 'images')).map((name) => `/images/${name}`);
const files = new Map(
  [['/', 'index.html'], ['/style.css', 'style.css'], ...images.map((path) => [path, path])].map(([path, name]) => [
    path,
    { body: readFileSync(join(demo, name)), type: types[extname(name)] },
  ]),
);

export interface SiteOptions extends Pick<TlsOptions, 'sessions' | 'maxVersion' | 'cert' | 'key'> {
  /** Each answer ends its connection, so that the next request needs another. */
  readonly closes?: boolean;
}

export class Site {
  readonly server: Host;
  /** Paths that were asked for since the last visit began. */
  requests: string[] = [];
  /** Connections since the last visit began. */
  connections: HandshakeSummary[] = [];
  failures: Error[] = [];
  port = 0;
  readonly #closes: boolean;

  private constructor(protocol: 'h2' | 'http/1.1', { closes = false, ...options }: SiteOptions) {
    this.#closes = closes;
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response);
    const pem = { ...certificateFor('ecdsa-p256'), ...options };
    this.server =
      protocol === 'h2' ? createSecureServer({ ...pem, allowHTTP1: true }, answer as never) : createServer(pem, answer);
    this.server.on('secureConnection', (socket: TLSSocket) => {
      this.connections.push(socket.mayfly as HandshakeSummary);
    });
    this.server.on('tlsClientError', (error) => this.failures.push(error));
  }

  static async start(protocol: 'h2' | 'http/1.1', options: SiteOptions = {}): Promise<Site> {
    const site = new Site(protocol, options);
    site.port = await listen(site.server);
    return site;
  }

  get url(): string {
    return `https://localhost:${this.port}/`;
  }

  /** Closes what is open, so that the next visit must connect, and forgets what was counted. */
  async beginVisit(): Promise<void> {
    const open = [...this.server.secureSockets];
    await Promise.all(
      open.map(
        (socket) =>
          new Promise((resolve) =>
            socket
              .once('close', resolve)
              .on('error', () => {})
              .destroySoon(),
          ),
      ),
    );
    this.requests = [];
    this.connections = [];
    this.failures = [];
  }

  stop(): void {
    for (const socket of this.server.secureSockets) {
      socket.destroy();
    }
    this.server.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.requests.push(path);
    const file = files.get(path);
    if (file === undefined) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader('content-type', file.type);
    response.setHeader('content-length', file.body.length);
    response.setHeader('cache-control', 'no-store');
    if (this.#closes) {
      response.setHeader('connection', 'close');
    }
    response.end(file.body);
  }
}

/** A certificate with so many names that it is worth compressing. */
export function wideCertificate(): Pem {
  return certificateFor('ecdsa-p256', ...Array.from({ length: 40 }, (_, i) => `host-${i}.of.some.long.domain.test`));
}

/** The five images of the page. */
export const imagePaths: readonly string[] = images;

export function bodyHash(path: string): string {
  return createHash('sha256')
    .update(files.get(path)?.body ?? '')
    .digest('hex');
}

/** An NSS database, as browsers have, that trusts the tests' authority. */
export async function trustingDatabase(folder: string): Promise<void> {
  for (const args of [
    ['-N', '-d', `sql:${folder}`, '--empty-password'],
    ['-A', '-d', `sql:${folder}`, '-n', 'authority', '-t', 'C,,', '-i', authorityFile],
  ]) {
    const { code, text } = await run('certutil', args);
    if (code !== 0) {
      throw new Error(`certutil failed: ${text}`);
    }
  }
}
