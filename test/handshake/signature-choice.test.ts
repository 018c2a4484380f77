import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ClientAuthenticationPolicy, ProtocolVersion, ServerContext } from '../../src/connection-options.ts';
import {
  certificateSchemes,
  certificateVerifySchemes,
  type SignatureScheme,
  signatureSchemes,
} from '../../src/crypto/signatures.ts';
import { schemesToTake, takeScheme } from '../../src/handshake/signature-choice.ts';
import { decodeClientHello } from '../../src/messages/client-hello.ts';
import { type Identity, identity, World } from '../support/connections.ts';
import { refuses } from '../support/refusals.ts';

const rsa = identity('rsa');
const ecdsa = identity('ec-p256');
const ONLY12 = ['TLSv1.2'] as const;
const ONLY13 = ['TLSv1.3'] as const;

const worlds: World[] = [];
after(() => {
  for (const world of worlds) {
    world.close();
  }
});

function world(
  who: Identity,
  allowedSchemes?: readonly SignatureScheme[],
  changes: Partial<ServerContext> = {},
): World {
  const made = new World({ credentials: [{ ...who.credential, allowedSchemes }], ...changes }, who);
  worlds.push(made);
  return made;
}

function codes(schemes: readonly SignatureScheme[] | undefined): readonly number[] | undefined {
  return schemes?.map((scheme) => signatureSchemes[scheme]);
}

describe('how a peer may sign the handshake', () => {
  test('a client tells it in the order given, and leaves the signatures in certificates alone', () => {
    const acceptedSchemes = ['rsa_pkcs1_sha512', 'rsa_pss_rsae_sha384'] as const;
    for (const [versions, told] of [
      [[...ONLY13, ...ONLY12], acceptedSchemes],
      [ONLY13, ['rsa_pss_rsae_sha384']],
    ] as const) {
      const client = world(rsa).client({ versions, acceptedSchemes }).start();
      const { extensions } = decodeClientHello(client.flush().subarray(9));
      assert.deepEqual(extensions.signatureAlgorithms, codes(told));
      assert.deepEqual(extensions.signatureAlgorithmsCert, codes(certificateSchemes));
      client.forget();
    }
  });

  test('never comes to more than what is safe', () => {
    const all = Object.keys(signatureSchemes) as SignatureScheme[];
    assert.deepEqual(new Set(schemesToTake(all, 'TLSv1.3')), new Set(certificateVerifySchemes));
    assert.deepEqual(new Set(schemesToTake(all, 'TLSv1.2')), new Set(certificateSchemes));
  });

  test('what was not offered is refused with illegal_parameter', () => {
    const acceptedSchemes = ['rsa_pkcs1_sha256', 'ed25519'] as const;
    const take = (scheme: SignatureScheme, version: ProtocolVersion) =>
      takeScheme({ code: signatureSchemes[scheme], acceptedSchemes, version, peer: 'server' });
    assert.equal(take('ed25519', 'TLSv1.3'), 'ed25519');
    assert.equal(take('rsa_pkcs1_sha256', 'TLSv1.2'), 'rsa_pkcs1_sha256');
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => take('rsa_pkcs1_sha256', 'TLSv1.3'));
    refuses('TLS_ERR_ILLEGAL_PARAMETER', () => take('rsa_pss_rsae_sha256', 'TLSv1.2'));
  });

  test('a client that leaves nothing for its version is refused when it is made', () => {
    refuses('TLS_ERR_CONFIG', () => world(rsa).client({ acceptedSchemes: ['rsa_pkcs1_sha256'] }));
    refuses('TLS_ERR_CONFIG', () => world(rsa).client({ versions: ONLY12, acceptedSchemes: [] }));
  });

  for (const versions of [ONLY13, ONLY12]) {
    test(`a server tells its clients (${versions})`, () => {
      const ask = (acceptedSchemes: readonly SignatureScheme[]): ClientAuthenticationPolicy => ({
        required: true,
        certificateAuthorities: [],
        id: 'any',
        acceptedSchemes,
      });
      const client = { versions, credentials: [ecdsa.credential, rsa.credential] };
      const asking = world(rsa, undefined, { clientAuthentication: ask(['rsa_pss_rsae_sha512']) });
      const { client: own } = asking.connect(client, { versions });
      assert.deepEqual(own.summary?.ownCertificates, rsa.credential.certificateChain);
      const nobody = world(rsa, undefined, { clientAuthentication: ask(['ed448']) })
        .pair(client, { versions })
        .run();
      assert.equal(nobody.server.error?.code, 'TLS_ERR_CERTIFICATE_REQUIRED');
      const broken = world(rsa, undefined, { clientAuthentication: ask([]) })
        .pair(client, { versions })
        .run();
      assert.equal(broken.server.error?.code, 'TLS_ERR_CONFIG');
    });
  }
});

describe('how a credential signs', () => {
  const allowed = ['rsa_pkcs1_sha512', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha256'] as const;

  test('the order of what is allowed decides; PKCS #1 v1.5 is for TLS 1.2 alone', () => {
    for (const [versions, scheme] of [
      [ONLY12, 'rsa_pkcs1_sha512'],
      [ONLY13, 'rsa_pss_rsae_sha384'],
    ] as const) {
      const { client } = world(rsa, allowed).connect({ versions }, { versions });
      assert.equal(client.summary?.signatureScheme, scheme);
    }
  });

  test('a server of TLS 1.2 to which RSA-PSS alone is allowed makes no PKCS #1 v1.5', () => {
    const client = { versions: ONLY12, acceptedSchemes: ['rsa_pkcs1_sha256'] } as const;
    const link = world(rsa, ['rsa_pss_rsae_sha256']).pair(client, { versions: ONLY12 }).run();
    assert.equal(link.server.error?.code, 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME');
  });
});
