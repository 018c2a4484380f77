/** `mayfly connect`: makes one handshake and tells it in full. */

import { formatAddress } from '../address.ts';
import { describeCertificate } from '../certificates.ts';
import type { ConnectFlags } from '../connect.ts';
import { openKeyLog } from '../key-log.ts';
import { createOutput, type Output } from '../output.ts';
import { erasePsks } from '../psk-file.ts';
import type { Versions } from '../versions.ts';
import { type Attempt, makeHandshake, type Outcome } from './handshake.ts';
import { type ConnectPlan, planConnect } from './plan.ts';
import { handshakeReport } from './report.ts';
import { readSessionFile, type SessionFile, writeSessionFile } from './session-file.ts';
import { type SessionForm, type SessionReport, sessionKind, sessionReport } from './sessions.ts';
import { type Story, storyLines } from './story.ts';
import { judgeChain } from './trusted-path.ts';
import { stapleReport, staplesAlways, timestampReports } from './vouchers.ts';

/** @throws Problem */
export async function connectAndTell(target: string, flags: ConnectFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const plan = planConnect(target, flags, output);
  try {
    await run(plan, flags, output);
  } finally {
    erasePsks(plan.attempt.psks);
  }
}

async function run({ attempt: planned, form, as }: ConnectPlan, flags: ConnectFlags, output: Output): Promise<void> {
  const { peer, serverName, versions } = planned;
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
  const attempt: Attempt = { ...planned, session: given, onKeyLog: keyLog?.write };
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
  const { summary } = outcome;
  const { path, anyName, problem } = judgeChain(attempt, outcome);
  const [leaf] = summary.peerCertificates;
  const staple = stapleReport(summary.ocspResponse, anyName);
  const story: Story = {
    attempt,
    outcome,
    session,
    chain: (path?.map(({ raw }) => raw) ?? summary.peerCertificates).map(describeCertificate),
    anchored: path !== undefined,
    problem: problem ?? staple?.problem,
    staple,
    stapleMustCome: staplesAlways(leaf),
    timestamps:
      summary.signatureScheme === undefined ? [] : timestampReports(leaf, summary.signedCertificateTimestamps ?? []),
  };
  for (const line of storyLines(story)) {
    output.say(line);
  }
  output.event('handshake', handshakeReport(story));
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
