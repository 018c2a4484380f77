/** The path from a server's certificate to the root that it was trusted by, for the telling; or why there is none. */

import type { ParsedCertificate } from '../../certificates/certificate.ts';
import { TLSError } from '../../errors.ts';
import { trustFor, verifyServerChain } from '../../node/trust.ts';
import type { Attempt, Outcome } from './handshake.ts';

export interface Judgement {
  /** Leaf first, the trust anchor last. */
  readonly path: readonly ParsedCertificate[] | undefined;
  /** The same where only the name is wrong. */
  readonly anyName: readonly ParsedCertificate[] | undefined;
  /** Why there is no path. */
  readonly problem: string | undefined;
}

export function judgeChain(attempt: Attempt, { summary }: Outcome): Judgement {
  if (summary.peerCertificates.length === 0) {
    return { path: undefined, anyName: undefined, problem: undefined };
  }
  const verify = (checkName: boolean) =>
    verifyServerChain(trustFor(attempt.ca), summary.peerCertificates, attempt.serverName, checkName, {
      stapling: 'judged',
    }).path;
  try {
    const path = verify(true);
    return { path, anyName: path, problem: undefined };
  } catch (error) {
    if (!(error instanceof TLSError)) {
      throw error;
    }
    return { path: undefined, anyName: attempted(() => verify(false)), problem: error.message };
  }
}

function attempted<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}
