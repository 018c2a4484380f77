/** Runs the operator's reload command and tells how it went. */

import { spawn } from 'node:child_process';
import { TLSError } from '../../errors.ts';

/**
 * By the shell, as it stands in the operator's own command line or unit.
 * @throws TLSError `TLS_ERR_SERVER_NOT_TOLD` it cannot be run, fails, or takes longer than `timeout` milliseconds
 */
export async function runCommand(command: string, timeout: number): Promise<void> {
  // A URL with a password may stand there.
  const { MAYFLY_FLEET_URL, ...env } = process.env;
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env });
  const guard = setTimeout(() => endGroup(child.pid), timeout);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_SAID);
  });
  const end = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    // Not 'close': what it left running in the background may keep its output open.
    child.once('exit', (code, signal) => {
      setImmediate(() => resolve(signal !== null ? `was ended by ${signal}` : code === 0 ? '' : `exit code ${code}`));
    });
  });
  clearTimeout(guard);
  child.stderr.destroy();
  if (end !== '') {
    const detail =
      said
        .trim()
        .split('\n')
        .at(-1)
        ?.replace(/[^\x20-\x7e]/g, '?') ?? '';
    throw new TLSError(
      'TLS_ERR_SERVER_NOT_TOLD',
      `the reload command failed (${command}): ${end}${detail === '' ? '' : `: ${detail}`}`,
    );
  }
}

/** The shell and what it has started. */
function endGroup(leader: number | undefined): void {
  try {
    process.kill(-(leader ?? Number.NaN), 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** Characters of what it said last. */
const MAX_SAID = 300;
