/** Signature schemes: code points and the keys that can make them. RFC 9846 §4.3.3. */

export const signatureSchemes = {
  ecdsa_secp256r1_sha256: 0x0403,
  ecdsa_secp384r1_sha384: 0x0503,
  ecdsa_secp521r1_sha512: 0x0603,
  ed25519: 0x0807,
  ed448: 0x0808,
  rsa_pss_rsae_sha256: 0x0804,
  rsa_pss_rsae_sha384: 0x0805,
  rsa_pss_rsae_sha512: 0x0806,
  rsa_pss_pss_sha256: 0x0809,
  rsa_pss_pss_sha384: 0x080a,
  rsa_pss_pss_sha512: 0x080b,
  /** In certificates only; never in a TLS 1.3 CertificateVerify. */
  rsa_pkcs1_sha256: 0x0401,
  rsa_pkcs1_sha384: 0x0501,
  rsa_pkcs1_sha512: 0x0601,
} as const;

export type SignatureScheme = keyof typeof signatureSchemes;

const byCode = new Map<number, SignatureScheme>(
  Object.entries(signatureSchemes).map(([name, code]) => [code, name as SignatureScheme]),
);

/** The scheme with this code point, or undefined for one that Mayfly does not speak. */
export function signatureSchemeByCode(code: number): SignatureScheme | undefined {
  return byCode.get(code);
}

/** The public key's type, as far as it decides which schemes it can make. */
export type KeyType = 'rsa' | 'rsa-pss' | 'ec-p256' | 'ec-p384' | 'ec-p521' | 'ed25519' | 'ed448';

const schemesOfKey: Record<KeyType, readonly SignatureScheme[]> = {
  'ec-p256': ['ecdsa_secp256r1_sha256'],
  'ec-p384': ['ecdsa_secp384r1_sha384'],
  'ec-p521': ['ecdsa_secp521r1_sha512'],
  ed25519: ['ed25519'],
  ed448: ['ed448'],
  rsa: ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
  'rsa-pss': ['rsa_pss_pss_sha256', 'rsa_pss_pss_sha384', 'rsa_pss_pss_sha512'],
};

/** The TLS 1.3 CertificateVerify schemes that a key of this type can make, best first. */
export function schemesForKeyType(type: KeyType): readonly SignatureScheme[] {
  return schemesOfKey[type];
}

/** An RSA key can also sign with PKCS #1 v1.5 in TLS 1.2: some peers know nothing else. Last, as PSS is better. */
export function schemesInTls12(schemes: readonly SignatureScheme[]): readonly SignatureScheme[] {
  return schemes.some((scheme) => scheme.startsWith('rsa_pss_rsae'))
    ? [...schemes, 'rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512']
    : schemes;
}

/** The schemes Mayfly accepts in a TLS 1.3 CertificateVerify, in its order of preference. */
export const certificateVerifySchemes: readonly SignatureScheme[] = [
  'ecdsa_secp256r1_sha256',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'ecdsa_secp384r1_sha384',
  'rsa_pss_rsae_sha384',
  'ecdsa_secp521r1_sha512',
  'ed448',
  'rsa_pss_rsae_sha512',
  'rsa_pss_pss_sha256',
  'rsa_pss_pss_sha384',
  'rsa_pss_pss_sha512',
];

/** The schemes Mayfly accepts on certificates: those above and PKCS #1 v1.5, which most CAs still use. */
export const certificateSchemes: readonly SignatureScheme[] = [
  ...certificateVerifySchemes,
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
];
