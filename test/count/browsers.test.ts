/** What Chromium and Firefox do when they load a page with five images, and when they reload it. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { startKeyLedger, stopKeyLedger } from '../../src/ledger/process-ledger.ts';
import { serve } from '../cli/support.ts';
import { launchChromium } from '../interop/chromium.ts';
import { hangGuard } from '../interop/support.ts';
import { projectRoot } from '../support/project.ts';
import { skipUnless } from '../support/tools.ts';
import { type BrowserPage, testCases } from './cases.ts';
import { RemoteFirefox } from './remote-firefox.ts';

const demo = join(projectRoot, 'demo');

before(() => void startKeyLedger());
after(() => stopKeyLedger());

describe('the count of Chromium', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;
  let page: BrowserPage;
  before(async () => {
    browser = await launchChromium('chromium-count');
    const opened = await browser.newPage();
    page = {
      load: async (url) => void (await opened.goto(url, { waitUntil: 'load' })),
      reload: async () => void (await opened.reload({ waitUntil: 'load' })),
    };
  });
  after(() => browser?.close());

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
    for (const kind of ['CLIENT_TRAFFIC_SECRET', 'SERVER_TRAFFIC_SECRET', 'EXPORTER_SECRET', 'ticketKey', 'aeadKey']) {
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

describe('the count of Firefox', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  let firefox: RemoteFirefox;
  let page: BrowserPage;
  before(async () => {
    firefox = await RemoteFirefox.launch();
    page = await firefox.newPage();
  });
  after(() => firefox?.close());

  testCases(() => page);
});
