/** The body of a request on its way to the upstream server. */

import { PassThrough } from 'node:stream';
import type { Exchange } from '../exchange.ts';
import type { Pace, Paced, Progress } from './pace.ts';

export interface BodyOptions {
  readonly pace: Pace;
  /** Whose body it is. */
  readonly client: string;
  /** It must not be given a length, even where all of it is here: trailers follow. */
  readonly inChunks: boolean;
}

/**
 * The body of a request, to be given away: when the upstream server answers before it has all of it, what is left is read
 * and dropped, so that the client comes to read the answer. It breaks with `isClientStall` when the client stops in the
 * middle of it, or is slow while others wait, which would hold a connection to the upstream server for ever.
 */
export function bodyOf({ request }: Exchange, { pace, client, inChunks }: BodyOptions): PassThrough {
  // undici asks a stream that has ended how long it is, unless it is one of objects.
  const body = new PassThrough(inChunks ? { readableObjectMode: true, readableHighWaterMark: 1 } : {});
  let progress: Progress | undefined;
  let taken = 0;
  const paced: Paced = {
    client,
    held: 0,
    // Nothing of it is kept.
    stillFor: 0,
    movedWhileAwaited() {
      return progress?.isAwaited === true ? progress.moved : undefined;
    },
    look() {
      progress ??= pace.progress();
      progress.look(taken, !body.writableNeedDrain);
      if (pace.isTooLong(progress.stillFor)) {
        body.destroy(clientStall('client_stalled'));
      }
      pace.setSlow(paced, progress.isSlow);
    },
    cutOff: () => body.destroy(clientStall('client_slow')),
  };
  pace.add(paced);
  request.on('data', ({ length }: Buffer) => {
    taken += length;
  });
  request.once('end', () => pace.delete(paced));
  // Who takes it learns of its end by other ways.
  body.on('error', () => {});
  body.once('close', () => {
    pace.delete(paced);
    request.unpipe(body);
    request.resume();
  });
  return request.pipe(body);
}

/** RFC 9112 §6: by its framing. HTTP/2 says with the headers that nothing follows. */
export function hasBody({ request }: Exchange): boolean {
  const { headers } = request;
  if (request.httpVersionMajor >= 2) {
    return (request as { stream?: { endAfterHeaders?: boolean } }).stream?.endAfterHeaders !== true;
  }
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0);
}

export function clientStall(by: ClientStall['by']): ClientStall {
  return Object.assign(new Error('the client does not send its body'), { code: CLIENT_STALL, by } as const);
}

export function isClientStall(error: unknown): error is ClientStall {
  return (error as { code?: unknown }).code === CLIENT_STALL;
}

export interface ClientStall extends Error {
  /** As the books name it: it has stopped, or is slow while others wait. */
  readonly by: 'client_stalled' | 'client_slow';
}

const CLIENT_STALL = 'CLIENT_STALL';
