/**
 * The TLS 1.3 client and the ServerHello: what it offers, which version, suite, group and PSK the server has chosen of it, or
 * that it asks for another hello. What follows is in client-flight.ts.
 *
 * RFC 9846 §4.2.1, §4.2.2, §4.2.3, §4.2.4, Appendix D.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import { type CipherSuite, cipherSuiteByCode } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import { refuseMisplaced, refuseUnsolicited } from '../messages/extension-rules.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import {
  DOWNGRADE_TLS11,
  DOWNGRADE_TLS12,
  decodeServerHello,
  isHelloRetryRequest,
  type ServerHello,
} from '../messages/server-hello.ts';
import { type ClientHandshake, sendChangeCipherSpec } from './client.ts';
import { logSecret } from './client-finish.ts';
import { agree } from './client-key-exchange.ts';
import { type AfterHello12, onServerHello12 } from './client12.ts';
import { ClientEarlyData } from './early-data-client.ts';
import { settleEch, settleEchByRetry } from './ech-client.ts';

export function sendClientHello(hs: ClientHandshake): 'ExpectServerHello' {
  const hello = hs.offer.first(hs.transcript);
  hs.host.channel.handshake(hello);
  // A middlebox's habit that only TLS 1.3 provides for.
  hs.host.channel.allowChangeCipherSpec(hs.offer.cipherSuites.length > 0);
  const { session, earlyDataRoom } = hs.offer;
  if (session !== undefined && earlyDataRoom > 0) {
    sendChangeCipherSpec(hs);
    const secret = hs.offer.earlyTrafficSecret(hello);
    logSecret(hs, secret);
    hs.earlyData = new ClientEarlyData(hs.host, session, earlyDataRoom, secret);
  }
  return 'ExpectServerHello';
}

export function onFirstServerHello(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectServerHelloAfterRetry' | 'ExpectEncryptedExtensions' | AfterHello12 {
  const hello = decodeServerHello(message.body);
  if (hello.extensions.supportedVersion === undefined && hs.offer.cipherSuites12.length > 0) {
    refuseDowngrade(hs, hello);
    refuseEarlyData12(hs);
    return onServerHello12(hs, message, hello);
  }
  if (isHelloRetryRequest(hello)) {
    return onHelloRetryRequest(hs, message, hello);
  }
  return onServerHello(hs, message, hello);
}

export function onSecondServerHello(hs: ClientHandshake, message: JoinedMessage): 'ExpectEncryptedExtensions' {
  const hello = decodeServerHello(message.body);
  if (isHelloRetryRequest(hello)) {
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'the server sent a second HelloRetryRequest');
  }
  return onServerHello(hs, message, hello);
}

function onHelloRetryRequest(
  hs: ClientHandshake,
  message: JoinedMessage,
  retry: ServerHello,
): 'ExpectServerHelloAfterRetry' {
  const { channel } = hs.host;
  const suite = checkHello(hs, retry);
  hs.transcript.start(suite.hash);
  settleEchByRetry(hs, suite, message, retry);
  refuseMisplaced(retry.extensions.types, 'hello_retry_request');
  refuseUnsolicited(retry.extensions.types, hs.offer.offeredTypes, 'hello_retry_request');
  const { selectedGroup, cookie } = retry.extensions;
  let group: NamedGroupInfo | undefined;
  if (selectedGroup !== undefined) {
    group = namedGroupByCode(selectedGroup);
    if (group === undefined || !hs.offer.namedGroups.includes(group.name) || hs.offer.hasShare(group.name)) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `the HelloRetryRequest asks for group ${selectedGroup}, which was not offered or already sent`,
      );
    }
  }
  if (group === undefined && cookie === undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the HelloRetryRequest changes nothing');
  }
  channel.joiner.boundary();
  hs.earlyData?.reject();
  hs.suite = suite;
  hs.group = group;
  hs.helloRetried = true;
  hs.transcript.start(suite.hash);
  hs.transcript.replaceWithMessageHash();
  hs.transcript.add(message.raw);
  sendChangeCipherSpec(hs);
  channel.handshake(hs.offer.second(hs.transcript, group, cookie, suite.name));
  return 'ExpectServerHelloAfterRetry';
}

function onServerHello(hs: ClientHandshake, message: JoinedMessage, hello: ServerHello): 'ExpectEncryptedExtensions' {
  const { channel } = hs.host;
  const suite = checkHello(hs, hello);
  hs.transcript.start(suite.hash);
  settleEch(hs, suite, message);
  refuseMisplaced(hello.extensions.types, 'server_hello');
  refuseUnsolicited(hello.extensions.types, hs.offer.offeredTypes, 'server_hello');
  if (hs.helloRetried && suite !== hs.suite) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server changed the cipher suite after its HelloRetryRequest');
  }
  hs.selectedIdentity = hello.extensions.selectedIdentity;
  if (hs.selectedIdentity === undefined) {
    // First of all: an alert under the keys for early data would be skipped with it.
    hs.earlyData?.reject();
  }
  hs.handshakeSecret = agree(hs, suite, hello);
  hs.offer.erase(hs.psk);
  hs.suite = suite;
  hs.transcript.start(suite.hash);
  hs.transcript.add(message.raw);
  const transcriptHash = hs.transcript.digest();
  hs.clientHandshakeSecret = hs.handshakeSecret.clientHandshakeTrafficSecret(transcriptHash);
  hs.serverHandshakeSecret = hs.handshakeSecret.serverHandshakeTrafficSecret(transcriptHash);
  hs.mainSecret = hs.handshakeSecret.toMainSecret();
  hs.handshakeSecret = undefined;
  logSecret(hs, hs.clientHandshakeSecret);
  logSecret(hs, hs.serverHandshakeSecret);
  channel.protectRead(hs.serverHandshakeSecret, channel.joiner.boundary());
  if (channel.quic !== undefined) {
    // Packets have to be acknowledged long before our Finished goes out.
    channel.protectWrite(hs.clientHandshakeSecret);
  }
  return 'ExpectEncryptedExtensions';
}

/** The rules that ServerHello and HelloRetryRequest share; returns the chosen suite. */
function checkHello(hs: ClientHandshake, hello: ServerHello): CipherSuite {
  if (hello.extensions.supportedVersion === undefined) {
    refuseOldVersion(hs, hello);
  }
  if (hello.extensions.supportedVersion !== TLS13 || hello.legacyVersion !== TLS12) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose version ${hello.extensions.supportedVersion}, which was not offered`,
    );
  }
  if (!sameBytes(hello.legacySessionIdEcho, hs.offer.legacySessionId)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server does not echo the legacy session ID');
  }
  if (hello.compressionMethod !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose compression method ${hello.compressionMethod}`);
  }
  const suite = cipherSuiteByCode(hello.cipherSuite);
  if (suite === undefined || !hs.offer.cipherSuites.includes(suite.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose cipher suite ${hello.cipherSuite}, which was not offered`,
    );
  }
  return suite;
}

function refuseOldVersion(hs: ClientHandshake, hello: ServerHello): never {
  refuseDowngrade(hs, hello);
  hs.earlyData?.reject();
  throw new TLSError(
    'TLS_ERR_PROTOCOL_VERSION',
    `the server chose version ${hello.legacyVersion.toString(16)}, TLS 1.3 was offered`,
  );
}

/**
 * A server that remembers a session of TLS 1.3 speaks TLS 1.3; one that does not cannot read on, so all is lost but what it
 * was to be told (RFC 9846 Appendix E.3).
 */
function refuseEarlyData12(hs: ClientHandshake): void {
  if (hs.earlyData === undefined) {
    return;
  }
  hs.earlyData.reject();
  throw new TLSError(
    'TLS_ERR_PROTOCOL_VERSION',
    'the server chose TLS 1.2 for a connection that began with early data of TLS 1.3',
  );
}

/** A server that speaks TLS 1.3 says so in its random when it is made to choose less (RFC 9846 §4.2.3). */
function refuseDowngrade(hs: ClientHandshake, hello: ServerHello): void {
  const sentinel = hello.random.subarray(24);
  const isDowngrade = sameBytes(sentinel, DOWNGRADE_TLS12) || sameBytes(sentinel, DOWNGRADE_TLS11);
  if (isDowngrade && hs.offer.cipherSuites.length > 0) {
    throw new TLSError(
      'TLS_ERR_DOWNGRADE',
      'the server supports TLS 1.3, but somebody in between made it choose an older version',
    );
  }
}
