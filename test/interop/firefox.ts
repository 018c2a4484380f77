/** A visit to the demonstration page with Firefox. */

import assert from 'node:assert/strict';
import type { RemoteFirefox } from './remote-firefox.ts';
import { imagePaths, type Site } from './site.ts';

/** Loads the page in a tab of its own, and asserts that all of it came. */
export async function visitWithFirefox(site: Site, firefox: RemoteFirefox): Promise<void> {
  const page = await firefox.newPage();
  try {
    await page.load(site.url);
    const widths = JSON.parse(
      await page.evaluate('JSON.stringify([...document.images].map((image) => image.naturalWidth))'),
    ) as number[];
    assert.equal(widths.length, imagePaths.length);
    assert.ok(
      widths.every((width) => width > 0),
      `all images were decoded: ${widths}`,
    );
    assert.ok((await page.picture()).length > 20_000, 'the picture shows more than an empty page');
  } finally {
    await page.close();
  }
  for (const path of ['/', '/style.css', ...imagePaths]) {
    assert.ok(site.requests.includes(path), `it asked for ${path}`);
  }
  assert.deepEqual(site.failures, []);
}
