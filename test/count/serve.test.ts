import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { serveCommand } from '../../src/cli/serve.ts';
import type { VisitorStatus } from '../../src/cli/status/visits.ts';
import type { KeyNode, KeyTree } from '../../src/ledger/key-tree.ts';
import { Agent, request } from '../../src/node/https.ts';
import { connect } from '../../src/node/tls.ts';
import { refusedHere, type Serving, serve, temporaryFolder } from '../cli/support.ts';
import { nodes } from '../ledger/support.ts';
import { projectRoot } from '../support/project.ts';

const demo = join(projectRoot, 'demo');

function ask(
  serving: Serving,
  agent: Agent,
  path: string,
  headers: Record<string, string> = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { port: serving.port, host: 'localhost', path, agent, ca: readFileSync(serving.ca), headers };
    request(options, (response) => {
      response.resume();
      response.once('end', () => resolve(response));
    })
      .on('error', reject)
      .end();
  });
}

/** A page and what it shows, as a browser asks for them one after the other. */
async function loadPage(serving: Serving, agent: Agent): Promise<IncomingMessage[]> {
  const headers = { 'user-agent': 'Tester/1.0', 'sec-fetch-dest': 'image', referer: `${serving.url}/` };
  const answers = [await ask(serving, agent, '/', { ...headers, 'sec-fetch-dest': 'document' })];
  for (const path of ['/style.css', '/images/ring.svg', '/images/ladder.svg']) {
    answers.push(await ask(serving, agent, path, headers));
  }
  return answers;
}

async function told<T>(serving: Serving, path: string): Promise<T> {
  const response = await fetch(`${serving.statusUrl}${path}`);
  assert.equal(response.status, 200, path);
  return (await response.json()) as T;
}

/** Before it has a key, workers that share a ring make no tickets. */
async function ringIsUp(serving: Serving): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { workers } = await told<{ workers: { running: { sealingKey?: string }[] } }>(serving, '/status.json');
    if (workers.running.length === 2 && workers.running.every(({ sealingKey }) => sealingKey !== undefined)) {
      return;
    }
    await pause(50);
  }
  assert.fail('all workers have a key');
}

interface Status {
  readonly visitors: readonly VisitorStatus[];
  readonly connections: { readonly list: readonly { readonly id: number }[] };
}

/** Two loads of the page: the oldest first. */
async function twice(serving: Serving, agent: Agent) {
  const answers = [...(await loadPage(serving, agent)), ...(await loadPage(serving, agent))];
  agent.destroy();
  const { visitors } = await told<Status>(serving, '/status.json');
  assert.deepEqual(
    visitors.map(({ agent: name }) => name),
    ['Tester 1.0'],
  );
  return { answers, loads: [...visitors[0].loads].reverse() };
}

test('--http close ends each connection with its answer, and the count tells what that costs', async (t) => {
  const serving = await serve(t, ['--root', demo, '--http', 'close', '--tls', '1.2']);
  const { answers, loads } = await twice(serving, new Agent({ keepAlive: true }));
  assert.ok(answers.every(({ headers, httpVersion }) => headers.connection === 'close' && httpVersion === '1.1'));
  assert.deepEqual(
    loads.map(({ requests, connections, opened, full, resumed, keyExchanges, trafficKeys }) => [
      [requests, connections, opened],
      [full, resumed, keyExchanges],
      trafficKeys.used,
    ]),
    [
      [[4, 4, 4], [1, 3, 1], 8],
      [[4, 4, 4], [0, 4, 0], 8],
    ],
  );
});

test('--http 1 keeps connections, and a reload is free', async (t) => {
  const serving = await serve(t, ['--root', demo, '--http', '1']);
  const { answers, loads } = await twice(serving, new Agent({ keepAlive: true, maxSockets: 1 }));
  assert.ok(answers.every(({ headers }) => headers.connection !== 'close'));
  assert.deepEqual(
    loads.map(({ connections, opened, keyExchanges, protocols }) => [connections, opened, keyExchanges, protocols]),
    [
      [1, 1, 1, ['http/1.1']],
      [1, 0, 0, ['http/1.1']],
    ],
  );
  const socket = connect({
    port: serving.port,
    host: 'localhost',
    ca: readFileSync(serving.ca),
    ALPNProtocols: ['h2'],
  });
  const [error] = await once(socket, 'error');
  assert.match(String(error), /no_application_protocol/, 'HTTP/2 is not spoken then');
});

test('--http 2 speaks nothing else, and --http takes no other word', async (t) => {
  const serving = await serve(t, ['--root', demo, '--http', '2']);
  const ca = readFileSync(serving.ca);
  const old = connect({ port: serving.port, host: 'localhost', ca, ALPNProtocols: ['http/1.1'] });
  const [error] = await once(old, 'error');
  assert.match(String(error), /no_application_protocol/);
  const socket = connect({ port: serving.port, host: 'localhost', ca, ALPNProtocols: ['h2', 'http/1.1'] });
  await once(socket, 'secureConnect');
  assert.equal(socket.alpnProtocol, 'h2');
  socket.destroy();
  const refused = await refusedHere(serveCommand(), ['--http', '3']);
  assert.equal(refused.code, 2);
  assert.match(refused.line, /--http: "3" is not a choice/);
});

test('ledger.json tells each secret of an open connection and of the ring, and nothing of their bytes', async (t) => {
  const keyLog = join(temporaryFolder(t), 'keys');
  const serving = await serve(t, ['--root', demo, '--keylog', keyLog]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await loadPage(serving, agent);
  const before = await told<Status>(serving, '/status.json');
  assert.equal(before.connections.list.length, 1);
  const [{ id }] = before.connections.list;
  const tree = await told<KeyTree>(serving, `/ledger.json?connection=${id}`);
  assert.equal(tree.owner?.role, 'server');
  const all = nodes(tree);
  const keys = all.filter((node) => node.kind === 'aeadKey' && node.endedAt === undefined);
  assert.equal(keys.length, 2);
  assert.ok(keys.every(({ uses }) => (uses?.records ?? 0) >= 4 && (uses?.bytes ?? 0) > 100));
  assert.ok(all.some((node: KeyNode) => node.kind === 'sharedSecret' && node.why === 'spent'));

  const view = await told<{ rings: KeyTree[]; connections: { id?: number; alive: number }[] }>(serving, '/ledger.json');
  assert.deepEqual(
    view.rings.flatMap(({ secrets }) => secrets.map(({ kind, uses }) => [kind, (uses?.sealed ?? 0) >= 2])),
    [
      ['ticketKey', true],
      ['ticketKey12', false],
    ],
  );
  assert.deepEqual(
    view.connections.map((connection) => [connection.id, connection.alive]),
    [[id, 5]],
  );

  const text = JSON.stringify([tree, view, before]).toLowerCase();
  const logged = readFileSync(keyLog, 'utf8').trim().split('\n');
  assert.ok(logged.length >= 5);
  for (const line of logged) {
    const hex = line.split(' ')[2];
    assert.ok(hex.length >= 64);
    assert.ok(!text.includes(hex.slice(0, 8)), 'no part of a secret is told');
    assert.ok(!text.includes(Buffer.from(hex, 'hex').toString('base64').slice(0, 8).toLowerCase()));
  }

  for (const [query, status] of [
    ['connection=999', 404],
    ['connection=-1', 400],
    ['connection=x', 400],
    ['connection=', 400],
    ['connection=99999999999999999', 400],
  ] as const) {
    assert.equal((await fetch(`${serving.statusUrl}/ledger.json?${query}`)).status, status, query);
  }
  agent.destroy();
  for (let tries = 0; tries < 100; tries++) {
    const { connections } = await told<{ connections: { id?: number; alive: number }[] }>(serving, '/ledger.json');
    if (connections.every((connection) => connection.id === undefined && connection.alive === 0)) {
      return;
    }
    await pause(20);
  }
  assert.fail('nothing of a connection is alive when it has closed');
});

test('several workers are told as one server, and each tells the secrets of its connections', async (t) => {
  const serving = await serve(t, ['--root', demo, '--workers', '2', '--http', 'close', '--tls', '1.2']);
  await ringIsUp(serving);
  const { loads } = await twice(serving, new Agent({ keepAlive: true }));
  const sum = (value: (load: (typeof loads)[number]) => number) =>
    loads.reduce((total, load) => total + value(load), 0);
  assert.equal(
    sum(({ requests }) => requests),
    8,
  );
  assert.equal(
    sum(({ opened }) => opened),
    8,
  );
  assert.equal(
    sum(({ keyExchanges }) => keyExchanges),
    1,
    'the session goes from worker to worker',
  );
  const { workers } = await told<{ workers: { worker: number; rings: KeyTree[] }[] }>(serving, '/ledger.json');
  assert.equal(workers.length, 2);

  const agent = new Agent({ keepAlive: true });
  const socket = connect({ port: serving.port, host: 'localhost', ca: readFileSync(serving.ca) });
  await once(socket, 'secureConnect');
  const { connections } = await told<Status>(serving, '/status.json');
  assert.equal(connections.list.length, 1);
  const tree = await told<KeyTree>(serving, `/ledger.json?connection=${connections.list[0].id}`);
  assert.ok(nodes(tree).some(({ kind }) => kind === 'keyBlock'));
  socket.destroy();
  agent.destroy();
});
