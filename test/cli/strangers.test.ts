/** What strangers say ends on terminals, in logs, in programs that read lines, and in browsers: it must stay text there. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { printable } from '../../src/certificates/distinguished-name.ts';
import { derToPem } from '../../src/certificates/pem.ts';
import { harmlessJson, harmlessLine, harmlessLines } from '../../src/cli/harmless.ts';
import { Problem } from '../../src/cli/problem.ts';
import { withHint } from '../../src/fleet/redis/trouble.ts';
import { connect, createServer } from '../../src/node/tls.ts';
import { DAY, makeLeaf, makeRoot } from '../certificates/builder.ts';
import { projectRoot } from '../support/project.ts';
import { portOf } from './forwarding-support.ts';
import { mayflyHosted, type Result, serve, sharedServer, temporaryFolder } from './support.ts';

/** Sets a title, links elsewhere, writes the clipboard, begins a sequence by one C1 byte, goes back, turns the order, hides. */
const EVIL =
  '\u001b]0;title\u0007\u001b]8;;http://evil.test\u0007\u001b]52;c;ZXZpbA==\u0007\u009b2J\u0085\rtrusted\u202egpj\u2066\u200b\u061c\ufeff' +
  '\u{e0041}\u2028\u2029\u3164\u0000\u007f';
/** As Python's splitlines takes them: more than JSON escapes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const LINE_END = /[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;
/** Of a terminal, and of whoever reads lines. Colours are ours. */
const HARMFUL = /[^\P{C}\n\t]|[\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

function assertHarmless(text: string, what?: string): void {
  const found = HARMFUL.exec(text);
  assert.equal(found, null, `${what ?? ''} ${inspect(text.slice(Math.max(0, (found?.index ?? 0) - 80)))}`);
}

describe('what is written out', () => {
  const strings = fc.string({ unit: fc.oneof(fc.constantFrom(...EVIL), fc.string({ unit: 'binary', maxLength: 1 })) });

  test('has no character left that is not to be seen, in a name as in a line', () => {
    fc.assert(
      fc.property(strings, (text) => {
        for (const clean of [printable(text), harmlessLine(text), harmlessLines(text)]) {
          // Nobody has seen to characters that do not exist (yet), or are private: these do nothing.
          assertHarmless(clean.replace(/[\p{Co}\p{Cn}]/gu, ''));
        }
        assert.doesNotMatch(harmlessLine(text), /\n/);
      }),
    );
    assert.equal(printable('a\u001b[2J\u061c\u{e0041}b'), 'a\\u001b[2J\\u061c\\udb40\\udc41b');
    assert.equal(harmlessLines('a\u001b[31mred\u001b[39m\tb\nc\u001b[2J'), 'a\u001b[31mred\u001b[39m\tb\nc\\u001b[2J');
  });

  test('is bounded, whatever an error says, also where it is one that takes long to look at', () => {
    const began = performance.now();
    const line = harmlessLine(`${' '.repeat(1_000_000)}x${'\u001b'.repeat(1_000_000)}`);
    assert.ok(line.length <= 2_001);
    assert.ok(new Problem('failure', 'x'.repeat(1_000_000)).line.length <= 2_001);
    assert.ok(performance.now() - began < 1_000);
  });

  test('as JSON says the same in characters that are to be seen, in one line', () => {
    fc.assert(
      fc.property(fc.dictionary(strings, fc.oneof(strings, fc.array(strings))), (value) => {
        for (const [text, lines] of [
          [harmlessJson(value), 1],
          [harmlessJson({ value }, 2), undefined],
        ] as const) {
          assertHarmless(text.replace(/[\p{Co}\p{Cn}]/gu, ''));
          assert.ok(!/\p{Cs}/u.test(text));
          assert.ok(lines === undefined || text.split(LINE_END).length === lines);
        }
        assert.deepEqual(JSON.parse(harmlessJson(value)), JSON.parse(JSON.stringify(value)));
      }),
    );
    assert.equal(harmlessJson({ a: '\u009b\u{e0041}\ud800' }), '{"a":"\\u009b\\udb40\\udc41\\ud800"}');
  });
});

/** Text for people and JSON for programs, on both outputs; and that the evil came as far as there. */
function assertTold({ stdout, stderr }: Result, trace: RegExp): void {
  assertHarmless(stdout, 'stdout');
  assertHarmless(stderr, 'stderr');
  assert.match(stdout + stderr, trace);
  const isJson = stdout.startsWith('{');
  assert.ok(isJson || (stdout + stderr).split('\n').every((line) => line.length < 3_000));
}

test('a store that answers in escape sequences is quoted without them', async (t) => {
  const store = createTcpServer((socket) => {
    // What a simple error may hold: all but CR and LF.
    const error = EVIL.replaceAll('\r', '');
    socket.on('data', () => socket.write(`-NOPERM ${error}${'x'.repeat(100_000)}\r\n`)).on('error', () => {});
  });
  const port = await portOf(t, store);
  const identity = join(temporaryFolder(t), 'host1.identity');
  const made = await mayflyHosted(['ring', 'init', '--fleet-name', 'f', '--identity', identity]);
  assert.equal(made.code, 0, made.stderr);
  const ask = ['ring', 'status', '--fleet', `redis://127.0.0.1:${port}`, '--identity', identity, '--timeout', '2s'];
  const text = await mayflyHosted(ask);
  assert.notEqual(text.code, 0);
  assertTold(text, /NOPERM \\u001b\]0;title\\u0007/);
  assertTold(await mayflyHosted(ask, { MAYFLY_DEBUG: '1' }), /NOPERM [\s\S]+ at /);
  const json = await mayflyHosted([...ask, '--json']);
  assertTold(json, /NOPERM/);
  assert.equal(json.stdout.split('\n').length, 2);
  assert.match(JSON.parse(json.stdout).message, /NOPERM .{1000,2000}…$/);
});

test('a store cannot keep a member busy with the length of its answers', () => {
  const began = performance.now();
  for (const words of ['MOVED ', 'READONLY ', 'ERR unknown command ', 'cluster support disabled']) {
    withHint(new Error(`${words}${'.'.repeat(1_000_000)}x`));
  }
  assert.ok(performance.now() - began < 1_000);
});

test('connect tells a server’s certificate, name and answer without what they would do to a terminal', async (t) => {
  const now = Date.now();
  const validity = { notBefore: now - DAY, notAfter: now + DAY };
  const root = makeRoot({ subject: `root ${EVIL}`, ...validity });
  const leaf = makeLeaf(root, {
    subject: `a, CN=bank.test+CN=b\\, leaf ${EVIL}`,
    names: ['localhost', 'a.test, bank.test'],
    ...validity,
  });
  const server = createServer({ cert: derToPem(leaf.der), key: leaf.key.privateKeyPem, ALPNProtocols: ['http/1.1'] });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(`HTTP/1.1 200 ${EVIL.replaceAll('\n', '')}\r\n\r\n`));
  });
  const port = await portOf(t, server as never);
  const folder = temporaryFolder(t);
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, derToPem(root.der));
  const at = ['connect', `localhost:${port}`, '--early-get', '/', '--alpn', 'http/1.1', '--session', join(folder, 's')];
  const text = await mayflyHosted([...at, '--ca', ca]);
  assert.equal(text.code, 0, text.stderr);
  assertTold(
    text,
    /CN=a\\,\s+CN=bank\.test\\\+CN=b\\\\\\,\s+leaf\s+\\u001b\]0;title\\u0007[\s\S]*response: HTTP\/1\.1 200\s+\\u001b\]0;title/,
  );
  // What is no name does not look like two of them.
  assert.match(text.stdout, /for localhost, "a\.test, bank\.test"\n/);
  const json = await mayflyHosted([...at, '--ca', ca, '--json']);
  assertTold(json, /http:\/\/evil\.test/);
  const lines = json.stdout.trimEnd().split('\n');
  const report = JSON.parse(lines.at(-1) ?? '');
  assert.ok(report.earlyRequest.response.startsWith(`HTTP/1.1 200 ${EVIL.slice(0, 10)}`));
  // Refused, it is quoted as well.
  assertTold(await mayflyHosted(['connect', `localhost:${port}`]), /leaf \\u001b|root \\u001b/);
  assertTold(await mayflyHosted([...at, '--insecure']), /not trusted/);
});

// No such names on Windows, and no named pipes.
describe('a server of files', { skip: process.platform === 'win32' }, () => {
  const folder = temporaryFolder({ after });
  for (const name of ['docs', 'my dir', '<img src=x onerror=alert(1)>', 'a%2fb']) {
    mkdirSync(join(folder, name));
  }
  writeFileSync(join(folder, 'page'), '<script>alert(1)</script>');
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const serving = sharedServer(['--root', folder]);

  interface Answer {
    readonly head: string;
    readonly body: string;
    readonly location: string | undefined;
  }

  /** Byte by byte as it is written here. */
  async function get(target: string, host = 'localhost'): Promise<Answer> {
    const { port } = await serving();
    const socket = connect({ host: 'localhost', port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    let text = '';
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
    });
    socket.write(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, 'latin1'));
    await new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject));
    const [head, body = ''] = text.split('\r\n\r\n');
    return { head, body, location: /^location: (.*)$/im.exec(head)?.[1] };
  }

  test('sends to a folder on this host, however the path begins', async () => {
    const { url } = await serving();
    for (const [target, folder] of [
      ['/docs', '/docs/'],
      ['/my%20dir', '/my%20dir/'],
      ['/%3Cimg%20src=x%20onerror=alert(1)%3E', '/%3Cimg%20src=x%20onerror=alert(1)%3E/'],
      ['/a%252fb', '/a%252fb/'],
      ['//evil.test/..%2fdocs', '/evil.test/..%2fdocs/'],
      ['/\\evil.test/..%2fdocs', '/evil.test/..%2fdocs/'],
      ['/\\/\\evil.test/..%2fdocs', undefined],
      ['/%5cevil.test/..%2fdocs', '/%5cevil.test/..%2fdocs/'],
      ['/%0d%0aSet-Cookie:a=b/..%2fdocs', '/%0d%0aSet-Cookie:a=b/..%2fdocs/'],
      ['/%09/evil.test/..%2f..%2fdocs', '/%09/evil.test/..%2f..%2fdocs/'],
      ['https://evil.test/docs', '/docs/'],
      ['https://evil.test?/docs', undefined],
      ['/"><script>/..%2fdocs', '/%22%3E%3Cscript%3E/..%2fdocs/'],
    ] as const) {
      const { head, body, location } = await get(target);
      if (folder !== undefined) {
        assert.equal(location, folder, `${target}: ${head}`);
      }
      if (location !== undefined) {
        assert.match(head, /^HTTP\/1\.1 301 /);
        assert.equal(new URL(location, `${url}${'/x'}`).host, new URL(url).host, location);
      }
      assert.doesNotMatch(head, /^set-cookie/im, target);
      assert.doesNotMatch(body, /evil|script|img/, target);
    }
  });

  test('says nothing of what it was asked for, nor of where its files lie, and in plain text that stays that', async () => {
    for (const [target, status] of [
      ['/<script>alert(1)</script>', 404],
      ['/%3Cscript%3E', 404],
      ['/%zz<b>', 400],
      ['/\u0000', 400],
      ['/%00<b>', 400],
      ['/../<b>', 403],
      ['/pipe', 500],
      ['/page/<b>', 404],
      [`/${'<b>'.repeat(2_000)}`, 404],
      ['/docs/', 404],
      ['http://a@b/<b>', 400],
    ] as const) {
      const { head, body } = await get(target);
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `), `${target}: ${head}`);
      assert.match(head, /^content-type: text\/plain; charset=utf-8$/im, target);
      assert.doesNotMatch(body, /[<>/]|mayfly-test/, target);
      // What Node's parser refuses has no body that a path could be in.
      assert.equal(
        head.match(/^x-content-type-options: nosniff$/gim)?.length ?? 0,
        status === 400 && target === '/\u0000' ? 0 : 1,
        target,
      );
    }
    const page = await get('/page');
    assert.match(page.head, /^x-content-type-options: nosniff$/im);
    assert.doesNotMatch(page.head, /^content-type: text\/html/im);
    const { head, body } = await get('/docs', 'evil.test"><b>');
    assert.match(head, /^HTTP\/1\.1 400 /);
    assert.doesNotMatch(body, /evil/);
  });
});

test('what clients call themselves or ask for is text on the status page, in its JSON, events and metrics', async (t) => {
  const serving = await serve(t, ['--root', join(projectRoot, 'demo')]);
  const evil = EVIL.replace(/[^\x80-\xff]/g, '');
  const client = connectHttp2(serving.url, { ca: readFileSync(serving.ca) });
  t.after(() => client.destroy());
  const stream = client.request({ ':path': `/${evil}"\\<b>`, 'user-agent': `${evil}"\\<b>\u009b2J/1` });
  await new Promise((resolve) =>
    stream
      .once('close', resolve)
      .on('error', () => {})
      .resume()
      .end(),
  );
  const pages = ['/', '/status.json', '/metrics', '/ledger.json'];
  const texts = await Promise.all(pages.map(async (page) => (await fetch(`${serving.statusUrl}${page}`)).text()));
  assert.match(texts[1], /"path": "\/.*<b>"/);
  assert.equal(JSON.parse(texts[1]).visitors[0].agent.includes('\u009b'), false);
  for (const [i, text] of texts.entries()) {
    assertHarmless(text, pages[i]);
  }
  const events = await fetch(`${serving.statusUrl}/events`);
  const reader = (events.body as ReadableStream<Uint8Array>).getReader();
  const { value } = await reader.read();
  await reader.cancel();
  const text = new TextDecoder().decode(value);
  assertHarmless(text, 'events');
  assert.match(text, /^retry: 2000\ndata: \{[^\n\r]*\}\n\n$/);
});
