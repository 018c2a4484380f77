/** The pre-shared keys that `serve --psk-file` knows, and their exchange for those of a new file while it runs. */

import { toHex } from '../../bytes/bytes.ts';
import { Secret } from '../../bytes/secret.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import type { ExternalPskLookUp } from '../../node/external-psks.ts';
import { pskFingerprint, wireIdentities } from '../../session/external-psk.ts';
import { roleContext } from '../../session/psk-importer.ts';
import { Problem } from '../problem.ts';
import { erasePsks, type FilePsk, readPskFile } from '../psk-file.ts';

export class KnownPsks {
  readonly #path: string;
  #psks: readonly FilePsk[] = [];
  /** By identity on the wire, in hex. */
  #table = new Map<string, FilePsk>();

  /** @throws Problem as `readPskFile`; `bad_pem` two keys with one identity */
  constructor(path: string) {
    this.#path = path;
    this.reload();
  }

  readonly lookUp: ExternalPskLookUp = ({ identity }) => {
    const found = this.#table.get(toHex(identity));
    return found && { psk: found.psk, imported: found.importContext !== undefined, hash: found.hash ?? 'sha256' };
  };

  /** From now on those of the file as it is now. Throws, and keeps those that it has, where it cannot be read. */
  reload(): void {
    const psks = readPskFile(this.#path);
    let table: Map<string, FilePsk>;
    try {
      table = tableOf(psks, this.#path);
    } catch (error) {
      erasePsks(psks);
      throw error;
    }
    erasePsks(this.#psks);
    this.#psks = psks;
    this.#table = table;
  }

  close(): void {
    this.#table.clear();
    erasePsks(this.#psks);
  }
}

export interface PskFileFacts {
  readonly count: number;
  /** Tells one content from another, and nothing of the keys. */
  readonly fingerprint: string;
}

/** Reads the file, and keeps no key of it. @throws Problem as `KnownPsks` */
export function pskFileFacts(path: string): PskFileFacts {
  const psks = readPskFile(path);
  try {
    const known = [...tableOf(psks, path)];
    return { count: psks.length, fingerprint: known.map(([wire, psk]) => `${wire} ${fingerprintOf(psk)}`).join('\n') };
  } finally {
    erasePsks(psks);
  }
}

function fingerprintOf({ identity, psk }: FilePsk): string {
  const secret = Secret.copy('externalPsk', psk);
  try {
    return toHex(pskFingerprint(nodeProvider, { kind: 'external', wireIdentity: Buffer.from(identity), psk: secret }));
  } finally {
    secret.erase();
  }
}

function tableOf(psks: readonly FilePsk[], path: string): Map<string, FilePsk> {
  const table = new Map<string, FilePsk>();
  for (const psk of psks) {
    for (const wire of wireIdentitiesOf(psk)) {
      const key = toHex(wire);
      if (table.has(key)) {
        throw new Problem('bad_pem', `${path} has two keys for ${psk.identity}`, 'Leave one of them.');
      }
      table.set(key, psk);
    }
  }
  return table;
}

function wireIdentitiesOf({ identity, importContext }: FilePsk): readonly Uint8Array[] {
  const context = importContext && {
    importContext: roleContext({
      client: Buffer.from(importContext.client),
      server: Buffer.from(importContext.server),
    }),
  };
  return wireIdentities({ identity: Buffer.from(identity), ...context });
}
