/** The flags of `mayfly limits`. What it does is loaded when it is run, so that `--help` and mistakes are answered fast. */

import { Command } from 'commander';
import { loadCode } from './load-code.ts';

export interface LimitsFlags {
  readonly suite?: string;
  readonly advantage?: string;
  readonly rate: string;
  readonly recordSize: string;
  readonly packetSize: string;
  readonly json?: boolean;
}

export function limitsCommand(): Command {
  return new Command('limits')
    .description('how much one key may protect, suite by suite, and how often a long connection renews its keys')
    .option('--suite <suites>', 'cipher suites, with commas (default: all)')
    .option(
      '--advantage <probability>',
      'what an attacker may gain from one key, e.g. 2^-57 (default: 2^-60 for reading, 2^-57 for forging)',
    )
    .option('--rate <rate>', 'how fast one side sends: 1Gbit/s, 20MB/s, 5000records/s', '1Gbit/s')
    .option('--record-size <bytes>', 'application data in each record: 1 to 16K', '16K')
    .option('--packet-size <bytes>', 'of QUIC: payload of each packet, 1 to 65,527', '1200')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
Examples:
  $ mayfly limits
  $ mayfly limits --advantage 2^-80 --rate 10Gbit/s
  $ mayfly limits --suite TLS_AES_128_GCM_SHA256 --record-size 200 \\
      --rate 5000records/s`,
    )
    .action(async (flags: LimitsFlags) => {
      const { tellLimits } = await loadCode<typeof import('./limits/limits.ts')>('limits/limits');
      tellLimits(flags);
    });
}
