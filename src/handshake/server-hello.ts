/**
 * The TLS 1.3 server and the ClientHello: which context, PSK, suite and group serve it, or what has to be asked for first, of
 * the host or by a HelloRetryRequest. The answer is in server-flight.ts.
 *
 * RFC 9846 §4.2.1, §4.2.4, §4.3.11.
 */

import type { ServerContext } from '../connection-options.ts';
import type { NamedGroupInfo } from '../crypto/groups.ts';
import { TLSError } from '../errors.ts';
import { type ClientHello, decodeClientHello } from '../messages/client-hello.ts';
import { TLS12, TLS13 } from '../messages/code-points.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { encodeServerHello, HELLO_RETRY_REQUEST_RANDOM } from '../messages/server-hello.ts';
import type { FoundPsk } from '../session/external-psk.ts';
import type { TicketClaim } from '../session/single-use-register.ts';
import { judgeEarlyData, largestEarlyData, mayTakeEarlyData, onEarlyDataClaim } from './early-data-server.ts';
import { present } from './present.ts';
import { checkTransport, requireProtocol, transportPolicyHash } from './quic-rules.ts';
import type { ServerHandshake } from './server.ts';
import { type AfterHello, sendFlight } from './server-flight.ts';
import {
  checkClientHello,
  checkSecondHello,
  chooseGroup,
  chooseProtocol,
  commonSuites,
  nameOf,
} from './server-negotiation.ts';
import {
  bindersOffset,
  type ChosenPsk,
  choosePskMode,
  PskSearch,
  type SearchResult,
  ticketClaim,
  verifyBinder,
} from './server-psk.ts';
import { contextPolicyHash } from './server-resumption.ts';
import { type AfterHello12, onClientHello12 } from './server12.ts';
import { chooseVersion } from './server12-negotiation.ts';
import type { Transcript } from './transcript.ts';

type AfterSearch = 'AwaitExternalPsk' | 'AwaitTicketClaim' | 'ExpectClientHelloAfterRetry' | AfterHello;
type AfterFirstHello = AfterSearch | AfterHello12;

export function onClientHello(hs: ServerHandshake, message: JoinedMessage): 'AwaitContext' | AfterFirstHello {
  const hello = decodeClientHello(message.body);
  hs.host.channel.joiner.boundary();
  hs.version = chooseVersion(hs.options, hello);
  if (hs.version === 'TLSv1.3') {
    checkClientHello(hello);
    hs.host.channel.allowChangeCipherSpec(true);
  }
  checkTransport(hs.host.channel.quic, hello);
  hs.hello = hello;
  // The transcript outlives the record that the message came in.
  hs.rawHello = new Uint8Array(message.raw);
  hs.serverName = nameOf(hello);
  const { context } = hs.options;
  if (context === 'ask') {
    hs.host.ask({ kind: 'context', clientHello: hs.info });
    return 'AwaitContext';
  }
  return onContext(hs, context);
}

export function onContext(hs: ServerHandshake, context: ServerContext | undefined): AfterFirstHello {
  const hello = present(hs.hello);
  if (context === undefined) {
    throw new TLSError(
      'TLS_ERR_UNRECOGNIZED_NAME',
      `there is no certificate for ${hs.serverName || 'a client without server_name'}`,
    );
  }
  hs.context = context;
  hs.alpnProtocol = hello.extensions.alpnProtocols === undefined ? '' : chooseProtocol(context, hs.info);
  requireProtocol(hs.host.channel.quic, hs.alpnProtocol);
  if (hs.version === 'TLSv1.2') {
    return onClientHello12(hs);
  }
  hs.suites = commonSuites(hs.options, hello);
  const { quic } = hs.host.channel;
  const policyHash = contextPolicyHash(hs.options.provider, context, hs.serverName, hs.alpnProtocol);
  hs.policyHash = transportPolicyHash(hs.options.provider, quic, policyHash);
  return searchPsk(hs);
}

/** Looks for a PSK among those that the hello offers: the suite, and whether a key exchange is needed, depend on it. */
function searchPsk(hs: ServerHandshake): AfterSearch {
  const { provider, now } = hs.options;
  const context = present(hs.context);
  const { preSharedKey: offer, pskKeyExchangeModes = [] } = present(hs.hello).extensions;
  refuseTwoAuthentications(context);
  if (offer === undefined) {
    return onSearched(hs, undefined);
  }
  hs.pskMode = choosePskMode(context, pskKeyExchangeModes, hs.helloRetried);
  if (hs.pskMode === undefined) {
    hs.refusal = context.tickets === undefined ? 'disabled' : 'no_psk_dhe_ke';
    return onSearched(hs, undefined);
  }
  const { suites, policyHash } = hs;
  hs.search = new PskSearch({ provider, context, offer, suites, now: now(), policyHash });
  return onSearched(hs, hs.search.next());
}

/** Who has an external PSK would get past the certificate that is required of everybody. */
function refuseTwoAuthentications({ externalPsks, clientAuthentication }: ServerContext): void {
  if (externalPsks !== undefined && clientAuthentication?.required === true) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      'externalPsks cannot stand beside client certificates that are required: a client shows one or the other',
    );
  }
}

export function onExternalPsk(hs: ServerHandshake, found: FoundPsk | undefined): AfterSearch {
  return onSearched(hs, present(hs.search).answer(found));
}

function onSearched(hs: ServerHandshake, result: SearchResult): AfterSearch {
  if (result !== undefined && 'ask' in result) {
    hs.host.ask({ kind: 'externalPsk', query: result.ask });
    return 'AwaitExternalPsk';
  }
  hs.refusal = hs.search?.refusal ?? hs.refusal;
  hs.psk = result;
  const suite = result === undefined ? undefined : hs.suites.find(({ hash }) => hash === result.hash);
  hs.suite = suite ?? hs.suites[0];
  if (result !== undefined && hs.pskMode === 'psk_ke') {
    return acceptPsk(hs, result);
  }
  return chooseKeyExchange(hs);
}

function chooseKeyExchange(hs: ServerHandshake): AfterSearch {
  const hello = present(hs.hello);
  if (!hs.helloRetried) {
    const { group, share } = chooseGroup(hs.options, hello);
    hs.group = group;
    hs.share = share;
    if (share === undefined) {
      hs.psk?.psk.erase('hello retried');
      hs.psk = undefined;
      return sendHelloRetryRequest(hs, hello, group);
    }
  }
  return hs.psk === undefined ? sendFlight(hs) : acceptPsk(hs, hs.psk);
}

/** The binder first: until it is verified the client is anybody, who must not use up another's ticket either. */
function acceptPsk(hs: ServerHandshake, chosen: ChosenPsk): AfterSearch {
  const { provider } = hs.options;
  const offer = present(present(hs.hello).extensions.preSharedKey);
  const truncated = hs.rawHello.subarray(0, bindersOffset(hs.rawHello, offer));
  hs.earlySecret = verifyBinder({
    provider,
    chosen,
    binder: offer.binders[chosen.index],
    truncatedHash: hs.helloRetried ? hashAfter(hs.transcript, truncated) : provider.hash(chosen.hash, truncated),
  });
  judgeEarlyData(hs, chosen);
  const { singleUse, earlyData } = present(hs.context).tickets ?? {};
  const register = singleUse ?? (mayTakeEarlyData(hs) ? earlyData?.register : undefined);
  const claim =
    register === undefined ? undefined : ticketClaim(provider, chosen, offer.identities[chosen.index].identity);
  if (register === undefined || claim === undefined) {
    return sendFlight(hs);
  }
  if (register === 'ask') {
    hs.host.ask({ kind: 'claimTicket', ...claim });
    return 'AwaitTicketClaim';
  }
  return onTicketClaim(hs, register.claim(claim.ticketId, claim.expiresAt));
}

/** A ticket that was used before is as one that is not known: the next identity may do, or else a certificate. */
export function onTicketClaim(hs: ServerHandshake, claim: TicketClaim): AfterSearch {
  if (present(hs.context).tickets?.singleUse === undefined) {
    onEarlyDataClaim(hs, claim);
    return sendFlight(hs);
  }
  if (claim === 'fresh') {
    return sendFlight(hs);
  }
  hs.earlySecret?.erase('refused');
  hs.earlySecret = undefined;
  const search = present(hs.search);
  search.refusal = claim === 'used' ? 'used_ticket' : 'register_full';
  return onSearched(hs, search.next());
}

function hashAfter(transcript: Transcript, truncated: Uint8Array): Uint8Array {
  const fork = transcript.fork();
  fork.add(truncated);
  return fork.digest();
}

function sendHelloRetryRequest(
  hs: ServerHandshake,
  hello: ClientHello,
  group: NamedGroupInfo,
): 'ExpectClientHelloAfterRetry' {
  const { channel } = hs.host;
  const { helloRetryCookie } = hs.options;
  hs.helloRetried = true;
  hs.transcript.add(hs.rawHello);
  hs.transcript.start(present(hs.suite).hash);
  hs.transcript.replaceWithMessageHash();
  const retry = encodeServerHello({
    legacyVersion: TLS12,
    random: HELLO_RETRY_REQUEST_RANDOM,
    legacySessionIdEcho: hello.legacySessionId,
    cipherSuite: present(hs.suite).code,
    compressionMethod: 0,
    extensions: { supportedVersion: TLS13, selectedGroup: group.code, cookie: helloRetryCookie },
  });
  hs.transcript.add(retry);
  channel.handshake(retry);
  if (hello.legacySessionId.length > 0) {
    channel.changeCipherSpec();
  }
  if (hello.extensions.earlyData !== undefined) {
    hs.earlyDataRefusal = 'hello_retried';
    channel.skipEarlyData('all', largestEarlyData(hs));
  }
  return 'ExpectClientHelloAfterRetry';
}

export function onSecondClientHello(
  hs: ServerHandshake,
  message: JoinedMessage,
): Exclude<AfterSearch, 'ExpectClientHelloAfterRetry' | 'ExpectEndOfEarlyData'> {
  const hello = decodeClientHello(message.body);
  checkClientHello(hello);
  hs.share = checkSecondHello({
    first: present(hs.hello),
    second: hello,
    group: present(hs.group),
    cookie: hs.options.helloRetryCookie,
  });
  hs.hello = hello;
  hs.rawHello = new Uint8Array(message.raw);
  hs.suites = [present(hs.suite)];
  const next = searchPsk(hs);
  if (next === 'ExpectClientHelloAfterRetry' || next === 'ExpectEndOfEarlyData') {
    throw new TLSError('TLS_ERR_INTERNAL', 'after a HelloRetryRequest there is neither another nor early data');
  }
  return next;
}
