/** Logjam, groups with a back door, and shares that make a secret anybody knows: signed by a server, or sent by a client. */

import assert from 'node:assert/strict';
import { getDiffieHellman } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import { type FfdheGroup, ffdheGroups } from '../../src/crypto/dhe-groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { signatureSchemes } from '../../src/crypto/signatures.ts';
import type { CipherSuite12Name } from '../../src/crypto/suites12.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { encodeClientKeyExchange } from '../../src/messages/tls12/client-key-exchange.ts';
import {
  encodeServerKeyExchange,
  encodeServerKeyExchangeParams,
  serverKeyExchangeContent,
} from '../../src/messages/tls12/server-key-exchange.ts';
import { identity } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { type Hellos, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12({}, identity('rsa'));
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const SUITE: CipherSuite12Name = 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384';
const ECDHE: CipherSuite12Name = 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256';
const dhe = { cipherSuites12: [SUITE] };
const { prime, length } = ffdheGroups.ffdhe2048;
const TWO = Uint8Array.of(2);
const FOUR = Uint8Array.of(4);

interface Numbers {
  readonly prime?: Uint8Array;
  readonly generator?: Uint8Array;
  readonly publicKey?: Uint8Array;
}

/** Parameters as the server's certificate key would sign them. */
function signed(rawParams: Uint8Array, { clientHello, serverHello }: Hellos): Uint8Array {
  const [{ privateKey }] = world.context.credentials;
  assert(privateKey !== undefined);
  const content = serverKeyExchangeContent(clientHello.slice(6, 38), serverHello.slice(6, 38), rawParams);
  const signature = nodeProvider.sign('rsa_pss_rsae_sha256', privateKey, content);
  return encodeServerKeyExchange({ rawParams, scheme: signatureSchemes.rsa_pss_rsae_sha256, signature });
}

function paramsOf({ prime: p = prime, generator = TWO, publicKey = FOUR }: Numbers): Uint8Array {
  return encodeServerKeyExchangeParams({ kind: 'dhe', prime: p, generator, publicKey });
}

interface Attack {
  readonly make: (hellos: Hellos, genuine: Uint8Array) => Uint8Array;
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ClientOptions>;
}

/** How the client ends, before it has sent anything of its own. */
function endOfClient({ make, client = dhe, server = dhe }: Attack): string {
  watch.clear();
  const { victim, puppet } = stage12(world, 'client', 'ExpectFinished12', {
    client,
    server: server as object,
    tamper: (message, hellos) =>
      message.name === 'server_key_exchange' ? [{ ...message, raw: make(hellos, message.raw) }] : [message],
  });
  assert.equal(victim.summary, undefined);
  assert(!puppet.messages.some(({ name }) => name === 'client_key_exchange' || name === 'change_cipher_spec'));
  victim.forget();
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
  );
  return `${victim.error?.code}: ${puppet.alerts.join()}`;
}

const numbers = (given: Numbers) => endOfClient({ make: (hellos) => signed(paramsOf(given), hellos) });

const INSECURE = 'TLS_ERR_ILLEGAL_PARAMETER: insufficient_security under plaintext';
const ILLEGAL = 'TLS_ERR_ILLEGAL_PARAMETER: illegal_parameter under plaintext';
const BAD_SHARE = 'TLS_ERR_BAD_KEY_SHARE: illegal_parameter under plaintext';

/** p with this added to its last byte, which is 255 - no carry upwards; from -255 to 0. */
function nearPrime(offset: number): Uint8Array {
  const changed = new Uint8Array(prime);
  changed[length - 1] += offset;
  return changed;
}

describe('a client of DHE', () => {
  test('goes on with a share in a group it named: what is refused below is not refused for another reason', () => {
    const { victim } = stage12(world, 'client', 'ExpectTicket12', {
      client: dhe,
      server: dhe,
      tamper: (message, hellos) =>
        message.name === 'server_key_exchange' ? [{ ...message, raw: signed(paramsOf({}), hellos) }] : [message],
    });
    victim.assertFine();
    assert.equal(victim.connection.state, 'ExpectTicket12');
    victim.forget();
  });

  test('refuses primes of 512, 768, 1024, 1536 and 2040 bits (Logjam), genuine and signed as they are', () => {
    const primes = ['modp1', 'modp2', 'modp5'].map((name) => new Uint8Array(getDiffieHellman(name).getPrime()));
    const odd = (bytes: number) => new Uint8Array(bytes).fill(0xff);
    for (const small of [odd(64), ...primes, odd(255)]) {
      assert.equal(numbers({ prime: small }), ILLEGAL, `${8 * small.length} bits`);
    }
  });

  test('refuses groups that are none of RFC 7919, be they the well-known ones of IKE', () => {
    for (const name of ['modp14', 'modp15', 'modp16']) {
      assert.equal(numbers({ prime: new Uint8Array(getDiffieHellman(name).getPrime()) }), INSECURE, name);
    }
    for (const at of [0, 1, 100, 255]) {
      const changed = new Uint8Array(prime);
      changed[at] ^= 2;
      assert.equal(numbers({ prime: changed }), INSECURE, `bit in byte ${at}`);
    }
    for (const generator of [FOUR, Uint8Array.of(5), nearPrime(-1), prime]) {
      assert.equal(numbers({ generator }), INSECURE, 'another generator');
    }
  });

  test('refuses groups of RFC 7919 that it did not name', () => {
    for (const name of ['ffdhe4096', 'ffdhe6144', 'ffdhe8192'] as FfdheGroup[]) {
      assert.equal(numbers({ prime: ffdheGroups[name].prime }), INSECURE, name);
    }
    const client = { ...dhe, ffdheGroups12: ['ffdhe3072'] as const };
    const server = { ...dhe, ffdheGroups12: ['ffdhe3072'] as const };
    const make = (hellos: Hellos) => signed(paramsOf({}), hellos);
    assert.equal(endOfClient({ make, client, server }), INSECURE, 'ffdhe2048 where it wants more');
  });

  test('refuses an even number, a generator of 0 or 1, and a number that takes minutes to multiply', () => {
    const even = nearPrime(-1);
    assert.equal(numbers({ prime: even }), ILLEGAL);
    assert.equal(numbers({ generator: Uint8Array.of(0) }), ILLEGAL);
    assert.equal(numbers({ generator: Uint8Array.of(1) }), ILLEGAL);
    assert.equal(numbers({ prime: new Uint8Array(1025).fill(0xff) }), ILLEGAL);
    assert.match(numbers({ prime: new Uint8Array(16_383).fill(0xff) }), /^TLS_ERR_MESSAGE_TOO_LONG/);
    assert.equal(numbers({ prime: concat(Uint8Array.of(0, 0), prime) }), ILLEGAL);
  });

  test('refuses a share of 0, 1, p - 1, p or more, in any padding', () => {
    const padded = (last: number) => {
      const bytes = new Uint8Array(length);
      bytes[length - 1] = last;
      return bytes;
    };
    for (const publicKey of [
      ...[Uint8Array.of(0), Uint8Array.of(1), padded(0), padded(1)],
      ...[nearPrime(-1), prime, new Uint8Array(length).fill(0xff)],
    ]) {
      assert.equal(numbers({ publicKey }), BAD_SHARE);
    }
    assert.equal(numbers({ publicKey: concat(Uint8Array.of(0), padded(4)) }), ILLEGAL, 'longer than the prime');
    const empty = fromHex('0000');
    const withoutShare = paramsOf({ publicKey: new Uint8Array(0) });
    assert.deepEqual(withoutShare.subarray(-2), empty);
    assert.equal(
      endOfClient({ make: (hellos) => signed(withoutShare, hellos) }),
      'TLS_ERR_DECODE: decode_error under plaintext',
    );
  });

  test('refuses parameters changed on their way, at every place', () => {
    const places = [2, 258, 262, 265, 400];
    for (const at of places) {
      const end = endOfClient({
        make: (_, genuine) => {
          const changed = new Uint8Array(genuine);
          changed[4 + at] ^= 1;
          return changed;
        },
      });
      assert.match(end, /^TLS_ERR_(ILLEGAL_PARAMETER|BAD_SIGNATURE|DECODE)/, `byte ${at}`);
    }
    const end = endOfClient({
      make: (_, genuine) => {
        const changed = new Uint8Array(genuine);
        changed[changed.length - 1] ^= 1;
        return changed;
      },
    });
    assert.equal(end, 'TLS_ERR_BAD_SIGNATURE: decrypt_error under plaintext');
  });

  test('reads no signed parameters of one kind as those of the other (the cross-protocol attack)', () => {
    const share = nodeProvider.generateKeyShare('x25519');
    const curve = encodeServerKeyExchangeParams({ kind: 'ecdhe', group: 29, publicKey: share.publicKey });
    share.erase();
    assert.match(endOfClient({ make: (hellos) => signed(curve, hellos) }), /^TLS_ERR_(DECODE|ILLEGAL_PARAMETER)/);
    const ecdhe = { cipherSuites12: [ECDHE] };
    const make = (hellos: Hellos) => signed(paramsOf({}), hellos);
    assert.match(endOfClient({ make, client: ecdhe, server: ecdhe }), /^TLS_ERR_(DECODE|ILLEGAL_PARAMETER)/);
  });
});

describe('a server of DHE', () => {
  function endOfServer(raw: Uint8Array): string {
    watch.clear();
    const { victim, puppet } = stage12(world, 'server', 'ExpectClientKeyExchange12', { client: dhe, server: dhe });
    victim.receive(puppet.handshake(raw));
    puppet.read(victim.flush());
    const { error } = victim;
    victim.forget();
    assert.deepEqual(
      watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
      [],
    );
    return `${error?.code}: ${puppet.alerts.join()}`;
  }

  const yc = (publicKey: Uint8Array) => endOfServer(encodeClientKeyExchange({ kind: 'dhe', publicKey }));

  test('refuses a share of 0, 1, p - 1, p or more, and one longer than the prime', () => {
    const zero = new Uint8Array(length);
    for (const publicKey of [Uint8Array.of(0), Uint8Array.of(1), zero, nearPrime(-1), prime]) {
      assert.equal(yc(publicKey), BAD_SHARE);
    }
    assert.equal(yc(new Uint8Array(length).fill(0xff)), BAD_SHARE);
    assert.equal(yc(concat(Uint8Array.of(0), prime)), BAD_SHARE);
    const tooLong: TLSErrorCode = 'TLS_ERR_DECODE';
    assert.match(yc(new Uint8Array(1025).fill(1)), new RegExp(tooLong));
    assert.match(yc(new Uint8Array(0)), new RegExp(tooLong));
  });

  test('takes a share that is short because it begins with zeros, padded or not', () => {
    for (const publicKey of [FOUR, concat(new Uint8Array(length - 1), FOUR)]) {
      const { victim, puppet } = stage12(world, 'server', 'ExpectClientKeyExchange12', { client: dhe, server: dhe });
      victim.receive(puppet.handshake(encodeClientKeyExchange({ kind: 'dhe', publicKey })));
      victim.assertFine();
      assert.equal(victim.connection.state, 'ExpectChangeCipherSpec12');
      victim.forget();
    }
  });

  test('reads no share of a curve as one of its group', () => {
    const share = nodeProvider.generateKeyShare('x25519');
    const raw = encodeClientKeyExchange({ kind: 'ecdhe', publicKey: share.publicKey });
    share.erase();
    assert.match(endOfServer(raw), /^TLS_ERR_DECODE/);
  });
});
