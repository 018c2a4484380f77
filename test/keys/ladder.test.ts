import assert from 'node:assert/strict';
import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { toHex, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { type CipherSuite, cipherSuites } from '../../src/crypto/suites.ts';
import { Tls13Exporter } from '../../src/keys/exporter.ts';
import { finishedVerifyData, pskBinder } from '../../src/keys/finished.ts';
import { exporterSecretLine, trafficSecretLine } from '../../src/keys/key-log.ts';
import { EarlySecret, type HandshakeSecret, handshakeSecretWithoutPsk, resumptionPsk } from '../../src/keys/ladder.ts';
import { TrafficSecret } from '../../src/keys/traffic.ts';
import { refuses } from '../support/refusals.ts';

const suites = Object.values(cipherSuites) as readonly CipherSuite[];
const suite: CipherSuite = cipherSuites.TLS_AES_128_GCM_SHA256;
const helloHash = new Uint8Array(32).fill(1);
const finishedHash = new Uint8Array(32).fill(2);
const clientRandom = Uint8Array.from({ length: 32 }, (_, i) => i);

function secret(length: number, byte = 7): Secret {
  return Secret.copy('test', new Uint8Array(length).fill(byte));
}

function hexOf(value: { use<T>(callback: (bytes: Uint8Array) => T): T }): string {
  return value.use(toHex);
}

function fullHandshake(): HandshakeSecret {
  return handshakeSecretWithoutPsk(nodeProvider, suite, secret(32));
}

/** HKDF-Expand-Label from its definition, over node:crypto's HMAC: nothing of src/keys. */
function independentLabel(hash: string, key: Uint8Array, label: string, context: Uint8Array, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 255, name.length]),
    name,
    Buffer.from([context.length]),
    context,
  ]);
  let block = Buffer.alloc(0);
  let made = Buffer.alloc(0);
  for (let counter = 1; made.length < length; counter++) {
    block = createHmac(hash, key)
      .update(Buffer.concat([block, info, Buffer.from([counter])]))
      .digest();
    made = Buffer.concat([made, block]);
  }
  return made.subarray(0, length);
}

describe('key ladder', () => {
  it("a full handshake's shortcut equals the ladder", () => {
    for (const each of suites) {
      for (const shareLength of [32, 48, 64, 66]) {
        const transcript = new Uint8Array(each.hashLength).fill(3);
        const short = handshakeSecretWithoutPsk(nodeProvider, each, secret(shareLength));
        const long = EarlySecret.create(nodeProvider, each.hash).toHandshakeSecret(each, secret(shareLength));
        assert.equal(
          hexOf(short.clientHandshakeTrafficSecret(transcript)),
          hexOf(long.clientHandshakeTrafficSecret(transcript)),
        );
        assert.equal(
          hexOf(short.toMainSecret().exporterSecret(transcript)),
          hexOf(long.toMainSecret().exporterSecret(transcript)),
        );
      }
    }
  });

  it('an early secret without a PSK is the one made from zeros', () => {
    const zeros = Secret.copy('psk', new Uint8Array(32));
    const a = EarlySecret.create(nodeProvider, 'sha256');
    const b = EarlySecret.create(nodeProvider, 'sha256', zeros);
    assert.equal(hexOf(a.binderKey('resumption')), hexOf(b.binderKey('resumption')));
    assert.equal(zeros.erased, false, 'a PSK is lent');
  });

  it('every secret of one handshake differs from every other', () => {
    const handshake = fullHandshake();
    const seen = [
      hexOf(handshake.clientHandshakeTrafficSecret(helloHash)),
      hexOf(handshake.serverHandshakeTrafficSecret(helloHash)),
    ];
    const main = handshake.toMainSecret();
    const resumption = main.resumptionSecret(finishedHash);
    seen.push(
      hexOf(main.clientApplicationTrafficSecret(finishedHash)),
      hexOf(main.serverApplicationTrafficSecret(finishedHash)),
      hexOf(main.exporterSecret(finishedHash)),
      hexOf(resumption),
      hexOf(resumptionPsk(nodeProvider, suite, resumption, Uint8Array.of(0))),
      hexOf(resumptionPsk(nodeProvider, suite, resumption, Uint8Array.of(1))),
    );
    assert.equal(new Set(seen).size, seen.length);
  });
});

describe('spending a rung', () => {
  it('going on from an early secret spends it and the shared secret', () => {
    const early = EarlySecret.create(nodeProvider, suite.hash, secret(32));
    const shared = secret(32);
    early.toHandshakeSecret(suite, shared);
    assert.equal(shared.erased, true);
    refuses('TLS_ERR_SECRET_ERASED', () => early.binderKey('resumption'));
    refuses('TLS_ERR_SECRET_ERASED', () => early.toHandshakeSecret(suite, secret(32)));
  });

  it('the shortcut spends the shared secret: no key share makes two handshakes', () => {
    const shared = secret(32);
    handshakeSecretWithoutPsk(nodeProvider, suite, shared);
    refuses('TLS_ERR_SECRET_ERASED', () => handshakeSecretWithoutPsk(nodeProvider, suite, shared));
  });

  it('going on from a handshake secret spends it', () => {
    const handshake = fullHandshake();
    handshake.toMainSecret();
    refuses('TLS_ERR_SECRET_ERASED', () => handshake.clientHandshakeTrafficSecret(helloHash));
    refuses('TLS_ERR_SECRET_ERASED', () => handshake.serverHandshakeTrafficSecret(helloHash));
    refuses('TLS_ERR_SECRET_ERASED', () => handshake.toMainSecret());
  });

  it('an erased main secret gives nothing more', () => {
    const main = fullHandshake().toMainSecret();
    main.erase();
    refuses('TLS_ERR_SECRET_ERASED', () => main.clientApplicationTrafficSecret(finishedHash));
    refuses('TLS_ERR_SECRET_ERASED', () => main.serverApplicationTrafficSecret(finishedHash));
    refuses('TLS_ERR_SECRET_ERASED', () => main.exporterSecret(finishedHash));
    refuses('TLS_ERR_SECRET_ERASED', () => main.resumptionSecret(finishedHash));
  });

  it('the next generation spends the one before, and is the traffic update of it', () => {
    const first = fullHandshake().toMainSecret().clientApplicationTrafficSecret(finishedHash);
    const expected = first.use((bytes) => independentLabel('sha256', bytes, 'traffic upd', new Uint8Array(0), 32));
    const second = first.next();
    assert.equal(hexOf(second), expected.toString('hex'));
    assert.equal(second.generation, 1);
    assert.equal(second.label, 'CLIENT_TRAFFIC_SECRET');
    refuses('TLS_ERR_SECRET_ERASED', () => first.next());
    refuses('TLS_ERR_SECRET_ERASED', () => first.trafficKeys());
    refuses('TLS_ERR_SECRET_ERASED', () => first.finishedKey());
    assert.equal(second.next().generation, 2);
  });

  it('a binder spends its key', () => {
    const key = EarlySecret.create(nodeProvider, 'sha256', secret(32)).binderKey('resumption');
    pskBinder(nodeProvider, 'sha256', key, helloHash);
    refuses('TLS_ERR_SECRET_ERASED', () => pskBinder(nodeProvider, 'sha256', key, helloHash));
  });
});

describe('what is made from a traffic secret', () => {
  it('keys, IVs and finished values agree with an independent computation, for every suite', () => {
    for (const each of suites) {
      const base = new Uint8Array(each.hashLength).fill(9);
      const traffic = new TrafficSecret(nodeProvider, each, 'SERVER_TRAFFIC_SECRET', Secret.copy('test', base));
      const none = new Uint8Array(0);
      const { writeKey, writeIv } = traffic.trafficKeys();
      assert.equal(hexOf(writeKey), independentLabel(each.hash, base, 'key', none, each.keyLength).toString('hex'));
      assert.equal(hexOf(writeIv), independentLabel(each.hash, base, 'iv', none, 12).toString('hex'));
      const transcript = new Uint8Array(each.hashLength).fill(4);
      const finishedKey = independentLabel(each.hash, base, 'finished', none, each.hashLength);
      assert.equal(
        toHex(finishedVerifyData(nodeProvider, traffic, transcript)),
        createHmac(each.hash, finishedKey).update(transcript).digest('hex'),
      );
    }
  });
});

describe('exporter', () => {
  it("agrees with an independent computation over node:crypto's HKDF", () => {
    for (const each of suites) {
      const base = new Uint8Array(each.hashLength).fill(5);
      for (const [label, context, length] of [
        ['EXPORTER-Channel-Binding', utf8(''), 32],
        ['EXPERIMENTAL mayfly', utf8('context'), 100],
        ['x', new Uint8Array(1000), 1],
      ] as const) {
        const exported = new Tls13Exporter(nodeProvider, each.hash, Secret.copy('test', base)).export(
          label,
          context,
          length,
        );
        const digest = (data: Uint8Array) => createHash(each.hash).update(data).digest();
        const derived = independentLabel(each.hash, base, label, digest(utf8('')), each.hashLength);
        assert.equal(
          hexOf(exported),
          independentLabel(each.hash, derived, 'exporter', digest(context), length).toString('hex'),
        );
      }
    }
  });

  it("the independent computation is right: it equals node:crypto's HKDF where that can be asked", () => {
    // hkdfSync extracts first, so the comparison starts from the extracted key.
    const extracted = createHmac('sha256', Buffer.alloc(32)).update(Buffer.alloc(5)).digest();
    const info = Buffer.concat([Buffer.from([0, 80, 9]), Buffer.from('tls13 key'), Buffer.from([0])]);
    assert.equal(
      independentLabel('sha256', extracted, 'key', new Uint8Array(0), 80).toString('hex'),
      Buffer.from(hkdfSync('sha256', Buffer.alloc(5), Buffer.alloc(32), info, 80)).toString('hex'),
    );
  });

  it('an absent context equals an empty one, another label or context gives another key', () => {
    const ask = (label: string, context: Uint8Array | undefined) =>
      hexOf(new Tls13Exporter(nodeProvider, suite.hash, secret(32)).export(label, context, 32));
    assert.equal(ask('a', undefined), ask('a', new Uint8Array(0)));
    assert.notEqual(ask('a', undefined), ask('b', undefined));
    assert.notEqual(ask('a', undefined), ask('a', Uint8Array.of(0)));
  });

  it('refuses more bytes than HKDF can make, and lengths that are none', () => {
    const ask = (length: number) =>
      new Tls13Exporter(nodeProvider, suite.hash, secret(32)).export('a', undefined, length);
    assert.equal(ask(255 * 32).length, 255 * 32);
    for (const length of [255 * 32 + 1, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      refuses('TLS_ERR_CONFIG', () => ask(length));
    }
  });
});

describe('key log', () => {
  const handshake = fullHandshake();
  const client = handshake.clientHandshakeTrafficSecret(helloHash);
  const server = handshake.serverHandshakeTrafficSecret(helloHash);
  const main = handshake.toMainSecret();

  it('lines carry the names of RFC 9850, the client random and the secret', () => {
    const lineOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
    const random = toHex(clientRandom);
    const expect = (traffic: TrafficSecret, name: string) =>
      assert.equal(lineOf(trafficSecretLine(traffic, clientRandom)), `${name} ${random} ${hexOf(traffic)}`);
    expect(client, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET');
    expect(server, 'SERVER_HANDSHAKE_TRAFFIC_SECRET');
    const clientApplication = main.clientApplicationTrafficSecret(finishedHash);
    const serverApplication = main.serverApplicationTrafficSecret(finishedHash);
    expect(clientApplication, 'CLIENT_TRAFFIC_SECRET_0');
    expect(serverApplication, 'SERVER_TRAFFIC_SECRET_0');
    expect(serverApplication.next(), 'SERVER_TRAFFIC_SECRET_1');
    const exporter = main.exporterSecret(finishedHash);
    assert.equal(lineOf(exporterSecretLine(exporter, clientRandom)), `EXPORTER_SECRET ${random} ${hexOf(exporter)}`);
  });
});
