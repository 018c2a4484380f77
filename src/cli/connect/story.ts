/** One handshake told for people: what was offered and chosen, who the server is, the session, the secrets, the time. */

import { stripVTControlCharacters } from 'node:util';
import pc from 'picocolors';
import { printable } from '../../certificates/distinguished-name.ts';
import { formatAddress } from '../address.ts';
import { type CertificateDescription, dateText, describeCertificate } from '../certificates.ts';
import { formatDuration } from '../duration.ts';
import { versionName } from '../versions.ts';
import type { Attempt, Outcome, Phase } from './handshake.ts';
import { type SecretNode, secretTree } from './secret-tree.ts';
import { type SessionReport, timeText } from './sessions.ts';

export interface Story {
  readonly attempt: Attempt;
  readonly outcome: Outcome;
  /** Leaf first, the trust anchor last where there is one. */
  readonly chain: readonly CertificateDescription[];
  /** The last of the chain is a root that is trusted. */
  readonly anchored: boolean;
  readonly session: SessionReport;
}

export function storyLines(story: Story): string[] {
  return [
    '',
    ...headline(story),
    '',
    pc.bold('Offered and chosen'),
    ...choices(story),
    '',
    pc.bold('The server'),
    ...server(story),
    ...client(story),
    '',
    pc.bold('Session'),
    ...story.session.lines.flatMap(wrap),
    '',
    pc.bold('Secrets'),
    ...secrets(story),
    '',
    pc.bold('Time'),
    ...times(story.outcome),
    '',
  ];
}

function headline({ attempt, outcome }: Story): string[] {
  const total = outcome.phases
    .filter(({ name }) => name !== 'first ticket')
    .reduce((sum, { duration }) => sum + duration, 0);
  const kind = outcome.summary.resumed ? 'resumed' : 'full';
  const trust = outcome.distrust === undefined ? '' : pc.red('  NOT TRUSTED');
  return [
    `${pc.bold(pc.green(formatAddress(attempt.peer)))} (${formatAddress(outcome.remote)}): ` +
      `${kind} ${versionName(outcome.summary.version)} handshake in ${milliseconds(total)}${trust}`,
  ];
}

function choices({ attempt, outcome }: Story): string[] {
  const { summary } = outcome;
  const offered = summary.offered;
  const { namedGroup, version } = summary;
  const lines = [
    ...listRows('Version', (offered?.versions ?? [version]).map(versionName), versionName(version)),
    ...listRows('Suite', offered?.cipherSuites ?? [summary.cipherSuite], summary.cipherSuite),
  ];
  if (namedGroup === undefined) {
    lines.push(row('Group', `none used ${pc.dim('(no key exchange)')}`));
  } else {
    lines.push(...listRows('Group', offered?.namedGroups ?? [namedGroup], namedGroup));
  }
  if (offered !== undefined && version === 'TLSv1.3') {
    const shares = offered.keyShares.length === 0 ? 'none' : offered.keyShares.join(', ');
    lines.push(row('', pc.dim(`key shares sent at once: ${shares}`)));
  }
  if (summary.helloRetried) {
    lines.push(row('', pc.yellow(`the server asked for a share of ${summary.namedGroup} first (HelloRetryRequest)`)));
  }
  const protocols = offered?.alpnProtocols ?? attempt.alpnProtocols;
  const alpn = protocols.length === 0 ? 'none offered' : list(protocols, summary.alpnProtocol);
  lines.push(
    row('ALPN', summary.alpnProtocol === '' && protocols.length > 0 ? `${alpn} ${pc.dim('(none chosen)')}` : alpn),
  );
  lines.push(row('Name', summary.serverName === '' ? pc.dim('none sent') : printable(summary.serverName)));
  if (version === 'TLSv1.2') {
    lines.push(
      row(
        'Binding',
        summary.extendedMasterSecret
          ? 'extended master secret, secure renegotiation'
          : pc.yellow('no extended master secret: sessions could be tied together by a man in the middle'),
      ),
    );
  }
  return lines;
}

function server({ outcome, chain, anchored }: Story): string[] {
  const { summary, distrust } = outcome;
  const lines: string[] = [];
  if (distrust === undefined) {
    lines.push(
      `  ${pc.green('trusted')}: ${chain.length === 1 ? 'the certificate itself is' : 'the chain ends in'} a trusted root`,
    );
  } else {
    lines.push(`  ${pc.red('not trusted')}: ${printable(distrust)} ${pc.dim('(went on because of --insecure)')}`);
  }
  chain.forEach((certificate, i) => {
    const isRoot = anchored && i === chain.length - 1;
    lines.push(`  ${isRoot ? pc.bold('root') : pc.bold(String(i).padEnd(4))} ${certificate.subject}`);
    const expired = certificate.notAfter < Date.now() ? pc.red(' (expired)') : '';
    lines.push(
      `       ${certificate.key}; valid ${dateText(certificate.notBefore)} to ${dateText(certificate.notAfter)}${expired}`,
    );
    if (i === 0) {
      const names = certificate.names.slice(0, 12).join(', ') + (certificate.names.length > 12 ? ', …' : '');
      lines.push(`       for ${names === '' ? 'no name at all' : names}`);
    }
    if (!certificate.selfIssued) {
      lines.push(`       issued by ${certificate.issuer}`);
    }
    lines.push(pc.dim(`       SHA-256 ${certificate.fingerprint}`));
  });
  if (summary.signatureScheme === undefined) {
    const when = timeText(summary.authenticatedAt);
    lines.push(...wrap(`No certificate was sent: the session carries the one of the full handshake of ${when}.`));
  } else {
    const what = summary.version === 'TLSv1.2' ? 'its key share and both random values' : 'this handshake';
    lines.push(...wrap(`It signed ${what} with the key of its certificate: ${summary.signatureScheme}.`));
  }
  return lines;
}

/** Whether the server wanted to know who we are, and what it was told. */
function client({ attempt, outcome }: Story): string[] {
  const { ownCertificates, resumed } = outcome.summary;
  if (ownCertificates === undefined && attempt.own === undefined) {
    return [];
  }
  const lines = ['', pc.bold('The client')];
  if (ownCertificates === undefined) {
    const why = resumed ? 'the session stands for what was shown in its full handshake' : 'the server did not ask';
    return [...lines, ...wrap(`No certificate was sent: ${why}.`)];
  }
  if (ownCertificates.length === 0) {
    const why = attempt.own === undefined ? 'none was given (--cert FILE --key FILE)' : 'ours cannot sign as it wants';
    return [...lines, ...wrap(`The server asked for a certificate: ${why}, and an empty answer was sent.`)];
  }
  const { subject, key } = describeCertificate(ownCertificates[0]);
  const rest = ownCertificates.length > 1 ? ` and ${ownCertificates.length - 1} issuers` : '';
  const visible =
    outcome.summary.version === 'TLSv1.2' ? 'in the clear: in TLS 1.2 anybody on the way can read it' : 'encrypted';
  return [
    ...lines,
    ...wrap(`The server asked for a certificate: ${subject}${rest} was sent, ${visible}.`),
    ...wrap(`We signed this handshake with its key (${key}).`),
  ];
}

function secrets({ outcome }: Story): string[] {
  const { version, resumed, namedGroup } = outcome.summary;
  const lines: string[] = [];
  const roots = secretTree(outcome.secrets, { version, resumed, namedGroup });
  const column = 3 + Math.max(0, ...roots.map((root) => widestName(root, 2)));
  for (const root of roots) {
    lines.push(...treeLines(root, column, '  ', '  '));
  }
  const { secretsMade, secretsAlive } = outcome;
  const end = secretsAlive === 0 ? 'all of them are erased now' : `${secretsAlive} of them are not erased`;
  lines.push('', pc.dim(`  ${secretsMade} secrets were made in all, copies included; ${end}.`));
  return lines;
}

/** Where the longest name ends, each level being indented by three columns. */
function widestName(node: SecretNode, indent: number): number {
  return Math.max(indent + node.name.length, ...node.children.map((child) => widestName(child, indent + 3)));
}

function treeLines(node: SecretNode, column: number, first: string, rest: string): string[] {
  const size = pc.dim(`${String(node.length).padStart(2)} bytes`);
  const note = node.note === undefined ? '' : pc.dim(`  ${node.note}`);
  const lines = [`${first}${node.name.padEnd(column - first.length)}${size}${note}`];
  node.children.forEach((child, i) => {
    const isLast = i === node.children.length - 1;
    lines.push(...treeLines(child, column, `${rest}${isLast ? '└─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`));
  });
  return lines;
}

const phaseTexts: Readonly<Record<Phase['name'], string>> = {
  lookup: 'name looked up',
  tcp: 'TCP connected',
  hello: 'hellos exchanged, keys agreed',
  authentication: 'server authenticated',
  complete: 'our Finished sent, ready',
  'first ticket': 'first ticket came',
};

const phaseTexts12: typeof phaseTexts = { ...phaseTexts, complete: 'keys agreed, both Finished' };
const phaseTextsResumed12: typeof phaseTexts = {
  ...phaseTexts,
  hello: 'hellos exchanged, keys made',
  complete: 'both Finished, ready',
};

const BAR_WIDTH = 28;
const WIDEST = 110;

function times({ phases, summary }: Outcome): string[] {
  const texts12 = summary.resumed ? phaseTextsResumed12 : phaseTexts12;
  const texts = summary.version === 'TLSv1.2' ? texts12 : phaseTexts;
  const total = phases.reduce((sum, { duration }) => sum + duration, 0);
  let before = 0;
  return phases.map(({ name, duration }) => {
    const start = Math.floor((before / total) * BAR_WIDTH);
    before += duration;
    const length = Math.max(1, Math.round((duration / total) * BAR_WIDTH));
    const bar =
      ' '.repeat(Math.min(start, BAR_WIDTH - 1)) + pc.green('█'.repeat(Math.min(length, BAR_WIDTH - start) || 1));
    return `  ${texts[name].padEnd(30)} ${milliseconds(duration).padStart(9)}  ${bar}`;
  });
}

function list(names: readonly string[], choice: string): string {
  return names.map((name) => (name === choice ? chosen(printable(name)) : pc.dim(printable(name)))).join(', ');
}

/** A list over as many lines as it takes. */
function listRows(title: string, names: readonly string[], choice: string): string[] {
  const lines: string[][] = [[]];
  let width = 0;
  for (const name of names) {
    // Room for the title, a comma and the brackets of the choice.
    if (width > 0 && width + name.length > terminalWidth() - 15) {
      lines.push([]);
      width = 0;
    }
    lines[lines.length - 1].push(name);
    width += name.length + 2;
  }
  return lines.map((line, i) => row(i === 0 ? title : '', list(line, choice) + (i < lines.length - 1 ? ',' : '')));
}

/** A paragraph, over as many lines as it takes. */
function wrap(text: string): string[] {
  const lines = ['  '];
  let width = 2;
  for (const word of text.split(' ')) {
    const length = stripVTControlCharacters(word).length;
    if (width > 2 && width + 1 + length > terminalWidth()) {
      lines.push('  ');
      width = 2;
    }
    lines[lines.length - 1] += width > 2 ? ` ${word}` : word;
    width += (width > 2 ? 1 : 0) + length;
  }
  return lines;
}

/** Columns; what goes into a file or a pipe is not made wider than people like to read. */
function terminalWidth(): number {
  return Math.max(60, Math.min(process.stdout.columns ?? WIDEST, WIDEST));
}

function chosen(text: string): string {
  return pc.isColorSupported ? pc.green(pc.bold(text)) : `[${text}]`;
}

function row(title: string, text: string): string {
  return `  ${title.padEnd(9)}${text}`;
}

function milliseconds(duration: number): string {
  return duration < 1000 ? `${duration.toFixed(duration < 10 ? 2 : 1)} ms` : formatDuration(duration);
}
