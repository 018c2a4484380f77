/**
 * ServerKeyExchange: the server's ephemeral public key, signed together with both randoms.
 *
 *     ECDHE:  struct { ECCurveType curve_type = named_curve(3); NamedCurve namedcurve; opaque point<1..2^8-1>; }
 *     DHE:    struct { opaque dh_p<1..2^16-1>; opaque dh_g<1..2^16-1>; opaque dh_Ys<1..2^16-1>; }
 *     struct { params; SignatureAndHashAlgorithm algorithm; opaque signature<0..2^16-1>; } ServerKeyExchange;
 *     signed = client_random[32] ‖ server_random[32] ‖ params
 *
 * RFC 5246 §7.4.3, §4.7; RFC 8422 §5.4; RFC 7919 §3. `algorithm` has the code points of SignatureScheme.
 */

import { concat } from '../../bytes/bytes.ts';
import { Reader } from '../../bytes/reader.ts';
import { Writer } from '../../bytes/writer.ts';
import { TLSError } from '../../errors.ts';
import { copyOf } from '../fields.ts';
import { finishMessage, startMessage } from '../handshake-message.ts';

export interface EcdheParams {
  readonly kind: 'ecdhe';
  /** Whether it was offered, and whether the point lies on it, is for others to check. */
  readonly group: number;
  readonly publicKey: Uint8Array;
}

export interface DheParams {
  readonly kind: 'dhe';
  /** Big-endian, without leading zeros: 256 to 1024 bytes. Whether it is a prime of RFC 7919 is for others to check. */
  readonly prime: Uint8Array;
  /** Big-endian, without leading zeros. */
  readonly generator: Uint8Array;
  /** As it was sent: may be padded with zeros up to the length of the prime. */
  readonly publicKey: Uint8Array;
}

export interface ServerKeyExchange {
  readonly params: EcdheParams | DheParams;
  /** The parameters exactly as they are signed. */
  readonly rawParams: Uint8Array;
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** The parameters alone: what is signed, and the first part of the message. */
export function encodeServerKeyExchangeParams(params: EcdheParams | DheParams): Uint8Array {
  if (params.kind === 'ecdhe') {
    const writer = new Writer(4 + params.publicKey.length);
    return writer.u8(NAMED_CURVE).u16(params.group).vector8(params.publicKey).finish();
  }
  const { prime, generator, publicKey } = params;
  const writer = new Writer(6 + prime.length + generator.length + publicKey.length);
  return writer.vector16(prime).vector16(generator).vector16(publicKey).finish();
}

/** The whole handshake message. */
export function encodeServerKeyExchange(message: Omit<ServerKeyExchange, 'params'>): Uint8Array {
  const { rawParams, scheme, signature } = message;
  const writer = startMessage('server_key_exchange', rawParams.length + 4 + signature.length);
  return finishMessage(writer.bytes(rawParams).u16(scheme).vector16(signature));
}

/**
 * @throws TLSError `TLS_ERR_DECODE`; `TLS_ERR_ILLEGAL_PARAMETER` for explicit curves and for Diffie-Hellman numbers that no
 * safe group has
 */
export function decodeServerKeyExchange(body: Uint8Array, kind: 'ecdhe' | 'dhe'): ServerKeyExchange {
  const reader = new Reader(body, 'ServerKeyExchange');
  const params = kind === 'ecdhe' ? readEcdheParams(reader) : readDheParams(reader);
  const rawParams = copyOf(body.subarray(0, reader.offset));
  const scheme = reader.u16('algorithm');
  const signature = copyOf(reader.vector16('signature'));
  reader.end();
  return { params, rawParams, scheme, signature };
}

/**
 * What the signature covers: both randoms, so that it cannot be replayed into another handshake. It does not cover the
 * suite: a client must only read the parameters as the kind that the negotiated suite says (the cross-protocol attack that
 * reads signed ECDHE parameters as DHE ones).
 */
export function serverKeyExchangeContent(
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
  rawParams: Uint8Array,
): Uint8Array {
  return concat(clientRandom, serverRandom, rawParams);
}

function readEcdheParams(reader: Reader): EcdheParams {
  const curveType = reader.u8('curve_type');
  if (curveType !== NAMED_CURVE) {
    // The server would choose the curve's equation, and with it how hard our secret is to find (RFC 8422 §5.4).
    throw illegal(`curve_type is ${curveType}, only named_curve(3) is allowed`);
  }
  const group = reader.u16('namedcurve');
  return { kind: 'ecdhe', group, publicKey: copyOf(reader.vector8('point', 1)) };
}

function readDheParams(reader: Reader): DheParams {
  const prime = positiveNumber(reader, 'dh_p', MAX_PRIME_LENGTH);
  if (prime.length < MIN_PRIME_LENGTH || (prime[prime.length - 1] & 1) === 0) {
    throw illegal(`dh_p has ${prime.length} bytes, expected an odd number of at least ${MIN_PRIME_LENGTH}`);
  }
  const generator = positiveNumber(reader, 'dh_g', prime.length);
  if (generator.length === 1 && generator[0] === 1) {
    throw illegal('dh_g is 1, which makes every shared secret 1');
  }
  const publicKey = copyOf(reader.vector16('dh_Ys', 1));
  if (publicKey.length > prime.length) {
    throw illegal(`dh_Ys has ${publicKey.length} bytes, more than the ${prime.length} of dh_p`);
  }
  return { kind: 'dhe', prime, generator, publicKey };
}

/** A number of at most `max` bytes; one leading zero byte, as encoders of signed integers write it, is dropped. */
function positiveNumber(reader: Reader, field: string, max: number): Uint8Array {
  const sent = reader.vector16(field, 1);
  const number = sent[0] === 0 ? sent.subarray(1) : sent;
  if (number.length === 0 || number[0] === 0) {
    throw illegal(`${field} is 0 or has more than one leading zero byte`);
  }
  if (number.length > max) {
    throw illegal(`${field} has ${number.length} bytes, at most ${max} are allowed`);
  }
  return copyOf(number);
}

function illegal(detail: string): TLSError {
  return new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `ServerKeyExchange: ${detail}`);
}

const NAMED_CURVE = 3;
/** Logjam: in groups of 512 bits, and for a state of 1024, logarithms are found while the handshake waits. */
const MIN_PRIME_LENGTH = 256;
/** An exponentiation takes time with the cube of the length: a server's 65,535-byte prime would hold the client for minutes. */
const MAX_PRIME_LENGTH = 1024;
