/**
 * Counts what is asked of `node:crypto`, from the moment this module is loaded: before any module of `src`, some of which
 * keep a function of it under a name of their own.
 */

import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { add, type Counts } from './tally.ts';

export const nativeCounts: Counts = {};

type Methods = Record<string, unknown>;

function replaceFunctions(): void {
  const exports = crypto as unknown as Methods;
  for (const name of functions) {
    const plain = exports[name];
    if (typeof plain === 'function') {
      exports[name] = (...given: unknown[]) => {
        add(nativeCounts, name);
        return plain(...given);
      };
    }
  }
  // What `import { hash } from 'node:crypto'` sees follows only when told to.
  syncBuiltinESMExports();
}

function replaceMethods(): void {
  const hash = crypto.createHash('sha256');
  const curve = crypto.createECDH('prime256v1');
  const { publicKey, privateKey } = crypto.generateKeyPairSync('ed25519');
  const methods: [string, object, string][] = [
    ['Hash.update', hash, 'update'],
    ['Hash.digest', hash, 'digest'],
    ['Hash.copy', hash, 'copy'],
    ['ECDH.generateKeys', curve, 'generateKeys'],
    ['ECDH.setPrivateKey', curve, 'setPrivateKey'],
    ['ECDH.computeSecret', curve, 'computeSecret'],
    ['PublicKey.export', publicKey, 'export'],
    ['PrivateKey.export', privateKey, 'export'],
  ];
  for (const [label, object, method] of methods) {
    const prototype = Object.getPrototypeOf(object) as Methods;
    const plain = prototype[method] as (...given: unknown[]) => unknown;
    prototype[method] = function (this: unknown, ...given: unknown[]) {
      add(nativeCounts, label);
      return plain.apply(this, given);
    };
  }
}

const functions: readonly string[] = [
  'createCipheriv',
  'createDecipheriv',
  'createECDH',
  'createHash',
  'createHmac',
  'createPrivateKey',
  'createPublicKey',
  'createSecretKey',
  'decapsulate',
  'diffieHellman',
  'encapsulate',
  'generateKeyPairSync',
  'hash',
  'hkdfSync',
  'randomBytes',
  'randomFillSync',
  'sign',
  'timingSafeEqual',
  'verify',
];

replaceMethods();
replaceFunctions();
