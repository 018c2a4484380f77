import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import { sha256 } from '../../src/crypto/x509.ts';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { projectRoot } from '../support/project.ts';
import { requireTool, skipUnless } from '../support/tools.ts';
import { mayflyHosted, type Serving, serve, sharedServer, sleep, status, temporaryFolder } from './support.ts';

const demo = join(projectRoot, 'demo');
/** For tests that do not look at its counts. */
const server = sharedServer(['--root', demo]);
/** For those that do: each leaves it without open connections, and the first finds that nothing was counted before. */
const counting = sharedServer(['--root', demo, '--rotate', '1h', '--lifetime', '2h']);

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** A plain request with any Host, which fetch would not send. */
function ask(
  serving: Serving,
  path: string,
  { host, method = 'GET' }: { host?: string; method?: string } = {},
): Promise<Answer> {
  const url = new URL(path, serving.statusUrl);
  return new Promise((resolve, reject) => {
    request(url, { method, headers: host === undefined ? {} : { host } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    })
      .on('error', reject)
      .end();
  });
}

function visit(serving: Serving, ...flags: string[]) {
  return mayflyHosted(['connect', `localhost:${serving.port}`, '--ca', serving.ca, '--json', ...flags]);
}

/** Connections are counted a moment after their ends know of them. */
async function untilOpen(serving: Serving, count: number): Promise<void> {
  for (let tries = 0; tries < 500 && (await status(serving)).connections.open !== count; tries++) {
    await sleep(10);
  }
}

test('status.json and metrics tell the handshakes, the ring and the connections', async () => {
  const serving = await counting();
  await visit(serving);
  const told = await status(serving);
  assert.deepEqual(told.handshakes, {
    full: 1,
    resumed: 0,
    failed: 0,
    byVersion: { 'TLSv1.3': { full: 1, ticket: 0, id: 0 }, 'TLSv1.2': { full: 0, ticket: 0, id: 0 } },
  });
  assert.equal(told.ring.keys.length, 1);
  assert.equal(told.ring.keys[0].state, 'sealing');
  assert.match(told.ring.keys[0].name, /^[0-9a-f]{8}$/);
  assert.equal(told.secrets.live.ticketKey, 1);

  const { headers, body } = await ask(serving, '/metrics');
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(body, /^mayfly_handshakes_total\{version="TLSv1\.3",kind="full"\} 1$/m);
  assert.match(body, /^mayfly_handshakes_total\{version="TLSv1\.2",kind="resumed",by="id"\} 0$/m);
  assert.match(body, /^mayfly_ticket_keys\{state="sealing"\} 1$/m);
  assert.match(body, /^mayfly_ticket_key_tickets_sealed\{key="[0-9a-f]{8}"\} 2$/m);
  // Every line is a comment or a sample, and no metric is told twice.
  const names = [...body.matchAll(/^# TYPE (\S+) (counter|gauge)$/gm)].map(([, name]) => name);
  assert.equal(new Set(names).size, names.length);
  for (const line of body.trimEnd().split('\n')) {
    assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? \S+)$/);
  }
});

test('handshakes are told apart by version and by what named the session, and the cache of IDs by its size', async (t) => {
  const serving = await serve(t, ['--root', demo]);
  const folder = temporaryFolder(t);
  for (const form of ['ticket', 'id']) {
    for (let run = 0; run < 2; run++) {
      await visit(serving, '--tls', '1.2', '--resume', form, '--session', join(folder, form));
    }
  }
  await visit(serving);
  const { handshakes, sessionCache } = await status(serving);
  assert.deepEqual(handshakes, {
    full: 3,
    resumed: 2,
    failed: 0,
    byVersion: { 'TLSv1.3': { full: 1, ticket: 0, id: 0 }, 'TLSv1.2': { full: 2, ticket: 1, id: 1 } },
  });
  assert.equal(sessionCache?.entries, 1);
  assert.equal(sessionCache?.hits, 1);
  assert.ok(sessionCache.bytes > 48);
  const { body } = await ask(serving, '/metrics');
  for (const line of [
    'mayfly_handshakes_total{version="TLSv1.2",kind="full"} 2',
    'mayfly_handshakes_total{version="TLSv1.2",kind="resumed",by="ticket"} 1',
    'mayfly_handshakes_total{version="TLSv1.2",kind="resumed",by="id"} 1',
    'mayfly_session_cache_entries 1',
    'mayfly_session_cache_lookups_total{result="hit"} 1',
  ]) {
    assert.ok(body.includes(`${line}\n`), line);
  }
});

test('the table of connections tells versions, and that a resumed TLS 1.2 one had no key exchange', async (t) => {
  const serving = await counting();
  await untilOpen(serving, 0);
  const open = (options: object) => {
    const socket = connect({ host: 'localhost', port: serving.port, ca: readFileSync(serving.ca), ...options });
    t.after(() => socket.destroy());
    return new Promise<TLSSocket>((resolve, reject) => {
      socket.once('secureConnect', () => resolve(socket));
      socket.on('error', reject);
    });
  };
  const first = await open({ maxVersion: 'TLSv1.2' });
  await open({ maxVersion: 'TLSv1.2', session: first.getSession() });
  await open({ ecdhCurve: 'secp384r1' });
  await untilOpen(serving, 3);
  const list = (await status(serving)).connections.list.map(({ version, resumedBy, namedGroup }) => [
    version,
    resumedBy ?? 'full',
    namedGroup,
  ]);
  assert.deepEqual(list.toReversed(), [
    ['TLSv1.2', 'full', 'x25519'],
    ['TLSv1.2', 'ticket', ''],
    ['TLSv1.3', 'full', 'secp384r1'],
  ]);
});

test('no key bytes are shown', async () => {
  const serving = await server();
  await visit(serving);
  for (const path of ['/', '/status.json', '/metrics']) {
    const { body } = await ask(serving, path);
    // 32 bytes in hex, or in base64: as long as a key.
    assert.doesNotMatch(body, /[0-9a-fA-F]{33,}/, path);
    assert.doesNotMatch(body, /[A-Za-z0-9+/]{43}=/, path);
  }
});

test('only loopback names are answered, so that no foreign page can read it', async () => {
  const serving = await server();
  const { port } = new URL(serving.statusUrl);
  for (const host of ['127.0.0.1', `127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, 'localhost:9000']) {
    assert.equal((await ask(serving, '/status.json', { host })).status, 200, host);
  }
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    'localhost.evil.example',
    '10.0.0.1',
    '127.0.0.1.nip.io',
  ]) {
    const { status: code, body } = await ask(serving, '/status.json', { host });
    assert.ok(code === 421 || code === 400, `${host}: ${code}`);
    assert.doesNotMatch(body, /handshakes/);
  }
  const { headers } = await ask(serving, '/status.json');
  assert.equal(headers['access-control-allow-origin'], undefined);
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.equal(headers['cache-control'], 'no-store');
});

test('it only tells: other methods and paths are refused', async () => {
  const serving = await server();
  assert.equal((await ask(serving, '/', { method: 'POST' })).status, 405);
  assert.equal((await ask(serving, '/status.json', { method: 'DELETE' })).status, 405);
  assert.equal((await ask(serving, '/nothing')).status, 404);
});

test('the page is one file under a strict policy', async () => {
  const serving = await server();
  const { headers, body } = await ask(serving, '/');
  const policy = String(headers['content-security-policy']);
  const nonce = /script-src 'nonce-([0-9a-f-]{36})'/.exec(policy)?.[1];
  assert.ok(nonce !== undefined);
  assert.match(policy, /^default-src 'none';/);
  assert.equal(body.split(`nonce="${nonce}"`).length, 3);
  assert.doesNotMatch(body, /%NONCE%|%SNAPSHOT%|%SCRIPT%|%STYLE%/);
  assert.doesNotMatch(body, /(src|href)="(https?:)?\/\//);
  const again = await ask(serving, '/');
  assert.notEqual(again.headers['content-security-policy'], policy);
});

test('at most 16 pages are kept up to date at once', async () => {
  const serving = await server();
  const streams = await Promise.all(
    Array.from({ length: 16 }, () => fetch(`${serving.statusUrl}/events`, { signal: AbortSignal.timeout(20_000) })),
  );
  assert.ok(streams.every((response) => response.headers.get('content-type')?.startsWith('text/event-stream')));
  assert.equal((await fetch(`${serving.statusUrl}/events`)).status, 503);
  await Promise.all(streams.map((response) => response.body?.cancel()));
});

test('--no-status opens no page', async (t) => {
  const serving = await serve(t, ['--root', demo, '--no-status']);
  assert.equal(serving.statusUrl, '');
});

test('the page is live in a browser', { ...skipUnless('chromium'), timeout: 180_000 }, async (t) => {
  const serving = await serve(t, ['--root', demo, '--rotate', '2s', '--lifetime', '4s']);
  const browser = await chromium.launch({
    executablePath: requireTool('chromium'),
    args: chromiumFlags,
  });
  t.after(() => browser.close());
  const page = await browser.newPage();
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
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
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

test('a browser loads the demo page with its five images, and its next visit resumes', {
  ...skipUnless('chromium'),
  timeout: 180_000,
}, async (t) => {
  const serving = await serve(t, ['--root', demo]);
  // The browser trusts this one key; a session made in spite of a warning would not be resumed.
  const profile = temporaryFolder(t);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: requireTool('chromium'),
    args: [...chromiumFlags, `--ignore-certificate-errors-spki-list=${await publicKeyHash(serving)}`],
  });
  const complaints: string[] = [];
  const visitOnce = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(90_000);
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('requestfailed', (failed) => complaints.push(`${failed.url()} failed`));
    await page.goto(serving.url, { waitUntil: 'load' });
    const widths = (await page.evaluate('[...document.images].map((image) => image.naturalWidth)')) as number[];
    assert.equal(widths.length, 5);
    assert.ok(widths.every((width) => width > 0));
  };
  try {
    await visitOnce();
    const first = await status(serving);
    assert.ok(first.handshakes.full >= 1);
    // Its open connection would simply serve again.
    const internals = await context.newPage();
    await internals.goto('chrome://net-internals/#sockets');
    await internals.locator('#sockets-view-flush-button').click();
    await visitOnce();
    const second = await status(serving);
    assert.equal(second.handshakes.full, first.handshakes.full);
    assert.ok(second.handshakes.resumed > first.handshakes.resumed);
    assert.deepEqual(second.resumptionRefusals, {});
    assert.deepEqual(complaints, []);
  } finally {
    // While its profile is there still: later it might wait for ever.
    await context.close();
  }
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
