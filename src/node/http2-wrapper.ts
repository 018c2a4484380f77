/**
 * Node runs HTTP/2 over a transport that is not its own through a wrapper, which takes two things for bugs of Node and
 * ends the process: a write while another, or the end, is still under way. A peer can bring both about, by hanging up
 * while streams are open. Here the wrapper is made to survive them.
 */

import type { Http2Session } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from './tls-socket.ts';

type Write = (request: unknown, buffers: unknown) => number;

/** The wrapper that a session shows as its socket: by a proxy, of which this method of EventEmitter returns what is behind it. */
export function wrapperOf(session: Http2Session): Duplex {
  const shown = session.socket;
  return shown.setMaxListeners(shown.getMaxListeners()) as Duplex;
}

/** For each session over `socket`, once. */
export function guardWrapper(session: Http2Session, socket: TLSSocket): void {
  const wrapper = wrapperOf(session);
  // When a connection breaks, Node ends the session with a last GOAWAY: by then the wrapper is gone.
  socket.prependListener('error', () => wrapper.destroy());
  refuseOverlaps(wrapper as Duplex & { doWrite?: Write });
  // Whether the process stays for the sake of a session is its socket's to say: the wrapper has nothing that would keep it.
  Object.assign(wrapper, { ref: lend(wrapper, () => socket.ref()), unref: lend(wrapper, () => socket.unref()) });
}

function lend(wrapper: Duplex, call: () => void): () => Duplex {
  return () => {
    call();
    return wrapper;
  };
}

/** A stream that ends beside the session's own end sends RST_STREAM: that comes too late, and is told so. */
function refuseOverlaps(wrapper: Duplex & { doWrite?: Write }): void {
  const write = wrapper.doWrite;
  const requests = Object.getOwnPropertySymbols(wrapper).filter(({ description }) => REQUESTS.has(description));
  // A Node whose wrapper is made otherwise.
  if (typeof write !== 'function' || requests.length !== REQUESTS.size) {
    return;
  }
  const fields = wrapper as unknown as Record<symbol, unknown>;
  // Not assigned as it is written: such a function V8 puts into the old generation, where it outlives the connection.
  const guarded: Write = (request, buffers) => {
    const isBusy = requests.some((field) => fields[field] !== null);
    return isBusy ? UV_EPIPE : write.call(wrapper, request, buffers);
  };
  wrapper.doWrite = guarded;
}

const REQUESTS: ReadonlySet<string | undefined> = new Set(['kCurrentWriteRequest', 'kCurrentShutdownRequest']);
const UV_EPIPE = -32;
