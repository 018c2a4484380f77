/** `--tls 1.2|1.3|both`, as `serve` and `connect` take it. */

import type { ProtocolVersion } from '../connection-options.ts';
import { Problem } from './problem.ts';

/** Oldest first, never empty. */
export type Versions = readonly ProtocolVersion[];

/** @throws Problem `usage` */
export function parseVersions(text: string): Versions {
  const versions = Object.hasOwn(choices, text) ? choices[text] : undefined;
  if (versions === undefined) {
    throw new Problem(
      'usage',
      `--tls: "${text}" is not a choice`,
      'Write 1.2, 1.3 or both; what is older is not spoken.',
    );
  }
  return versions;
}

/** For the adapters, in the terms of `node:tls`. */
export function versionOptions(versions: Versions): { minVersion: ProtocolVersion; maxVersion: ProtocolVersion } {
  return { minVersion: versions[0], maxVersion: versions[versions.length - 1] };
}

/** `TLS 1.2`. */
export function versionName(version: string): string {
  return version.replace('TLSv', 'TLS ');
}

const choices: Readonly<Record<string, Versions>> = {
  '1.2': ['TLSv1.2'],
  '1.3': ['TLSv1.3'],
  both: ['TLSv1.2', 'TLSv1.3'],
};
