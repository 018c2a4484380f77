/**
 * Finds the outside programs that tests talk to. A missing one skips its tests with a clear message, unless
 * `MAYFLY_REQUIRE_TOOLS=1` says that this machine must have them all.
 */

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Other names under which systems install the same program. */
const aliases: Record<string, readonly string[]> = {
  chromium: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  firefox: ['firefox', 'firefox-esr'],
};

const found = new Map<string, string | undefined>();

/** The absolute path of the program, or undefined when this machine does not have it. */
export function toolPath(name: string): string | undefined {
  if (!found.has(name)) {
    found.set(name, search(name));
  }
  return found.get(name);
}

/**
 * Options for `test` and `describe`: skips when one of the programs is missing.
 * With `MAYFLY_REQUIRE_TOOLS=1` nothing is skipped, so that the test fails where the program is needed.
 */
export function skipUnless(...names: string[]): { skip?: string } {
  const missing = names.filter((name) => toolPath(name) === undefined);
  if (missing.length === 0 || process.env.MAYFLY_REQUIRE_TOOLS === '1') {
    return {};
  }
  return {
    skip: `needs ${missing.join(', ')}, not found on this machine (MAYFLY_REQUIRE_TOOLS=1 makes this a failure)`,
  };
}

/** The program's path, for use inside a test; throws with a clear message when it is missing. */
export function requireTool(name: string): string {
  const path = toolPath(name);
  if (path === undefined) {
    throw new Error(`this test needs the program "${name}", which is not in PATH`);
  }
  return path;
}

function search(name: string): string | undefined {
  if (isAbsolute(name)) {
    return isExecutable(name) ? name : undefined;
  }
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const candidate of aliases[name] ?? [name]) {
    for (const folder of [...folders, '/usr/sbin', '/sbin']) {
      const path = join(folder, candidate);
      if (isExecutable(path)) {
        return path;
      }
    }
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
