/**
 * RSA-PSS keys whose parameters restrict what they may be used for (RFC 4055 §3.1): keys of the kind `rsa` under another name.
 *
 *     PKCS #8      SEQUENCE { 0, SEQUENCE { id-RSASSA-PSS, parameters }, OCTET STRING { PKCS #1 } }
 *     parameters   SEQUENCE { [0] hash, [1] SEQUENCE { id-mgf1, hash }, [2] least length of the salt }
 */

import { createPrivateKey, createPublicKey, type KeyPairKeyObjectResult } from 'node:crypto';
import { contextTag } from '../../src/certificates/der.ts';
import { derElement, derInteger, derOctetString, derOid, derSequence } from '../../src/certificates/der-writer.ts';
import { keyOids } from '../../src/certificates/oids.ts';
import { rsaKeyPair } from '../support/rsa-keys.ts';

type Hash = keyof typeof hashOids;

/** @param saltLength the least length, in bytes */
export function restrictedRsaPss(hash: Hash, mgf1Hash: Hash, saltLength: number): KeyPairKeyObjectResult {
  // What is the default must be left out: SHA-1, and a salt of 20 bytes.
  const parameters = derSequence(
    ...(hash === 'sha1' ? [] : [field(0, hashAlgorithm(hash))]),
    ...(mgf1Hash === 'sha1' ? [] : [field(1, derSequence(derOid(OID_MGF1), hashAlgorithm(mgf1Hash)))]),
    ...(saltLength === 20 ? [] : [field(2, derInteger(saltLength))]),
  );
  const pkcs1 = rsaKeyPair().privateKey.export({ type: 'pkcs1', format: 'der' });
  const pkcs8 = derSequence(
    derInteger(0),
    derSequence(derOid(keyOids.rsassaPss), parameters),
    derOctetString(new Uint8Array(pkcs1)),
  );
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function field(number: number, content: Uint8Array): Uint8Array {
  return derElement(contextTag(number, true), content);
}

function hashAlgorithm(hash: Hash): Uint8Array {
  return derSequence(derOid(hashOids[hash]), DER_NULL);
}

const OID_MGF1 = '1.2.840.113549.1.1.8';
const hashOids = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const;
const DER_NULL = Uint8Array.of(5, 0);
