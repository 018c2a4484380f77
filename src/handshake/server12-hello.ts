/**
 * The ServerHello of TLS 1.2: what was chosen, and what the connection is bound to.
 *
 * RFC 5246 §7.4.1.3; RFC 5746 §3.6, §3.7; RFC 9846 §4.2.3 (downgrade protection).
 */

import { concat, EMPTY } from '../bytes/bytes.ts';
import { type CipherSuite12, TLS_EMPTY_RENEGOTIATION_INFO_SCSV } from '../crypto/suites12.ts';
import { TLS12 } from '../messages/code-points.ts';
import { DOWNGRADE_TLS12, encodeServerHello } from '../messages/server-hello.ts';
import { encodeTimestamps } from '../messages/signed-certificate-timestamps.ts';
import type { PreviousHandshake } from './host.ts';
import type { GroupInfo12 } from './key-exchange12.ts';
import { present } from './present.ts';
import { agreeOnRecords } from './record-limits.ts';
import type { ServerHandshake } from './server.ts';
import type { ServerTls12 } from './server12.ts';

/** Sends the ServerHello: from here on the handshake has its randoms and its transcript. */
export function begin12(
  hs: ServerHandshake,
  choice: {
    readonly suite: CipherSuite12;
    readonly sessionId: Uint8Array;
    readonly resumedBy: 'ticket' | 'id' | undefined;
    readonly sendsTicket: boolean;
    readonly group: GroupInfo12 | undefined;
    readonly sendsStatus?: boolean;
    readonly timestamps?: readonly Uint8Array[];
  },
): ServerTls12 {
  const { provider } = hs.options;
  const hello = present(hs.hello);
  const { extensions } = hello;
  const { timestamps = [] } = choice;
  const serverRandom = new Uint8Array(32);
  provider.random(serverRandom);
  if (hs.options.versions?.includes('TLSv1.3') === true) {
    // Tells a client that offered TLS 1.3 that somebody took the offer away (RFC 9846 §4.2.3).
    serverRandom.set(DOWNGRADE_TLS12, 24);
  }
  const extendedMasterSecret = extensions.extendedMasterSecret === true;
  const signalsRenegotiation =
    extensions.renegotiationInfo !== undefined || hello.cipherSuites.includes(TLS_EMPTY_RENEGOTIATION_INFO_SCSV);
  if (present(hs.context).clientAuthentication !== undefined && choice.resumedBy === undefined) {
    hs.transcript.keepMessages();
  }
  hs.transcript.start(choice.suite.hash);
  hs.transcript.add(hs.rawHello);
  const agreed = agreeOnRecords(hs, hello, 'TLSv1.2');
  send(
    hs,
    encodeServerHello({
      legacyVersion: TLS12,
      random: serverRandom,
      legacySessionIdEcho: choice.sessionId,
      cipherSuite: choice.suite.code,
      compressionMethod: 0,
      extensions: {
        extendedMasterSecret: extendedMasterSecret ? true : undefined,
        renegotiationInfo: signalsRenegotiation ? renegotiatedConnection(hs.previous) : undefined,
        serverName: extensions.serverName !== undefined && choice.resumedBy === undefined ? true : undefined,
        ecPointFormats: extensions.ecPointFormats === undefined ? undefined : [0],
        sessionTicket: choice.sendsTicket ? true : undefined,
        statusRequest: choice.sendsStatus === true ? true : undefined,
        signedCertificateTimestamps: timestamps.length === 0 ? undefined : encodeTimestamps(timestamps),
        alpnProtocol: hs.alpnProtocol === '' ? undefined : hs.alpnProtocol,
        recordSizeLimit: agreed.recordSizeLimit,
        maxFragmentLength: agreed.maxFragmentLength,
      },
    }),
  );
  const tls12: ServerTls12 = {
    keysOptions: {
      provider,
      suite: choice.suite,
      role: 'server',
      clientRandom: hello.random,
      serverRandom,
      extendedMasterSecret,
    },
    sessionId: choice.sessionId,
    resumedBy: choice.resumedBy,
    sendsTicket: choice.sendsTicket,
    group: choice.group,
    share: undefined,
    rawParams: EMPTY,
    serverVerifyData: EMPTY,
    secureRenegotiation: signalsRenegotiation,
    keys: undefined,
  };
  hs.tls12 = tls12;
  return tls12;
}

/** RFC 5746 §3.7. */
function renegotiatedConnection(previous: PreviousHandshake | undefined): Uint8Array {
  return previous === undefined ? EMPTY : concat(previous.clientVerifyData, previous.serverVerifyData);
}

function send(hs: ServerHandshake, message: Uint8Array): void {
  hs.transcript.add(message);
  hs.host.channel.handshake(message);
}
