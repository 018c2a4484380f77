/** The forms in which `connect` may be called: `(options)`, `(port, host, options)`, `(path, options)`, each with a listener. */

import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ConnectArguments<T> {
  readonly options: T;
  readonly listener: (() => void) | undefined;
}

export function readConnectArguments<T extends object>(args: readonly unknown[]): ConnectArguments<T> {
  const options: Record<string, unknown> = {};
  let listener: (() => void) | undefined;
  for (const [i, arg] of args.entries()) {
    if (typeof arg === 'function') {
      listener = arg as () => void;
    } else if (typeof arg === 'object' && arg !== null) {
      // No spread: with Node 20, what is spread and then added to has a hidden class of its own each time.
      Object.assign(options, arg);
    } else if (i === 0 && isPath(arg)) {
      options.path = arg;
    } else if (i === 0) {
      options.port = Number(arg);
    } else if (typeof arg === 'string') {
      options.host = arg;
    }
  }
  return { options: options as T, listener };
}

/** Its 'connect' is still to come, also where nobody has told it yet where to. */
export function isConnecting(transport: Duplex): boolean {
  const { connecting = false } = transport as Partial<Socket>;
  return connecting || (transport instanceof Socket && transport.pending && !transport.destroyed);
}

function isPath(arg: unknown): arg is string {
  return typeof arg === 'string' && !/^\d+$/.test(arg);
}
