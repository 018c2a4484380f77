/** Compressed certificates in the handshake (RFC 8879): both directions, and what a hostile peer may try. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, Credential, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CertificateCompression, CryptoProvider } from '../../src/crypto/provider.ts';
import { encodeCertificate } from '../../src/messages/certificate.ts';
import {
  compressionByCode,
  compressionCodes,
  decodeCompressedCertificate,
  encodeCompressedCertificate,
} from '../../src/messages/compressed-certificate.ts';
import { maxMessageLength } from '../../src/messages/handshake-message.ts';
import { CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import { identity, World } from '../support/connections.ts';
import { Puppet } from '../support/puppet.ts';
import { asking, clientIn, FLIGHT_KEYS, serverIn, strike } from '../support/stages.ts';

const who = identity('ed25519');
const long: Credential = {
  ...who.credential,
  certificateChain: [utf8('the certificate of a server with a long name '.repeat(60)), utf8('its issuer '.repeat(100))],
};
const world = new World({ credentials: [long] }, { ...who, credential: long });
after(() => world.close());
const all = nodeProvider.certificateCompressions;

/** The names of the messages of a server's flight, as they went over the wire. */
function flightOf(client: Partial<ClientOptions>, server: Partial<ServerOptions> = {}): string[] {
  const link = world.pair(client, server);
  const puppet = new Puppet(link.server.keyLog);
  let read = false;
  link.toClient = (bytes) => {
    if (bytes.length > 0 && !read) {
      read = true;
      puppet.read(bytes, FLIGHT_KEYS);
    }
    return bytes;
  };
  link.run();
  link.assertComplete();
  link.forget();
  puppet.erase();
  return puppet.messages.map(({ name }) => name);
}

describe("the server's chain", () => {
  for (const algorithm of all) {
    test(`comes compressed with ${algorithm} when the client takes that`, () => {
      const link = world.connect({ acceptCompressedCertificates: [algorithm] });
      assert.equal(link.client.summary?.certificateCompression, algorithm);
      assert.equal(link.server.summary?.certificateCompression, algorithm);
      assert.deepEqual(link.client.summary?.peerCertificates, long.certificateChain);
      link.forget();
    });
  }

  test('comes plain when the client takes none, or none that the server makes', () => {
    assert.ok(flightOf({}).includes('certificate'));
    const plain = flightOf({ acceptCompressedCertificates: ['zlib'] }, { compressCertificates: ['brotli'] });
    assert.ok(plain.includes('certificate') && !plain.includes('compressed_certificate'));
    assert.ok(flightOf({ acceptCompressedCertificates: all }, { compressCertificates: [] }).includes('certificate'));
  });

  test("comes by the server's first choice of those that the client takes", () => {
    const client = { acceptCompressedCertificates: ['brotli', 'zlib'] } as const;
    const link = world.connect(client, { compressCertificates: ['zlib', 'brotli'] });
    assert.equal(link.client.summary?.certificateCompression, 'zlib');
    link.forget();
    assert.ok(flightOf(client).includes('compressed_certificate'));
  });

  test('comes plain when compressing makes it no shorter', () => {
    const short = new World();
    const link = short.connect({ acceptCompressedCertificates: all });
    assert.equal(link.client.summary?.certificateCompression, undefined);
    assert.equal(link.server.summary?.certificateCompression, undefined);
    link.forget();
    short.close();
  });

  test('is compressed once for all connections', () => {
    let made = 0;
    const provider: CryptoProvider = {
      ...nodeProvider,
      compress(algorithm, bytes) {
        made++;
        return nodeProvider.compress(algorithm, bytes);
      },
    };
    const fresh = { ...long };
    const context = { ...world.context, credentials: [fresh] };
    for (let i = 0; i < 3; i++) {
      world.connect({ acceptCompressedCertificates: ['brotli'] }, { provider, context }).forget();
    }
    assert.equal(made, 1);
  });

  test('comes compressed after a HelloRetryRequest too', () => {
    const link = world.connect(
      { acceptCompressedCertificates: ['brotli'], keyShares: ['secp256r1'] },
      { namedGroups: ['x25519'] },
    );
    assert.equal(link.client.summary?.helloRetried, true);
    assert.equal(link.client.summary?.certificateCompression, 'brotli');
    link.forget();
  });

  test('is plain in TLS 1.2, whatever the client takes', () => {
    const link = world.connect(
      { versions: ['TLSv1.3', 'TLSv1.2'], acceptCompressedCertificates: all },
      { versions: ['TLSv1.2'] },
    );
    assert.equal(link.client.summary?.certificateCompression, undefined);
    link.forget();
  });
});

describe("the client's chain", () => {
  test('comes compressed when the server takes that', () => {
    const link = world.connect(
      { credentials: [long] },
      { context: asking(world), acceptCompressedCertificates: ['brotli'] },
    );
    assert.deepEqual(link.server.summary?.peerCertificates, long.certificateChain);
    link.forget();
  });

  test('comes compressed after the handshake too, and plain where that is no shorter', () => {
    for (const [credential, compressed] of [
      [long, true],
      [who.credential, false],
    ] as const) {
      const link = world.connect({ credentials: [credential] }, { acceptCompressedCertificates: ['zlib'] });
      const request = { required: true, certificateAuthorities: [] };
      link.server.take(link.server.connection.requestClientCertificate(request));
      link.client.receive(link.server.flush());
      const answer = link.client.flush();
      assert.equal(answer.length < concat(...credential.certificateChain).length, compressed);
      link.server.receive(answer).assertFine();
      assert.deepEqual(link.server.connection.summary?.peerCertificates, credential.certificateChain);
      link.forget();
    }
  });

  test('is refused after the handshake by its first byte where nobody asked for it compressed', () => {
    const stage = serverIn(world, 'Connected');
    stage.victim.receive(stage.puppet.record(CONTENT_HANDSHAKE, Uint8Array.of(25)));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(stage);
  });
});

describe('a compressed certificate', () => {
  const body = encodeCertificate({
    requestContext: new Uint8Array(0),
    entries: long.certificateChain.map((certificate) => ({ certificate, extensions: {} })),
  }).subarray(4);
  const brotli = nodeProvider.compress('brotli', body);
  const good = { algorithm: compressionCodes.brotli, uncompressedLength: body.length, compressed: brotli };

  const cases: [string, Partial<typeof good>, string][] = [
    ['that unfolds to more than it says', { uncompressedLength: body.length - 1 }, 'TLS_ERR_DECOMPRESSION'],
    ['that unfolds to less than it says', { uncompressedLength: body.length + 1 }, 'TLS_ERR_DECOMPRESSION'],
    ['that says it is empty', { uncompressedLength: 0 }, 'TLS_ERR_DECOMPRESSION'],
    ['that says it is 16 MiB long', { uncompressedLength: 0xffffff }, 'TLS_ERR_DECOMPRESSION'],
    ['of another algorithm than it says', { compressed: nodeProvider.compress('zlib', body) }, 'TLS_ERR_DECOMPRESSION'],
    ['by an algorithm that was not offered', { algorithm: compressionCodes.zlib }, 'TLS_ERR_ILLEGAL_PARAMETER'],
    ['by an algorithm that nobody knows', { algorithm: 0x4001 }, 'TLS_ERR_ILLEGAL_PARAMETER'],
    [
      'that is a bomb',
      { compressed: nodeProvider.compress('brotli', new Uint8Array(100_000_000)), uncompressedLength: 100 * 1024 },
      'TLS_ERR_DECOMPRESSION',
    ],
    [
      'that unfolds to what is no Certificate',
      { compressed: nodeProvider.compress('brotli', utf8('nonsense')), uncompressedLength: 8 },
      'TLS_ERR_DECODE',
    ],
  ];
  for (const [what, change, code] of cases) {
    test(`${what} is refused by a client`, () => {
      const tamper = (name: string, raw: Uint8Array) =>
        name === 'certificate' ? encodeCompressedCertificate({ ...good, ...change }) : raw;
      const client = { acceptCompressedCertificates: ['brotli'] } as const;
      const server = { compressCertificates: [] };
      const stage = clientIn(world, 'AwaitCertificateVerdict', { client, server, tamper });
      assert.equal(stage.victim.error?.code, code, stage.victim.error?.message);
      if (code === 'TLS_ERR_DECOMPRESSION') {
        assert.equal(stage.victim.error?.alert, 'bad_certificate');
      }
      strike(stage);
    });

    test(`${what} is refused by a server`, () => {
      const stage = serverIn(world, 'ExpectClientCertificate', {
        server: { acceptCompressedCertificates: ['brotli'], context: asking(world) },
      });
      stage.victim.receive(stage.puppet.handshake(encodeCompressedCertificate({ ...good, ...change })));
      assert.equal(stage.victim.error?.code, code, stage.victim.error?.message);
      strike(stage);
    });
  }

  test('that nobody asked for is refused by its first byte', () => {
    const atClient = clientIn(world, 'ExpectCertificateOrCertificateRequest');
    atClient.victim.receive(atClient.puppet.record(CONTENT_HANDSHAKE, Uint8Array.of(25)));
    assert.equal(atClient.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(atClient);
    const atServer = serverIn(world, 'ExpectClientCertificate');
    atServer.victim.receive(atServer.puppet.record(CONTENT_HANDSHAKE, Uint8Array.of(25)));
    assert.equal(atServer.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    strike(atServer);
  });

  test('is as long as a plain one at most', () => {
    assert.equal(maxMessageLength(25), maxMessageLength(11));
  });

  test('is encoded as the RFC has it', () => {
    const encoded = encodeCompressedCertificate({
      algorithm: 2,
      uncompressedLength: 0x010203,
      compressed: utf8('abc'),
    });
    assert.deepEqual(encoded, concat(Uint8Array.of(25, 0, 0, 11, 0, 2, 1, 2, 3, 0, 0, 3), utf8('abc')));
    assert.deepEqual(decodeCompressedCertificate(encoded.subarray(4)), {
      algorithm: 2,
      uncompressedLength: 0x010203,
      compressed: utf8('abc'),
    });
    assert.throws(() => decodeCompressedCertificate(concat(encoded.subarray(4), Uint8Array.of(0))), /TLSError|DECODE|/);
    const names: (CertificateCompression | undefined)[] = [1, 2, 3, 4].map(compressionByCode);
    assert.deepEqual(names, ['zlib', 'brotli', 'zstd', undefined]);
  });
});
