/**
 * Key shares of every group, for clients (`generateShare`) and servers (`encapsulateTo`).
 *
 *     X25519MLKEM768   client: ML-KEM encapsulation key (1184) || x25519 public key (32)
 *                      server: ML-KEM ciphertext (1088) || x25519 public key (32)
 *                      shared secret: ML-KEM shared secret (32) || x25519 shared secret (32)
 *
 * RFC 9846 §4.3.8, §7.4; draft-ietf-tls-ecdhe-mlkem.
 */

import { HeldElsewhere } from '../bytes/held-elsewhere.ts';
import { Secret } from '../bytes/secret.ts';
import { CurveExchange, type CurveGroup, supportsCurve } from './ec-curves.ts';
import { checkShareLength, type Exchange, type RandomSource, spentKeyShare } from './exchange.ts';
import { type NamedGroup, namedGroups } from './groups.ts';
import { CIPHERTEXT_LENGTH, ENCAPSULATION_KEY_LENGTH, type MlKem, SEED_LENGTH } from './ml-kem.ts';
import type { Encapsulation, KeyShare } from './provider.ts';
import { X25519Exchange } from './x25519.ts';

/** Where key shares get their randomness and their ML-KEM from. */
export interface ShareSources {
  /** A test's source; absent in production. */
  readonly random: RandomSource | undefined;
  /** A function, so that no ML-KEM is probed or loaded before it is needed. */
  readonly mlKem: () => MlKem;
}

export function supportsShare(group: NamedGroup): boolean {
  switch (group) {
    case 'X25519MLKEM768':
    case 'x25519':
      return true;
    default:
      return supportsCurve(group);
  }
}

export function generateShare(group: NamedGroup, sources: ShareSources): KeyShare {
  const exchange = group === 'X25519MLKEM768' ? new HybridExchange(sources) : simpleExchange(group, sources);
  return new NodeKeyShare(group, exchange);
}

/** @throws TLSError `TLS_ERR_BAD_KEY_SHARE` */
export function encapsulateTo(group: NamedGroup, clientShare: Uint8Array, sources: ShareSources): Encapsulation {
  // Before any key is made: a bad length should cost the server nothing.
  checkShareLength(group, clientShare, namedGroups[group].clientShareLength);
  if (group === 'X25519MLKEM768') {
    return encapsulateHybrid(clientShare, sources);
  }
  const exchange = simpleExchange(group, sources);
  const life = HeldElsewhere.begin('keyShare', privateLengths[group]);
  try {
    const sharedSecret = Secret.take('sharedSecret', exchange.agree(clientShare), life?.id);
    return { keyExchange: exchange.publicKey, sharedSecret };
  } finally {
    life?.end('spent');
  }
}

function encapsulateHybrid(clientShare: Uint8Array, sources: ShareSources): Encapsulation {
  const kem = sources.mlKem().encapsulate(clientShare.subarray(0, ENCAPSULATION_KEY_LENGTH));
  const life = HeldElsewhere.begin('keyShare', privateLengths.X25519MLKEM768);
  try {
    const exchange = X25519Exchange.generate(sources.random);
    const ecdhSecret = exchange.agree(clientShare.subarray(ENCAPSULATION_KEY_LENGTH));
    const keyExchange = join(kem.ciphertext, exchange.publicKey);
    return { keyExchange, sharedSecret: joinSecrets(kem.sharedSecret, ecdhSecret, life?.id) };
  } finally {
    kem.sharedSecret.fill(0);
    life?.end('spent');
  }
}

class NodeKeyShare implements KeyShare {
  readonly group: NamedGroup;
  readonly publicKey: Uint8Array;
  #exchange: Exchange | HybridExchange | undefined;
  readonly #life: HeldElsewhere | undefined;

  constructor(group: NamedGroup, exchange: Exchange | HybridExchange) {
    this.group = group;
    this.publicKey = exchange.publicKey;
    this.#exchange = exchange;
    this.#life = HeldElsewhere.begin('keyShare', privateLengths[group]);
  }

  agree(peerKeyExchange: Uint8Array): Secret {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      throw spentKeyShare(this.group);
    }
    this.#exchange = undefined;
    try {
      return exchange instanceof HybridExchange
        ? exchange.agree(peerKeyExchange, this.#life?.id)
        : Secret.take('sharedSecret', exchange.agree(peerKeyExchange), this.#life?.id);
    } finally {
      this.#life?.end('spent');
    }
  }

  erase(): void {
    this.#exchange?.erase();
    this.#exchange = undefined;
    this.#life?.end('unused');
  }
}

class HybridExchange {
  readonly publicKey: Uint8Array;
  readonly #kem: Exchange;
  readonly #x25519: X25519Exchange;

  constructor(sources: ShareSources) {
    this.#kem = sources.mlKem().generate();
    this.#x25519 = X25519Exchange.generate(sources.random);
    this.publicKey = join(this.#kem.publicKey, this.#x25519.publicKey);
  }

  agree(peer: Uint8Array, from: number | undefined): Secret {
    try {
      checkShareLength('X25519MLKEM768', peer, namedGroups.X25519MLKEM768.serverShareLength);
      const ecdhSecret = this.#x25519.agree(peer.subarray(CIPHERTEXT_LENGTH));
      return joinSecrets(this.#kem.agree(peer.subarray(0, CIPHERTEXT_LENGTH)), ecdhSecret, from);
    } finally {
      this.erase();
    }
  }

  erase(): void {
    this.#kem.erase();
    this.#x25519.erase();
  }
}

function simpleExchange(group: Exclude<NamedGroup, 'X25519MLKEM768'>, sources: ShareSources): Exchange {
  return group === 'x25519'
    ? X25519Exchange.generate(sources.random)
    : CurveExchange.generate(group satisfies CurveGroup, sources.random);
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Both parts are erased. */
function joinSecrets(first: Uint8Array, second: Uint8Array, from: number | undefined): Secret {
  const fill = (bytes: Uint8Array) => {
    bytes.set(first);
    bytes.set(second, first.length);
    first.fill(0);
    second.fill(0);
  };
  return Secret.create('sharedSecret', first.length + second.length, fill, from);
}

/** Bytes of the private parts, for the ledger: a scalar each, and the seed of ML-KEM. */
const privateLengths: Readonly<Record<NamedGroup, number>> = {
  X25519MLKEM768: SEED_LENGTH + 32,
  x25519: 32,
  secp256r1: 32,
  secp384r1: 48,
  secp521r1: 66,
};
