/** Frames, caps, code points, extension rules, and the messages of few bytes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import { decodeAlert } from '../../src/messages/alert.ts';
import {
  extensionTypeName,
  extensionTypes,
  handshakeTypeName,
  handshakeTypes,
} from '../../src/messages/code-points.ts';
import { refuseMisplaced, refuseUnsolicited } from '../../src/messages/extension-rules.ts';
import { decodeFinished } from '../../src/messages/finished.ts';
import { frame, maxMessageLength } from '../../src/messages/handshake-message.ts';
import { decodeKeyUpdate, encodeKeyUpdate } from '../../src/messages/key-update.ts';
import { messageHash } from '../../src/messages/message-hash.ts';
import { refuses } from './support.ts';

describe('handshake message', () => {
  it('has its type and length before the body', () => {
    assert.equal(toHex(frame('finished', fromHex('aabb'))), '14000002aabb');
    assert.equal(frame('certificate', new Uint8Array(0x012345)).subarray(0, 4).join(), '11,1,35,69');
  });

  it('of every type has a cap far below what the length field can say', () => {
    for (const type of Object.values(handshakeTypes)) {
      assert.ok(maxMessageLength(type) <= 0x1_9000);
    }
    assert.equal(maxMessageLength(handshakeTypes.key_update), 1);
    assert.equal(maxMessageLength(handshakeTypes.finished), 64);
    assert.equal(maxMessageLength(99), 0);
  });

  it('type has a name when Mayfly knows it', () => {
    assert.equal(handshakeTypeName(1), 'client_hello');
    assert.equal(handshakeTypeName(0), 'hello_request');
    assert.equal(handshakeTypeName(3), undefined);
    assert.equal(extensionTypeName(extensionTypes.key_share), 'key_share');
    assert.equal(extensionTypeName(0x1234), 'extension 0x1234');
  });

  it('message_hash stands for the first hello', () => {
    assert.equal(toHex(messageHash(new Uint8Array(32).fill(7))), `fe000020${'07'.repeat(32)}`);
    assert.equal(messageHash(new Uint8Array(48)).length, 52);
  });
});

describe('KeyUpdate', () => {
  it('is one byte, 0 or 1', () => {
    assert.equal(toHex(encodeKeyUpdate({ updateRequested: true })), '1800000101');
    assert.equal(toHex(encodeKeyUpdate({ updateRequested: false })), '1800000100');
    for (let value = 2; value < 256; value++) {
      refuses('TLS_ERR_ILLEGAL_PARAMETER', () => decodeKeyUpdate(Uint8Array.of(value)));
    }
    refuses('TLS_ERR_DECODE', () => decodeKeyUpdate(new Uint8Array(0)));
    refuses('TLS_ERR_DECODE', () => decodeKeyUpdate(fromHex('0000')));
  });
});

describe('Finished', () => {
  it('is refused unless it is as long as the hash', () => {
    assert.equal(decodeFinished(new Uint8Array(48), 48).verifyData.length, 48);
    for (const length of [0, 12, 31, 33, 64]) {
      refuses('TLS_ERR_DECODE', () => decodeFinished(new Uint8Array(length), 32));
    }
  });
});

describe('Alert', () => {
  it('is refused unless it is two bytes', () => {
    for (const length of [0, 1, 3, 4]) {
      refuses('TLS_ERR_DECODE', () => decodeAlert(new Uint8Array(length)));
    }
  });
});

describe('extension rules', () => {
  const { key_share, supported_versions, cookie, server_name, pre_shared_key, early_data, oid_filters } =
    extensionTypes;

  it('refuse an extension in a message that must not carry it', () => {
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([key_share], 'encrypted_extensions'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([server_name], 'server_hello'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([pre_shared_key], 'hello_retry_request'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([cookie], 'server_hello'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([early_data], 'certificate'));
    refuses('TLS_ERR_MISPLACED_EXTENSION', () => refuseMisplaced([oid_filters], 'client_hello'));
  });

  it('let through what belongs there and what is unknown', () => {
    refuseMisplaced([key_share, supported_versions, pre_shared_key, 0x1234], 'server_hello');
    refuseMisplaced([key_share, supported_versions, cookie], 'hello_retry_request');
    refuseMisplaced([server_name, early_data, 0x0a0a], 'encrypted_extensions');
  });

  it('refuse an answer to nothing, but for the cookie of a HelloRetryRequest', () => {
    refuseUnsolicited([key_share, cookie], [key_share], 'hello_retry_request');
    refuseUnsolicited([], [], 'encrypted_extensions');
    refuses('TLS_ERR_UNSUPPORTED_EXTENSION', () => refuseUnsolicited([cookie], [key_share], 'server_hello'));
    refuses('TLS_ERR_UNSUPPORTED_EXTENSION', () => refuseUnsolicited([0x1234], [server_name], 'encrypted_extensions'));
  });
});
