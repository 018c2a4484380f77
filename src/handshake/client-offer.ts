/**
 * What a client offers: its ClientHello, the key shares and the session behind it, and the second form of it after a
 * HelloRetryRequest.
 *
 * RFC 9846 §4.2.1, §4.2.2, §4.3.
 */

import type { HandshakeSummary, ResumptionRefusal } from '../actions.ts';
import { EMPTY } from '../bytes/bytes.ts';
import type { ClientOptions, ProtocolVersion } from '../connection-options.ts';
import type { FfdheGroup } from '../crypto/dhe-groups.ts';
import { type NamedGroup, type NamedGroupInfo, namedGroups } from '../crypto/groups.ts';
import type { CryptoProvider, KeyShare } from '../crypto/provider.ts';
import { type CipherSuiteName, cipherSuites, type HashName } from '../crypto/suites.ts';
import { type CipherSuite12Name, cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import {
  bindersLength,
  type ClientHello,
  type ClientHelloExtensions,
  encodeClientHello,
  type PreSharedKeyOffer,
} from '../messages/client-hello.ts';
import { TLS12 } from '../messages/code-points.ts';
import { INNER_ECH } from '../messages/encrypted-client-hello.ts';
import type { ClientSession12, ClientSession13 } from '../session/client-session.ts';
import type { ExternalPskName } from '../session/external-psk.ts';
import type { QuicSide } from './channel.ts';
import { ClientPsks, externalPskFingerprintOf, type OfferedPsk, randomBinders } from './client-psks.ts';
import { earlyDataAllowance } from './early-data-client.ts';
import { EchOffer, greaseEch } from './ech-offer.ts';
import { GREASE_SUITE, Grease } from './grease.ts';
import { helloExtensions, offeredTypes, withEch } from './hello-extensions.ts';
import { ffdheGroups12 } from './key-exchange12.ts';
import { present } from './present.ts';
import { refusalToOffer } from './session-to-offer.ts';
import type { Transcript } from './transcript.ts';

export class ClientOffer {
  /** Of the hello that the server answered, once that is known. */
  random: Uint8Array = new Uint8Array(32);
  /** In TLS 1.2 the session to resume by ID, or what a server echoes when it accepts a ticket. */
  readonly legacySessionId: Uint8Array;
  readonly versions: readonly ProtocolVersion[];
  /** TLS 1.3; empty when it is not offered. */
  readonly cipherSuites: readonly CipherSuiteName[];
  /** TLS 1.2; empty when it is not offered. */
  readonly cipherSuites12: readonly CipherSuite12Name[];
  readonly namedGroups: readonly NamedGroup[];
  /** TLS 1.2: of DHE suites; empty unless one is offered. */
  readonly ffdheGroups12: readonly FfdheGroup[];
  readonly sharedGroups: readonly NamedGroup[];
  readonly session: ClientSession13 | undefined;
  readonly session12: ClientSession12 | undefined;
  /** Bytes of early data that go with the session, which is the first identity offered; 0 for none. */
  readonly earlyDataRoom: number;
  /** Present while it is open which of two hellos the server answers. */
  ech: EchOffer | undefined;
  /** The name whose certificate the server has to show. */
  serverName: string;
  /** Why the host's session was not even offered. */
  readonly refusal: ResumptionRefusal | undefined;
  /** The types that the server may answer: of the extensions in the last hello sent. */
  offeredTypes: readonly number[] = [];
  readonly #options: ClientOptions;
  readonly #renegotiatedConnection: Uint8Array;
  readonly #quic: QuicSide | undefined;
  #shares: readonly KeyShare[] = [];
  readonly #grease: Grease;
  readonly #psks: ClientPsks;
  /** extension_data of a hello that looks encrypted, or of one that was refused: the same in the second hello. */
  #decoy: Uint8Array | undefined;
  #outerTypes: readonly number[] = [];
  /** Beside the PSKs of an encrypted hello, those of the outer one. */
  #decoyPsks: PreSharedKeyOffer | undefined;
  /** It is not the server that is meant which answers: no session or PSK is for it. */
  #isRejected = false;

  /** `renegotiatedConnection`: our verify_data of the handshake before, in a renegotiation (RFC 5746 §3.5). */
  constructor(options: ClientOptions, renegotiatedConnection: Uint8Array = EMPTY, quic?: QuicSide) {
    this.#quic = quic;
    this.#renegotiatedConnection = renegotiatedConnection;
    const { provider } = options;
    this.#options = options;
    this.versions = options.versions ?? ['TLSv1.3'];
    this.serverName = options.serverName;
    this.cipherSuites = this.#offers('TLSv1.3') ? (options.cipherSuites ?? ALL_SUITES) : [];
    this.cipherSuites12 = this.#offers('TLSv1.2') ? (options.cipherSuites12 ?? ECDHE_SUITES) : [];
    const with13 = this.#offers('TLSv1.3');
    // The hybrid is a group of TLS 1.3 alone.
    this.namedGroups = (options.namedGroups ?? ALL_GROUPS).filter(
      (group) => provider.supportsGroup(group) && (with13 || group !== 'X25519MLKEM768'),
    );
    if (this.namedGroups.length === 0 || this.cipherSuites.length + this.cipherSuites12.length === 0) {
      throw new TLSError('TLS_ERR_CONFIG', 'the client has no cipher suite or no named group to offer');
    }
    this.ffdheGroups12 = this.#offers('TLSv1.2') ? ffdheGroups12(options) : [];
    this.sharedGroups = this.#offers('TLSv1.3') ? sharedGroups(options.keyShares, this.namedGroups) : [];
    if (options.externalPskRequired === true && (this.#offers('TLSv1.2') || !options.externalPsks?.length)) {
      throw new TLSError('TLS_ERR_CONFIG', 'externalPskRequired needs externalPsks, and TLS 1.3 alone');
    }
    this.#psks = new ClientPsks(options, this.cipherSuites);
    try {
      const { session } = options;
      this.refusal = session === undefined ? undefined : refusalToOffer(session, options, this, this.#psks);
      this.session = this.refusal === undefined && session?.version === 'TLSv1.3' ? session : undefined;
      this.session12 = this.refusal === undefined && session?.version === 'TLSv1.2' ? session : undefined;
      this.#conceal(options);
      this.earlyDataRoom = this.ech === undefined ? earlyDataAllowance(options, this.session, this.cipherSuites) : 0;
      provider.random(this.random);
      this.legacySessionId = legacySessionId(provider, this.session12, with13 && quic === undefined);
      this.#grease = new Grease(provider, options.grease !== false);
      for (const group of this.sharedGroups) {
        this.#shares = [...this.#shares, provider.generateKeyShare(group)];
      }
    } catch (error) {
      this.erase();
      throw error;
    }
  }

  /** The first ClientHello, added to the transcript. */
  first(transcript: Transcript): Uint8Array {
    const earlyData = this.earlyDataRoom > 0 ? true : undefined;
    return this.#encode(transcript, { earlyData }, false, true);
  }

  /**
   * The second ClientHello: the same but for a key share of the group asked for, the cookie, and the session and PSKs, of
   * which those are dropped that cannot go with the server's choice of hash.
   */
  second(
    transcript: Transcript,
    group: NamedGroupInfo | undefined,
    cookie: Uint8Array | undefined,
    suite: CipherSuiteName,
  ): Uint8Array {
    if (group !== undefined) {
      this.#eraseShares();
      this.#shares = [this.#options.provider.generateKeyShare(group.name)];
    }
    return this.#encode(transcript, { cookie }, true, group === undefined, cipherSuites[suite].hash);
  }

  /** The server answers the hello that was encrypted. */
  echAccepted(): void {
    this.random = present(this.ech).random;
    this.ech?.erase();
    this.ech = undefined;
  }

  /** The server answers the outer hello: it is another that is spoken to, and about no session. Returns the transcript. */
  echRejected(): Transcript {
    const ech = present(this.ech);
    this.#isRejected = true;
    this.serverName = ech.publicName;
    this.#decoy = ech.extension;
    this.offeredTypes = this.#outerTypes;
    this.#psks.erase(undefined);
    ech.erase();
    this.ech = undefined;
    return ech.outerTranscript;
  }

  /** For those who tell the story of the handshake. */
  described(): NonNullable<HandshakeSummary['offered']> {
    return {
      versions: this.versions,
      cipherSuites: joined(this.cipherSuites, this.cipherSuites12),
      namedGroups: joined(this.namedGroups, this.ffdheGroups12),
      keyShares: this.sharedGroups,
      alpnProtocols: this.#options.alpnProtocols ?? NO_PROTOCOLS,
    };
  }

  /** The share for the group that the server chose, or undefined when none was sent. */
  takeShare(group: NamedGroup): KeyShare | undefined {
    const share = this.#shares.find((made) => made.group === group);
    this.#shares = this.#shares.filter((made) => made !== share);
    return share;
  }

  hasShare(group: NamedGroup): boolean {
    return this.#shares.some((made) => made.group === group);
  }

  /** What early data is protected with, after `first`; `clientHello` is what that returned. */
  earlyTrafficSecret(clientHello: Uint8Array): TrafficSecret {
    const suite = cipherSuites[present(this.session).cipherSuite];
    const transcriptHash = this.#options.provider.hash(suite.hash, clientHello);
    return present(this.#psks.sessionSecret).clientEarlyTrafficSecret(suite, transcriptHash);
  }

  /** The PSK that the server selected; the caller spends its rung. Undefined when it was not offered. */
  takePsk(selectedIdentity: number): OfferedPsk | undefined {
    return this.#psks.take(selectedIdentity);
  }

  /** The external PSK behind what was selected. */
  externalPskOf(psk: OfferedPsk | undefined): ExternalPskName | undefined {
    const fingerprint = externalPskFingerprintOf(psk);
    return fingerprint === undefined ? undefined : this.#psks.nameOf(fingerprint);
  }

  /** All but the PSK that was taken. */
  erase(taken?: OfferedPsk): void {
    this.#eraseShares();
    this.ech?.erase();
    this.#psks.erase(taken);
  }

  #eraseShares(): void {
    for (const share of this.#shares) {
      share.erase();
    }
    this.#shares = [];
  }

  #encode(
    transcript: Transcript,
    extra: Pick<ClientHelloExtensions, 'cookie' | 'earlyData'>,
    retried: boolean,
    withGreaseShare: boolean,
    hash?: HashName,
  ): Uint8Array {
    const common = this.#extensions(withGreaseShare);
    common.earlyData = extra.earlyData;
    common.cookie = extra.cookie;
    const { ech } = this;
    const extensions = withEch(common, ech === undefined ? this.#decoy : INNER_ECH);
    if (this.#isRejected) {
      return this.#encodeRejected(transcript, extensions);
    }
    const withPsk = this.#psks.select(this.session, hash).length > 0;
    this.offeredTypes = offeredTypes(extensions, withPsk, this.#decoy !== undefined);
    const hello = this.#hello(extensions, ech?.random ?? this.random);
    const raw = withPsk ? this.#encodeWithBinders(transcript, hello, retried) : encodeClientHello(hello);
    if (!withPsk) {
      transcript.add(raw);
    }
    if (ech === undefined) {
      return raw;
    }
    this.#outerTypes = offeredTypes(extensions, withPsk, true);
    this.#decoyPsks = withPsk ? this.#psks.decoy(this.#decoyPsks) : undefined;
    const preSharedKey = this.#decoyPsks;
    return ech.seal(raw, (extension) => {
      const outer = withEch({ ...common, serverName: ech.publicName, preSharedKey }, extension);
      return encodeClientHello(this.#hello(outer, this.random));
    });
  }

  /** The second outer hello, to a server that reads only that: with the same decoys as the first. */
  #encodeRejected(transcript: Transcript, extensions: ClientHelloExtensions): Uint8Array {
    const psks = this.#decoyPsks;
    const preSharedKey = psks && { ...psks, binders: randomBinders(this.#options.provider, psks.binders) };
    this.offeredTypes = offeredTypes(extensions, psks !== undefined, true);
    const raw = encodeClientHello(this.#hello({ ...extensions, preSharedKey }, this.random));
    transcript.add(raw);
    return raw;
  }

  #hello(extensions: ClientHelloExtensions, random: Uint8Array): ClientHello {
    return {
      legacyVersion: TLS12,
      random,
      legacySessionId: this.legacySessionId,
      cipherSuites: this.#suiteCodes(),
      compressionMethods: NO_COMPRESSION,
      extensions,
    };
  }

  #suiteCodes(): readonly number[] {
    const codes = this.#grease.list(GREASE_SUITE);
    for (const name of this.cipherSuites) {
      codes.push(cipherSuites[name].code);
    }
    for (const name of this.cipherSuites12) {
      codes.push(cipherSuites12[name].code);
    }
    return codes;
  }

  #conceal({ provider, encryptedClientHello, serverName }: ClientOptions): void {
    if (encryptedClientHello !== undefined && this.#quic !== undefined) {
      throw new TLSError('TLS_ERR_CONFIG', 'encryptedClientHello is not supported over QUIC: the name would be seen');
    }
    if (encryptedClientHello === undefined || !this.#offers('TLSv1.3')) {
      return;
    }
    if (encryptedClientHello === 'grease') {
      this.#decoy = greaseEch(provider);
      return;
    }
    if (this.#offers('TLSv1.2')) {
      throw new TLSError('TLS_ERR_CONFIG', 'encryptedClientHello needs TLS 1.3 alone: TLS 1.2 would tell the name');
    }
    this.ech = new EchOffer(provider, encryptedClientHello, serverName);
  }

  #encodeWithBinders(transcript: Transcript, hello: ClientHello, retried: boolean): Uint8Array {
    const preSharedKey = this.#psks.extension();
    const raw = encodeClientHello({ ...hello, extensions: { ...hello.extensions, preSharedKey } });
    const cut = raw.length - bindersLength(preSharedKey.binders);
    const truncated = raw.subarray(0, cut);
    transcript.add(truncated);
    // Before the first ServerHello the suite is unknown, so the transcript has no hash yet: each PSK's own is used.
    this.#psks.writeBinders(raw, (hash) =>
      retried ? transcript.digest() : this.#options.provider.hash(hash, truncated),
    );
    transcript.add(raw.subarray(cut));
    return raw;
  }

  #extensions(withGreaseShare: boolean): ReturnType<typeof helloExtensions> {
    return helloExtensions({
      offer: this,
      options: this.#options,
      grease: this.#grease,
      shares: this.#shares,
      withGreaseShare,
      quic: this.#quic,
      renegotiatedConnection: this.#renegotiatedConnection,
    });
  }

  #offers(version: ProtocolVersion): boolean {
    return this.versions.includes(version);
  }
}

// Frozen, as hosts are shown what was offered.
const ALL_SUITES = Object.freeze(Object.keys(cipherSuites) as CipherSuiteName[]);
const ECDHE_SUITES = Object.freeze(
  (Object.keys(cipherSuites12) as CipherSuite12Name[]).filter((name) => cipherSuites12[name].keyExchange === 'ecdhe'),
);
const ALL_GROUPS = Object.freeze(Object.keys(namedGroups) as NamedGroup[]);
const NO_PROTOCOLS: readonly string[] = Object.freeze([]);
const NO_COMPRESSION: readonly number[] = [0];

function joined<A, B>(first: readonly A[], then: readonly B[]): readonly (A | B)[] {
  if (then.length === 0) {
    return first;
  }
  return first.length === 0 ? then : [...first, ...then];
}

/**
 * 32 random bytes for TLS 1.3's compatibility mode, and beside a TLS 1.2 ticket, whose acceptance the server shows by
 * echoing them (RFC 5077 §3.4). A session resumed by ID gives its own.
 */
function legacySessionId(provider: CryptoProvider, session: ClientSession12 | undefined, with13: boolean): Uint8Array {
  if (session !== undefined && session.ticket.length === 0) {
    return session.sessionId;
  }
  const random = new Uint8Array(with13 || session !== undefined ? 32 : 0);
  provider.random(random);
  return random;
}

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
