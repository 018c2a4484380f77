/** `mayfly connect`: makes one handshake and tells it in full. */

import { formatAddress, parseAddress } from '../address.ts';
import { describeCertificate } from '../certificates.ts';
import type { ConnectFlags } from '../connect.ts';
import { parseDuration } from '../duration.ts';
import { openKeyLog } from '../key-log.ts';
import { createOutput, type Output } from '../output.ts';
import { Problem } from '../problem.ts';
import { credentialsFromFiles, type ServerCredentials } from '../serve/credentials.ts';
import { readCa } from '../trusted-file.ts';
import { parseVersions, type Versions } from '../versions.ts';
import { type Attempt, makeHandshake, type Outcome } from './handshake.ts';
import { secretTree } from './secret-tree.ts';
import { readSessionFile, type SessionFile, writeSessionFile } from './session-file.ts';
import { type SessionForm, type SessionReport, sessionKind, sessionReport } from './sessions.ts';
import { storyLines } from './story.ts';
import { trustedPath } from './trusted-path.ts';

/** @throws Problem */
export async function connectAndTell(target: string, flags: ConnectFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const peer = parseAddress(target.replace(/^https:\/\/([^/]+)\/?$/, '$1'), { flag: 'connect', defaultPort: 443 });
  const serverName = flags.servername ?? peer.host;
  const timeout = parseDuration(flags.timeout, '--timeout');
  const ca = flags.ca === undefined ? undefined : readCa(flags.ca);
  const own = readOwn(flags, output);
  const form = parseForm(flags.resume);
  const versions = chooseVersions(flags.tls, form);
  // A session also says who we were.
  const as = own === undefined ? '' : ` as ${own.leaf.fingerprint}`;
  const origin = `${formatAddress(peer)} ${serverName} ${flags.insecure === true ? 'insecure' : 'verified'}${as}`;
  const kept = flags.session === undefined ? undefined : readSessionFile(flags.session, output);
  const held = kept?.origin === origin ? kept.sessions : [];
  const given = held.findLast((session) => isWanted(session, versions, form));
  const others = held.filter((session) => session !== given);
  if (flags.session !== undefined) {
    output.warn(`${flags.session} holds secrets that can resume this session: keep it to yourself`);
    // Written before the session is used: even a run that fails does not leave a used ticket behind.
    writeSessionFile(flags.session, { origin, sessions: others });
  }
  const keyLog = flags.keylog === undefined ? undefined : openKeyLog(flags.keylog, output);
  const attempt: Attempt = {
    peer,
    serverName,
    ca,
    own,
    alpnProtocols: split(flags.alpn),
    groups: flags.group === undefined ? undefined : split(flags.group).join(':'),
    suites: flags.suite === undefined ? undefined : split(flags.suite).join(':'),
    versions,
    byId: form === 'id',
    session: given,
    insecure: flags.insecure === true,
    onKeyLog: keyLog?.write,
    timeout,
    keepTickets: flags.session !== undefined,
  };
  let outcome: Outcome;
  try {
    outcome = await makeHandshake(attempt);
  } finally {
    keyLog?.close();
  }
  const toKeep = flags.session === undefined ? [] : sessionsToKeep(outcome, given, form);
  if (flags.session !== undefined) {
    writeSessionFile(flags.session, { origin, sessions: [...others, ...toKeep] });
  }
  const session = sessionReport({
    outcome,
    given,
    whyNone: whyNone(flags, kept, origin),
    path: flags.session,
    kept: toKeep.length,
  });
  tell(output, attempt, outcome, session);
  for (const secret of [...outcome.sessions, ...(kept?.sessions ?? [])]) {
    secret.fill(0);
  }
}

function tell(output: Output, attempt: Attempt, outcome: Outcome, session: SessionReport): void {
  const path = trustedPath(attempt, outcome);
  const chain = (path ?? outcome.summary.peerCertificates).map(describeCertificate);
  for (const line of storyLines({ attempt, outcome, chain, anchored: path !== undefined, session })) {
    output.say(line);
  }
  const { summary } = outcome;
  output.event('handshake', {
    peer: formatAddress(attempt.peer),
    remote: formatAddress(outcome.remote),
    version: summary.version,
    cipherSuite: summary.cipherSuite,
    namedGroup: summary.namedGroup ?? null,
    helloRetried: summary.helloRetried,
    alpnProtocol: summary.alpnProtocol === '' ? null : summary.alpnProtocol,
    serverName: summary.serverName === '' ? null : summary.serverName,
    offered: summary.offered ?? null,
    signatureScheme: summary.signatureScheme ?? null,
    authenticatedAt: new Date(summary.authenticatedAt).toISOString(),
    trusted: outcome.distrust === undefined,
    distrust: outcome.distrust ?? null,
    chain: chain.map((certificate, i) => ({
      subject: certificate.subject,
      issuer: certificate.issuer,
      names: certificate.names,
      notBefore: new Date(certificate.notBefore).toISOString(),
      notAfter: new Date(certificate.notAfter).toISOString(),
      key: certificate.key,
      sha256: certificate.fingerprint,
      root: path !== undefined && i === chain.length - 1,
    })),
    clientCertificate: {
      asked: summary.ownCertificates !== undefined,
      sent: summary.ownCertificates?.[0] === undefined ? null : describeCertificate(summary.ownCertificates[0]).subject,
    },
    resumed: summary.resumed,
    resumedBy: summary.resumedBy ?? null,
    pskMode: summary.pskMode ?? null,
    extendedMasterSecret: summary.extendedMasterSecret,
    session: { offered: session.offered, reason: session.reason ?? null, tickets: session.tickets },
    secrets: secretTree(outcome.secrets, { ...summary, namedGroup: summary.namedGroup }),
    keyLedger: outcome.secrets,
    phases: Object.fromEntries(outcome.phases.map(({ name, duration }) => [name, round(duration)])),
  });
}

/** @throws Problem `usage`, `file`, `bad_pem`, `key_mismatch`, `expired` */
function readOwn({ cert, key }: ConnectFlags, output: Output): ServerCredentials | undefined {
  if ((cert === undefined) !== (key === undefined)) {
    throw new Problem(
      'usage',
      `${cert === undefined ? '--cert' : '--key'} is missing`,
      '--cert and --key go together.',
    );
  }
  return cert === undefined || key === undefined ? undefined : credentialsFromFiles(cert, key, output);
}

/** @throws Problem `usage` */
function parseForm(text: string | undefined): SessionForm | undefined {
  if (text !== undefined && text !== 'id' && text !== 'ticket') {
    throw new Problem('usage', `--resume: "${text}" is not a choice`, 'Write id or ticket.');
  }
  return text;
}

/** @throws Problem `usage` */
function chooseVersions(tls: string | undefined, form: SessionForm | undefined): Versions {
  if (form !== 'id') {
    return parseVersions(tls ?? 'both');
  }
  if (tls !== undefined && tls !== '1.2') {
    throw new Problem(
      'usage',
      `--resume id does not go with --tls ${tls}`,
      'Only TLS 1.2 has session IDs: leave --tls out, or give --tls 1.2.',
    );
  }
  return parseVersions('1.2');
}

function isWanted(session: Uint8Array, versions: Versions, form: SessionForm | undefined): boolean {
  const kind = sessionKind(session);
  return kind !== undefined && versions.includes(kind.version) && (form === undefined || kind.form === form);
}

/**
 * New sessions of the form that was asked for. A TLS 1.3 ticket is used once; a TLS 1.2 session that was resumed can be
 * again, and its server may have given nothing new.
 */
function sessionsToKeep(
  outcome: Outcome,
  given: Uint8Array | undefined,
  form: SessionForm | undefined,
): readonly Uint8Array[] {
  const received = outcome.sessions.filter((session) => form === undefined || sessionKind(session)?.form === form);
  const { version, resumed } = outcome.summary;
  return received.length === 0 && given !== undefined && resumed && version === 'TLSv1.2' ? [given] : received;
}

function whyNone(flags: ConnectFlags, kept: SessionFile | undefined, origin: string): string {
  if (flags.session === undefined) {
    return 'no session was offered; --session FILE keeps tickets for a next run';
  }
  if (kept === undefined) {
    return `${flags.session} did not exist yet, so there was no session to offer`;
  }
  if (kept.origin !== origin) {
    return `${flags.session} held sessions of another server or another check (${kept.origin}): they are gone now`;
  }
  return kept.sessions.length === 0
    ? `${flags.session} held no session any more`
    : `${flags.session} holds no session that goes with --tls and --resume`;
}

/** Names with commas or colons in between. */
function split(text: string): string[] {
  return text
    .split(/[,:]/)
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function round(duration: number): number {
  return Math.round(duration * 1000) / 1000;
}
