/** Looks whether every user of the machine can read a private key. Files of PSKs and identities are refused where one can. */

import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Output } from '../output.ts';
import { quote } from '../terminal.ts';

/** That a group may read it is how services share keys (`ssl-cert`): it is not told. */
export function warnOfOpenKeys(paths: readonly string[], output: Output): void {
  for (const path of new Set(paths)) {
    const mode = openMode(path);
    if (mode !== undefined) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      output.warn(
        `the private key in ${path} can be read by every user of this machine (mode ${octal}): chmod o-rwx ${quote(path)}, and get a new key if one may have`,
      );
    }
  }
}

/** Of a file that others can read or write; undefined for others' want of a right to it, or to a folder above it. */
function openMode(path: string): number | undefined {
  // Windows has no such bits.
  if (process.platform === 'win32') {
    return undefined;
  }
  try {
    const file = realpathSync(path);
    const { mode } = statSync(file);
    if ((mode & 0o006) === 0) {
      return undefined;
    }
    for (let at = dirname(file); ; at = dirname(at)) {
      if ((statSync(at).mode & 0o001) === 0) {
        return undefined;
      }
      if (at === dirname(at)) {
        return mode;
      }
    }
  } catch {
    // That it cannot be read is told by who reads it.
    return undefined;
  }
}
