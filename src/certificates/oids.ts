/** Object identifiers of X.509 certificates. RFC 5280 Appendix A; RFC 3279, RFC 5480, RFC 8017, RFC 8410 for keys. */

export const extensionOids = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extKeyUsage: '2.5.29.37',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  tlsFeature: '1.3.6.1.5.5.7.1.24',
} as const;

export const keyPurposeOids = {
  any: '2.5.29.37.0',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const;

export const OID_ANY_POLICY = '2.5.29.32.0';
export const OID_COMMON_NAME = '2.5.4.3';
export const OID_EMAIL_ADDRESS = '1.2.840.113549.1.9.1';

export const keyOids = {
  rsaEncryption: '1.2.840.113549.1.1.1',
  rsassaPss: '1.2.840.113549.1.1.10',
  ecPublicKey: '1.2.840.10045.2.1',
  ed25519: '1.3.101.112',
  ed448: '1.3.101.113',
} as const;

/** Named curves that Mayfly accepts in certificates, with OpenSSL's name and NIST's. */
export const curveOids: ReadonlyMap<string, { readonly name: string; readonly nist: string; readonly bits: number }> =
  new Map([
    ['1.2.840.10045.3.1.7', { name: 'prime256v1', nist: 'P-256', bits: 256 }],
    ['1.3.132.0.34', { name: 'secp384r1', nist: 'P-384', bits: 384 }],
    ['1.3.132.0.35', { name: 'secp521r1', nist: 'P-521', bits: 521 }],
  ]);

/** The extension of TLS for stapled OCSP responses, as a certificate's TLS features name it (RFC 7633 §3, RFC 6066 §8). */
export const FEATURE_STATUS_REQUEST = 5;

export const OID_ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';

/** Attribute types with the short names that OpenSSL and `node:tls` print. RFC 4519, RFC 2985, RFC 4524, CA/B Forum. */
export const attributeNames: ReadonlyMap<string, string> = new Map([
  [OID_COMMON_NAME, 'CN'],
  ['2.5.4.4', 'SN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.9', 'street'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['2.5.4.12', 'title'],
  ['2.5.4.13', 'description'],
  ['2.5.4.15', 'businessCategory'],
  ['2.5.4.17', 'postalCode'],
  ['2.5.4.20', 'telephoneNumber'],
  ['2.5.4.41', 'name'],
  ['2.5.4.42', 'GN'],
  ['2.5.4.43', 'initials'],
  ['2.5.4.44', 'generationQualifier'],
  ['2.5.4.46', 'dnQualifier'],
  ['2.5.4.65', 'pseudonym'],
  ['2.5.4.97', 'organizationIdentifier'],
  ['0.9.2342.19200300.100.1.1', 'UID'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  [OID_EMAIL_ADDRESS, 'emailAddress'],
  ['1.3.6.1.4.1.311.60.2.1.1', 'jurisdictionL'],
  ['1.3.6.1.4.1.311.60.2.1.2', 'jurisdictionST'],
  ['1.3.6.1.4.1.311.60.2.1.3', 'jurisdictionC'],
]);
