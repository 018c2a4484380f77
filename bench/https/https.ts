/**
 * `npm run bench -- --https`: requests per second of whole servers, asked by wrk and h2load. First ours beside Node's own
 * with the same handler, then `mayfly serve --upstream` beside what people put in front of Node today.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import type { Arguments } from '../arguments.ts';
import { makeCertificate } from '../certificate.ts';
import { freePort } from '../free-port.ts';
import type { Finding } from '../main.ts';
import { note, progress } from '../progress.ts';
import { median, significant } from '../statistics.ts';
import { toolPath } from '../tools.ts';
import { missingTool, requestsPerSecond, Stage } from './processes.ts';
import { type Files, startUpstream, terminators } from './terminators.ts';

interface Case {
  readonly name: string;
  readonly http: 1 | 2;
  readonly path: string;
  readonly fresh: boolean;
}

/** Requests per second by who was asked; what could not be measured is a reason instead. */
interface Row {
  readonly name: string;
  readonly rates: Readonly<Record<string, number>> | string;
}

export async function https(options: Arguments): Promise<Finding> {
  const stage = new Stage();
  try {
    const files = writeCertificate(stage);
    const servers = await measureServers(stage, files);
    const proxies = await measureTerminators(stage, files);
    const failed = [...servers, ...proxies].some(
      ({ rates }) => typeof rates === 'string' && !rates.startsWith(LEFT_OUT),
    );
    if (options.json) {
      return { text: JSON.stringify({ node: process.version, servers, terminators: proxies }), failed };
    }
    const first = ['ours', 'node', 'ratio'];
    const second = terminators.map(({ name }) => name);
    return {
      text: [
        `Node ${process.version}; requests per second, 32 connections, one process each, wrk or h2load beside it`,
        textTable(servers, first),
        textTable(proxies, second),
      ].join('\n'),
      markdown: `${markdownTable(servers, first)}\n\n${markdownTable(proxies, second)}`,
      failed,
    };
  } finally {
    stage.clear();
  }
}

function writeCertificate(stage: Stage): Files {
  const { cert, key } = makeCertificate();
  const files = {
    cert: join(stage.folder, 'cert.pem'),
    key: join(stage.folder, 'key.pem'),
    pem: join(stage.folder, 'both.pem'),
  };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  writeFileSync(files.pem, cert + key);
  return files;
}

async function measureServers(stage: Stage, files: Files): Promise<Row[]> {
  const rows: Row[] = [];
  for (const http of [1, 2] as const) {
    const ofVersion = cases.filter((one) => one.http === http);
    const missing = missingTool(http);
    if (missing !== undefined) {
      rows.push(...ofVersion.map(({ name }) => ({ name, rates: `${LEFT_OUT} ${missing} is not in PATH` })));
      continue;
    }
    const ports: Record<string, number> = {};
    const stops: (() => Promise<void>)[] = [];
    for (const engine of ['ours', 'node']) {
      const port = await freePort();
      const given = [join(import.meta.dirname, 'server.js'), engine, String(http), String(port), files.cert, files.key];
      const child = await stage.start(process.execPath, given, port);
      stops.push(() => stage.stop(child));
      ports[engine] = port;
    }
    for (const one of ofVersion) {
      rows.push(await measureCase(one, ports));
    }
    await Promise.all(stops.map((stop) => stop()));
  }
  return rows;
}

async function measureTerminators(stage: Stage, files: Files): Promise<Row[]> {
  const asked = cases.filter(({ http, path }) => http === 1 && path === '/');
  const missing = ['wrk', 'nginx'].find((name) => toolPath(name) === undefined);
  if (missing !== undefined) {
    return asked.map(({ name }) => ({
      name,
      rates: `${LEFT_OUT} ${missing} is not in PATH (nginx is the server behind all)`,
    }));
  }
  const upstream = await startUpstream(stage);
  const ports: Record<string, number> = {};
  for (const terminator of terminators) {
    if (terminator.needs !== undefined && toolPath(terminator.needs) === undefined) {
      note(`${terminator.name} left out: it is not in PATH`);
      continue;
    }
    ({ port: ports[terminator.name] } = await terminator.start(stage, files, upstream));
  }
  const rows: Row[] = [];
  for (const one of asked) {
    rows.push(await measureCase({ ...one, name: one.name.replace('HTTPS', 'in front of another server') }, ports));
  }
  return rows;
}

/** All take turns, after each was warmed up. */
async function measureCase({ name, http, path, fresh }: Case, ports: Readonly<Record<string, number>>): Promise<Row> {
  const ask = (port: number, seconds: number): Promise<number> =>
    requestsPerSecond({ url: `https://127.0.0.1:${port}${path}`, http, fresh, seconds });
  try {
    const found: Record<string, number[]> = {};
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [who, port] of Object.entries(ports)) {
        progress(`${name}: ${who}`);
        const rate = await ask(port, round === 0 ? warmUpSeconds(fresh) : SECONDS);
        found[who] = round === 0 ? [] : [...found[who], rate];
      }
    }
    const rates = Object.fromEntries(Object.entries(found).map(([who, values]) => [who, significant(median(values))]));
    return { name, rates };
  } catch (error) {
    return { name, rates: `failed: ${(error as Error).message}` };
  }
}

/** What runs once per connection is compiled only after some thousand of them. */
function warmUpSeconds(fresh: boolean): number {
  return fresh ? 4 : 1;
}

function cellsOf({ rates }: Row, columns: readonly string[]): string[] {
  if (typeof rates === 'string') {
    return columns.map((_, index) => (index === 0 ? rates : ''));
  }
  return columns.map((column) =>
    column === 'ratio'
      ? (rates.ours / rates.node).toFixed(2)
      : rates[column] === undefined
        ? ''
        : String(rates[column]),
  );
}

function textTable(rows: readonly Row[], columns: readonly string[]): string {
  const table = new Table({
    head: ['requests/s', ...columns],
    colAligns: ['left', ...columns.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [row.name, ...cellsOf(row, columns)]));
  return table.toString();
}

function markdownTable(rows: readonly Row[], columns: readonly string[]): string {
  return [
    `| requests/s | ${columns.join(' | ')} |`,
    `|---|${columns.map(() => '---|').join('')}`,
    ...rows.map((row) => `| ${row.name} | ${cellsOf(row, columns).join(' | ')} |`),
  ].join('\n');
}

const cases: readonly Case[] = [
  { name: 'HTTPS, HTTP/1.1, keep-alive', http: 1, path: '/', fresh: false },
  { name: 'HTTPS, HTTP/1.1, a connection for each', http: 1, path: '/', fresh: true },
  { name: 'HTTPS, HTTP/1.1, keep-alive, 64 KiB', http: 1, path: '/64k', fresh: false },
  { name: 'HTTP/2, keep-alive', http: 2, path: '/', fresh: false },
  { name: 'HTTP/2, a connection for each', http: 2, path: '/', fresh: true },
];
const LEFT_OUT = 'left out:';
const ROUNDS = 2;
const SECONDS = 2;
