/** Firefox on the demonstration page, of both versions of TLS, and what it does when it loads and reloads it: one start for all. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startKeyLedger, stopKeyLedger } from '../../src/ledger/process-ledger.ts';
import { testCases } from '../count/cases.ts';
import { skipUnless } from '../support/tools.ts';
import { visitWithFirefox } from './firefox.ts';
import { type FirefoxPage, RemoteFirefox } from './remote-firefox.ts';
import { Site, wideCertificate } from './site.ts';
import { hangGuard } from './support.ts';

describe('Firefox', { ...hangGuard, ...skipUnless('firefox', 'certutil') }, () => {
  let firefox: RemoteFirefox;
  before(async () => {
    firefox = await RemoteFirefox.launch();
  });
  after(() => firefox?.close());

  describe('on our servers', () => {
    for (const protocol of ['h2', 'http/1.1'] as const) {
      test(`loads a page with five images over ${protocol}`, async () => {
        const site = await Site.start(protocol, wideCertificate());
        try {
          await visitWithFirefox(site, firefox);
          assert.ok(site.connections.length > 0);
          const full = site.connections.find(({ resumed }) => !resumed);
          assert.equal(full?.certificateCompression, 'brotli');
          for (const { version, alpnProtocol, serverName } of site.connections) {
            assert.equal(version, 'TLSv1.3');
            assert.equal(alpnProtocol, protocol);
            assert.equal(serverName, 'localhost');
          }
        } finally {
          site.stop();
        }
      });
    }
  });

  describe('on our servers, TLS 1.2', () => {
    before(() => firefox.setPreference('security.tls.version.max', 3));
    after(() => firefox.setPreference('security.tls.version.max', 4));

    test('loads a page with five images over h2', async () => {
      const site = await Site.start('h2');
      try {
        await visitWithFirefox(site, firefox);
        assert.ok(site.connections.length > 0);
        for (const { version, alpnProtocol, extendedMasterSecret } of site.connections) {
          assert.deepEqual([version, alpnProtocol, extendedMasterSecret], ['TLSv1.2', 'h2', true]);
        }
      } finally {
        site.stop();
      }
    });

    test('loads it over HTTP/1.1 with a connection for each request, the later ones resumed by ticket', async () => {
      const site = await Site.start('http/1.1', { closes: true });
      try {
        await visitWithFirefox(site, firefox);
        assert.equal(site.connections[0].resumed, false);
        const resumed = site.connections.filter((connection) => connection.resumed);
        assert.ok(resumed.length > 0, 'some connections resumed');
        for (const { version, resumedBy } of resumed) {
          assert.deepEqual([version, resumedBy], ['TLSv1.2', 'ticket']);
        }
      } finally {
        site.stop();
      }
    });

    test('loads it from a server without tickets, though it resumes by no ID', async () => {
      const site = await Site.start('http/1.1', { sessions: { tickets: false, sessionIds: true }, closes: true });
      try {
        await visitWithFirefox(site, firefox);
        assert.ok(site.connections.every(({ version }) => version === 'TLSv1.2'));
      } finally {
        site.stop();
      }
    });
  });

  describe('and the count', () => {
    let page: FirefoxPage;
    before(async () => {
      startKeyLedger();
      page = await firefox.newPage();
    });
    after(() => stopKeyLedger());

    testCases(() => page);
  });
});
