/** One handshake told for programs: the JSON of `connect --json`. */

import { formatAddress } from '../address.ts';
import { describeCertificate } from '../certificates.ts';
import type { Phase } from './handshake.ts';
import { secretTree } from './secret-tree.ts';
import type { Story } from './story.ts';

export function handshakeReport(story: Story): Record<string, unknown> {
  const { attempt, outcome, chain, anchored, session, staple, timestamps } = story;
  const { summary, early } = outcome;
  return {
    peer: formatAddress(attempt.peer),
    remote: formatAddress(outcome.remote),
    version: summary.version,
    cipherSuite: summary.cipherSuite,
    namedGroup: summary.namedGroup ?? null,
    helloRetried: summary.helloRetried,
    alpnProtocol: summary.alpnProtocol === '' ? null : summary.alpnProtocol,
    serverName: summary.serverName === '' ? null : summary.serverName,
    encryptedClientHello: echState(story),
    offered: summary.offered ?? null,
    signatureScheme: summary.signatureScheme ?? null,
    authenticatedAt: new Date(summary.authenticatedAt).toISOString(),
    authenticatedBy: summary.authenticatedBy ?? 'certificate',
    externalPsk: pskName(story) ?? null,
    trusted: outcome.distrust === undefined,
    distrust: outcome.distrust ?? null,
    distrustReason: story.problem ?? null,
    certificatesSent: summary.signatureScheme === undefined ? 0 : summary.peerCertificates.length,
    chain: chain.map((certificate, i) => ({
      subject: certificate.subject,
      issuer: certificate.issuer,
      names: certificate.names,
      notBefore: new Date(certificate.notBefore).toISOString(),
      notAfter: new Date(certificate.notAfter).toISOString(),
      key: certificate.key,
      sha256: certificate.fingerprint,
      root: anchored && i === chain.length - 1,
    })),
    ocsp:
      staple === undefined
        ? null
        : {
            status: staple.status,
            verified: staple.verified,
            problem: staple.problem ?? null,
            producedAt: isoTime(staple.producedAt),
            thisUpdate: isoTime(staple.thisUpdate),
            nextUpdate: isoTime(staple.nextUpdate),
            revokedAt: isoTime(staple.revokedAt),
          },
    certificateTimestamps: {
      judged: false,
      list: timestamps.map(({ logId, at, by }) => ({ logId: logId ?? null, at: isoTime(at), by })),
    },
    clientCertificate: {
      asked: summary.ownCertificates !== undefined,
      sent: summary.ownCertificates?.[0] === undefined ? null : describeCertificate(summary.ownCertificates[0]).subject,
    },
    resumed: summary.resumed,
    resumedBy: summary.resumedBy ?? null,
    pskMode: summary.pskMode ?? null,
    extendedMasterSecret: summary.extendedMasterSecret,
    session: { offered: session.offered, reason: session.reason ?? null, tickets: session.tickets },
    earlyRequest:
      early === undefined ? null : { path: early.path, outcome: early.outcome, response: early.response ?? null },
    secrets: secretTree(outcome.secrets, summary),
    keyLedger: outcome.secrets,
    phases: Object.fromEntries(outcome.phases.map(({ name, duration }: Phase) => [name, round(duration)])),
  };
}

/** 'accepted': the server decrypted our hello. 'grease': a decoy was sent. 'none': the hello went in the clear. */
export function echState({ attempt, outcome }: Story): 'accepted' | 'grease' | 'none' {
  if (outcome.summary.encryptedClientHello === true) {
    return 'accepted';
  }
  return attempt.ech === 'grease' ? 'grease' : 'none';
}

export interface PskName {
  readonly identity: string;
  /** Null for one that is not imported. */
  readonly context: { readonly client: string; readonly server: string } | null;
}

/** The external PSK that the connection, or its session, began with. */
export function pskName({ attempt, outcome }: Story): PskName | undefined {
  const { externalPsk } = outcome.summary;
  if (externalPsk === undefined) {
    return undefined;
  }
  const identity = Buffer.from(externalPsk.identity).toString('utf8');
  // Of a session, it is the one that still is in the file: without it the session would not have been offered.
  const context = attempt.psks.find((psk) => psk.identity === identity)?.importContext;
  return { identity, context: context ?? null };
}

function isoTime(time: number | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString();
}

function round(duration: number): number {
  return Math.round(duration * 1000) / 1000;
}
