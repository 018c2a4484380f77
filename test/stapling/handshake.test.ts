/** What comes beside a chain: stapled OCSP responses and certificate timestamps, and the choice by authorities. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Need } from '../../src/actions.ts';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, Credential, ServerContext } from '../../src/connection-options.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { encodeCertificate } from '../../src/messages/certificate.ts';
import { decodeCertificateRequest, encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeTimestamps, encodeTimestamps } from '../../src/messages/signed-certificate-timestamps.ts';
import { asksForOcsp, encodeStatusExtension, OCSP_STATUS_REQUEST } from '../../src/messages/status-request.ts';
import { encodeCertificateStatus } from '../../src/messages/tls12/certificate-status.ts';
import { identity, World } from '../support/connections.ts';
import { clientIn, serverIn, strike } from '../support/stages.ts';
import { stage12 } from '../support/stages12.ts';

const world = new World();
after(() => world.close());

const staple = utf8('an OCSP response, as far as the core can tell');
const timestamps = [utf8('the promise of one log'), utf8('and of another')];
const credential: Credential = {
  ...identity().credential,
  ocspResponse: staple,
  signedCertificateTimestamps: timestamps,
};
const context: ServerContext = { ...world.context, credentials: [credential] };
const asks: Partial<ClientOptions> = { statusRequest: true, signedCertificateTimestamp: true };

type VerifyNeed = Extract<Need, { kind: 'verifyCertificate' }>;

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  const versions = [version];

  describe(`beside the chain, ${version},`, () => {
    test('come the staple and the timestamps, when they are asked for', () => {
      const link = world.pair({ ...asks, versions }, { context, versions });
      link.client.hold = ['verifyCertificate'];
      link.run();
      const need = link.client.need as VerifyNeed;
      assert.deepEqual(need.ocspResponse, staple);
      assert.deepEqual(need.signedCertificateTimestamps, timestamps);
      link.client.answer();
      link.deliver().assertComplete();
      assert.deepEqual(link.client.summary?.ocspResponse, staple);
      assert.deepEqual(link.client.summary?.signedCertificateTimestamps, timestamps);
      link.forget();
    });

    test('comes nothing that is not asked for, or not there', () => {
      for (const [client, server] of [
        [{}, context],
        [asks, world.context],
      ] as const) {
        const link = world.connect({ ...client, versions }, { context: server, versions });
        assert.equal(link.client.summary?.ocspResponse, undefined);
        assert.equal(link.client.summary?.signedCertificateTimestamps, undefined);
        link.forget();
      }
    });

    test('comes one without the other', () => {
      const only = world.connect({ statusRequest: true, versions }, { context, versions });
      assert.deepEqual(only.client.summary?.ocspResponse, staple);
      assert.equal(only.client.summary?.signedCertificateTimestamps, undefined);
      only.forget();
      const other = world.connect({ signedCertificateTimestamp: true, versions }, { context, versions });
      assert.equal(other.client.summary?.ocspResponse, undefined);
      assert.deepEqual(other.client.summary?.signedCertificateTimestamps, timestamps);
      other.forget();
    });

    test('comes nothing in a resumption, which has no chain', () => {
      const first = world.connect({ ...asks, versions }, { context, versions });
      const session = first.client.sessions[0] ?? first.client.sessions12[0];
      const second = world.connect({ ...asks, versions, session }, { context, versions });
      assert.equal(second.client.summary?.resumed, true);
      assert.equal(second.client.summary?.ocspResponse, undefined);
      assert.equal(second.client.summary?.signedCertificateTimestamps, undefined);
      first.forget();
      second.forget();
    });

    test('comes what the host says at each hello, now or later, or nothing', () => {
      const asking = { ...context, askCertificateStatus: true };
      for (const answer of [utf8('fresh from the responder'), undefined]) {
        const link = world.pair({ ...asks, versions }, { context: asking, versions });
        link.server.status = answer;
        link.server.hold = ['certificateStatus'];
        link.run();
        const { need } = link.server;
        assert(need?.kind === 'certificateStatus');
        assert.deepEqual(need.certificateChain, credential.certificateChain);
        link.server.answer();
        link.deliver().assertComplete();
        assert.deepEqual(link.client.summary?.ocspResponse, answer);
        link.forget();
      }
    });

    test('the host is not asked for a client that asks for no staple', () => {
      const link = world.pair({ versions }, { context: { ...context, askCertificateStatus: true }, versions });
      link.server.hold = ['certificateStatus'];
      link.run().assertComplete();
      link.forget();
    });
  });
}

describe('TLS 1.3: a certificate with', () => {
  const [certificate] = credential.certificateChain;
  type Extensions = Parameters<typeof encodeCertificate>[0]['entries'][number]['extensions'];
  const cases: [string, Partial<ClientOptions>, Extensions, TLSErrorCode][] = [
    [
      'a staple that was not asked for',
      {},
      { statusRequest: encodeStatusExtension(staple) },
      'TLS_ERR_UNSUPPORTED_EXTENSION',
    ],
    [
      'timestamps that were not asked for',
      { statusRequest: true },
      { signedCertificateTimestamps: encodeTimestamps(timestamps) },
      'TLS_ERR_UNSUPPORTED_EXTENSION',
    ],
    ['an empty staple', asks, { statusRequest: encodeStatusExtension(new Uint8Array(0)) }, 'TLS_ERR_DECODE'],
    [
      'a staple that is followed by a byte',
      asks,
      { statusRequest: concat(encodeStatusExtension(staple), Uint8Array.of(0)) },
      'TLS_ERR_DECODE',
    ],
    ['a status of another type', asks, { statusRequest: Uint8Array.of(2, 0, 0, 1, 0) }, 'TLS_ERR_ILLEGAL_PARAMETER'],
    ['an empty list of timestamps', asks, { signedCertificateTimestamps: Uint8Array.of(0, 0) }, 'TLS_ERR_DECODE'],
    ['an empty timestamp', asks, { signedCertificateTimestamps: Uint8Array.of(0, 2, 0, 0) }, 'TLS_ERR_DECODE'],
    [
      'more timestamps than there are logs',
      asks,
      { signedCertificateTimestamps: encodeTimestamps(Array.from({ length: 33 }, () => Uint8Array.of(1))) },
      'TLS_ERR_DECODE',
    ],
  ];
  for (const [what, client, extensions, code] of cases) {
    test(`${what} is refused`, () => {
      const message = encodeCertificate({ requestContext: new Uint8Array(0), entries: [{ certificate, extensions }] });
      const tamper = (name: string, raw: Uint8Array) => (name === 'certificate' ? message : raw);
      const stage = clientIn(world, 'AwaitCertificateVerdict', { client, tamper });
      assert.equal(stage.victim.error?.code, code, stage.victim.error?.message);
      strike(stage);
    });
  }

  test('a staple beside an issuer is no business of the leaf', () => {
    const entries = [
      { certificate, extensions: {} },
      { certificate, extensions: { statusRequest: encodeStatusExtension(staple) } },
    ];
    const message = encodeCertificate({ requestContext: new Uint8Array(0), entries });
    const tamper = (name: string, raw: Uint8Array) => (name === 'certificate' ? message : raw);
    const stage = clientIn(world, 'AwaitCertificateVerdict', { client: asks, tamper });
    assert.equal((stage.victim.need as VerifyNeed).ocspResponse, undefined);
    strike(stage);
  });
});

describe('TLS 1.2: a server that has announced a CertificateStatus', () => {
  const state = 'ExpectCertificateStatusOrServerKeyExchange12';

  test('may send none: the chain is judged without', () => {
    const stage = stage12(world, 'client', state);
    const status = stage.next.findIndex(({ name }) => name === 'certificate_status');
    assert.notEqual(status, -1);
    stage.next.splice(status, 1);
    stage.victim.hold = ['verifyCertificate'];
    stage.victim.receive(stage.puppet.say(stage.next[0]));
    assert.equal(stage.victim.connection.state, 'AwaitCertificateVerdict12');
    assert.equal((stage.victim.need as VerifyNeed).ocspResponse, undefined);
    // The ServerKeyExchange was kept meanwhile; its signature covers what it covered.
    stage.victim.answer().assertFine();
    assert.equal(stage.victim.connection.state, 'ExpectCertificateRequestOrServerHelloDone12');
    strike(stage);
  });

  for (const [what, raw, code] of [
    ['an empty one', encodeCertificateStatus({ response: new Uint8Array(0) }), 'TLS_ERR_DECODE'],
    ['one of another type', Uint8Array.of(22, 0, 0, 5, 2, 0, 0, 1, 9), 'TLS_ERR_ILLEGAL_PARAMETER'],
  ] as const) {
    test(`is refused with ${what}`, () => {
      const stage = stage12(world, 'client', state);
      stage.victim.receive(stage.puppet.say({ name: 'certificate_status', raw }));
      assert.equal(stage.victim.error?.code, code);
      strike(stage);
    });
  }

  test('may not send it unannounced', () => {
    const stage = stage12(world, 'client', 'ExpectServerKeyExchange12');
    const raw = encodeCertificateStatus({ response: staple });
    stage.victim.receive(stage.puppet.say({ name: 'certificate_status', raw }));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(stage);
  });
});

describe('what a client asks for', () => {
  test('is an OCSP response of any responder', () => {
    assert.equal(asksForOcsp(OCSP_STATUS_REQUEST), true);
    assert.equal(asksForOcsp(undefined), false);
    assert.equal(asksForOcsp(Uint8Array.of(2, 1, 2, 3)), false, 'another type of status is passed over');
    assert.equal(asksForOcsp(Uint8Array.of(1, 0, 3, 0, 1, 9, 0, 2, 7, 7)), true, 'so are its wishes');
    for (const bad of [[], [1], [1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 9, 0, 0]]) {
      assert.throws(() => asksForOcsp(Uint8Array.from(bad)), { code: 'TLS_ERR_DECODE' });
    }
  });

  test('may not change after a HelloRetryRequest', () => {
    const names = { certificateAuthorities: [utf8('a name')], acceptCompressedCertificates: ['brotli'] } as const;
    for (const change of [
      { statusRequest: undefined },
      { statusRequest: Uint8Array.of(1, 0, 3, 0, 1, 9, 0, 0) },
      { signedCertificateTimestamp: undefined },
      { compressCertificate: [1] },
      { certificateAuthorities: [utf8('another')] },
    ]) {
      const client = world.client({ ...asks, ...names, keyShares: ['secp256r1'], grease: false });
      const server = world.server({ namedGroups: ['x25519'] });
      server.receive(client.start().flush());
      client.receive(server.flush());
      const records = client.flush();
      // change_cipher_spec goes first.
      const at = records.indexOf(22);
      const hello = decodeClientHello(records.slice(at + 9));
      const changed = encodeClientHello({ ...hello, extensions: { ...hello.extensions, ...change } });
      const record = concat(Uint8Array.of(22, 3, 3, changed.length >>> 8, changed.length & 0xff), changed);
      server.receive(concat(records.slice(0, at), record));
      assert.equal(server.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER', Object.keys(change)[0]);
      client.forget();
      server.forget();
    }
  });

  test('may be timestamps, with nothing more to say', () => {
    const stage = serverIn(world, 'ExpectClientHello', { client: asks });
    const hello = stage.flight.get('client_hello');
    assert(hello !== undefined);
    const { extensions } = decodeClientHello(hello.subarray(4));
    assert.equal(extensions.signedCertificateTimestamp, true);
    assert.deepEqual(extensions.statusRequest, OCSP_STATUS_REQUEST);
    strike(stage);
  });

  test('is encoded as the RFCs have it', () => {
    assert.deepEqual(encodeStatusExtension(Uint8Array.of(7)), Uint8Array.of(1, 0, 0, 1, 7));
    assert.deepEqual(
      encodeTimestamps([Uint8Array.of(7), Uint8Array.of(8, 9)]),
      Uint8Array.of(0, 7, 0, 1, 7, 0, 2, 8, 9),
    );
    assert.deepEqual(decodeTimestamps(encodeTimestamps(timestamps)), timestamps);
  });
});

describe('the choice of a certificate by authorities', () => {
  const name = (text: string) => utf8(`the DER of ${text}`);
  const public_ = { ...identity('ed25519', 'public').credential, issuers: [name('intermediate'), name('public root')] };
  const private_ = { ...identity('ed25519', 'private').credential, issuers: [name('private root')] };
  const rsa = { ...identity('rsa').credential, issuers: [name('private root')] };
  const unknown = identity('ec-p256').credential;

  function chosen(credentials: readonly Credential[], authorities: readonly Uint8Array[] | undefined) {
    const server = world.server({ context: { ...world.context, credentials } });
    const client = world.client(authorities === undefined ? {} : { certificateAuthorities: authorities });
    client.hold = ['verifyCertificate'];
    server.receive(client.start().flush());
    client.receive(server.flush());
    const { chain } = client.need as VerifyNeed;
    client.forget();
    server.forget();
    return credentials.find(({ certificateChain }) => certificateChain[0].join() === chain[0].join());
  }

  test('takes the first when the client names none', () => {
    assert.equal(chosen([public_, private_, rsa], undefined), public_);
    assert.equal(chosen([private_, public_], undefined), private_);
  });

  test('takes the first that leads to one that the client names', () => {
    assert.equal(chosen([public_, private_, rsa], [name('private root')]), private_);
    assert.equal(chosen([private_, public_], [name('nobody'), name('public root')]), public_);
    assert.equal(chosen([private_, public_], [name('intermediate')]), public_);
    assert.equal(chosen([unknown, rsa], [name('private root')]), rsa);
  });

  test('takes the first when none leads there, as the client may trust more than it names', () => {
    assert.equal(chosen([unknown, public_, private_], [name('nobody')]), unknown);
  });
});

describe('a CertificateRequest', () => {
  test('with oid_filters is answered as one without: no extension of ours is one that it could mean', () => {
    const plain = encodeCertificateRequest({ requestContext: new Uint8Array(0), signatureAlgorithms: [0x0807] });
    // oid_filters(48): one filter with an OID of two bytes and any value.
    const filters = Uint8Array.of(0, 48, 0, 7, 0, 5, 2, 0x2a, 3, 0, 0);
    const block = plain.subarray(7);
    const body = concat(Uint8Array.of(0, 0, block.length + filters.length), block, filters);
    const raw = concat(Uint8Array.of(13, 0, 0, body.length), body);
    assert.deepEqual(decodeCertificateRequest(body).types, [13, 48]);
    const stage = clientIn(world, 'ExpectCertificate', {
      certificateRequest: true,
      tamper: (name, message) => (name === 'certificate_request' ? raw : message),
    });
    stage.victim.assertFine();
    assert.equal(stage.victim.connection.state, 'ExpectCertificate');
    strike(stage);
  });

  test('is the only place of oid_filters: a ClientHello with them is refused', () => {
    const client = world.client({ grease: false });
    const server = world.server();
    const hello = decodeClientHello(client.start().flush().slice(9));
    const unknown = [{ type: 48, data: Uint8Array.of(0, 0) }];
    const changed = encodeClientHello({ ...hello, extensions: { ...hello.extensions, unknown } });
    server.receive(concat(Uint8Array.of(22, 3, 3, changed.length >>> 8, changed.length & 0xff), changed));
    assert.equal(server.error?.code, 'TLS_ERR_MISPLACED_EXTENSION');
    client.forget();
    server.forget();
  });

  test('says how a certificate may be compressed', () => {
    const raw = encodeCertificateRequest({
      requestContext: new Uint8Array(0),
      signatureAlgorithms: [0x0807],
      compressCertificate: [2, 1],
    });
    assert.deepEqual(decodeCertificateRequest(raw.subarray(4)).compressCertificate, [2, 1]);
  });
});
