/** The flags of `mayfly connect`. What it does is loaded when it is run, so that `--help` and mistakes are answered fast. */

import { Command } from 'commander';
import { loadCode } from './load-code.ts';

export interface ConnectFlags {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly alpn: string;
  readonly tls?: string;
  readonly resume?: string;
  readonly group?: string;
  readonly suite?: string;
  readonly session?: string;
  readonly earlyGet?: string;
  readonly pskFile?: string;
  readonly ech?: string;
  readonly keylog?: string;
  readonly insecure?: boolean;
  readonly timeout: string;
  readonly json?: boolean;
}

export function connectCommand(): Command {
  return new Command('connect')
    .description('make one TLS handshake and tell it in full')
    .argument('<host[:port]>', 'the server; the port is 443 unless given')
    .option('--ca <file>', 'trust these certificates (PEM) instead of Node’s roots')
    .option('--cert <file>', 'certificate chain to show where the server asks for one, PEM, leaf first')
    .option('--key <file>', 'private key of that certificate, PEM')
    .option('--servername <name>', 'name to ask for and to verify (default: the host)')
    .option('--alpn <protocols>', 'application protocols to offer, with commas; "" for none', 'h2,http/1.1')
    .option('--tls <version>', 'TLS version to offer: 1.2, 1.3 or both (default: both)')
    .option('--group <groups>', 'key exchange groups to offer, with commas, best first')
    .option('--suite <suites>', 'cipher suites to offer, with commas, best first')
    .option('--session <file>', 'resume a session from this file, and keep new ones there')
    .option('--resume <form>', 'keep and offer only sessions of this form: ticket, or id (TLS 1.2)')
    .option(
      '--early-get <path>',
      'with --session: send GET PATH as early data (0-RTT) where the session allows it. It can be replayed, and is not forward secret',
    )
    .option('--psk-file <file>', 'pre-shared keys to offer (TLS 1.3), a file of mode 0600: see docs/deploy.md')
    .option('--ech <list>', 'encrypt the name with this ECHConfigList (base64, the ech= of DNS), or grease for a decoy')
    .option('--keylog <file>', 'append the secrets of the connection (SSLKEYLOGFILE)')
    .option('--insecure', 'go on although the server cannot be trusted')
    .option('--timeout <duration>', 'time for the handshake', '10s')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
Examples:
  $ mayfly connect example.org
  $ mayfly connect localhost:8443 --ca ~/.local/state/mayfly/ca.pem \\
      --session s.bin                           (twice: the second resumes)
  $ mayfly connect localhost:8443 --insecure --tls 1.2 --resume id \\
      --session i.bin
  $ mayfly connect localhost:8443 --insecure --group secp384r1
  $ mayfly connect db1:8443 --psk-file web1.psk`,
    )
    .action(async (target: string, flags: ConnectFlags) => {
      const { connectAndTell } = await loadCode<typeof import('./connect/connect.ts')>('connect/connect');
      await connectAndTell(target, flags);
    });
}
