/**
 * Protection of QUIC packets: one object per direction and generation, which holds its keys, counts their uses, and never
 * protects two packets under one packet number.
 *
 *     nonce     = iv XOR packet number (64 bits, right-aligned)
 *     payload'  = AEAD(key, nonce, associated data = header, payload)
 *     sample    = 16 bytes of payload', four bytes after the packet number's beginning
 *     header'   = header XOR mask(hp, sample): low 4 (long) or 5 (short) bits of the first byte, and the packet number
 *
 * RFC 9001 §5.3, §5.4, §6.6; RFC 9000 §17.1, Appendix A.3.
 */

import type { Secret } from '../bytes/secret.ts';
import type { AeadKey, CryptoProvider, HeaderProtectionKey } from '../crypto/provider.ts';
import type { AeadName, CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { nextQuicSecret, type QuicVersion, quicKeys } from './quic.ts';

export interface QuicPacketProtectionOptions {
  readonly provider: CryptoProvider;
  readonly suite: CipherSuite;
  /** Lent: from a `secrets` action, or from `quicInitialSecrets`. */
  readonly secret: Secret;
  readonly version?: QuicVersion;
  /** Packets that one key may protect; lowers the cipher's own limit (RFC 9001 §6.6). */
  readonly usageLimit?: number;
  /** Forgeries that are borne with; lowers the cipher's own limit. */
  readonly forgeryLimit?: number;
}

export interface OpenedPacket {
  readonly packetNumber: number;
  /** Without protection. Its reserved bits are for the caller to check (RFC 9000 §17.2, §17.3.1). */
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

export class QuicPacketProtection {
  readonly #options: QuicPacketProtectionOptions;
  readonly #secret: Secret;
  readonly #aead: AeadKey;
  readonly #iv: Secret;
  readonly #hp: Secret;
  readonly #headerKey: HeaderProtectionKey;
  readonly #nonce: Uint8Array = new Uint8Array(new ArrayBuffer(12));
  #largest = -1;
  #sealed = 0;
  #failed = 0;

  constructor(options: QuicPacketProtectionOptions, hp?: Secret) {
    const { provider, suite, version } = options;
    this.#options = options;
    this.#secret = options.secret.clone();
    const keys = quicKeys(provider, suite, this.#secret, version);
    if (hp !== undefined) {
      keys.hp.erase('the first generation has it');
    }
    this.#hp = hp ?? keys.hp;
    this.#iv = keys.iv;
    this.#aead = provider.aead(suite.aead, keys.key.expose(), keys.key);
    keys.key.erase('handed to the packet protection');
    this.#headerKey = provider.headerProtection(suite.aead, this.#hp.expose(), this.#hp);
  }

  /** Packets that may still be sealed: update the keys in good time. */
  get remaining(): number {
    const { suite, usageLimit = Number.POSITIVE_INFINITY } = this.#options;
    return Math.min(usageLimit, confidentialityLimits[suite.aead]) - this.#sealed;
  }

  /**
   * The whole protected packet. `header` is everything up to and with the packet number, whose length its first byte gives;
   * a long header's Length must count the 16 bytes that the payload grows by.
   * @throws TLSError `TLS_ERR_USAGE_LIMIT` the key has protected as many packets as it may; `TLS_ERR_WRONG_STATE` the
   * packet number is not larger than all before; `TLS_ERR_CONFIG` too short to be sampled: pad it (RFC 9001 §5.4.2)
   */
  seal(packetNumber: number, header: Uint8Array, payload: Uint8Array): Uint8Array {
    const length = packetNumberLength(header[0]);
    if (length + payload.length < MIN_SAMPLED || header.length <= length) {
      throw new TLSError('TLS_ERR_CONFIG', `packet number and payload have less than ${MIN_SAMPLED} bytes: pad them`);
    }
    if (!Number.isSafeInteger(packetNumber) || packetNumber <= this.#largest) {
      throw new TLSError('TLS_ERR_WRONG_STATE', `packet number ${packetNumber} does not follow ${this.#largest}`);
    }
    if (this.remaining <= 0) {
      throw new TLSError('TLS_ERR_USAGE_LIMIT', `the key has protected its ${this.#sealed} packets`);
    }
    this.#largest = packetNumber;
    this.#sealed += 1;
    const packet = new Uint8Array(header.length + payload.length + TAG_LENGTH);
    packet.set(header);
    this.#aead.seal(this.#nonceFor(packetNumber), header, payload, packet, header.length);
    const numberAt = header.length - length;
    this.#mask(packet, numberAt, length, packet);
    return packet;
  }

  /**
   * Opens a packet whose packet number begins at `numberAt`, or gives undefined for one that is not authentic, which is to be
   * dropped (RFC 9001 §5.5). `largest`: the largest packet number that was opened in this space, -1 for none.
   * @throws TLSError `TLS_ERR_PEER_USAGE_LIMIT` more forgeries than the cipher may see: the connection ends (RFC 9001 §6.6)
   */
  open(packet: Uint8Array, numberAt: number, largest: number): OpenedPacket | undefined {
    if (packet.length < numberAt + MIN_SAMPLED + TAG_LENGTH) {
      return undefined;
    }
    const header = new Uint8Array(packet.subarray(0, numberAt + MIN_SAMPLED));
    // The first byte is unmasked first: it says how long the packet number is.
    const length = this.#mask(header, numberAt, 0, packet);
    const end = numberAt + length;
    let truncated = 0;
    for (let at = numberAt; at < end; at++) {
      truncated = truncated * 256 + header[at];
    }
    const packetNumber = decodePacketNumber(truncated, length, largest);
    const unprotected = header.subarray(0, end);
    const payload = this.#aead.open(this.#nonceFor(packetNumber), unprotected, packet.subarray(end));
    if (payload !== undefined) {
      return { packetNumber, header: unprotected, payload };
    }
    this.#failed += 1;
    const { suite, forgeryLimit = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#failed >= Math.min(forgeryLimit, integrityLimits[suite.aead])) {
      throw new TLSError('TLS_ERR_PEER_USAGE_LIMIT', `${this.#failed} packets of the connection were forged`);
    }
    return undefined;
  }

  /**
   * The next generation (RFC 9001 §6.1), with the same header protection. This one can be used until it is erased: packets
   * overtake one another. `packetNumber`s go on from it.
   */
  next(): QuicPacketProtection {
    const { provider, suite, version } = this.#options;
    const secret = nextQuicSecret(provider, suite, this.#secret, version);
    const next = new QuicPacketProtection({ ...this.#options, secret }, this.#hp.clone());
    secret.erase();
    next.#largest = this.#largest;
    next.#failed = this.#failed;
    return next;
  }

  erase(why = 'discarded'): void {
    this.#secret.erase(why);
    this.#aead.erase(why);
    this.#iv.erase(why);
    this.#hp.erase(why);
    this.#headerKey.erase(why);
    this.#nonce.fill(0);
  }

  #nonceFor(packetNumber: number): Uint8Array {
    const nonce = this.#nonce;
    nonce.set(this.#iv.expose());
    let rest = packetNumber;
    for (let at = nonce.length - 1; rest > 0; at--) {
      nonce[at] ^= rest % 256;
      rest = Math.floor(rest / 256);
    }
    return nonce;
  }

  /** Masks or unmasks the header in place; `length` 0 takes the packet number's length from the unmasked first byte. */
  #mask(header: Uint8Array, numberAt: number, length: number, packet: Uint8Array): number {
    const sampleAt = numberAt + MIN_SAMPLED;
    const mask = this.#headerKey.mask(packet.subarray(sampleAt, sampleAt + SAMPLE_LENGTH));
    header[0] ^= mask[0] & ((header[0] & 0x80) === 0 ? 0x1f : 0x0f);
    const masked = length === 0 ? packetNumberLength(header[0]) : length;
    for (let i = 0; i < masked; i++) {
      header[numberAt + i] ^= mask[1 + i];
    }
    return masked;
  }
}

/** The packet number nearest to the one expected next that ends in these bits (RFC 9000 Appendix A.3). */
export function decodePacketNumber(truncated: number, length: number, largest: number): number {
  const expected = largest + 1;
  const window = 256 ** length;
  const candidate = expected - (expected % window) + truncated;
  if (candidate <= expected - window / 2 && candidate < MAX_PACKET_NUMBER - window) {
    return candidate + window;
  }
  return candidate > expected + window / 2 && candidate >= window ? candidate - window : candidate;
}

function packetNumberLength(firstByte: number): number {
  return (firstByte & 0x03) + 1;
}

/** Bytes. */
const TAG_LENGTH = 16;
const SAMPLE_LENGTH = 16;
/** The sample begins where a packet number of the greatest length would end. */
const MIN_SAMPLED = 4;
/** A receiver's arithmetic stays exact; at a million packets a second it would take 285 years to get there. */
const MAX_PACKET_NUMBER = 2 ** 53 - 1;

/** Packets under one key (RFC 9001 §6.6). For ChaCha20-Poly1305 it is beyond the packet numbers. */
export const confidentialityLimits: Readonly<Record<AeadName, number>> = {
  'aes-128-gcm': 2 ** 23,
  'aes-256-gcm': 2 ** 23,
  'chacha20-poly1305': MAX_PACKET_NUMBER,
};

/** Forgeries in one connection, whatever the generation of the key (RFC 9001 §6.6). */
export const integrityLimits: Readonly<Record<AeadName, number>> = {
  'aes-128-gcm': 2 ** 52,
  'aes-256-gcm': 2 ** 52,
  'chacha20-poly1305': 2 ** 36,
};
