/**
 * What a unit of a row cannot do without, measured in the same run, and the share that it has of the time taken:
 *
 *     full handshake    x25519 pair and agreement at both ends, one signature, one verification (client's and server's sum)
 *     bulk, per MB      sealing and opening records of 16 KiB, by `openssl speed` and through node:crypto
 *     round trip        two records sealed and two opened, through node:crypto
 */

import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { promisify } from 'node:util';
import type { NamedGroup } from '../src/crypto/groups.ts';
import { nodeProvider } from '../src/crypto/node-provider.ts';
import type { AeadName } from '../src/crypto/suites.ts';
import { aeadOf } from './engine.ts';
import type { Row } from './rows/rows.ts';
import { microsPerCall } from './timing.ts';

export interface Limit {
  /** What it is the cost of. */
  readonly what: string;
  /** CPU time per unit, both ends together. */
  readonly micros: number;
}

/** For one row; more than one where it can be measured in several ways, none where nothing is known. */
export type Limits = readonly Limit[];

export class LimitMeter {
  /** A row asks for what others have asked for: each is measured once. */
  readonly #known = new Map<string, Limits>();
  /** Why something could not be measured. */
  readonly complaints = new Set<string>();

  async of(row: Row): Promise<Limits> {
    if (row.limit === undefined) {
      return [];
    }
    const key = `${row.limit} ${row.pin} ${row.limit === 'roundTrip' ? row.options.size : ''}`;
    const known = this.#known.get(key) ?? (await this.#measure(row));
    this.#known.set(key, known);
    return known;
  }

  async #measure({ limit, pin, options }: Row): Promise<Limits> {
    switch (limit) {
      case 'full':
        return [{ what: 'public keys', micros: exchange('x25519') + authentication() }];
      case 'fullHybrid':
        return [{ what: 'public keys', micros: exchange('X25519MLKEM768') + authentication() }];
      case 'resumed':
        return [{ what: 'public keys', micros: exchange('x25519') }];
      case 'bulk': {
        const aead = aeadOf(pin);
        const native = { what: `node:crypto, ${aead}`, micros: recordBoth(aead, RECORD) * (1e6 / RECORD) };
        const speed = await this.#opensslSpeed(aead);
        return speed === undefined ? [native] : [{ what: `openssl speed, ${aead}`, micros: 2 * (1e6 / speed) }, native];
      }
      case 'roundTrip':
        return [{ what: 'node:crypto, four records', micros: 2 * recordBoth(aeadOf(pin), Number(options.size) + 1) }];
      default:
        return [];
    }
  }

  /** Bytes per microsecond; undefined, with a complaint, where the tool is missing or prints something else. */
  async #opensslSpeed(aead: AeadName): Promise<number | undefined> {
    try {
      const { stdout } = await promisify(execFile)('openssl', [
        'speed',
        '-mr',
        '-seconds',
        '1',
        '-bytes',
        String(RECORD),
        '-evp',
        aead,
      ]);
      // +F:number:name:bytes per second
      const [, perSecond] = /^\+F:\d+:[^:]*:([\d.]+)$/m.exec(stdout) ?? [];
      if (perSecond === undefined) {
        throw new Error('its output has no speed');
      }
      return Number(perSecond) / 1e6;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.complaints.add(`openssl speed left out: ${code === 'ENOENT' ? 'openssl is not in PATH' : message}`);
      return undefined;
    }
  }
}

/** Both ends of a key exchange. */
function exchange(group: NamedGroup): number {
  return microsPerCall(() => {
    const share = nodeProvider.generateKeyShare(group);
    const { keyExchange, sharedSecret } = nodeProvider.encapsulate(group, share.publicKey);
    share.agree(keyExchange).erase();
    sharedSecret.erase();
  }, MS);
}

/** ECDSA P-256 over as much as CertificateVerify signs. */
function authentication(): number {
  const scheme = 'ecdsa_secp256r1_sha256';
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = nodeProvider.importPrivateKey(privateKey);
  const publicKey = nodeProvider.importPublicKey(key.publicKeySpki);
  const content = new Uint8Array(130);
  return microsPerCall(() => {
    nodeProvider.verify(scheme, publicKey, content, nodeProvider.sign(scheme, key, content));
  }, MS);
}

/** One record sealed and opened. */
function recordBoth(name: AeadName, size: number): number {
  const aead = nodeProvider.aead(name, new Uint8Array(name === 'aes-128-gcm' ? 16 : 32));
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(5);
  const plaintext = new Uint8Array(size);
  const sealed = new Uint8Array(size + 16);
  const micros = microsPerCall(() => {
    aead.seal(nonce, aad, plaintext, sealed, 0);
    aead.open(nonce, aad, sealed);
  }, MS);
  aead.erase();
  return micros;
}

/** Bytes of a full record. */
const RECORD = 16_384;
/** For each figure. */
const MS = 100;
