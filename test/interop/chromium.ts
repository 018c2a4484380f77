/** Headless Chromium that trusts the tests' authority, and a visit to the demonstration page with it. */

import assert from 'node:assert/strict';
import { type Browser, type BrowserContext, chromium, type Request } from 'playwright-core';
import { requireTool } from '../support/tools.ts';
import { bodyHash, imagePaths, type Site, trustingDatabase } from './site.ts';
import { subfolder } from './support.ts';

export async function launchChromium(homeName: string, args: readonly string[] = []): Promise<Browser> {
  const home = subfolder(homeName);
  // Where it looks for roots depends on its age.
  await trustingDatabase(subfolder(`${homeName}/.pki/nssdb`));
  await trustingDatabase(subfolder(`${homeName}/.local/share/pki/nssdb`));
  return chromium.launch({
    executablePath: requireTool('chromium'),
    env: { ...(process.env as Record<string, string>), HOME: home },
    args: [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
      ...['--disable-background-networking', '--disable-component-update', ...args],
    ],
  });
}

/** Loads the page anew, over new connections, and asserts that all of it came. */
export async function visit(site: Site, context: BrowserContext, version = 'TLSv1.3'): Promise<void> {
  await site.beginVisit();
  // One page for all visits: a new one is a new process of the browser.
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(90_000);
  const problems: string[] = [];
  const onFailed = (request: Request) => {
    // The icon of the page before may be asked for late, and is then given up.
    if (request.resourceType() !== 'other') {
      problems.push(`${request.url()}: ${request.failure()?.errorText}`);
    }
  };
  const onError = (error: Error) => problems.push(String(error));
  page.on('requestfailed', onFailed).on('pageerror', onError);
  await page.goto(site.url, { waitUntil: 'load' });
  const seen = await page.evaluate(`(async () => ({
    title: document.title,
    protocols: [...new Set(performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean))],
    widths: [...document.images].map((image) => image.naturalWidth),
    hashes: await Promise.all(${JSON.stringify(imagePaths)}.map(async (path) => {
      const bytes = await (await fetch(path)).arrayBuffer();
      return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]
        .map((byte) => byte.toString(16).padStart(2, '0')).join('');
    })),
  }))()`);
  const { title, protocols, widths, hashes } = seen as {
    title: string;
    protocols: string[];
    widths: number[];
    hashes: string[];
  };
  page.off('requestfailed', onFailed).off('pageerror', onError);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    site.failures.map((error) => (error as NodeJS.ErrnoException).code),
    [],
  );
  assert.equal(title, 'Mayfly serves');
  assert.equal(protocols.length, 1);
  assert.equal(widths.length, 5);
  assert.ok(
    widths.every((width) => width > 0),
    `all images were decoded: ${widths}`,
  );
  assert.deepEqual(hashes, imagePaths.map(bodyHash));
  for (const connection of site.connections) {
    assert.equal(connection.version, version);
    assert.equal(connection.alpnProtocol, protocols[0]);
  }
}
