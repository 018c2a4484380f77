/**
 * The ServerHello of TLS 1.2 held against what the client offered, and the session that it may resume. Pure: nothing is sent.
 *
 * RFC 5246 §7.4.1.3, RFC 5746 §3.4, §3.5, RFC 7301 §3.1, RFC 7627 §5.2, §5.3, RFC 8422 §5.2.
 */

import { concat, EMPTY, sameBytes } from '../bytes/bytes.ts';
import { type CipherSuite12, cipherSuite12ByCode } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import { TLS12 } from '../messages/code-points.ts';
import { refuseUnsolicited } from '../messages/extension-rules.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import { refuseMisplaced12 } from '../messages/tls12/extension-rules.ts';
import type { ClientSession12 } from '../session/client-session.ts';
import type { ClientHandshake } from './client.ts';

/** The protocol is the connection's (RFC 7301 §3.1): a renegotiation keeps it, whether the server says it again or not. */
export function chooseProtocol12(hs: ClientHandshake, chosen: string | undefined): void {
  const before = hs.previous?.summary.alpnProtocol;
  if (chosen === undefined) {
    hs.alpnProtocol = before ?? '';
    return;
  }
  if (!hs.options.alpnProtocols?.includes(chosen)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server chose an application protocol that was not offered');
  }
  if (before !== undefined && before !== chosen) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server changed the application protocol in a renegotiation');
  }
  hs.alpnProtocol = chosen;
}

export function checkServerHello12(hs: ClientHandshake, hello: ServerHello): CipherSuite12 {
  const { extensions } = hello;
  if (hello.legacyVersion !== TLS12) {
    throw new TLSError(
      'TLS_ERR_PROTOCOL_VERSION',
      `the server chose version ${hello.legacyVersion.toString(16)}; TLS 1.2 is the oldest that was offered`,
    );
  }
  if (hello.compressionMethod !== 0) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose compression method ${hello.compressionMethod}`);
  }
  const suite = cipherSuite12ByCode(hello.cipherSuite);
  if (suite === undefined || !hs.offer.cipherSuites12.includes(suite.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose cipher suite ${hello.cipherSuite}, which was not offered for TLS 1.2`,
    );
  }
  refuseMisplaced12(extensions.types);
  refuseUnsolicited(extensions.types, hs.offer.offeredTypes, 'server_hello');
  if (extensions.ecPointFormats !== undefined && !extensions.ecPointFormats.includes(UNCOMPRESSED)) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server does not support uncompressed points (RFC 8422 §5.2)');
  }
  const { previous } = hs;
  const bound = previous === undefined ? EMPTY : concat(previous.clientVerifyData, previous.serverVerifyData);
  if (extensions.renegotiationInfo === undefined || !sameBytes(extensions.renegotiationInfo, bound)) {
    throw new TLSError(
      'TLS_ERR_INSECURE_RENEGOTIATION',
      'the server does not bind renegotiations to the connection (RFC 5746)',
    );
  }
  if (extensions.extendedMasterSecret !== true && hs.options.allowLegacyMasterSecret !== true) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the server does not support extended master secret (allowLegacyMasterSecret goes on without)',
    );
  }
  return suite;
}

/** The offered session, when the server's echo of the session ID says that it is resumed. */
export function resumedSession(hs: ClientHandshake, hello: ServerHello): ClientSession12 | undefined {
  const { session12, legacySessionId } = hs.offer;
  const echoed = legacySessionId.length > 0 && sameBytes(hello.legacySessionIdEcho, legacySessionId);
  if (echoed && session12 === undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', 'the server resumes a session that was not offered');
  }
  return echoed ? session12 : undefined;
}

export function checkResumption(session: ClientSession12, suite: CipherSuite12, extendedMasterSecret: boolean): void {
  if (session.cipherSuite !== suite.name) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server resumes with ${suite.name}, the session has ${session.cipherSuite}`,
    );
  }
  if (session.extendedMasterSecret !== extendedMasterSecret) {
    throw new TLSError(
      'TLS_ERR_EXTENDED_MASTER_SECRET',
      'the server changed the use of extended master secret in a resumed session (RFC 7627 §5.3)',
    );
  }
}

const UNCOMPRESSED = 0;
