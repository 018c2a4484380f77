/** Connections that are opened together: one makes a full handshake, the others wait for its tickets and resume. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import * as nodeHttps from 'node:https';
import { describe, test } from 'node:test';
import { Agent as UndiciAgent, request as undiciRequest } from 'undici';
import * as https from '../../src/node/https.ts';
import { createConnector } from '../../src/node/undici.ts';
import { closed, listen, only, serverOptions, trust, type Version, versions } from './support.ts';

const IMAGES = [1, 2, 3, 4, 5].map((i) => `/${i}.png`);

interface Count {
  full: number;
  resumed: number;
}

/** A page with five images, and how the connections came about that loaded it. */
async function serving(
  version: Version,
  options: https.ServerOptions,
  use: (port: number, count: Count) => Promise<void>,
): Promise<void> {
  const count: Count = { full: 0, resumed: 0 };
  const server = https.createServer({ ...serverOptions, ...only(version), ...options }, (request, response) => {
    // Slow enough that requests made together need connections of their own.
    setTimeout(() => response.end(`body of ${request.url}`), 20);
  });
  server.on('secureConnection', (socket) => {
    count[socket.isSessionReused() ? 'resumed' : 'full'] += 1;
  });
  const port = await listen(server);
  try {
    await use(port, count);
  } finally {
    server.closeAllConnections();
    await closed(server);
  }
}

function get(port: number, path: string, agent: https.Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      { host: '127.0.0.1', port, path, servername: 'localhost', agent: agent as never },
      (response: IncomingMessage) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => resolve(body));
      },
    );
    request.on('error', reject);
  });
}

/** As `curl --parallel` and browsers do: the page, then its images all at once. */
async function loadPage(port: number, agent: https.Agent): Promise<void> {
  assert.equal(await get(port, '/', agent), 'body of /');
  const bodies = await Promise.all(IMAGES.map((path) => get(port, path, agent)));
  assert.deepEqual(
    bodies,
    IMAGES.map((path) => `body of ${path}`),
  );
}

for (const version of versions) {
  describe(`page loads by an agent, ${version}`, () => {
    test('with keep-alive make one full handshake, and so do reloads', async () => {
      await serving(version, {}, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version), keepAlive: true });
        await loadPage(port, agent);
        await loadPage(port, agent);
        assert.equal(count.full, 1);
        agent.destroy();
      });
    });

    test('without keep-alive too, though each request has a connection of its own', async () => {
      await serving(version, {}, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version), keepAlive: false });
        await loadPage(port, agent);
        await loadPage(port, agent);
        assert.deepEqual(count, { full: 1, resumed: 11 });
        agent.destroy();
      });
    });

    test('begun with six requests at once as well: five wait for the first’s tickets', async () => {
      await serving(version, {}, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version) });
        await Promise.all(['/', ...IMAGES].map((path) => get(port, path, agent)));
        assert.deepEqual(count, { full: 1, resumed: 5 });
        agent.destroy();
      });
    });

    test('as clients that do not wait would make them, cost as many full handshakes as connections', async () => {
      await serving(version, {}, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version), shareHandshakes: false });
        await Promise.all(['/', ...IMAGES].map((path) => get(port, path, agent)));
        assert(count.full >= 3, `${count.full} full handshakes`);
        agent.destroy();
      });
    });

    test('with undici make one full handshake too', async () => {
      await serving(version, {}, async (port, count) => {
        const connect = createConnector({ ...trust, ...only(version), servername: 'localhost' });
        const dispatcher = new UndiciAgent({ connect: connect as never, connections: 6 });
        await Promise.all(
          ['/', ...IMAGES].map(async (path) => {
            const { body } = await undiciRequest(`https://127.0.0.1:${port}${path}`, { dispatcher });
            assert.equal(await body.text(), `body of ${path}`);
          }),
        );
        assert.equal(count.full, 1);
        await dispatcher.close();
      });
    });

    test('a server without tickets is waited for once, and not again', async () => {
      await serving(version, { sessions: { tickets: false } }, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version) });
        await Promise.all(IMAGES.map((path) => get(port, path, agent)));
        await Promise.all(IMAGES.map((path) => get(port, path, agent)));
        assert.deepEqual(count, { full: 10, resumed: 0 });
        agent.destroy();
      });
    });

    test('a first connection that fails holds nobody up', async () => {
      await serving(version, {}, async (port, count) => {
        const agent = new https.Agent({ ...trust, ...only(version) });
        const doomed = https.get({ host: '127.0.0.1', port, servername: 'localhost', agent: agent as never });
        doomed.on('error', () => {});
        doomed.once('socket', (socket) => socket.once('connect', () => setImmediate(() => doomed.destroy())));
        const bodies = await Promise.all(IMAGES.map((path) => get(port, path, agent)));
        assert.equal(bodies.length, 5);
        assert(count.full <= 2);
        agent.destroy();
      });
    });
  });
}

test('concurrent connections never share a TLS 1.3 ticket', async () => {
  const names = new Set<string>();
  let tickets = 0;
  const server = nodeHttps.createServer({ ...serverOptions, ...only('TLSv1.3') }, (_request, response) => {
    setTimeout(() => response.end('x'), 20);
  });
  const port = await listen(server);
  const agent = new https.Agent({ ...trust, ...only('TLSv1.3') });
  agent.sessions.take = ((take) => (key: string) => {
    const session = take(key);
    if (session?.version === 'TLSv1.3') {
      tickets += 1;
      names.add(Buffer.from(session.ticket).toString('hex'));
    }
    return session;
  })(agent.sessions.take.bind(agent.sessions));
  await loadPageOf(port, agent);
  await loadPageOf(port, agent);
  assert(tickets > 0);
  assert.equal(names.size, tickets);
  agent.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function loadPageOf(port: number, agent: https.Agent): Promise<void> {
  await Promise.all(IMAGES.map((path) => get(port, path, agent)));
}
