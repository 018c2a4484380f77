/** The flags of `mayfly serve`. What it does is loaded when it is run, so that `--help` and mistakes are answered fast. */

import { Command, Option } from 'commander';
import type { Policy, PolicyOptions } from '../policy/policy.ts';
import { loadCode } from './load-code.ts';

export interface ServeFlags {
  readonly listen: string;
  /** One for each time that the flag is given; so of the next two. */
  readonly cert?: readonly string[];
  readonly key?: readonly string[];
  readonly staple?: readonly string[];
  readonly clientCa?: string;
  readonly clientCert?: string;
  readonly pskFile?: string;
  readonly group?: string;
  readonly suite?: string;
  readonly sigalgs?: string;
  readonly dangerouslyAllowLegacyMasterSecret?: boolean;
  readonly root?: string;
  readonly upstream?: string;
  readonly upstreamConnections?: string;
  readonly upstreamPerClient?: string;
  readonly hsts?: string;
  readonly tls: string;
  readonly http: string;
  readonly rotate: string;
  readonly lifetime: string;
  readonly resumption: boolean;
  readonly earlyData?: boolean;
  readonly status: string | false;
  readonly unsafePublicStatus?: boolean;
  readonly keylog?: string;
  readonly caOut?: string;
  readonly json?: boolean;
  readonly fleet?: string;
  readonly fleetName?: string;
  readonly fleetCa?: string;
  readonly identity?: string;
  readonly workers?: string;
  readonly policy?: string;
  readonly policyFile?: string;
  /** What these two and the flags beside them come to. */
  readonly policyOptions?: PolicyOptions;
  readonly policyInForce?: () => Policy;
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('serve a folder over HTTPS, or end TLS in front of another server; resumption stays forward secret')
    .option('--listen <host:port>', 'where to accept connections', 'localhost:8443')
    .option(
      '--cert <file>',
      'certificate chain, PEM, leaf first (default: one made by a development CA); once for each certificate, where there are several: clients get one for the name they ask for, of a kind they can check, or else the first',
      each,
    )
    .option('--key <file>', 'private key of the certificate, PEM; of several, in the order of --cert', each)
    .option(
      '--staple <file>',
      'OCSP response for a certificate, DER, for clients that ask for one; once for each',
      each,
    )
    .option('--client-ca <file>', 'ask clients for a certificate that leads to one of these, PEM')
    .option(
      '--client-cert <mode>',
      'with --client-ca: require one, or request it and serve the others too (default: require)',
    )
    .option(
      '--psk-file <file>',
      'pre-shared keys (TLS 1.3), a file of mode 0600: who has one needs no certificate, and the others are served as ever; see docs/deploy.md',
    )
    .addOption(new Option('--root <dir>', 'folder to serve (default: the current one)').conflicts('upstream'))
    .option('--upstream <url>', 'pass requests on to this http:// URL instead')
    .option(
      '--upstream-connections <count>',
      'connections to it at a time, those of WebSockets with them, of each process; requests beyond them wait for up to 10 seconds and then get 503 (default: 1024)',
    )
    .option(
      '--upstream-per-client <count>',
      'those of them that one client address may have at a time (IPv6: one /48); as many as there are, if all clients come through a balancer (default: no more than are left for others, so half of them, but 8 always)',
    )
    .option(
      '--hsts <seconds[,…]>',
      'with --cert: tell browsers to come by HTTPS alone for so long (Strict-Transport-Security), and after commas includeSubDomains and preload, where an upstream server does not say it itself; 0 has them forget it',
    )
    .option('--tls <version>', 'TLS versions to speak: 1.2, 1.3 or both', 'both')
    .option('--group <groups>', 'key exchange groups to agree, with commas, best first (default: all)')
    .option('--suite <suites>', 'cipher suites to agree, with commas, best first (default: all)')
    .option(
      '--sigalgs <list>',
      'how to sign, and how clients may, with colons, best first, e.g. ECDSA+SHA256:RSA-PSS+SHA256 (default: all)',
    )
    .addOption(
      // Its name would leave no room for the texts of the others: it stands below them.
      new Option('--dangerously-allow-legacy-master-secret').hideHelp(),
    )
    .option(
      '--http <version>',
      'HTTP versions to speak: 1, 2 or both; close: 1, with a connection for each request',
      'both',
    )
    .option('--rotate <duration>', 'how long a ticket key seals new tickets', '1h')
    .option('--lifetime <duration>', 'how long a session can be resumed', '2h')
    .option(
      '--policy <name>',
      'strict, default or compatible: see mayfly policy. Flags that are given go before it, with a warning where they protect less',
    )
    .option('--policy-file <file>', 'the same from a JSON file')
    .option('--no-resumption', 'remember no session: every handshake is a full one')
    .option(
      '--early-data',
      'take requests in early data (0-RTT), which saves a round trip; whoever records them can replay them within seconds to another server with the same keys, and they are not forward secret. Others than GET, HEAD and OPTIONS wait for the end of the handshake; each ticket is good once',
    )
    .option('--workers <count>', 'serve by so many processes, which share one ring of ticket keys')
    .addOption(
      new Option(
        '--fleet <url>',
        'share the ring with other hosts over this Redis or Valkey, e.g. redis://HOST:PORT; with --identity. Give a URL with a password by the environment',
      ).env('MAYFLY_FLEET_URL'),
    )
    .addOption(
      new Option('--identity <file>', 'who this host is in the fleet: a file of mayfly ring init').env(
        'MAYFLY_IDENTITY',
      ),
    )
    .addOption(new Option('--fleet-name <name>', 'what the identity must say').env('MAYFLY_FLEET_NAME'))
    .option('--fleet-ca <file>', 'for a rediss:// URL: trust these certificates (PEM) instead of Node’s roots')
    .option('--status <host:port>', 'where the status page is served', '127.0.0.1:8444')
    .option('--no-status', 'no status page')
    .addOption(new Option('--unsafe-public-status', 'let the status page listen where others can reach it').hideHelp())
    .option('--keylog <file>', 'append the secrets of every connection (SSLKEYLOGFILE), for Wireshark')
    .option('--ca-out <file>', 'write the development CA’s certificate here too')
    .option('--json', 'one JSON object per line instead of text')
    .addHelpText(
      'after',
      `
Durations are written like 5s, 90s, 15m, 1h.
The files of certificates are read again when they change, and on SIGHUP.

TLS 1.2 clients without extended master secret (RFC 7627) are refused. With
--dangerously-allow-legacy-master-secret they are let in, and that costs: who
stands between can tie their session to his own (the triple handshake), so that
neither a client certificate nor a channel binding proves anything with them.

Examples:
  $ mayfly serve --root public
  $ mayfly serve --listen 0.0.0.0:443 --cert chain.pem --key key.pem \\
      --upstream http://127.0.0.1:3000
  $ mayfly serve --root public --cert ec.pem --key ec-key.pem \\
      --cert rsa.pem --key rsa-key.pem --hsts 31536000
  $ mayfly serve --rotate 5s --lifetime 10s        (watch the ring turn)
  $ mayfly serve --root public --cert chain.pem --key key.pem --workers 4
  $ mayfly serve --root public --cert chain.pem --key key.pem \\
      --fleet redis://10.0.0.5 --identity web1.identity`,
    )
    .action(async (given: ServeFlags, command: Command) => {
      if ((given.cert !== undefined || given.pskFile !== undefined) && !process.listeners('SIGHUP').includes(ignore)) {
        // A reload that comes before the files are watched must not end the server.
        process.on('SIGHUP', ignore);
      }
      const { servePolicy } = await loadCode<typeof import('./policy/serve-policy.ts')>('policy/serve-policy');
      const isGiven = (flag: string) => command.getOptionValueSource(flag) !== 'default';
      const { flags, options, weakened, inForce } = servePolicy(given, isGiven);
      const { serve } = await loadCode<typeof import('./serve/serve.ts')>('serve/serve');
      await serve(
        { ...flags, policyInForce: inForce, ...(options === undefined ? {} : { policyOptions: options }) },
        weakened,
      );
    });
}

function ignore(): void {}

/** Of a flag that may be given several times. */
function each(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
