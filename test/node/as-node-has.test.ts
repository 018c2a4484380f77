/** Every public name of `node:tls`, `node:https` and `node:http2` is here too, or is left out for a reason that stands below. */

import assert from 'node:assert/strict';
import * as nodeHttp2 from 'node:http2';
import * as nodeHttps from 'node:https';
import { BlockList, Server, type ServerOpts, Socket } from 'node:net';
import { test } from 'node:test';
import * as nodeTls from 'node:tls';
import * as http2 from '../../src/node/http2.ts';
import * as https from '../../src/node/https.ts';
import * as tls from '../../src/node/tls.ts';
import { closed, failure, listen, native, serverOptions, trust } from './support.ts';

/** What some Node has and we have not. */
const leftOut: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  tls: {
    CLIENT_RENEG_LIMIT: 'a variable of the whole process: see the option `clientRenegotiations`',
    CLIENT_RENEG_WINDOW: 'as CLIENT_RENEG_LIMIT; ten minutes',
    convertALPNProtocols: 'undocumented: `ALPNProtocols` takes names and wire form',
    createSecurePair: 'deprecated since Node 0.11, and gone from newer ones',
  },
  TLSSocket: {
    ssl: 'undocumented: the handle of OpenSSL, of which there is none',
  },
  'tls.Server': {
    ...undocumented(
      ...['requestCert', 'rejectUnauthorized', 'ALPNCallback', 'pfx', 'key', 'passphrase', 'cert', 'ca', 'minVersion'],
      ...['maxVersion', 'secureProtocol', 'crl', 'sigalgs', 'ciphers', 'ecdhCurve', 'dhparam', 'honorCipherOrder'],
      ...['secureOptions', 'sessionIdContext', 'clientCertEngine', 'privateKeyIdentifier', 'privateKeyEngine'],
      'certificateCompression',
    ),
    setOptions: 'deprecated since Node 12, and gone from newer ones: see `setSecureContext`',
  },
};

function undocumented(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, 'undocumented: where a server keeps its options']));
}

const pairs: readonly (readonly [name: string, node: object, ours: object])[] = [
  ['tls', nodeTls, tls],
  ['https', nodeHttps, https],
  ['http2', nodeHttp2, http2],
  ['TLSSocket', new native.TLSSocket(new Socket()), new tls.TLSSocket(new Socket())],
  ['SecureContext', native.createSecureContext(serverOptions), tls.createSecureContext(serverOptions)],
  ['tls.Server', native.createServer(serverOptions), tls.createServer(serverOptions)],
  ['https.Server', nodeHttps.createServer(serverOptions), https.createServer(serverOptions)],
  ['https.Agent', new nodeHttps.Agent(), new https.Agent()],
  ['http2.Server', nodeHttp2.createSecureServer(serverOptions), http2.createSecureServer(serverOptions)],
];

/** Its own and inherited ones. Those that begin with an underscore are Node's business. */
function namesOf(thing: object): Set<string> {
  const names = new Set<string>();
  for (let at = thing; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at).filter((one) => !one.startsWith('_'))) {
      names.add(name);
    }
  }
  return names;
}

for (const [name, node, ours] of pairs) {
  test(`${name} has every name that Node's has, or a reason`, () => {
    const has = namesOf(ours);
    const reasons = leftOut[name] ?? {};
    const missing = [...namesOf(node)].filter((one) => !has.has(one));
    assert.deepEqual(
      missing.filter((one) => reasons[one] === undefined),
      [],
    );
    assert.deepEqual(
      Object.keys(reasons).filter((one) => has.has(one)),
      [],
      'is there after all',
    );
  });
}

test('addresses on a blockList are neither served nor connected to, where Node has it', async (t) => {
  const blockList = new BlockList();
  blockList.addAddress('127.0.0.1');
  if ((new Server({ blockList } as ServerOpts) as { blockList?: unknown }).blockList === undefined) {
    t.skip('this Node has none');
    return;
  }
  const server = tls.createServer({ ...serverOptions, blockList });
  const port = await listen(server);
  const toLocalhost = { host: '127.0.0.1', port, servername: 'localhost', ...trust };
  assert.equal((await failure(tls.connect(toLocalhost), 'secureConnect')).code, 'ECONNRESET');
  assert.equal((await failure(tls.connect({ ...toLocalhost, blockList }), 'connect')).code, 'ERR_IP_BLOCKED');
  assert.equal(server.counters.accepted, 0);
  await closed(server);
});

test('options that would lead elsewhere if they were not heard are refused', () => {
  const proxied = { proxyEnv: { HTTPS_PROXY: 'http://127.0.0.1:3128' } };
  assert.throws(() => new https.Agent(proxied as https.AgentOptions), { code: 'TLS_ERR_NOT_SUPPORTED' });
});
