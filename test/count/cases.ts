/**
 * The cases that a browser is led through, the same for each browser: HTTP kept alive, closed, and HTTP/2, under both
 * versions of TLS, with resumption and without. Each loads the demonstration page and its five images, and reloads it.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HttpChoice } from '../../src/cli/http-choice.ts';
import { createFileHandler } from '../../src/cli/serve/files.ts';
import { openSite, type Site } from '../../src/cli/serve/site.ts';
import type { LoadStatus } from '../../src/cli/status/visits.ts';
import type { ProtocolVersion } from '../../src/connection-options.ts';
import { certificateFor } from '../interop/support.ts';
import { projectRoot } from '../support/project.ts';

/** A page of a browser. One does for all cases: browsers keep apart the sessions of sites on different ports. */
export interface BrowserPage {
  load(url: string): Promise<void>;
  reload(): Promise<void>;
}

const pem = certificateFor('ecdsa-p256');
const demo = createFileHandler(join(projectRoot, 'demo'));
/** The page, its style and its images, of which one stands twice. */
const FILES = 7;

export interface Case {
  readonly http: Exclude<HttpChoice, 'both'>;
  readonly version: ProtocolVersion;
  readonly resumption: boolean;
}

export const cases: readonly Case[] = (['1', 'close', '2'] as const).flatMap((http) =>
  (['TLSv1.2', 'TLSv1.3'] as const).flatMap((version) =>
    [true, false].map((resumption) => ({ http, version, resumption })),
  ),
);

export function titleOf({ http, version, resumption }: Case): string {
  const words = { '1': 'HTTP/1.1 kept alive', close: 'HTTP/1.1 closed each time', '2': 'HTTP/2' };
  return `${words[http]}, ${version.replace('TLSv', 'TLS ')}, ${resumption ? 'with' : 'without'} resumption`;
}

/** What the books say of the load and of the reload. */
export async function visit({ http, version, resumption }: Case, page: BrowserPage): Promise<LoadStatus[]> {
  const site = await openSite({
    ...pem,
    listen: { host: 'localhost', port: 0 },
    versions: [version],
    http,
    sessions: { tickets: resumption, sessionIds: resumption },
    handle: demo,
  });
  try {
    await page.load(`https://localhost:${site.addresses[0].port}/`);
    await page.reload();
    const loads = loadsOf(site);
    for (const load of loads) {
      check(load, { http, version, resumption });
    }
    const [first, second] = loads;
    assert.ok(first.requests >= FILES, `${first.requests} requests`);
    assert.ok(second.requests >= 1);
    compare(first, second, { http, version, resumption });
    return loads;
  } finally {
    await site.drain(0);
  }
}

/** The oldest first. */
function loadsOf(site: Site): LoadStatus[] {
  const [visitor, ...others] = site.connections.visits.status();
  assert.deepEqual(others, [], 'one browser is one visitor');
  assert.match(visitor.agent, /^(Firefox|Chromium) \d+$/);
  const loads = [...visitor.loads].reverse();
  assert.deepEqual(
    loads.map(({ path, navigation }) => [path, navigation]),
    [
      ['/', true],
      ['/', true],
    ],
    'two loads of the page, and nothing beside them',
  );
  return loads;
}

/** What holds of each load, whatever the browser's haste. */
function check(load: LoadStatus, { http, version, resumption }: Case): void {
  const { opened, full, resumed, keyExchanges, connections, requests, unused, trafficKeys } = load;
  assert.equal(full + resumed, opened);
  assert.ok(connections >= 1);
  assert.equal(trafficKeys.used, 2 * connections, 'a key for each direction of each connection');
  assert.deepEqual(load.protocols, [http === '2' ? 'h2' : 'http/1.1']);
  assert.deepEqual(load.versions, [version]);
  if (version === 'TLSv1.3') {
    assert.equal(keyExchanges, opened, 'each handshake of TLS 1.3 has a key exchange, resumed or not');
  } else {
    assert.equal(keyExchanges, full, 'a resumed one of TLS 1.2 has none');
  }
  if (!resumption) {
    assert.equal(resumed, 0);
  }
  if (http === '2') {
    assert.equal(connections, 1, 'all goes over one connection');
    assert.ok(trafficKeys.inForce === 2);
  } else if (http === 'close') {
    assert.equal(connections, requests, 'a connection for each request');
    assert.equal(opened, connections + unused);
  } else {
    assert.ok(connections <= requests, `${connections} connections`);
  }
}

/** What the reload had to do, beside the load. */
function compare(first: LoadStatus, second: LoadStatus, { http, resumption, version }: Case): void {
  assert.ok(first.full >= 1, 'nobody resumes before there is a session');
  if (http === '2') {
    assert.deepEqual([second.opened, second.keyExchanges], [0, 0], 'the connection is still there');
    return;
  }
  if (http === '1') {
    assert.ok(second.opened - second.unused < second.connections, 'some connection is still there');
    return;
  }
  assert.ok(second.opened >= second.requests, 'a reload pays for each request again');
  if (resumption) {
    assert.ok(first.resumed + second.resumed > 0, 'but with the sessions that it has');
    if (version === 'TLSv1.2') {
      const exchanges = first.keyExchanges + second.keyExchanges;
      assert.ok(exchanges < first.connections + second.connections, 'fewer key exchanges than connections');
    }
  }
}

/** Leads one browser through all cases. */
export function testCases(page: () => BrowserPage): void {
  for (const one of cases) {
    test(titleOf(one), async (t) => {
      const loads = await visit(one, page());
      for (const [i, load] of loads.entries()) {
        const { requests, connections, opened, unused, full, resumed, keyExchanges, trafficKeys } = load;
        t.diagnostic(
          `${i === 0 ? 'load' : 'reload'}: ${requests} requests, ${connections} connections, ${opened} opened (${unused} unused), ` +
            `${full} full, ${resumed} resumed, ${keyExchanges} key exchanges, ${trafficKeys.used} traffic keys, ${trafficKeys.inForce} in force`,
        );
      }
    });
  }
}
