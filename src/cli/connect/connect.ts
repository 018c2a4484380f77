/** `mayfly connect`: makes one handshake and tells it in full. */

import { readFileSync } from 'node:fs';
import { formatAddress, parseAddress } from '../address.ts';
import { describeCertificate } from '../certificates.ts';
import type { ConnectFlags } from '../connect.ts';
import { parseDuration } from '../duration.ts';
import { openKeyLog } from '../key-log.ts';
import { createOutput, type Output } from '../output.ts';
import { fileProblem, Problem } from '../problem.ts';
import { type Attempt, makeHandshake, type Outcome } from './handshake.ts';
import { secretTree } from './secret-tree.ts';
import { readSessionFile, type SessionFile, writeSessionFile } from './session-file.ts';
import { type SessionReport, sessionReport } from './sessions.ts';
import { storyLines } from './story.ts';
import { trustedPath } from './trusted-path.ts';

/** @throws Problem */
export async function connectAndTell(target: string, flags: ConnectFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const peer = parseAddress(target.replace(/^https:\/\/([^/]+)\/?$/, '$1'), { flag: 'connect', defaultPort: 443 });
  const serverName = flags.servername ?? peer.host;
  const timeout = parseDuration(flags.timeout, '--timeout');
  const ca = flags.ca === undefined ? undefined : readCa(flags.ca);
  const origin = `${formatAddress(peer)} ${serverName} ${flags.insecure === true ? 'insecure' : 'verified'}`;
  const kept = flags.session === undefined ? undefined : readSessionFile(flags.session, output);
  const given = kept?.origin === origin ? kept.sessions.at(-1) : undefined;
  if (flags.session !== undefined) {
    output.warn(`${flags.session} holds secrets that can resume this session: keep it to yourself`);
    // Written before the ticket is used: even a run that fails does not leave a used one behind.
    writeSessionFile(flags.session, {
      origin,
      sessions: given === undefined ? [] : (kept?.sessions.slice(0, -1) ?? []),
    });
  }
  const keyLog = flags.keylog === undefined ? undefined : openKeyLog(flags.keylog, output);
  const attempt: Attempt = {
    peer,
    serverName,
    ca,
    alpnProtocols: split(flags.alpn),
    groups: flags.group === undefined ? undefined : split(flags.group).join(':'),
    suites: flags.suite === undefined ? undefined : split(flags.suite).join(':'),
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
  if (flags.session !== undefined) {
    const rest = given === undefined ? [] : (kept?.sessions.slice(0, -1) ?? []);
    writeSessionFile(flags.session, { origin, sessions: [...rest, ...outcome.sessions] });
  }
  const session = sessionReport({ outcome, given, whyNone: whyNone(flags, kept, origin), path: flags.session });
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
    namedGroup: summary.namedGroup,
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
    resumed: summary.resumed,
    pskMode: summary.pskMode ?? null,
    session: { offered: session.offered, reason: session.reason ?? null, tickets: session.tickets },
    secrets: secretTree(outcome.secrets, summary),
    phases: Object.fromEntries(outcome.phases.map(({ name, duration }) => [name, round(duration)])),
  });
}

function whyNone(flags: ConnectFlags, kept: SessionFile | undefined, origin: string): string {
  if (flags.session === undefined) {
    return 'no session was offered; --session FILE keeps tickets for a next run';
  }
  if (kept === undefined) {
    return `${flags.session} did not exist yet, so there was no session to offer`;
  }
  return kept.origin === origin
    ? `${flags.session} held no session any more: each is used once`
    : `${flags.session} held sessions of another server or another check (${kept.origin}): they are gone now`;
}

function readCa(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileProblem('read', path, error);
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Problem('bad_pem', `${path} holds no certificate`, 'Give a PEM file with the certificates to trust.');
  }
  return text;
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
