/**
 * How sessions resume, from the status pages of servers: the store knows nothing of it. By default the page of this machine is
 * asked, if there is one; pages of other hosts can be reached through `ssh -L`.
 */

import { refusalsOf } from './words.ts';

export interface SessionsReport {
  readonly statusPage: string;
  readonly full: number;
  readonly resumed: number;
  /** 0 to 1; absent before the first handshake. */
  readonly resumptionRatio?: number;
  /** Sessions that were offered and not resumed, by reason. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** Why a page that was named tells nothing, for people. */
export interface SessionsProblem {
  readonly statusPage: string;
  readonly problem: string;
}

export interface SessionsQuery {
  /** Undefined for this machine's, which may be missing. */
  readonly pages: readonly string[] | undefined;
  /** Hex: a page of another ring, or of none, does not count. */
  readonly ringId: string;
}

export async function askForSessions({
  pages,
  ringId,
}: SessionsQuery): Promise<readonly (SessionsReport | SessionsProblem)[]> {
  const answers = await Promise.all((pages ?? [OWN_PAGE]).map((page) => ask(page.replace(/\/+$/, ''), ringId)));
  return pages === undefined ? answers.filter((answer) => !('problem' in answer)) : answers;
}

/** In one line. */
export function sessionsText(answer: SessionsReport | SessionsProblem): string {
  if ('problem' in answer) {
    return `${answer.statusPage}: ${answer.problem}`;
  }
  const { statusPage, full, resumed, resumptionRatio, refusals } = answer;
  if (resumptionRatio === undefined) {
    return `no handshake so far at ${statusPage}`;
  }
  const refused = refusalsOf(refusals);
  return (
    `${(100 * resumptionRatio).toFixed(1)} % of ${(full + resumed).toLocaleString('en')} handshakes resumed at ${statusPage}` +
    (refused === '' ? '' : `; refused: ${refused}`)
  );
}

/** Whatever listens there: nothing of its answer is believed without a look. */
async function ask(statusPage: string, ringId: string): Promise<SessionsReport | SessionsProblem> {
  let told: unknown;
  try {
    const response = await fetch(`${statusPage}/status.json`, {
      signal: AbortSignal.timeout(TIMEOUT),
      redirect: 'error',
    });
    told = response.ok ? await response.json() : undefined;
  } catch {
    return { statusPage, problem: 'no answer' };
  }
  const { sharedRing, handshakes, resumptionRatio, resumptionRefusals } = Object(told) as Record<string, unknown>;
  const { full, resumed } = Object(handshakes) as Record<string, unknown>;
  if (!isCount(full) || !isCount(resumed)) {
    return { statusPage, problem: 'not a status page of Mayfly' };
  }
  if ((Object(sharedRing) as Record<string, unknown>).ringId !== ringId) {
    return { statusPage, problem: 'of another ring' };
  }
  const refusals = Object.entries(Object(resumptionRefusals) as Record<string, unknown>);
  return {
    statusPage,
    full,
    resumed,
    ...(typeof resumptionRatio === 'number' ? { resumptionRatio } : {}),
    refusals: Object.fromEntries(refusals.filter((entry): entry is [string, number] => isCount(entry[1]))),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Where `mayfly serve` puts its page when nobody says otherwise. */
const OWN_PAGE = 'http://127.0.0.1:8444';
/** Milliseconds. */
const TIMEOUT = 2_000;
