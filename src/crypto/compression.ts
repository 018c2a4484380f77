/**
 * Compression of certificate chains over `node:zlib`.
 *
 *     zlib(1): RFC 1950 · brotli(2): RFC 7932 · zstd(3): RFC 8878
 *
 * RFC 8879 §3. Nothing else in TLS is compressed: a chain is public and the same for all, so that its length tells nothing.
 */

import * as zlib from 'node:zlib';
import type { CertificateCompression } from './provider.ts';

/** What this Node can do, best first. */
export const certificateCompressions: readonly CertificateCompression[] =
  typeof zlib.zstdCompressSync === 'function' ? ['brotli', 'zstd', 'zlib'] : ['brotli', 'zlib'];

export function compress(algorithm: CertificateCompression, bytes: Uint8Array): Uint8Array {
  switch (algorithm) {
    case 'zlib':
      return plain(zlib.deflateSync(bytes, { level: 9 }));
    case 'brotli':
      return plain(
        zlib.brotliCompressSync(bytes, {
          params: {
            [zlib.constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
            [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
          },
        }),
      );
    case 'zstd':
      return plain(
        zlib.zstdCompressSync(bytes, {
          pledgedSrcSize: bytes.length,
          params: { [zlib.constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
        } as zlib.ZstdOptions),
      );
  }
}

/**
 * Exactly `length` bytes, or undefined when there are more or fewer, when bytes follow the end, or when it is no stream of
 * this algorithm. No more memory is taken than `length` and a little: the caller bounds it first.
 */
export function decompress(
  algorithm: CertificateCompression,
  compressed: Uint8Array,
  length: number,
): Uint8Array | undefined {
  // Room for the whole in one piece, and for a byte too many to be seen.
  const bounds = { info: true, maxOutputLength: length, chunkSize: length + MIN_CHUNK };
  let result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };
  try {
    result = inflate(algorithm, compressed, bounds) as unknown as typeof result;
  } catch {
    return undefined;
  }
  const { buffer, engine } = result;
  return buffer.length === length && engine.bytesWritten === compressed.length ? plain(buffer) : undefined;
}

function inflate(algorithm: CertificateCompression, compressed: Uint8Array, bounds: zlib.ZlibOptions): Buffer {
  switch (algorithm) {
    case 'zlib':
      return zlib.inflateSync(compressed, bounds);
    case 'brotli':
      return zlib.brotliDecompressSync(compressed, bounds as zlib.BrotliOptions);
    case 'zstd':
      return zlib.zstdDecompressSync(compressed, {
        ...bounds,
        params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
      } as zlib.ZstdOptions);
  }
}

function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** Done once per credential; the last two steps would take ten times as long for a hundredth. */
const BROTLI_QUALITY = 9;
const ZSTD_LEVEL = 19;
/** 1 MiB. A frame's header may ask the decoder for a window of 128 MiB. */
const ZSTD_WINDOW_LOG = 20;
/** The least that node:zlib takes. */
const MIN_CHUNK = 64;
