/** The flags of `mayfly ring`. What each command does is loaded when it is run. */

import { Command, Option } from 'commander';
import { loadCode } from './load-code.ts';
import { agentCommand } from './ring/agent.ts';

export interface RingFlags {
  readonly fleet?: string;
  readonly identity?: string;
  readonly fleetName?: string;
  readonly fleetCa?: string;
  /** Labels, separated by commas. */
  readonly groups?: string;
  readonly rotate: string;
  readonly lifetime: string;
  readonly timeout: string;
  readonly json?: boolean;
}

export interface StatusFlags extends RingFlags {
  /** URLs. */
  readonly statusPage?: readonly string[];
}

export interface InitFlags {
  readonly fleetName: string;
  readonly identity: readonly string[];
  readonly json?: boolean;
}

export interface MembersFlags {
  readonly identity?: string;
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly write?: string;
  readonly adopt?: string;
  readonly json?: boolean;
}

export function ringCommand(): Command {
  const ring = new Command('ring').description('make, watch and steer the ring of ticket keys that a fleet shares');
  ring.addCommand(initCommand());
  ring.addCommand(membersCommand());
  for (const command of [statusCommand(), rotateCommand(), flushCommand(), evictCommand(), joinCommand()]) {
    ring.addCommand(command);
  }
  ring.addCommand(agentCommand(withFleet(new Command('agent'))));
  return ring.addHelpText(
    'after',
    `
Examples:
  $ mayfly ring init --fleet-name web \\
      --identity web1.identity web2.identity web3.identity
  $ mayfly ring members --identity web1.identity \\
      --add web4.identity --write web.members
  $ mayfly ring status --fleet redis://10.0.0.5 --identity web1.identity
  $ mayfly ring evict web3 --fleet redis://10.0.0.5 --identity web1.identity`,
  );
}

function initCommand(): Command {
  return new Command('init')
    .description('make an identity file for each host of a new fleet')
    .requiredOption('--fleet-name <name>', 'what the fleet is called')
    .requiredOption('--identity <file...>', 'files to make, one for each host, which is called by its file’s name')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
Each file holds one host’s own key and the public keys of all. Bring each to its
host and nowhere else; whoever has one can join the fleet from then on, but
opens nothing of the past.`,
    )
    .action(async (flags: InitFlags) => {
      const { init } = await loadCode<typeof import('./ring/init.ts')>('ring/init');
      init(flags);
    });
}

function membersCommand(): Command {
  return new Command('members')
    .description('tell who is on the list of members, make a new list, or let a host take one over')
    .addOption(new Option('--identity <file>', 'a file of mayfly ring init').env('MAYFLY_IDENTITY'))
    .option('--add <file...>', 'identity files to make, one for each host that comes')
    .option('--remove <member...>', 'who goes: its name, or the beginning of its id (8 digits or more)')
    .option('--write <file>', 'where the new list is written: it is no secret, but nobody must exchange it')
    .option('--adopt <file>', 'put this list into the identity file; the server then needs a restart')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
A stolen identity is replaced by --remove web3 --add web3.identity. Members with
different lists are different fleets: adopt a new one at all hosts, one after
the other, and see in mayfly ring status that all are there.`,
    )
    .action(async (flags: MembersFlags) => {
      const { members } = await loadCode<typeof import('./ring/members.ts')>('ring/members');
      members(flags);
    });
}

function statusCommand(): Command {
  return withFleet(new Command('status'))
    .description('tell who is in the ring and how its keys stand; takes no part in it')
    .option(
      '--status-page <url...>',
      'status pages to ask how sessions resume (default: http://127.0.0.1:8444, when it is one of this ring)',
    )
    .addHelpText('after', '\nEnds with exit code 30 while the ring has an alarm.')
    .action(async (flags: StatusFlags) => {
      const { ringStatus } = await loadCode<typeof import('./ring/status.ts')>('ring/status');
      await ringStatus(flags);
    });
}

function rotateCommand(): Command {
  return withFleet(new Command('rotate'))
    .description('have a new key seal soon, at all members; tickets that are out stay good')
    .action(async (flags: RingFlags) => {
      const { rotate } = await loadCode<typeof import('./ring/rotate.ts')>('ring/rotate');
      await rotate(flags);
    });
}

function flushCommand(): Command {
  return withFleet(new Command('flush'))
    .description('end all keys, at all members: no ticket that is out opens any more')
    .action(async (flags: RingFlags) => {
      const { order } = await loadCode<typeof import('./ring/order.ts')>('ring/order');
      await order(flags);
    });
}

function evictCommand(): Command {
  return withFleet(new Command('evict'))
    .description('end all keys, and let one member have no later one')
    .argument('<member>', 'its name, or the beginning of its id (8 digits or more)')
    .action(async (member: string, flags: RingFlags) => {
      const { order } = await loadCode<typeof import('./ring/order.ts')>('ring/order');
      await order(flags, member);
    });
}

function joinCommand(): Command {
  return withFleet(new Command('join'))
    .description('be a member until a signal comes, and print what happens in the ring')
    .action(async (flags: RingFlags) => {
      const { join } = await loadCode<typeof import('./ring/join.ts')>('ring/join');
      await join(flags);
    });
}

function withFleet(command: Command): Command {
  return command
    .addOption(
      new Option('--fleet <url>', 'Redis or Valkey of the fleet; give a URL with a password by the environment').env(
        'MAYFLY_FLEET_URL',
      ),
    )
    .addOption(new Option('--identity <file>', 'a file of mayfly ring init').env('MAYFLY_IDENTITY'))
    .addOption(new Option('--fleet-name <name>', 'what the identity must say').env('MAYFLY_FLEET_NAME'))
    .option('--fleet-ca <file>', 'for a rediss:// URL: trust these certificates (PEM) instead of Node’s roots')
    .option(
      '--groups <labels>',
      'of servers that open each other’s tickets, as all members have them (default: default)',
    )
    .option('--rotate <duration>', 'how long a key seals, as all members have it', '1h')
    .option('--lifetime <duration>', 'how long a ticket may be used, as all members have it', '2h')
    .option('--timeout <duration>', 'how long to wait for the store and for members', '30s')
    .option('--json', 'one JSON object per line instead of text');
}
