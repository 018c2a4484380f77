/** `mayfly/native`: the ring of ticket keys under servers of Node's own `tls`, `https` and `http2`. */

export type { ExternalSessionCache } from '../session/external-session-cache.ts';
export { LocalTicketKeys } from '../session/local-ticket-keys.ts';
export type { TicketKeySource, TicketKeyStatus } from '../session/ticket-key.ts';
export { type ManagedTickets, type ManageTicketsOptions, manageTickets } from './native/manage-tickets.ts';
