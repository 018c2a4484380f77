/** The flags of `mayfly ring agent`. What it does is loaded when it is run. */

import { type Command, Option } from 'commander';
import { loadCode } from '../load-code.ts';
import type { RingFlags } from '../ring.ts';

export interface AgentFlags extends RingFlags {
  readonly for: string;
  readonly folder?: string;
  readonly group: string;
  readonly keySize?: string;
  readonly tls13Only?: boolean;
  readonly owner?: string;
  readonly pidFile: string;
  readonly reload?: string;
  readonly socket: string;
  readonly secretName: string;
  readonly drain: string;
  readonly leaveKeys?: boolean;
  readonly snippet?: boolean;
  readonly withdraw?: boolean;
  readonly dangerouslyAllowAnyFileSystem?: boolean;
}

/** @param command with the options of every member */
export function agentCommand(command: Command): Command {
  return command
    .description('keep the ticket keys of nginx, HAProxy or Envoy on this host as the ring has them')
    .addOption(
      new Option('--for <product>', 'the server to drive')
        .choices(['nginx', 'haproxy', 'envoy', 'apache'])
        .makeOptionMandatory(),
    )
    .option('--folder <dir>', 'where its key files lie: on ramfs, or on tmpfs with noswap')
    .option('--group <label>', 'the one of --groups that this server belongs to', 'default')
    .option('--key-size <bytes>', '48 for AES-128, 80 for AES-256 (default: 80)')
    .option('--tls13-only', 'it speaks TLS 1.3 alone: its keys may open for --lifetime, and not just for --rotate')
    .option('--owner <user[:group]>', 'whom the key files belong to, if the agent runs as root')
    .option('--pid-file <file>', 'nginx: that of its master', '/run/nginx.pid')
    .option('--reload <command>', 'nginx, apache: have it reload by this instead of a signal')
    .option('--socket <address>', 'haproxy: its stats socket, a path or a port on loopback', '/run/haproxy/admin.sock')
    .option('--secret-name <name>', 'envoy: what its configuration calls the secret', 'mayfly_ticket_keys')
    .option('--drain <duration>', 'for how long processes may run on that a reload has replaced', '1m')
    .option('--leave-keys', 'leave keys in server and files when it ends; only for another agent that starts at once')
    .option('--snippet', 'print what the server’s configuration needs, and end')
    .option('--withdraw', 'take all keys from server and files, and end; needs no store. For ExecStopPost=')
    .addOption(new Option('--dangerously-allow-any-file-system', 'write keys to whatever --folder lies on').hideHelp())
    .addHelpText(
      'after',
      `
--timeout is also how long a reload or an answer of the server may take.
Start it before the server, which needs the files to be there. SIGTERM takes the
keys from server and files and ends with 0, or with 31 when the server could not
be told.

Examples:
  $ mayfly ring agent --for nginx --folder /run/mayfly/nginx \\
      --fleet redis://10.0.0.5 --identity web1-nginx.identity
  $ mayfly ring agent --for haproxy --folder /run/mayfly/haproxy \\
      --socket /run/haproxy/admin.sock …
  $ mayfly ring agent --for nginx --folder /run/mayfly/nginx --snippet`,
    )
    .action(async (flags: AgentFlags) => {
      const { agent } = await loadCode<typeof import('./agent/run.ts')>('ring/agent/run');
      await agent(flags);
    });
}
