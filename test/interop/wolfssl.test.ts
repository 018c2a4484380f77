/** wolfSSL, as a client of our server and as a server of our client. */

import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect } from '../../src/node/tls.ts';
import { alice, clientCa, mallory } from '../node/client-support.ts';
import { Peer, skipUnlessLibrary } from './peers.ts';
import {
  authority,
  type CallOptions,
  certificateFor,
  closing,
  file,
  hangGuard,
  type KeyType,
  LineServer,
  only12,
  pemFiles,
  call as plainCall,
} from './support.ts';

const versions = [
  ['TLSv1.3', 'version=13', {}],
  ['TLSv1.2', 'version=12', only12],
] as const;
const clientCaFile = file('client-ca.pem', clientCa.pem);
const aliceFiles = pemFiles('alice', alice);
const malloryFiles = pemFiles('mallory', mallory);

describe('wolfSSL', { ...hangGuard, ...skipUnlessLibrary('wolfssl/ssl.h') }, () => {
  let peer: Peer;
  let main: LineServer;
  const servers: LineServer[] = [];

  before(async () => {
    peer = await Peer.compile('wolfssl', ['-lwolfssl']);
    main = await serve({ ...certificateFor('ecdsa-p256'), ALPNProtocols: ['mayfly/1'] });
  });
  after(async () => {
    for (const server of servers) {
      server.stop();
    }
    await peer.stop();
  });

  async function serve(options: Parameters<typeof LineServer.start>[0]): Promise<LineServer> {
    const server = await LineServer.start(options);
    servers.push(server);
    return server;
  }

  const call = (options: CallOptions) => plainCall({ reply: (line) => line, ...options });

  for (const [how, ...args] of [
    ['its ticket', 'version=13', 'update=1'],
    ['its ticket', 'version=12', 'ticket=1'],
    ['its ID', 'version=12'],
  ] as const) {
    test(`as a client resumes a session by ${how}, twice over (${args.join(' ')})`, async () => {
      const { text, visits } = await peer.visit(main, 3, 'alpn=mayfly/1', ...args);
      const seen = visits.map(({ summary }) => [summary.resumedBy, summary.pskMode, summary.alpnProtocol]);
      const resumedBy = how === 'its ID' ? 'id' : 'ticket';
      const pskMode = args[0] === 'version=13' ? 'psk_dhe_ke' : undefined;
      assert.deepEqual(seen, [
        [undefined, undefined, 'mayfly/1'],
        [resumedBy, pskMode, 'mayfly/1'],
        [resumedBy, pskMode, 'mayfly/1'],
      ]);
      assert.deepEqual(text.match(/alpn mayfly\/1 (full|resumed)/g)?.length, 3);
    });
  }

  test('as a client without a share is asked for one, and resumes through that too', async () => {
    const { visits } = await peer.visit(main, 2, 'version=13', 'noShares=1', 'alpn=mayfly/1');
    const seen = visits.map(({ summary }) => [summary.helloRetried, summary.resumed]);
    assert.deepEqual(seen, [
      [true, false],
      [true, true],
    ]);
  });

  test('as a client that goes without a key exchange gets no ticket', async () => {
    const { visits } = await peer.visit(main, 2, 'version=13', 'pskKe=1', 'alpn=mayfly/1');
    assert.deepEqual(
      visits.map(({ summary }) => summary.resumed),
      [false, false],
    );
  });

  test('as a client shows its certificate, also when it resumes; that of another authority is refused', async () => {
    const server = await serve({ ...certificateFor('ed25519'), requestCert: true, ca: clientCa.pem });
    for (const [, version] of versions) {
      const own = [`cert=${aliceFiles.cert}`, `key=${aliceFiles.key}`];
      const { visits } = await peer.visit(server, 2, version, ...own);
      assert.deepEqual(
        visits.map(({ socket, summary }) => [socket.authorized, summary.peerCertificates.length, summary.resumed]),
        [
          [true, 1, false],
          [true, 1, true],
        ],
      );
      await peer.refused(server, version, `cert=${malloryFiles.cert}`, `key=${malloryFiles.key}`);
      assert.equal((server.failures.pop() as NodeJS.ErrnoException).code, 'TLS_ERR_UNKNOWN_CA');
    }
  });

  for (const [version, argument, options] of versions) {
    test(`as a server resumes our sessions, and renews its keys, ${version}`, async () => {
      const update = version === 'TLSv1.3' ? ['update=1'] : [];
      const { port } = await peer.serve(pemFiles('plain', certificateFor('rsa')), argument, 'alpn=mayfly/1', ...update);
      const ALPNProtocols = ['mayfly/1'];
      for (const secureOptions of version === 'TLSv1.3' ? [0] : [0, constants.SSL_OP_NO_TICKET]) {
        const inMiddle: CallOptions['inMiddle'] = async (socket, exchange) => {
          if (version === 'TLSv1.3') {
            socket.updateKeys(true);
          }
          await exchange();
        };
        const common = { port, ALPNProtocols, secureOptions, inMiddle, ...options };
        const first = await call({ ...common, tickets: 1 });
        assert.deepEqual([first.summary.version, first.summary.resumed, first.clean], [version, false, true]);
        const { summary } = await call({ ...common, session: first.sessions[0] });
        assert.equal(summary.resumedBy, secureOptions === 0 ? 'ticket' : 'id');
        assert.equal(summary.alpnProtocol, 'mayfly/1');
      }
    });

    test(`as a server knows our client by its certificate, ${version}`, async () => {
      const { port, tool } = await peer.serve(
        pemFiles('asking', certificateFor('ed25519')),
        argument,
        `ca=${clientCaFile}`,
      );
      assert.equal((await call({ port, ...options, ...alice })).summary.signatureScheme, 'ed25519');
      const trust = { host: '127.0.0.1', port, servername: 'localhost', ca: authority };
      const socket = connect({ ...trust, ...options, ...mallory }).resume();
      assert.match(String((await closing(socket))?.message), /unknown_ca/);
      await tool.until(/failed accept/);
    });
  }

  test('as a server asks for another share with a cookie, and resumes through that', async () => {
    const { port } = await peer.serve(
      pemFiles('hrr', certificateFor('ecdsa-p384')),
      'version=13',
      'groups=P-384',
      'cookie=1',
    );
    const groups = ['x25519', 'secp384r1'];
    const first = await call({ port, groups, tickets: 1 });
    const { summary } = await call({ port, groups, session: first.sessions[0] });
    assert.deepEqual([first.summary.helloRetried, summary.helloRetried, summary.resumed], [true, true, true]);
  });

  test('is believed, and believes us, with certificates of each key type that it knows', async () => {
    for (const type of ['ecdsa-p256', 'ecdsa-p521', 'ed448', 'rsa'] as KeyType[]) {
      const pem = certificateFor(type);
      const server = await serve(pem);
      await peer.visit(server, 1, 'version=13');
      const { port, tool } = await peer.serve(pemFiles(type, pem), 'version=12');
      await call({ port });
      await tool.stop();
    }
  });
});
