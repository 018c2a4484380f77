/**
 * `npm run bench -- --fairness`: how long a ping on a living connection takes while others make full handshakes without
 * end. Server, pinging client and flooding client are processes of their own; the two clients are ours for both subjects,
 * so that both servers meet the same flood. Then the same while many handshakes begin in one moment.
 */

import type { Arguments } from '../arguments.ts';
import { subjects } from '../cast.ts';
import { type BenchCertificate, makeCertificate } from '../certificate.ts';
import type { Finding } from '../main.ts';
import type { LoopDelay, Subject } from '../messages.ts';
import { progress } from '../progress.ts';
import { type Sheet, sheetMarkdown, sheetText } from '../sheet.ts';
import { median, significant } from '../statistics.ts';
import { PATIENCE_MS, WorkerProcess } from '../worker-process.ts';
import type { Latency, Sample, WorkloadOptions } from '../workload.ts';
import { type BurstFigures, measureBurst } from './burst.ts';

interface FairnessFigures {
  readonly subject: Subject;
  /** Handshakes in flight; 0 for none. */
  readonly flood: number;
  /** Of pings, ms. */
  readonly ping: Latency;
  /** Full handshakes per second that the flood got through. */
  readonly rate: number;
  /** Of the server's event loop. */
  readonly delay: LoopDelay;
}

export async function fairness(options: Arguments): Promise<Finding> {
  const certificate = makeCertificate();
  const stands = {} as Record<Subject, Stand>;
  try {
    for (const subject of subjects) {
      stands[subject] = await setUp(subject, certificate);
    }
    const figures: FairnessFigures[] = [];
    for (const flood of FLOODS) {
      const rounds: Record<Subject, FairnessFigures[]> = { ours: [], nodeTls: [] };
      for (let round = 0; round < ROUNDS; round++) {
        for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
          progress(`${flood} handshakes in flight, ${subject}`);
          rounds[subject].push(await measureRound(stands[subject], subject, flood));
        }
      }
      figures.push(...subjects.map((subject) => middle(rounds[subject])));
    }
    const bursts: (BurstFigures & { subject: Subject })[] = [];
    for (const atOnce of BURSTS) {
      for (const subject of subjects) {
        progress(`${atOnce} handshakes at once, ${subject}`);
        bursts.push({ subject, ...(await measureBurst(stands[subject].port, certificate.ca, atOnce)) });
      }
    }
    const sheets = [sheetOf(figures), burstSheet(bursts)];
    return {
      text: options.json
        ? JSON.stringify({ node: process.version, figures, bursts })
        : sheets.map(sheetText).join('\n'),
      markdown: sheets.map(sheetMarkdown).join('\n\n'),
    };
  } finally {
    for (const { server, flooder, pinger } of Object.values(stands)) {
      for (const worker of [server, flooder, pinger]) {
        worker.kill();
      }
    }
  }
}

/** One server with its two clients. */
interface Stand {
  readonly server: WorkerProcess;
  readonly flooder: WorkerProcess;
  readonly pinger: WorkerProcess;
  readonly port: number;
}

async function setUp(subject: Subject, certificate: BenchCertificate): Promise<Stand> {
  const server = new WorkerProcess('server', subject === 'ours' ? 'ours' : 'node');
  const [flooder, pinger] = [new WorkerProcess('client', 'ours'), new WorkerProcess('client', 'ours')];
  const port = await server.start({ workload: 'crowd', certificate, ports: {} });
  const stand = { server, flooder, pinger, port };
  const ports = { [subject]: port };
  await Promise.all([flooder, pinger].map((client) => client.start({ workload: 'crowd', certificate, ports })));
  await ask(flooder, subject, WARM_UP_MS, { inFlight: FLOODS[1] });
  await ask(pinger, subject, REST_MS, { ping: true });
  return stand;
}

async function measureRound(stand: Stand, subject: Subject, flood: number): Promise<FairnessFigures> {
  const { server, flooder, pinger } = stand;
  const ms = flood === 0 ? REST_MS : FLOOD_MS;
  const flooding = flood === 0 ? undefined : ask(flooder, subject, ms, { inFlight: flood });
  // The flood has to stand first.
  await new Promise((resolve) => setTimeout(resolve, LEAD_MS));
  await server.ask({ kind: 'delay' });
  const { latency } = await ask(pinger, subject, ms - 2 * LEAD_MS, { ping: true });
  const delay = (await server.ask({ kind: 'delay' })) as LoopDelay;
  const flooded = await flooding;
  if (latency === undefined) {
    throw new Error('the pinging client measured no latency');
  }
  return { subject, flood, ping: latency, delay, rate: flooded === undefined ? 0 : flooded.count / flooded.seconds };
}

async function ask(client: WorkerProcess, to: Subject, ms: number, options: WorkloadOptions): Promise<Sample> {
  const errand = { to, pin: 'aes128', usual: false, options } as const;
  return (await client.ask({ kind: 'drive', ms, errand }, ms + PATIENCE_MS)) as Sample;
}

/** Medians over the rounds. */
function middle(rounds: readonly FairnessFigures[]): FairnessFigures {
  const of = (value: (round: FairnessFigures) => number): number => median(rounds.map(value));
  return {
    subject: rounds[0].subject,
    flood: rounds[0].flood,
    ping: { p50: of(({ ping }) => ping.p50), p99: of(({ ping }) => ping.p99), max: of(({ ping }) => ping.max) },
    rate: of(({ rate }) => rate),
    delay: { p50: of(({ delay }) => delay.p50), p99: of(({ delay }) => delay.p99), max: of(({ delay }) => delay.max) },
  };
}

function sheetOf(figures: readonly FairnessFigures[]): Sheet {
  return {
    title: 'A ping every few milliseconds on a living connection, while full handshakes come in',
    head: ['server', 'handshakes in flight', 'handshakes/s', 'ping p50, ms', 'p99', 'most', 'loop delay p99, ms'],
    rows: figures.map(({ subject, flood, rate, ping, delay }) => [
      subject === 'ours' ? 'ours' : 'node:tls',
      flood === 0 ? 'none' : String(flood),
      flood === 0 ? '' : String(significant(rate)),
      ...[ping.p50, ping.p99, ping.max, delay.p99].map((ms) => String(significant(ms))),
    ]),
  };
}

function burstSheet(figures: readonly (BurstFigures & { readonly subject: Subject })[]): Sheet {
  return {
    title: 'The longest ping on a living connection, while many handshakes begin in one moment',
    head: ['server', 'handshakes at once', 'longest ping, ms', 'all answered after, ms'],
    rows: figures.map(({ subject, atOnce, longestPing, allAnswered }) => [
      subject === 'ours' ? 'ours' : 'node:tls',
      String(atOnce),
      ...[longestPing, allAnswered].map((ms) => String(significant(ms))),
    ]),
  };
}

const FLOODS = [0, 16, 128] as const;
const BURSTS = [50, 300] as const;
const ROUNDS = 3;
/** Some thousand handshakes: fewer would measure the compiler. */
const WARM_UP_MS = 7000;
const REST_MS = 700;
const FLOOD_MS = 1800;
const LEAD_MS = 150;
