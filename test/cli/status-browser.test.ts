/** The status page and the demonstration page of `mayfly serve`, as Chromium shows them: one browser for both. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type BrowserContext, chromium } from 'playwright-core';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { sha256 } from '../../src/crypto/x509.ts';
import { connect } from '../../src/node/tls.ts';
import { projectRoot } from '../support/project.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { mayflyHosted, type Owner, type Serving, serve, status, temporaryFolder } from './support.ts';

const demo = join(projectRoot, 'demo');

describe('the pages in a browser', { ...skipUnless('chromium'), timeout: 180_000 }, () => {
  // What it lies in is removed when it has gone: in the reverse order.
  const cleanUps: (() => unknown)[] = [];
  const owner: Owner = { after: (cleanUp) => cleanUps.unshift(cleanUp) };
  let demoServing: Serving;
  let context: BrowserContext;
  before(async () => {
    demoServing = await serve(owner, ['--root', demo]);
    // The browser trusts this one key; a session made in spite of a warning would not be resumed.
    context = await chromium.launchPersistentContext(temporaryFolder(owner), {
      executablePath: requireTool('chromium'),
      args: [...chromiumFlags, `--ignore-certificate-errors-spki-list=${await publicKeyHash(demoServing)}`],
    });
    owner.after(() => context.close());
  });
  after(async () => {
    for (const cleanUp of cleanUps) {
      await cleanUp();
    }
  });

  test('the page is live in a browser', async (t) => {
    const serving = await serve(t, ['--root', demo, '--rotate', '2s', '--lifetime', '4s']);
    const page = await context.newPage();
    t.after(() => page.close());
    page.setDefaultTimeout(90_000);
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') {
        complaints.push(message.text());
      }
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(serving.statusUrl);
    await page.locator('#live.on').waitFor();
    assert.equal(await page.locator('#full').textContent(), '0');
    await visit(serving);
    await page.locator('#full', { hasText: /^1$/ }).waitFor();
    await visit(serving, '--tls', '1.2', '--resume', 'id', '--session', join(temporaryFolder(t), 'session'));
    await page.locator('#versions li[data-version="TLSv1.2"]', { hasText: '1 full · 0 by ticket · 0 by ID' }).waitFor();
    await page.locator('#cache div', { hasText: /^kept1$/ }).waitFor();
    const firstKey = await page.locator('.key .name').first().textContent();
    // The ring turns: a second key appears under the first.
    await page.locator('.key').nth(1).waitFor();
    assert.match(String(firstKey), /^[0-9a-f]{8}/);
    await page.locator('.key .story', { hasText: 'only opens' }).first().waitFor();
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      );
      assert.equal(overflow, 0, `at a width of ${width}`);
    }
    await serving.stop();
    await page.locator('#live.off').waitFor();
    // The lost connection is the only thing that the browser may complain of.
    assert.deepEqual(
      complaints.filter((text) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET/.test(text)),
      [],
    );
  });

  test('a browser loads the demo page with its five images, and its next visit resumes', async () => {
    const complaints: string[] = [];
    const visitOnce = async () => {
      const page = await context.newPage();
      page.setDefaultTimeout(90_000);
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('requestfailed', (failed) => complaints.push(`${failed.url()} failed`));
      await page.goto(demoServing.url, { waitUntil: 'load' });
      const widths = (await page.evaluate('[...document.images].map((image) => image.naturalWidth)')) as number[];
      assert.equal(widths.length, 5);
      assert.ok(widths.every((width) => width > 0));
    };
    await visitOnce();
    const first = await status(demoServing);
    assert.ok(first.handshakes.full >= 1);
    // Its open connection would simply serve again.
    const internals = await context.newPage();
    await internals.goto('chrome://net-internals/#sockets');
    await internals.locator('#sockets-view-flush-button').click();
    await visitOnce();
    const second = await status(demoServing);
    assert.equal(second.handshakes.full, first.handshakes.full);
    assert.ok(second.handshakes.resumed > first.handshakes.resumed);
    assert.deepEqual(second.resumptionRefusals, {});
    assert.deepEqual(complaints, []);
  });
});

/** Base64 of SHA-256 of the server's SubjectPublicKeyInfo. */
async function publicKeyHash(serving: Serving): Promise<string> {
  const socket = connect({ host: 'localhost', port: serving.port, ca: readFileSync(serving.ca) });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.on('error', reject);
  });
  const [leaf] = socket.mayfly?.peerCertificates ?? [];
  socket.destroy();
  return Buffer.from(sha256(parseCertificate(leaf).publicKey.der)).toString('base64');
}

const chromiumFlags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'];

function visit(serving: Serving, ...flags: string[]) {
  return mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca, '--json', ...flags]);
}
