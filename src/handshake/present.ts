import { TLSError } from '../errors.ts';

/** A value that the transitions promise in this state; its absence is a bug of ours, never of the peer. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new TLSError('TLS_ERR_INTERNAL', 'the handshake lacks a value that its state must have');
  }
  return value;
}
