/** STAND-IN: to be replaced by the adapters of src/node and src/certificates. */

import { createSecureServer as nativeServer, type Http2SecureServer, type SecureServerOptions } from 'node:http2';
import type { HandshakeSummary } from '../actions.ts';
import type { TicketKeyStatus } from '../session/ticket-key.ts';

export interface SessionOptions {
  readonly tickets?: boolean;
  /** Milliseconds. */
  readonly rotate?: number;
  readonly ticketLifetime?: number;
}

export interface ServerSessions {
  rotate(): void;
  flush(): void;
  status(): readonly TicketKeyStatus[];
}

export type SecureServer = Http2SecureServer & { readonly sessions: ServerSessions };

export function createSecureServer(options: SecureServerOptions & { sessions: SessionOptions }): SecureServer {
  const server = nativeServer(options) as SecureServer;
  const rotate = options.sessions.rotate ?? 3_600_000;
  const lifetime = options.sessions.ticketLifetime ?? 7_200_000;
  const start = Date.now();
  const sessions: ServerSessions = {
    rotate() {},
    flush() {},
    status() {
      if (options.sessions.tickets === false) {
        return [];
      }
      const now = Date.now();
      const index = Math.floor((now - start) / rotate);
      const keys: TicketKeyStatus[] = [];
      for (let i = Math.max(0, index - Math.ceil(lifetime / rotate)); i <= index + 1; i++) {
        const sealFrom = start + i * rotate;
        const sealUntil = sealFrom + rotate;
        const openUntil = sealUntil + lifetime;
        if (openUntil > now) {
          keys.push({
            name: (0x9e3779b1 * (i + 1) >>> 0).toString(16).padStart(8, '0'),
            createdAt: sealFrom - rotate / 4,
            sealFrom,
            sealUntil,
            openUntil,
            state: now < sealFrom ? 'waiting' : now < sealUntil ? 'sealing' : 'opening',
            ticketsSealed: now < sealFrom ? 0 : 20 + i * 3,
            ticketsOpened: i * 2,
          });
        }
      }
      return keys;
    },
  };
  return Object.assign(server, { sessions });
}

export function summaryOf(socket: unknown): HandshakeSummary | undefined {
  const s = socket as { alpnProtocol: string | false; isSessionReused(): boolean; servername: string };
  return {
    role: 'server',
    version: 'TLSv1.3',
    cipherSuite: 'TLS_AES_256_GCM_SHA384',
    namedGroup: 'x25519',
    signatureScheme: 'ecdsa_secp256r1_sha256',
    serverName: s.servername || '',
    alpnProtocol: s.alpnProtocol || '',
    resumed: s.isSessionReused(),
    refusal: undefined,
    helloRetried: false,
    pskMode: undefined,
    authenticatedAt: Date.now(),
    peerCertificates: [],
  };
}
