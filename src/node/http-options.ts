/** Options for an HTTP server over TLS, parted: what Node's own server is told, and what is ours. */

import { type TlsServerOptions, transportOptions } from './tls-acceptor.ts';

/** Everything but the options on TLS. */
export function httpOptions(options: object): object {
  const rest: Record<string, unknown> = { ...options };
  for (const name of TLS_OPTIONS) {
    delete rest[name];
  }
  return { ...rest, ...transportOptions(options as TlsServerOptions) };
}

const TLS_OPTIONS: readonly string[] = [
  'cert',
  'ocspResponse',
  'signedCertificateTimestamps',
  'certificateCompression',
  'key',
  'passphrase',
  'sign',
  'ca',
  'ciphers',
  'ecdhCurve',
  'groups',
  'sigalgs',
  'minVersion',
  'maxVersion',
  'secureProtocol',
  'secureContext',
  'secureOptions',
  'allowLegacyMasterSecret',
  'clientRenegotiations',
  'honorCipherOrder',
  'ALPNProtocols',
  'ALPNCallback',
  'SNICallback',
  'handshakeTimeout',
  'sessionTimeout',
  'sessionIdContext',
  'sessions',
  'policy',
  'keyRenewal',
  'allowTruncation',
  'idleTimeout',
  'earlyRequests',
  'requestCert',
  'rejectUnauthorized',
  'pskCallback',
  'pskIdentityHint',
  'externalPsks',
  'externalPskRequired',
  'dangerouslyAllowPskKe',
  'pfx',
  'crl',
  'dhparam',
  'ticketKeys',
];
