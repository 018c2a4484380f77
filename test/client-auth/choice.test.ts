/** Which of several certificates is sent: by a client to a server that names authorities, and by a server to its clients. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { concat, fromHex, utf8 } from '../../src/bytes/bytes.ts';
import type { Credential, ServerContext } from '../../src/connection-options.ts';
import { type SignatureScheme, signatureSchemes } from '../../src/crypto/signatures.ts';
import { chooseCredential, clientHelloInfo } from '../../src/handshake/server-negotiation.ts';
import { decodeCertificate } from '../../src/messages/certificate.ts';
import { encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import { decodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import { encodeCertificateRequest12 } from '../../src/messages/tls12/certificate-request.ts';
import { identity, World } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { clientIn } from '../support/stages.ts';
import { clearMessages, ONLY12, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World();
const world12 = new World12();
const rsaWorld = new World12({}, identity('rsa'));
after(() => {
  world.close();
  world12.close();
  rsaWorld.close();
});

const [ONE, TWO, THREE] = ['one', 'two', 'three'].map((name) => utf8(`the name of authority ${name}`));

/** Told apart by their chains, of which the name is all that is read. */
function credential(type: 'ec-p256' | 'ed25519' | 'rsa', name: string, more: Partial<Credential> = {}): Credential {
  return { ...identity(type).credential, certificateChain: [utf8(name)], ...more };
}

const underOne = credential('ec-p256', 'under one', { issuers: [ONE] });
const underTwo = credential('ed25519', 'under an intermediate of two', { issuers: [utf8('an intermediate'), TWO] });
const unknown = credential('ec-p256', 'whose issuers nobody knows');
const nameOf = (chain: readonly Uint8Array[]) => (chain.length === 0 ? 'none' : Buffer.from(chain[0]).toString());

describe('a client that is asked for a certificate', () => {
  const all = [underOne, underTwo, unknown];
  const cases: readonly [string, readonly Credential[], readonly Uint8Array[], string][] = [
    ['sends the one under the authority that is named', all, [TWO], 'under an intermediate of two'],
    ['sends the first of those under one of several', all, [THREE, TWO, ONE], 'under one'],
    ['sends its first where any will do', all, [], 'under one'],
    ['sends its first where none is under any of them, as OpenSSL does', all, [THREE], 'under one'],
    ['sends the only one, whoever is named', [unknown], [ONE], 'whose issuers nobody knows'],
    ['takes no name for another that begins alike', all, [ONE.subarray(0, 8), concat(TWO, ONE)], 'under one'],
  ];
  for (const [what, credentials, certificateAuthorities, expected] of cases) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      test(`${what} (${version})`, () => {
        const clientAuthentication = { required: true, certificateAuthorities, id: 'a policy' };
        const context: ServerContext = { ...world.context, clientAuthentication };
        const link = world.pair({ versions: [version], credentials }, { versions: [version], context });
        const sent = credentials.find((one) => nameOf(one.certificateChain) === expected) as Credential;
        link.server.publicKey = identity(sent === underTwo ? 'ed25519' : 'ec-p256').publicKey;
        link.run().assertComplete();
        assert.equal(nameOf(link.server.summary?.peerCertificates ?? []), expected);
        link.forget();
      });
    }

    test(`${what} (after the handshake)`, () => {
      const link = world.connect({ credentials });
      const sent = credentials.find((one) => nameOf(one.certificateChain) === expected) as Credential;
      link.server.publicKey = identity(sent === underTwo ? 'ed25519' : 'ec-p256').publicKey;
      link.server.take(link.server.connection.requestClientCertificate({ required: true, certificateAuthorities }));
      link.deliver();
      assert.equal(nameOf(link.server.connection.summary?.peerCertificates ?? []), expected);
      link.forget();
    });
  }

  /** The name of what it answers such a request of TLS 1.2 with. */
  function answer12(request: Parameters<typeof encodeCertificateRequest12>[0], credentials: readonly Credential[]) {
    const { victim, puppet } = stage12(world12, 'client', 'ExpectTicket12', {
      client: { credentials },
      server: {
        context: { ...world12.context, clientAuthentication: { required: false, certificateAuthorities: [], id: '' } },
      },
      tamper: (message) =>
        message.name === 'certificate_request' ? [{ ...message, raw: encodeCertificateRequest12(request) }] : [message],
    });
    const { certificates } = decodeCertificate12(puppet.message('certificate').subarray(4));
    victim.forget();
    return nameOf(certificates);
  }

  test('heeds certificate_types, which TLS 1.2 has beside the schemes: a key of another kind does not fit', () => {
    const rsa = credential('rsa', 'with RSA', { issuers: [ONE] });
    const both = [underOne, rsa];
    const request = { signatureAlgorithms: [0x0403, 0x0804, 0x0401, 0x0807], certificateAuthorities: [ONE] };
    const [RSA_SIGN, DSS_SIGN, RSA_FIXED_DH, ECDSA_SIGN] = [1, 2, 3, 64];
    assert.equal(answer12({ ...request, certificateTypes: [RSA_SIGN] }, both), 'with RSA');
    assert.equal(answer12({ ...request, certificateTypes: [ECDSA_SIGN] }, [rsa, underOne]), 'under one');
    assert.equal(answer12({ ...request, certificateTypes: [ECDSA_SIGN, RSA_SIGN] }, [rsa, underOne]), 'with RSA');
    assert.equal(answer12({ ...request, certificateTypes: [ECDSA_SIGN] }, [underTwo]), 'under an intermediate of two');
    assert.equal(answer12({ ...request, certificateTypes: [DSS_SIGN, RSA_FIXED_DH, 99] }, both), 'none');
    assert.equal(answer12({ ...request, certificateTypes: [RSA_SIGN] }, [underOne]), 'none');
  });

  test('sends none that cannot sign as the server wants, under whomever it is', () => {
    const request = { certificateTypes: [64, 1], certificateAuthorities: [TWO] };
    assert.equal(answer12({ ...request, signatureAlgorithms: [0x0403] }, [underOne, underTwo]), 'under one');
    assert.equal(answer12({ ...request, signatureAlgorithms: [0x0503] }, [underOne, underTwo]), 'none');
  });

  test('prefers a chain that is signed in ways the server names, to one under an authority', () => {
    const sha384 = credential('ec-p256', 'signed with P-384', {
      issuers: [ONE],
      chainSchemes: ['ecdsa_secp384r1_sha384'],
    });
    const sha256 = credential('ec-p256', 'signed with P-256', { chainSchemes: ['ecdsa_secp256r1_sha256'] });
    const request = { certificateTypes: [64], certificateAuthorities: [ONE] };
    assert.equal(answer12({ ...request, signatureAlgorithms: [0x0403] }, [sha384, sha256]), 'signed with P-256');
    assert.equal(
      answer12({ ...request, signatureAlgorithms: [0x0403, 0x0503] }, [sha256, sha384]),
      'signed with P-384',
    );
  });

  test('does not understand oid_filters, and answers as if they were not there', () => {
    const request = encodeCertificateRequest({ requestContext: Uint8Array.of(1, 2, 3), signatureAlgorithms: [0x0807] });
    // That the certificate be for code signing (RFC 9846 §4.3.5); and an extension that nobody knows.
    const filters = fromHex('0030 0016 0014 05 0603551d25 000c 300a06082b06010505070303'.replaceAll(' ', ''));
    for (const added of [filters, fromHex('ffa50002abcd'), concat(filters, fromHex('ffa50000'))]) {
      const body = concat(request.subarray(4), added);
      const at = 4;
      const length = ((body[at] << 8) | body[at + 1]) + added.length;
      body.set([length >> 8, length & 255], at);
      const { victim, puppet } = clientIn(world, 'Connected', { client: { credentials: [underTwo] } });
      victim.receive(puppet.handshake(frame('certificate_request', body)));
      victim.assertFine();
      puppet.read(victim.flush());
      const { entries } = decodeCertificate(puppet.message('certificate').subarray(4));
      assert.equal(nameOf(entries.map(({ certificate }) => certificate)), 'under an intermediate of two');
      victim.forget();
      puppet.erase();
    }
  });
});

describe('a server with several certificates', () => {
  const pkcs1 = credential('rsa', 'of an old CA', { chainSchemes: ['rsa_pkcs1_sha256', 'rsa_pkcs1_sha256'] });
  const pss = credential('rsa', 'of a CA with PSS', { chainSchemes: ['rsa_pss_rsae_sha256'] });
  const mixed = credential('rsa', 'of two CAs', { chainSchemes: ['ecdsa_secp256r1_sha256', 'rsa_pkcs1_sha256'] });
  const sha1 = credential('rsa', 'with SHA-1', { chainSchemes: [undefined] });
  const silent = credential('rsa', 'of nobody knows whom');
  const codes = (schemes: readonly SignatureScheme[] | undefined) => schemes?.map((scheme) => signatureSchemes[scheme]);

  const cases: readonly [string, readonly Credential[], readonly SignatureScheme[] | undefined, string][] = [
    ['the first that the client can check', [pkcs1, pss], ['rsa_pss_rsae_sha256'], 'of a CA with PSS'],
    ['PSS whichever kind of key made it', [pkcs1, pss], ['rsa_pss_pss_sha256'], 'of a CA with PSS'],
    ['one of which every link can be checked', [mixed, pkcs1], ['rsa_pkcs1_sha256'], 'of an old CA'],
    ['the first where all can be', [pkcs1, pss], ['rsa_pss_rsae_sha256', 'rsa_pkcs1_sha256'], 'of an old CA'],
    ['the first where none can be, as the RFC has it', [mixed, pkcs1], ['ed25519'], 'of two CAs'],
    ['no SHA-1 where there is another', [sha1, pkcs1], ['rsa_pkcs1_sha256'], 'of an old CA'],
    ['one of which it knows nothing before one that cannot be', [pkcs1, silent], ['ed448'], 'of nobody knows whom'],
    ['by signature_algorithms where there is no list for chains', [mixed, pss], undefined, 'of a CA with PSS'],
  ];
  for (const [what, credentials, schemes, expected] of cases) {
    test(`sends ${what}`, () => {
      const client = rsaWorld.client({ versions: ONLY12 });
      const hello = decodeClientHello(clearMessages(client.start().flush())[0].raw.subarray(4));
      client.forget();
      const changed = {
        ...hello,
        extensions: {
          ...hello.extensions,
          signatureAlgorithms: codes(['rsa_pss_rsae_sha256']),
          signatureAlgorithmsCert: codes(schemes),
        },
      };
      const context = { ...rsaWorld.context, credentials };
      const chosen13 = chooseCredential(context, clientHelloInfo(changed, 'TLSv1.3'));
      assert.equal(nameOf(chosen13?.credential.certificateChain ?? []), expected);
      const server = rsaWorld.server({ versions: ONLY12, context });
      server.receive(plaintext(22, encodeClientHello(changed))).assertFine();
      const sent = clearMessages(server.flush()).find(({ name }) => name === 'certificate');
      assert(sent);
      assert.equal(nameOf(decodeCertificate12(sent.raw.subarray(4)).certificates), expected);
      server.forget();
    });
  }

  test('takes a suite that comes second where only its certificate can be checked', () => {
    const ecdsa = credential('ec-p256', 'of an old CA, with ECDSA', { chainSchemes: ['rsa_pkcs1_sha512'] });
    const context = { ...rsaWorld.context, credentials: [ecdsa, pss] };
    const link = rsaWorld.pair({ versions: ONLY12 }, { versions: ONLY12, context });
    link.toServer = (bytes) => {
      const [first] = clearMessages(bytes);
      if (first?.name !== 'client_hello') {
        return bytes;
      }
      const hello = decodeClientHello(first.raw.subarray(4));
      const signatureAlgorithmsCert = [signatureSchemes.rsa_pss_rsae_sha256];
      return plaintext(
        22,
        encodeClientHello({ ...hello, extensions: { ...hello.extensions, signatureAlgorithmsCert } }),
      );
    };
    link.server.receive(link.toServer(link.client.start().flush())).assertFine();
    const sent = clearMessages(link.server.flush()).find(({ name }) => name === 'certificate');
    assert(sent);
    assert.equal(nameOf(decodeCertificate12(sent.raw.subarray(4)).certificates), 'of a CA with PSS');
    link.forget();
  });
});
