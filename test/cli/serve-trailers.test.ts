/** Fields on their way through the proxy: trailers, which go on where there is room for them, and what is not ASCII. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as http2Connect, type IncomingHttpHeaders } from 'node:http2';
import { after, beforeEach, test } from 'node:test';
import { askInText, front, say, textServer } from './forwarding-support.ts';

const upstream = await textServer({ after });
const http1 = await front({ after }, upstream.port, 1, 2000);
const http2 = await front({ after }, upstream.port, 2, 2000);

const ANSWER =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n' +
  'Trailer: Server-Timing, Content-Length, X-Hop\r\n\r\n2\r\nok\r\n0\r\n' +
  'Server-Timing: a;dur=1\r\nServer-Timing: b\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\n' +
  'X_Forwarded_For: x\r\nIf-Match: x\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

beforeEach(() => {
  upstream.seen = '';
});

/** With trailers in both directions. */
async function askWithTrailers(
  headers: Record<string, string>,
  body: string,
  trailers: Record<string, string>,
): Promise<{ headers: IncomingHttpHeaders; body: string; trailers: IncomingHttpHeaders }> {
  const session = http2Connect(`http://127.0.0.1:${http2.port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/', ...headers }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers(trailers));
  let found: IncomingHttpHeaders = {};
  let answered: IncomingHttpHeaders = {};
  let text = '';
  stream.on('trailers', (given) => {
    found = given;
  });
  stream.on('response', (given) => {
    answered = given;
  });
  stream.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  stream.end(body);
  await once(stream, 'close');
  session.destroy();
  return { headers: answered, body: text, trailers: found };
}

test('trailers of an answer reach HTTP/1.1 clients that take them, without those that may not be there', async () => {
  upstream.behave = say(ANSWER);
  const get = 'GET / HTTP/1.1\r\nHost: a\r\nTE: deflate, trailers\r\nConnection: close, TE\r\n\r\n';
  const answer = await askInText(http1.port, get);
  assert.match(answer, /\r\ntrailer: server-timing\r\n/i);
  assert.ok(answer.endsWith('\r\n\r\n2\r\nok\r\n0\r\nserver-timing: a;dur=1, b\r\n\r\n'), answer);
  assert.match(upstream.seen, /\r\nconnection: keep-alive, TE\r\n[\s\S]*\r\nte: trailers\r\n/);
  for (const other of [get.replace(/TE: .*\r\n/, ''), get.replace('HTTP/1.1', 'HTTP/1.0')]) {
    assert.doesNotMatch(await askInText(http1.port, other), /timing/i);
  }
  assert.match(await askInText(http1.port, get.replace('GET', 'HEAD')), /\r\n\r\n$/);
});

test('trailers of an answer that comes in pieces, or has no body, reach HTTP/2 clients', async () => {
  for (const [texts, body] of [
    [ANSWER.split(/(?<=\r\n\r\n|ok\r\n|Server-)/), 'ok'],
    [[ANSWER.replace('2\r\nok\r\n', '')], ''],
  ] as const) {
    upstream.behave = say(...texts);
    const answer = await askWithTrailers({}, '', {});
    assert.equal(answer.headers.trailer, 'server-timing');
    assert.equal(answer.body, body);
    assert.equal(answer.trailers['server-timing'], 'a;dur=1, b');
    assert.equal(Object.keys(answer.trailers).length, 1);
  }
});

test('trailers of a request reach the upstream server when they were announced, and may be there', async () => {
  const isWhole = /(?:\r\n0\r\n(?:x-sum: 1\r\n)?\r\n|\r\n\r\nab)$/;
  upstream.behave = (socket) => isWhole.test(upstream.seen) && socket.write(OK);
  const names = 'X-Sum, Host, X-Forwarded-For, X-Hop';
  const trailers = { 'x-sum': '1', host: 'evil', 'x-forwarded-for': '1.1.1.1', 'x-hop': '1', 'x-more': '1' };
  const lines = Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`);
  const post =
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: ${names}\r\n` +
    `Connection: close, X-Hop\r\n\r\n2\r\nab\r\n0\r\n${lines.join('')}\r\n`;
  // As well where a length would do, and where its announcement is missing.
  assert.match(await askInText(http1.port, post), /^HTTP\/1\.1 200 /);
  assert.match(
    upstream.seen,
    /\r\ntrailer: x-sum\r\n[\s\S]*transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n$/,
  );
  upstream.seen = '';
  assert.match(await askInText(http1.port, post.replace(/Trailer: .*\r\n/, '')), /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(upstream.seen, /x-sum/);
  upstream.seen = '';
  const announced = { trailer: names, 'content-length': '2', te: 'trailers' };
  assert.equal((await askWithTrailers(announced, 'ab', { 'x-sum': '1', host: 'evil' })).body, 'ok');
  assert.match(upstream.seen, /\r\nconnection: keep-alive, TE\r\n/);
  assert.doesNotMatch(upstream.seen, /content-length/);
  assert.match(upstream.seen, /transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n$/);
});

test('trailers go both ways for a client that waits for 100', async () => {
  upstream.behave = (socket, said) =>
    socket.write(said.includes('\r\n0\r\n') ? ANSWER : 'HTTP/1.1 100 Continue\r\n\r\n');
  const headers = { expect: '100-continue', trailer: 'x-sum', te: 'trailers' };
  const answer = await askWithTrailers(headers, 'ab', { 'x-sum': '1' });
  assert.equal(answer.trailers['server-timing'], 'a;dur=1, b');
  assert.equal(Object.keys(answer.trailers).length, 1);
  assert.match(upstream.seen, /\r\nconnection: close, TE\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n$/);
});

test('what is not ASCII in a header stays as it is when the body comes later', async () => {
  upstream.behave = (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nX-Sent: \u00e9\r\nContent-Length: 2\r\n\r\n', 'latin1');
    setTimeout(() => socket.write('ok'), 20);
  };
  const asked = 'POST / HTTP/1.1\r\nHost: a\r\nX-Asked: \u00e9\r\nConnection: close\r\nContent-Length: 1\r\n';
  for (const text of [`${asked}\r\nx`, `${asked}Expect: 100-continue\r\n\r\n`]) {
    assert.match(await askInText(http1.port, text), /\r\nx-sent: \u00e9\r\n/);
    assert.match(upstream.seen, /\r\nx-asked: \u00e9\r\n/);
    upstream.seen = '';
  }
});
