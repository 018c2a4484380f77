/** What a connection costs when there are already many: memory of the server, rate of handshakes, delay of its loop. */

import { Cast, subjects } from '../cast.ts';
import { makeCertificate } from '../certificate.ts';
import type { LoopDelay, Subject } from '../messages.ts';
import { progress } from '../progress.ts';
import { mostOpenFiles } from '../tools.ts';

export interface CrowdFigures {
  readonly subject: Subject;
  /** That were open, beside those of the flood. */
  readonly connections: number;
  /** KiB at the server per connection; undefined for so few that it would say nothing. */
  readonly memory: number | undefined;
  /** Full handshakes per second. */
  readonly rate: number;
  /** Of the server, CPU µs per handshake. */
  readonly serverMicros: number;
  /** Of the server's event loop during those handshakes. */
  readonly delay: LoopDelay;
}

export interface Crowds {
  readonly figures: readonly CrowdFigures[];
  /** What was left out, and why. */
  readonly complaints: readonly string[];
}

export async function measureCrowds(): Promise<Crowds> {
  const figures: CrowdFigures[] = [];
  const complaints: string[] = [];
  const most = mostOpenFiles() - OTHER_FILES;
  const levels = LEVELS.filter((level) => level <= most);
  if (levels.length < LEVELS.length) {
    complaints.push(`more than ${most} connections left out: a process may open no more files (ulimit -n)`);
  }
  const certificate = makeCertificate();
  for (const subject of subjects) {
    const engines = { ours: 'ours', nodeTls: 'node' } as const;
    const cast = await Cast.start({ engines, workload: 'crowd', certificate, only: subject, nodeFlags: FLAGS });
    try {
      await climb(cast, subject, levels, figures);
    } catch (error) {
      complaints.push(`${subject}: ${(error as Error).message}`);
    } finally {
      cast.kill();
    }
  }
  return { figures, complaints };
}

async function climb(cast: Cast, subject: Subject, levels: readonly number[], figures: CrowdFigures[]): Promise<void> {
  const match = { client: subject, server: subject };
  const errand = (options: Record<string, number>) => ({ pin: 'aes128', usual: false, options }) as const;
  await cast.drive(match, WARM_UP_MS, errand({ inFlight: IN_FLIGHT }));
  await cast.drive(match, OPEN_MS, errand({ open: FIRST }));
  const empty = await cast.memory(subject);
  let open = FIRST;
  for (const level of levels) {
    progress(`${level} connections of ${subject}`);
    if (level > open) {
      const { total } = await cast.drive(match, OPEN_MS, errand({ open: level - open }));
      open += total;
    }
    // Before the flood, whose garbage would count.
    const { server } = await cast.memory(subject);
    await cast.delay(subject);
    const { count, seconds, total, serverCpuMicros } = await cast.drive(
      match,
      RATE_MS,
      errand({ inFlight: IN_FLIGHT }),
    );
    figures.push({
      subject,
      connections: open,
      memory: open < 100 ? undefined : (server.rss - empty.server.rss) / (open - FIRST) / 1024,
      rate: count / seconds,
      serverMicros: serverCpuMicros / total,
      delay: await cast.delay(subject),
    });
  }
}

const FIRST = 1;
const LEVELS: readonly number[] = [1, 10, 100, 1000, 10_000];
/** Of Node itself, and of the flood. */
const OTHER_FILES = 200;
const IN_FLIGHT = 16;
/** Some thousand handshakes: fewer would measure the compiler. */
const WARM_UP_MS = 8000;
const RATE_MS = 800;
const OPEN_MS = 20_000;
const FLAGS = ['--expose-gc', '--max-semi-space-size=4'];
