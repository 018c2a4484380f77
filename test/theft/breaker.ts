/**
 * Opens recorded connections with what a ticket held, by the book and in its own words: the record protection here is not
 * that of src/record. What it can read it has decrypted and authenticated.
 *
 *     TLS 1.2   master secret ─▶ key block ─▶ records                                 nothing else is needed
 *     TLS 1.3   PSK ─▶ early secret ─┬─▶ binder                                       shows that the PSK is the right one
 *                                    └─ (EC)DHE ─▶ handshake secret ─▶ main secret    only with the key exchange's result
 */

import { concat, sameBytes } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { type CipherSuite, cipherSuiteByCode } from '../../src/crypto/suites.ts';
import { type CipherSuite12, cipherSuite12ByCode } from '../../src/crypto/suites12.ts';
import { pskBinder } from '../../src/keys/finished.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import { keyBlock } from '../../src/keys/tls12-prf.ts';
import type { TrafficSecret } from '../../src/keys/traffic.ts';
import { bindersLength } from '../../src/messages/client-hello.ts';
import type { TrafficKeys } from '../../src/record/traffic-keys.ts';
import { type Conversation, messagesIn, type WireRecord } from './conversation.ts';

/** The first application data that the server sent, or undefined. */
export function openTls12(conversation: Conversation, masterSecret: Uint8Array): Uint8Array | undefined {
  const suite = cipherSuite12ByCode(conversation.serverHello.cipherSuite);
  if (conversation.version !== 'TLSv1.2' || suite === undefined) {
    return undefined;
  }
  const { server } = keyBlock({
    provider,
    hash: suite.hash,
    masterSecret: Secret.copy('masterSecret', masterSecret),
    clientRandom: conversation.clientHello.random,
    serverRandom: conversation.serverHello.random,
    keyLength: suite.keyLength,
    ivLength: suite.ivLength,
  });
  const records = conversation.sealed.server;
  const index = records.findIndex(({ type }) => type === APPLICATION_DATA);
  return index < 0 ? undefined : openRecord12(suite, server, records[index], index);
}

/** Whether this PSK made the binder with which the client offered the ticket. */
export function pskFits(conversation: Conversation, ticket: Uint8Array, psk: Uint8Array): boolean {
  const suite = suiteOf(conversation);
  const offer = conversation.clientHello.extensions.preSharedKey;
  const index = offer?.identities.findIndex(({ identity }) => sameBytes(identity, ticket)) ?? -1;
  if (suite === undefined || offer === undefined || index < 0 || psk.length !== suite.hashLength) {
    return false;
  }
  const { rawClientHello } = conversation;
  const truncated = rawClientHello.subarray(0, rawClientHello.length - bindersLength(offer.binders));
  const early = EarlySecret.create(provider, suite.hash, Secret.copy('psk', psk));
  const binder = pskBinder(provider, suite.hash, early.binderKey('resumption'), provider.hash(suite.hash, truncated));
  return sameBytes(binder, offer.binders[index]);
}

/**
 * The first application data that the server sent, or undefined.
 * @param sharedSecret what the key exchange came to; empty to try without one, which is right for psk_ke alone
 */
export function openTls13(
  conversation: Conversation,
  psk: Uint8Array,
  sharedSecret: Uint8Array,
): Uint8Array | undefined {
  const suite = suiteOf(conversation);
  if (suite === undefined || psk.length !== suite.hashLength) {
    return undefined;
  }
  const hash = (...parts: readonly Uint8Array[]) => provider.hash(suite.hash, concat(...parts));
  const { rawClientHello, rawServerHello, sealed } = conversation;
  const early = EarlySecret.create(provider, suite.hash, Secret.copy('psk', psk));
  const handshake =
    sharedSecret.length === 0
      ? early.toHandshakeSecretWithoutKeyExchange(suite)
      : early.toHandshakeSecret(suite, Secret.copy('sharedSecret', sharedSecret));
  const hello = concat(rawClientHello, rawServerHello);
  const flight = openFlight(handshake.serverHandshakeTrafficSecret(hash(hello)), sealed.server);
  if (flight === undefined) {
    return undefined;
  }
  const main = handshake.toMainSecret();
  const application = main.serverApplicationTrafficSecret(hash(hello, flight.messages));
  const keys = application.trafficKeys();
  for (const [sequence, record] of sealed.server.slice(flight.records).entries()) {
    const opened = openRecord13(suite, keys, record, sequence);
    if (opened === undefined || opened.type === APPLICATION_DATA) {
      return opened?.content;
    }
  }
  return undefined;
}

/** EncryptedExtensions to Finished, and how many records that took. */
function openFlight(
  secret: TrafficSecret,
  records: readonly WireRecord[],
): { messages: Uint8Array; records: number } | undefined {
  const keys = secret.trafficKeys();
  let messages: Uint8Array = new Uint8Array(0);
  for (const [sequence, record] of records.entries()) {
    const opened = openRecord13(secret.suite, keys, record, sequence);
    if (opened?.type !== HANDSHAKE) {
      return undefined;
    }
    messages = concat(messages, opened.content);
    if (messagesIn(messages).at(-1)?.[0] === FINISHED) {
      return { messages, records: sequence + 1 };
    }
  }
  return undefined;
}

function suiteOf(conversation: Conversation): CipherSuite | undefined {
  return conversation.version === 'TLSv1.3' ? cipherSuiteByCode(conversation.serverHello.cipherSuite) : undefined;
}

/** RFC 9846 §5.2, §5.3. */
function openRecord13(
  suite: CipherSuite,
  { writeKey, writeIv }: TrafficKeys,
  { header, fragment }: WireRecord,
  sequence: number,
): { type: number; content: Uint8Array } | undefined {
  const nonce = counted(writeIv.expose(), sequence);
  const inner = provider.aead(suite.aead, writeKey.expose()).open(nonce, header, fragment);
  if (inner === undefined) {
    return undefined;
  }
  const end = inner.findLastIndex((byte) => byte !== 0);
  return { type: inner[end], content: inner.subarray(0, end) };
}

/** RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2. */
function openRecord12(
  { aead, ivLength }: CipherSuite12,
  { writeKey, writeIv }: TrafficKeys,
  { header, fragment }: WireRecord,
  sequence: number,
): Uint8Array | undefined {
  const explicit = fragment.subarray(0, 12 - ivLength);
  const sealed = fragment.subarray(explicit.length);
  const nonce = ivLength === 4 ? concat(writeIv.expose(), explicit) : counted(writeIv.expose(), sequence);
  const length = sealed.length - TAG_LENGTH;
  const aad = concat(counted(new Uint8Array(8), sequence), header.subarray(0, 3), Uint8Array.of(length >>> 8, length));
  return provider.aead(aead, writeKey.expose()).open(nonce, aad, sealed);
}

/** The bytes, with a number added to their end by XOR. */
function counted(bytes: Uint8Array, number: number): Uint8Array {
  const result = Uint8Array.from(bytes);
  for (let i = 0; i < 4; i++) {
    result[result.length - 1 - i] ^= (number >>> (8 * i)) & 0xff;
  }
  return result;
}

const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const FINISHED = 20;
const TAG_LENGTH = 16;
