/** The flags of `mayfly policy`. What it does is loaded when it is run, so that `--help` and mistakes are answered fast. */

import { Command } from 'commander';
import { loadCode } from './load-code.ts';

export interface PolicyFlags {
  readonly explain?: boolean;
  readonly json?: boolean;
}

export function policyCommand(): Command {
  return new Command('policy')
    .description('what a policy on the life of keys says, and what it means to a thief')
    .argument('[policy]', 'strict, default, compatible, or a JSON file (default: all three, side by side)')
    .option('--explain', 'what each secret opens that is stolen at some moment')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
A file holds the values that differ from a preset, e.g.
{"extends": "strict", "ticketLifetime": "30m"}
A server takes the same by --policy NAME or --policy-file FILE.

Examples:
  $ mayfly policy
  $ mayfly policy strict --explain
  $ mayfly policy ours.json --explain --json`,
    )
    .action(async (policy: string | undefined, flags: PolicyFlags) => {
      const { tellPolicy } = await loadCode<typeof import('./policy/policy.ts')>('policy/policy');
      tellPolicy(policy, flags);
    });
}
