/**
 * Loads what a command does, when it is run. By `require`, which reads its two hundred files one after the other: `import()`
 * sends each through the thread pool, which costs a start of `serve` some 50 ms of CPU more.
 */

import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { errorCode } from './problem.ts';

const require = createRequire(import.meta.url);

/** @param path from this folder, without its extension */
export async function loadCode<Code>(path: string): Promise<Code> {
  const file = join(import.meta.dirname, path) + extname(import.meta.filename);
  try {
    return require(file) as Code;
  } catch (error) {
    // ERR_REQUIRE_ESM, where Node was told not to; or what is being imported at this moment.
    if (!errorCode(error)?.startsWith('ERR_REQUIRE_')) {
      throw error;
    }
    return (await import(pathToFileURL(file).href)) as Code;
  }
}
