/**
 * The wire forms of Encrypted Client Hello: what a server publishes, and the extension in its several places.
 *
 *     struct { uint8 config_id; HpkeKemId kem_id; HpkePublicKey public_key; HpkeSymmetricCipherSuite cipher_suites<4..2^16-4>;
 *              uint8 maximum_name_length; opaque public_name<1..255>; ECHConfigExtension extensions<0..2^16-1>; } ECHConfigContents;
 *     struct { uint16 version = 0xfe0d; uint16 length; ECHConfigContents contents; } ECHConfig;   ECHConfig ECHConfigList<4..2^16-1>;
 *
 *     outer: 0 ‖ kdf_id ‖ aead_id ‖ config_id ‖ enc<0..2^16-1> ‖ payload<1..2^16-1>      inner: 1
 *     HelloRetryRequest: 8 bytes of confirmation      EncryptedExtensions: ECHConfigList
 *
 * RFC 9849 §4, §5.
 */

import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { copyOf } from './fields.ts';

export interface EchConfig {
  /** The whole ECHConfig as it came: part of what the encryption is bound to. */
  readonly raw: Uint8Array;
  readonly configId: number;
  readonly kem: number;
  readonly publicKey: Uint8Array;
  readonly cipherSuites: readonly EchCipherSuite[];
  /** Bytes. */
  readonly maximumNameLength: number;
  readonly publicName: string;
  /** There is an extension that says that who does not know it must not use the configuration. */
  readonly hasMandatoryExtension: boolean;
}

export interface EchCipherSuite {
  readonly kdf: number;
  readonly aead: number;
}

/**
 * Those of the version that we know, in the server's order of preference; others are passed over.
 * @throws TLSError `TLS_ERR_DECODE`
 */
export function decodeEchConfigList(bytes: Uint8Array): readonly EchConfig[] {
  const reader = new Reader(bytes, 'ECHConfigList');
  const list = reader.nested16('configs', 4);
  reader.end();
  const configs: EchConfig[] = [];
  while (list.remaining > 0) {
    const version = list.u16('version');
    const contents = list.vector16('contents');
    if (version === ECH_VERSION) {
      configs.push(decodeContents(contents));
    }
  }
  return configs;
}

function decodeContents(contents: Uint8Array): EchConfig {
  const reader = new Reader(contents, 'ECHConfigContents');
  const configId = reader.u8('config_id');
  const kem = reader.u16('kem_id');
  const publicKey = copyOf(reader.vector16('public_key', 1));
  const suites = reader.nested16('cipher_suites', 4, 0xfffc);
  const cipherSuites: EchCipherSuite[] = [];
  while (suites.remaining > 0) {
    cipherSuites.push({ kdf: suites.u16('kdf_id'), aead: suites.u16('aead_id') });
  }
  const maximumNameLength = reader.u8('maximum_name_length');
  const publicName = Buffer.from(reader.vector8('public_name', 1)).toString('latin1');
  const extensions = reader.nested16('extensions');
  let hasMandatoryExtension = false;
  while (extensions.remaining > 0) {
    hasMandatoryExtension ||= (extensions.u16('type') & MANDATORY) !== 0;
    extensions.vector16('data');
  }
  reader.end();
  const raw = new Writer(contents.length + 4).u16(ECH_VERSION).vector16(contents).finish();
  return { raw, configId, kem, publicKey, cipherSuites, maximumNameLength, publicName, hasMandatoryExtension };
}

export interface OuterEch {
  readonly cipherSuite: EchCipherSuite;
  readonly configId: number;
  /** Empty in the second hello. */
  readonly encapsulation: Uint8Array;
  readonly payload: Uint8Array;
}

/** extension_data in the hello that everybody can read; it ends with the payload. */
export function encodeOuterEch({ cipherSuite, configId, encapsulation, payload }: OuterEch): Uint8Array {
  return new Writer(16 + encapsulation.length + payload.length)
    .u8(0)
    .u16(cipherSuite.kdf)
    .u16(cipherSuite.aead)
    .u8(configId)
    .vector16(encapsulation)
    .vector16(payload)
    .finish();
}

/** extension_data in the hello that is encrypted. */
export const INNER_ECH: Uint8Array = Uint8Array.of(1);

/** HPKE's codes of what we can do (RFC 9180 §7). */
export const HPKE_KEM_X25519 = 0x0020;
export const HPKE_KDF_SHA256 = 0x0001;

const ECH_VERSION = 0xfe0d;
const MANDATORY = 0x8000;
