/** Where a command's words go: lines for people, or one JSON object per line for programs. */

import pc from 'picocolors';
import { exitCode } from './exit-codes.ts';
import { harmlessJson, harmlessLine, harmlessLines } from './harmless.ts';
import type { Problem } from './problem.ts';

export interface Output {
  readonly json: boolean;
  /** A line for people; nothing with `--json`. */
  say(line?: string): void;
  /** A JSON line for programs; nothing without `--json`. */
  event(event: string, fields?: Record<string, unknown>): void;
  /** Something the user should know that does not end the command. */
  warn(line: string): void;
}

export function createOutput(json: boolean): Output {
  return {
    json,
    say(line = '') {
      if (!json) {
        process.stdout.write(`${harmlessLines(line)}\n`);
      }
    },
    event(event, fields = {}) {
      if (json) {
        process.stdout.write(`${harmlessJson({ event, ...fields })}\n`);
      }
    },
    warn(line) {
      if (json) {
        process.stdout.write(`${harmlessJson({ event: 'warning', message: line })}\n`);
        return;
      }
      process.stderr.write(`${pc.yellow('warning:')} ${harmlessLine(line)}\n`);
    },
  };
}

/** The one line with which a command ends badly: on stderr, and with `--json` as an object on stdout too. */
export function reportProblem(problem: Problem, json: boolean): void {
  if (json) {
    process.stdout.write(
      `${harmlessJson({
        event: 'error',
        error: problem.exit,
        exitCode: exitCode(problem.exit),
        message: problem.message,
        ...(problem.hint === undefined ? {} : { hint: problem.hint }),
      })}\n`,
    );
    return;
  }
  process.stderr.write(`${pc.red('mayfly:')} ${problem.line}\n`);
  if (process.env.MAYFLY_DEBUG === '1') {
    const stack = String((problem.cause as Error | undefined)?.stack ?? problem.stack);
    process.stderr.write(`${stack.split('\n').map(harmlessLine).join('\n    ')}\n`);
  }
}
