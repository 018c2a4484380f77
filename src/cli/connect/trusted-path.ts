/** The path from a server's certificate to the root that it was trusted by, for the telling. */

import { TLSError } from '../../errors.ts';
import { trustFor, verifyServerChain } from '../../node/trust.ts';
import type { Attempt, Outcome } from './handshake.ts';

/** DER, leaf first, the trust anchor last; undefined when there is no such path. */
export function trustedPath(attempt: Attempt, outcome: Outcome): readonly Uint8Array[] | undefined {
  try {
    const chain = outcome.summary.peerCertificates;
    return verifyServerChain(trustFor(attempt.ca), chain, attempt.serverName, true).path.map(({ raw }) => raw);
  } catch (error) {
    if (error instanceof TLSError) {
      return undefined;
    }
    throw error;
  }
}
