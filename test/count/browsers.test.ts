/** What Chromium and Firefox do when they load a page with five images, and when they reload it. */

import { after, before, describe } from 'node:test';
import type { Browser } from 'playwright-core';
import { startKeyLedger, stopKeyLedger } from '../../src/ledger/process-ledger.ts';
import { launchChromium } from '../interop/chromium.ts';
import { hangGuard } from '../interop/support.ts';
import { skipUnless } from '../support/tools.ts';
import { testCases } from './cases.ts';
import { RemoteFirefox } from './remote-firefox.ts';

before(() => void startKeyLedger());
after(() => stopKeyLedger());

describe('the count of Chromium', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;
  before(async () => {
    browser = await launchChromium('chromium-count');
  });
  after(() => browser?.close());

  testCases(async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    return {
      load: async (url) => void (await page.goto(url, { waitUntil: 'load' })),
      reload: async () => void (await page.reload({ waitUntil: 'load' })),
      close: () => context.close(),
    };
  });
});

describe('the count of Firefox', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  let firefox: RemoteFirefox;
  before(async () => {
    firefox = await RemoteFirefox.launch();
  });
  after(() => firefox?.close());

  // Its sites are apart by their ports: none has a session of another.
  testCases(() => firefox.newPage());
});
