/**
 * Encrypted Client Hello at the client: a hello for the server that is meant, encrypted inside one for the name that
 * everybody may see. Which of the two the server answers is told by eight bytes of its random, for those who know the
 * inner one.
 *
 *     payload      = HPKE.Seal(pkR, info = "tls ech" ‖ 0 ‖ ECHConfig, aad = ClientHelloOuter with a payload of zeros,
 *                              EncodedClientHelloInner ‖ padding)
 *     confirmation = HKDF-Expand-Label(HKDF-Extract(0, ClientHelloInner.random), "ech accept confirmation",
 *                                      transcript up to ServerHello with 8 zeros at the end of its random, 8)
 *
 * The second hello is sealed by the same HPKE context. RFC 9849 §5, §6.1, §7.2.
 */

import { concat, EMPTY, utf8 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { AeadName, HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { expandLabel, hashLength, hkdfExtract, PreparedLabel } from '../keys/hkdf.ts';
import { HpkeSender } from '../keys/hpke.ts';
import { extensionTypes } from '../messages/code-points.ts';
import {
  decodeEchConfigList,
  type EchCipherSuite,
  type EchConfig,
  encodeOuterEch,
  HPKE_KDF_SHA256,
  HPKE_KEM_X25519,
} from '../messages/encrypted-client-hello.ts';
import { Transcript } from './transcript.ts';

export class EchOffer {
  /** Of the inner hello. */
  readonly random: Uint8Array = new Uint8Array(32);
  /** The name in the outer hello, which is who answers when the encryption is not accepted. */
  readonly publicName: string;
  /** What the outer hello is hashed into, for the case that it is the one that is answered. */
  readonly outerTranscript: Transcript;
  readonly #provider: CryptoProvider;
  readonly #config: EchConfig;
  readonly #cipherSuite: EchCipherSuite;
  readonly #sender: HpkeSender;
  readonly #serverName: string;
  #extension: Uint8Array = EMPTY;
  #isFirst = true;

  /**
   * @param configList what the server published
   * @param serverName the name that is encrypted
   * @throws TLSError `TLS_ERR_DECODE`, `TLS_ERR_CONFIG` nothing in it that we can use, `TLS_ERR_BAD_KEY_SHARE`
   */
  constructor(provider: CryptoProvider, configList: Uint8Array, serverName: string) {
    const usable = decodeEchConfigList(configList)
      .map((config) => ({ config, cipherSuite: chooseSuite(config) }))
      .find(({ cipherSuite }) => cipherSuite !== undefined);
    if (usable?.cipherSuite === undefined) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        'encryptedClientHello: there is no configuration with DHKEM(X25519), HKDF-SHA256 and an AEAD that is known here',
      );
    }
    this.#provider = provider;
    this.#config = usable.config;
    this.#cipherSuite = usable.cipherSuite;
    this.#serverName = serverName;
    this.publicName = usable.config.publicName;
    this.outerTranscript = new Transcript(provider);
    provider.random(this.random);
    const aead = AEADS[usable.cipherSuite.aead];
    const info = concat(INFO, usable.config.raw);
    this.#sender = new HpkeSender({ provider, suite: { kem: 'x25519', aead }, info }, usable.config.publicKey);
  }

  /**
   * The outer hello around the inner one. `encodeOuter` encodes it with this extension_data. Both are whole handshake
   * messages.
   */
  seal(inner: Uint8Array, encodeOuter: (extension: Uint8Array) => Uint8Array): Uint8Array {
    const plaintext = this.#pad(encodeInner(inner));
    const length = plaintext.length + TAG_LENGTH;
    const outer = {
      cipherSuite: this.#cipherSuite,
      configId: this.#config.configId,
      encapsulation: this.#isFirst ? this.#sender.encapsulation : EMPTY,
    };
    const hello = encodeOuter(encodeOuterEch({ ...outer, payload: new Uint8Array(length) }));
    const payload = this.#sender.seal(hello.subarray(MESSAGE_HEADER), plaintext);
    plaintext.fill(0);
    hello.set(payload, endOfExtension(hello) - length);
    this.#extension = encodeOuterEch({ ...outer, payload });
    this.#isFirst = false;
    this.outerTranscript.add(hello);
    return hello;
  }

  /** extension_data of the first hello: repeated in the second one when the server has refused it. */
  get extension(): Uint8Array {
    return this.#extension;
  }

  /** Whether these 8 bytes of a ServerHello are for the inner hello. `transcript` is the inner one before it. */
  isAccepted(hash: HashName, transcript: Transcript, raw: Uint8Array): boolean {
    const expected = this.#confirmation(hash, ACCEPT, transcript.fork(), withZeros(raw, RANDOM_END - CONFIRMATION));
    return this.#provider.equal(raw.subarray(RANDOM_END - CONFIRMATION, RANDOM_END), expected);
  }

  /** The same of a HelloRetryRequest, by its extension. `transcript` has its hash, and is the inner one before it. */
  isAcceptedByRetry(
    hash: HashName,
    transcript: Transcript,
    raw: Uint8Array,
    confirmation: Uint8Array | undefined,
  ): boolean {
    if (confirmation === undefined) {
      return false;
    }
    const at = Buffer.from(raw.buffer, raw.byteOffset, raw.length).indexOf(
      concat(Uint8Array.of(0xfe, 0x0d, 0, CONFIRMATION), confirmation),
    );
    const fork = transcript.fork();
    fork.replaceWithMessageHash();
    const expected = this.#confirmation(hash, RETRY_ACCEPT, fork, withZeros(raw, at + 4));
    return this.#provider.equal(confirmation, expected);
  }

  erase(): void {
    this.#sender.erase();
  }

  #confirmation(hash: HashName, label: PreparedLabel, transcript: Transcript, message: Uint8Array): Uint8Array {
    transcript.add(message);
    const zeros = new Uint8Array(hashLength(hash));
    const secret = hkdfExtract(this.#provider, hash, zeros, this.random, 'echSecret');
    const made = expandLabel(this.#provider, hash, secret, label, transcript.digest(), CONFIRMATION, 'echConfirmation');
    const bytes = new Uint8Array(made.expose());
    made.erase();
    secret.erase();
    return bytes;
  }

  /** So that the length tells next to nothing of the name (RFC 9849 §6.1.3). */
  #pad(encoded: Uint8Array): Uint8Array {
    const { maximumNameLength } = this.#config;
    const nameLength = utf8(this.#serverName).length;
    const forName = nameLength === 0 ? maximumNameLength + 9 : Math.max(0, maximumNameLength - nameLength);
    const toMultiple = 31 - ((encoded.length + forName - 1) % 32);
    const padded = new Uint8Array(encoded.length + forName + toMultiple);
    padded.set(encoded);
    return padded;
  }
}

/** An extension that looks like one with a hello inside, and has none (RFC 9849 §6.2). */
export function greaseEch(provider: CryptoProvider): Uint8Array {
  const choice = new Uint8Array(2);
  provider.random(choice);
  const [configId, steps] = choice;
  // Bytes that are no public key would tell.
  const share = provider.generateKeyShare('x25519');
  const encapsulation = new Uint8Array(share.publicKey);
  share.erase();
  // As long as a hello to a name of some length would be.
  const payload = new Uint8Array(LEAST_GREASE + 32 * (steps % GREASE_STEPS) + TAG_LENGTH);
  provider.random(payload);
  return encodeOuterEch({ cipherSuite: { kdf: HPKE_KDF_SHA256, aead: 0x0001 }, configId, encapsulation, payload });
}

/**
 * EncodedClientHelloInner without its padding: no session ID, and for all extensions that stand in both hellos a reference to
 * the outer one (RFC 9849 §5.1). They come in one row: what differs is the first and the last.
 */
function encodeInner(hello: Uint8Array): Uint8Array {
  const reader = new Reader(hello, 'ClientHelloInner', MESSAGE_HEADER);
  const writer = new Writer(hello.length);
  writer.bytes(reader.bytes(2 + 32, 'legacy_version, random'));
  reader.vector8('legacy_session_id');
  writer.vector8(EMPTY);
  writer.vector16(reader.vector16('cipher_suites')).vector8(reader.vector8('legacy_compression_methods'));
  const block = writer.open(2);
  const extensions = reader.nested16('extensions');
  const shared: number[] = [];
  while (extensions.remaining > 0) {
    const type = extensions.u16('type');
    const data = extensions.vector16('data');
    if (!INNER_ONLY.includes(type)) {
      shared.push(type);
      continue;
    }
    if (type === extensionTypes.encrypted_client_hello) {
      writer
        .u16(ECH_OUTER_EXTENSIONS)
        .u16(1 + 2 * shared.length)
        .u8(2 * shared.length);
      for (const reference of shared) {
        writer.u16(reference);
      }
    }
    writer.u16(type).vector16(data);
  }
  return writer.close(block, 2).finish();
}

/** Where the extension ends that has the payload at its end: a GREASE PSK may stand behind it. */
function endOfExtension(hello: Uint8Array): number {
  const reader = new Reader(hello, 'ClientHelloOuter', MESSAGE_HEADER);
  reader.bytes(2 + 32, 'legacy_version, random');
  reader.vector8('legacy_session_id');
  reader.vector16('cipher_suites');
  reader.vector8('legacy_compression_methods');
  const extensions = reader.nested16('extensions');
  let type: number;
  do {
    type = extensions.u16('type');
    extensions.vector16('data');
  } while (type !== extensionTypes.encrypted_client_hello);
  return hello.length - extensions.remaining;
}

function chooseSuite(config: EchConfig): EchCipherSuite | undefined {
  const isUsable = config.kem === HPKE_KEM_X25519 && !config.hasMandatoryExtension && isHostName(config.publicName);
  return isUsable
    ? config.cipherSuites.find(({ kdf, aead }) => kdf === HPKE_KDF_SHA256 && AEADS[aead] !== undefined)
    : undefined;
}

/** It stands in for the server: what is no host name, or looks like an address, must not (RFC 9849 §4, RFC 5890 §2.3.1). */
function isHostName(name: string): boolean {
  const labels = name.split('.');
  const isPlain = labels.every((label) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label));
  return isPlain && !/^(?:\d+|0[xX][0-9a-fA-F]*)$/.test(labels[labels.length - 1]);
}

function withZeros(raw: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(raw);
  copy.fill(0, at, at + CONFIRMATION);
  return copy;
}

const AEADS: Readonly<Record<number, AeadName>> = { 1: 'aes-128-gcm', 2: 'aes-256-gcm', 3: 'chacha20-poly1305' };
const ACCEPT = new PreparedLabel('ech accept confirmation');
const RETRY_ACCEPT = new PreparedLabel('hrr ech accept confirmation');
const INFO = concat(utf8('tls ech'), Uint8Array.of(0));
const ECH_OUTER_EXTENSIONS = 0xfd00;
const MESSAGE_HEADER = 4;
/** Within a ServerHello with its header: type and length, legacy_version, random. */
const RANDOM_END = MESSAGE_HEADER + 2 + 32;
const CONFIRMATION = 8;
const TAG_LENGTH = 16;
/** Bytes, a multiple of 32. */
const LEAST_GREASE = 128;
const GREASE_STEPS = 4;
/** What is not the same in both hellos. */
const INNER_ONLY: readonly number[] = [
  extensionTypes.server_name,
  extensionTypes.encrypted_client_hello,
  extensionTypes.pre_shared_key,
];
