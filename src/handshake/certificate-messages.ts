/**
 * Certificate messages of TLS 1.3 on their way out and in: with what is stapled to the leaf, and compressed where both
 * sides like.
 *
 *     Certificate = leaf [status_request, signed_certificate_timestamp], issuers
 *     CompressedCertificate = algorithm, length, compress(the body of that)
 *
 * RFC 9846 §4.5.1; RFC 6066 §8; RFC 6962 §3.3; RFC 8879 §4.
 */

import type { Need } from '../actions.ts';
import { EMPTY, sameBytes } from '../bytes/bytes.ts';
import type { Credential } from '../connection-options.ts';
import type { CertificateCompression, CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { encodeCertificate } from '../messages/certificate.ts';
import {
  compressionByCode,
  compressionCodes,
  decodeCompressedCertificate,
  encodeCompressedCertificate,
} from '../messages/compressed-certificate.ts';
import { HANDSHAKE_HEADER_LENGTH } from '../messages/handshake-message.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { encodeTimestamps } from '../messages/signed-certificate-timestamps.ts';
import { encodeStatusExtension } from '../messages/status-request.ts';
import type { ClientHandshake } from './client.ts';

export interface CertificateMessageOptions {
  readonly provider: CryptoProvider;
  /** Absent: none fits, and an empty list says so. */
  readonly credential: Credential | undefined;
  /** Empty within the handshake. */
  readonly requestContext: Uint8Array;
  /** To staple to the leaf; absent for none. */
  readonly ocspResponse?: Uint8Array;
  /** The peer wants the credential's timestamps. */
  readonly withTimestamps?: boolean;
  /** What we may use, best first. */
  readonly compressions: readonly CertificateCompression[];
  /** Codes of what the peer takes. */
  readonly accepted: readonly number[] | undefined;
}

export interface MadeCertificateMessage {
  readonly message: Uint8Array;
  /** Undefined when it is a plain Certificate. */
  readonly compression: CertificateCompression | undefined;
}

/** The whole handshake message. It is the same in many handshakes, so it is made once per credential and wish of the peer. */
export function certificateMessage(options: CertificateMessageOptions): MadeCertificateMessage {
  const { credential, requestContext, accepted } = options;
  const compression = options.compressions.find((name) => accepted?.includes(compressionCodes[name]) === true);
  if (credential === undefined || requestContext.length > 0) {
    return make(options, compression);
  }
  const made = madeMessages.get(credential) ?? [];
  madeMessages.set(credential, made);
  const known = made.find(
    (entry) =>
      entry.asked === compression &&
      entry.withTimestamps === (options.withTimestamps === true) &&
      sameResponse(entry.ocspResponse, options.ocspResponse),
  );
  if (known !== undefined) {
    return known;
  }
  const entry: CachedMessage = {
    ...make(options, compression),
    asked: compression,
    withTimestamps: options.withTimestamps === true,
    ocspResponse: options.ocspResponse,
  };
  made.push(entry);
  if (made.length > MAX_CACHED) {
    made.shift();
  }
  return entry;
}

/** `all` where the host says nothing. */
export function compressionsOf(
  provider: CryptoProvider,
  given: readonly CertificateCompression[] | undefined,
): readonly CertificateCompression[] {
  return given ?? provider.certificateCompressions;
}

/** For compress_certificate; undefined for an empty list, which the extension does not have. */
export function acceptedCodes(given: readonly CertificateCompression[] | undefined): readonly number[] | undefined {
  return given === undefined || given.length === 0 ? undefined : given.map((name) => compressionCodes[name]);
}

/**
 * The body of the Certificate message in a CompressedCertificate.
 * @throws TLSError `TLS_ERR_UNEXPECTED_MESSAGE` none was accepted: `message` is not looked at, and may be missing;
 * `TLS_ERR_DECODE`, `TLS_ERR_ILLEGAL_PARAMETER`, `TLS_ERR_DECOMPRESSION`
 */
export function unfoldCertificate(
  provider: CryptoProvider,
  message: JoinedMessage,
  accepted: readonly CertificateCompression[] = [],
): { readonly body: Uint8Array; readonly compression: CertificateCompression } {
  if (accepted.length === 0) {
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'a compressed certificate came, and none was asked for');
  }
  const { algorithm, uncompressedLength, compressed } = decodeCompressedCertificate(message.body);
  const compression = compressionByCode(algorithm);
  if (compression === undefined || !accepted.includes(compression)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `a certificate is compressed with algorithm ${algorithm}, which was not offered`,
    );
  }
  if (uncompressedLength > MAX_UNCOMPRESSED) {
    throw new TLSError(
      'TLS_ERR_DECOMPRESSION',
      `a compressed certificate unfolds to ${uncompressedLength} bytes, more than ${MAX_UNCOMPRESSED}`,
    );
  }
  const body = provider.decompress(compression, compressed, uncompressedLength);
  if (body === undefined) {
    throw new TLSError(
      'TLS_ERR_DECOMPRESSION',
      `a certificate compressed with ${compression} does not unfold to the ${uncompressedLength} bytes that it says`,
    );
  }
  return { body, compression };
}

/** On the server's chain, with what came beside it. */
export function askForVerdict(hs: ClientHandshake): void {
  const { ocspResponse, signedCertificateTimestamps } = hs;
  const need: Need = {
    kind: 'verifyCertificate',
    chain: hs.peerCertificates,
    serverName: hs.offer.serverName,
    ocspResponse,
    signedCertificateTimestamps,
  };
  hs.host.ask(need);
}

interface CachedMessage extends MadeCertificateMessage {
  readonly asked: CertificateCompression | undefined;
  readonly withTimestamps: boolean;
  readonly ocspResponse: Uint8Array | undefined;
}

const madeMessages = new WeakMap<Credential, CachedMessage[]>();

function make(
  options: CertificateMessageOptions,
  compression: CertificateCompression | undefined,
): MadeCertificateMessage {
  const { provider, credential, requestContext, ocspResponse } = options;
  const timestamps = options.withTimestamps === true ? (credential?.signedCertificateTimestamps ?? []) : [];
  const chain = credential?.certificateChain ?? [];
  const message = encodeCertificate({
    requestContext,
    entries: chain.map((certificate, i) => ({
      certificate,
      extensions:
        i > 0
          ? {}
          : {
              statusRequest: ocspResponse === undefined ? undefined : encodeStatusExtension(ocspResponse),
              signedCertificateTimestamps: timestamps.length === 0 ? undefined : encodeTimestamps(timestamps),
            },
    })),
  });
  if (compression === undefined) {
    return { message: kept(message), compression: undefined };
  }
  const body = message.subarray(HANDSHAKE_HEADER_LENGTH);
  const folded = encodeCompressedCertificate({
    algorithm: compressionCodes[compression],
    uncompressedLength: body.length,
    compressed: provider.compress(compression, body),
  });
  return folded.length < message.length
    ? { message: kept(folded), compression }
    : { message: kept(message), compression: undefined };
}

/** On memory of its own, as it lives as long as the credential. */
function kept(message: Uint8Array): Uint8Array {
  return new Uint8Array(message);
}

function sameResponse(a: Uint8Array = EMPTY, b: Uint8Array = EMPTY): boolean {
  return a === b || sameBytes(a, b);
}

/** Bytes, as for a plain Certificate: a bomb is refused by what it says of itself, before memory is taken for it. */
const MAX_UNCOMPRESSED = 100 * 1024;
/** Per credential: wishes of peers are few, but a host may give another OCSP response each time. */
const MAX_CACHED = 8;
