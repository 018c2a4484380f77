/** Firefox on the demonstration page. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skipUnless } from '../support/tools.ts';
import { visitWithFirefox } from './firefox.ts';
import { Site, wideCertificate } from './site.ts';
import { hangGuard } from './support.ts';

describe('Firefox on our servers', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  for (const protocol of ['h2', 'http/1.1'] as const) {
    test(`loads a page with five images over ${protocol}`, async () => {
      const site = await Site.start(protocol, wideCertificate());
      try {
        await visitWithFirefox(site, protocol.replace('/', '-'));
        assert.ok(site.connections.length > 0);
        const full = site.connections.find(({ resumed }) => !resumed);
        assert.equal(full?.certificateCompression, 'brotli');
        for (const { version, alpnProtocol, serverName } of site.connections) {
          assert.equal(version, 'TLSv1.3');
          assert.equal(alpnProtocol, protocol);
          assert.equal(serverName, 'localhost');
        }
      } finally {
        site.stop();
      }
    });
  }
});
