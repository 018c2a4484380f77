/** A server that holds the right certificate key and still breaks the rules, or somebody in between who does not. */

import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type SignatureScheme, signatureSchemes } from '../../src/crypto/signatures.ts';
import { cipherSuites12 } from '../../src/crypto/suites12.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { frame } from '../../src/messages/handshake-message.ts';
import {
  DOWNGRADE_TLS11,
  DOWNGRADE_TLS12,
  decodeServerHello,
  type EncodableServerHello,
  encodeServerHello,
} from '../../src/messages/server-hello.ts';
import { encodeCertificate12 } from '../../src/messages/tls12/certificate.ts';
import {
  decodeServerKeyExchange,
  encodeServerKeyExchange,
  encodeServerKeyExchangeParams,
  serverKeyExchangeContent,
} from '../../src/messages/tls12/server-key-exchange.ts';
import { identity } from '../support/connections.ts';
import type { Message } from '../support/puppet.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { BOTH, type Hellos, ONLY12, type Script12, stage12 } from '../support/stages12.ts';
import { World12 } from '../support/world12.ts';

const world = new World12({}, identity('ec-p256'));
const rsaWorld = new World12({}, identity('rsa'));
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
  rsaWorld.close();
});

interface Refusal {
  readonly code: TLSErrorCode;
  readonly alert: string;
}

/** The client fails with this code and alert before it sends anything of its key exchange. */
function refuses(script: Script12, { code, alert }: Refusal, what = '', where = world): void {
  watch.clear();
  const { victim, puppet } = stage12(where, 'client', 'ExpectFinished12', script);
  assert.equal(victim.error?.code, code, `${what}: ${victim.error?.stack}`);
  assert.equal(victim.summary, undefined);
  assert.deepEqual(puppet.alerts, [`${alert} under plaintext`], what);
  assert(!puppet.messages.some(({ name }) => name === 'change_cipher_spec'), what);
  victim.forget();
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
    what,
  );
}

type HelloChange = (hello: EncodableServerHello) => EncodableServerHello;

function changedHello(change: HelloChange, client: Partial<ClientOptions> = {}): Script12 {
  return {
    client,
    tamper: (message) => {
      if (message.name !== 'server_hello') {
        return [message];
      }
      const hello = decodeServerHello(message.raw.subarray(4));
      return [{ ...message, raw: encodeServerHello(change(hello)) }];
    },
  };
}

/** An extension put at the end of the ServerHello, as bytes. */
function withExtension(extension: Uint8Array, client: Partial<ClientOptions> = {}): Script12 {
  return {
    client,
    tamper: (message) => {
      if (message.name !== 'server_hello') {
        return [message];
      }
      const body = concat(message.raw.subarray(4), extension);
      const at = 35 + body[34] + 3;
      const length = ((body[at] << 8) | body[at + 1]) + extension.length;
      body.set([length >> 8, length], at);
      return [{ ...message, raw: frame('server_hello', body) }];
    },
  };
}

/** Replaces the ServerKeyExchange. */
function changedKeyExchange(
  make: (genuine: Uint8Array, hellos: Hellos) => Uint8Array,
  script: Script12 = {},
): Script12 {
  return {
    ...script,
    tamper: (message, hellos) =>
      message.name === 'server_key_exchange' ? [{ ...message, raw: make(message.raw, hellos) }] : [message],
  };
}

/** Parameters signed with the certificate's key, as an honest server would sign. */
function signed(
  rawParams: Uint8Array,
  { clientHello, serverHello }: Hellos,
  where = world,
  scheme: SignatureScheme = where.identity.credential.schemes[0],
): Uint8Array {
  const content = serverKeyExchangeContent(clientHello.slice(6, 38), serverHello.slice(6, 38), rawParams);
  const { privateKey } = where.identity.credential;
  assert(privateKey !== undefined);
  const signature = nodeProvider.sign(scheme, privateKey, content);
  return encodeServerKeyExchange({ rawParams, scheme: signatureSchemes[scheme], signature });
}

const point = (group: number, publicKey: Uint8Array) =>
  encodeServerKeyExchangeParams({ kind: 'ecdhe', group, publicKey });

const X25519 = 29;
const P256 = 23;
const illegal: Refusal = { code: 'TLS_ERR_ILLEGAL_PARAMETER', alert: 'illegal_parameter' };
const decode: Refusal = { code: 'TLS_ERR_DECODE', alert: 'decode_error' };
const badKey: Refusal = { code: 'TLS_ERR_BAD_KEY_SHARE', alert: 'illegal_parameter' };
const badSignature: Refusal = { code: 'TLS_ERR_BAD_SIGNATURE', alert: 'decrypt_error' };

describe('the ServerHello of TLS 1.2', () => {
  test('is refused with a version that was not offered', () => {
    for (const legacyVersion of [0x0300, 0x0301, 0x0302, 0x0304, 0xfefd]) {
      const refusal: Refusal = { code: 'TLS_ERR_PROTOCOL_VERSION', alert: 'protocol_version' };
      refuses(
        changedHello((hello) => ({ ...hello, legacyVersion })),
        refusal,
        String(legacyVersion),
      );
    }
  });

  test('is refused with compression (CRIME)', () => {
    refuses(
      changedHello((hello) => ({ ...hello, compressionMethod: 1 })),
      illegal,
    );
  });

  test('is refused with a suite that was not offered: of TLS 1.3, with CBC, RSA key transport, export keys, none', () => {
    for (const cipherSuite of [0x1301, 0xc013, 0x009c, 0x0003, 0x0000, 0x00ff, 0x5600, 0x009e]) {
      refuses(
        changedHello((hello) => ({ ...hello, cipherSuite })),
        illegal,
        cipherSuite.toString(16),
      );
    }
    refuses(
      changedHello((hello) => ({ ...hello, cipherSuite: 0xc02c }), {
        cipherSuites12: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
      }),
      illegal,
      'spoken, but not offered',
    );
  });

  test('is refused without renegotiation_info, with handshake_failure (RFC 5746 §3.4)', () => {
    const refusal: Refusal = { code: 'TLS_ERR_INSECURE_RENEGOTIATION', alert: 'handshake_failure' };
    refuses(
      changedHello((hello) => ({ ...hello, extensions: { ...hello.extensions, renegotiationInfo: undefined } })),
      refusal,
      'missing',
    );
    for (const length of [1, 12, 24, 36]) {
      refuses(
        changedHello((hello) => ({
          ...hello,
          extensions: { ...hello.extensions, renegotiationInfo: new Uint8Array(length) },
        })),
        refusal,
        `${length} bytes of another connection's verify_data`,
      );
    }
  });

  test('is refused without extended_master_secret (the triple handshake), with handshake_failure', () => {
    refuses(
      changedHello((hello) => ({ ...hello, extensions: { ...hello.extensions, extendedMasterSecret: undefined } })),
      { code: 'TLS_ERR_EXTENDED_MASTER_SECRET', alert: 'handshake_failure' },
    );
  });

  test('is refused when it answers what was not offered', () => {
    const refusal: Refusal = { code: 'TLS_ERR_UNSUPPORTED_EXTENSION', alert: 'unsupported_extension' };
    const unoffered: readonly [string, string][] = [
      ['status_request', '00050000'],
      ['max_fragment_length', '0001000104'],
      ['record_size_limit', '001c00024000'],
      ['heartbeat', '000f000101'],
      ['encrypt_then_mac', '00160000'],
      ['next_protocol_negotiation', '33740000'],
      ['signed_certificate_timestamp', '00120000'],
    ];
    for (const [name, hex] of unoffered) {
      refuses(withExtension(fromHex(hex)), refusal, name);
    }
    refuses(withExtension(fromHex('00230000'), { wantSessions: false }), refusal, 'session_ticket');
  });

  test('is refused when it has what belongs to TLS 1.3', () => {
    const refusal: Refusal = { code: 'TLS_ERR_MISPLACED_EXTENSION', alert: 'illegal_parameter' };
    const client = { versions: BOTH };
    refuses(withExtension(fromHex('003300050017000101'), client), refusal, 'key_share');
    refuses(withExtension(fromHex('002900020000'), client), refusal, 'pre_shared_key');
  });

  test('is refused with an extension twice, and with an ALPN that was not offered', () => {
    refuses(withExtension(fromHex('00170000')), { code: 'TLS_ERR_DUPLICATE_EXTENSION', alert: 'illegal_parameter' });
    refuses(
      changedHello((hello) => ({ ...hello, extensions: { ...hello.extensions, alpnProtocol: 'spdy/3' } })),
      illegal,
    );
  });

  test('is refused when its points are only compressed', () => {
    refuses(
      changedHello((hello) => ({ ...hello, extensions: { ...hello.extensions, ecPointFormats: [1, 2] } })),
      illegal,
    );
  });

  test('that echoes a session ID which was never a session is refused: nothing can be resumed', () => {
    const script = changedHello((hello) => hello, { versions: BOTH });
    refuses(
      {
        ...script,
        tamper: (message, { clientHello }) => {
          if (message.name !== 'server_hello') {
            return [message];
          }
          const hello = decodeServerHello(message.raw.subarray(4));
          const raw = encodeServerHello({ ...hello, legacySessionIdEcho: clientHello.slice(39, 71) });
          return [{ ...message, raw }];
        },
      },
      illegal,
    );
  });
});

describe('version rollback', () => {
  const refusal: Refusal = { code: 'TLS_ERR_DOWNGRADE', alert: 'illegal_parameter' };

  test('a server that spoke TLS 1.3 says so in its random, and the client ends', () => {
    const bothAtServer: Script12 = { client: { versions: BOTH }, server: { versions: BOTH } };
    const link = world.pair(bothAtServer.client, bothAtServer.server);
    // supported_versions becomes an extension that nobody knows.
    link.toServer = (bytes) => withoutSupportedVersions(bytes);
    link.run();
    assert.equal(link.client.error?.code, 'TLS_ERR_DOWNGRADE');
    assert.equal(link.server.summary, undefined);
    link.forget();
  });

  test('both sentinels end a client that offered TLS 1.3, and mean nothing to one that did not', () => {
    for (const sentinel of [DOWNGRADE_TLS12, DOWNGRADE_TLS11]) {
      const change: HelloChange = (hello) => ({ ...hello, random: concat(hello.random.subarray(0, 24), sentinel) });
      refuses(changedHello(change, { versions: BOTH }), refusal);
    }
    const link = world.connect({ versions: ONLY12 }, { versions: BOTH });
    assert.equal(link.client.summary?.version, 'TLSv1.2');
    link.forget();
  });

  test('a sentinel taken away breaks the signature over the randoms', () => {
    const link = world.pair({ versions: BOTH }, { versions: BOTH });
    link.toServer = (bytes) => withoutSupportedVersions(bytes);
    link.toClient = (bytes) => {
      const at = Buffer.from(bytes).indexOf(DOWNGRADE_TLS12);
      const changed = new Uint8Array(bytes);
      if (at >= 0) {
        changed.fill(7, at, at + 8);
      }
      return changed;
    };
    link.run();
    assert.equal(link.client.error?.code, 'TLS_ERR_BAD_SIGNATURE');
    assert.equal(link.server.summary, undefined);
    link.forget();
  });

  test('an offer of TLS 1.3 taken from a client leaves both ends with other keys: the master secret covers the hellos', () => {
    const link = world.pair({ versions: BOTH }, { versions: ONLY12 });
    link.toServer = (bytes) => withoutSupportedVersions(bytes);
    link.run();
    assert.equal(link.client.summary, undefined);
    assert.equal(link.server.error?.code, 'TLS_ERR_BAD_RECORD_MAC');
    link.forget();
  });
});

describe('the key exchange of the server', () => {
  const share = nodeProvider.generateKeyShare('secp256r1');

  test('is refused when it is missing, as with static RSA and static ECDH', () => {
    refuses(
      { tamper: (message) => (message.name === 'server_key_exchange' ? [] : [message]) },
      { code: 'TLS_ERR_UNEXPECTED_MESSAGE', alert: 'unexpected_message' },
    );
  });

  test('is refused as an ephemeral RSA key of 512 bits (FREAK), signed or not', () => {
    const modulus = new Uint8Array(64).fill(0xab);
    const rawParams = concat(new Uint8Array([0, 64]), modulus, new Uint8Array([0, 3, 1, 0, 1]));
    refuses(
      changedKeyExchange((_, hellos) => signed(rawParams, hellos)),
      illegal,
    );
  });

  test('is refused as finite field Diffie-Hellman that was not offered (Logjam)', () => {
    const rawParams = encodeServerKeyExchangeParams({
      kind: 'dhe',
      prime: new Uint8Array(64).fill(0xff),
      generator: new Uint8Array([2]),
      publicKey: new Uint8Array(64).fill(3),
    });
    refuses(
      changedKeyExchange((_, hellos) => signed(rawParams, hellos)),
      illegal,
    );
  });

  test('is refused with an explicit curve, whose equation the server would choose', () => {
    for (const curveType of [0, 1, 2, 4, 255]) {
      const rawParams = concat(new Uint8Array([curveType]), point(P256, share.publicKey).subarray(1));
      refuses(
        changedKeyExchange((_, hellos) => signed(rawParams, hellos)),
        illegal,
        String(curveType),
      );
    }
  });

  test('is refused in a group that was not offered, or that TLS 1.2 does not have', () => {
    for (const group of [1, 19, 24, 25, 30, 256, 0x11ec, 0x0a0a, 0xffff]) {
      refuses(
        changedKeyExchange((_, hellos) => signed(point(group, share.publicKey), hellos)),
        illegal,
        String(group),
      );
    }
  });

  test('is refused with a point off the curve, at infinity, compressed, or of the wrong length', () => {
    const off = new Uint8Array(share.publicKey);
    off[64] ^= 1;
    const compressed = concat(new Uint8Array([2 + (share.publicKey[64] & 1)]), share.publicKey.subarray(1, 33));
    const hybrid = concat(new Uint8Array([6 + (share.publicKey[64] & 1)]), share.publicKey.subarray(1));
    const beyond = concat(new Uint8Array([4]), new Uint8Array(64).fill(0xff));
    const bad = { off, compressed, hybrid, beyond, infinity: new Uint8Array(1), zero: new Uint8Array(65) };
    const lengths = { short: share.publicKey.subarray(0, 64), long: concat(share.publicKey, new Uint8Array(1)) };
    for (const [name, publicKey] of Object.entries({ ...bad, ...lengths })) {
      refuses(
        changedKeyExchange((_, hellos) => signed(point(P256, publicKey), hellos)),
        badKey,
        name,
      );
    }
  });

  test('is refused with an x25519 point of small order, which makes the premaster secret zero', () => {
    const low = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ];
    for (const hex of low) {
      refuses(
        changedKeyExchange((_, hellos) => signed(point(X25519, fromHex(hex)), hellos)),
        badKey,
        hex,
      );
    }
  });

  test('is refused with bytes after it, and cut at every byte', () => {
    let length = 0;
    const whole = changedKeyExchange((genuine) => {
      length = genuine.length;
      return frame('server_key_exchange', concat(genuine.subarray(4), new Uint8Array(1)));
    });
    refuses(whole, decode, 'longer');
    for (let cut = 4; cut < length; cut++) {
      const { victim } = stage12(
        world,
        'client',
        'ExpectFinished12',
        changedKeyExchange((genuine) =>
          frame('server_key_exchange', genuine.subarray(4, Math.min(cut, genuine.length - 1))),
        ),
      );
      assert(victim.error?.alert === 'decode_error' || victim.error?.alert === 'decrypt_error', `${cut}`);
      victim.forget();
    }
  });
});

describe("the signature over the server's key exchange", () => {
  const genuineParams = (genuine: Uint8Array) => decodeServerKeyExchange(genuine.subarray(4), 'ecdhe').rawParams;

  test('is refused over other randoms: it cannot be replayed into another connection', () => {
    for (const which of ['clientHello', 'serverHello'] as const) {
      const forge = changedKeyExchange((genuine, hellos) => {
        const other = new Uint8Array(hellos[which]);
        other[20] ^= 1;
        return signed(genuineParams(genuine), { ...hellos, [which]: other });
      });
      refuses(forge, badSignature, which);
    }
  });

  test('is refused over other parameters', () => {
    const share = nodeProvider.generateKeyShare('x25519');
    const forge = changedKeyExchange((genuine) => {
      const { scheme, signature } = decodeServerKeyExchange(genuine.subarray(4), 'ecdhe');
      return encodeServerKeyExchange({ rawParams: point(X25519, share.publicKey), scheme, signature });
    });
    refuses(forge, badSignature);
    share.erase();
  });

  test('is refused by another key, and when it is empty', () => {
    const other = identity('ec-p256', ' of another');
    const { privateKey } = other.credential;
    assert(privateKey !== undefined);
    const byOther = changedKeyExchange((genuine, { clientHello, serverHello }) => {
      const rawParams = genuineParams(genuine);
      const content = serverKeyExchangeContent(clientHello.slice(6, 38), serverHello.slice(6, 38), rawParams);
      const signature = nodeProvider.sign('ecdsa_secp256r1_sha256', privateKey, content);
      return encodeServerKeyExchange({ rawParams, scheme: 0x0403, signature });
    });
    refuses(byOther, badSignature, 'other');
    const empty = changedKeyExchange((genuine) =>
      encodeServerKeyExchange({ rawParams: genuineParams(genuine), scheme: 0x0403, signature: new Uint8Array(0) }),
    );
    refuses(empty, badSignature, 'empty');
  });

  test('is refused in a scheme that was not offered: MD5, SHA-1, DSA, and what nobody knows', () => {
    for (const scheme of [0x0101, 0x0201, 0x0203, 0x0202, 0x0402, 0x0301, 0x0000, 0x0a0a, 0x0904]) {
      const forge = changedKeyExchange((genuine) => {
        const { rawParams, signature } = decodeServerKeyExchange(genuine.subarray(4), 'ecdhe');
        return encodeServerKeyExchange({ rawParams, scheme, signature });
      });
      refuses(forge, illegal, scheme.toString(16));
    }
  });

  test('of SHA-1, made for real, is refused (SLOTH)', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const forge = changedKeyExchange((genuine) => {
      const signature = createSign('sha1').update('anything').sign(privateKey);
      return encodeServerKeyExchange({ rawParams: genuineParams(genuine), scheme: 0x0203, signature });
    });
    refuses(forge, illegal);
  });

  test('is refused when the certificate has an RSA key and the suite says ECDSA, or the other way round', () => {
    // The host trusts whatever chain comes: the key it hands over is of the other type.
    for (const [where, other, cipherSuite] of [
      [rsaWorld, world, 0xc02b],
      [world, rsaWorld, 0xc02f],
    ] as const) {
      const script: Script12 = {
        tamper: (message, hellos) => {
          if (message.name === 'server_hello') {
            const hello = decodeServerHello(message.raw.subarray(4));
            return [{ ...message, raw: encodeServerHello({ ...hello, cipherSuite }) }];
          }
          if (message.name === 'server_key_exchange') {
            return [{ ...message, raw: signed(genuineParams(message.raw), hellos, where) }];
          }
          return [message];
        },
      };
      refuses(script, illegal, other.identity.publicKey.type, where);
    }
  });

  test('with a scheme of the other key type is refused', () => {
    const forge = changedKeyExchange((genuine, hellos) => {
      const { rawParams, signature } = decodeServerKeyExchange(
        signed(genuineParams(genuine), hellos).subarray(4),
        'ecdhe',
      );
      return encodeServerKeyExchange({ rawParams, scheme: signatureSchemes.rsa_pss_rsae_sha256, signature });
    });
    refuses(forge, badSignature);
  });
});

describe("the server's other messages", () => {
  test('a Certificate without certificates is refused', () => {
    const raw = encodeCertificate12({ certificates: [] });
    refuses(
      { tamper: (message) => (message.name === 'certificate' ? [{ ...message, raw }] : [message]) },
      { code: 'TLS_ERR_NO_CERTIFICATE', alert: 'decode_error' },
    );
  });

  test('a ServerHelloDone with a body is refused by its length alone', () => {
    const raw = new Uint8Array([14, 0, 0, 1, 0]);
    const script: Script12 = {
      tamper: (message) => (message.name === 'server_hello_done' ? [{ ...message, raw }] : [message]),
    };
    refuses(script, { code: 'TLS_ERR_MESSAGE_TOO_LONG', alert: 'decode_error' });
  });

  test('each message of the flight left out, doubled, or changed with its neighbour is refused', () => {
    const flight = ['server_hello', 'certificate', 'server_key_exchange', 'server_hello_done'];
    for (const name of flight) {
      const edits: Record<string, (message: Message) => Message[]> = {
        'left out': () => [],
        doubled: (message) => [message, message],
      };
      for (const [what, edit] of Object.entries(edits)) {
        const { victim } = (() => {
          try {
            return stage12(world, 'client', 'ExpectFinished12', {
              tamper: (message) => (message.name === name ? edit(message) : [message]),
            });
          } catch {
            // The end of the flight left out: the client goes on waiting.
            return { victim: undefined };
          }
        })();
        if (what === 'left out' && name === 'server_hello_done') {
          assert.equal(victim, undefined);
        } else {
          assert.equal(victim?.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE', `${name} ${what}`);
        }
        victim?.forget();
      }
    }
  });

  test('the ticket that was announced and does not come is refused, and so is one that was not announced', () => {
    const without = stage12(world, 'client', 'ExpectFinished12', {
      tamper: (message) => (message.name === 'new_session_ticket' ? [] : [message]),
    });
    assert.equal(without.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    without.victim.forget();
    const unannounced = stage12(world, 'client', 'ExpectChangeCipherSpec12', { server: { context: world.byId } });
    unannounced.victim.receive(unannounced.puppet.handshake(frame('new_session_ticket', new Uint8Array(6))));
    assert.equal(unannounced.victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE');
    unannounced.victim.forget();
  });

  test('an empty ticket leaves the client without a session', () => {
    const link = world.connect12('ticket', {}, { context: { ...world.context, tickets: exhausted() } });
    assert.equal(link.client.sessions12.length, 0);
    link.forget();
  });
});

/** A ring between two keys: nothing can be sealed. */
function exhausted(): NonNullable<typeof world.context.tickets> {
  const { tickets } = world.context;
  assert(tickets !== undefined);
  const { keys } = tickets;
  const none = { sealingKey: () => undefined, openingKey: () => undefined, status: (now: number) => keys.status(now) };
  return { ...tickets, keys: none };
}

/** Renames supported_versions (43) to a type that nobody knows, in the ClientHello. */
function withoutSupportedVersions(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== 22 || bytes[5] !== 1) {
    return bytes;
  }
  const changed = new Uint8Array(bytes);
  let at = 5 + 4 + 34;
  at += 1 + changed[at];
  at += 2 + ((changed[at] << 8) | changed[at + 1]);
  at += 1 + changed[at];
  for (at += 2; at < changed.length; at += 4 + ((changed[at + 2] << 8) | changed[at + 3])) {
    if (changed[at] === 0 && changed[at + 1] === 43) {
      changed.set([0xfe, 0xfe], at);
    }
  }
  return changed;
}

test('the suites that are offered by default are all ephemeral and authenticated', () => {
  const hello = world.client({ versions: ONLY12 }).start();
  const bytes = hello.flush();
  const length = (bytes[44] << 8) | bytes[45];
  assert.equal(bytes[43], 0, 'no session ID');
  const offered = Array.from({ length: length / 2 }, (_, i) => (bytes[46 + 2 * i] << 8) | bytes[47 + 2 * i]);
  const known = Object.values(cipherSuites12).filter((suite) => offered.includes(suite.code));
  assert.equal(known.length, offered.length - 1, 'and one of GREASE');
  assert(known.every((suite) => suite.keyExchange === 'ecdhe'));
  hello.forget();
});
