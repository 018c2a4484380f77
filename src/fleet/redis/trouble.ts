/** What a store's refusals mean for who runs it. Its own words stay in front. */

import { TLSError } from '../../errors.ts';

/** It says no more than that there is no connection: why, was told when it was lost or could not be made. */
export function isOffline(error: unknown): boolean {
  return error instanceof Error && OFFLINE.has(error.constructor.name);
}

/** Which takes no writes: of a fleet's store another one must be the master. */
export function isReplica(error: unknown): boolean {
  return error instanceof Error && /^(READONLY|MASTERDOWN)\b/.test(error.message);
}

/** With what there is to do about it, where its own words do not tell. */
export function withHint(error: unknown): unknown {
  const text = (error instanceof Error ? error.message : String(error)).slice(0, MAX_WORDS);
  const hint = HINTS.find(([words]) => words.test(text))?.[1];
  return hint === undefined
    ? error
    : new TLSError('TLS_ERR_STORE', `${text.replace(/[.\s]+$/, '')}: ${hint}`, { cause: error });
}

/** The client library's. */
const OFFLINE: ReadonlySet<string> = new Set([
  'ClientOfflineError',
  'ClientClosedError',
  'DisconnectsClientError',
  'RootNodesUnavailableError',
]);

/** Of its own. Where they are trimmed, a store that is not to be trusted must not keep us busy with a million dots. */
const MAX_WORDS = 500;

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/^MOVED\b/, 'it is a node of a cluster, whose URL is redis+cluster://…'],
  [/cluster support disabled/, 'it is no cluster, and its URL is redis://…'],
  [/^READONLY\b/, 'it is a replica, and the fleet needs the master'],
  [/^ERR unknown command\b/, 'it was renamed or turned off, and the ring needs it'],
];
