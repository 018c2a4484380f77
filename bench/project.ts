/** Where the project lies, whatever folder the compiled bench runs from. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that holds package.json, absolute. */
export const projectRoot: string = findRoot(import.meta.dirname);

function findRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) {
    folder = dirname(folder);
  }
  return folder;
}
