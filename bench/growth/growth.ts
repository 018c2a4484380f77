/** `npm run bench -- --growth`: how cost grows. Some two minutes. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Arguments } from '../arguments.ts';
import type { Finding } from '../main.ts';
import { progress } from '../progress.ts';
import { type Sheet, sheetMarkdown, sheetText } from '../sheet.ts';
import { significant } from '../statistics.ts';
import { type ChainFigures, measureChains } from './chains.ts';
import { type CrowdFigures, measureCrowds } from './connections.ts';
import type { InsideFigures } from './inside.ts';
import { measureWorkers, type WorkerFigures } from './workers.ts';

export async function growth(options: Arguments): Promise<Finding> {
  const crowds = await measureCrowds();
  progress('sessions, keys, records');
  const inside = await measureInside();
  const chains = await measureChains();
  const workers = await measureWorkers();
  const complaints = [...crowds.complaints, ...(typeof workers === 'string' ? [workers] : [])];
  const found = { crowds: crowds.figures, inside, chains, workers: typeof workers === 'string' ? [] : workers };
  const sheets = [
    crowdSheet(crowds.figures),
    sessionSheet(inside),
    ringSheet(inside),
    chainSheet(inside, chains),
    recordSheet(inside),
    ...(typeof workers === 'string' ? [] : [workerSheet(workers)]),
  ];
  return {
    text: options.json
      ? JSON.stringify({ node: process.version, ...found, complaints })
      : [...sheets.map(sheetText), ...complaints].join('\n\n'),
    markdown: [...sheets.map(sheetMarkdown), ...complaints].join('\n\n'),
  };
}

async function measureInside(): Promise<InsideFigures> {
  const worker = fileURLToPath(new URL('./inside.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', worker]);
  return JSON.parse(stdout);
}

function crowdSheet(figures: readonly CrowdFigures[]): Sheet {
  return {
    title: 'Open connections at one server, and full handshakes beside them',
    head: [
      '',
      'connections',
      'KiB each at the server',
      'handshakes/s',
      'server CPU µs each',
      'loop delay p50 / p99 / most, ms',
    ],
    rows: figures.map(({ subject, connections, memory, rate, serverMicros, delay }) => [
      subject === 'ours' ? 'ours' : 'node:tls',
      String(connections),
      memory === undefined ? '' : String(significant(memory)),
      String(significant(rate)),
      String(significant(serverMicros)),
      [delay.p50, delay.p99, delay.max].map((ms) => significant(ms, 2)).join(' / '),
    ]),
  };
}

function sessionSheet({ sessions }: InsideFigures): Sheet {
  return {
    title: 'Sessions in the cache of TLS 1.2',
    head: ['sessions', 'put in, µs', 'found, µs', 'bytes each'],
    rows: sessions.map(({ count, set, get, bytes }) => [count, set, get, bytes].map(rounded)),
  };
}

function ringSheet({ ring }: InsideFigures): Sheet {
  return {
    title: 'Keys in the ring',
    head: ['keys', 'seal a ticket, µs', 'open one of the oldest key, µs'],
    rows: ring.map(({ count, seal, open }) => [count, seal, open].map(rounded)),
  };
}

function chainSheet({ chains }: InsideFigures, handshakes: readonly ChainFigures[]): Sheet {
  return {
    title: 'Certificates in the chain',
    head: ['certificates', 'bytes', 'verified without cache, µs', 'full handshake, CPU µs: ours', 'node:tls'],
    rows: chains.map(({ count, verify, bytes }) => {
      const micros = handshakes.find((one) => one.count === count)?.micros;
      return [count, bytes, verify, micros?.ours ?? 0, micros?.nodeTls ?? 0].map(rounded);
    }),
  };
}

function recordSheet({ records }: InsideFigures): Sheet {
  return {
    title: 'Bytes in a record, sealed and opened by two connections in memory, AES-128-GCM',
    head: ['bytes', 'µs', 'MB/s'],
    rows: records.map(({ size, micros, megabytes }) => [size, micros, megabytes].map(rounded)),
  };
}

function workerSheet(workers: readonly WorkerFigures[]): Sheet {
  return {
    title: '`serve --workers`, requests per second; the load generator takes a core of its own',
    head: ['workers', 'keep-alive', 'a connection for each'],
    rows: workers.map(({ workers: count, kept, fresh }) => [count, kept, fresh].map(rounded)),
  };
}

function rounded(value: number): string {
  return String(Number.isInteger(value) ? value : significant(value));
}
