import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { HandshakeSummary } from '../../src/actions.ts';
import { agentName } from '../../src/cli/status/agent-name.ts';
import { type LoadStatus, type VisitConnection, type VisitRequest, Visits } from '../../src/cli/status/visits.ts';
import { mergeVisitors } from '../../src/cli/status/visits-merge.ts';

let time = 0;
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const CHROMIUM =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0.0.0 Safari/537.36';

interface Made extends VisitConnection {
  keys: { made: number; inForce: number };
}

function connection(changes: Partial<HandshakeSummary> = {}, address = '10.0.0.1'): Made {
  const summary = { version: 'TLSv1.3', namedGroup: 'x25519', resumed: false, ...changes } as HandshakeSummary;
  const keys = { made: 2, inForce: 2 };
  return { address, summary, keys, trafficKeys: () => keys };
}

function closed(visits: Visits, made: Made): void {
  made.keys.inForce = 0;
  visits.closed(made);
}

function request(url: string, destination?: string, more: VisitRequest['headers'] = {}): VisitRequest {
  const headers = {
    'user-agent': FIREFOX,
    ...(destination === undefined ? {} : { 'sec-fetch-dest': destination }),
    ...(destination === 'document' ? {} : { referer: 'https://localhost/' }),
    ...more,
  };
  return { method: 'GET', url, httpVersionMajor: 1, headers };
}

const page = (url = '/') => request(url, 'document');
const image = (at: number, more = {}) => request(`/images/${at}.png`, 'image', more);

function onlyLoad(visits: Visits): LoadStatus {
  const [visitor, ...others] = visits.status();
  assert.deepEqual(others, []);
  assert.equal(visitor.loads.length, 1);
  return visitor.loads[0];
}

const at = () => new Visits(() => time);

describe('the count', () => {
  test('of a page with five images on a kept connection: one handshake, one key exchange, two traffic keys', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    visits.requested(one, page('/?token=secret'));
    for (let i = 0; i < 5; i++) {
      visits.requested(one, image(i));
    }
    assert.deepEqual(onlyLoad(visits), {
      path: '/',
      navigation: true,
      at: time,
      lastAt: time,
      requests: 6,
      protocols: ['http/1.1'],
      versions: ['TLSv1.3'],
      connections: 1,
      opened: 1,
      full: 1,
      resumed: 0,
      unused: 0,
      keyExchanges: 1,
      trafficKeys: { used: 2, inForce: 2 },
    });
    closed(visits, one);
    assert.deepEqual(onlyLoad(visits).trafficKeys, { used: 2, inForce: 0 });
  });

  test('of a reload over the same connection is nothing: it was there', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    for (let load = 0; load < 2; load++) {
      visits.requested(one, page());
      visits.requested(one, image(load));
      time += 1000;
    }
    const [second, first] = visits.status()[0].loads;
    assert.deepEqual([first.opened, first.keyExchanges, first.connections], [1, 1, 1]);
    assert.deepEqual([second.opened, second.keyExchanges, second.connections], [0, 0, 1]);
    assert.deepEqual(second.trafficKeys, { used: 2, inForce: 2 }, 'of the keys that were there before');
  });

  test('of a connection for each request tells resumed ones from full ones, and both from key exchanges', () => {
    const visits = at();
    for (let i = 0; i < 6; i++) {
      const resumed = i > 0;
      const one = connection({ version: 'TLSv1.2', resumed, namedGroup: resumed ? undefined : 'x25519' });
      visits.opened(one);
      visits.requested(one, i === 0 ? page() : image(i));
      closed(visits, one);
    }
    const { connections, opened, full, resumed, keyExchanges, trafficKeys, versions } = onlyLoad(visits);
    assert.deepEqual([connections, opened, full, resumed, keyExchanges], [6, 6, 1, 5, 1]);
    assert.deepEqual(trafficKeys, { used: 12, inForce: 0 });
    assert.deepEqual(versions, ['TLSv1.2']);
  });

  test('takes a connection on which nothing was asked for as one of the load that is nearest, apart', () => {
    const visits = at();
    const [used, spare, far] = [connection(), connection(), connection()];
    visits.opened(used);
    visits.opened(spare);
    visits.requested(used, page());
    const open = onlyLoad(visits);
    assert.deepEqual([open.connections, open.opened, open.unused, open.keyExchanges], [1, 2, 1, 2]);
    time += 60_000;
    visits.opened(far);
    assert.deepEqual(onlyLoad(visits), open, 'one from another time belongs to nobody');
    closed(visits, spare);
    closed(visits, far);
    assert.deepEqual(onlyLoad(visits), open);
    time -= 60_000;
  });

  test('gives a connection that waited to the load that used it', () => {
    const visits = at();
    const [used, spare] = [connection(), connection()];
    visits.opened(used);
    visits.opened(spare);
    visits.requested(used, page('/first'));
    time += 3000;
    visits.requested(spare, page('/second'));
    const [second, first] = visits.status()[0].loads;
    assert.deepEqual([first.opened, first.unused, second.opened, second.unused], [1, 0, 1, 0]);
  });

  test('keeps visitors apart by address and by User-Agent', () => {
    const visits = at();
    for (const [address, agent] of [
      ['10.0.0.1', FIREFOX],
      ['10.0.0.2', FIREFOX],
      ['10.0.0.1', CHROMIUM],
      ['10.0.0.1', FIREFOX],
    ]) {
      const one = connection({}, address);
      visits.opened(one);
      visits.requested(one, request('/', 'document', { 'user-agent': agent }));
    }
    assert.deepEqual(
      visits.status().map((visitor) => [visitor.address, visitor.agent, visitor.loads.length]),
      [
        ['10.0.0.1', 'Firefox 140', 2],
        ['10.0.0.1', 'Chromium 138', 1],
        ['10.0.0.2', 'Firefox 140', 1],
      ],
    );
  });

  test('finds the load of a request by its Referer, also through a style sheet, and else by time', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    visits.requested(one, page('/a'));
    visits.requested(one, request('/a.css', 'style', { referer: 'https://localhost/a' }));
    time += 1000;
    visits.requested(one, page('/b'));
    visits.requested(one, request('/a.png', 'image', { referer: 'https://localhost/a.css' }));
    visits.requested(one, request('/late', 'empty', { referer: 'https://localhost/a' }));
    visits.requested(one, request('/unknown', 'empty', { referer: undefined }));
    visits.requested(one, request('/nonsense', 'empty', { referer: 'not a URL' }));
    const told = () => visits.status()[0].loads.map(({ path, requests, navigation }) => [path, requests, navigation]);
    assert.deepEqual(told(), [
      ['/b', 3, true],
      ['/a', 4, true],
    ]);
    time += 20_000;
    visits.requested(one, request('/poll', 'empty', { referer: 'https://localhost/a' }));
    visits.requested(one, request('/alone', 'empty', { referer: undefined }));
    assert.deepEqual(told(), [
      ['/alone', 1, false],
      ['/b', 3, true],
      ['/a', 5, true],
    ]);
  });

  test('knows a navigation of a client without Sec-Fetch-Dest by its Accept, and none in a frame or a prefetch', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    const plain = { referer: undefined };
    visits.requested(one, request('/old', undefined, { ...plain, accept: 'text/html,*/*;q=0.8' }));
    visits.requested(one, request('/data', undefined, { ...plain, accept: 'application/json' }));
    visits.requested(one, request('/frame', 'iframe', { ...plain, accept: 'text/html' }));
    visits.requested(one, request('/next', 'document', { ...plain, 'sec-purpose': 'prefetch' }));
    visits.requested(one, { ...request('/form', undefined, { ...plain, accept: 'text/html' }), method: 'POST' });
    const load = onlyLoad(visits);
    assert.deepEqual([load.path, load.requests], ['/old', 5]);
  });

  test('counts a connection that carried several loads in each of them, once', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    visits.requested(one, page('/a'));
    visits.requested(one, page('/b'));
    for (let i = 0; i < 3; i++) {
      visits.requested(one, request('/x', 'image', { referer: 'https://localhost/a' }));
      visits.requested(one, request('/y', 'image', { referer: 'https://localhost/b' }));
    }
    assert.deepEqual(
      visits.status()[0].loads.map(({ connections, requests }) => [connections, requests]),
      [
        [1, 4],
        [1, 4],
      ],
    );
  });

  test('leaves out a request whose connection is gone when it is read: its address is not known any more', () => {
    const visits = at();
    visits.requested(undefined, page());
    assert.deepEqual(visits.status(), []);
  });

  test('is bounded, whatever is sent, and its sums agree', () => {
    const step = fc.record({
      address: fc.nat(80),
      agent: fc.nat(4),
      url: fc.string({ maxLength: 20 }),
      referer: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
      destination: fc.constantFrom('document', 'image', undefined),
      kept: fc.nat(5),
      resumed: fc.boolean(),
      exchange: fc.boolean(),
      later: fc.nat(4000),
      closes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 200 }), (steps) => {
        const visits = at();
        const open: Made[] = [];
        for (const one of steps) {
          time += one.later;
          const known = one.kept === 0 ? undefined : open.at(-one.kept);
          const namedGroup = one.exchange ? 'x25519' : undefined;
          const made = known ?? connection({ resumed: one.resumed, namedGroup }, `10.0.0.${one.address}`);
          if (known === undefined) {
            visits.opened(made);
            open.push(made);
          }
          const headers = {
            'user-agent': `agent/${one.agent}`,
            referer: one.referer && `https://localhost/${one.referer}`,
          };
          const destination = one.destination === undefined ? {} : { 'sec-fetch-dest': one.destination };
          visits.requested(made, {
            method: 'GET',
            url: one.url,
            httpVersionMajor: 2,
            headers: { ...headers, ...destination },
          });
          if (one.closes) {
            closed(visits, open.shift() as Made);
          }
        }
        const told = visits.status();
        assert.ok(told.length <= 50);
        for (const { loads } of told) {
          assert.ok(loads.length <= 12);
          for (const load of loads) {
            assert.equal(load.full + load.resumed, load.opened);
            assert.ok(load.keyExchanges <= load.opened);
            assert.ok(load.unused <= load.opened);
            assert.ok(load.connections <= load.requests);
            assert.ok(load.trafficKeys.inForce <= load.trafficKeys.used);
            assert.equal(load.trafficKeys.used, 2 * load.connections);
            assert.ok(load.at <= load.lastAt);
          }
        }
        for (const made of open) {
          closed(visits, made);
        }
        for (const load of visits.status().flatMap(({ loads }) => loads)) {
          assert.equal(load.trafficKeys.inForce, 0, 'no key is in force when all connections are closed');
          assert.equal(load.trafficKeys.used, 2 * load.connections);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('the count of several workers', () => {
  test('is that of one server: halves of a load come together', () => {
    const [first, second] = [at(), at()];
    const [one, two, three] = [connection(), connection({ resumed: true }), connection({}, '10.0.0.9')];
    first.opened(one);
    first.requested(one, page());
    second.opened(two);
    second.requested(two, request('/images/1.png', 'image'));
    second.opened(three);
    second.requested(three, page('/other'));
    time += 30_000;
    const four = connection();
    second.opened(four);
    second.requested(four, request('/poll', 'empty', { referer: undefined }));
    const merged = mergeVisitors([first.status(), second.status()]);
    assert.deepEqual(
      merged.map(({ address, loads }) => [address, loads.map(({ path, navigation }) => [path, navigation])]),
      [
        [
          '10.0.0.1',
          [
            ['/poll', false],
            ['/', true],
          ],
        ],
        ['10.0.0.9', [['/other', true]]],
      ],
    );
    const [, load] = merged[0].loads;
    assert.deepEqual([load.requests, load.opened, load.full, load.resumed, load.keyExchanges], [2, 2, 1, 1, 2]);
    assert.deepEqual(load.trafficKeys, { used: 4, inForce: 4 });
  });

  test('of one is that one', () => {
    const visits = at();
    const one = connection();
    visits.opened(one);
    visits.requested(one, page());
    assert.deepEqual(mergeVisitors([visits.status()]), visits.status());
    assert.deepEqual(mergeVisitors([]), []);
  });
});

test('a User-Agent is told in two words, and nothing of it can draw on a terminal', () => {
  for (const [userAgent, name] of [
    [FIREFOX, 'Firefox 140'],
    [CHROMIUM, 'Chromium 138'],
    ['Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0', 'Edge 138'],
    ['Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15', 'Safari 18'],
    ['curl/8.5.0', 'curl 8.5.0'],
    ['', 'unknown'],
    ['\x1b[31mred/1', '[31mred 1'],
  ]) {
    assert.equal(agentName(userAgent), name);
  }
});
