/**
 * What a client that sent an encrypted ClientHello does with the server's answers: it goes on with the hello that was
 * answered, and where that is the outer one it goes to the end of the handshake only to learn, from who can prove to speak
 * for the server, what to do instead.
 *
 * RFC 9849 §6.1.4 to §6.1.7.
 */

import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { decodeEchConfigList } from '../messages/encrypted-client-hello.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import type { ClientHandshake } from './client.ts';

/** The ServerHello tells which hello it answers. The transcript has its hash, and not yet this message. */
export function settleEch(hs: ClientHandshake, suite: CipherSuite, message: JoinedMessage): void {
  const { ech } = hs.offer;
  if (ech === undefined) {
    return;
  }
  if (ech.isAccepted(suite.hash, hs.transcript, message.raw)) {
    hs.encryptedClientHello = true;
    hs.offer.echAccepted();
    return;
  }
  if (hs.helloRetried) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      'the server decrypted the ClientHello in its HelloRetryRequest, and no more in its ServerHello',
    );
  }
  reject(hs, suite);
}

/** The same of a HelloRetryRequest. */
export function settleEchByRetry(
  hs: ClientHandshake,
  suite: CipherSuite,
  message: JoinedMessage,
  retry: ServerHello,
): void {
  const { ech } = hs.offer;
  if (ech === undefined) {
    return;
  }
  const { echConfirmation } = retry.extensions;
  if (!ech.isAcceptedByRetry(suite.hash, hs.transcript, message.raw, echConfirmation)) {
    reject(hs, suite);
    return;
  }
  // An answer to what the inner hello asked for.
  hs.offer.offeredTypes = [...hs.offer.offeredTypes, ...ECH_TYPE];
}

/** Also what answers a decoy has to be well formed. */
export function takeRetryConfigs(hs: ClientHandshake, retryConfigs: Uint8Array | undefined): void {
  if (retryConfigs === undefined) {
    return;
  }
  decodeEchConfigList(retryConfigs);
  if (hs.encryptedClientHello === false) {
    hs.echRetryConfigs = retryConfigs;
  }
}

/** The server's Finished has verified and ours is sent: what it said of its configuration counts, and nothing else of it. */
export function refuseRejectedEch(hs: ClientHandshake): void {
  if (hs.encryptedClientHello !== false) {
    return;
  }
  hs.host.emit({ kind: 'echRejected', retryConfigs: hs.echRetryConfigs });
  throw new TLSError(
    'TLS_ERR_ECH_REJECTED',
    `the server at ${hs.offer.serverName} did not decrypt the ClientHello: its configuration ${
      hs.echRetryConfigs === undefined ? 'is withdrawn' : 'has changed'
    }`,
  );
}

function reject(hs: ClientHandshake, suite: CipherSuite): void {
  hs.encryptedClientHello = false;
  hs.transcript = hs.offer.echRejected();
  hs.transcript.start(suite.hash);
}

const ECH_TYPE: readonly number[] = [0xfe0d];
