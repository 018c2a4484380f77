/** `mayfly/https`: Node's own HTTP/1.1 server and client over Mayfly's TLS. */

import type { ClientRequest, IncomingMessage, RequestListener } from 'node:http';
import * as nodeHttps from 'node:https';
import type { Server as NetServer } from 'node:net';
import { TLSError } from '../errors.ts';
import { ClientSessions } from './client-sessions.ts';
import { EarlyAgent } from './early-agent.ts';
import { guardEarlyRequests } from './early-requests.ts';
import { pskName } from './external-psks.ts';
import { httpOptions } from './http-options.ts';
import type { ServerCounters } from './server-counters.ts';
import type { EffectivePolicy } from './server-policy.ts';
import { trustName } from './server-verification.ts';
import type { ServerSessions } from './sessions.ts';
import { makeTlsServer, type OpenSockets, type TlsServerOptions, type TlsServerSurface } from './tls-acceptor.ts';
import { type ConnectionOptions, connect } from './tls-connect.ts';
import type { TLSSocket } from './tls-socket.ts';

/** As of Node's own, for `import https from`. */
export * as default from './https.ts';

export type ServerOptions = TlsServerOptions & Omit<nodeHttps.ServerOptions, keyof TlsServerOptions>;
export type RequestOptions = ConnectionOptions & Omit<nodeHttps.RequestOptions, keyof ConnectionOptions>;
export type AgentOptions = ConnectionOptions &
  Omit<nodeHttps.AgentOptions, keyof ConnectionOptions> & {
    readonly sessionCache?: ClientSessions;
    /**
     * GET, HEAD and OPTIONS without a body may go out as early data (0-RTT) when they open a connection that resumes. Who
     * records that can send them again, and it is not forward secret: see docs/early-data.md. Where the server does not take
     * it, or answers 425 (Too Early), they are sent once more after the handshake. Default false.
     */
    readonly earlyRequests?: boolean;
  };

type ResponseListener = (response: IncomingMessage) => void;

/** Node's `https.Server`, whose connections are ours. */
export class Server extends nodeHttps.Server implements TlsServerSurface {
  declare readonly sessions: ServerSessions;
  declare readonly counters: ServerCounters;
  declare readonly policy: EffectivePolicy;
  declare readonly secureSockets: OpenSockets;
  // Wider than what is taken, since Node's class takes its own kind: that one is refused.
  declare addContext: (hostname: string, context: object) => void;
  declare setSecureContext: (options: object) => void;
  declare getTicketKeys: () => never;
  declare setTicketKeys: (keys: unknown) => never;

  /** @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_NOT_SUPPORTED`, `TLS_ERR_BAD_KEY`, `TLS_ERR_KEY_MISMATCH` */
  constructor(options?: ServerOptions | RequestListener | null, listener?: RequestListener) {
    const given = typeof options === 'function' ? {} : (options ?? {});
    const onRequest = typeof options === 'function' ? options : listener;
    super(httpOptions(given) as nodeHttps.ServerOptions, onRequest);
    const withProtocol = given.ALPNProtocols === undefined && given.ALPNCallback === undefined;
    guardEarlyRequests(this);
    makeTlsServer<NetServer>(this as unknown as NetServer, {
      ...given,
      earlyRequests: true,
      ...(withProtocol ? { ALPNProtocols: ['http/1.1'] } : {}),
    });
  }
}

export function createServer(listener?: RequestListener): Server;
export function createServer(options: ServerOptions | null, listener?: RequestListener): Server;
export function createServer(options?: ServerOptions | RequestListener | null, listener?: RequestListener): Server {
  return new Server(options, listener);
}

/** Node's `https.Agent`, whose connections are ours and resume the sessions of earlier ones. */
export class Agent extends nodeHttps.Agent {
  readonly sessions: ClientSessions;
  readonly #early: EarlyAgent | undefined;
  /** `maxCachedSessions: 0`, as in `node:https`: connections resume nothing. */
  readonly #resumes: boolean;

  constructor(options: AgentOptions = {}) {
    if ((options as { proxyEnv?: unknown }).proxyEnv) {
      throw new TLSError('TLS_ERR_NOT_SUPPORTED', 'proxyEnv is not: see docs/ecosystem.md on proxies');
    }
    super(options as nodeHttps.AgentOptions);
    const { maxCachedSessions } = options as nodeHttps.AgentOptions;
    this.#resumes = maxCachedSessions !== 0;
    this.#early = options.earlyRequests === true ? new EarlyAgent() : undefined;
    this.sessions =
      options.sessionCache ?? new ClientSessions(maxCachedSessions ? { maxSessions: maxCachedSessions } : {});
  }

  /** Node's agent takes the socket that is returned. */
  override createConnection(options: object): TLSSocket {
    const { servername, ...rest } = options as ConnectionOptions;
    return connect({
      allowTruncation: isDelimited,
      ...(this.#resumes ? { requestTickets: TICKETS, shareHandshakes: true } : {}),
      ...rest,
      // As in node:https, an empty name means that the Host header holds an address.
      ...(servername ? { servername } : {}),
      ...(this.#resumes ? { sessionCache: this.sessions } : {}),
      ...(this.#early === undefined ? {} : { earlyWrites: this.#early.allows }),
    });
  }

  /** A connection serves no request that is stricter on its server than the one it was made for. */
  override getName(options?: object): string {
    const given = (options ?? {}) as ConnectionOptions;
    const { stapling = '', allowLegacyMasterSecret = false, minDHSize = '' } = given;
    const ours = `${stapling}:${allowLegacyMasterSecret}:${minDHSize}:${trustName(given)}:${pskName(given)}`;
    return `${super.getName(options as nodeHttps.RequestOptions)}:${ours}`;
  }

  /** Node calls it for each request; its types do not name it. */
  addRequest(request: ClientRequest, options: object): void {
    this.#early?.watch(request, options, this);
    addRequest.call(this, request, options);
  }

  override destroy(): void {
    super.destroy();
    this.sessions.clear();
  }
}

/** As many connections as browsers open to one server; a resumed one brings the ticket for the one after it. */
const TICKETS = { newSession: 6, resumption: 1 };

const { addRequest } = nodeHttps.Agent.prototype as unknown as {
  addRequest(this: Agent, request: ClientRequest, options: object): void;
};

export const globalAgent: Agent = new Agent({ keepAlive: true, timeout: 5_000 } as AgentOptions);

export function request(options: RequestOptions | string | URL, callback?: ResponseListener): ClientRequest;
export function request(url: string | URL, options: RequestOptions, callback?: ResponseListener): ClientRequest;
export function request(...args: unknown[]): ClientRequest {
  const at = args.findIndex((arg) => typeof arg === 'object' && arg !== null && !(arg instanceof URL));
  const options = at < 0 ? {} : withAgent(args[at] as RequestOptions);
  const given = at < 0 ? { agent: globalAgent } : options;
  const callback = args.find((arg) => typeof arg === 'function') as ResponseListener | undefined;
  const url = typeof args[0] === 'string' || args[0] instanceof URL ? args[0] : undefined;
  return url === undefined
    ? nodeHttps.request(given as nodeHttps.RequestOptions, callback)
    : nodeHttps.request(url, given as nodeHttps.RequestOptions, callback);
}

export function get(options: RequestOptions | string | URL, callback?: ResponseListener): ClientRequest;
export function get(url: string | URL, options: RequestOptions, callback?: ResponseListener): ClientRequest;
export function get(...args: unknown[]): ClientRequest {
  const made = request(...(args as Parameters<typeof request>));
  made.end();
  return made;
}

/**
 * Many servers end connections without close_notify. That is harmless between responses, and in one whose length is
 * known, since HTTP itself notices what is missing; a body that only the end of the connection ends must fail.
 */
function isDelimited(socket: object): boolean {
  const { res } = (socket as { _httpMessage?: { res?: IncomingMessage | null } })._httpMessage ?? {};
  return (
    !res ||
    res.complete ||
    res.headers['content-length'] !== undefined ||
    /\bchunked\b/i.test(res.headers['transfer-encoding'] ?? '')
  );
}

/** Where the caller leaves the choice of agent to us, it is ours; `agent: false` gets one of its own, used once. */
function withAgent(options: RequestOptions): RequestOptions {
  if (options.agent === false) {
    return { ...options, agent: new Agent() as never };
  }
  const own = (options as { createConnection?: unknown }).createConnection;
  const wanted = (options.agent === undefined || options.agent === null) && typeof own !== 'function';
  return wanted ? { ...options, agent: globalAgent as never } : options;
}
