/** Mbed TLS, TLS 1.2, as a client of our server and as a server of our client. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { alice, clientCa } from '../node/client-support.ts';
import { Peer, skipUnlessLibrary } from './peers.ts';
import {
  type CallOptions,
  certificateFor,
  file,
  hangGuard,
  LineServer,
  only12,
  pemFiles,
  call as plainCall,
  type Visit,
} from './support.ts';

const clientCaFile = file('client-ca.pem', clientCa.pem);
const aliceFiles = pemFiles('alice', alice);

describe('Mbed TLS', { ...hangGuard, ...skipUnlessLibrary('mbedtls/ssl.h') }, () => {
  let peer: Peer;
  let main: LineServer;
  let asking: LineServer;

  before(async () => {
    peer = await Peer.compile('mbedtls', ['-lmbedtls', '-lmbedx509', '-lmbedcrypto']);
    const pem = certificateFor('ecdsa-p256');
    main = await LineServer.start({ ...pem, ALPNProtocols: ['mayfly/1'] });
    asking = await LineServer.start({ ...pem, requestCert: true, ca: clientCa.pem });
  });
  after(async () => {
    main.stop();
    asking.stop();
    await peer.stop();
  });

  const call = (options: CallOptions) => plainCall({ reply: (line) => line, ...only12, ...options });
  const resumedBy = (visits: readonly Visit[]) => visits.map(({ summary }) => summary.resumedBy);

  test('as a client resumes a session by its ID and by its ticket, twice over', async () => {
    const byId = await peer.visit(main, 3, 'alpn=mayfly/1');
    assert.deepEqual(resumedBy(byId.visits), [undefined, 'id', 'id']);
    const byTicket = await peer.visit(main, 3, 'alpn=mayfly/1', 'ticket=1');
    assert.deepEqual(resumedBy(byTicket.visits), [undefined, 'ticket', 'ticket']);
    assert.equal(byTicket.text.match(/alpn mayfly\/1$/gm)?.length, 3);
  });

  test('as a client of small records gets them; it puts no message together, so none is cut that fits', async () => {
    // MBEDTLS_SSL_MAX_FRAG_LEN_512: the flight takes more, none of its messages does.
    const { visits } = await peer.visit(main, 1, 'fragment=1', 'alpn=mayfly/1');
    assert.equal(visits[0].summary.extendedMasterSecret, true);
  });

  test('as a client shows its certificate, also when it resumes; without one it is refused', async () => {
    const own = [`cert=${aliceFiles.cert}`, `key=${aliceFiles.key}`];
    const { visits } = await peer.visit(asking, 2, 'ticket=1', ...own);
    assert.deepEqual(
      visits.map(({ socket, summary }) => [socket.authorized, summary.resumed]),
      [
        [true, false],
        [true, true],
      ],
    );
    assert.match(await peer.refused(asking), /fatal alert/);
    assert.equal((asking.failures.pop() as NodeJS.ErrnoException).code, 'TLS_ERR_CERTIFICATE_REQUIRED');
  });

  test('as a server resumes our sessions by ticket and by ID', async () => {
    const { port } = await peer.serve(pemFiles('plain', certificateFor('rsa')), 'alpn=mayfly/1');
    for (const [secureOptions, how] of [
      [0, 'ticket'],
      [constants.SSL_OP_NO_TICKET, 'id'],
    ] as const) {
      const common = { port, secureOptions, ALPNProtocols: ['mayfly/1'] };
      const first = await call({ ...common, tickets: 1 });
      assert.deepEqual([first.summary.resumed, first.clean], [false, true]);
      const { summary } = await call({ ...common, session: first.sessions[0] });
      assert.deepEqual([summary.resumedBy, summary.alpnProtocol], [how, 'mayfly/1']);
    }
  });

  test('as a server knows our client by its certificate, in small records', async () => {
    const pem = pemFiles('asking', certificateFor('ecdsa-p384'));
    const { port, tool } = await peer.serve(pem, `ca=${clientCaFile}`, 'fragment=1');
    await call({ port, ...alice });
    // It hangs up without an alert.
    await assert.rejects(call({ port }));
    await tool.until(/failed accept/);
  });

  test('as a server renegotiates while our client sends: its data waits, as Mbed TLS takes none in the middle', async () => {
    const { port, tool } = await peer.serve(pemFiles('again', certificateFor('ecdsa-p256')), 'renegotiates=1');
    const { sessions, clean } = await call({
      port,
      inMiddle: async (_socket, exchange) => {
        await exchange();
        await exchange();
      },
    });
    assert.deepEqual([sessions.length, clean], [2, true], 'a session of each handshake');
    assert.doesNotMatch(tool.text, /failed/);
  });
});
