/** `mayfly serve` with one worker and with two, asked by wrk. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificate } from '../certificate.ts';
import { freePort } from '../free-port.ts';
import { missingTool, requestsPerSecond, Stage } from '../https/processes.ts';
import { progress } from '../progress.ts';
import { projectRoot } from '../project.ts';

export interface WorkerFigures {
  readonly workers: number;
  /** Requests per second. */
  readonly kept: number;
  /** With a connection for each. */
  readonly fresh: number;
}

/** Or why there are none. */
export async function measureWorkers(): Promise<readonly WorkerFigures[] | string> {
  const missing = missingTool(1);
  if (missing !== undefined) {
    return `workers of serve left out: ${missing} is not in PATH`;
  }
  const stage = new Stage();
  const found: WorkerFigures[] = [];
  try {
    const [cert, key] = [join(stage.folder, 'cert.pem'), join(stage.folder, 'key.pem')];
    const made = makeCertificate();
    writeFileSync(cert, made.cert);
    writeFileSync(key, made.key);
    const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');
    for (const workers of [1, 2]) {
      const port = await freePort();
      const flags = ['--listen', `127.0.0.1:${port}`, '--cert', cert, '--key', key, '--no-status', '--http', '1'];
      const root = join(projectRoot, 'demo');
      const given = [main, 'serve', ...flags, '--root', root, '--workers', String(workers)];
      const child = await stage.start(process.execPath, given, port);
      const ask = (fresh: boolean, seconds: number): Promise<number> =>
        requestsPerSecond({ url: `https://127.0.0.1:${port}/style.css`, http: 1, fresh, seconds });
      progress(`serve --workers ${workers}`);
      await ask(false, 2);
      const kept = await ask(false, 3);
      await ask(true, 2);
      found.push({ workers, kept, fresh: await ask(true, 3) });
      await stage.stop(child);
    }
    return found;
  } catch (error) {
    return `workers of serve left out: ${(error as Error).message}`;
  } finally {
    stage.clear();
  }
}
