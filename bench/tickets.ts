/** The cost of sealing one ticket and of opening it, as a server does on each resumption. */

import { Secret } from '../src/bytes/secret.ts';
import { nodeProvider } from '../src/crypto/node-provider.ts';
import type { SessionState } from '../src/session/session-state.ts';
import { openTicket, sealTicket } from '../src/session/ticket.ts';
import type { TicketKey, TicketKeySource } from '../src/session/ticket-key.ts';
import { microsPerCall } from './timing.ts';

/** µs per ticket. */
export interface TicketCost {
  readonly seal: number;
  readonly open: number;
}

export function measureTickets(): TicketCost {
  const provider = nodeProvider;
  const now = Date.now();
  const key: TicketKey = {
    name: randomBytes(16),
    secret: Secret.take('ticketKey', randomBytes(32)),
    secret12: Secret.take('ticketKey', randomBytes(32)),
    createdAt: now,
    sealFrom: now,
    sealUntil: now + HOUR,
    openUntil: now + 3 * HOUR,
    openUntil12: now + 2 * HOUR,
  };
  const keys: TicketKeySource = { sealingKey: () => key, openingKey: () => key, status: () => [] };
  const state: SessionState = {
    version: 'TLSv1.3',
    cipherSuite: 'TLS_AES_128_GCM_SHA256',
    secret: Secret.take('resumptionPsk', randomBytes(32)),
    issuedAt: now,
    authenticatedAt: now,
    ticketLifetime: 7200,
    ticketAgeAdd: 0x12345678,
    serverName: 'localhost',
    alpnProtocol: 'http/1.1',
    policyHash: randomBytes(32),
  };
  const ticket = sealTicket({ provider, key, state });
  const seal = microsPerCall(() => {
    sealTicket({ provider, key, state });
  });
  const open = microsPerCall(() => {
    const { state: opened, refusal } = openTicket({ provider, keys, ticket, now });
    if (opened === undefined) {
      throw new Error(`the ticket did not open: ${refusal}`);
    }
    opened.secret.erase();
  });
  key.secret.erase();
  state.secret.erase();
  return { seal, open };
}

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  nodeProvider.random(bytes);
  return bytes;
}

const HOUR = 3_600_000;
