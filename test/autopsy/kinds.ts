/** Which of the things that `Secret`s hold are looked for, and why the others are not. */

import { SHORTEST } from './forms.ts';
import type { ToldSecret } from './testimony.ts';

const SENT = 'is sent, and no secret once it is';

/** By kind: what the report says of them. */
export const leftOut: Readonly<Record<string, string>> = {
  verifyData: SENT,
  clientVerifyData: SENT,
  serverVerifyData: SENT,
  echConfirmation: SENT,
  initialSecret: 'is made of public values only',
  clientInitialSecret: 'is made of public values only',
  serverInitialSecret: 'is made of public values only',
  kemContext: 'is made of public values only',
  x25519PublicKey: 'is public; it serves to find the private key',
  keyId: 'is public: it stands in every ticket',
  sessionState: 'is mostly public; the secret in it is looked for as one of its own',
  clientSession: 'is mostly public; the secret in it is looked for as one of its own',
  welcome: 'is mostly public; the secret in it is looked for as one of its own',
  identityKey: 'lives as long as its process, like the key of a certificate, and comes from a file',
};

export function isLookedFor({ kind, bytes }: ToldSecret): boolean {
  if (bytes.length < SHORTEST || kind in leftOut) {
    return false;
  }
  // A ring's ticket key names are made like its keys, and public; X-Wing's combiner hashes public values behind its secrets.
  const isName = kind === 'ringWorkingKey' && bytes.length === 16;
  const isCombined = kind === 'kemSecret' && bytes.length > 64;
  return !isName && !isCombined && !isConstant(bytes);
}

/** A few values that are the same for everyone: they say nothing, and are kept on purpose. */
function isConstant(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === bytes[0]);
}
