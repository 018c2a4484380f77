#!/usr/bin/env node
/** `mayfly <command>`: reads the command line, runs one command, and ends with an exit code that scripts can use. */

import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { connectCommand } from './connect.ts';
import { exitCode, exitCodes } from './exit-codes.ts';
import { limitsCommand } from './limits.ts';
import { reportProblem } from './output.ts';
import { version } from './package-root.ts';
import { policyCommand } from './policy.ts';
import { errorCode, fileProblem, Problem, toProblem } from './problem.ts';
import { ringCommand } from './ring.ts';
import { serveCommand } from './serve.ts';

const program = new Command('mayfly')
  .description('TLS built around the life of its keys.')
  .version(version, '-v, --version', 'print the version')
  .showHelpAfterError(false)
  .addHelpText('after', () => `\nExit codes:\n${exitCodeList()}\n`);

for (const command of [serveCommand(), connectCommand(), ringCommand(), limitsCommand(), policyCommand()]) {
  program.addCommand(command);
}
for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
  command
    .exitOverride()
    .helpOption('-h, --help', 'print this help')
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: () => {} })
    .configureHelp({
      styleTitle: (text) => pc.bold(text),
      styleCommandText: (text) => pc.green(text),
      styleSubcommandText: (text) => pc.green(text),
      styleOptionText: (text) => pc.cyan(text),
      styleArgumentText: (text) => pc.cyan(text),
      sortSubcommands: false,
      minWidthToWrap: 16,
      helpWidth: Math.min(process.stdout.columns ?? 80, 80),
    });
  if (command.commands.length > 0) {
    command.helpCommand('help [command]', 'print the help of a command');
  }
}

process.stdout.on('error', (error) => {
  // A reader that has seen enough (`mayfly … | head`) is no error; output that is lost is one.
  if (errorCode(error) === 'EPIPE') {
    process.exit(exitCode('ok'));
  }
  const problem = fileProblem('write', 'the output', error);
  reportProblem(problem, false);
  process.exit(exitCode(problem.exit));
});

try {
  await program.parseAsync();
} catch (error) {
  end(error);
}

function end(error: unknown): void {
  if (error instanceof CommanderError && error.exitCode === 0) {
    process.exitCode = exitCode('ok');
    return;
  }
  // Without any argument commander prints the help: a question, not an answer.
  if (error instanceof CommanderError && error.code === 'commander.help') {
    process.exitCode = exitCode('usage');
    return;
  }
  const problem = error instanceof CommanderError ? usageProblem(error) : toProblem(error);
  reportProblem(problem, process.argv.includes('--json'));
  process.exitCode = exitCode(problem.exit);
}

function usageProblem(error: CommanderError): Problem {
  const text = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const words = process.argv.slice(2);
  const path: string[] = [];
  for (let at: Command | undefined = program; at !== undefined; ) {
    at = at.commands.find((one) => words.includes(one.name()));
    path.push(...(at === undefined ? [] : [`${at.name()} `]));
  }
  return new Problem('usage', text, `See mayfly ${path.join('')}--help.`);
}

function exitCodeList(): string {
  return Object.values(exitCodes)
    .map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`)
    .join('\n');
}
