/** A connection that an agent keeps serves no request that would not have trusted its server. */

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createDevelopmentCa } from '../../src/certificates/development-ca.ts';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { closing, listen, now, otherCa, serverOptions, trust } from './support.ts';

/** What came of a request: 'fine', or the text of the error. By then its connection is the agent's again. */
async function visit(port: number, agent: https.Agent, options: object): Promise<string> {
  let outcome = 'nothing';
  const request = https.get({ host: 'localhost', port, agent, ...trust, ...options }, (answer) => {
    answer.resume().once('end', () => {
      outcome = 'fine';
    });
  });
  request.once('error', ({ message }) => {
    outcome = message;
  });
  await closing(request);
  await nextTurn();
  return outcome;
}

async function serve(context: TestContext) {
  let opened = 0;
  const server = https.createServer(serverOptions, (_request, response) => response.end('hello'));
  server.on('secureConnection', () => opened++);
  const port = await listen(server as unknown as tls.Server);
  const agent = new https.Agent({ keepAlive: true });
  context.after(() => {
    agent.destroy();
    server.close();
  });
  return { port, agent, opened: () => opened };
}

describe('a request through an agent', () => {
  test('that has a check of its own is not served over a connection that was made without, nor over that of another', async (context) => {
    const { port, agent, opened } = await serve(context);
    const pinned = () => new Error('another pin');
    const passing = () => undefined;
    assert.equal(await visit(port, agent, {}), 'fine');
    assert.equal(await visit(port, agent, { checkServerIdentity: pinned }), 'another pin');
    assert.equal(await visit(port, agent, { checkServerIdentity: passing }), 'fine');
    assert.equal(await visit(port, agent, { checkServerIdentity: pinned }), 'another pin');
    // Newer versions of Node's agent share none that has a check of its own, not even with the same.
    const before = opened();
    assert.equal(await visit(port, agent, {}), 'fine');
    assert.equal(opened(), before, 'those without share their connections');
  });

  test('under one context is not served over a connection that was made under another', async (context) => {
    const { port, agent, opened } = await serve(context);
    const other = createDevelopmentCa({ now, commonName: 'A third CA' });
    const right = tls.createSecureContext(trust);
    const wrong = tls.createSecureContext({ ca: other.certificatePem });
    assert.equal(await visit(port, agent, { secureContext: right }), 'fine');
    assert.match(await visit(port, agent, { secureContext: wrong }), /no trusted root/);
    const before = opened();
    assert.equal(await visit(port, agent, { secureContext: right }), 'fine');
    assert.equal(opened(), before);
  });

  test('with other authorities is not served over a connection that trusts these', async (context) => {
    const { port, agent } = await serve(context);
    assert.equal(await visit(port, agent, {}), 'fine');
    assert.match(await visit(port, agent, { ca: otherCa.certificatePem }), /no trusted root/);
    assert.match(await visit(port, agent, { servername: 'example.com' }), /is not for "example.com"/);
    const lax = { ca: otherCa.certificatePem, rejectUnauthorized: false };
    assert.equal(await visit(port, agent, lax), 'fine');
    assert.match(await visit(port, agent, { ca: otherCa.certificatePem }), /no trusted root/);
  });
});
