/**
 * Replaying a trace through `Connection`: a provider that gives out the trace's randomness, key shares and signatures,
 * and, for messages that Mayfly makes otherwise, a stand-in of the trace's own message in the transcript (and on the wire
 * where Mayfly is the sender). Everything else is what production runs.
 */

import assert from 'node:assert/strict';
import {
  constants,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  verify,
  X509Certificate,
} from 'node:crypto';
import type { Action } from '../../src/actions.ts';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { Connection } from '../../src/connection.ts';
import type { NamedGroup } from '../../src/crypto/groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CryptoProvider, KeyShare, PrivateKey, PublicKey, RunningHash } from '../../src/crypto/provider.ts';
import type { SignatureScheme } from '../../src/crypto/signatures.ts';
import { decodeCertificate } from '../../src/messages/certificate.ts';
import { decodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import type { Trace } from './trace.ts';

/** Messages by type; each stands in, in turn, for the next message of that type. */
export type StandIns = Readonly<Record<number, readonly Uint8Array[]>>;

/** Puts stand-ins in place of messages and counts that each was used. */
export class Replacing {
  readonly #queues: Map<number, Uint8Array[]>;

  constructor(standIns: StandIns = {}) {
    this.#queues = new Map(Object.entries(standIns).map(([type, messages]) => [Number(type), [...messages]]));
  }

  next(message: Uint8Array): Uint8Array {
    return this.#queues.get(message[0])?.shift() ?? message;
  }

  assertUsed(): void {
    for (const [type, left] of this.#queues) {
      assert.equal(left.length, 0, `stand-ins for messages of type ${type} were not used`);
    }
  }
}

export interface ReplayOptions {
  readonly trace: Trace;
  readonly side: 'client' | 'server';
  /** What `random` gives, call by call. */
  readonly randoms: readonly Uint8Array[];
  /** The groups of the side's key shares, in order. */
  readonly groups: readonly NamedGroup[];
  /** In the transcript. */
  readonly transcript?: StandIns;
  /** In what is hashed in one piece: a hello up to its binders. */
  readonly hashed?: StandIns;
  /** In what is sent. */
  readonly wire?: StandIns;
}

export class Replay {
  readonly provider: CryptoProvider;
  readonly #options: ReplayOptions;
  readonly #transcript: Replacing;
  readonly #hashed: Replacing;
  readonly #wire: Replacing;
  readonly #randoms: Uint8Array[];
  #shares = 0;
  signaturesMade = 0;
  signaturesChecked = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#transcript = new Replacing(options.transcript);
    this.#hashed = new Replacing(options.hashed);
    this.#wire = new Replacing(options.wire);
    this.#randoms = [...options.randoms];
    this.provider = {
      ...nodeProvider,
      random: (bytes) => bytes.set(this.#randoms.shift() ?? assert.fail('the trace has no more randomness')),
      hash: (name, data) => nodeProvider.hash(name, this.#hashed.next(data)),
      createHash: (name) => this.#createHash(nodeProvider.createHash(name)),
      generateKeyShare: (group) => this.#keyShare(group),
      encapsulate: (group, peer) => {
        const share = this.#keyShare(group);
        return { keyExchange: share.publicKey, sharedSecret: share.agree(peer) };
      },
      sign: (scheme, _key, data) => this.#sign(scheme, data),
      verify: (scheme, _key, data, signature) => {
        this.signaturesChecked += 1;
        return isSignature(serverKey(options.trace), scheme, data, signature);
      },
    };
  }

  /** Puts the stand-ins into what this connection sends. */
  attach(connection: Connection): void {
    const { channel } = connection;
    const send = channel.handshake.bind(channel);
    channel.handshake = (message) => send(this.#wire.next(message));
  }

  assertUsed(): void {
    this.#transcript.assertUsed();
    this.#hashed.assertUsed();
    this.#wire.assertUsed();
    assert.equal(this.#randoms.length, 0, 'randomness of the trace was not used');
    assert.equal(this.#shares, this.#options.groups.length, 'a key share of the trace was not used');
  }

  #createHash(inner: RunningHash): RunningHash {
    return {
      update: (data: Uint8Array) => inner.update(this.#transcript.next(data)),
      digest: () => inner.digest(),
      copy: () => inner.copy(),
      end: () => inner.end(),
    };
  }

  #keyShare(group: NamedGroup): KeyShare {
    const { trace, side, groups } = this.#options;
    assert.equal(group, groups[this.#shares], 'a share for another group than the trace');
    const share = keyShare(group, trace.privateKey(side, this.#shares));
    const expected = trace.value(side, 'create an ephemeral', 'public key', this.#shares);
    assert.equal(toHex(share.publicKey), toHex(expected));
    this.#shares += 1;
    return share;
  }

  /** The trace's signature: RSA-PSS and ECDSA are randomised, so ours could never be the same. */
  #sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array {
    const { trace } = this.#options;
    const { signature } = decodeCertificateVerify(trace.message('server', 'CertificateVerify').subarray(4));
    assert.ok(isSignature(serverKey(trace), scheme, data, signature), 'Mayfly asks to sign what the trace signed');
    this.signaturesMade += 1;
    return signature;
  }
}

/** Stands for keys that only the replaying provider looks at. */
export const someKey: PrivateKey & PublicKey = { type: 'rsa', schemes: [], publicKeySpki: new Uint8Array(0) };

export function certificateOf(trace: Trace): Uint8Array {
  return decodeCertificate(trace.message('server', 'Certificate').subarray(4)).entries[0].certificate;
}

/** All bytes that the actions send. */
export function sent(actions: readonly Action[]): Uint8Array {
  return concat(...actions.flatMap((action) => (action.kind === 'send' ? [action.bytes] : [])));
}

/** Fails when a connection has failed, with its error. */
export function healthy(actions: readonly Action[]): readonly Action[] {
  for (const action of actions) {
    if (action.kind === 'failed') {
      throw action.error;
    }
  }
  return actions;
}

export function keyLogLines(actions: readonly Action[]): string[] {
  return actions.flatMap((action) => (action.kind === 'keyLog' ? [Buffer.from(action.line).toString('latin1')] : []));
}

/** The lines that a trace's secrets make. */
export function expectedKeyLog(trace: Trace, clientRandom: Uint8Array, withEarlyData = false): string[] {
  return (
    [
      ...(withEarlyData ? ([['CLIENT_EARLY_TRAFFIC_SECRET', 'c e traffic']] as const) : []),
      ['CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'c hs traffic'],
      ['SERVER_HANDSHAKE_TRAFFIC_SECRET', 's hs traffic'],
      ['CLIENT_TRAFFIC_SECRET_0', 'c ap traffic'],
      ['SERVER_TRAFFIC_SECRET_0', 's ap traffic'],
      ['EXPORTER_SECRET', 'exp master'],
    ] as const
  ).map(([name, label]) => `${name} ${toHex(clientRandom)} ${toHex(trace.secret(label))}`);
}

function serverKey(trace: Trace): KeyObject {
  return new X509Certificate(certificateOf(trace)).publicKey;
}

function isSignature(key: KeyObject, scheme: SignatureScheme, data: Uint8Array, signature: Uint8Array): boolean {
  if (scheme === 'rsa_pss_rsae_sha256') {
    return verify('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature);
  }
  assert.equal(scheme, 'ecdsa_secp256r1_sha256');
  return verify('sha256', data, key, signature);
}

function keyShare(group: NamedGroup, privateKey: Uint8Array): KeyShare {
  const share = group === 'x25519' ? x25519(privateKey) : p256(privateKey);
  return {
    group,
    publicKey: share.publicKey,
    agree: (peer) => Secret.copy('sharedSecret', share.agree(peer)),
    erase: () => {},
  };
}

interface PlainShare {
  readonly publicKey: Uint8Array;
  readonly agree: (peer: Uint8Array) => Uint8Array;
}

function x25519(scalar: Uint8Array): PlainShare {
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), scalar]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const prefix = spki.subarray(0, spki.length - 32);
  return {
    publicKey: new Uint8Array(spki.subarray(spki.length - 32)),
    agree: (peer) => {
      const publicKey = createPublicKey({ key: Buffer.concat([prefix, peer]), format: 'der', type: 'spki' });
      return diffieHellman({ privateKey, publicKey });
    },
  };
}

function p256(scalar: Uint8Array): PlainShare {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(scalar);
  return { publicKey: new Uint8Array(ecdh.getPublicKey()), agree: (peer) => ecdh.computeSecret(peer) };
}
