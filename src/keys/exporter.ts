/**
 * Exporters: keys for other protocols, bound to this connection.
 *
 *     TLS-Exporter(label, context, length) =
 *         HKDF-Expand-Label(Derive-Secret(exporter_secret, label, ""), "exporter", Hash(context), length)
 *
 * RFC 9846 §7.5.
 */

import { EMPTY } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { expandLabelPlain } from './hkdf.ts';

/** The caller owns the result and erases it. An absent context equals an empty one in TLS 1.3. */
export function exportKeyingMaterial(options: {
  readonly provider: CryptoProvider;
  readonly suite: CipherSuite;
  readonly exporterSecret: Secret;
  readonly label: string;
  readonly context: Uint8Array | undefined;
  /** Bytes. */
  readonly length: number;
}): Secret {
  const { provider, suite, exporterSecret, label, context, length } = options;
  const emptyHash = provider.hash(suite.hash, EMPTY);
  const contextHash = provider.hash(suite.hash, context ?? EMPTY);
  const derived = expandLabelPlain(
    provider,
    suite.hash,
    exporterSecret.expose(),
    label,
    emptyHash,
    suite.hashLength,
    'exporterDerived',
  );
  try {
    return expandLabelPlain(provider, suite.hash, derived.expose(), 'exporter', contextHash, length, 'exported');
  } finally {
    derived.erase();
  }
}
