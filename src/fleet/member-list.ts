/**
 * The list of a fleet's members, apart from any identity: what all hosts must hold alike, how it changes, and how a host's
 * identity file takes it over. Public, but whoever can exchange it on its way decides who is a member.
 *
 *     list file = JSON { mayflyMembers: 1, fleetName, members: [{ name, publicKey }, …] }, base64url
 *     list id   = the first 8 bytes of SHA-256("mayfly ring 1 members" ‖ fleet name ‖ public keys, sorted)
 */

import { concat, sameBytes, toHex, utf8 } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';
import { createIdentities, type NamedMember, publicMembers, readMembers } from './identity.ts';

export interface MemberList {
  readonly fleetName: string;
  readonly members: readonly NamedMember[];
}

/** For people to compare at all hosts: 16 hex digits. Names, and the order, make no difference. */
export function listId(provider: CryptoProvider, { fleetName, members }: MemberList): string {
  const keys = members.map(({ publicKey }) => publicKey).sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1));
  const input = new Writer(64)
    .bytes(LABEL)
    .vector8(utf8(fleetName))
    .bytes(concat(...keys));
  return toHex(provider.hash('sha256', input.finish()).subarray(0, 8));
}

/** What a list file holds. */
export function memberListText({ fleetName, members }: MemberList): string {
  return `${JSON.stringify({ mayflyMembers: VERSION, fleetName, members: publicMembers(members) }, undefined, 2)}\n`;
}

/** @throws TLSError `TLS_ERR_CONFIG` not a list file */
export function readMemberList(text: string): MemberList {
  let content: { mayflyMembers?: unknown; fleetName?: unknown; members?: unknown } | null;
  try {
    content = JSON.parse(text);
  } catch {
    throw bad('it is not JSON');
  }
  const { mayflyMembers, fleetName, members } = content ?? {};
  if (mayflyMembers !== VERSION || typeof fleetName !== 'string') {
    throw bad(`mayflyMembers: ${VERSION} and a fleetName were expected`);
  }
  return { fleetName, members: readMembers(members) };
}

/**
 * The list without some members, and with a new identity for each of these names.
 * @param remove public keys
 * @returns the new list, and the content of one identity file for each name that is added
 * @throws TLSError `TLS_ERR_CONFIG` a name would be there twice, or nobody would be left
 */
export function changeMembers(
  provider: CryptoProvider,
  { fleetName, members }: MemberList,
  { add, remove }: { readonly add: readonly string[]; readonly remove: readonly Uint8Array[] },
): { readonly list: MemberList; readonly files: readonly string[] } {
  const stay = members.filter(({ publicKey }) => !remove.some((key) => sameBytes(key, publicKey)));
  const { members: all, files } = createIdentities(provider, fleetName, add, stay);
  return { list: { fleetName, members: all }, files };
}

/**
 * The content of an identity file with another list of members: the identity in it stays as it is.
 * @throws TLSError `TLS_ERR_CONFIG` the list is of another fleet
 */
export function withMemberList(identityFile: string, { fleetName, members }: MemberList): string {
  const content = JSON.parse(identityFile) as Record<string, unknown>;
  if (content.fleetName !== fleetName) {
    throw bad(`it is of the fleet ${JSON.stringify(fleetName)}, the identity of ${JSON.stringify(content.fleetName)}`);
  }
  return `${JSON.stringify({ ...content, members: publicMembers(members) }, undefined, 2)}\n`;
}

function bad(detail: string): TLSError {
  return new TLSError('TLS_ERR_CONFIG', `a list of members cannot be taken: ${detail}`);
}

const VERSION = 1;
const LABEL = utf8('mayfly ring 1 members');
