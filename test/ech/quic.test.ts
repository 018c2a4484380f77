import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { QuicHandshake } from '../../src/quic.ts';

test('an encrypted hello over QUIC is refused, and not sent in the clear', () => {
  for (const encryptedClientHello of ['grease', new Uint8Array(8)] as const) {
    const options = {
      provider: nodeProvider,
      now: Date.now,
      serverName: 'localhost',
      alpnProtocols: ['h3'],
      transportParameters: new Uint8Array(1),
      encryptedClientHello,
    };
    assert.throws(() => QuicHandshake.client(options).start(), { code: 'TLS_ERR_CONFIG' });
  }
});
