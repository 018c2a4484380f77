/** One handshake told for people: what was offered and chosen, who the server is, the session, the secrets, the time. */

import pc from 'picocolors';
import { printable } from '../../certificates/distinguished-name.ts';
import { formatAddress } from '../address.ts';
import type { CertificateDescription } from '../certificates.ts';
import { formatDuration } from '../duration.ts';
import { paragraph, terminalWidth } from '../terminal.ts';
import { versionName } from '../versions.ts';
import type { Attempt, Outcome, Phase } from './handshake.ts';
import { echState, pskName } from './report.ts';
import { type SecretNode, secretTree } from './secret-tree.ts';
import { clientLines, serverLines } from './server-story.ts';
import type { SessionReport } from './sessions.ts';
import type { StapleReport, TimestampReport } from './vouchers.ts';

export interface Story {
  readonly attempt: Attempt;
  readonly outcome: Outcome;
  /** Leaf first, the trust anchor last where there is one. */
  readonly chain: readonly CertificateDescription[];
  /** The last of the chain is a root that is trusted. */
  readonly anchored: boolean;
  /** What is wrong with the chain; only with `insecure`. */
  readonly problem: string | undefined;
  readonly staple: StapleReport | undefined;
  readonly stapleMustCome: boolean;
  readonly timestamps: readonly TimestampReport[];
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
    ...serverLines(story),
    ...clientLines(story),
    '',
    pc.bold('Session'),
    ...story.session.lines.flatMap((line) => paragraph(line, '  ')),
    ...earlyRequest(story),
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
  return paragraph(
    `${pc.bold(pc.green(formatAddress(attempt.peer)))} (${formatAddress(outcome.remote)}): ` +
      `${kind} ${versionName(outcome.summary.version)} handshake in ${milliseconds(total)}${trust}`,
  );
}

function choices(story: Story): string[] {
  const { attempt, outcome } = story;
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
    const text = `the server asked for a share of ${summary.namedGroup} first (HelloRetryRequest)`;
    lines.push(...paragraph(text, row('', '')).map(pc.yellow));
  }
  const protocols = offered?.alpnProtocols ?? attempt.alpnProtocols;
  const alpn = protocols.length === 0 ? 'none offered' : list(protocols, summary.alpnProtocol);
  lines.push(
    row('ALPN', summary.alpnProtocol === '' && protocols.length > 0 ? `${alpn} ${pc.dim('(none chosen)')}` : alpn),
  );
  lines.push(...name(story));
  if (attempt.psks.length > 0) {
    const taken = pskName(story)?.identity ?? '';
    const offeredKeys = attempt.psks.map(({ identity }) => identity);
    const none = taken === '' ? pc.dim(' (none chosen)') : '';
    lines.push(row('PSK', `${list(offeredKeys, taken)}${none}`));
  }
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

/** The name that was asked for, and who could read it on the way. */
function name(story: Story): string[] {
  const { serverName } = story.outcome.summary;
  if (serverName === '') {
    return [row('Name', pc.dim('none sent'))];
  }
  const seen = {
    accepted: 'encrypted: the server opened our hello (ECH)',
    grease: 'in the clear; a decoy of ECH went with it',
    none: 'in the clear: ECH was not used',
  }[echState(story)];
  return paragraph(`${printable(serverName)} ${pc.dim(`(${seen})`)}`, row('Name', ''));
}

function earlyRequest({ outcome }: Story): string[] {
  const { early, summary } = outcome;
  if (early === undefined) {
    return [];
  }
  const what = `GET ${early.path}`;
  const how = {
    taken: `${what} went as early data (0-RTT), and the server took it: ${pc.yellow('not forward secret, and it can be replayed')}`,
    refused: `${what} went as early data (0-RTT), which the server did not take: it was sent again after the handshake`,
    not_sent: `${what} went after the handshake: ${summary.resumed ? 'this session gives no leave for early data' : 'early data needs a session that is resumed'}`,
  }[early.outcome];
  const answer = early.response === undefined ? 'no response came' : `response: ${printable(early.response)}`;
  return [how, answer].flatMap((line) => paragraph(line, '  '));
}

function secrets({ outcome }: Story): string[] {
  const lines: string[] = [];
  const roots = secretTree(outcome.secrets, outcome.summary);
  const column = 3 + Math.max(0, ...roots.map((root) => widestName(root, 2)));
  for (const root of roots) {
    lines.push(...treeLines(root, column, '  ', '  '));
  }
  const { secretsMade, secretsAlive } = outcome;
  const end = secretsAlive === 0 ? 'all of them are erased now' : `${secretsAlive} of them are not erased`;
  const sum = `${secretsMade} secrets were made in all, copies included; ${end}.`;
  lines.push('', ...paragraph(sum, '  ').map(pc.dim));
  return lines;
}

/** Where the longest name ends, each level being indented by three columns. */
function widestName(node: SecretNode, indent: number): number {
  return Math.max(indent + node.name.length, ...node.children.map((child) => widestName(child, indent + 3)));
}

function treeLines(node: SecretNode, column: number, first: string, rest: string): string[] {
  // The ledger does not tell the length of what may be a password.
  const size = node.length === 0 ? ' '.repeat(8) : pc.dim(`${String(node.length).padStart(2)} bytes`);
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

function chosen(text: string): string {
  return pc.isColorSupported ? pc.green(pc.bold(text)) : `[${text}]`;
}

function row(title: string, text: string): string {
  return `  ${title.padEnd(9)}${text}`;
}

function milliseconds(duration: number): string {
  return duration < 1000 ? `${duration.toFixed(duration < 10 ? 2 : 1)} ms` : formatDuration(duration);
}
