// Runs test files in one process, one after the other, each as a suite that bears its name: what they all import is loaded
// and compiled once. A file's hooks are hooks of its suite; it is loaded when the one before it has ended.

import { createRequire } from 'node:module';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/**
 * Milliseconds, less than a process has: what hangs fails by its name, and the rest is still run. Where a machine is ten
 * times as busy as it can be, the longest take minutes.
 */
const FILE_TIMEOUT = 400_000;
/** Milliseconds for what closes by itself. */
const GRACE = 30_000;

/** @param {readonly { name: string, url: string }[]} files */
export async function together(files) {
  for (const { name, url } of files) {
    await new Promise((resolve) => {
      describe(name, { timeout: FILE_TIMEOUT }, async () => {
        await load(url).catch((error) => {
          test('is loaded', () => {
            throw error;
          });
        });
        after(resolve);
      });
    });
  }
  // A test that failed may have left a server open: that must not cost the run the time of a process that hangs.
  setTimeout(() => {
    const names = files.map(({ name }) => name).join(', ');
    const open = process.getActiveResourcesInfo().filter((kind) => !/^(PipeWrap|FSReqPromise)$/.test(kind));
    process.stderr.write(`${names}: ended by force, as something was left open: ${open.join(', ')}\n`);
    process.exit(1);
  }, GRACE).unref();
}

/** By `require`, which reads hundreds of files one after the other: `import()` sends each through the thread pool, for a quarter more. */
async function load(url) {
  try {
    require(fileURLToPath(url));
  } catch (error) {
    // What awaits at its top level, or where Node was told not to.
    if (!/^ERR_REQUIRE_/.test(error?.code)) {
      throw error;
    }
    await import(url);
  }
}
