/**
 * PEM: certificates as text.
 *
 *     -----BEGIN CERTIFICATE-----  base64 of the DER in lines  -----END CERTIFICATE-----
 *
 * RFC 7468 §2, §5. Text outside the blocks is ignored, as is usual in bundles; inside a block nothing but base64 is.
 */

import { TLSError } from '../errors.ts';

/**
 * The DER of every CERTIFICATE block, in order.
 * @throws TLSError `TLS_ERR_CONFIG` no such block, one that is not closed, or one that is not base64
 */
export function pemToDer(pem: string): Uint8Array[] {
  const certificates: Uint8Array[] = [];
  let at = 0;
  while (true) {
    const begin = pem.indexOf(BEGIN, at);
    if (begin < 0) {
      break;
    }
    const start = begin + BEGIN.length;
    const end = pem.indexOf(END, start);
    if (end < 0) {
      throw new TLSError('TLS_ERR_CONFIG', `PEM block ${certificates.length + 1} has no line "${END}"`);
    }
    certificates.push(decodeBlock(pem.slice(start, end), certificates.length + 1));
    at = end + END.length;
  }
  if (certificates.length === 0) {
    throw new TLSError('TLS_ERR_CONFIG', `expected PEM with a line "${BEGIN}", got ${describe(pem)}`);
  }
  return certificates;
}

/** One CERTIFICATE block with lines of 64 characters and a final line end. */
export function derToPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der.buffer, der.byteOffset, der.length)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `${BEGIN}\n${lines.join('\n')}\n${END}\n`;
}

function decodeBlock(body: string, number: number): Uint8Array {
  const base64 = body.replace(/[ \t\r\n]/g, '');
  if (base64.length === 0 || base64.length % 4 !== 0 || !BASE64.test(base64)) {
    throw new TLSError('TLS_ERR_CONFIG', `PEM block ${number} is not base64`);
  }
  // A copy: Buffer.from takes a slice of a shared pool.
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function describe(pem: string): string {
  if (pem.trim() === '') {
    return 'an empty text';
  }
  const label = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(pem);
  return label === null ? 'a text without PEM blocks' : `a block "${label[1]}"`;
}

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
