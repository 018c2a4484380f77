/** Requests and answers made to be understood in two ways, and upstream servers that do what they may, or may not. */

import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { after, beforeEach, describe, test } from 'node:test';
import { isRefusal, targetOf } from '../../src/cli/serve/request-target.ts';
import { askInHttp2, askInText, front, say, textServer } from './forwarding-support.ts';

const upstream = await textServer({ after });
const http1 = await front({ after }, upstream.port, 1, 2000);
/** Waits 300 ms for 100, not a second. */
const impatient = await front({ after }, upstream.port, 1, 600);
const http2 = await front({ after }, upstream.port, 2, 2000);

beforeEach(() => {
  upstream.behave = say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  upstream.seen = '';
  http1.failures.length = 0;
});

const ask = (...texts: string[]) => askInText(http1.port, ...texts);
const ask2 = (headers: Record<string, string>, body?: string) => askInHttp2(http2.port, headers, body);

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('requests', () => {
  const post = (framing: string, body: string) => `POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${body}`;
  const get = (target: string, host = 'Host: a') => `GET ${target} HTTP/1.1\r\n${host}\r\n\r\n`;
  for (const [what, status, text] of [
    ['two lengths', 400, post('Content-Length: 4\r\nContent-Length: 5', 'body1')],
    ['a length and chunks', 400, post('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
    ['a folded coding', 400, post('Transfer-Encoding:\r\n chunked', '0\r\n\r\n')],
    ['a coding that is not known', 501, post('Transfer-Encoding: xchunked', '0\r\n\r\n')],
    ['a coding before chunks', 501, post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n')],
    ['chunks that are not last', 400, post('Transfer-Encoding: chunked, identity', '0\r\n\r\n')],
    ['a chunk whose line ends in LF', 400, post('Transfer-Encoding: chunked', '2;\nxx\r\nab\r\n0\r\n\r\n')],
    ['lines that end in LF', 400, 'GET / HTTP/1.1\nHost: a\n\n'],
    ['CR in a value', 400, get('/', 'Host: a\r\nX: y\rZ: w')],
    ['two hosts', 400, get('/', 'Host: a\r\nhost: b')],
    ['a host with a path', 400, get('/', 'Host: a/b')],
    ['a host with a user', 400, get('http://b@a/')],
    ['a fragment', 400, get('/x#y')],
    ['a path that is none', 400, get('*')],
    ['a version that is not of this connection', 505, get('/').replace('HTTP/1.1', 'HTTP/2.0')],
    ['no version', 505, 'GET /\r\n\r\n'],
  ] as const) {
    test(`with ${what} do not pass`, async () => {
      const answer = await ask(text);
      assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer);
      assert.match(answer, /\r\nconnection: close\r\n/i);
      assert.equal(upstream.seen, '');
    });
  }

  test('in absolute form go by what they say, not by Host', async () => {
    await ask('GET https://b.test:8443?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    assert.match(upstream.seen, /^GET \/\?q HTTP\/1\.1\r\nhost: b\.test:8443\r\n/);
    assert.doesNotMatch(upstream.seen, /: a\r\n/);
  });

  test('about the server as a whole are answered by it', async () => {
    assert.match(await ask('OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 204 /);
    assert.equal(upstream.seen, '');
  });

  test('in chunks are framed anew', async () => {
    // By its length, when all of it is here at once.
    const framed =
      /\r\n(content-length: 3\r\n\r\nabc|transfer-encoding: chunked\r\n\r\n(2\r\nab\r\n1\r\nc|3\r\nabc)\r\n0\r\n\r\n)$/;
    upstream.behave = (socket) => framed.test(upstream.seen) && socket.write(OK);
    const body = ['2;a="b"\r\nab\r\n', '1\r\nc\r\n0\r\nX-Trailer: 1\r\n\r\n'];
    const answer = await ask(post('Connection: close\r\nTransfer-Encoding: chunked', body[0]), body[1]);
    assert.match(answer, /^HTTP\/1\.1 200 /, upstream.seen);
  });

  test('of HTTP/2 go to :authority, whatever Host says', async () => {
    assert.equal((await ask2({ ':authority': 'good.test', host: 'evil.test' })).status, 200);
    assert.match(upstream.seen, /\r\nhost: good\.test\r\n/);
    assert.doesNotMatch(upstream.seen, /evil/);
  });

  test('do not leave the folder of the upstream URL', () => {
    const refuses = (url: string, base = '/base') =>
      isRefusal(
        targetOf(
          { url, httpVersionMajor: 1, headers: { host: 'a' }, rawHeaders: [] } as unknown as IncomingMessage,
          base,
        ),
      );
    for (const url of ['/..', '/../x', '/a/%2e%2E/x', '/a/.%2e', '/..%2fx', '/..\\x', '/%2e%2e%5cx', '/a/..;v=1/x']) {
      assert.ok(refuses(url), url);
      assert.ok(!refuses(url, '/'), url);
    }
    for (const url of ['/a..b', '/...', '/.well-known/x', '/a?b=/../c']) {
      assert.ok(!refuses(url), url);
    }
  });
});

describe('an upstream server', () => {
  const interim = ['HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 102 Processing\r\n\r\n'];
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload, </b>; rel=preload\r\n\r\n';

  test('may send 100 unasked; other interim responses are passed on', async () => {
    const upload = 'HTTP/1.1 104 Upload\r\nLocation: /u\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n';
    const all = [...interim, hints, ...interim, upload].join('') + OK;
    // At once, and cut within names, line ends and at an end.
    for (const texts of [[all], all.split(/(?<=Con|\r|Hin|X: )/)]) {
      upstream.behave = say(...texts);
      const answer = await ask(GET);
      assert.match(
        answer,
        /^HTTP\/1\.1 102 \S+\r\n\r\nHTTP\/1\.1 103 .*\r\nlink: <\/a>; rel=preload, <\/b>; rel=preload\r\n\r\nHTTP\/1\.1 102 \S+\r\n\r\nHTTP\/1\.1 104 .*\r\nlocation: \/u\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/,
      );
      const second = await ask2({});
      assert.deepEqual(
        second.interim.map((given) => [given[':status'], given.link ?? given.location]),
        [
          [102, undefined],
          [103, '</a>; rel=preload, </b>; rel=preload'],
          [102, undefined],
          [104, '/u'],
        ],
      );
      assert.equal(second.body, 'ok');
    }
    assert.deepEqual(http1.failures, []);
    assert.doesNotMatch(await ask(GET.replace('HTTP/1.1', 'HTTP/1.0')), / 10[234] /);
  });

  test('sends 100 in a body, and it is body', async () => {
    upstream.behave = say('HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n', interim[0]);
    assert.ok((await ask(GET)).endsWith(`\r\n\r\n${interim[0]}`));
  });

  test('that changes the protocol unasked, or sends a status that is none, is answered for with 502', async () => {
    for (const text of ['HTTP/1.1 101 Odd\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'HTTP/1.1 099 Odd\r\n\r\n']) {
      upstream.behave = say(text);
      assert.match(await ask(GET), /^HTTP\/1\.1 502 /);
    }
  });

  test('that sends interim responses without end is answered for with 502', async () => {
    const hint = 'HTTP/1.1 103 Hint\r\n\r\n';
    upstream.behave = (socket) => socket.write(interim[0].repeat(9) + hint.repeat(101) + OK);
    for (const said of [[GET], [expecting, 'body']]) {
      assert.match(await ask(...said), /103 Early Hints\r\n\r\nHTTP\/1\.1 502 /);
    }
  });

  const expecting =
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';

  test('decides by 100 whether a client that waits for it sends its body', async () => {
    upstream.behave = (socket, said) => socket.write(said === 'body' ? OK : interim[0]);
    assert.match(
      await ask(expecting, 'body'),
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/,
    );
    assert.match(upstream.seen, /\r\nexpect: 100-continue\r\n[\s\S]*\r\n\r\nbody$/);
    // Framed by what it is, not by what else is said.
    upstream.behave = (socket, said) => socket.write(said.endsWith('0\r\n\r\n') ? OK : interim[0]);
    const odd = expecting
      .replace('POST', 'GET')
      .replace('Content-Length: 4', 'X: content-length\r\nTransfer-Encoding: chunked');
    assert.match(await ask(odd, '4\r\nbody\r\n0\r\n\r\n'), /HTTP\/1\.1 200 OK/);
    assert.match(upstream.seen, /transfer-encoding: chunked\r\n[\s\S]*\r\n\r\n4\r\nbody\r\n0\r\n\r\n$/);
    upstream.behave = (socket, said) => socket.write(said === 'body' ? OK : interim[0]);
    const second = await ask2({ ':method': 'POST', expect: '100-continue', 'content-length': '4' }, 'body');
    assert.deepEqual(
      second.interim.map((given) => given[':status']),
      [100],
    );
    assert.equal(second.status, 200);
  });

  test('that refuses the body has its answer passed on without 100, on a connection that then ends', async () => {
    upstream.behave = say('HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno');
    const answer = await ask(expecting.replace('Connection: close\r\n', ''));
    assert.match(answer, /^HTTP\/1\.1 413 Too Much\r\n[\s\S]*connection: close\r\n[\s\S]*\r\n\r\nno$/);
    const second = await ask2({ ':method': 'POST', expect: '100-continue' }, 'body');
    assert.deepEqual([second.interim.length, second.status, second.body], [0, 413, 'no']);
    assert.doesNotMatch(upstream.seen, /body/);
  });

  test('that changes its mind has its answer passed on, and what is left of the body is taken', async () => {
    upstream.behave = (socket, said) =>
      said.startsWith('POST') ? socket.end(`${interim[0]}${OK.replace('200', '413')}`) : socket.write(OK);
    const head = expecting.replace('Connection: close\r\n', '').replace('4', '3000000');
    assert.match(
      await ask(head, 'x'.repeat(3_000_000), GET),
      /^HTTP\/1\.1 100 [\s\S]*HTTP\/1\.1 413 [\s\S]*HTTP\/1\.1 200 /,
    );
  });

  test('that does not know 100 gets the body after a while, and one that hangs up is answered for', async () => {
    upstream.behave = (socket, said) => said === 'body' && socket.write(OK);
    assert.match(
      await askInText(impatient.port, expecting, 'body'),
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/,
    );
    upstream.behave = (socket) => socket.destroy();
    assert.match(await ask(expecting), /^HTTP\/1\.1 502 /);
  });

  test('keeps its connection through HEAD, 204 and 304, whatever length these tell', async () => {
    const of: Record<string, string> = {
      HEAD: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
      GET: 'HTTP/1.1 204 No Content\r\n\r\n',
      OPTIONS: 'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n',
    };
    upstream.behave = (socket, said) => socket.write(of[said.split(' ')[0]]);
    await ask(GET);
    upstream.connections = 0;
    for (const method of ['HEAD', 'GET', 'HEAD', 'OPTIONS', 'HEAD']) {
      assert.match(await ask(GET.replace('GET', method)), /^HTTP\/1\.1 (200|204|304) /);
    }
    assert.equal(upstream.connections, 0);
  });

  test('may tell a length where there is no body: the answer is whole', async () => {
    upstream.behave = say('HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n');
    const kept = await ask(GET.replace('Connection: close\r\n', ''), GET);
    assert.match(kept, /^(HTTP\/1\.1 304 Not Modified\r\ncontent-length: 9\r\n[^<]*?\r\n\r\n){2}$/);
    assert.deepEqual({ ...(await ask2({})), interim: 0 }, { interim: 0, status: 304, body: '', isWhole: true });
    upstream.behave = say('HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok');
    const answer = await ask(GET);
    assert.match(answer, /^HTTP\/1\.1 204 [\s\S]*\r\n\r\n$/);
    assert.doesNotMatch(answer, /content-length/i);
  });

  test('that sends a body after HEAD, or more than it said, spoils no other answer', async () => {
    const evil = 'HTTP/1.1 200 EVIL\r\nContent-Length: 0\r\n\r\n';
    upstream.behave = say('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', evil);
    for (const method of ['HEAD', 'GET', 'GET']) {
      assert.doesNotMatch(await ask(GET.replace('GET', method)), /EVIL/);
    }
  });

  test('that closes a connection as a request goes out gets it again, once, if it may be done twice', async (t) => {
    const fresh = await front(t, upstream.port, 1, 2000);
    const get = () => askInText(fresh.port, GET);
    let requests = 0;
    const lives = (count: number) => {
      const answered = new WeakMap<Socket, number>();
      upstream.behave = (socket) => {
        requests++;
        const before = answered.get(socket) ?? 0;
        answered.set(socket, before + 1);
        return before < count ? socket.write(OK) : socket.resetAndDestroy();
      };
    };
    lives(1);
    await get();
    assert.match(await get(), /^HTTP\/1\.1 200 /);
    assert.match(
      await askInText(fresh.port, 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx'),
      /^HTTP\/1\.1 502 /,
    );
    await get();
    lives(0);
    requests = 0;
    assert.match(await get(), /^HTTP\/1\.1 502 /);
    assert.equal(requests, 2);
    assert.match(await get(), /^HTTP\/1\.1 502 /);
    assert.equal(requests, 3);
  });

  test('that breaks off an answer without a length, or in chunks, is not taken to have ended it', async () => {
    upstream.behave = async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nha');
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.resetAndDestroy();
    };
    assert.doesNotMatch(await ask(GET.replace('Connection: close\r\n', '')), /\r\n0\r\n\r\n$/);
    assert.deepEqual({ ...(await ask2({})), interim: 0 }, { interim: 0, status: 200, body: 'ha', isWhole: false });
    upstream.behave = (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n');
    assert.doesNotMatch(await ask(GET), /0\r\n\r\n$/);
  });

  test('that sends a coding which nobody asked for is answered for with 502', async () => {
    upstream.behave = say('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
    assert.match(await ask(GET), /^HTTP\/1\.1 502 /);
    assert.equal((await ask2({})).status, 502);
  });
});
