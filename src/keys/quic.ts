/**
 * The keys of QUIC packets, made from TLS's traffic secrets or, for Initial packets, from a connection ID that everybody
 * sees.
 *
 *     initial_secret        = HKDF-Extract(initial_salt, client_dst_connection_id)
 *     client_initial_secret = HKDF-Expand-Label(initial_secret, "client in", "", 32)      server: "server in"
 *     key, iv, hp           = HKDF-Expand-Label(secret, "quic key" | "quic iv" | "quic hp", "", length)
 *     next secret           = HKDF-Expand-Label(secret, "quic ku", "", Hash.length)
 *     Retry Integrity Tag   = AES-128-GCM(fixed key, fixed nonce, "", Retry Pseudo-Packet)
 *
 * RFC 9001 §5.1, §5.2, §5.8, §6.1; version 2 with labels and constants of its own: RFC 9369 §3.3.
 */

import { concat, EMPTY, fromHex } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { type CipherSuite, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { expandLabel, hkdfExtract, PreparedLabel } from './hkdf.ts';

/** QUIC versions 1 (RFC 9000) and 2 (RFC 9369), which differ in the constants of their key derivation. */
export type QuicVersion = 1 | 2;

/** Initial packets have a fixed suite (RFC 9001 §5.2). */
export const QUIC_INITIAL_SUITE: CipherSuite = cipherSuites.TLS_AES_128_GCM_SHA256;

/** The keys of one direction and generation; the caller erases them. */
export interface QuicKeys {
  readonly key: Secret;
  readonly iv: Secret;
  /** The header protection key, which stays the same when keys are updated (RFC 9001 §6.1). */
  readonly hp: Secret;
}

/**
 * The secrets of Initial packets, from the Destination Connection ID of the client's first one (0 to 20 bytes). They keep
 * nothing secret: they protect from those who do not read along.
 * @throws TLSError `TLS_ERR_CONFIG` a connection ID that is too long
 */
export function quicInitialSecrets(
  provider: CryptoProvider,
  destinationConnectionId: Uint8Array,
  version: QuicVersion = 1,
): { readonly client: Secret; readonly server: Secret } {
  if (destinationConnectionId.length > MAX_CONNECTION_ID) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `a connection ID has at most ${MAX_CONNECTION_ID} bytes, not ${destinationConnectionId.length}`,
    );
  }
  const { hash, hashLength } = QUIC_INITIAL_SUITE;
  const initial = hkdfExtract(provider, hash, constants[version].salt, destinationConnectionId, 'initialSecret');
  const of = (label: PreparedLabel, kind: string): Secret =>
    expandLabel(provider, hash, initial, label, EMPTY, hashLength, kind);
  const secrets = { client: of(CLIENT_IN, 'clientInitialSecret'), server: of(SERVER_IN, 'serverInitialSecret') };
  initial.erase();
  return secrets;
}

/** `secret` is lent. */
export function quicKeys(
  provider: CryptoProvider,
  suite: CipherSuite,
  secret: Secret,
  version: QuicVersion = 1,
): QuicKeys {
  const { labels } = constants[version];
  const expand = (label: PreparedLabel, length: number, kind: string): Secret =>
    expandLabel(provider, suite.hash, secret, label, EMPTY, length, kind);
  return {
    key: expand(labels.key, suite.keyLength, 'quicKey'),
    iv: expand(labels.iv, IV_LENGTH, 'quicIv'),
    hp: expand(labels.hp, suite.keyLength, 'quicHp'),
  };
}

/** The secret of the next generation (RFC 9001 §6.1); the one before is lent. */
export function nextQuicSecret(
  provider: CryptoProvider,
  suite: CipherSuite,
  secret: Secret,
  version: QuicVersion = 1,
): Secret {
  const { ku } = constants[version].labels;
  return expandLabel(provider, suite.hash, secret, ku, EMPTY, suite.hashLength, secret.kind);
}

/**
 * The 16 bytes at the end of a Retry packet: they show that it comes from someone who saw the client's Initial.
 * `retry` is the packet without them.
 * @throws TLSError `TLS_ERR_CONFIG` a connection ID that is too long
 */
export function quicRetryIntegrityTag(
  provider: CryptoProvider,
  originalDestinationConnectionId: Uint8Array,
  retry: Uint8Array,
  version: QuicVersion = 1,
): Uint8Array {
  const { length } = originalDestinationConnectionId;
  if (length > MAX_CONNECTION_ID) {
    throw new TLSError('TLS_ERR_CONFIG', `a connection ID has at most ${MAX_CONNECTION_ID} bytes, not ${length}`);
  }
  const { retryKey, retryNonce } = constants[version];
  const pseudoPacket = concat(new Uint8Array([length]), originalDestinationConnectionId, retry);
  const aead = provider.aead(QUIC_INITIAL_SUITE.aead, retryKey);
  const tag = new Uint8Array(TAG_LENGTH);
  aead.seal(retryNonce, pseudoPacket, EMPTY, tag, 0);
  aead.erase();
  return tag;
}

/** Bytes (RFC 9000 §17.2). */
const MAX_CONNECTION_ID = 20;
const IV_LENGTH = 12;
const TAG_LENGTH = 16;

const CLIENT_IN = new PreparedLabel('client in');
const SERVER_IN = new PreparedLabel('server in');

function labels(prefix: 'quic' | 'quicv2') {
  return {
    key: new PreparedLabel(`${prefix} key`),
    iv: new PreparedLabel(`${prefix} iv`),
    hp: new PreparedLabel(`${prefix} hp`),
    ku: new PreparedLabel(`${prefix} ku`),
  };
}

/** Public values: RFC 9001 §5.2, §5.8; RFC 9369 §3.3.1, §3.3.3. */
const constants = {
  1: {
    labels: labels('quic'),
    salt: fromHex('38762cf7f55934b34d179ae6a4c80cadccbb7f0a'),
    retryKey: fromHex('be0c690b9f66575a1d766b54e368c84e'),
    retryNonce: fromHex('461599d35d632bf2239825bb'),
  },
  2: {
    labels: labels('quicv2'),
    salt: fromHex('0dede3def700a6db819381be6e269dcbf9bd2ed9'),
    retryKey: fromHex('8fb4b01b56ac48e260fbcbcead7ccc92'),
    retryNonce: fromHex('d86969bc2d7c6d9990efb04a'),
  },
} as const;
