import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ProtocolVersion } from '../../src/connection-options.ts';
import { type NamedGroup, namedGroups } from '../../src/crypto/groups.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import { identity } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, ONLY12 } from '../support/stages12.ts';
import { NAMINGS, World12 } from '../support/world12.ts';

const suites = (Object.keys(cipherSuites12) as CipherSuite12Name[]).filter(
  (name) => cipherSuites12[name].keyExchange === 'ecdhe',
);
const groups = (Object.keys(namedGroups) as NamedGroup[]).filter((group) => group !== 'X25519MLKEM768');
const keyTypes = {
  ecdsa: ['ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'ed448'],
  rsa: ['rsa', 'rsa-pss'],
} as const;

const watch = new SecretWatch();
const worlds = new Map(
  [...keyTypes.ecdsa, ...keyTypes.rsa].map((type) => [type as string, new World12({}, identity(type))]),
);
after(() => {
  watch.stop();
  for (const world of worlds.values()) {
    world.close();
  }
});

function nothingIsLeft(): void {
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
    [],
  );
}

describe('every TLS 1.2 suite, named group and key type', () => {
  for (const suite of suites) {
    test(`${suite} completes in full, by ticket and by session ID`, () => {
      watch.clear();
      for (const type of keyTypes[cipherSuites12[suite].authentication]) {
        const world = worlds.get(type);
        assert(world !== undefined);
        for (const group of groups) {
          const options = { cipherSuites12: [suite], namedGroups: [group] };
          for (const naming of NAMINGS) {
            const full = world.connect12(naming, options, options);
            assert.equal(full.client.summary?.cipherSuite, suite);
            assert.equal(full.client.summary?.namedGroup, group);
            assert.equal(full.client.summary?.version, 'TLSv1.2');
            assert.equal(full.client.sessions12.length, 1);
            const [session] = full.client.sessions12;
            const resumed = world.connect12(naming, { ...options, session }, options);
            assert.equal(resumed.client.summary?.resumedBy, naming);
            assert.equal(resumed.server.summary?.namedGroup, undefined);
            assert.deepEqual(resumed.client.summary?.peerCertificates, full.client.summary?.peerCertificates);
            full.forget();
            resumed.forget();
          }
        }
      }
      nothingIsLeft();
    });
  }
});

describe('every version of the client with every version of the server', () => {
  const sets: readonly (readonly ProtocolVersion[])[] = [ONLY12, ['TLSv1.3'], BOTH, ['TLSv1.2', 'TLSv1.3']];
  const world = worlds.get('ed25519');
  assert(world !== undefined);
  for (const client of sets) {
    for (const server of sets) {
      const common = ['TLSv1.3', 'TLSv1.2'].find(
        (version) => client.includes(version as ProtocolVersion) && server.includes(version as ProtocolVersion),
      );
      test(`a client of ${client} and a server of ${server} ${common === undefined ? 'part' : `speak ${common}`}`, () => {
        watch.clear();
        const link = world.pair({ versions: client }, { versions: server }).run();
        if (common !== undefined) {
          link.assertComplete();
          assert.equal(link.client.summary?.version, common);
          assert.equal(link.client.summary?.helloRetried, false);
        } else {
          assert.equal(link.server.error?.alert, 'protocol_version');
          assert.equal(link.client.error?.alert, 'protocol_version');
        }
        link.forget();
        nothingIsLeft();
      });
    }
  }

  test('the default of both is TLS 1.3 alone', () => {
    const link = world.pair().run();
    assert.equal(link.client.summary?.version, 'TLSv1.3');
    link.forget();
    const old = world.pair({ versions: ONLY12 }).run();
    assert.equal(old.server.error?.code, 'TLS_ERR_PROTOCOL_VERSION');
    old.forget();
  });

  test('a server that speaks both can still ask for another key share of TLS 1.3, and then speaks nothing older', () => {
    const link = world.connect(
      { versions: BOTH, namedGroups: ['x25519', 'secp256r1'] },
      { versions: BOTH, namedGroups: ['secp256r1'] },
    );
    assert.equal(link.client.summary?.helloRetried, true);
    assert.equal(link.client.summary?.version, 'TLSv1.3');
    link.forget();
  });
});

describe('what a server chooses for TLS 1.2', () => {
  test('with an ECDSA and an RSA certificate the suite that both have decides which one serves', () => {
    const world = new World12({
      credentials: [identity('ec-p256').credential, identity('rsa').credential],
    });
    for (const suite of suites) {
      const isRsa = cipherSuites12[suite].authentication === 'rsa';
      const link = world.pair12('ticket', { cipherSuites12: [suite] });
      const { publicKey, credential } = identity(isRsa ? 'rsa' : 'ec-p256');
      link.client.publicKey = publicKey;
      link.run();
      assert.equal(link.client.summary?.cipherSuite, suite, link.client.error?.message);
      assert.deepEqual(link.client.summary?.peerCertificates, credential.certificateChain);
      link.forget();
    }
    world.close();
  });

  test("the server's order of suites and groups decides", () => {
    const world = worlds.get('ec-p256');
    assert(world !== undefined);
    const [first, second] = suites.filter((suite) => cipherSuites12[suite].authentication === 'ecdsa');
    const link = world.connect12(
      'ticket',
      { cipherSuites12: [first, second], namedGroups: ['x25519', 'secp384r1'] },
      { cipherSuites12: [second, first], namedGroups: ['secp384r1', 'x25519'] },
    );
    assert.equal(link.client.summary?.cipherSuite, second);
    assert.equal(link.client.summary?.namedGroup, 'secp384r1');
    link.forget();
  });
});
