/** Headless Firefox that trusts the tests' authority: it loads a page and takes a picture of it. */

import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ToolProcess } from '../support/process.ts';
import { imagePaths, type Site, trustingDatabase } from './site.ts';
import { folder, subfolder } from './support.ts';

/** Loads the page in a browser of its own, and asserts that all of it came. */
export async function visitWithFirefox(site: Site, name: string, more = ''): Promise<void> {
  const profile = subfolder(`firefox-${name}`);
  await trustingDatabase(profile);
  writeFileSync(join(profile, 'user.js'), `${preferences}${more}`);
  const picture = join(folder, `firefox-${name}.png`);
  const flags = ['--headless', '--no-remote', '--profile', profile, '--window-size', '800,1200'];
  const firefox = new ToolProcess('firefox', [...flags, '--screenshot', picture, site.url], {
    env: { HOME: subfolder('firefox-home'), MOZ_CRASHREPORTER_DISABLE: '1' },
  });
  try {
    assert.equal(await firefox.exited(), 0, firefox.text);
  } finally {
    await firefox.stop();
  }
  assert.ok(statSync(picture).size > 20_000, 'the picture shows more than an empty page');
  for (const path of ['/', '/style.css', ...imagePaths]) {
    assert.ok(site.requests.includes(path), `it asked for ${path}`);
  }
  assert.deepEqual(site.failures, []);
}

/** No network of its own, and nothing that would write over the screen. */
export const preferences: string = `
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
