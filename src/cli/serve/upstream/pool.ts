/**
 * The connections to the upstream server, each with at most one request on it. An idle one is used again, the last one
 * first; one that broke or was closed is forgotten. There are never more than so many, those with them that others open
 * (`reserve`): beyond, or beyond the share of their client, requests wait.
 *
 * Not undici's own pool, because it does not tell on which connection a request goes: whether that one had been idle says
 * whether the request may be tried again (RFC 9112 §9.3.1), and how that one ended says whether a response that has no
 * length is whole (RFC 9112 §8).
 */

import type { Readable } from 'node:stream';
import type { Client } from 'undici';
import { Roster } from '../../../node/roster.ts';
import { type Connector, Lane, type UpstreamHandler, type UpstreamRequest } from './lane.ts';
import { Shares } from './shares.ts';
import { WaitingRoom, type WaitingRoomOptions } from './waiting-room.ts';

/** Who opens a connection of its own, which counts like the others. */
export interface Guest {
  readonly client: string;
  /** Now, or when there is room. To be followed by one `release`. */
  onPlace(): void;
  onRefused(error: Error): void;
}

export interface UpstreamPoolOptions {
  readonly origin: string;
  /** Milliseconds until the upstream server begins its answer. */
  readonly timeout: number;
  /** Milliseconds until a connection must be there. */
  readonly connectTimeout: number;
  /** Connections at a time. */
  readonly limit: number;
  /** Of these, with requests of one client, and of the places in the queue as large a part; undefined: as `Shares` has it. */
  readonly share: number | undefined;
  readonly queue: WaitingRoomOptions;
  /** One is wanted, of this client's or of all: whose client makes it wait is to be cut off. */
  readonly onWanted: (of: string | undefined) => void;
}

/** Whose turn it is takes an idle connection over, or opens one. */
interface Waiter {
  readonly client: string;
  onTurn(lane: Lane | undefined): void;
  onRefused(error: Error): void;
}

export class UpstreamPool {
  readonly #open = new Roster<Lane>();
  /** Empty while anyone waits who may have one. */
  readonly #idle: Lane[] = [];
  readonly #waiting: WaitingRoom<Waiter>;
  readonly #shares: Shares;
  readonly #limit: number;
  readonly #onWanted: UpstreamPoolOptions['onWanted'];
  #guests = 0;
  readonly #createClient: (connect: (connector: Connector) => Connector) => Client;

  constructor(undici: typeof import('undici'), options: UpstreamPoolOptions) {
    const { origin, timeout, connectTimeout, limit, share, queue } = options;
    const connector = undici.buildConnector({ timeout: connectTimeout });
    this.#limit = limit;
    this.#onWanted = options.onWanted;
    this.#shares = new Shares(limit, share);
    this.#waiting = new WaitingRoom(queue, share && Math.ceil((queue.size * share) / limit));
    this.#createClient = (connect) =>
      // That an answer goes on is for the handler to see, which also knows whether it holds it back.
      new undici.Client(origin, { headersTimeout: timeout, bodyTimeout: 0, connect: connect(connector) });
  }

  /** With a request on them, or of guests. */
  get busy(): number {
    return this.#open.size - this.#idle.length + this.#guests;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /** Requests. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** For each request that waits: whose requests would make room for it. Undefined: anybody's. */
  *wanted(): Generator<string | undefined> {
    for (const { client } of this.#waiting.all) {
      yield this.#inWayOf(client);
    }
  }

  /** `fresh`: on a connection of its own. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh = false): void {
    if (!this.#shares.hasRoom(request.client)) {
      this.#wait(request, handler);
      return;
    }
    const lane = fresh ? undefined : this.#idle.pop();
    if (lane !== undefined) {
      this.#send(lane, request, handler);
    } else if (this.#hasRoom()) {
      this.#send(this.#openLane(), request, handler);
    } else {
      this.#wait(request, handler);
    }
  }

  /** Returns how to leave before there was room. */
  reserve(guest: Guest): () => void {
    const { client } = guest;
    const enter = (): void => {
      this.#shares.take(client);
      this.#guests++;
      guest.onPlace();
    };
    if (this.#shares.hasRoom(client) && this.#hasRoom()) {
      enter();
      return () => {};
    }
    const waiter: Waiter = {
      client,
      onTurn: (lane) => {
        if (lane !== undefined) {
          this.#retire(lane);
        }
        enter();
      },
      onRefused: (error) => guest.onRefused(error),
    };
    if (this.#waiting.enter(waiter)) {
      this.#onWanted(this.#inWayOf(client));
    }
    return () => this.#waiting.leave(waiter);
  }

  /** The connection of a guest is closed. */
  release(client: string): void {
    this.#guests--;
    this.#shares.giveBack(client);
    this.#next()?.onTurn(undefined);
  }

  close(): void {
    for (const lane of this.#open) {
      lane.destroy();
    }
    this.#open.clear();
    this.#idle.length = 0;
  }

  /** For one more, if need be in place of one that is idle. */
  #hasRoom(): boolean {
    if (this.#open.size + this.#guests < this.#limit) {
      return true;
    }
    const oldest = this.#idle.shift();
    if (oldest !== undefined) {
      this.#retire(oldest);
    }
    return oldest !== undefined;
  }

  #wait(request: UpstreamRequest, handler: UpstreamHandler): void {
    const drop = (error: Error): void => {
      // So that what is left of it is read.
      (request.body as Partial<Readable> | null)?.destroy?.();
      handler.onResponseError(error, false);
    };
    const waiter: Waiter = {
      client: request.client,
      onTurn: (lane) => this.#send(lane ?? this.#openLane(), request, handler),
      onRefused: drop,
    };
    if (this.#waiting.enter(waiter)) {
      handler.onRequestStart({
        pause() {},
        resume() {},
        abort: (error) => {
          this.#waiting.leave(waiter);
          drop(error);
        },
      });
      this.#onWanted(this.#inWayOf(request.client));
    }
  }

  /** One that has its share must not take the place of others. */
  #inWayOf(client: string): string | undefined {
    return this.#shares.hasRoom(client) ? undefined : client;
  }

  /** Whose turn it is. */
  #next(): Waiter | undefined {
    return this.#waiting.next((client) => this.#shares.hasRoom(client));
  }

  #send(lane: Lane, request: UpstreamRequest, handler: UpstreamHandler): void {
    this.#shares.take(request.client);
    lane.dispatch(request, handler);
  }

  #openLane(): Lane {
    const lane = new Lane(this.#createClient, {
      onIdle: (client) => {
        this.#shares.giveBack(client);
        if (lane.place?.member === undefined) {
          return;
        }
        if (this.#waiting.size === 0) {
          this.#idle.push(lane);
        } else {
          // undici looks in between whether the upstream server said more than it should, or closes.
          setImmediate(() => this.#hand(lane));
        }
      },
      onGone: () => {
        const at = this.#idle.indexOf(lane);
        // A lane with a request on it connects again.
        if (at >= 0) {
          this.#idle.splice(at, 1);
          this.#retire(lane);
        }
      },
    });
    lane.place = this.#open.enter(lane);
    return lane;
  }

  #hand(lane: Lane): void {
    if (lane.place?.member === undefined) {
      return;
    }
    const waiter = this.#next();
    if (waiter !== undefined) {
      waiter.onTurn(lane);
    } else if (lane.isConnected) {
      this.#idle.push(lane);
    } else {
      this.#retire(lane);
    }
  }

  #retire(lane: Lane): void {
    this.#open.leave(lane.place);
    lane.destroy();
  }
}
