import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { projectRoot } from '../support/project.ts';
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
  assert.match(body, /^mayfly_certificate_not_after_seconds \d{10}$/m);
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

test('what a peer calls itself, or asks for, cannot end the data that the page begins with', async (t) => {
  const serving = await serve(t, ['--root', demo]);
  const evil = '</script><meta/http-equiv=refresh/content=0;url=//evil.test><!--<script>';
  const socket = connect({ host: 'localhost', port: serving.port, ca: readFileSync(serving.ca) });
  socket.write(`GET /${evil} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ${evil}\r\nConnection: close\r\n\r\n`);
  await new Promise((resolve) => socket.once('close', resolve).resume());
  const told = await (await fetch(`${serving.statusUrl}/status.json`)).text();
  assert.ok(told.includes('http-equiv'), 'nothing of it is told');
  const { body } = await ask(serving, '/');
  const [, data] = body.split('<script type="application/json" id="snapshot">');
  assert.doesNotMatch(data.slice(0, data.indexOf('</script>')), /</);
  assert.ok(data.slice(0, data.indexOf('</script>')).includes('http-equiv'));
  assert.equal(body.split('</script>').length, 3);
  JSON.parse(data.slice(0, data.indexOf('</script>')));
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
