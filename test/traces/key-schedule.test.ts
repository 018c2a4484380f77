/** Every value of RFC 8448's key schedules, first from their inputs as printed, then through the ladder. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { type CipherSuite, cipherSuites } from '../../src/crypto/suites.ts';
import { finishedVerifyData, pskBinder } from '../../src/keys/finished.ts';
import { expandLabel, hkdfExpand, hkdfExtract, PreparedLabel } from '../../src/keys/hkdf.ts';
import { EarlySecret, type MainSecret, resumptionPsk } from '../../src/keys/ladder.ts';
import { TrafficSecret } from '../../src/keys/traffic.ts';
import { Trace, type TraceStep } from './trace.ts';

const suite: CipherSuite = cipherSuites.TLS_AES_128_GCM_SHA256;
const sections = [3, 4, 5, 6, 7];

function hexOf(value: { use<T>(callback: (bytes: Uint8Array) => T): T }): string {
  return value.use(toHex);
}

function field(step: TraceStep, name: string): Uint8Array {
  const bytes = step.fields.get(name);
  assert.ok(bytes, `${step.what}: ${name}`);
  return bytes;
}

/** Label and context of an HkdfLabel, taken apart by hand. */
function labelOf(info: Uint8Array): { label: string; context: Uint8Array; length: number } {
  const end = 3 + info[2];
  const name = Buffer.from(info.subarray(3, end)).toString('latin1');
  assert.match(name, /^tls13 /);
  return { label: name.slice(6), context: info.subarray(end + 1), length: (info[0] << 8) | info[1] };
}

/** Both forms of HKDF-Expand-Label against one printed value. */
function assertExpanded(prk: Uint8Array, info: Uint8Array, expanded: Uint8Array): void {
  const { label, context, length } = labelOf(info);
  assert.equal(toHex(hkdfExpand(provider, 'sha256', prk, info, expanded.length, 'x').expose()), toHex(expanded));
  assert.equal(length, expanded.length);
  const prepared = new PreparedLabel(label);
  const made = expandLabel(provider, 'sha256', prk, prepared, context, expanded.length, 'x');
  assert.equal(hexOf(made), toHex(expanded));
}

describe('RFC 8448 key schedules, value by value', () => {
  const counts = { extracted: 0, derived: 0, keys: 0, finished: 0 };
  for (const section of sections) {
    it(`§${section}: every printed value follows from its printed inputs`, () => {
      for (const step of new Trace(section).steps) {
        if (step.what.startsWith('extract secret') && step.fields.has('secret')) {
          const salt = step.fields.get('salt') ?? EMPTY;
          const made = hkdfExtract(provider, 'sha256', salt, field(step, 'IKM'), 'x');
          assert.equal(hexOf(made), toHex(field(step, 'secret')));
          counts.extracted += 1;
        }
        if (step.fields.has('expanded')) {
          assertExpanded(field(step, 'PRK'), field(step, 'info'), field(step, 'expanded'));
          counts.derived += 1;
        }
        if (step.fields.has('key expanded')) {
          const traffic = new TrafficSecret(
            provider,
            suite,
            'CLIENT_TRAFFIC_SECRET',
            Secret.copy('x', field(step, 'PRK')),
          );
          const { writeKey, writeIv } = traffic.trafficKeys();
          assert.equal(hexOf(writeKey), toHex(field(step, 'key expanded')));
          assert.equal(hexOf(writeIv), toHex(field(step, 'iv expanded')));
          assertExpanded(field(step, 'PRK'), field(step, 'key info'), field(step, 'key expanded'));
          assertExpanded(field(step, 'PRK'), field(step, 'iv info'), field(step, 'iv expanded'));
          counts.keys += 1;
        }
        if (step.fields.has('finished')) {
          const traffic = new TrafficSecret(
            provider,
            suite,
            'CLIENT_TRAFFIC_SECRET',
            Secret.copy('x', field(step, 'PRK')),
          );
          assert.equal(hexOf(traffic.finishedKey()), toHex(field(step, 'expanded')));
          counts.finished += 1;
        }
      }
    });
  }

  it('left nothing of the RFC out', () => {
    assert.deepEqual(counts, { extracted: 15, derived: 59, keys: 21, finished: 11 });
  });
});

describe('RFC 8448 key schedules, down the ladder', () => {
  for (const section of sections) {
    it(`§${section}: each rung gives the printed secrets`, () => {
      const trace = new Trace(section);
      const early = EarlySecret.create(provider, 'sha256', pskOf(trace));
      const shared = Secret.copy('sharedSecret', trace.value('server', 'extract secret "handshake"', 'IKM'));
      const handshake = early.toHandshakeSecret(suite, shared);
      const client = handshake.clientHandshakeTrafficSecret(trace.hashFor('c hs traffic'));
      const server = handshake.serverHandshakeTrafficSecret(trace.hashFor('s hs traffic'));
      assert.equal(hexOf(client), toHex(trace.secret('c hs traffic')));
      assert.equal(hexOf(server), toHex(trace.secret('s hs traffic')));
      checkMain(trace, handshake.toMainSecret());
    });
  }

  // §4 and §5 have more in their transcripts (binders, EndOfEarlyData, message_hash): client.test.ts replays them.
  for (const section of [3, 6, 7]) {
    it(`§${section}: both Finished values follow from the messages`, () => {
      const trace = new Trace(section);
      const running = provider.createHash('sha256');
      const names = ['EncryptedExtensions', 'CertificateRequest', 'Certificate', 'CertificateVerify'];
      running.update(trace.message('client', 'ClientHello'));
      running.update(trace.message('server', 'ServerHello'));
      assert.equal(toHex(running.digest()), toHex(trace.hashFor('c hs traffic')));
      const has = (who: string, name: string) => trace.steps.some((step) => step.who === who && step.fields.has(name));
      for (const name of names.filter((each) => has('server', each))) {
        running.update(trace.message('server', name));
      }
      assert.equal(toHex(verifyData(trace, 's hs traffic', running.digest())), toHex(finishedOf(trace, 'server')));
      running.update(trace.message('server', 'Finished'));
      assert.equal(toHex(running.digest()), toHex(trace.hashFor('c ap traffic')));
      for (const name of names.filter((each) => has('client', each))) {
        running.update(trace.message('client', name));
      }
      assert.equal(toHex(verifyData(trace, 'c hs traffic', running.digest())), toHex(finishedOf(trace, 'client')));
      running.update(trace.message('client', 'Finished'));
      assert.equal(toHex(running.digest()), toHex(trace.hashFor('res master')));
    });
  }

  it('§4: the binder covers the truncated ClientHello', () => {
    const trace = new Trace(4);
    const truncated = trace.value('client', 'calculate PSK binder', 'ClientHello prefix');
    const hash = provider.hash('sha256', truncated);
    assert.equal(toHex(hash), toHex(trace.value('client', 'calculate PSK binder', 'binder hash')));
    const key = EarlySecret.create(provider, 'sha256', pskOf(trace)).binderKey('resumption');
    assert.equal(hexOf(key), toHex(trace.value('client', 'calculate PSK binder', 'PRK')));
    const expected = trace.value('client', 'calculate PSK binder', 'finished');
    assert.equal(toHex(pskBinder(provider, 'sha256', key, hash)), toHex(expected));
  });

  it("§4's PSK comes from §3's resumption secret and ticket nonce", () => {
    const resumption = Secret.copy('resumptionSecret', new Trace(3).secret('res master'));
    const psk = resumptionPsk(provider, suite, resumption, Uint8Array.of(0, 0));
    assert.equal(hexOf(psk), toHex(new Trace(4).value('client', 'extract secret "early"', 'IKM')));
  });
});

function pskOf(trace: Trace): Secret | undefined {
  return trace.section === 4 ? Secret.copy('psk', trace.value('client', 'extract secret "early"', 'IKM')) : undefined;
}

function checkMain(trace: Trace, main: MainSecret): void {
  assert.equal(
    hexOf(main.clientApplicationTrafficSecret(trace.hashFor('c ap traffic'))),
    toHex(trace.secret('c ap traffic')),
  );
  assert.equal(
    hexOf(main.serverApplicationTrafficSecret(trace.hashFor('s ap traffic'))),
    toHex(trace.secret('s ap traffic')),
  );
  assert.equal(hexOf(main.exporterSecret(trace.hashFor('exp master'))), toHex(trace.secret('exp master')));
  assert.equal(hexOf(main.resumptionSecret(trace.hashFor('res master'))), toHex(trace.secret('res master')));
}

function verifyData(trace: Trace, label: 'c hs traffic' | 's hs traffic', transcriptHash: Uint8Array): Uint8Array {
  const secret = Secret.copy('x', trace.secret(label));
  return finishedVerifyData(
    provider,
    new TrafficSecret(provider, suite, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', secret),
    transcriptHash,
  );
}

function finishedOf(trace: Trace, who: 'client' | 'server'): Uint8Array {
  return trace.message(who, 'Finished').subarray(4);
}
