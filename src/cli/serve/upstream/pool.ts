/**
 * The connections to the upstream server, each with at most one request on it. An idle one is used again, the last one
 * first; one that broke or was closed is forgotten. There are never more than so many, those with them that others open
 * (`reserve`): beyond, requests wait.
 *
 * Not undici's own pool, because it does not tell on which connection a request goes: whether that one had been idle says
 * whether the request may be tried again (RFC 9112 §9.3.1), and how that one ended says whether a response that has no
 * length is whole (RFC 9112 §8).
 */

import type { Readable } from 'node:stream';
import type { Client } from 'undici';
import { type Connector, Lane, type UpstreamHandler, type UpstreamRequest } from './lane.ts';
import { WaitingRoom, type WaitingRoomOptions } from './waiting-room.ts';

/** Who opens a connection of its own, which counts like the others. */
export interface Guest {
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
  readonly queue: WaitingRoomOptions;
}

/** Whose turn it is takes an idle connection over, or opens one. */
interface Waiter {
  onTurn(lane: Lane | undefined): void;
  onRefused(error: Error): void;
}

export class UpstreamPool {
  readonly #open = new Set<Lane>();
  /** Empty while anyone waits. */
  readonly #idle: Lane[] = [];
  readonly #waiting: WaitingRoom<Waiter>;
  readonly #limit: number;
  #guests = 0;
  readonly #createClient: (connect: (connector: Connector) => Connector) => Client;

  constructor(undici: typeof import('undici'), options: UpstreamPoolOptions) {
    const { origin, timeout, connectTimeout, limit, queue } = options;
    const connector = undici.buildConnector({ timeout: connectTimeout });
    this.#limit = limit;
    this.#waiting = new WaitingRoom(queue);
    this.#createClient = (connect) =>
      // That an answer goes on is for the handler to see, which also knows whether it holds it back.
      new undici.Client(origin, { headersTimeout: timeout, bodyTimeout: 0, connect: connect(connector) });
  }

  /** `fresh`: on a connection of its own. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler, fresh = false): void {
    const lane = fresh ? undefined : this.#idle.pop();
    if (lane !== undefined) {
      lane.dispatch(request, handler);
    } else if (this.#hasRoom()) {
      this.#openLane().dispatch(request, handler);
    } else {
      this.#wait(request, handler);
    }
  }

  /** Returns how to leave before there was room. */
  reserve(guest: Guest): () => void {
    if (this.#hasRoom()) {
      this.#guests++;
      guest.onPlace();
      return () => {};
    }
    const waiter: Waiter = {
      onTurn: (lane) => {
        if (lane !== undefined) {
          this.#retire(lane);
        }
        this.#guests++;
        guest.onPlace();
      },
      onRefused: (error) => guest.onRefused(error),
    };
    this.#waiting.enter(waiter);
    return () => this.#waiting.leave(waiter);
  }

  /** The connection of a guest is closed. */
  release(): void {
    this.#guests--;
    this.#waiting.next()?.onTurn(undefined);
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
      onTurn: (lane) => (lane ?? this.#openLane()).dispatch(request, handler),
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
    }
  }

  #openLane(): Lane {
    const lane = new Lane(this.#createClient, {
      onIdle: () => {
        if (!this.#open.has(lane)) {
          return;
        }
        if (this.#waiting.isEmpty) {
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
    this.#open.add(lane);
    return lane;
  }

  #hand(lane: Lane): void {
    const waiter = this.#open.has(lane) ? this.#waiting.next() : undefined;
    if (waiter === undefined) {
      // It may have been closed meanwhile.
      this.#retire(lane);
    } else {
      waiter.onTurn(lane);
    }
  }

  #retire(lane: Lane): void {
    this.#open.delete(lane);
    lane.destroy();
  }
}
