/** `npm run bench -- --work`: counts work, not time, so that two commits can be compared on any machine. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import type { Finding } from '../main.ts';
import { projectRoot } from '../project.ts';
import { significant } from '../statistics.ts';
import { type Difference, differences, majorOf } from './compare.ts';
import type { Calls, ScenarioWork, WorkReport } from './messages.ts';
import { scenarioNames } from './names.ts';
import { measureWork } from './run.ts';

export interface WorkCommand {
  readonly json: boolean;
  readonly only: readonly string[] | undefined;
  readonly instructions: boolean;
  /** A file of `--work --json`; true for the baseline. */
  readonly compare: string | boolean;
  readonly saveBaseline: boolean;
  readonly progress: (text: string) => void;
}

export async function work(command: WorkCommand): Promise<Finding> {
  const { json, only, instructions, compare, progress } = command;
  // Read first: a mistake should show before the work is done.
  const before = compare === false ? undefined : reportIn(compare === true ? baselinePath : String(compare));
  const report = await measureWork({ only, time: true, instructions, progress });
  progress('');
  if (command.saveBaseline) {
    saveBaseline(report);
  }
  if (before !== undefined) {
    const found = differences(before, report, TOLERANCE);
    const document = { before: before.node, now: report.node, differences: found };
    return { text: json ? JSON.stringify(document) : tell(before, found) };
  }
  return { text: json ? JSON.stringify(report) : workTables(report), markdown: workMarkdown(report) };
}

/** Of this Node's major version, else of the first there is. */
export function baseline(): WorkReport {
  return reportIn(baselinePath);
}

function reportIn(path: string): WorkReport {
  const content = JSON.parse(readFileSync(path, 'utf8')) as WorkReport | Record<string, WorkReport>;
  if ('scenarios' in content) {
    return content as WorkReport;
  }
  const byMajor = content as Record<string, WorkReport>;
  return byMajor[majorOf(process.version)] ?? Object.values(byMajor)[0];
}

/** Without times, which are this machine's. */
function saveBaseline(report: WorkReport): void {
  const all: Record<string, WorkReport> = existsSync(baselinePath)
    ? JSON.parse(readFileSync(baselinePath, 'utf8'))
    : {};
  const major = majorOf(report.node);
  const kept = all[major]?.scenarios.filter(({ name }) => !report.scenarios.some((work) => work.name === name)) ?? [];
  const merged = [...kept, ...report.scenarios.map((work) => ({ ...work, micros: undefined }))];
  const order: readonly string[] = scenarioNames;
  merged.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  all[major] = { node: report.node, scenarios: merged };
  writeFileSync(baselinePath, `${JSON.stringify(all, null, 2)}\n`);
}

function workTables(report: WorkReport): string {
  const sizes = new Table({
    head: ['scenario', 'CPU µs', 'heap KiB', 'objects', 'external KiB', 'wire bytes', 'instructions'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
    style,
  });
  const calls = new Table({
    head: ['scenario', 'provider', 'node:crypto', 'actions'],
    style,
    wordWrap: true,
    colWidths,
  });
  for (const one of report.scenarios) {
    sizes.push([
      one.name,
      one.micros === undefined ? '' : String(significant(one.micros)),
      kib(one.heapBytes),
      one.objects === undefined ? '' : String(one.objects),
      kib(one.externalBytes),
      one.wireBytes === 0 ? '' : String(one.wireBytes),
      one.instructions === undefined ? '' : String(significant(one.instructions)),
    ]);
    calls.push([one.name, words(one.provider), words(one.native), words(one.actions)]);
  }
  return [
    `Node ${report.node}; per operation, both ends together. Heap, objects and calls without compilation, CPU time with it.`,
    sizes.toString(),
    calls.toString(),
  ].join('\n');
}

function workMarkdown({ scenarios: found }: WorkReport): string {
  const row = (one: ScenarioWork): string =>
    `| \`${one.name}\` | ${kib(one.heapBytes)} | ${one.objects ?? ''} | ${kib(one.externalBytes)} | ${sumOf(one.provider)} | ${sumOf(one.native)} |`;
  return [
    '| scenario | heap KiB | objects | external KiB | calls of the provider | of `node:crypto` |',
    '|---|---|---|---|---|---|',
    ...found.map(row),
  ].join('\n');
}

function tell(before: WorkReport, found: readonly Difference[]): string {
  const others =
    majorOf(before.node) === majorOf(process.version)
      ? ''
      : `; before is of Node ${before.node}, so only calls are compared`;
  if (found.length === 0) {
    return `no call differs, and nothing else by more than ${100 * TOLERANCE} %${others}`;
  }
  const table = new Table({
    head: ['scenario', 'what', 'before', 'now', 'change'],
    colAligns: ['left', 'left', 'right', 'right', 'right'],
    style,
  });
  for (const { scenario, what, before: a, now: b } of found) {
    const change = a === 0 ? 'new' : `${b > a ? '+' : ''}${significant(100 * (b / a - 1))} %`;
    table.push([scenario, what, String(significant(a, 5)), String(significant(b, 5)), change]);
  }
  return `${table.toString()}\nper operation; calls that differ at all, other figures by more than ${100 * TOLERANCE} %${others}`;
}

function words(calls: Calls): string {
  return Object.entries(calls)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

function sumOf(calls: Calls): number {
  return Math.round(Object.values(calls).reduce((sum, count) => sum + count, 0));
}

function kib(bytes: number): string {
  return String(significant(bytes / 1024));
}

const baselinePath = join(projectRoot, 'bench', 'baseline.json');
const TOLERANCE = 0.03;
const style = { head: [], border: [], compact: true };
const colWidths = [28, 42, 42, 30];
