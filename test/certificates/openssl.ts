/** What the `openssl` command makes of certificates: the second opinion of tests. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { derToPem } from '../../src/certificates/pem.ts';
import { requireTool } from '../support/tools.ts';

export interface VerifySpec {
  /** DER. */
  readonly root: Uint8Array;
  readonly intermediate?: Uint8Array;
  readonly form: 'strict' | 'tolerant';
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Default `example.com`; null for any. */
  readonly name?: string | null;
}

export class OpenSsl {
  readonly #folder = mkdtempSync(join(tmpdir(), 'mayfly-openssl-'));

  constructor() {
    after(() => rmSync(this.#folder, { recursive: true }));
  }

  /** For each leaf why it is refused as a server's, or undefined where it is not; all in one run. */
  refusals(leaves: readonly Uint8Array[], spec: VerifySpec): (string | undefined)[] {
    const { root, intermediate = root, form, at, name = 'example.com' } = spec;
    const files = leaves.map((leaf, i) => this.#write(`leaf${i}`, leaf));
    const { output } = this.#run([
      ...['verify', ...(form === 'strict' ? ['-x509_strict'] : []), '-purpose', 'sslserver'],
      // Every certificate that is given as trusted is trusted by itself.
      ...[
        '-partial_chain',
        ...(name === null ? [] : ['-verify_hostname', name]),
        '-attime',
        String(Math.floor(at / 1000)),
      ],
      ...['-CAfile', this.#write('root', root), '-untrusted', this.#write('issuer', intermediate), ...files],
    ]);
    const lines = output.split('\n');
    return files.map((file) => {
      if (lines.includes(`${file}: OK`)) {
        return undefined;
      }
      const last = lines.findIndex((line) => line.includes(`${file}: verification failed`));
      return lines.slice(0, last + 1).findLast((line) => /\berror \d+ at\b/.test(line)) ?? output;
    });
  }

  /** What is said of an OCSP response about `leaf.pem`. */
  ocsp(response: Uint8Array, ders: { root: Uint8Array; issuer: Uint8Array; leaf: Uint8Array }): string {
    writeFileSync(join(this.#folder, 'response.der'), response);
    const [root, issuer, leaf] = (['root', 'issuer', 'leaf'] as const).map((name) => this.#write(name, ders[name]));
    return this.#run([
      ...['ocsp', '-respin', 'response.der', '-issuer', issuer, '-cert', leaf, '-no_nonce'],
      ...['-CAfile', root, '-verify_other', issuer],
    ]).output;
  }

  #write(name: string, der: Uint8Array): string {
    writeFileSync(join(this.#folder, `${name}.pem`), derToPem(der));
    return `${name}.pem`;
  }

  #run(args: readonly string[]): { output: string } {
    const { stdout, stderr } = spawnSync(requireTool('openssl'), args, { cwd: this.#folder, encoding: 'utf8' });
    return { output: `${stderr}${stdout}` };
  }
}
