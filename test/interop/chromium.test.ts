/** Chromium on the demonstration page: what a browser makes of our handshakes, tickets and turning ring. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { skipUnless } from '../support/tools.ts';
import { launchChromium, visit } from './chromium.ts';
import { Site, wideCertificate } from './site.ts';
import { hangGuard } from './support.ts';

describe('Chromium on our servers', { ...hangGuard, ...skipUnless('chromium', 'certutil') }, () => {
  let browser: Browser;

  before(async () => {
    browser = await launchChromium('chromium-home');
  });
  after(() => browser?.close());

  for (const protocol of ['h2', 'http/1.1'] as const) {
    test(`loads a page with five images over ${protocol}, and resumes while the ring turns`, async () => {
      const site = await Site.start(protocol, wideCertificate());
      const context = await browser.newContext();
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
        await context.close();
        site.stop();
      }
    });
  }
});
