/** What a handshake over QUIC refuses, and with which error code the connection is closed. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { TLSError } from '../../src/errors.ts';
import { encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import {
  type ClientHello,
  type ClientHelloExtensions,
  decodeClientHello,
  encodeClientHello,
} from '../../src/messages/client-hello.ts';
import { contentTypes, handshakeTypes } from '../../src/messages/code-points.ts';
import {
  decodeEncryptedExtensions,
  type EncryptedExtensionsBlock,
  encodeEncryptedExtensions,
} from '../../src/messages/encrypted-extensions.ts';
import { encodeKeyUpdate } from '../../src/messages/key-update.ts';
import { decodeNewSessionTicket, encodeNewSessionTicket } from '../../src/messages/new-session-ticket.ts';
import { decodeServerHello, encodeServerHello } from '../../src/messages/server-hello.ts';
import { quicErrorCode } from '../../src/quic.ts';
import { World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { messageOf, type QuicEndpoint, QuicLink, quicClient, quicServer, type Tamper } from './support.ts';

const world = new World({ alpnProtocols: ['h3'] });
after(() => world.close());

const PROTOCOL_VIOLATION = 0x0a;
const CRYPTO_BUFFER_EXCEEDED = 0x0d;
const UNEXPECTED_MESSAGE = 0x010a;
const ILLEGAL_PARAMETER = 0x012f;
const DECRYPT_ERROR = 0x0133;
const PROTOCOL_VERSION = 0x0146;
const MISSING_EXTENSION = 0x016d;
const NO_APPLICATION_PROTOCOL = 0x0178;

/** A genuine ClientHello, changed. */
function helloWith(
  extensions: Partial<ClientHelloExtensions>,
  fields: Partial<ClientHello> = {},
  client = quicClient(world).start(),
): Uint8Array {
  const hello = decodeClientHello(messageOf(client, 'client_hello').subarray(4));
  client.forget();
  return encodeClientHello({ ...hello, ...fields, extensions: { ...hello.extensions, ...extensions } });
}

/** The client of a link whose EncryptedExtensions are changed on the way. */
function clientToldOf(changes: Partial<EncryptedExtensionsBlock>): QuicEndpoint {
  const link = QuicLink.between(world);
  link.toClient = changing('encrypted_extensions', (raw) => {
    const { extensions } = decodeEncryptedExtensions(raw.subarray(4));
    return encodeEncryptedExtensions({ extensions: { ...extensions, ...changes } });
  });
  return link.run().client;
}

function changing(name: string, change: (raw: Uint8Array) => Uint8Array | undefined): Tamper {
  return (named, raw) => (named === name ? change(raw) : raw);
}

/** Both ends after a handshake. */
function connected(): QuicLink {
  return QuicLink.connect(world);
}

describe('transport parameters', () => {
  it('missing in the ClientHello are a missing extension', () => {
    quicServer(world)
      .receive('initial', helloWith({ quicTransportParameters: undefined }))
      .assertFailed('TLS_ERR_MISSING_EXTENSION', MISSING_EXTENSION);
  });

  it('missing in the EncryptedExtensions are a missing extension', () => {
    clientToldOf({ quicTransportParameters: undefined }).assertFailed('TLS_ERR_MISSING_EXTENSION', MISSING_EXTENSION);
  });

  it('are refused by a server of TLS over TCP', () => {
    const hello = helloWith({});
    const server = world.server();
    server.receive(concat(new Uint8Array([contentTypes.handshake, 3, 1, hello.length >> 8, hello.length]), hello));
    assert.equal(server.error?.code, 'TLS_ERR_UNSUPPORTED_EXTENSION');
    assert.equal(server.error?.alert, 'unsupported_extension');
  });

  it('may not change in the second ClientHello', () => {
    const link = QuicLink.between(world, { keyShares: ['secp256r1'] }, { namedGroups: ['x25519'] });
    let hellos = 0;
    link.toServer = changing('client_hello', (raw) => {
      const hello = decodeClientHello(raw.subarray(4));
      const quicTransportParameters = new Uint8Array([hellos++]);
      return encodeClientHello({ ...hello, extensions: { ...hello.extensions, quicTransportParameters } });
    });
    link.run().server.assertFailed('TLS_ERR_ILLEGAL_PARAMETER', ILLEGAL_PARAMETER);
    assert.equal(hellos, 2);
  });
});

describe('the application protocol', () => {
  it('has to be offered', () => {
    quicServer(world)
      .receive('initial', helloWith({ alpnProtocols: undefined }))
      .assertFailed('TLS_ERR_NO_APPLICATION_PROTOCOL', NO_APPLICATION_PROTOCOL);
  });

  it('has to be known to the server', () => {
    for (const alpnProtocols of [['h2'], []]) {
      const other = new World({ alpnProtocols });
      quicServer(other)
        .receive('initial', helloWith({}))
        .assertFailed('TLS_ERR_NO_APPLICATION_PROTOCOL', NO_APPLICATION_PROTOCOL);
      other.close();
    }
  });

  it('has to be chosen by the server', () => {
    clientToldOf({ alpnProtocol: undefined }).assertFailed('TLS_ERR_NO_APPLICATION_PROTOCOL', NO_APPLICATION_PROTOCOL);
  });
});

describe('what TLS over TCP has and QUIC does not', () => {
  it('is refused: a legacy session ID', () => {
    quicServer(world)
      .receive('initial', helloWith({}, { legacySessionId: new Uint8Array(32) }))
      .assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
  });

  it('is not answered: record_size_limit', () => {
    const server = quicServer(world).receive('initial', helloWith({ recordSizeLimit: 1000 }));
    const { extensions } = decodeEncryptedExtensions(messageOf(server, 'encrypted_extensions').subarray(4));
    assert.equal(extensions.recordSizeLimit, undefined);
    server.forget();
  });

  it('is refused: TLS 1.2 chosen by the server, or by the client alone', () => {
    const link = QuicLink.between(world);
    link.toClient = changing('server_hello', (raw) => {
      const hello = decodeServerHello(raw.subarray(4));
      return encodeServerHello({ ...hello, extensions: {} });
    });
    link.run().client.assertFailed('TLS_ERR_PROTOCOL_VERSION', PROTOCOL_VERSION);
    quicServer(world)
      .receive('initial', helloWith({ supportedVersions: [0x0303] }))
      .assertFailed('TLS_ERR_PROTOCOL_VERSION', PROTOCOL_VERSION);
  });

  it('is refused: KeyUpdate', () => {
    for (const updateRequested of [true, false]) {
      const { client, server } = connected();
      for (const end of [client, server]) {
        end
          .receive('application', encodeKeyUpdate({ updateRequested }))
          .assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
      }
    }
  });

  it('is refused: authentication after the handshake', () => {
    const { client, server } = connected();
    const request = encodeCertificateRequest({ requestContext: new Uint8Array([1]), signatureAlgorithms: [0x0807] });
    client.receive('application', request).assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
    server
      .receive('application', new Uint8Array([handshakeTypes.certificate, 0, 0, 4, 0, 0, 0, 0]))
      .assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
  });

  it('is refused: EndOfEarlyData', () => {
    const link = QuicLink.between(world);
    link.toServer = changing('finished', (raw) => concat(new Uint8Array([5, 0, 0, 0]), raw));
    link.run().server.assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
  });
});

describe('handshake bytes', () => {
  it('are refused by their first byte where no such message may come', () => {
    for (const end of [connected().client, connected().server]) {
      end.receive('application', new Uint8Array([24])).assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
    }
    connected()
      .client.receive('application', new Uint8Array([99]))
      .assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
    connected()
      .client.receive('application', new Uint8Array([13]))
      .assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
  });

  it('of a level that is over are refused', () => {
    const { client, server } = connected();
    client.receive('handshake', new Uint8Array([4])).assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
    server.receive('initial', new Uint8Array([1])).assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
    const link = QuicLink.between(world);
    link.client.hold = ['verifyCertificate'];
    link
      .run()
      .client.receive('initial', new Uint8Array([2]))
      .assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
  });

  it('in 0-RTT packets are refused', () => {
    const { client, server } = QuicLink.between(world);
    for (const end of [client.start(), server]) {
      end.receive('earlyData', new Uint8Array([1])).assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
    }
  });

  it('left over when the keys change are refused', () => {
    const link = QuicLink.between(world);
    link.toServer = changing('client_hello', (raw) => concat(raw, new Uint8Array([1])));
    link.run().server.assertFailed('TLS_ERR_RECORD_BOUNDARY', PROTOCOL_VIOLATION);
    for (const [name, tail] of [
      ['server_hello', 8],
      ['finished', 4],
    ] as const) {
      const next = QuicLink.between(world);
      next.toClient = changing(name, (raw) => concat(raw, new Uint8Array([tail])));
      next.run().client.assertFailed('TLS_ERR_RECORD_BOUNDARY', PROTOCOL_VIOLATION);
    }
    const last = QuicLink.between(world);
    last.toServer = changing('finished', (raw) => concat(raw, new Uint8Array([20])));
    last.run().server.assertFailed('TLS_ERR_RECORD_BOUNDARY', PROTOCOL_VIOLATION);
  });

  it('are kept while the host is asked, up to a bound', () => {
    const link = QuicLink.between(world);
    link.client.hold = ['verifyCertificate'];
    link.run();
    assert.equal(link.client.need?.kind, 'verifyCertificate');
    const piece = new Uint8Array(1200).fill(handshakeTypes.finished);
    let taken = 0;
    for (; link.client.error === undefined; taken += piece.length) {
      link.client.receive('handshake', piece);
    }
    link.client.assertFailed('TLS_ERR_QUIC_CRYPTO_BUFFER', CRYPTO_BUFFER_EXCEEDED);
    assert.ok(taken > 100_000 && taken < 140_000, `${taken} bytes were taken`);
  });

  it('are kept exactly up to the bound', () => {
    const link = QuicLink.between(world, {}, { context: 'ask' });
    link.server.hold = ['context'];
    link.client.start();
    const [hello] = link.client.flush();
    link.server.receive(hello.level, hello.bytes);
    const half = new Uint8Array(2 ** 16);
    link.server.receive('initial', half).receive('initial', half);
    assert.equal(link.server.error, undefined);
    link.server.receive('initial', new Uint8Array(1));
    link.server.assertFailed('TLS_ERR_QUIC_CRYPTO_BUFFER', CRYPTO_BUFFER_EXCEEDED);
  });

  it('of a message that is too long are refused by its header', () => {
    quicServer(world)
      .receive('initial', new Uint8Array([1, 0xff, 0xff, 0xff]))
      .assertFailed('TLS_ERR_MESSAGE_TOO_LONG', 0x0132);
  });
});

describe('a tampered handshake', () => {
  it('ends with decrypt_error at whoever reads the Finished', () => {
    const flip = (raw: Uint8Array): Uint8Array => {
      const tampered = Uint8Array.from(raw);
      tampered[tampered.length - 1] ^= 1;
      return tampered;
    };
    const toClient = QuicLink.between(world);
    toClient.toClient = changing('finished', flip);
    toClient.run().client.assertFailed('TLS_ERR_BAD_FINISHED', DECRYPT_ERROR);
    const toServer = QuicLink.between(world);
    toServer.toServer = changing('finished', flip);
    toServer.run().server.assertFailed('TLS_ERR_BAD_FINISHED', DECRYPT_ERROR);
    assert.equal(toServer.server.secrets.has('application read'), false, 'no key for data of an unproved client');
    const parameters = QuicLink.between(world);
    parameters.toServer = changing('client_hello', (raw) => {
      const hello = decodeClientHello(raw.subarray(4));
      const quicTransportParameters = new Uint8Array([7]);
      return encodeClientHello({ ...hello, extensions: { ...hello.extensions, quicTransportParameters } });
    });
    parameters.run();
    assert.equal(parameters.client.error?.code, 'TLS_ERR_BAD_SIGNATURE');
  });

  it("closes with the alert of the host's verdict", () => {
    const link = QuicLink.between(world);
    link.client.verdict = new TLSError('TLS_ERR_CERTIFICATE_EXPIRED', 'too old');
    link.run().client.assertFailed('TLS_ERR_CERTIFICATE_EXPIRED', 0x012d);
    const refusing = QuicLink.between(world, {}, { context: 'ask' });
    refusing.server.hold = ['context'];
    refusing.run();
    const { need } = refusing.server;
    assert(need?.kind === 'context');
    refusing.server.take(refusing.server.handshake.resume(need, undefined));
    refusing.server.assertFailed('TLS_ERR_UNRECOGNIZED_NAME', 0x0170);
    assert.deepEqual(refusing.server.handshake.resume(need, undefined), [], 'it is over');
  });

  it('never fails by a fault of ours, whatever is changed, left out or put in', () => {
    const messages = [
      'client_hello',
      'server_hello',
      'encrypted_extensions',
      'certificate',
      'certificate_verify',
      'finished',
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...messages),
        fc.boolean(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 0, max: 8 }),
        fc.uint8Array({ maxLength: 8 }),
        (name, atServer, where, removed, inserted) => {
          const link = QuicLink.between(world, { keyShares: atServer ? ['secp256r1'] : undefined });
          const tamper = changing(name, (raw) => {
            const at = Math.floor(where * raw.length);
            return concat(raw.subarray(0, at), inserted, raw.subarray(at + removed));
          });
          link[atServer ? 'toServer' : 'toClient'] = tamper;
          link.run();
          for (const { error, quicErrorCode } of [link.client, link.server]) {
            assert.notEqual(error?.code, 'TLS_ERR_INTERNAL', error?.stack);
            assert.ok(error === undefined || (quicErrorCode !== undefined && quicErrorCode !== 0x0150));
          }
          link.forget();
        },
      ),
      { numRuns: 300 },
    );
  });

  it('leaves no secret behind', () => {
    const watch = new SecretWatch();
    try {
      for (const name of ['server_hello', 'encrypted_extensions', 'certificate', 'certificate_verify', 'finished']) {
        const link = QuicLink.between(world);
        link.toClient = changing(name, (raw) => {
          const tampered = Uint8Array.from(raw);
          tampered[tampered.length - 1] ^= 1;
          return tampered;
        });
        link.run();
        assert.ok(link.client.error !== undefined, name);
        link.forget();
        assert.deepEqual(watch.alive, [], name);
      }
    } finally {
      watch.stop();
    }
  });
});

describe('tickets', () => {
  function ticketOf(link: QuicLink, maxEarlyDataSize?: number): Uint8Array {
    const ticket = decodeNewSessionTicket(messageOf(link.server, 'new_session_ticket').subarray(4));
    return encodeNewSessionTicket({ ...ticket, maxEarlyDataSize });
  }

  it('say 0xffffffff of early data, or nothing', () => {
    const link = connected();
    const before = link.client.sessions.length;
    link.client.receive('application', ticketOf(link, 0xffffffff));
    assert.equal(link.client.error, undefined);
    assert.equal(link.client.sessions.length, before + 1);
    link.client.receive('application', ticketOf(link, 16384)).assertFailed('TLS_ERR_QUIC_PROTOCOL', PROTOCOL_VIOLATION);
  });

  it('end the connection when there are too many without any data between them', () => {
    const { client, server } = connected();
    const ticket = messageOf(server, 'new_session_ticket');
    for (let i = 0; i < 25; i++) {
      client.receive('application', ticket);
    }
    client.handshake.noteReceivedData();
    for (let i = 0; i < 25; i++) {
      client.receive('application', ticket);
    }
    assert.equal(client.error, undefined);
    for (let i = 0; i < 8; i++) {
      client.receive('application', ticket);
    }
    client.assertFailed('TLS_ERR_TOO_MANY_TICKETS', UNEXPECTED_MESSAGE);
  });

  it('are not for servers', () => {
    const { server } = connected();
    server
      .receive('application', messageOf(server, 'new_session_ticket'))
      .assertFailed('TLS_ERR_UNEXPECTED_MESSAGE', UNEXPECTED_MESSAGE);
  });
});

describe('error codes', () => {
  it('are 0x0100 plus the alert, and internal_error where the fault is ours', () => {
    assert.equal(quicErrorCode(new TLSError('TLS_ERR_DECODE', '')), 0x0132);
    assert.equal(quicErrorCode(new TLSError('TLS_ERR_INTERNAL', '')), 0x0150);
    assert.equal(quicErrorCode(new TLSError('TLS_ERR_CONFIG', '')), 0x0150);
  });

  it('are internal_error when the provider throws something else', () => {
    const cause = new Error('out of order');
    const broken = {
      ...nodeProvider,
      verify: () => {
        throw cause;
      },
    };
    const link = QuicLink.between(world, { provider: broken }).run();
    link.client.assertFailed('TLS_ERR_INTERNAL', 0x0150);
    assert.equal(link.client.error?.cause, cause);
  });
});
