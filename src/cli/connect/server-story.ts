/** Who the server is, for people: its chain, what vouches for it, and how it proved to be who it says; and who we were to it. */

import pc from 'picocolors';
import { printable } from '../../certificates/distinguished-name.ts';
import { dateText, describeCertificate } from '../certificates.ts';
import { paragraph } from '../terminal.ts';
import { pskName } from './report.ts';
import { timeText } from './sessions.ts';
import type { Story } from './story.ts';
import type { StapleReport, TimestampReport } from './vouchers.ts';

const INDENT = '  ';
/** Below the number of a certificate. */
const DEEP = ' '.repeat(7);

export function serverLines(story: Story): string[] {
  const { outcome, chain, anchored } = story;
  const psk = pskName(story);
  if (psk !== undefined) {
    const context =
      psk.context === null
        ? 'not imported: nothing says who is the client and who the server'
        : `imported for the client ${printable(psk.context.client)} and the server ${printable(psk.context.server)}`;
    const when = outcome.summary.resumed
      ? ` in the full handshake of ${timeText(outcome.summary.authenticatedAt)}`
      : '';
    return paragraph(
      `${pc.green('trusted')}: it proved to have the pre-shared key ${printable(psk.identity)}${when}, as we did (${context}). No certificate was sent.`,
      INDENT,
    );
  }
  const lines = trustLines(story);
  chain.forEach((certificate, i) => {
    const isRoot = anchored && i === chain.length - 1;
    const label = isRoot ? pc.bold('root') : pc.bold(String(i).padEnd(4));
    lines.push(...paragraph(certificate.subject, `${INDENT}${label} `));
    const expired = certificate.notAfter < Date.now() ? pc.red(' (expired)') : '';
    const valid = `valid ${dateText(certificate.notBefore)} to ${dateText(certificate.notAfter)}${expired}`;
    lines.push(...paragraph(`${certificate.key}; ${valid}`, DEEP));
    if (i === 0) {
      const names = certificate.names.slice(0, 12).join(', ') + (certificate.names.length > 12 ? ', …' : '');
      lines.push(...paragraph(`for ${names === '' ? 'no name at all' : names}`, DEEP));
    }
    if (!certificate.selfIssued) {
      lines.push(...paragraph(`issued by ${certificate.issuer}`, DEEP));
    }
    lines.push(pc.dim(`${DEEP}SHA-256 ${certificate.fingerprint}`));
  });
  lines.push(...vouchers(story), ...proof(story));
  return lines;
}

/** Whether the server wanted to know who we are, and what it was told. */
export function clientLines({ attempt, outcome }: Story): string[] {
  const { ownCertificates, resumed, authenticatedBy } = outcome.summary;
  if (ownCertificates === undefined && attempt.own === undefined) {
    return [];
  }
  const lines = ['', pc.bold('The client')];
  if (ownCertificates === undefined) {
    const full = authenticatedBy === 'externalPsk' ? 'the pre-shared key says who we are' : 'the server did not ask';
    const why = resumed ? 'the session stands for what was shown in its full handshake' : full;
    return [...lines, ...paragraph(`No certificate was sent: ${why}.`, INDENT)];
  }
  if (ownCertificates.length === 0) {
    const why = attempt.own === undefined ? 'none was given (--cert FILE --key FILE)' : 'ours cannot sign as it wants';
    return [
      ...lines,
      ...paragraph(`The server asked for a certificate: ${why}, and an empty answer was sent.`, INDENT),
    ];
  }
  const { subject, key } = describeCertificate(ownCertificates[0]);
  const rest = ownCertificates.length > 1 ? ` and ${ownCertificates.length - 1} issuers` : '';
  const visible =
    outcome.summary.version === 'TLSv1.2' ? 'in the clear: in TLS 1.2 anybody on the way can read it' : 'encrypted';
  return [
    ...lines,
    ...paragraph(`The server asked for a certificate: ${subject}${rest} was sent, ${visible}.`, INDENT),
    ...paragraph(`We signed this handshake with its key (${key}).`, INDENT),
  ];
}

function trustLines({ outcome, chain, problem }: Story): string[] {
  const { distrust } = outcome;
  if (distrust === undefined) {
    const what = chain.length === 1 ? 'the certificate itself is' : 'the chain ends in';
    return [`${INDENT}${pc.green('trusted')}: ${what} a trusted root`];
  }
  const why = printable(problem ?? distrust);
  return paragraph(`${pc.red('not trusted')}: ${why} ${pc.dim('(went on because of --insecure)')}`, INDENT);
}

function vouchers({ outcome, staple, stapleMustCome, timestamps }: Story): string[] {
  if (outcome.summary.signatureScheme === undefined) {
    return [];
  }
  const none = stapleMustCome
    ? pc.red('none was stapled, although the certificate says that one must be')
    : 'none was stapled, so nothing here says whether the certificate was revoked';
  const ocsp = staple === undefined ? none : stapleText(staple);
  return [
    ...paragraph(ocsp, `${INDENT}OCSP response: `),
    ...paragraph(timestampText(timestamps), `${INDENT}Timestamps: `),
    ...timestamps.map(({ logId, at, by }) =>
      pc.dim(`${DEEP}${logId ?? 'one that cannot be read'}${at === undefined ? '' : ` ${dateText(at)}`}, by ${by}`),
    ),
  ];
}

function stapleText({ status, verified, problem, producedAt, nextUpdate }: StapleReport): string {
  const made = producedAt === undefined ? '' : `, made ${timeText(producedAt)}`;
  const next = nextUpdate === undefined ? '' : `, the next by ${timeText(nextUpdate)}`;
  const judged = verified
    ? problem === undefined
      ? 'verified'
      : printable(problem)
    : `${pc.red('not verified')}: ${printable(problem ?? '')}`;
  const word = status === 'good' && verified ? pc.green(status) : pc.red(status);
  return `${word}${made}${next}; ${judged}`;
}

function timestampText(timestamps: readonly TimestampReport[]): string {
  if (timestamps.length === 0) {
    return 'no log of Certificate Transparency vouches for the certificate';
  }
  const logs = new Set(timestamps.map(({ logId }) => logId)).size;
  const count = timestamps.length === 1 ? 'one' : String(timestamps.length);
  return `${count} from ${logs === 1 ? 'one log' : `${logs} logs`} of Certificate Transparency, not judged here:`;
}

function proof({ outcome }: Story): string[] {
  const { summary } = outcome;
  if (summary.signatureScheme === undefined) {
    const when = timeText(summary.authenticatedAt);
    return paragraph(`No certificate was sent: the session carries the one of the full handshake of ${when}.`, INDENT);
  }
  const what = summary.version === 'TLSv1.2' ? 'its key share and both random values' : 'this handshake';
  return paragraph(`It signed ${what} with the key of its certificate: ${summary.signatureScheme}.`, INDENT);
}
