/** What stands in the shim's flags in a form of its own: files, lists as on the wire, base64. */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Reader } from '../../src/bytes/reader.ts';

/** DER certificates of a PEM file, in its order. */
export function certificatesIn(path: string): Uint8Array[] {
  const blocks = readFileSync(path, 'latin1').match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  return (blocks ?? []).map((pem) => new Uint8Array(new X509Certificate(pem).raw));
}

/** A list as it stands on the wire: one-byte length, name, and so on. */
export function splitAlpn(text: string): string[] {
  const names: string[] = [];
  for (let at = 0; at < text.length; at += 1 + text.charCodeAt(at)) {
    names.push(text.slice(at + 1, at + 1 + text.charCodeAt(at)));
  }
  return names;
}

/** A SignedCertificateTimestampList (RFC 6962 §3.3), as the flags have it. */
export function splitTimestamps(base64: string): Uint8Array[] {
  const reader = new Reader(new Uint8Array(Buffer.from(base64, 'base64')), 'SignedCertificateTimestampList');
  const list = reader.nested16('list', 1);
  reader.end();
  const found: Uint8Array[] = [];
  while (list.remaining > 0) {
    found.push(new Uint8Array(list.vector16('timestamp', 1)));
  }
  return found;
}
