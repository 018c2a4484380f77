/** Client certificates in the handshake, of both versions: who is let in, as whom, and who is not. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import type { ClientOptions, Credential, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type SignatureScheme, signatureSchemes } from '../../src/crypto/signatures.ts';
import { TLSError, type TLSErrorCode } from '../../src/errors.ts';
import { encodeCertificate } from '../../src/messages/certificate.ts';
import { decodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { encodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import {
  decodeCertificateRequest12,
  encodeCertificateRequest12,
} from '../../src/messages/tls12/certificate-request.ts';
import { askingContext, assertNothingLeft, corrupt } from '../renegotiation/support.ts';
import { type Endpoint, type Identity, identity, type Link } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const;
type Version = (typeof VERSIONS)[number];
const alice = identity('ec-p256', 'alice');
const mallory = identity('ec-p256', 'mallory');

interface Meeting {
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  readonly context?: ServerContext;
  /** Whose key the server's host takes from the client's certificate. */
  readonly takenFor?: Identity;
}

function pair(version: Version, { client, server, context, takenFor = alice }: Meeting = {}): Link {
  const link = world.pair(
    { versions: [version], ...client },
    { versions: [version], context: context ?? askingContext(world.context), ...server },
  );
  link.server.publicKey = takenFor.publicKey;
  return link;
}

function end(link: Link, what = ''): void {
  link.forget();
  assertNothingLeft(watch, what);
}

/** The server turns the client away, and has taken nobody for anybody. */
function assertTurnedAway(link: Link, code: TLSErrorCode, what = ''): void {
  assert.equal(link.server.error?.code, code, `${what} ${link.server.error?.stack}`);
  assert.equal(link.server.summary, undefined, what);
  assert.equal(link.server.connection.summary, undefined, what);
  link.client.take(link.client.connection.transportEnded());
  end(link, what);
}

function chosenBy(link: Link): readonly Uint8Array[] | undefined {
  return link.server.summary?.peerCertificates;
}

for (const version of VERSIONS) {
  const encodeChain = (...chain: readonly Uint8Array[]) =>
    version === 'TLSv1.2'
      ? encodeCertificate12({ certificates: chain })
      : encodeCertificate({
          requestContext: new Uint8Array(0),
          entries: chain.map((certificate) => ({ certificate, extensions: {} })),
        });

  describe(`a ${version} server`, () => {
    test('that asks knows the client by its chain, of any key type', () => {
      for (const type of ['ed25519', 'ed448', 'ec-p256', 'ec-p384', 'ec-p521', 'rsa', 'rsa-pss'] as const) {
        const who = identity(type, 'client');
        const credential: Credential = {
          ...who.credential,
          certificateChain: [...who.credential.certificateChain, utf8('an intermediate')],
        };
        const link = pair(version, { client: { credentials: [credential] }, takenFor: who }).run();
        link.assertComplete();
        assert.deepEqual(chosenBy(link), credential.certificateChain);
        end(link, type);
      }
    });

    test('that asks and does not require takes a client without certificate, and one without a fitting one', () => {
      const useless: Credential = { ...alice.credential, schemes: [] };
      for (const credentials of [undefined, [], [useless]]) {
        const link = pair(version, { client: { credentials }, context: askingContext(world.context, false) }).run();
        link.assertComplete();
        assert.deepEqual(chosenBy(link), []);
        end(link);
      }
    });

    test('that requires a certificate refuses an empty one, by the alert of its version', () => {
      for (const credentials of [undefined, []]) {
        const link = pair(version, { client: { credentials } }).run();
        assert.equal(link.client.error?.alert, version === 'TLSv1.3' ? 'certificate_required' : 'handshake_failure');
        assertTurnedAway(link, 'TLS_ERR_CERTIFICATE_REQUIRED');
      }
    });

    test('that does not ask gets none', () => {
      const said: string[] = [];
      const link = pair(version, { client: { credentials: [alice.credential] }, context: world.context });
      corrupt(link.client, (name, raw) => {
        said.push(name);
        return [raw];
      });
      link.run().assertComplete();
      assert.deepEqual(chosenBy(link), []);
      assert(!said.includes('certificate') && !said.includes('certificate_verify'), String(said));
      end(link);
    });

    test("ends the connection with its host's verdict", () => {
      for (const required of [true, false]) {
        const link = pair(version, {
          client: { credentials: [alice.credential] },
          context: askingContext(world.context, required),
        });
        link.server.verdict = new TLSError('TLS_ERR_UNKNOWN_CA', 'no path leads to a root');
        link.run();
        assert.equal(link.client.error?.alert, 'unknown_ca');
        assertTurnedAway(link, 'TLS_ERR_UNKNOWN_CA');
      }
    });

    test('waits for the verdict, and keeps what comes meanwhile', () => {
      const link = pair(version, { client: { credentials: [alice.credential] } });
      link.server.hold = ['verifyCertificate'];
      link.run();
      assert.equal(link.server.need?.kind, 'verifyCertificate');
      assert(link.server.need?.kind === 'verifyCertificate' && link.server.need.serverName === '');
      assert.equal(link.server.summary, undefined);
      link.server.answer();
      link.deliver().assertComplete();
      end(link);
    });

    test('tells the client which authorities it trusts', () => {
      const certificateAuthorities = [utf8('0 first name'), utf8('0 second name')];
      const context: ServerContext = {
        ...world.context,
        clientAuthentication: { required: false, certificateAuthorities, id: 'x' },
      };
      for (const names of [certificateAuthorities, []]) {
        const link = pair(version, {
          context: { ...context, clientAuthentication: { required: false, certificateAuthorities: names, id: 'x' } },
        });
        let heard: readonly Uint8Array[] | undefined;
        let asked = false;
        corrupt(link.server, (name, raw) => {
          if (name === 'certificate_request') {
            const decode = version === 'TLSv1.2' ? decodeCertificateRequest12 : decodeCertificateRequest;
            asked = true;
            heard = decode(raw.subarray(4)).certificateAuthorities;
          }
          return [raw];
        });
        link.run().assertComplete();
        assert.equal(asked, true);
        assert.deepEqual(heard ?? [], names);
        end(link);
      }
    });
  });

  describe(`a ${version} client`, () => {
    /**
     * Certificate and CertificateVerify of a client that is asked so. TLS 1.2 alone: in TLS 1.3 the server's signature
     * covers its request.
     */
    const choice = (
      schemes: readonly SignatureScheme[],
      credentials: readonly Credential[],
      certificateTypes = [1, 64],
    ): Uint8Array[] => {
      const signatureAlgorithms = schemes.map((scheme) => signatureSchemes[scheme]);
      const link = pair(version, { client: { credentials } });
      corrupt(link.server, (name, raw) => [
        name === 'certificate_request'
          ? encodeCertificateRequest12({ certificateTypes, signatureAlgorithms, certificateAuthorities: [] })
          : raw,
      ]);
      const said: Uint8Array[] = [];
      corrupt(link.client, (name, raw) => {
        if (name === 'certificate' || name === 'certificate_verify') {
          said.push(new Uint8Array(raw));
        }
        return [raw];
      });
      link.run();
      end(link);
      return said;
    };

    test('signs with a key that lives elsewhere', () => {
      const { certificateChain, schemes, privateKey } = alice.credential;
      const link = pair(version, { client: { credentials: [{ certificateChain, schemes }] } });
      link.client.hold = ['sign'];
      link.run();
      const { need } = link.client;
      assert(need?.kind === 'sign' && privateKey !== undefined);
      assert.equal(link.server.summary, undefined);
      link.client.need = undefined;
      link.client.take(link.client.connection.resume(need, nodeProvider.sign(need.scheme, privateKey, need.data)));
      link.deliver().assertComplete();
      assert.deepEqual(chosenBy(link), certificateChain);
      end(link);
    });

    test('whose signer gives up ends the connection, with an alert and nothing left', () => {
      const { certificateChain, schemes } = alice.credential;
      for (const how of ['abort', 'close', 'erase', 'cut'] as const) {
        const link = pair(version, { client: { credentials: [{ certificateChain, schemes }] } });
        link.client.hold = ['sign'];
        link.run();
        const { client } = link;
        if (how === 'abort') {
          client.take(client.connection.abort('internal_error'));
        } else if (how === 'close') {
          client.take(client.connection.close());
        } else if (how === 'cut') {
          client.take(client.connection.transportEnded());
        } else {
          client.connection.erase();
        }
        link.deliver();
        assert.equal(link.server.summary, undefined);
        link.server.take(link.server.connection.transportEnded());
        assertNothingLeft(watch, how);
      }
    });

    test('sends the first credential that can sign as the server accepts', () => {
      const rsa = identity('rsa', 'client');
      const credentials = [identity('ed448', 'client').credential, rsa.credential, alice.credential];
      const link = pair(version, { client: { credentials }, takenFor: identity('ed448', 'client') }).run();
      link.assertComplete();
      assert.deepEqual(chosenBy(link), credentials[0].certificateChain);
      end(link);
      if (version === 'TLSv1.2') {
        const said = choice(['ecdsa_secp256r1_sha256', 'rsa_pss_rsae_sha256'], credentials);
        assert.deepEqual(said[0], encodeChain(...rsa.credential.certificateChain));
        assert.deepEqual(choice(['ecdsa_secp384r1_sha384'], credentials), [encodeChain()]);
      }
    });

    if (version === 'TLSv1.2') {
      test('signs with PKCS #1 v1.5 for servers that know nothing else, and with PSS for all others', () => {
        const credentials = [identity('rsa', 'client').credential];
        const schemeOf = (schemes: readonly SignatureScheme[]) => {
          const verify = choice(schemes, credentials)[1];
          return (verify[4] << 8) | verify[5];
        };
        assert.equal(schemeOf(['rsa_pkcs1_sha256']), signatureSchemes.rsa_pkcs1_sha256);
        assert.equal(schemeOf(['rsa_pkcs1_sha256', 'rsa_pss_rsae_sha256']), signatureSchemes.rsa_pss_rsae_sha256);
      });

      test('sends no certificate of a type that the server did not ask for', () => {
        const rsa = identity('rsa', 'client').credential;
        const schemes = ['ecdsa_secp256r1_sha256', 'rsa_pss_rsae_sha256'] as const;
        const sent = (types: number[]) => choice(schemes, [alice.credential, rsa], types)[0];
        assert.deepEqual(sent([64]), encodeChain(...alice.credential.certificateChain));
        assert.deepEqual(sent([1]), encodeChain(...rsa.certificateChain));
        assert.deepEqual(sent([2, 3]), encodeChain());
      });
    }
  });

  describe(`a ${version} client that is not who it says`, () => {
    const credentials = [alice.credential];
    const withKeyOf = (who: Identity): Credential => ({
      ...alice.credential,
      schemes: who.credential.schemes,
      privateKey: who.credential.privateKey,
    });

    for (const required of [true, false]) {
      const context = askingContext(world.context, required);
      const optional = required ? 'required' : 'asked for';

      test(`is refused with a certificate whose key it does not hold (${optional})`, () => {
        for (const who of [mallory, identity('ec-p384', 'm'), identity('rsa', 'm'), identity('ed25519', 'm')]) {
          assertTurnedAway(
            pair(version, { client: { credentials: [withKeyOf(who)] }, context }).run(),
            'TLS_ERR_BAD_SIGNATURE',
          );
        }
      });

      test(`is refused without CertificateVerify, which cannot be skipped (${optional})`, () => {
        const link = pair(version, { client: { credentials }, context });
        corrupt(link.client, (name, raw) => (name === 'certificate_verify' ? [] : [raw]));
        assertTurnedAway(link.run(), 'TLS_ERR_UNEXPECTED_MESSAGE');
      });

      test(`is refused without Certificate, with two, and with CertificateVerify alone (${optional})`, () => {
        for (const change of [[], ['twice'], ['empty']]) {
          const link = pair(version, { client: { credentials }, context });
          corrupt(link.client, (name, raw) => {
            if (name !== 'certificate') {
              return [raw];
            }
            return change[0] === 'twice' ? [raw, raw] : change[0] === 'empty' ? [encodeChain()] : [];
          });
          link.run();
          const isEmptyRefused = required && change[0] === 'empty';
          assertTurnedAway(
            link,
            isEmptyRefused ? 'TLS_ERR_CERTIFICATE_REQUIRED' : 'TLS_ERR_UNEXPECTED_MESSAGE',
            String(change),
          );
        }
      });

      test(`is refused when it sends a CertificateVerify after an empty Certificate (${optional})`, () => {
        const link = pair(version, { context });
        corrupt(link.client, (name, raw) =>
          name === 'finished'
            ? [encodeCertificateVerify({ scheme: 0x0403, signature: new Uint8Array(70) }), raw]
            : [raw],
        );
        assertTurnedAway(link.run(), required ? 'TLS_ERR_CERTIFICATE_REQUIRED' : 'TLS_ERR_UNEXPECTED_MESSAGE');
      });
    }

    test('is refused with another chain than the one that was signed', () => {
      const link = pair(version, { client: { credentials } });
      corrupt(link.client, (name, raw) =>
        name === 'certificate' ? [encodeChain(...alice.credential.certificateChain, utf8('one more'))] : [raw],
      );
      assertTurnedAway(link.run(), 'TLS_ERR_BAD_SIGNATURE');
    });

    test('is refused with any byte of the signature changed, with an empty one, and with another scheme', () => {
      const changes: ((scheme: number, signature: Uint8Array) => [number, Uint8Array])[] = [
        (scheme) => [scheme, new Uint8Array(0)],
        (scheme) => [scheme, new Uint8Array(72)],
        (_, signature) => [signatureSchemes.ecdsa_secp384r1_sha384, signature],
        (_, signature) => [signatureSchemes.ed25519, signature],
        (_, signature) => [signatureSchemes.rsa_pss_rsae_sha256, signature],
        ...Array.from(
          // A DER signature on P-256 is seldom shorter than 70 bytes, and hardly ever than 68.
          { length: 66 },
          (_, at): ((scheme: number, signature: Uint8Array) => [number, Uint8Array]) =>
            (scheme, signature) => [scheme, signature.map((byte, i) => (i === at ? byte ^ 1 : byte))],
        ),
      ];
      for (const [at, change] of changes.entries()) {
        const link = pair(version, { client: { credentials } });
        corrupt(link.client, (name, raw) => {
          if (name !== 'certificate_verify') {
            return [raw];
          }
          const [scheme, signature] = change((raw[4] << 8) | raw[5], raw.slice(8));
          return [encodeCertificateVerify({ scheme, signature })];
        });
        link.run();
        assertTurnedAway(link, 'TLS_ERR_BAD_SIGNATURE', `change ${at}`);
      }
    });

    test('is refused with a scheme that was not offered', () => {
      const schemes = [0x0201, 0x0203, 0x0101, 0x0000, 0xfefe, ...(version === 'TLSv1.3' ? [0x0401, 0x0501] : [])];
      for (const scheme of schemes) {
        const link = pair(version, { client: { credentials } });
        corrupt(link.client, (name, raw) =>
          name === 'certificate_verify' ? [encodeCertificateVerify({ scheme, signature: raw.slice(8) })] : [raw],
        );
        assertTurnedAway(link.run(), 'TLS_ERR_ILLEGAL_PARAMETER', scheme.toString(16));
      }
    });

    test('is refused with the signature of another connection, of another role, and of another moment', () => {
      const { certificateChain, schemes, privateKey } = alice.credential;
      assert(privateKey !== undefined);
      let elsewhere: Uint8Array | undefined;
      const changes: Record<string, (data: Uint8Array) => Uint8Array> = {
        'another connection': (data) => elsewhere ?? data,
        'a byte more': (data) => concat(data, new Uint8Array(1)),
        'a byte less': (data) => data.slice(0, -1),
        nothing: () => new Uint8Array(0),
        'another role': (data) =>
          new Uint8Array(Buffer.from(Buffer.from(data).toString('latin1').replace('client', 'server'), 'latin1')),
        'the hash alone': (data) => nodeProvider.hash('sha256', data),
      };
      for (const [name, change] of Object.entries(changes)) {
        for (let round = 0; round < 2; round++) {
          const link = pair(version, { client: { credentials: [{ certificateChain, schemes }] } });
          link.client.hold = ['sign'];
          link.run();
          const { need } = link.client;
          assert(need?.kind === 'sign');
          const data = change(need.data);
          const isHonest = data === need.data;
          elsewhere = need.data.slice();
          if (isHonest || (name === 'another role' && version === 'TLSv1.2')) {
            end(link);
            continue;
          }
          link.client.take(link.client.connection.resume(need, nodeProvider.sign(need.scheme, privateKey, data)));
          assertTurnedAway(link.deliver(), 'TLS_ERR_BAD_SIGNATURE', name);
        }
      }
    });

    test('is refused with a Finished that does not cover what it said', () => {
      const link = pair(version, { client: { credentials: [] }, context: askingContext(world.context, false) });
      corrupt(link.client, (name, raw) =>
        name === 'finished' ? [raw.map((byte, i) => (i === raw.length - 1 ? byte ^ 1 : byte))] : [raw],
      );
      assertTurnedAway(link.run(), 'TLS_ERR_BAD_FINISHED');
    });

    test('leaves nothing behind wherever it stops', () => {
      for (let stop = 0; stop < 5; stop++) {
        const link = pair(version, { client: { credentials } });
        let said = 0;
        corrupt(link.client, (_name, raw) => (said++ <= stop ? [raw] : []));
        link.run();
        link.cut();
        assertNothingLeft(watchWithoutSessions(link), `after ${stop}`);
      }
    });
  });
}

function watchWithoutSessions(link: Link): SecretWatch {
  for (const end of [link.client, link.server] satisfies Endpoint[]) {
    end.forget();
  }
  return watch;
}

test('a TLS 1.3 client without credentials does not offer to authenticate itself after the handshake', () => {
  for (const credentials of [undefined, [alice.credential]]) {
    const hello = world.client({ credentials, grease: false }).start().flush();
    // post_handshake_auth is an empty extension of type 49.
    assert.equal(Buffer.from(hello).includes(Buffer.from([0, 49, 0, 0])), credentials !== undefined);
  }
});
