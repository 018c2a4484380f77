/**
 * Chromium on the demonstration page: what a browser makes of our handshakes, tickets and turning ring; and what it does when
 * it loads and reloads the page. One start for all.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext } from 'playwright-core';
import { startKeyLedger, stopKeyLedger } from '../../src/ledger/process-ledger.ts';
import { serve } from '../cli/support.ts';
import { type BrowserPage, testCases } from '../count/cases.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless } from '../support/tools.ts';
import { launchChromium, visit } from './chromium.ts';
import { Site, wideCertificate } from './site.ts';
import { hangGuard } from './support.ts';

const demo = join(projectRoot, 'demo');

describe('Chromium', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;
  // One for all sites: each is a process of the browser, which keeps apart the sessions of sites on different ports.
  let context: BrowserContext;
  before(async () => {
    browser = await launchChromium('chromium-home');
    context = await browser.newContext();
  });
  after(() => browser?.close());

  describe('on our servers', () => {
    for (const protocol of ['h2', 'http/1.1'] as const) {
      test(`loads a page with five images over ${protocol}, and resumes while the ring turns`, async () => {
        const site = await Site.start(protocol, wideCertificate());
        const { sessions, counters } = site.server;
        try {
          await visit(site, context);
          assert.equal(site.connections[0].alpnProtocol, protocol);
          assert.equal(site.connections[0].namedGroup, 'X25519MLKEM768');
          assert.equal(site.connections[0].resumed, false);
          assert.equal(site.connections[0].certificateCompression, 'brotli');

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
          site.stop();
        }
      });
    }
  });

  describe('and the count', () => {
    let page: BrowserPage;
    before(async () => {
      startKeyLedger();
      const opened = await context.newPage();
      page = {
        load: async (url) => void (await opened.goto(url, { waitUntil: 'load' })),
        reload: async () => void (await opened.reload({ waitUntil: 'load' })),
      };
    });
    after(() => stopKeyLedger());

    testCases(() => page);

    test('stands on the status page, and each connection there opens into its tree of secrets', async (t) => {
      const serving = await serve(t, ['--root', demo, '--http', '2']);
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(serving.url, { waitUntil: 'load' });
      await page.reload({ waitUntil: 'load' });
      const status = await context.newPage();
      const problems: string[] = [];
      status.on('pageerror', (error) => problems.push(String(error)));
      status.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
      await status.goto(serving.statusUrl);
      const cells = (row: number) => status.locator(`.loads tbody tr:nth-child(${row}) td`).allTextContents();
      await status.waitForSelector('.loads tbody tr:nth-child(2)');
      const [, path, http, tls, , connections, opened, full, resumed, exchanges, keys, inForce] = await cells(2);
      assert.deepEqual(
        [path, http, tls, full, resumed, exchanges, keys, inForce],
        ['/', '2', '1.3', '1', '0', '1', '2', '2'],
      );
      assert.equal(connections, '1');
      assert.match(opened, /^1/);
      const reload = await cells(1);
      assert.deepEqual([reload[6], reload[7], reload[9]], ['0', '0', '0'], 'a reload over HTTP/2 costs no handshake');
      assert.match(await status.locator('.visitor h3').innerText(), /^Chromium \d+ *at (127\.0\.0\.1|::1)$/);

      await status.locator('#connections .toggle').first().click();
      await status.waitForSelector('.tree .secrets');
      const kinds = await status.locator('.tree .alive > .secret .kind').allTextContents();
      for (const kind of [
        'CLIENT_TRAFFIC_SECRET',
        'SERVER_TRAFFIC_SECRET',
        'EXPORTER_SECRET',
        'ticketKey',
        'aeadKey',
      ]) {
        assert.ok(kinds.includes(kind), `${kind} is alive: ${kinds}`);
      }
      assert.ok(!kinds.includes('sharedSecret') && !kinds.includes('mainSecret'), 'what made them is not');
      // It is drawn anew with each event, and goes with its button.
      await status.waitForFunction(`document.getElementById('live').textContent === 'live'`);
      await status.locator('#connections .toggle').first().click();
      assert.equal(await status.locator('.tree').count(), 0);
      await status.setViewportSize({ width: 360, height: 800 });
      assert.equal(await status.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
      assert.deepEqual(problems, []);
      await context.close();
    });
  });
});
