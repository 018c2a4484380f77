import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type NamedGroup, namedGroups } from '../../src/crypto/groups.ts';
import { certificateVerifySchemes } from '../../src/crypto/signatures.ts';
import { type CipherSuiteName, cipherSuites } from '../../src/crypto/suites.ts';
import { identity, World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const suites = Object.keys(cipherSuites) as CipherSuiteName[];
const groups = Object.keys(namedGroups) as NamedGroup[];
const watch = new SecretWatch();
const world = new World();
after(() => watch.stop());

describe('every cipher suite with every named group', () => {
  for (const suite of suites) {
    for (const group of groups) {
      // Another group that both have, for the client to send its first share for.
      const other: NamedGroup = group === 'secp256r1' ? 'x25519' : 'secp256r1';
      const client = { cipherSuites: [suite], namedGroups: [group, other], keyShares: [group] };
      const server = { cipherSuites: [suite], namedGroups: [group] };

      test(`${suite} with ${group} completes in full, resumed, and both after a HelloRetryRequest`, () => {
        const full = world.connect(client, server);
        assert.equal(full.client.summary?.cipherSuite, suite);
        assert.equal(full.client.summary?.namedGroup, group);
        assert.equal(full.client.summary?.resumed, false);
        assert.equal(full.client.sessions.length, 2);

        const [first, second] = full.client.sessions;
        const resumed = world.connect({ ...client, session: first }, server);
        assert.equal(resumed.server.summary?.resumed, true);
        assert.equal(resumed.client.summary?.pskMode, 'psk_dhe_ke');
        assert.deepEqual(resumed.client.summary?.peerCertificates, full.client.summary?.peerCertificates);

        const retried = world.connect({ ...client, keyShares: [other] }, server);
        assert.equal(retried.client.summary?.helloRetried, true);
        assert.equal(retried.client.summary?.namedGroup, group);

        const both = world.connect({ ...client, keyShares: [other], session: second }, server);
        assert.equal(both.client.summary?.helloRetried, true);
        assert.equal(both.server.summary?.resumed, true);

        for (const link of [full, resumed, retried, both]) {
          link.forget();
        }
        assert.deepEqual(
          watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
          [],
        );
      });
    }
  }
});

describe('every signature scheme', () => {
  const types = {
    ecdsa_secp256r1_sha256: 'ec-p256',
    ecdsa_secp384r1_sha384: 'ec-p384',
    ecdsa_secp521r1_sha512: 'ec-p521',
    ed25519: 'ed25519',
    ed448: 'ed448',
    rsa_pss_rsae_sha256: 'rsa',
    rsa_pss_rsae_sha384: 'rsa',
    rsa_pss_rsae_sha512: 'rsa',
    rsa_pss_pss_sha256: 'rsa-pss',
    rsa_pss_pss_sha384: 'rsa-pss',
    rsa_pss_pss_sha512: 'rsa-pss',
  } as const;

  test('the list of this test is the list of schemes that are offered', () => {
    assert.deepEqual(Object.keys(types).sort(), [...certificateVerifySchemes].sort());
  });

  for (const [scheme, type] of Object.entries(types)) {
    test(`a server authenticates with ${scheme}, and its session resumes without a signature`, () => {
      const who = identity(type);
      const credential = { ...who.credential, schemes: who.credential.schemes.filter((name) => name === scheme) };
      const own = new World({ credentials: [credential] }, who);
      const full = own.connect();
      assert.equal(full.client.summary?.signatureScheme, scheme);
      const resumed = own.connect({ session: full.client.sessions[0] });
      assert.equal(resumed.client.summary?.resumed, true);
      assert.equal(resumed.client.summary?.signatureScheme, undefined);
      full.forget();
      resumed.forget();
      own.close();
    });
  }
});

test('the first credential whose scheme the client accepts serves', () => {
  const rsaOnly = { ...identity('ed448').credential, schemes: [] };
  const own = new World({ credentials: [rsaOnly, identity().credential] });
  assert.equal(own.connect().client.summary?.signatureScheme, 'ed25519');
});
