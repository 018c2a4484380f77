/**
 * Finds x25519 private keys of which nothing is known but the public key: whatever has the shape of one is tried.
 *
 *     32 bytes, aligned to 8, the lowest three bits 0 and the highest two 01 (RFC 7748 §5): OpenSSL keeps them so
 */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { exportRawPublic, hasRawPublicKeys } from '../../src/crypto/capabilities.ts';
import type { Examiner } from './examiner.ts';

export interface Hunt {
  /** How many of the public keys' private keys were found. */
  readonly found: number;
  /** Places in memory that had the shape of one. */
  readonly tried: number;
}

const LENGTH = 32;
const ALIGNMENT = 8;
/** 32 random bytes nearly never have fewer different ones; most of what else lies in memory does. */
const LEAST_DIFFERENT = 22;
const ANY = Buffer.alloc(LENGTH).toString('base64url');

export function huntPrivateKeys(examiner: Examiner, publicKeys: Iterable<Uint8Array>): Hunt {
  const wanted = new Set([...publicKeys].map((key) => Buffer.from(key).toString('hex')));
  const found = new Set<string>();
  const tried = new Set<string>();
  examiner.lookAtMemory(LENGTH, (block) => {
    for (let at = 0; at + LENGTH <= block.length; at += ALIGNMENT) {
      if ((block[at] & 7) === 0 && (block[at + 31] & 0xc0) === 0x40 && looksRandom(block, at)) {
        const candidate = block.subarray(at, at + LENGTH);
        const name = candidate.toString('latin1');
        if (!tried.has(name)) {
          tried.add(name);
          const publicKey = publicKeyOf(candidate);
          if (wanted.has(publicKey)) {
            found.add(publicKey);
          }
        }
      }
    }
  });
  return { found: found.size, tried: tried.size };
}

/** Reading DER takes thirty times as long. */
function publicKeyOf(privateKey: Buffer): string {
  if (hasRawPublicKeys()) {
    const raw = { key: privateKey, format: 'raw-private', asymmetricKeyType: 'x25519' };
    return exportRawPublic(createPublicKey(createPrivateKey(raw as never))).toString('hex');
  }
  // Older Nodes do not look at what a JWK says as its public key, but make it anew.
  const d = privateKey.toString('base64url');
  const key = createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d, x: ANY }, format: 'jwk' });
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x as string, 'base64url').toString('hex');
}

const seen = new Int32Array(256);
let round = 0;

function looksRandom(block: Buffer, start: number): boolean {
  round++;
  let different = 0;
  for (let at = start; at < start + LENGTH; at++) {
    if (seen[block[at]] !== round) {
      seen[block[at]] = round;
      different++;
    }
  }
  return different >= LEAST_DIFFERENT;
}
