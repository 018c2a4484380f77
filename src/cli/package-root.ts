/** Where Mayfly is installed and which version it is. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that holds Mayfly's package.json, absolute. */
export const packageRoot: string = findRoot(import.meta.dirname);

export const version: string = (
  JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }
).version;

function findRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) {
    folder = dirname(folder);
  }
  return folder;
}
