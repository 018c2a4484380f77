/** DHE over the groups of RFC 7919: off unless asked for, and how the two ends agree on a group. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import { generateDheShare } from '../../src/crypto/dhe-exchange.ts';
import { type FfdheGroup, ffdheGroups } from '../../src/crypto/dhe-groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider, DheShare } from '../../src/crypto/provider.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import { decodeClientHello, encodeClientHello } from '../../src/messages/client-hello.ts';
import { decodeServerKeyExchange } from '../../src/messages/tls12/server-key-exchange.ts';
import { identity, type Link } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';
import { messagesOf, prf12, recordsOf } from '../support/puppet12.ts';
import { refuses } from '../support/refusals.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, ONLY12 } from '../support/stages12.ts';
import { countingProvider, NAMINGS, World12 } from '../support/world12.ts';

const world = new World12({}, identity('rsa'));
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const SUITE: CipherSuite12Name = 'TLS_DHE_RSA_WITH_AES_128_GCM_SHA256';
const ECDHE: CipherSuite12Name = 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256';
const dheSuites = Object.values(cipherSuites12)
  .filter((suite) => suite.keyExchange === 'dhe')
  .map((suite) => suite.name);
const dhe = { versions: ONLY12, cipherSuites12: [SUITE] };
const groupNames = Object.keys(ffdheGroups) as FfdheGroup[];
const P = BigInt(`0x${toHex(ffdheGroups.ffdhe2048.prime)}`);

function connect(client: Partial<ClientOptions>, server: Partial<ServerOptions>): Link {
  return world.connect({ versions: ONLY12, ...client }, { versions: ONLY12, ...server });
}

/** Changes the groups that the ClientHello names; undefined takes the extension away. Both ends then see other hellos. */
function withGroups(link: Link, groups: readonly number[] | undefined): Link {
  link.toServer = (bytes) => {
    const [{ name, raw }] = messagesOf(recordsOf(bytes)[0].subarray(5));
    assert.equal(name, 'client_hello');
    const hello = decodeClientHello(raw.subarray(4));
    const changed = { ...hello, extensions: { ...hello.extensions, supportedGroups: groups, unknown: undefined } };
    return plaintext(22, encodeClientHello(changed));
  };
  link.client.start();
  link.server.receive(link.toServer(link.client.flush()));
  return link;
}

/** What the server answered with: its group, or why not. */
function answerTo(groups: readonly number[] | undefined, server: Partial<ServerOptions> = {}): string {
  const link = withGroups(world.pair({ ...dhe, grease: false }, { ...dhe, ...server }), groups);
  const { error } = link.server;
  if (error !== undefined) {
    link.forget();
    return `${error.code} ${error.alert}`;
  }
  const messages = recordsOf(link.server.flush()).flatMap((record) => messagesOf(record.subarray(5)));
  const found = messages.find((message) => message.name === 'server_key_exchange');
  assert(found);
  const { keyExchange } = cipherSuites12[server.cipherSuites12?.[0] ?? SUITE];
  const { params } = decodeServerKeyExchange(found.raw.subarray(4), messages.length > 0 ? keyExchange : 'dhe');
  link.forget();
  return params.kind === 'dhe' ? `dhe ${8 * params.prime.length}` : `ecdhe ${params.group}`;
}

describe('DHE', () => {
  test('is off unless asked for: a default client offers neither suite nor group, a default server takes neither', () => {
    const link = world.pair({ versions: BOTH, cipherSuites: undefined, grease: false }, dhe);
    const [{ raw }] = messagesOf(recordsOf(link.client.start().flush())[0].subarray(5));
    const hello = decodeClientHello(raw.subarray(4));
    for (const name of dheSuites) {
      assert(!hello.cipherSuites.includes(cipherSuites12[name].code));
    }
    assert(hello.extensions.supportedGroups?.every((group) => group < 256 || group > 511));
    link.forget();
    const refused = world.pair(dhe, { versions: ONLY12 }).run();
    assert.equal(refused.server.error?.code, 'TLS_ERR_NO_COMMON_SUITE');
    refused.forget();
    const named = world.pair({ versions: ONLY12, ffdheGroups12: groupNames, grease: false }, { versions: ONLY12 });
    const [unasked] = messagesOf(recordsOf(named.client.start().flush())[0].subarray(5));
    const { supportedGroups = [] } = decodeClientHello(unasked.raw.subarray(4)).extensions;
    assert(!supportedGroups.includes(0x0100), 'groups without a suite ask for nothing');
    named.forget();
  });

  for (const name of dheSuites) {
    test(`completes with ${name}, and resumes without a key exchange`, () => {
      watch.clear();
      for (const naming of NAMINGS) {
        const only = { cipherSuites12: [name] };
        const session = world.session12(naming, only, only);
        const [client, server] = [countingProvider(), countingProvider()];
        const link = world.connect12(
          naming,
          { ...only, session, provider: client.provider },
          { ...only, provider: server.provider },
        );
        assert.equal(link.server.summary?.resumed, true);
        assert.equal(link.server.summary?.cipherSuite, name);
        assert.equal(link.server.summary?.namedGroup, undefined);
        assert.deepEqual([client.calls.generateDheShare, server.calls.generateDheShare], [undefined, undefined]);
        session.secret.erase();
        link.forget();
      }
      assert.deepEqual(
        watch.alive.filter((kind) => !kind.startsWith('ticketKey') && kind !== 'cachedSession'),
        [],
      );
    });
  }

  for (const group of groupNames) {
    test(`completes over ${group} where both name it, with one share each, which is spent`, () => {
      const shares: DheShare[] = [];
      const provider: CryptoProvider = {
        ...nodeProvider,
        generateDheShare: (name) => {
          shares.push(nodeProvider.generateDheShare(name));
          return shares[shares.length - 1];
        },
      };
      const options = { ...dhe, ffdheGroups12: [group], provider };
      const link = connect(options, options);
      assert.equal(link.client.summary?.namedGroup, group);
      assert.equal(shares.length, 2);
      for (const [index, share] of shares.entries()) {
        refuses('TLS_ERR_SECRET_ERASED', () => share.agree(shares[1 - index].publicKey));
      }
      link.forget();
    });
  }

  test('takes new shares for each handshake', () => {
    const seen = new Set<string>();
    const provider: CryptoProvider = {
      ...nodeProvider,
      generateDheShare: (name) => {
        const share = nodeProvider.generateDheShare(name);
        seen.add(toHex(share.publicKey));
        return share;
      },
    };
    for (let i = 0; i < 3; i++) {
      connect({ ...dhe, provider }, { ...dhe, provider }).forget();
    }
    assert.equal(seen.size, 6);
  });

  test('the server’s order of groups decides, among those that the client names', () => {
    const both: FfdheGroup[] = ['ffdhe2048', 'ffdhe3072'];
    const chosen = (client: FfdheGroup[] | undefined, server: FfdheGroup[] | undefined) => {
      const link = connect({ ...dhe, ffdheGroups12: client }, { ...dhe, ffdheGroups12: server });
      link.forget();
      return link.server.summary?.namedGroup;
    };
    assert.equal(chosen(undefined, undefined), 'ffdhe2048');
    assert.equal(chosen(both, ['ffdhe3072', 'ffdhe2048']), 'ffdhe3072');
    assert.equal(chosen(['ffdhe4096', 'ffdhe3072'], undefined), 'ffdhe3072');
  });

  test('a client that names no finite field group gets the server’s first; RFC 7919 is unknown to it', () => {
    assert.equal(answerTo([29, 23]), 'dhe 2048');
    assert.equal(answerTo(undefined), 'dhe 2048');
    assert.equal(answerTo([29], { ffdheGroups12: ['ffdhe3072', 'ffdhe2048'] }), 'dhe 3072');
  });

  test('a client that names some, of which the server speaks none, gets no DHE, were they unknown', () => {
    const refused = 'TLS_ERR_NO_COMMON_GROUP insufficient_security';
    for (const code of [0x0102, 0x0104, 0x0105, 0x01fc, 0x01ff]) {
      assert.equal(answerTo([29, code]), refused, code.toString(16));
    }
    assert.equal(answerTo([29, 0x01ff, 0x0101]), 'dhe 3072');
    // Outside of 256 to 511 there are no such groups.
    assert.equal(answerTo([29, 0x00ff, 0x0200]), 'dhe 2048');
  });

  test('where one kind of group is missing, a suite of the other kind is taken', () => {
    const both = { cipherSuites12: [SUITE, ECDHE] };
    const link = connect({ ...both, ffdheGroups12: ['ffdhe4096'] }, both);
    assert.equal(link.server.summary?.cipherSuite, ECDHE);
    link.forget();
    const curves: CipherSuite12Name[] = [ECDHE, SUITE];
    const other = connect(
      { cipherSuites12: curves, namedGroups: ['secp384r1'] },
      { cipherSuites12: curves, namedGroups: ['x25519'] },
    );
    assert.equal(other.server.summary?.cipherSuite, SUITE);
    assert.equal(other.server.summary?.namedGroup, 'ffdhe2048');
    other.forget();
  });

  test('needs a server certificate with an RSA key', () => {
    const ecdsa = new World12({}, identity('ec-p256'));
    const link = ecdsa.pair(dhe, dhe).run();
    assert.equal(link.server.error?.code, 'TLS_ERR_NO_COMMON_SIGNATURE_SCHEME');
    link.forget();
    ecdsa.close();
  });

  test('a list of groups that is empty, or names strangers, is refused at once', () => {
    for (const ffdheGroups12 of [[], ['x25519'], ['ffdhe2048', 'modp2048']] as unknown as FfdheGroup[][]) {
      assert.throws(() => world.client({ ...dhe, ffdheGroups12 }), { code: 'TLS_ERR_CONFIG' });
      assert.throws(() => world.server({ ...dhe, ffdheGroups12 }), { code: 'TLS_ERR_CONFIG' });
    }
  });

  test('beside TLS 1.3 it changes nothing there, and serves a server that speaks only TLS 1.2', () => {
    const offer = { versions: BOTH, cipherSuites12: [SUITE] };
    const link = world.connect(offer, { versions: BOTH });
    assert.equal(link.client.summary?.version, 'TLSv1.3');
    assert.deepEqual(link.client.summary?.offered?.namedGroups, ['x25519', 'secp256r1', 'ffdhe2048', 'ffdhe3072']);
    link.forget();
    const older = world.connect(offer, dhe);
    assert.equal(older.client.summary?.namedGroup, 'ffdhe2048');
    older.forget();
  });
});

describe('a premaster secret that begins with zeros', () => {
  // With these two the agreed number has 255 bytes.
  const seeds = { server: 'server', client: '76' };

  function seeded(seed: string): CryptoProvider {
    return { ...nodeProvider, generateDheShare: (group) => generateDheShare(group, exponentOf(seed)) };
  }

  function exponentOf(seed: string): (bytes: Uint8Array) => void {
    return (bytes) => bytes.set(createHash('sha512').update(`share ${seed}`).digest().subarray(0, bytes.length));
  }

  function numberOf(seed: string): bigint {
    const bytes = new Uint8Array(29);
    exponentOf(seed)(bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    return BigInt(`0x${toHex(bytes)}`);
  }

  test('goes into the PRF without them: both ends, and arithmetic done elsewhere, have the same master secret', () => {
    const up: Uint8Array[] = [];
    const down: Uint8Array[] = [];
    const link = world.pair({ ...dhe, provider: seeded(seeds.client) }, { ...dhe, provider: seeded(seeds.server) });
    link.toServer = (bytes) => {
      up.push(bytes);
      return bytes;
    };
    link.toClient = (bytes) => {
      down.push(bytes);
      return bytes;
    };
    link.run().assertComplete();
    const messages = (flights: Uint8Array[], until: string) => {
      const all = recordsOf(concat(...flights)).filter((record) => record[0] === 22);
      const clear = all.slice(0, -1).flatMap((record) => messagesOf(record.subarray(5)));
      return clear.slice(0, clear.findIndex(({ name }) => name === until) + 1).map(({ raw }) => raw);
    };
    const [clientHello, ...clientRest] = messages(up, 'client_key_exchange');
    const serverFlight = messages(down, 'server_hello_done');
    const sessionHash = createHash('sha256')
      .update(concat(clientHello, ...serverFlight, ...clientRest))
      .digest();
    const z = power(power(2n, numberOf(seeds.server)), numberOf(seeds.client)).toString(16);
    const stripped = Buffer.from(z.padStart(z.length + (z.length % 2), '0'), 'hex');
    assert.equal(stripped.length, 255);
    const suite = cipherSuites12[SUITE];
    const expected = (secret: Uint8Array) =>
      prf12(suite, secret, 'extended master secret', sessionHash, 48).toString('hex');
    assert.equal(link.client.keyLog.get('CLIENT_RANDOM'), expected(stripped));
    assert.notEqual(expected(stripped), expected(Buffer.concat([Buffer.of(0), stripped])));
    link.forget();
  });
});

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    result = (rest & 1n) === 1n ? (result * square) % P : result;
    square = (square * square) % P;
  }
  return result;
}
