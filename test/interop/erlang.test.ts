/** Erlang/OTP's ssl, as a client of our server and as a server of our client. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from '../../src/node/tls.ts';
import { alice, clientCa, mallory } from '../node/client-support.ts';
import { skipUnless } from '../support/tools.ts';
import { ErlangPeer } from './peers.ts';
import {
  authority,
  type CallOptions,
  certificateFor,
  closing,
  exchangeLine,
  file,
  hangGuard,
  LineServer,
  only12,
  pemFiles,
  call as plainCall,
} from './support.ts';

const only13 = "{versions, ['tlsv1.3']}";
const speaks12 = "{versions, ['tlsv1.2']}";
const clientCaFile = file('client-ca.pem', clientCa.pem);
const EARLY = 'an early line';

describe('Erlang', { ...hangGuard, ...skipUnless('escript') }, () => {
  let erlang: ErlangPeer;
  let main: LineServer;
  /** Its TLS 1.2 knows no extended master secret before OTP 26 or so. */
  const legacy = { allowLegacyMasterSecret: true };

  before(async () => {
    erlang = new ErlangPeer();
    main = await LineServer.start({
      ...certificateFor('ecdsa-p256'),
      ...legacy,
      ALPNProtocols: ['mayfly/1'],
      sessions: { earlyData: true },
    });
    main.server.on('earlyConnection', (socket: TLSSocket) => {
      socket.once('earlyData', (chunk: Buffer) => socket.write(chunk));
    });
  });
  after(async () => {
    main.stop();
    await erlang.stop();
  });

  const call = (options: CallOptions) => plainCall({ reply: (line) => line, ...options });

  function ownFiles(name: string, pem: { cert: string; key: string }): string {
    const { cert, key } = pemFiles(name, pem);
    return `{certfile, "${cert}"}, {keyfile, "${key}"}`;
  }

  test('as a client resumes our ticket, and sends early data with it', async () => {
    const foreign = await erlang.serve(pemFiles('foreign', certificateFor('rsa')), '{session_tickets, stateless}');
    // Without a ticket to offer its hello names no way to use one, so that we send it none (RFC 9846 §4.3.9).
    await erlang.visit(foreign, `${only13}, {session_tickets, manual}`, 'ticket');
    const tells = (resumed: boolean, ...steps: string[]) => `visit tlsv1.3 resumed ${resumed} [${steps.join(',')}]`;
    const steps = '{exchange, 2000}, ticket';
    assert.equal(await erlang.visit(main.port, only13, steps, 'again'), tells(false, 'same', 'kept'));
    assert.equal(main.visit().summary.refusal !== undefined, true);
    assert.equal(await erlang.visit(main.port, only13, steps, 'again'), tells(true, 'same', 'kept'));
    assert.equal(main.visit().summary.pskMode, 'psk_dhe_ke');
    const early = `${only13}, {early_data, <<"${EARLY}">>}`;
    const answer = await erlang.visit(main.port, early, `{early, ${EARLY.length}}, ${steps}`, 'again');
    assert.equal(answer, tells(true, `{ok,<<"${EARLY}">>}`, 'same', 'kept'));
    assert.equal(main.visit().summary.earlyData, 'taken');
  });

  test('as a client answers a HelloRetryRequest, renews its keys, and writes byte by byte', async () => {
    const server = await LineServer.start({ ...certificateFor('ed25519'), groups: ['secp384r1'] });
    const options = `${only13}, {supported_groups, [x25519, secp384r1]}`;
    const steps = '{update, write}, {exchange, 40000}, {update, read_write}, {exchange, 20}, {bytewise, 200}';
    const told = await erlang.visit(server.port, options, steps);
    assert.equal(told, 'visit tlsv1.3 resumed false [ok,same,ok,same,same]');
    assert.equal(server.visit().summary.helloRetried, true);
    assert.equal(server.server.counters.keyUpdates, 3);
    server.stop();
  });

  test('as a client resumes by ID in TLS 1.2, and is refused where extended master secret is asked for', async () => {
    const offers = `${speaks12}, {alpn_advertised_protocols, [<<"mayfly/1">>]}`;
    const steps = 'alpn, {exchange, 40000}';
    const expected = '[{ok,<<"mayfly/1">>},same]';
    const first = await erlang.visit(main.port, `${offers}, {reuse_sessions, save}`, steps);
    assert.equal(first, `visit tlsv1.2 resumed false ${expected}`);
    const { summary } = main.visit();
    assert.equal(summary.resumed, false);
    if (!summary.extendedMasterSecret) {
      const strict = await LineServer.start(certificateFor('ecdsa-p256'));
      assert.match(await erlang.visit(strict.port, speaks12, ''), /visit failed .*handshake_failure/);
      assert.equal((strict.failures[0] as NodeJS.ErrnoException).code, 'TLS_ERR_EXTENDED_MASTER_SECRET');
      strict.stop();
    }
  });

  test('as a client shows its certificate; that of another authority is refused', async () => {
    const server = await LineServer.start({
      ...certificateFor('rsa'),
      ...legacy,
      requestCert: true,
      ca: clientCa.pem,
    });
    for (const version of [only13, speaks12]) {
      const own = `${version}, ${ownFiles('alice', alice)}`;
      assert.match(await erlang.visit(server.port, own, '{exchange, 20}'), /\[same\]$/);
      assert.equal(server.visit().socket.authorized, true);
      assert.match(
        await erlang.visit(server.port, `${version}, ${ownFiles('mallory', mallory)}`, ''),
        /unknown_ca|closed|\[\]/,
      );
      assert.equal((server.failures.pop() as NodeJS.ErrnoException).code, 'TLS_ERR_UNKNOWN_CA');
    }
    server.stop();
  });

  for (const kind of ['stateless', 'stateful']) {
    test(`as a server resumes our sessions with ${kind} tickets, also after a HelloRetryRequest`, async () => {
      const pem = pemFiles('tickets', certificateFor('ecdsa-p384'));
      const port = await erlang.serve(pem, `{session_tickets, ${kind}}, {supported_groups, [secp384r1, secp256r1]}`);
      for (const groups of [['secp384r1'], ['x25519', 'secp256r1']]) {
        const first = await call({ port, groups, tickets: 1 });
        const { summary } = await call({ port, groups, session: first.sessions[0] });
        assert.equal(first.summary.helloRetried, groups.length > 1);
        assert.deepEqual([summary.resumed, summary.helloRetried], [true, groups.length > 1]);
      }
    });
  }

  test('as a server takes our early data', async () => {
    const pem = pemFiles('early', certificateFor('ecdsa-p256'));
    const port = await erlang.serve(pem, '{session_tickets, stateless}, {early_data, enabled}');
    const { sessions } = await call({ port, tickets: 1 });
    const trust = { host: '127.0.0.1', port, servername: 'localhost', ca: authority };
    const socket = connect({ ...trust, session: sessions[0], earlyData: Buffer.from(EARLY) });
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(String(answer), EARLY);
    assert.equal(socket.mayfly?.earlyData, 'taken');
    socket.destroy();
  });

  test('as a server renews its keys and asks for ours, and takes ours', async () => {
    const port = await erlang.serve(pemFiles('keys', certificateFor('ed25519')), only13);
    await call({
      port,
      inMiddle: async (socket, exchange) => {
        socket.write('update\n');
        await once(socket, 'data');
        await exchange();
        socket.updateKeys(true);
        await exchange();
        await exchangeLine(socket, 100_000, (line) => line);
      },
    });
  });

  test('as a server resumes by ID in TLS 1.2', async () => {
    const port = await erlang.serve(pemFiles('old', certificateFor('rsa')), speaks12);
    const first = await call({ port, ...only12, ...legacy, tickets: 1 });
    const { summary } = await call({ port, ...only12, ...legacy, session: first.sessions[0] });
    assert.deepEqual([first.summary.resumedBy, summary.resumedBy], [undefined, 'id']);
  });

  test('as a server knows our client by its certificate', async () => {
    const asks = `{cacertfile, "${clientCaFile}"}, {verify, verify_peer}, {fail_if_no_peer_cert, true}`;
    const port = await erlang.serve(pemFiles('asking', certificateFor('ecdsa-p256')), asks);
    for (const version of [{}, { ...only12, ...legacy }]) {
      await call({ port, ...version, ...alice });
      const trust = { host: '127.0.0.1', port, servername: 'localhost', ca: authority };
      const socket = connect({ ...trust, ...version, ...mallory }).resume();
      assert.match(String((await closing(socket))?.message), /unknown_ca/);
    }
  });
});
