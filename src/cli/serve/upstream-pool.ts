/**
 * The connections to the upstream server, each with at most one request on it. An idle one is used again, the last one
 * first; one that broke or was closed is forgotten.
 *
 * Not undici's own pool, because it does not tell on which connection a request goes: whether that one had been idle says
 * whether the request may be tried again (RFC 9112 §9.3.1), and how that one ended says whether a response that has no
 * length is whole (RFC 9112 §8).
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { buildConnector, Client, Dispatcher } from 'undici';
import { InterimResponses } from './interim-responses.ts';

/** How a request is stopped, or its answer held back. */
export type Controller = Pick<Dispatcher.DispatchController, 'abort' | 'pause' | 'resume'>;
type Connector = buildConnector.connector;

/** What becomes of a request. */
export interface UpstreamHandler {
  onRequestStart(controller: Controller): void;
  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseEnd(): void;
  /** `wasIdle`: the connection had carried a request before; the upstream server may have closed it just then. */
  onResponseError(error: Error, wasIdle: boolean): void;
}

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: Dispatcher.DispatchOptions['body'];
  /** False: the connection stays open, though undici would end it after such a request. */
  readonly reset: false | null;
}

export interface UpstreamPoolOptions {
  readonly origin: string;
  /** Milliseconds without a byte from the upstream server. */
  readonly timeout: number;
}

export class UpstreamPool {
  readonly #open = new Set<Lane>();
  readonly #idle: Lane[] = [];
  readonly #createClient: (connect: (connector: Connector) => Connector) => Client;

  constructor(undici: typeof import('undici'), { origin, timeout }: UpstreamPoolOptions) {
    const connector = undici.buildConnector({});
    this.#createClient = (connect) =>
      new undici.Client(origin, { headersTimeout: timeout, bodyTimeout: timeout, connect: connect(connector) });
  }

  /** `fresh`: on a connection of its own. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh = false): void {
    const lane = fresh ? undefined : this.#idle.pop();
    (lane ?? this.#openLane()).dispatch(request, handler);
  }

  close(): void {
    for (const lane of this.#open) {
      lane.destroy();
    }
    this.#open.clear();
    this.#idle.length = 0;
  }

  #openLane(): Lane {
    const lane = new Lane(this.#createClient, {
      onIdle: () => {
        if (this.#open.has(lane)) {
          this.#idle.push(lane);
        }
      },
      onGone: () => {
        const at = this.#idle.indexOf(lane);
        // A lane with a request on it connects again.
        if (at >= 0) {
          this.#idle.splice(at, 1);
          this.#open.delete(lane);
          lane.destroy();
        }
      },
    });
    this.#open.add(lane);
    return lane;
  }
}

interface LaneEvents {
  readonly onIdle: () => void;
  readonly onGone: () => void;
}

/** One connection. */
class Lane implements Dispatcher.DispatchHandler {
  readonly #client: Client;
  readonly #events: LaneEvents;
  #socket: Socket | undefined;
  #interim: InterimResponses | undefined;
  #handler: UpstreamHandler | undefined;
  /** The connection that there is has carried a request to its end. */
  #wasUsed = false;

  constructor(createClient: (connect: (connector: Connector) => Connector) => Client, events: LaneEvents) {
    this.#events = events;
    this.#client = createClient((connector) => (options, callback) => {
      connector(options, (...[error, socket]: Parameters<buildConnector.Callback>) => {
        if (error !== null) {
          callback(error, null);
          return;
        }
        this.#socket = socket;
        this.#interim = new InterimResponses(socket);
        this.#wasUsed = false;
        callback(null, socket);
      });
    });
    this.#client.on('disconnect', events.onGone);
    this.#client.on('connectionError', events.onGone);
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#handler = handler;
    this.#client.dispatch(request as unknown as Dispatcher.DispatchOptions, this);
  }

  destroy(): void {
    this.#client.destroy().catch(() => {});
  }

  onRequestStart(controller: Controller): void {
    this.#interim?.expectHead();
    this.#handler?.onRequestStart(controller);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    this.#handler?.onResponseStart(controller, status, headers, message);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#handler?.onResponseData(controller, chunk);
  }

  onResponseEnd(): void {
    const handler = this.#handler;
    const error = this.#socket?.errored;
    const wasUsed = this.#wasUsed;
    this.#release();
    if (error) {
      // A body that ends with its connection is not whole when that was reset.
      handler?.onResponseError(error, wasUsed);
    } else {
      handler?.onResponseEnd();
    }
  }

  onResponseError(_controller: Controller, error: Error): void {
    const handler = this.#handler;
    const wasUsed = this.#wasUsed;
    this.#release();
    handler?.onResponseError(error, wasUsed);
  }

  #release(): void {
    this.#handler = undefined;
    this.#wasUsed = true;
    this.#events.onIdle();
  }
}
