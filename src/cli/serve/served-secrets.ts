/** Refuses to serve a folder in which the server's own secrets lie: whoever asked for them would get them. */

import { realpathSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { Problem } from '../problem.ts';

/**
 * @param secrets files by what they are, e.g. `the private key`
 * @throws Problem `usage`
 */
export function refuseServedSecrets(
  folder: string,
  secrets: Readonly<Record<string, string | readonly string[] | undefined>>,
): void {
  const files = Object.entries(secrets).flatMap(([what, paths = []]) =>
    [paths].flat().map((path) => [what, path] as const),
  );
  for (const [what, path] of files) {
    if (isServed(folder, resolve(path)) || isServed(real(folder), real(path))) {
      throw new Problem(
        'usage',
        `the folder that is served, ${resolve(folder)}, holds ${what} ${path}: anybody could fetch it`,
        'Serve another folder with --root DIR, or keep that file elsewhere.',
      );
    }
  }
}

/** What lies in it, but for names that begin with a dot, which are never served. */
function isServed(folder: string, path: string): boolean {
  const inside = relative(resolve(folder), path);
  const parts = inside.split(sep);
  return inside !== '' && !isAbsolute(inside) && !parts.some((part) => part.startsWith('.'));
}

/** Links lead elsewhere; what is not there yet, such as a key log, has no other path than its own. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
