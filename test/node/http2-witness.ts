/** Servers and clients of HTTP/2, of `node:http2` and of Mayfly, for programs that must see the same over both. */

import { once } from 'node:events';
import * as nodeHttp2 from 'node:http2';
import * as ourHttp2 from '../../src/node/http2.ts';
import { closing, collect, listen, mayfly, native, serverOptions, type Tls, trust } from './support.ts';
import type { Ends } from './witness.ts';

export type Http2 = typeof nodeHttp2;

export interface End {
  readonly http2: Http2;
  readonly tls: Tls;
}

export const node: End = { http2: nodeHttp2, tls: native };
export const ours: End = { http2: ourHttp2 as unknown as Http2, tls: mayfly };
export type ServerOptions = nodeHttp2.SecureServerOptions;
export type ClientOptions = nodeHttp2.SecureClientSessionOptions;

export class Meeting {
  readonly server: nodeHttp2.Http2SecureServer;
  readonly #ends: Ends<End>;
  port = 0;

  constructor(ends: Ends<End>, options: ServerOptions = {}) {
    this.#ends = ends;
    this.server = ends.server.http2.createSecureServer({ ...serverOptions, ...options });
    this.server.on('sessionError', () => {});
  }

  async listen(): Promise<this> {
    this.port = await listen(this.server);
    return this;
  }

  open(options: ClientOptions = {}): nodeHttp2.ClientHttp2Session {
    const session = this.#ends.client.http2.connect(`https://localhost:${this.port}`, { ...trust, ...options });
    return session;
  }

  /** With the server's session. */
  async both(options: ClientOptions = {}): Promise<[nodeHttp2.ClientHttp2Session, nodeHttp2.ServerHttp2Session]> {
    const served = once(this.server, 'session');
    const session = this.open(options);
    await once(session, 'connect');
    return [session, (await served)[0]];
  }

  async end(session?: nodeHttp2.Http2Session): Promise<void> {
    if (session !== undefined && !session.destroyed) {
      const gone = closing(session);
      session.close();
      await gone;
    }
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }
}

export async function answer(stream: nodeHttp2.ClientHttp2Stream, body?: string): Promise<[unknown, string]> {
  stream.end(body);
  const response = once(stream, 'response');
  const text = String(await collect(stream));
  const [headers] = await response;
  return [headers[':status'], text];
}
