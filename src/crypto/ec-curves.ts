/**
 * ECDH on P-256, P-384 and P-521 (RFC 9846 §4.3.8.2, §7.4.2).
 *
 *     struct { uint8 legacy_form = 4; opaque X[n]; opaque Y[n]; } UncompressedPointRepresentation;
 *     sharedSecret = X coordinate of the agreed point, left-padded to the field's length
 *
 * An ECDH object costs as much to make as a key, so objects are kept and get a new key each time. Making the new key
 * right after an exchange is also what erases the spent one: the generator writes over it in place.
 */

import { createECDH, type ECDH } from 'node:crypto';
import { TLSError } from '../errors.ts';
import { badKeyShare, checkShareLength, type Exchange, type RandomSource, spentKeyShare } from './exchange.ts';

export type CurveGroup = 'secp256r1' | 'secp384r1' | 'secp521r1';

interface Curve {
  readonly opensslName: string;
  /** Bytes of a coordinate, and of the shared secret. */
  readonly fieldLength: number;
  /** Keeps a random scalar within the length of the group order. */
  readonly topByteMask: number;
  readonly idle: KeyedEcdh[];
}

/** An ECDH object with a key that nobody has seen yet. */
interface KeyedEcdh {
  readonly ecdh: ECDH;
  readonly publicKey: Uint8Array;
}

const curves: Record<CurveGroup, Curve> = {
  secp256r1: { opensslName: 'prime256v1', fieldLength: 32, topByteMask: 0xff, idle: [] },
  secp384r1: { opensslName: 'secp384r1', fieldLength: 48, topByteMask: 0xff, idle: [] },
  secp521r1: { opensslName: 'secp521r1', fieldLength: 66, topByteMask: 0x01, idle: [] },
};

/** Enough for the shares that are in flight at once on a busy client; the rest is left to the collector. */
const MOST_IDLE = 16;
const UNCOMPRESSED = 4;

/** Found out once: to try costs as much as a key. */
export function supportsCurve(group: CurveGroup): boolean {
  supported[group] ??= hasCurve(group);
  return supported[group];
}

const supported: Partial<Record<CurveGroup, boolean>> = {};

function hasCurve(group: CurveGroup): boolean {
  try {
    createECDH(curves[group].opensslName);
    return true;
  } catch {
    return false;
  }
}

export class CurveExchange implements Exchange {
  readonly publicKey: Uint8Array;
  readonly #group: CurveGroup;
  #ecdh: ECDH | undefined;

  constructor(group: CurveGroup, { ecdh, publicKey }: KeyedEcdh) {
    this.#group = group;
    this.#ecdh = ecdh;
    this.publicKey = publicKey;
  }

  /** With a `random` source the private key is made from its bytes; without, by Node's generator. */
  static generate(group: CurveGroup, random?: RandomSource): CurveExchange {
    const curve = curves[group];
    if (random !== undefined) {
      return CurveExchange.#fromRandom(group, random);
    }
    return new CurveExchange(group, curve.idle.pop() ?? withFreshKey(createECDH(curve.opensslName)));
  }

  /**
   * Takes the private key over and erases it.
   * @throws TLSError `TLS_ERR_INTERNAL` when it is 0 or not below the group order
   */
  static fromScalar(group: CurveGroup, scalar: Uint8Array): CurveExchange {
    const ecdh = createECDH(curves[group].opensslName);
    try {
      ecdh.setPrivateKey(scalar);
    } catch (error) {
      throw new TLSError('TLS_ERR_INTERNAL', `the scalar is not a private key of ${group}`, { cause: error });
    } finally {
      scalar.fill(0);
    }
    return new CurveExchange(group, { ecdh, publicKey: ecdh.getPublicKey() });
  }

  static #fromRandom(group: CurveGroup, random: RandomSource): CurveExchange {
    const curve = curves[group];
    const scalar = new Uint8Array(new ArrayBuffer(curve.fieldLength));
    // A random scalar fails once in 2^32 for P-256 and more rarely elsewhere: a second failure is a broken source.
    for (let attempt = 0; ; attempt++) {
      random(scalar);
      scalar[0] &= curve.topByteMask;
      try {
        return CurveExchange.fromScalar(group, scalar);
      } catch (error) {
        if (attempt > 8) {
          throw error;
        }
      }
    }
  }

  agree(peer: Uint8Array): Uint8Array {
    const group = this.#group;
    const ecdh = this.#ecdh;
    if (ecdh === undefined) {
      throw spentKeyShare(group);
    }
    try {
      checkShareLength(group, peer, 1 + 2 * curves[group].fieldLength);
      if (peer[0] !== UNCOMPRESSED) {
        throw badKeyShare(group, `has point format ${peer[0]} where ${UNCOMPRESSED} (uncompressed) was expected`);
      }
      return computeSecret(group, ecdh, peer);
    } finally {
      this.erase();
    }
  }

  erase(): void {
    const ecdh = this.#ecdh;
    if (ecdh === undefined) {
      return;
    }
    this.#ecdh = undefined;
    const next = withFreshKey(ecdh);
    const { idle } = curves[this.#group];
    if (idle.length < MOST_IDLE) {
      idle.push(next);
    }
  }
}

/** `generateKeys` hands out the public key that `getPublicKey` would take 5 microseconds to encode again. */
function withFreshKey(ecdh: ECDH): KeyedEcdh {
  return { publicKey: ecdh.generateKeys(), ecdh };
}

function computeSecret(group: CurveGroup, ecdh: ECDH, peer: Uint8Array): Uint8Array {
  try {
    return ecdh.computeSecret(peer);
  } catch (error) {
    throw badKeyShare(group, 'is not a point on the curve', error);
  }
}
