/** Chromium limited to TLS 1.2 on the demonstration page. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext } from 'playwright-core';
import { skipUnless } from '../support/tools.ts';
import { launchChromium, visit } from './chromium.ts';
import { Site } from './site.ts';
import { hangGuard } from './support.ts';

const byId = { tickets: false, sessionIds: true };

describe('Chromium on our servers, TLS 1.2', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;
  // One for all: each is a process of the browser, which keeps apart the sessions of sites on different ports.
  let context: BrowserContext;

  before(async () => {
    browser = await launchChromium('chromium12-home', ['--ssl-version-max=tls1.2']);
    context = await browser.newContext();
  });
  after(() => browser?.close());

  for (const [protocol, how] of [
    ['h2', 'ticket'],
    ['http/1.1', 'ticket'],
    ['h2', 'id'],
    ['http/1.1', 'id'],
  ] as const) {
    test(`loads a page with five images over ${protocol}, and resumes by ${how}`, async () => {
      // Newer ones may know the flag no more: then the server sets the bound.
      const site = await Site.start(protocol, { maxVersion: 'TLSv1.2', sessions: how === 'id' ? byId : {} });
      try {
        await visit(site, context, 'TLSv1.2');
        assert.equal(site.connections[0].alpnProtocol, protocol);
        assert.equal(site.connections[0].resumed, false);
        assert.equal(site.connections[0].extendedMasterSecret, true);
        for (let i = 0; i < 2; i++) {
          await visit(site, context, 'TLSv1.2');
          assert.equal(site.connections[0].resumed, true, 'the later visit resumes');
          assert.equal(site.connections[0].resumedBy, how);
        }
        site.server.sessions.flush();
        await visit(site, context, 'TLSv1.2');
        assert.equal(site.connections[0].resumed, false, 'what was flushed does not');
      } finally {
        site.stop();
      }
    });
  }
});
