/** Where the project lies, whatever folder the compiled tests run from. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that holds package.json, absolute. */
export const projectRoot: string = findRoot(import.meta.dirname);

function findRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) {
      return folder;
    }
    if (folder === dirname(folder)) {
      throw new Error(`no package.json above ${start}`);
    }
  }
}
