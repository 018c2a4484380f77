/** Firefox on the demonstration page. */

import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';
import { imagePaths, Site, trustingDatabase } from './site.ts';
import { folder, hangGuard, subfolder } from './support.ts';

/** No network of its own, and nothing that would write over the screen. */
const preferences = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.auto", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage", "about:blank");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("toolkit.telemetry.enabled", false);
`;

describe('Firefox on our servers', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  for (const protocol of ['h2', 'http/1.1'] as const) {
    test(`loads a page with five images over ${protocol}`, async () => {
      const site = await Site.start(protocol);
      const profile = subfolder(`firefox-${protocol.replace('/', '-')}`);
      await trustingDatabase(profile);
      writeFileSync(join(profile, 'user.js'), preferences);
      const picture = join(folder, `firefox-${protocol.replace('/', '-')}.png`);
      const flags = ['--headless', '--no-remote', '--profile', profile, '--window-size', '800,1200'];
      const firefox = new ToolProcess('firefox', [...flags, '--screenshot', picture, site.url], {
        env: { HOME: subfolder('firefox-home'), MOZ_CRASHREPORTER_DISABLE: '1' },
      });
      try {
        assert.equal(await firefox.exited(), 0, firefox.text);
        assert.ok(statSync(picture).size > 20_000, 'the picture shows more than an empty page');
        for (const path of ['/', '/style.css', ...imagePaths]) {
          assert.ok(site.requests.includes(path), `it asked for ${path}`);
        }
        assert.ok(site.connections.length > 0);
        for (const { version, alpnProtocol, serverName } of site.connections) {
          assert.equal(version, 'TLSv1.3');
          assert.equal(alpnProtocol, protocol);
          assert.equal(serverName, 'localhost');
        }
        assert.deepEqual(site.failures, []);
      } finally {
        await firefox.stop();
        site.stop();
      }
    });
  }
});
