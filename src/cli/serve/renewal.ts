/**
 * Renewal of certificates while the server runs: on SIGHUP, and when one of the files changes. They are read and checked
 * first; what is bad changes nothing and is told. Open connections, and the ticket keys, are left alone.
 */

import { type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { dateText } from '../certificates.ts';
import type { Output } from '../output.ts';
import { Problem, toProblem } from '../problem.ts';
import { allCredentials } from './certificate-table.ts';
import type { ServerCredentials } from './credentials.ts';
import type { PskFileFacts } from './psks.ts';
import type { SiteOptions } from './site.ts';

/** What the files say. */
export interface Renewable {
  readonly credentials: ServerCredentials;
  readonly clients: SiteOptions['clients'];
  readonly psks?: PskFileFacts;
}

export interface RenewalOptions {
  /** Looked at for changes. */
  readonly paths: readonly string[];
  /** What is in use. */
  readonly current: Renewable;
  /** Reads the files and checks them. Throws a Problem. */
  load(): Renewable;
  apply(renewed: Renewable): void;
  readonly output: Output;
  /** Milliseconds between looks at the files. Default 2000. */
  readonly interval?: number;
}

/** Begins to watch; the function that is returned ends it. */
export function renewOnChange(options: RenewalOptions): () => void {
  const { paths, output, interval = WATCH_INTERVAL } = options;
  let { current } = options;
  let settling: NodeJS.Timeout | undefined;
  const renew = (reason: 'signal' | 'files') => {
    let renewed: Renewable;
    try {
      renewed = options.load();
      if (isSame(current, renewed)) {
        if (reason === 'signal') {
          output.say('SIGHUP: the files are what they were.');
          output.event('certificate-unchanged', { reason });
        }
        return;
      }
      options.apply(renewed);
    } catch (error) {
      const problem = error instanceof Problem ? error : toProblem(error);
      output.warn(`nothing was renewed, the certificate in use goes on: ${problem.line}`);
      output.event('certificate-refused', { reason, message: problem.message });
      return;
    }
    const isOther = fingerprints(current) !== fingerprints(renewed);
    current = renewed;
    tell(output, renewed, reason, isOther);
  };
  const onSignal = () => renew('signal');
  // By polling: it follows the symbolic links that ACME clients exchange, and works on every file system.
  const onLook: StatsListener = (now, before) => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino || now.size !== before.size) {
      // A chain and its key are seldom written in the same moment.
      clearTimeout(settling);
      settling = setTimeout(renew, SETTLE_TIME, 'files');
    }
  };
  process.on('SIGHUP', onSignal);
  for (const path of paths) {
    watchFile(path, { interval, persistent: false }, onLook);
  }
  return () => {
    process.off('SIGHUP', onSignal);
    clearTimeout(settling);
    for (const path of paths) {
      unwatchFile(path, onLook);
    }
  };
}

function tell(output: Output, { credentials, psks }: Renewable, reason: string, isOther: boolean): void {
  const leaves = allCredentials(credentials).map(({ leaf }) => leaf);
  const names = [...new Set(leaves.flatMap((leaf) => leaf.names))];
  const notAfter = Math.min(...leaves.map((leaf) => leaf.notAfter));
  const sessions = isOther ? 'each client makes one full handshake' : 'sessions go on';
  output.say(
    `Renewed: ${names.join(', ') || leaves[0].subject}, until ${dateText(notAfter)}. Open connections go on; ${sessions}.` +
      (psks === undefined ? '' : ` Pre-shared keys: ${psks.count}.`),
  );
  output.event('certificate-renewed', {
    reason,
    names,
    notAfter: new Date(notAfter).toISOString(),
    endsSessions: isOther,
    ...(psks === undefined ? {} : { preSharedKeys: psks.count }),
  });
}

function isSame(a: Renewable, b: Renewable): boolean {
  const others = allCredentials(b.credentials);
  return (
    allCredentials(a.credentials).every(
      ({ cert, key, ocspResponse }, at) =>
        cert === others[at].cert &&
        key === others[at].key &&
        Buffer.compare(ocspResponse ?? NOTHING, others[at].ocspResponse ?? NOTHING) === 0,
    ) &&
    a.clients?.ca === b.clients?.ca &&
    a.psks?.fingerprint === b.psks?.fingerprint
  );
}

function fingerprints({ credentials }: Renewable): string {
  return allCredentials(credentials)
    .map(({ leaf }) => leaf.fingerprint)
    .join(' ');
}

const NOTHING = new Uint8Array(0);
const WATCH_INTERVAL = 2_000;
const SETTLE_TIME = 500;
