/** `mayfly ring status`: who is in the ring and how its keys stand, as two tables. */

import Table from 'cli-table3';
import pc from 'picocolors';
import { printable } from '../../certificates/distinguished-name.ts';
import { formatDuration } from '../duration.ts';
import { exitCode } from '../exit-codes.ts';
import { createOutput } from '../output.ts';
import type { StatusFlags } from '../ring.ts';
import { openAccess } from './access.ts';
import { type EpochReport, type MemberReport, type RingReport, reportOf } from './report.ts';
import { askForSessions, type SessionsProblem, type SessionsReport, sessionsText } from './sessions.ts';
import { refusalsOf } from './words.ts';

/** @throws Problem `usage`, and what keeps the store from answering */
export async function ringStatus(flags: StatusFlags): Promise<void> {
  const output = createOutput(flags.json === true);
  const access = await openAccess(flags);
  try {
    const report = reportOf(access, await access.look());
    const sessions = await askForSessions({ pages: flags.statusPage, ringId: report.ringId });
    output.event('ring-status', { ...report, sessions });
    for (const line of lines(report, sessions)) {
      output.say(line);
    }
    process.exitCode = exitCode(report.alarms.length > 0 ? 'ring_alarm' : 'ok');
  } finally {
    access.close();
  }
}

function lines(report: RingReport, sessions: readonly (SessionsReport | SessionsProblem)[]): string[] {
  const { epochLength, epochLeft, evicted, refusals } = report;
  const sealing = report.epochs.find(({ state }) => state === 'seals');
  const refused = refusalsOf(refusals);
  return [
    '',
    `  ${pc.bold(pc.green(printable(report.fleetName)))} on ${report.store}  ${pc.dim(`ring ${report.ringId.slice(0, 16)}…`)}`,
    '',
    row('Epoch', `${report.epoch}, ${span(epochLeft)} of ${formatDuration(epochLength)} left; ${nextText(report)}`),
    row(
      'Sealing',
      sealing === undefined
        ? pc.yellow('no key of this epoch')
        : `${sealing.key}, made ${span(sealing.age)} ago by ${printable(sealing.madeBy)}`,
    ),
    row('Ratchet', report.ratchetDepth === 0 ? 'not in use' : pc.yellow(`${report.ratchetDepth} deep`)),
    row(
      'Orders',
      report.generation === 0
        ? 'none so far'
        : `${report.generation} flushes and evictions so far${evicted.length === 0 ? '' : `; evicted: ${evicted.map(printable).join(', ')}`}`,
    ),
    row('List', listText(report)),
    row('Clock', `${new Date(report.time).toISOString().slice(0, 19)}Z at the store; here ${skewText(report.skew)}`),
    ...(refused === '' ? [] : [row('Refused', `records in the store: ${refused}`)]),
    ...sessions.map((answer, i) => row(i === 0 ? 'Sessions' : '', sessionsText(answer))),
    '',
    ...table(
      ['Member', 'Id', 'Process', 'Seen', 'Clock', 'Keys', 'State'],
      report.members.map((member) => memberRow(member, report)),
    ),
    '',
    ...(report.epochs.length === 0
      ? []
      : [
          ...table(
            ['Epoch', 'Key', 'Made', 'By', 'Held by', 'Seals', 'Erased in'],
            report.epochs.map((epoch) => epochRow(epoch)),
          ),
          '',
        ]),
    ...(report.alarms.length === 0
      ? [row('Alarms', pc.green('none'))]
      : report.alarms.flatMap(({ alarm, text }, i) =>
          wrapped(`${printable(text)} (${alarm})`).map((line, j) => row(i + j === 0 ? 'Alarms' : '', pc.red(line))),
        )),
    '',
  ];
}

function memberRow(member: MemberReport, report: RingReport): string[] {
  const { name, state, seenAgo, skew, ratchetDepth = 0, generation = 0 } = member;
  const keys = [...(member.hasThisEpoch === true ? ['this'] : []), ...(member.hasNextEpoch === true ? ['next'] : [])];
  const notes = [
    ...(ratchetDepth > 0 ? [`ratchet ${ratchetDepth}`] : []),
    ...(state !== 'absent' && state !== 'evicted' && generation < report.generation ? ['behind'] : []),
  ];
  const colour = state === 'running' && notes.length === 0 ? pc.green : state === 'absent' ? pc.dim : pc.yellow;
  return [
    printable(name),
    member.member,
    member.instance === undefined ? '' : `${member.instance} ${processName(member)}`.trim(),
    seenAgo === undefined ? '' : `${span(seenAgo)} ago`,
    skew === undefined ? '' : skewText(skew),
    state === 'running' ? keys.join(', ') || 'none' : '',
    colour([state, ...notes].join(', ')),
  ];
}

/** What it calls itself beyond its host's name, which is in the first column. */
function processName({ name, process: own = '' }: MemberReport): string {
  return printable(own === name ? '' : own.startsWith(`${name} `) ? own.slice(name.length + 1) : own);
}

function epochRow(epoch: EpochReport): string[] {
  const seals = {
    seals: pc.green(`now, ${span(epoch.sealsFor)} more`),
    waits: `in ${span(epoch.sealsIn)}`,
    opens: pc.dim('only opens'),
  }[epoch.state];
  return [
    `${epoch.epoch}${epoch.rotation === 0 ? '' : ` rotation ${epoch.rotation}`}`,
    epoch.key,
    `${span(epoch.age)} ago`,
    printable(epoch.madeBy),
    String(epoch.held),
    seals,
    span(epoch.erasedIn),
  ];
}

function nextText({ nextEpochPresent }: RingReport): string {
  return nextEpochPresent ? 'the key of the next is there' : 'the key of the next is not made yet';
}

function listText({ list, members }: RingReport): string {
  const absent = members.filter(({ state }) => state === 'absent').map(({ name }) => printable(name));
  const others = absent.length === 0 ? '' : `; not here: ${absent.join(', ')} (stopped, or with another list or times)`;
  return `${list.id}, ${list.running} of ${list.members} members run with it${others}`;
}

function table(head: readonly string[], rows: readonly string[][]): string[] {
  const made = new Table({
    head: head.map((text) => pc.bold(text)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '' },
      ...{
        'bottom-right': '',
        left: '  ',
        'left-mid': '',
        mid: '',
        'mid-mid': '',
        right: '',
        'right-mid': '',
        middle: '',
      },
    },
  });
  made.push(...rows);
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
}

function row(title: string, text: string): string {
  return `  ${pc.bold(title.padEnd(TITLE_WIDTH))}${text}`;
}

/** Into what fits beside the titles; where it is not a terminal, one line. */
function wrapped(text: string): readonly string[] {
  const width = process.stdout.isTTY ? process.stdout.columns - TITLE_WIDTH - 3 : Number.POSITIVE_INFINITY;
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1];
    if (last !== '' && last.length + 1 + word.length > width) {
      lines.push(word);
    } else {
      lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
    }
  }
  return lines;
}

/** To the second, or the minute. */
function span(milliseconds: number): string {
  const unit = milliseconds >= 3_600_000 ? 60_000 : 1_000;
  return milliseconds < 1_000 ? '0s' : formatDuration(Math.floor(milliseconds / unit) * unit);
}

function skewText(milliseconds: number): string {
  return `${milliseconds < 0 ? '−' : '+'}${(Math.abs(milliseconds) / 1000).toFixed(3)} s`;
}

const TITLE_WIDTH = 9;
