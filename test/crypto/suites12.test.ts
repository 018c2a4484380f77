import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import {
  cipherSuite12ByCode,
  cipherSuites12,
  TLS_EMPTY_RENEGOTIATION_INFO_SCSV,
  TLS_FALLBACK_SCSV,
} from '../../src/crypto/suites12.ts';

const all = Object.values(cipherSuites12);

describe('TLS 1.2 cipher suites', () => {
  it('have the code points of RFC 5288, RFC 5289 and RFC 7905', () => {
    const codes = Object.fromEntries(all.map(({ name, code }) => [name, code]));
    assert.deepEqual(codes, {
      TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 0xc02b,
      TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 0xc02c,
      TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 0xc02f,
      TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 0xc030,
      TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca8,
      TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca9,
      TLS_DHE_RSA_WITH_AES_128_GCM_SHA256: 0x009e,
      TLS_DHE_RSA_WITH_AES_256_GCM_SHA384: 0x009f,
      TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 0xccaa,
    });
  });

  it('say in their fields what their names say', () => {
    for (const suite of all) {
      const [, exchange, authentication] = /^TLS_(ECDHE|DHE)_(ECDSA|RSA)_WITH_/.exec(suite.name) ?? [];
      assert.equal(suite.keyExchange, exchange?.toLowerCase());
      assert.equal(suite.authentication, authentication?.toLowerCase());
      const aead = suite.name.includes('CHACHA20')
        ? 'chacha20-poly1305'
        : `aes-${/AES_(\d+)/.exec(suite.name)?.[1]}-gcm`;
      assert.equal(suite.aead, aead);
      assert.equal(suite.hash, suite.name.endsWith('SHA384') ? 'sha384' : 'sha256');
      assert.equal(nodeProvider.hash(suite.hash, new Uint8Array(0)).length, suite.hashLength);
      assert.equal(suite.ivLength, suite.aead === 'chacha20-poly1305' ? 12 : 4);
      nodeProvider.aead(suite.aead, new Uint8Array(suite.keyLength)).erase();
      assert.equal(cipherSuite12ByCode(suite.code), suite);
    }
  });

  it('have the usage limit that their AEAD has in TLS 1.3', () => {
    for (const suite of all) {
      const twin = Object.values(cipherSuites).find(({ aead }) => aead === suite.aead);
      assert.equal(suite.usageLimit, twin?.usageLimit);
      assert.ok(Number.isSafeInteger(suite.usageLimit));
    }
  });

  it('do not include RSA key transport, static keys, CBC, NULL, or a code that is only a signal', () => {
    for (const code of [0x002f, 0x003c, 0x009c, 0xc004, 0xc009, 0xc013, 0xc027, 0x0000, 0x1301]) {
      assert.equal(cipherSuite12ByCode(code), undefined);
    }
    assert.equal(TLS_EMPTY_RENEGOTIATION_INFO_SCSV, 0x00ff);
    assert.equal(TLS_FALLBACK_SCSV, 0x5600);
    assert.equal(cipherSuite12ByCode(TLS_EMPTY_RENEGOTIATION_INFO_SCSV), undefined);
    assert.equal(cipherSuite12ByCode(TLS_FALLBACK_SCSV), undefined);
  });
});
