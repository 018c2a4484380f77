/**
 * The store as handshakes may use it: an answer within a quarter of a second or none. A full handshake costs far less than
 * a wait, so a store that hangs is left alone for a second after each time it kept somebody waiting.
 */

import { TLSError } from '../../errors.ts';
import type { Clock } from '../../session/clock.ts';
import type { RedisArgument, RedisConnection } from './connection.ts';

export class HastyRedis {
  readonly #redis: Pick<RedisConnection, 'command'>;
  readonly #clock: Clock;
  #leftAloneUntil = Number.NEGATIVE_INFINITY;

  constructor(redis: Pick<RedisConnection, 'command'>, clock: Clock) {
    this.#redis = redis;
    this.#clock = clock;
  }

  /** @throws TLSError `TLS_ERR_STORE` no answer in time, now or a moment ago; Error whatever the client says */
  async command(key: string, args: readonly RedisArgument[]): Promise<unknown> {
    if (this.#clock.monotonic() < this.#leftAloneUntil) {
      throw new TLSError(
        'TLS_ERR_STORE',
        'the store did not answer in time a moment ago: it is left alone for a second',
      );
    }
    let timer: { cancel(): void } | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#clock.setTimer(() => {
        this.#leftAloneUntil = this.#clock.monotonic() + PAUSE;
        reject(new TLSError('TLS_ERR_STORE', `the store did not answer within ${PATIENCE} ms`));
      }, PATIENCE);
    });
    try {
      return await Promise.race([this.#redis.command(key, args), late]);
    } finally {
      timer?.cancel();
    }
  }
}

/** Milliseconds. */
const PATIENCE = 250;
const PAUSE = 1_000;
