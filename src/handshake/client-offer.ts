/**
 * What a client offers: its ClientHello, the key shares and the session behind it, and the second form of it after a
 * HelloRetryRequest.
 *
 * RFC 9846 §4.2.1, §4.2.2, §4.3; GREASE: RFC 8701 §3.1.
 */

import type { ResumptionRefusal } from '../actions.ts';
import type { ClientOptions } from '../connection-options.ts';
import { type NamedGroup, type NamedGroupInfo, namedGroups } from '../crypto/groups.ts';
import type { KeyShare } from '../crypto/provider.ts';
import { certificateSchemes, certificateVerifySchemes, signatureSchemes } from '../crypto/signatures.ts';
import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { pskBinder } from '../keys/finished.ts';
import { EarlySecret } from '../keys/ladder.ts';
import {
  bindersLength,
  type ClientHello,
  type ClientHelloExtensions,
  encodeClientHello,
} from '../messages/client-hello.ts';
import { extensionTypes, greaseValue, TLS12, TLS13 } from '../messages/code-points.ts';
import { isIPv4Literal } from '../messages/server-name.ts';
import type { ClientSession, ClientSession13 } from '../session/client-session.ts';
import type { Transcript } from './transcript.ts';

const PSK_DHE_KE = 1;
/**
 * Milliseconds, 7 days: a server that hands out ticket after ticket must not be trusted for ever on the certificate of
 * the first handshake, which may be expired or revoked by now (RFC 9846 §4.7.1).
 */
const MAX_HANDSHAKE_VALIDITY = 604_800_000;

export class ClientOffer {
  readonly random: Uint8Array = new Uint8Array(32);
  readonly legacySessionId: Uint8Array = new Uint8Array(32);
  readonly cipherSuites: readonly CipherSuiteName[];
  readonly namedGroups: readonly NamedGroup[];
  readonly sharedGroups: readonly NamedGroup[];
  readonly session: ClientSession13 | undefined;
  /** Why the host's session was not even offered. */
  readonly refusal: ResumptionRefusal | undefined;
  /** The types that the server may answer: of the extensions in the last hello sent. */
  offeredTypes: readonly number[] = [];
  readonly #options: ClientOptions;
  readonly #shares = new Map<NamedGroup, KeyShare>();
  readonly #grease: Uint8Array = new Uint8Array(5);
  #earlySecret: EarlySecret | undefined;

  constructor(options: ClientOptions) {
    const { provider } = options;
    this.#options = options;
    this.cipherSuites = options.cipherSuites ?? ALL_SUITES;
    this.namedGroups = (options.namedGroups ?? ALL_GROUPS).filter((group) => provider.supportsGroup(group));
    if (this.namedGroups.length === 0 || this.cipherSuites.length === 0) {
      throw new TLSError('TLS_ERR_CONFIG', 'the client has no cipher suite or no named group to offer');
    }
    this.sharedGroups = sharedGroups(options.keyShares, this.namedGroups);
    const { session } = options;
    this.refusal = session === undefined ? undefined : this.#refusalOf(session);
    this.session = this.refusal === undefined && session?.version === 'TLSv1.3' ? session : undefined;
    provider.random(this.random);
    provider.random(this.legacySessionId);
    provider.random(this.#grease);
    for (const group of this.sharedGroups) {
      this.#shares.set(group, provider.generateKeyShare(group));
    }
  }

  /** The first ClientHello, added to the transcript. */
  first(transcript: Transcript): Uint8Array {
    return this.#encode(transcript, {}, false, this.#options.grease !== false);
  }

  /**
   * The second ClientHello: the same but for a key share of the group asked for, the cookie, and the session, which is
   * dropped when the server's choice of hash cannot go with it.
   */
  second(
    transcript: Transcript,
    group: NamedGroupInfo | undefined,
    cookie: Uint8Array | undefined,
    suite: CipherSuiteName,
  ): Uint8Array {
    if (group !== undefined) {
      this.#eraseShares();
      this.#shares.set(group.name, this.#options.provider.generateKeyShare(group.name));
    }
    const keepsSession =
      this.session !== undefined && cipherSuites[this.session.cipherSuite].hash === cipherSuites[suite].hash;
    const keepsShares = group === undefined && this.#options.grease !== false;
    return this.#encode(transcript, { cookie }, true, keepsShares, keepsSession);
  }

  /** The share for the group that the server chose, or undefined when none was sent. */
  takeShare(group: NamedGroup): KeyShare | undefined {
    const share = this.#shares.get(group);
    this.#shares.delete(group);
    return share;
  }

  hasShare(group: NamedGroup): boolean {
    return this.#shares.has(group);
  }

  /** The rung made from the session's PSK; the caller spends it. */
  takeEarlySecret(): EarlySecret | undefined {
    const early = this.#earlySecret;
    this.#earlySecret = undefined;
    return early;
  }

  erase(): void {
    this.#eraseShares();
    this.#earlySecret?.erase('not used');
    this.#earlySecret = undefined;
  }

  #eraseShares(): void {
    for (const share of this.#shares.values()) {
      share.erase();
    }
    this.#shares.clear();
  }

  #encode(
    transcript: Transcript,
    extra: Pick<ClientHelloExtensions, 'cookie'>,
    retried: boolean,
    greaseShare: boolean,
    withSession = this.session !== undefined,
  ): Uint8Array {
    const extensions: ClientHelloExtensions = { ...this.#extensions(greaseShare), ...extra };
    this.offeredTypes = offeredTypes(extensions, withSession);
    const hello: ClientHello = {
      legacyVersion: TLS12,
      random: this.random,
      legacySessionId: this.legacySessionId,
      cipherSuites: this.#withGrease(
        0,
        this.cipherSuites.map((name) => cipherSuites[name].code),
      ),
      compressionMethods: [0],
      extensions,
    };
    if (!withSession || this.session === undefined) {
      this.#earlySecret?.erase('not used');
      this.#earlySecret = undefined;
      const raw = encodeClientHello(hello);
      transcript.add(raw);
      return raw;
    }
    return this.#encodeWithBinder(transcript, hello, this.session, retried);
  }

  #encodeWithBinder(
    transcript: Transcript,
    hello: ClientHello,
    session: ClientSession13,
    retried: boolean,
  ): Uint8Array {
    const { provider, now } = this.#options;
    const suite = cipherSuites[session.cipherSuite];
    const age = Math.max(0, now() - session.receivedAt);
    const binders = [new Uint8Array(suite.hashLength)];
    const raw = encodeClientHello({
      ...hello,
      extensions: {
        ...hello.extensions,
        preSharedKey: {
          identities: [
            { identity: session.ticket, obfuscatedTicketAge: (Math.floor(age) + session.ticketAgeAdd) % 0x1_0000_0000 },
          ],
          binders,
        },
      },
    });
    const cut = raw.length - bindersLength(binders);
    const truncated = raw.subarray(0, cut);
    transcript.add(truncated);
    this.#earlySecret ??= EarlySecret.create(provider, suite.hash, session.secret);
    // Before the first ServerHello the suite is unknown, so the transcript has no hash yet: the session's is used.
    const hashed = retried ? transcript.digest() : provider.hash(suite.hash, truncated);
    const binder = pskBinder(provider, suite.hash, this.#earlySecret.resumptionBinderKey(), hashed);
    raw.set(binder, raw.length - binder.length);
    transcript.add(raw.subarray(cut));
    return raw;
  }

  #extensions(withGreaseShare: boolean): ClientHelloExtensions {
    const { serverName, alpnProtocols, recordSizeLimit, requestTickets, grease = true } = this.#options;
    const isName = serverName !== '' && !isIPv4Literal(serverName) && !serverName.includes(':');
    const shares = [...this.#shares.values()].map((share) => ({
      group: namedGroups[share.group].code,
      keyExchange: share.publicKey,
    }));
    const greaseShare = { group: greaseValue(this.#grease[1]), keyExchange: GREASE_BYTE };
    return {
      serverName: isName ? serverName : undefined,
      supportedGroups: this.#withGrease(
        1,
        this.namedGroups.map((name) => namedGroups[name].code),
      ),
      signatureAlgorithms: certificateVerifySchemeCodes,
      signatureAlgorithmsCert: certificateSchemeCodes,
      alpnProtocols: alpnProtocols === undefined || alpnProtocols.length === 0 ? undefined : alpnProtocols,
      supportedVersions: this.#withGrease(2, [TLS13]),
      keyShares: withGreaseShare ? [greaseShare, ...shares] : shares,
      pskKeyExchangeModes: [PSK_DHE_KE],
      recordSizeLimit,
      ticketRequest: requestTickets,
      unknown: grease ? this.#greaseExtensions() : undefined,
    };
  }

  #withGrease(which: number, list: readonly number[]): readonly number[] {
    return this.#options.grease === false ? list : [greaseValue(this.#grease[which]), ...list];
  }

  /** Two reserved extensions, never the same: one empty, one with a byte. */
  #greaseExtensions(): { type: number; data: Uint8Array }[] {
    const first = greaseValue(this.#grease[3]);
    const second = greaseValue(this.#grease[4]);
    const other = second === first ? greaseValue(this.#grease[4] ^ 0x10) : second;
    return [
      { type: first, data: new Uint8Array(0) },
      { type: other, data: GREASE_BYTE },
    ];
  }

  #refusalOf(session: ClientSession): ResumptionRefusal | undefined {
    const now = this.#options.now();
    if (session.version !== 'TLSv1.3') {
      return 'version_changed';
    }
    const { hash } = cipherSuites[session.cipherSuite];
    if (session.secret.erased || now - session.receivedAt >= session.ticketLifetime * 1000) {
      return 'expired_ticket';
    }
    if (now - session.authenticatedAt >= MAX_HANDSHAKE_VALIDITY) {
      return 'expired_handshake';
    }
    if (session.serverName !== this.#options.serverName) {
      return 'policy_changed';
    }
    return this.cipherSuites.some((name) => cipherSuites[name].hash === hash) ? undefined : 'suite_changed';
  }
}

const ALL_SUITES = Object.keys(cipherSuites) as CipherSuiteName[];
const ALL_GROUPS = Object.keys(namedGroups) as NamedGroup[];
const GREASE_BYTE = new Uint8Array([0]);
const certificateVerifySchemeCodes = certificateVerifySchemes.map((scheme) => signatureSchemes[scheme]);
const certificateSchemeCodes = certificateSchemes.map((scheme) => signatureSchemes[scheme]);

/** The first group, and x25519 beside a hybrid: servers without the hybrid then need no second round trip. */
function sharedGroups(asked: readonly NamedGroup[] | undefined, offered: readonly NamedGroup[]): readonly NamedGroup[] {
  if (asked !== undefined) {
    const unknown = asked.find((group) => !offered.includes(group));
    if (unknown !== undefined) {
      throw new TLSError('TLS_ERR_CONFIG', `a key share for ${unknown} needs that group among the named groups`);
    }
    return asked;
  }
  const first = offered[0];
  return first === 'X25519MLKEM768' && offered.includes('x25519') ? [first, 'x25519'] : [first];
}

function offeredTypes(extensions: ClientHelloExtensions, withSession: boolean): readonly number[] {
  const types: number[] = [];
  for (const [name, type] of answerable) {
    if (extensions[name] !== undefined) {
      types.push(type);
    }
  }
  if (withSession) {
    types.push(extensionTypes.pre_shared_key);
  }
  return types;
}

/** Extensions that a server may answer in ServerHello, HelloRetryRequest, EncryptedExtensions or Certificate. */
const answerable: readonly (readonly [keyof ClientHelloExtensions, number])[] = [
  ['serverName', extensionTypes.server_name],
  ['supportedGroups', extensionTypes.supported_groups],
  ['alpnProtocols', extensionTypes.application_layer_protocol_negotiation],
  ['recordSizeLimit', extensionTypes.record_size_limit],
  ['supportedVersions', extensionTypes.supported_versions],
  ['keyShares', extensionTypes.key_share],
  ['ticketRequest', extensionTypes.ticket_request],
];
