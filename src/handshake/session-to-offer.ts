/**
 * Whether a client may offer a session at all: what it began with has to hold still, and the server has to be able to take it.
 *
 * RFC 9846 §4.3.11, §4.7.1; TLS 1.2: RFC 5246 §7.4.1.2, RFC 7627 §5.3.
 */

import type { ResumptionRefusal } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { ClientOptions, ProtocolVersion } from '../connection-options.ts';
import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import type { CipherSuite12Name } from '../crypto/suites12.ts';
import type { ClientSession, ClientSession12 } from '../session/client-session.ts';
import type { ClientPsks } from './client-psks.ts';

/**
 * Milliseconds, 7 days: a server that hands out ticket after ticket must not be trusted for ever on the certificate of
 * the first handshake, which may be expired or revoked by now (RFC 9846 §4.7.1).
 */
const MAX_HANDSHAKE_VALIDITY = 604_800_000;

export interface OfferedSuites {
  readonly versions: readonly ProtocolVersion[];
  readonly cipherSuites: readonly CipherSuiteName[];
  readonly cipherSuites12: readonly CipherSuite12Name[];
}

/** Why it must not be offered, or undefined. */
export function refusalToOffer(
  session: ClientSession,
  options: ClientOptions,
  offered: OfferedSuites,
  psks: ClientPsks,
): ResumptionRefusal | undefined {
  const now = options.now();
  if (!offered.versions.includes(session.version)) {
    return 'version_changed';
  }
  if (session.secret.erased || now - session.receivedAt >= session.ticketLifetime * 1000) {
    return 'expired_ticket';
  }
  if (now - session.authenticatedAt >= MAX_HANDSHAKE_VALIDITY) {
    return 'expired_handshake';
  }
  if (session.serverName !== options.serverName) {
    return 'policy_changed';
  }
  if (session.version === 'TLSv1.2') {
    return refusalToOffer12(session, options, offered);
  }
  const { externalPskFingerprint = EMPTY } = session;
  if (externalPskFingerprint.length > 0 && psks.nameOf(externalPskFingerprint) === undefined) {
    return 'unknown_psk';
  }
  if (externalPskFingerprint.length === 0 && options.externalPskRequired === true) {
    return 'policy_changed';
  }
  const { hash } = cipherSuites[session.cipherSuite];
  return offered.cipherSuites.some((name) => cipherSuites[name].hash === hash) ? undefined : 'suite_changed';
}

function refusalToOffer12(
  session: ClientSession12,
  { allowLegacyMasterSecret }: ClientOptions,
  { cipherSuites12 }: OfferedSuites,
): ResumptionRefusal | undefined {
  if (!cipherSuites12.includes(session.cipherSuite)) {
    return 'suite_changed';
  }
  const legacyAllowed = session.extendedMasterSecret || allowLegacyMasterSecret === true;
  return legacyAllowed ? undefined : 'legacy_master_secret';
}
