/** The `ciphers` option: IANA's and OpenSSL's names, keywords and operators, and what OpenSSL itself makes of the same list. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../../src/crypto/suites12.ts';
import { opensslCipherName, parseCiphers } from '../../src/node/cipher-names.ts';
import * as tls from '../../src/node/tls.ts';
import { refuses } from '../support/refusals.ts';
import { requireTool, skipUnless } from '../support/tools.ts';

const spoken = Object.values(cipherSuites12).filter((suite) => suite.keyExchange === 'ecdhe');

/** A list that many a guide recommends, with much in it that is left out here. */
const intermediate = [
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256',
  'ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384:AES128-GCM-SHA256:AES256-SHA:DES-CBC3-SHA:!DSS',
].join(':');

/** OpenSSL's own names, in order, for the TLS 1.2 suites that both speak. */
function byOpenssl(list: string): string[] {
  const text = execFileSync(requireTool('openssl'), ['ciphers', list], { encoding: 'latin1' });
  const names = spoken.map(({ name }) => opensslCipherName(name));
  return text
    .trim()
    .split(':')
    .filter((name) => names.includes(name));
}

describe('the ciphers option', () => {
  test('every suite has the name that OpenSSL has for it', skipUnless('openssl'), () => {
    const text = execFileSync(requireTool('openssl'), ['ciphers', '-stdname', 'ALL'], { encoding: 'latin1' });
    for (const name of [...Object.keys(cipherSuites), ...Object.keys(cipherSuites12)]) {
      const [, , openssl] = new RegExp(`^(${name}) +- (\\S+)`, 'm').exec(text) ?? [];
      assert.equal(opensslCipherName(name as CipherSuite12Name), openssl);
    }
  });

  for (const list of [
    intermediate,
    'ECDHE-RSA-AES256-GCM-SHA384',
    'HIGH:!aNULL:!MD5',
    'DEFAULT',
    'ALL:@STRENGTH',
    'ECDHE+AESGCM:ECDHE+CHACHA20',
    'EECDH+AESGCM:EDH+AESGCM:!aNULL',
    'kEECDH+ECDSA:kEECDH',
    'ALL:!AES128:!aRSA',
    'ALL:-CHACHA20:ECDHE-RSA-CHACHA20-POLY1305',
    'ALL:+AES256',
    'ALL:!AES256:AES256:+aRSA',
    'AESGCM:!ECDSA:nonsense',
  ]) {
    test(`means what it means to OpenSSL: ${list.slice(0, 60)}`, skipUnless('openssl'), () => {
      const chosen = parseCiphers(list).cipherSuites12?.map(opensslCipherName) ?? [];
      const ours = chosen.filter((name) => !name.startsWith('DHE'));
      const theirs = byOpenssl(list);
      assert.deepEqual([...ours].sort(), [...theirs].sort());
      if (!/ALL|DEFAULT|HIGH|AESGCM|\+/.test(list)) {
        assert.deepEqual(ours, theirs, 'in the same order');
      }
    });
  }

  test('takes names of both kinds and both versions, in any case, with what is left out passed over', () => {
    assert.deepEqual(
      parseCiphers(
        'tls_chacha20_poly1305_sha256:AES128-SHA:TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256',
      ),
      {
        cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'],
        cipherSuites12: ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
      },
    );
    assert.deepEqual(parseCiphers('ECDHE-RSA-AES128-GCM-SHA256').cipherSuites, undefined);
    assert.deepEqual(parseCiphers('TLS_AES_128_GCM_SHA256').cipherSuites12, []);
    assert.deepEqual(parseCiphers('HIGH:!TLS_AES_128_GCM_SHA256').cipherSuites, [
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
    ]);
    assert.deepEqual(parseCiphers(undefined), { cipherSuites: undefined, cipherSuites12: undefined });
  });

  test('+ moves what is there to the end, and ! bars for ever', () => {
    const names = (list: string) => parseCiphers(list).cipherSuites12?.map(opensslCipherName);
    assert.deepEqual(names('ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:+aRSA'), [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
    ]);
    assert.deepEqual(names('!aRSA:ECDHE+CHACHA20'), ['ECDHE-ECDSA-CHACHA20-POLY1305']);
    assert.deepEqual(names('ECDHE-RSA-AES128-GCM-SHA256:AES256:@STRENGTH')?.[2], 'ECDHE-RSA-AES128-GCM-SHA256');
  });

  test('is refused with the names there are when none of its suites is spoken', () => {
    for (const list of ['AES128-SHA', 'nonsense', 'ALL:!ALL', 'TLS_AES_128_CCM_SHA256:AES128-GCM-SHA256', '!aNULL']) {
      const { message } = refuses('TLS_ERR_NOT_SUPPORTED', () => parseCiphers(list));
      assert.ok(message.includes('ECDHE-RSA-AES128-GCM-SHA256') && message.includes(list), message);
    }
    refuses('TLS_ERR_CONFIG', () => parseCiphers(':'));
  });

  test('suites with DHE are added by their names and by words for DHE, and by nothing wider', () => {
    const names = (list: string) => parseCiphers(list).cipherSuites12?.map(opensslCipherName) ?? [];
    const dhe = (list: string) => names(list).filter((name) => name.startsWith('DHE'));
    for (const list of ['ALL', 'DEFAULT', 'HIGH', 'AESGCM:CHACHA20', 'aRSA', 'TLSv1.2', 'AES128+aRSA', 'ALL:+AES256']) {
      assert.deepEqual(dhe(list), [], list);
    }
    assert.deepEqual(names('DHE-RSA-AES128-GCM-SHA256'), ['DHE-RSA-AES128-GCM-SHA256']);
    assert.deepEqual(names('TLS_DHE_RSA_WITH_AES_256_GCM_SHA384'), ['DHE-RSA-AES256-GCM-SHA384']);
    assert.deepEqual(names('dhe-rsa-chacha20-poly1305'), ['DHE-RSA-CHACHA20-POLY1305']);
    for (const word of ['DHE', 'EDH', 'kDHE', 'kEDH']) {
      assert.equal(dhe(word).length, 3, word);
      assert.deepEqual(names(word), dhe(word), 'and nothing else');
    }
    assert.deepEqual(dhe('EECDH+AESGCM:EDH+AESGCM'), ['DHE-RSA-AES128-GCM-SHA256', 'DHE-RSA-AES256-GCM-SHA384']);
    assert.deepEqual(dhe('ECDHE:DHE:!AES128:-CHACHA20'), ['DHE-RSA-AES256-GCM-SHA384'], 'wider words take away');
    assert.deepEqual(dhe('HIGH:DHE:!DHE'), []);
  });

  test('the default list is taken as it stands, and names every suite', () => {
    const all = parseCiphers(tls.DEFAULT_CIPHERS);
    assert.deepEqual(all.cipherSuites, Object.keys(cipherSuites));
    assert.deepEqual(
      all.cipherSuites12,
      spoken.map((suite) => suite.name),
    );
    const dhe = tls.getCiphers().filter((name) => name.startsWith('dhe'));
    assert.equal(dhe.length, 3);
    assert.deepEqual(tls.getCiphers(), [...tls.DEFAULT_CIPHERS.toLowerCase().split(':'), ...dhe]);
  });
});
