/** The channel by itself: what it does with the secrets of early data, which stand beside the handshake. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { QuicChannel, type QuicChannelAction } from '../../src/handshake/quic-channel.ts';
import { TrafficSecret, type TrafficSecretLabel } from '../../src/keys/traffic.ts';
import { refuses } from '../support/refusals.ts';

const suite = cipherSuites.TLS_AES_128_GCM_SHA256;

function secret(label: TrafficSecretLabel): TrafficSecret {
  return new TrafficSecret(nodeProvider, suite, label, Secret.copy(label, new Uint8Array(32).fill(label.length)));
}

function channelOf(role: 'client' | 'server'): { channel: QuicChannel; story: string[] } {
  const story: string[] = [];
  const tell = (action: QuicChannelAction): void => {
    const direction = action.kind === 'secrets' ? ` ${action.direction}` : '';
    story.push(action.kind === 'transportParameters' ? action.kind : `${action.kind} ${action.level}${direction}`);
  };
  return { channel: new QuicChannel({ role, transportParameters: new Uint8Array(0), emit: tell }), story };
}

describe('early data over QUIC', () => {
  it("at a client has keys beside the handshake's, which end with the first of the application", () => {
    const { channel, story } = channelOf('client');
    channel.handshake(new Uint8Array(8));
    const early = secret('CLIENT_EARLY_TRAFFIC_SECRET');
    channel.protectEarlyWrite(early);
    refuses('TLS_ERR_SECRET_ERASED', () => early.use(() => {}));
    assert.equal(channel.protectsWrites, false);
    channel.handshake(new Uint8Array(8));
    channel.flush();
    channel.protectWrite(secret('CLIENT_HANDSHAKE_TRAFFIC_SECRET'));
    channel.protectWrite(secret('CLIENT_TRAFFIC_SECRET'));
    assert.deepEqual(story, [
      'handshakeBytes initial',
      'secrets earlyData write',
      'handshakeBytes initial',
      'secrets handshake write',
      'secrets application write',
      'discardKeys earlyData',
    ]);
  });

  it('that is refused ends at once, and only once', () => {
    const { channel, story } = channelOf('client');
    channel.protectEarlyWrite(secret('CLIENT_EARLY_TRAFFIC_SECRET'));
    channel.endEarlyWrite();
    channel.protectWrite(secret('CLIENT_TRAFFIC_SECRET'));
    assert.deepEqual(story, ['secrets earlyData write', 'discardKeys earlyData', 'secrets application write']);
  });

  it('at a server is read beside the handshake, which goes on at its own level', () => {
    const { channel, story } = channelOf('server');
    channel.protectRead(secret('CLIENT_EARLY_TRAFFIC_SECRET'), channel.joiner.boundary());
    channel.receive('initial', new Uint8Array([1]));
    assert.equal(channel.joiner.pendingType, 1);
    refuses('TLS_ERR_QUIC_PROTOCOL', () => channel.receive('earlyData', new Uint8Array([1])));
    assert.deepEqual(story, ['secrets earlyData read']);
  });
});
