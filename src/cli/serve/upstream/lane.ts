/**
 * One connection to the upstream server, opened when it is needed and again when it was closed.
 *
 * Whether it had been idle says whether a request may be tried again (RFC 9112 §9.3.1), and how it ended says whether a
 * response that has no length is whole (RFC 9112 §8).
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { buildConnector, Client, Dispatcher } from 'undici';
import type { Place } from '../../../node/roster.ts';
import { UpstreamReading } from './reading.ts';
import { isFramed, RequestWire, type WireExtras } from './request-wire.ts';

/** How a request is stopped, or its answer held back. */
export type Controller = Pick<Dispatcher.DispatchController, 'abort' | 'pause' | 'resume'>;
export type Connector = buildConnector.connector;

/** What becomes of a request. */
export interface UpstreamHandler {
  onRequestStart(controller: Controller): void;
  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseEnd(trailers?: IncomingHttpHeaders): void;
  /** `wasIdle`: the connection had carried a request before; the upstream server may have closed it just then. */
  onResponseError(error: Error, wasIdle: boolean): void;
}

export interface UpstreamRequest {
  /** Whose share of the connections it goes to. */
  readonly client: string;
  readonly method: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: Dispatcher.DispatchOptions['body'];
  /** False: the connection stays open, though undici would end it after such a request. */
  readonly reset: false | null;
  /** Undefined for most requests without a body. */
  readonly extras: WireExtras | undefined;
}

export interface LaneEvents {
  /** The request of this client is over. */
  readonly onIdle: (client: string) => void;
  readonly onGone: () => void;
}

export class Lane implements Dispatcher.DispatchHandler {
  /** Among those of its pool. */
  place: Place<Lane> | undefined;
  readonly #client: Client;
  readonly #events: LaneEvents;
  #socket: Socket | undefined;
  #reading: UpstreamReading | undefined;
  #handler: UpstreamHandler | undefined;
  #extras: WireExtras | undefined;
  #servedFor = '';
  #wire: RequestWire | undefined;
  /** The answer says itself where it ends. */
  #isFramed = false;
  /** The connection that there is has carried a request to its end. */
  #wasUsed = false;

  /** In place of undici's. */
  readonly #pause = (): void => this.#reading?.hold();
  readonly #resume = (): void => this.#reading?.release();

  constructor(createClient: (connect: (connector: Connector) => Connector) => Client, events: LaneEvents) {
    this.#events = events;
    this.#client = createClient((connector) => (options, callback) => {
      connector(options, (...[error, socket]: Parameters<buildConnector.Callback>) => {
        if (error !== null) {
          callback(error, null);
          return;
        }
        this.#socket = socket;
        this.#reading = new UpstreamReading(socket);
        this.#wasUsed = false;
        callback(null, socket);
      });
    });
    this.#client.on('disconnect', events.onGone);
    this.#client.on('connectionError', events.onGone);
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#handler = handler;
    this.#extras = request.extras;
    this.#servedFor = request.client;
    this.#client.dispatch(request as unknown as Dispatcher.DispatchOptions, this);
  }

  get isConnected(): boolean {
    return this.#socket?.destroyed === false;
  }

  destroy(): void {
    this.#client.destroy().catch(() => {});
  }

  onRequestStart(controller: Controller): void {
    this.#reading?.expectHead();
    controller.pause = this.#pause;
    controller.resume = this.#resume;
    if (this.#extras !== undefined && this.#socket !== undefined) {
      this.#wire = new RequestWire(this.#socket, this.#extras);
    }
    this.#handler?.onRequestStart(controller);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders, message?: string): void {
    if (this.#wire !== undefined && status >= 200) {
      this.#wire.isAnswered = true;
      this.#isFramed = isFramed(headers);
    }
    this.#handler?.onResponseStart(controller, status, headers, message);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#handler?.onResponseData(controller, chunk);
  }

  onResponseEnd(_controller: Controller, trailers: IncomingHttpHeaders): void {
    const handler = this.#handler;
    const error = this.#socket?.errored ?? (this.#isFramed ? undefined : this.#wire?.refusal);
    const wasUsed = this.#wasUsed;
    this.#release();
    if (error) {
      // A body that ends with its connection is not whole when that was reset.
      handler?.onResponseError(error, wasUsed);
    } else {
      handler?.onResponseEnd(trailers);
    }
  }

  onResponseError(_controller: Controller, error: Error): void {
    const handler = this.#handler;
    const wasUsed = this.#wasUsed;
    if (handler === undefined) {
      return;
    }
    this.#release();
    handler.onResponseError(error, wasUsed);
  }

  #release(): void {
    this.#handler = undefined;
    this.#wire?.restore();
    this.#wire = undefined;
    this.#reading?.endAnswer();
    this.#wasUsed = true;
    this.#events.onIdle(this.#servedFor);
  }
}
