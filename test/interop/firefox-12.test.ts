/** Firefox limited to TLS 1.2 on the demonstration page. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skipUnless } from '../support/tools.ts';
import { visitWithFirefox } from './firefox.ts';
import { Site } from './site.ts';
import { hangGuard } from './support.ts';

const only12 = 'user_pref("security.tls.version.max", 3);\n';

describe('Firefox on our servers, TLS 1.2', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  test('loads a page with five images over h2', async () => {
    const site = await Site.start('h2');
    try {
      await visitWithFirefox(site, 'h2-12', only12);
      assert.ok(site.connections.length > 0);
      for (const { version, alpnProtocol, extendedMasterSecret } of site.connections) {
        assert.deepEqual([version, alpnProtocol, extendedMasterSecret], ['TLSv1.2', 'h2', true]);
      }
    } finally {
      site.stop();
    }
  });

  test('loads it over HTTP/1.1 with a connection for each request, the later ones resumed by ticket', async () => {
    const site = await Site.start('http/1.1', { closes: true });
    try {
      await visitWithFirefox(site, 'h1-12', only12);
      assert.equal(site.connections[0].resumed, false);
      const resumed = site.connections.filter((connection) => connection.resumed);
      assert.ok(resumed.length > 0, 'some connections resumed');
      for (const { version, resumedBy } of resumed) {
        assert.deepEqual([version, resumedBy], ['TLSv1.2', 'ticket']);
      }
    } finally {
      site.stop();
    }
  });

  test('loads it from a server without tickets, though it resumes by no ID', async () => {
    const site = await Site.start('http/1.1', { sessions: { tickets: false, sessionIds: true }, closes: true });
    try {
      await visitWithFirefox(site, 'h1-12-id', only12);
      assert.ok(site.connections.every(({ version }) => version === 'TLSv1.2'));
    } finally {
      site.stop();
    }
  });
});
