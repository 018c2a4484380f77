/** Reads a member's identity from its file, which only its owner may read: who has it can join the fleet. */

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { nodeProvider } from '../crypto/node-provider.ts';
import { TLSError } from '../errors.ts';
import { type IdentityFile, readIdentityFile } from '../fleet/identity.ts';

/**
 * @param identity the path of the file, or what is in it (JSON)
 * @throws TLSError `TLS_ERR_CONFIG` it cannot be read, others may read it, or it is no identity file
 */
export function loadIdentity(identity: string): IdentityFile {
  const text = identity.trimStart().startsWith('{') ? identity : readPrivate(identity);
  return readIdentityFile(nodeProvider, text);
}

/** One descriptor for both looks: nobody can exchange the file in between. */
function readPrivate(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { mode, size } = fstatSync(file);
    // Windows has no such bits.
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `the identity file ${path} can be read by others (mode ${octal}), and who reads it can join the fleet: ` +
          'expected mode 0600 or 0400 (chmod 600), and if others may have read it make new identities',
      );
    }
    if (size > MAX_SIZE) {
      throw new TLSError('TLS_ERR_CONFIG', `the identity file ${path} has ${size} bytes, at most ${MAX_SIZE} are read`);
    }
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof TLSError) {
      throw cause;
    }
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'it does not exist' : (cause as Error).message;
    throw new TLSError('TLS_ERR_CONFIG', `the identity file ${path} cannot be read: ${why}`, { cause });
  } finally {
    if (file !== undefined) {
      closeSync(file);
    }
  }
}

/** Bytes: 512 members with names of 64 have less than a fifth of it. */
const MAX_SIZE = 2 ** 20;
