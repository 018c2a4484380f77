/** Chromium on the demonstration page: what a browser makes of our handshakes, tickets and turning ring. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { requireTool, skipUnless } from '../support/tools.ts';
import { bodyHash, imagePaths, Site, trustingDatabase } from './site.ts';
import { hangGuard, subfolder } from './support.ts';

describe('Chromium on our servers', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;

  before(async () => {
    const home = subfolder('chromium-home');
    // Where it looks for roots depends on its age.
    await trustingDatabase(subfolder('chromium-home/.pki/nssdb'));
    await trustingDatabase(subfolder('chromium-home/.local/share/pki/nssdb'));
    browser = await chromium.launch({
      executablePath: requireTool('chromium'),
      env: { ...(process.env as Record<string, string>), HOME: home },
      args: [
        ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
        ...['--disable-background-networking', '--disable-component-update'],
      ],
    });
  });
  after(() => browser?.close());

  /** Loads the page anew, over new connections, and asserts that all of it came. */
  async function visit(site: Site, context: BrowserContext): Promise<void> {
    await site.beginVisit();
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
    page.on('pageerror', (error) => problems.push(String(error)));
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
    await page.close();
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
    for (const { version, alpnProtocol } of site.connections) {
      assert.equal(version, 'TLSv1.3');
      assert.equal(alpnProtocol, protocols[0]);
    }
  }

  for (const protocol of ['h2', 'http/1.1'] as const) {
    test(`loads a page with five images over ${protocol}, and resumes while the ring turns`, async () => {
      const site = await Site.start(protocol);
      const context = await browser.newContext();
      const { sessions, counters } = site.server;
      try {
        await visit(site, context);
        assert.equal(site.connections[0].alpnProtocol, protocol);
        assert.equal(site.connections[0].namedGroup, 'X25519MLKEM768');
        assert.equal(site.connections[0].resumed, false);

        await visit(site, context);
        assert.equal(site.connections[0].resumed, true, 'the second visit resumes');
        assert.equal(site.connections[0].namedGroup, 'X25519MLKEM768', 'with a key exchange of its own');

        sessions.rotate();
        await visit(site, context);
        assert.equal(site.connections[0].resumed, true, 'a ticket under the previous key still resumes');
        assert.equal(sessions.status().length, 2);

        await visit(site, context);
        assert.equal(site.connections[0].resumed, true, 'so does one under the new key');

        const before = counters.refusals.unknown_key ?? 0;
        sessions.flush();
        await visit(site, context);
        assert.equal(site.connections[0].resumed, false, 'a ticket under a key that is gone does not');
        assert.ok((counters.refusals.unknown_key ?? 0) > before, 'it was offered');

        await visit(site, context);
        assert.equal(site.connections[0].resumed, true, 'the visit after that resumes again');
      } finally {
        await context.close();
        site.stop();
      }
    });
  }
});
