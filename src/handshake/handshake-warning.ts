/** Tells the host, and whoever listens on the diagnostics channel, that a connection is weaker than it could be. */

import { handshakeWarned } from '../ledger/channels.ts';
import type { HandshakeHost } from './host.ts';

/** Resumed data, and that of an external PSK, is not forward secret without a key exchange (RFC 9846 §2.2, Appendix F.1). */
export function warnOfPskKe(host: HandshakeHost, role: 'client' | 'server'): void {
  host.emit({ kind: 'warning', warning: 'psk_ke' });
  if (handshakeWarned.hasSubscribers) {
    handshakeWarned.publish({ role, warning: 'psk_ke' });
  }
}
