/**
 * Lines of an SSLKEYLOGFILE: `label SP client_random SP secret`, in hex. The only place where a secret leaves its
 * `Secret`, and only because the operator asked for it. RFC 9850.
 */

import { utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { TrafficSecret } from './traffic.ts';

const HEX = utf8('0123456789abcdef');

/** A traffic secret's line, without line end, as bytes: a string could never be erased. */
export function trafficSecretLine(secret: TrafficSecret, clientRandom: Uint8Array): Uint8Array {
  const isApplication = secret.label === 'CLIENT_TRAFFIC_SECRET' || secret.label === 'SERVER_TRAFFIC_SECRET';
  const label = isApplication ? `${secret.label}_${secret.generation}` : secret.label;
  return secret.use((bytes) => keyLogLine(label, clientRandom, bytes));
}

export function exporterSecretLine(secret: Secret, clientRandom: Uint8Array): Uint8Array {
  return secret.use((bytes) => keyLogLine('EXPORTER_SECRET', clientRandom, bytes));
}

/** TLS 1.2: the master secret, which opens every connection of its session. */
export function masterSecretLine(secret: Secret, clientRandom: Uint8Array): Uint8Array {
  return secret.use((bytes) => keyLogLine('CLIENT_RANDOM', clientRandom, bytes));
}

function keyLogLine(label: string, clientRandom: Uint8Array, secret: Uint8Array): Uint8Array {
  const line = new Uint8Array(label.length + 2 + 2 * (clientRandom.length + secret.length));
  line.set(utf8(label));
  let at = label.length;
  line[at++] = 0x20;
  at = writeHex(line, at, clientRandom);
  line[at++] = 0x20;
  writeHex(line, at, secret);
  return line;
}

function writeHex(line: Uint8Array, at: number, bytes: Uint8Array): number {
  for (const byte of bytes) {
    line[at++] = HEX[byte >>> 4];
    line[at++] = HEX[byte & 15];
  }
  return at;
}
