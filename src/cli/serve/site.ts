/** The HTTPS server of `serve`: HTTP/1.1 and HTTP/2 by ALPN on one port, with its books and an orderly end. */

import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2';
import type { Socket as TcpSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ExternalPskLookUp } from '../../node/external-psks.ts';
import { createSecureServer, type SecureServer } from '../../node/http2.ts';
import { Roster } from '../../node/roster.ts';
import type { SecureContextOptions, SessionOptions, SNICallback, TLSSocket } from '../../node/tls.ts';
import type { PolicyOptions } from '../../policy/policy.ts';
import type { Address } from '../address.ts';
import { type HttpChoice, protocolOptions } from '../http-choice.ts';
import { errorCode, messageOf, ownError } from '../problem.ts';
import { type Versions, versionOptions } from '../versions.ts';
import { type CertificateTable, NamedContexts, type ShownCertificates } from './certificate-table.ts';
import { Connections } from './connections.ts';
import { answer, type Exchange, upgradeExchange } from './exchange.ts';
import { type Listenable, type Listener, listen } from './listen.ts';

export interface SiteOptions extends CertificateTable {
  /** How clients are asked for a certificate; absent: not at all. */
  readonly clients?: { readonly ca: string; readonly required: boolean };
  /** Pre-shared keys of clients. */
  readonly lookUpPsk?: ExternalPskLookUp;
  /** Names with colons in between; absent: all. */
  readonly suites?: string;
  readonly groups?: string;
  readonly sigalgs?: string;
  /** Default false. */
  readonly allowLegacyMasterSecret?: boolean;
  readonly listen: Address;
  readonly versions: Versions;
  readonly http: HttpChoice;
  /** Whether the cost of page loads is noted. Default true. */
  readonly countsVisits?: boolean;
  readonly sessions: SessionOptions;
  readonly policy?: PolicyOptions;
  /** Strict-Transport-Security for each answer that has none of its own. */
  readonly hsts?: string;
  readonly handle: (exchange: Exchange) => void;
  /** For clients that wait for `100 Continue` before they send their body; absent: they get it at once. */
  readonly handleExpecting?: (exchange: Exchange) => void;
  readonly upgrade?: (exchange: Exchange, socket: Duplex, head: Buffer) => void;
  readonly onKeyLog?: (line: Uint8Array) => void;
  /** A handshake failed or a connection broke. */
  readonly onFailure?: (failure: { code: string; message: string; remote: string }) => void;
}

export interface Site {
  readonly addresses: readonly Address[];
  readonly connections: Connections;
  readonly sessions: SecureServer['sessions'];
  readonly counters: SecureServer['counters'];
  readonly draining: boolean;
  /** Serves new connections with these from now on. Throws what a server with them would. */
  renew(certificates: CertificateTable & Pick<SiteOptions, 'clients'>): void;
  /**
   * Stops accepting, lets running requests finish for at most `patience` milliseconds, then ends what is left and
   * erases the ticket keys. Resolves with the number of connections that had to be cut off.
   */
  drain(patience: number): Promise<number>;
}

/** @throws Problem `port_busy`, `cannot_listen` */
export async function openSite(options: SiteOptions): Promise<Site> {
  const connections = new Connections(options.countsVisits);
  const http2Sessions = new Roster<ServerHttp2Session>();
  const { versions, suites, groups, sigalgs } = options;
  const algorithms = { versions, suites, groups, sigalgs };
  const contextsOf = (certificates: CertificateTable & Pick<SiteOptions, 'clients'>) =>
    new NamedContexts(certificates.named, (shown) =>
      secureOptions({ ...shown, clients: certificates.clients, ...algorithms }),
    );
  let contexts = contextsOf(options);
  let draining = false;
  let emptied: (() => void) | undefined;

  const server = createSecureServer({
    ...protocolOptions(options.http),
    // Node would answer by itself, without what belongs in each answer.
    ...{ requireHostHeader: false },
    // RFC 9113 §6.5.2. A connection must not open connections to an upstream server without end.
    settings: { maxConcurrentStreams: MAX_STREAMS },
    ...secureOptions(options),
    // Without several, a handshake does not wait for an answer to who serves it.
    ...(options.named === undefined
      ? {}
      : { SNICallback: (name: string, callback: Parameters<SNICallback>[1]) => callback(null, contexts.of(name)) }),
    ...(options.lookUpPsk === undefined ? {} : { externalPsks: options.lookUpPsk }),
    allowLegacyMasterSecret: options.allowLegacyMasterSecret,
    sessions: options.sessions,
    ...(options.policy === undefined ? {} : { policy: options.policy }),
  });

  if (options.handleExpecting !== undefined) {
    // Who passes bodies on sees to it that they go on. How long all of one takes is the affair of its length: of Node's own
    // servers none may take five minutes.
    Object.assign(server, { requestTimeout: 0 });
  }

  server.on('connection', (transport: TcpSocket) => {
    // Asked for once, a socket keeps it: of a peer that has reset the connection meanwhile, nobody can tell any more.
    void transport.remoteAddress;
  });
  server.on('secureConnection', (accepted: unknown) => {
    const socket = accepted as TLSSocket;
    connections.opened(socket);
    socket.once('close', () => {
      if (draining && connections.openCount === 0) {
        emptied?.();
      }
    });
    // What broke is counted by the server; without a listener it would end the process.
    socket.on('error', () => {});
  });
  server.on('session', (session: ServerHttp2Session) => {
    const place = http2Sessions.enter(session);
    session.once('close', () => http2Sessions.leave(place));
    // Without a listener, a peer's protocol error would end the process.
    session.on('error', () => session.destroy());
    if (draining) {
      session.close();
    }
  });
  /** False: it is answered. */
  const begin = (exchange: Exchange): boolean => {
    const { request, response } = exchange;
    if (options.hsts !== undefined) {
      response.setHeader(HSTS, options.hsts);
    }
    // RFC 9112 §3.2.
    const isWhole = request.httpVersion !== '1.1' || request.headers.host !== undefined;
    if (!isWhole) {
      answer(exchange, 400, 'There is no Host.', { connection: 'close' });
    }
    return isWhole;
  };
  const onRequest = (handle: SiteOptions['handle']) => (request: Http2ServerRequest, response: Http2ServerResponse) => {
    const exchange = { request, response } as unknown as Exchange;
    const entry = connections.find(request.socket);
    const isHttp2 = request.httpVersionMajor >= 2;
    connections.requested(entry, request as unknown as IncomingMessage);
    response.on('error', () => response.destroy());
    request.on('error', () => {});
    if (entry !== undefined) {
      entry.requests++;
      entry.active++;
      response.once('close', () => {
        entry.active--;
        if (draining && entry.active === 0 && !isHttp2) {
          entry.socket.end();
        }
      });
    }
    if ((draining || options.http === 'close') && !isHttp2) {
      response.setHeader('connection', 'close');
    }
    if (begin(exchange)) {
      handle(exchange);
    }
  };
  server.on('request', onRequest(options.handle));
  if (options.handleExpecting !== undefined) {
    server.on('checkContinue', onRequest(options.handleExpecting));
  }
  server.on(
    'checkExpectation' as 'request',
    onRequest((exchange) => answer(exchange, 417, 'Nothing but 100-continue can be expected.')),
  );
  server.on(
    'upgrade' as 'request',
    ((request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const exchange = upgradeExchange(request, socket);
      if (exchange === undefined) {
        socket.destroy();
        return;
      }
      if (!begin(exchange)) {
        return;
      }
      if (options.upgrade === undefined || draining) {
        const isEnding = options.upgrade !== undefined;
        answer(
          exchange,
          isEnding ? 503 : 501,
          isEnding ? 'The server is about to stop.' : 'There are no upgrades here.',
        );
        return;
      }
      const entry = connections.find(request.socket);
      if (entry !== undefined) {
        entry.upgraded = true;
      }
      options.upgrade(exchange, socket, head);
    }) as never,
  );
  server.on('tlsClientError', (told: Error, socket: { remoteAddress?: string }) => {
    const error = ownError(told);
    options.onFailure?.({
      code: errorCode(error) ?? 'UNKNOWN',
      message: messageOf(error),
      remote: socket.remoteAddress ?? '?',
    });
  });
  server.on('sessionError', () => {});
  server.on(
    'clientError' as 'tlsClientError',
    ((error: Error, socket: Duplex) => {
      answerBadRequest(error, socket, options.hsts);
    }) as never,
  );
  if (options.onKeyLog !== undefined) {
    server.on('keylog', options.onKeyLog);
  }

  const listener: Listener = await listen(server as unknown as Listenable, options.listen, '--listen');
  server.on('error', (error) =>
    options.onFailure?.({ code: errorCode(error) ?? 'UNKNOWN', message: messageOf(error), remote: '' }),
  );

  return {
    addresses: listener.addresses,
    connections,
    sessions: server.sessions,
    counters: server.counters,
    get draining() {
      return draining;
    },
    renew(certificates) {
      const renewed = contextsOf(certificates);
      server.setSecureContext(secureOptions({ ...certificates, ...algorithms }));
      contexts = renewed;
    },
    async drain(patience) {
      draining = true;
      listener.stop();
      for (const session of http2Sessions) {
        session.close();
      }
      for (const entry of connections.open) {
        if (entry.active === 0 && !entry.upgraded && entry.summary?.alpnProtocol !== 'h2') {
          entry.socket.end();
        }
      }
      const rest = await waitUntilEmpty(connections, patience, (callback) => {
        emptied = callback;
      });
      for (const socket of server.secureSockets) {
        socket.destroy();
      }
      server.sessions.close();
      return rest;
    },
  };
}

const HSTS = 'strict-transport-security';
/** Of one HTTP/2 connection at a time. No fewer than 100, says the RFC. */
const MAX_STREAMS = 128;

function secureOptions({
  cert,
  key,
  ocspResponse,
  clients,
  versions,
  suites,
  groups,
  sigalgs,
}: ShownCertificates &
  Pick<SiteOptions, 'clients' | 'versions' | 'suites' | 'groups' | 'sigalgs'>): SecureContextOptions {
  return {
    cert,
    key,
    ocspResponse,
    ...(clients === undefined ? {} : { requestCert: true, rejectUnauthorized: clients.required, ca: clients.ca }),
    ...versionOptions(versions),
    ...(suites === undefined ? {} : { ciphers: suites }),
    ...(groups === undefined ? {} : { groups }),
    ...(sigalgs === undefined ? {} : { sigalgs }),
  };
}

function waitUntilEmpty(
  connections: Connections,
  patience: number,
  onEmpty: (callback: () => void) => void,
): Promise<number> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      resolve(connections.openCount);
    };
    const timer = setTimeout(finish, patience);
    onEmpty(finish);
    if (connections.openCount === 0) {
      finish();
    }
  });
}

function headerLine(hsts: string | undefined): string {
  return hsts === undefined ? '' : `Strict-Transport-Security: ${hsts}\r\n`;
}

/** Bytes that are TLS but not HTTP: say so, in HTTP. */
function answerBadRequest(error: Error, socket: Duplex, hsts: string | undefined): void {
  if (socket.destroyed || !socket.writable || errorCode(error) === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const tooLarge = errorCode(error) === 'HPE_HEADER_OVERFLOW';
  const status = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const body = tooLarge ? 'The request header is too large.\n' : 'This is not a request that can be understood.\n';
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `${headerLine(hsts)}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
