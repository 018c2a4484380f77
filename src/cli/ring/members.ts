/**
 * `mayfly ring members`: who is on the list that an identity file carries; a new list, with identities for who comes and
 * without who goes; and the step at each host that takes it over.
 */

import { readFileSync } from 'node:fs';
import { sameBytes } from '../../bytes/bytes.ts';
import { printable } from '../../certificates/distinguished-name.ts';
import { type IdentityFile, memberIdOf, type NamedMember, shortName } from '../../fleet/identity.ts';
import {
  changeMembers,
  listId,
  type MemberList,
  memberListText,
  readMemberList,
  withMemberList,
} from '../../fleet/member-list.ts';
import { findMember, loadIdentity, nodeProvider } from '../../node/fleet.ts';
import { createOutput, type Output } from '../output.ts';
import { fileProblem, Problem } from '../problem.ts';
import type { MembersFlags } from '../ring.ts';
import { exchange, hostOf, leftBeside, type NewFile, refuseExisting, writeNew } from './identity-files.ts';

/** @throws Problem `usage`, `file`; TLSError `TLS_ERR_CONFIG` */
export function members(flags: MembersFlags): void {
  const output = createOutput(flags.json === true);
  const { identity: path, add = [], remove = [], write, adopt } = flags;
  if (path === undefined) {
    throw new Problem('usage', '--identity is missing', 'Give a file of mayfly ring init, or set MAYFLY_IDENTITY.');
  }
  const changes = add.length + remove.length > 0;
  if (adopt !== undefined && (changes || write !== undefined)) {
    throw new Problem('usage', '--adopt takes a list as it is', 'Leave out --add, --remove and --write.');
  }
  if (changes && write === undefined) {
    throw new Problem('usage', '--write is missing', 'Name a file for the new list: every host has to adopt it.');
  }
  const file = loadIdentity(path);
  if (adopt !== undefined) {
    adoptList(path, file, readList(adopt), output);
    return;
  }
  if (write === undefined) {
    tell(file, output);
    for (const left of leftBeside(path)) {
      output.warn(
        `${left} is left of an --adopt that was cut short, with the identity in it: adopt again, or remove it`,
      );
    }
    return;
  }
  refuseExisting([...add, write]);
  const gone = remove.map((who) => keyOf(file, who));
  const { list, files } = changeMembers(nodeProvider, file, { add: add.map(hostOf), remove: gone });
  if (files.length > 0) {
    // What the ring will refuse is refused before anything is written.
    loadIdentity(files[0]);
  }
  const made: NewFile[] = files.map((text, index) => ({ path: add[index], text, mode: 0o600 }));
  writeNew([...made, { path: write, text: memberListText(list), mode: 0o644 }]);
  tell(list, output);
  output.say();
  if (changes) {
    output.say(`At each host that stays, bring ${write} there, adopt it, and restart the server right away:`);
    output.say(`  mayfly ring members --identity FILE --adopt ${write}`);
  }
  for (const one of add) {
    output.say(`Bring ${one} to its host, for the user that serves alone (mode 0600), and remove it here.`);
  }
}

function adoptList(path: string, file: IdentityFile, list: MemberList, output: Output): void {
  const text = withMemberList(readFileSync(path, 'utf8'), list);
  if (!has(list.members, file.identity.publicKey)) {
    throw new Problem(
      'failure',
      `the identity of ${file.name} is not on the list`,
      'It was removed or replaced: this host needs its new identity file, or none.',
    );
  }
  const added = list.members.filter(({ publicKey }) => !has(file.members, publicKey)).map(named);
  const removed = file.members.filter(({ publicKey }) => !has(list.members, publicKey)).map(named);
  loadIdentity(text);
  exchange(path, text);
  const id = listId(nodeProvider, list);
  output.event('adopted', { list: id, added, removed });
  output.say(`${printable(file.name)} holds the list ${id}, of ${list.members.length} members.`);
  if (added.length + removed.length === 0) {
    output.say('They are those that it had.');
    return;
  }
  for (const [what, members] of [['Added', added] as const, ['Removed', removed] as const]) {
    if (members.length > 0) {
      output.say(`  ${what}: ${members.map(({ name, member }) => `${printable(name)} ${member}`).join(', ')}`);
    }
  }
  output.say('Restart the server here: until then it runs under the list of before.');
}

function tell(list: MemberList, output: Output): void {
  const id = listId(nodeProvider, list);
  const all = list.members.map(named);
  output.event('members', { fleetName: list.fleetName, list: id, members: all });
  const count = `${all.length} member${all.length === 1 ? '' : 's'}`;
  output.say(`The fleet ${JSON.stringify(list.fleetName)} has ${count}; the list is ${id}:`);
  const width = Math.max(...all.map(({ name }) => name.length));
  for (const { name, member } of all) {
    output.say(`  ${printable(name).padEnd(width)}  ${member}`);
  }
}

function readList(path: string): MemberList {
  try {
    return readMemberList(readFileSync(path, 'utf8'));
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : fileProblem('read', path, error);
  }
}

function keyOf(file: IdentityFile, who: string): Uint8Array {
  const id = findMember(file, who);
  const found = file.members.find(({ publicKey }) => sameBytes(memberIdOf(nodeProvider, publicKey), id));
  return (found as NamedMember).publicKey;
}

function has(members: readonly NamedMember[], key: Uint8Array): boolean {
  return members.some(({ publicKey }) => sameBytes(publicKey, key));
}

function named({ name, publicKey }: NamedMember): { readonly name: string; readonly member: string } {
  return { name, member: shortName(memberIdOf(nodeProvider, publicKey)) };
}
