/**
 * The program that BoringSSL's test runner drives in the place of BoringSSL: docs/conformance.md says how.
 *
 *     exit code 0     everything was as the flags say
 *     exit code 1     not so; standard error says why: `TLS_ERR_… alert: text` for an error of the core
 *     exit code 89    a flag or a value that is not implemented; the runner then skips the test
 */

import { runShim } from './shim-run.ts';

const { code, stdout, stderr } = await runShim(process.argv.slice(2));
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = code;
// Timers of what a server remembers keep nothing alive, but a socket to a runner that hangs would.
process.exit();
